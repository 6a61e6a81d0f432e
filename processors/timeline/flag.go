package timeline

import "github.com/whencehq/whence/schemas/event"

// flagChange is flag.changed, an entity of its own: it holds until the next.
type flagChange struct {
	standing
	by          *fact // nil: does not count
	flag, rules text
	environment *environment
	names       []*name // none, and all is false: only empty ones, so of nobody
	all         bool
}

// flags is the changes of each flag, by time.
type flags map[text]*spans[*flagChange]

func (fs *flags) insert(s span[*flagChange]) {
	if *fs == nil {
		*fs = flags{}
	}
	list := (*fs)[s.of.flag]
	if list == nil {
		list = &spans[*flagChange]{}
		(*fs)[s.of.flag] = list
	}
	list.insert(s)
}

func (fs flags) remove(s span[*flagChange]) {
	list := fs[s.of.flag]
	if list.remove(s); list.empty() {
		delete(fs, s.of.flag)
	}
}

func (t *Timeline) readFlag(f *event.Flag) statement {
	return &flagChange{
		standing:    standing{rank: rankOther},
		flag:        t.texts.intern(f.Flag),
		rules:       t.texts.intern(f.Rules),
		environment: t.environment(f.Environment),
		names:       t.namesOf(f.Services),
		all:         len(f.Services) == 0,
	}
}

func (c *flagChange) enter(t *Timeline, f *fact) { t.touch(c); c.by = f }
func (c *flagChange) leave(t *Timeline, _ *fact) { t.touch(c); c.by = nil }

func (c *flagChange) insert(t *Timeline) {
	if c.by == nil {
		return
	}
	s := c.span()
	if c.all {
		c.environment.flags.insert(s)
		c.environment.boundaries.add(s.from)
		c.environment.generation++
	}
	for _, sv := range servicesOf(c.names) {
		sc := t.scope(sv, c.environment)
		sc.flags.insert(s)
		sc.boundaries.add(s.from)
		sc.generation++
	}
}

func (c *flagChange) remove(t *Timeline) {
	if c.by == nil {
		return
	}
	s := c.span()
	if c.all {
		c.environment.flags.remove(s)
		c.environment.boundaries.remove(s.from)
		c.environment.generation++
	}
	for _, sv := range servicesOf(c.names) {
		sc := t.scope(sv, c.environment)
		sc.flags.remove(s)
		sc.boundaries.remove(s.from)
		sc.generation++
	}
}

func (c *flagChange) span() span[*flagChange] {
	return span[*flagChange]{c.by.time, forever, c.by, c}
}

// servicesOf returns what the names mean, each service once.
func servicesOf(names []*name) []*service {
	services := make([]*service, len(names))
	for i, n := range names {
		services[i] = n.service
	}
	return distinct(services)
}

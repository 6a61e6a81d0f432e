package timeline

import (
	"slices"
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// constants is what a scope answers from one of its boundaries to the next,
// whatever the observation: a context. It is immutable once computed, and its
// slices are shared by every row it answers.
type constants struct {
	from, to event.Millis

	last     *card   // of the deployment completed last; nothing: no deployment
	likely   []*card // what R13 answers for the versions that most rows state
	rollouts []string
	percent  float64

	incidents []string
	severity  string
	findings  []string
	flags     []event.Pair

	owner, tier string
}

// constantsAt computes the context of sc at t. The caller holds the lock.
func (t *Timeline) constantsAt(sc *scope, at event.Millis) *constants {
	c := &constants{}
	c.from, c.to = sc.segment(at)
	c.last = &nothing
	if s := sc.completed.last(at); s != nil {
		c.last = t.cardOf(s.of)
	}
	c.likely = t.likelyAt(sc, c.last, at)
	c.rollouts, c.percent = sc.rolloutsAt(at)
	c.incidents, c.severity = t.incidentsAt(sc, at)
	c.findings = sc.findingsAt(at)
	c.flags = t.flagsAt(sc, at)
	if d := declaredAt(&sc.owner, &sc.service.owner, at); d != nil {
		c.owner = t.texts.word(d.owner)
	}
	if d := declaredAt(&sc.tier, &sc.service.tier, at); d != nil {
		c.tier = t.texts.word(d.tier)
	}
	return c
}

// segment is the interval around t in which nothing changes for sc.
func (sc *scope) segment(t event.Millis) (from, to event.Millis) {
	from, to = sc.boundaries.around(t)
	for _, outer := range [...]*moments{&sc.service.boundaries, &sc.environment.boundaries} {
		f, u := outer.around(t)
		from, to = max(from, f), min(to, u)
	}
	return from, to
}

// mostLikely bounds how many versions a row's is compared with before it is
// looked up among all.
const mostLikely = 4

// likelyAt answers R13 for the versions that run at t: the one completed last,
// the one before it and those being rolled out. Starts and failures are
// boundaries, so an answer holds for the whole context.
func (t *Timeline) likelyAt(sc *scope, last *card, at event.Millis) (cards []*card) {
	add := func(version string) {
		key := event.VersionKey(version)
		known := slices.ContainsFunc(cards, func(c *card) bool { return event.VersionKey(c.version) == key })
		if known || len(cards) == mostLikely || t.doubtful(sc, keyVersion, key) {
			return
		}
		if d := sc.versions.at(key, at); d != nil {
			cards = append(cards, t.cardOf(d))
		}
	}
	add(last.version)
	add(last.previous)
	sc.started.holding(at, func(d *deployment) { add(t.versions.word(d.version)) })
	return cards
}

func (sc *scope) rolloutsAt(t event.Millis) (ids []string, percent float64) {
	var latest *deployment
	sc.started.holding(t, func(d *deployment) {
		ids = append(ids, d.id)
		latest = d
	})
	if latest != nil {
		percent = latest.percent(t)
	}
	return ids, percent
}

func (t *Timeline) incidentsAt(sc *scope, at event.Millis) (ids []string, severity string) {
	sc.incidents.holding(at, func(i *incident) {
		ids = append(ids, i.id)
		if s := t.texts.word(i.severity(at)); len(ids) == 1 || worse(s, severity) {
			severity = s
		}
	})
	slices.Sort(ids)
	return slices.Compact(ids), severity
}

func (sc *scope) findingsAt(t event.Millis) (ids []string) {
	sc.service.findings.holding(t, func(f *finding) {
		if _, excepted := sc.exceptions[f]; !excepted {
			ids = append(ids, f.id)
		}
	})
	sc.findings.holding(t, func(f *finding) { ids = append(ids, f.id) })
	slices.Sort(ids)
	return ids
}

// flagsAt is R19: of each flag the later of what the environment and what the
// scope says.
func (t *Timeline) flagsAt(sc *scope, at event.Millis) (pairs []event.Pair) {
	add := func(s *span[*flagChange]) {
		if s != nil {
			pairs = append(pairs, event.Pair{Key: t.texts.word(s.of.flag), Value: t.texts.word(s.of.rules)})
		}
	}
	for flag, changes := range sc.environment.flags {
		s := changes.last(at)
		if own := sc.flags[flag]; own != nil {
			s = laterSpan(s, own.last(at))
		}
		add(s)
	}
	for flag, changes := range sc.flags {
		if sc.environment.flags[flag] == nil {
			add(changes.last(at))
		}
	}
	slices.SortFunc(pairs, func(a, b event.Pair) int { return strings.Compare(a.Key, b.Key) })
	return pairs
}

// declaredAt is R28 over the declarations of the scope and of its service.
func declaredAt(own, all *spans[*declaration], t event.Millis) *declaration {
	if s := laterSpan(own.last(t), all.last(t)); s != nil {
		return s.of
	}
	a, b := own.first(), all.first()
	if a == nil || b != nil && b.before(a) {
		a = b
	}
	if a == nil {
		return nil
	}
	return a.of
}

// laterSpan returns the later of two spans, either of which may be nil.
func laterSpan[T comparable](a, b *span[T]) *span[T] {
	if a == nil || b != nil && a.before(b) {
		return b
	}
	return a
}

// card is what a row says of the deployment it belongs to. It holds for one
// generation of the deployment's scope: a late deployment may become the
// previous one of another, a late change be carried by it.
type card struct {
	generation            uint64
	id, version, previous string
	start                 event.Millis
	changes               []string
}

// nothing is the card of no deployment.
var nothing card

func (t *Timeline) cardOf(d *deployment) *card {
	if known := d.card.Load(); known != nil && known.generation == d.scope.generation {
		return known
	}
	c := &card{
		generation: d.scope.generation,
		id:         d.id,
		version:    t.versions.word(d.version),
		previous:   t.versions.word(d.previous),
		start:      d.start.time,
		changes:    d.changeIDs(),
	}
	if d.previous == 0 {
		if s := d.scope.completed.last(d.start.time - 1); s != nil {
			c.previous = t.versions.word(s.of.version)
		}
	}
	d.card.Store(c)
	return c
}

// cache is the contexts of one scope that readers have asked for, in the order
// of time. It is replaced as a whole, so readers need no lock of their own; of
// two who replace it at once one's work is lost, which costs computing it
// again.
type cache struct {
	scope, service, environment uint64 // the generations it holds for
	contexts                    []*constants
}

func (sc *scope) valid(c *cache) bool {
	return c != nil && c.scope == sc.generation &&
		c.service == sc.service.generation && c.environment == sc.environment.generation
}

// constants returns the context of sc at t, computed once while it is in the
// cache.
func (t *Timeline) constants(sc *scope, at event.Millis) *constants {
	known := sc.cache.Load()
	if !sc.valid(known) {
		known = &cache{sc.generation, sc.service.generation, sc.environment.generation, nil}
	}
	after := sort.Search(len(known.contexts), func(i int) bool { return known.contexts[i].from > at })
	if after > 0 && at < known.contexts[after-1].to {
		return known.contexts[after-1]
	}
	c := t.constantsAt(sc, at)
	sc.cache.Store(known.with(c, after, t.cacheLimit()))
	return c
}

// with returns the cache with c at place, without what is farthest from c if it
// would hold more than limit: observations come roughly in the order of time.
func (k *cache) with(c *constants, place, limit int) *cache {
	more := &cache{k.scope, k.service, k.environment, make([]*constants, 0, len(k.contexts)+1)}
	more.contexts = append(more.contexts, k.contexts[:place]...)
	more.contexts = append(more.contexts, c)
	more.contexts = append(more.contexts, k.contexts[place:]...)
	for excess := len(more.contexts) - limit; excess > 0; excess-- {
		if place > len(more.contexts)/2 {
			more.contexts = more.contexts[1:]
			place--
		} else {
			more.contexts = more.contexts[:len(more.contexts)-1]
		}
	}
	return more
}

// Bounds of the cache: so many contexts over all scopes, but at least and at
// most so many in one.
const (
	cachedContexts   = 1 << 16
	fewestOfOneScope = 2
	mostOfOneScope   = 32
)

func (t *Timeline) cacheLimit() int {
	return min(max(cachedContexts/(t.scopes+1), fewestOfOneScope), mostOfOneScope)
}

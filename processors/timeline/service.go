package timeline

import (
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// service is a canonical service and what holds for it in every environment.
type service struct {
	name       string
	scopes     map[*environment]*scope
	elsewhere  *scope // its scope in environments that no fact names
	owner      spans[*declaration]
	tier       spans[*declaration]
	findings   spans[*finding] // in environments where their revision was not completed
	boundaries moments
	generation uint64 // counts the changes, so that what was computed before is told apart

	partial bool         // deployments or incidents were let go of
	since   event.Millis // from where on all that holds is known all the same
	fetched bool         // asked for since the last Trim
}

func newService(name string) *service {
	s := &service{name: name}
	s.elsewhere = &scope{service: s, environment: &environment{}}
	return s
}

// environment is an environment and what holds in it for every service.
type environment struct {
	name       string
	anyone     *scope // the scope here of services that no fact names
	flags      flags
	boundaries moments
	generation uint64
}

func (t *Timeline) environment(s string) *environment {
	if known := t.environments[s]; known != nil {
		return known
	}
	e := &environment{name: strings.Clone(s)}
	e.anyone = &scope{service: &service{}, environment: e}
	t.environments[e.name] = e
	return e
}

// scope is the scope of s in e, made where there is none.
func (t *Timeline) scope(s *service, e *environment) *scope {
	if known := s.scopes[e]; known != nil {
		return known
	}
	if s.scopes == nil {
		s.scopes = map[*environment]*scope{}
	}
	sc := &scope{service: s, environment: e}
	s.scopes[e] = sc
	t.scopes++
	return sc
}

// entities returns all that stands in an index of s or of one of its scopes,
// some of it more than once.
func (s *service) entities() []entity {
	var found []entity
	s.owner.all(func(d *declaration) { found = append(found, d) })
	s.tier.all(func(d *declaration) { found = append(found, d) })
	s.findings.all(func(f *finding) { found = append(found, f) })
	for _, sc := range s.scopes {
		found = sc.entities(found)
	}
	return found
}

// declaration is service.declared. It is an entity of its own: later ones do
// not replace it, they hold from their time on.
type declaration struct {
	standing
	by           *fact // nil: does not count
	service      *name
	environment  *environment // nil: all
	owner, tier  text
	aliases      []*name
	repositories []*repository
}

// repository is known by the declarations that list it and by the findings in
// it that state no service, each by the name they state.
type repository struct {
	*name        // of its own kind: no service has it
	declarations []*declaration
	findings     []*finding
}

// same yields every repository whose name means what r's does.
func (r *repository) same(yield func(*repository) bool) {
	for n := range r.resolve().group {
		if !yield(n.repository) {
			return
		}
	}
}

// touchRepository is called where what findings read of r is about to change.
func (t *Timeline) touchRepository(r *repository) {
	for same := range r.same {
		t.touchFindings(same.findings)
	}
}

func (t *Timeline) repository(s string) *repository {
	if known := t.repositories[s]; known != nil {
		return known
	}
	r := &repository{name: &name{text: strings.Clone(s)}}
	r.repository = r
	t.repositories[r.text] = r
	return r
}

func (t *Timeline) readDeclaration(d *event.Declaration) statement {
	if d.Service == "" {
		return nil
	}
	s := &declaration{
		standing: standing{rank: rankDeclaration},
		service:  t.name(d.Service),
		owner:    t.texts.intern(d.Owner),
		tier:     t.texts.intern(d.Tier),
		aliases:  t.namesOf(d.Aliases),
	}
	if d.Environment != "" {
		s.environment = t.environment(d.Environment)
	}
	for _, r := range d.Repositories {
		if r != "" {
			s.repositories = append(s.repositories, t.repository(r))
		}
	}
	return s
}

func (d *declaration) enter(t *Timeline, f *fact) {
	t.touch(d)
	d.by = f
	for _, a := range d.aliases {
		if a != d.service {
			t.say(a, word{f, d.service})
		}
	}
}

func (d *declaration) leave(t *Timeline, f *fact) {
	t.touch(d)
	d.by = nil
	for _, a := range d.aliases {
		if a != d.service {
			t.unsay(a, word{f, d.service})
		}
	}
}

func (d *declaration) insert(t *Timeline) {
	if d.by == nil {
		return
	}
	for _, r := range d.repositories {
		r.declarations = append(r.declarations, d)
		t.touchRepository(r)
	}
	if d.owner == 0 && d.tier == 0 {
		return
	}
	owner, tier, boundaries := d.lists(t)
	s := span[*declaration]{d.by.time, forever, d.by, d}
	if d.owner != 0 {
		owner.insert(s)
	}
	if d.tier != 0 {
		tier.insert(s)
	}
	boundaries.add(d.by.time)
}

func (d *declaration) remove(t *Timeline) {
	if d.by == nil {
		return
	}
	for _, r := range d.repositories {
		r.declarations = without(r.declarations, d)
		t.touchRepository(r)
	}
	if d.owner == 0 && d.tier == 0 {
		return
	}
	owner, tier, boundaries := d.lists(t)
	s := span[*declaration]{d.by.time, forever, d.by, d}
	if d.owner != 0 {
		owner.remove(s)
	}
	if d.tier != 0 {
		tier.remove(s)
	}
	boundaries.remove(d.by.time)
}

// lists returns where d stands: with its service, or with its scope if it
// names an environment. Either is about to change.
func (d *declaration) lists(t *Timeline) (owner, tier *spans[*declaration], boundaries *moments) {
	s := d.service.service
	if d.environment == nil {
		s.generation++
		return &s.owner, &s.tier, &s.boundaries
	}
	sc := t.scope(s, d.environment)
	sc.generation++
	return &sc.owner, &sc.tier, &sc.boundaries
}

// without removes one v from s; the order of s does not matter. What changes is
// mostly what came last, so it looks from the end.
func without[T comparable](s []T, v T) []T {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			last := len(s) - 1
			s[i] = s[last]
			clear(s[last:])
			return s[:last]
		}
	}
	return s
}

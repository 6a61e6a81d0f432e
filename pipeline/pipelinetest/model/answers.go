package model

import (
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// Answers asks a Model about many observations. It saves work in two ways
// that need no trust in how the timeline saves it: facts that no rule looks at
// for a service and environment are left out for it, and between two moments
// that are written in the facts that are left the answer is the same. It is
// not safe for concurrent use.
type Answers struct {
	model  Model
	scopes map[scopeKey]*scope
}

type scopeKey struct{ service, environment string }

type scope struct {
	place
	moments []event.Millis // sorted
	known   map[question]answered
}

// question is what an answer may depend on within a scope, apart from the
// experiment that an observation brings itself.
type question struct {
	version, instance string
	segment           int // how many moments are at or before the time
}

type answered struct {
	at event.Millis
	event.Enrichment
}

// NewAnswers makes the Answers of the facts that were stated.
func NewAnswers(stated []event.Fact) *Answers {
	return &Answers{model: New(stated), scopes: map[scopeKey]*scope{}}
}

// Of is Model.Answer.
func (a *Answers) Of(o event.Observation) event.Enrichment {
	s := a.scope(scopeKey{a.model.canonical(o.Service), o.Environment})
	segment, exact := slices.BinarySearch(s.moments, o.Time)
	if exact {
		segment++
	}
	q := question{o.Version, o.Instance, segment}
	known, ok := s.known[q]
	if !ok {
		known = answered{o.Time, s.answer(o)}
		s.known[q] = known
	}
	out := known.Enrichment
	if out.DeploymentAgeMS != event.NoAge {
		out.DeploymentAgeMS += int64(o.Time - known.at)
	}
	out.Experiments = nil
	if o.Experiment != "" {
		out.Experiments = []event.Pair{{Key: o.Experiment, Value: o.Variant}}
	}
	return out
}

// Kept is how many answers were computed so far.
func (a *Answers) Kept() int {
	n := 0
	for _, s := range a.scopes {
		n += len(s.known)
	}
	return n
}

func (a *Answers) scope(k scopeKey) *scope {
	if s := a.scopes[k]; s != nil {
		return s
	}
	s := &scope{place: a.model.of(k.service, k.environment).at(k.service, k.environment), known: map[question]answered{}}
	for _, f := range s.facts {
		s.moments = append(s.moments, moments(f)...)
	}
	slices.Sort(s.moments)
	s.moments = slices.Compact(s.moments)
	a.scopes[k] = s
	return s
}

// moments are the times that a fact has written in it. Every interval of the
// rules begins and ends at such a time.
func moments(f event.Fact) []event.Millis {
	switch p := f.Payload.(type) {
	case *event.Incident:
		return []event.Millis{f.Time, p.StartedAt, p.EndedAt}
	case *event.Finding:
		return []event.Millis{f.Time, p.FirstSeen}
	}
	return []event.Millis{f.Time}
}

// of is the model of the facts that a rule may look at for service in
// environment: all facts of each entity that one fact places there, or that
// says nowhere. Names (R5) hold everywhere, so what they mean is kept.
func (m Model) of(service, environment string) Model {
	entities, revisions := m.concerned(service)
	var facts []event.Fact
	for _, f := range m.facts {
		switch p := f.Payload.(type) {
		case *event.Declaration:
			if m.same(p.Service, service) {
				facts = append(facts, f)
			}
		case *event.Change:
			if revisions[p.Revision] || slices.ContainsFunc(p.Commits, func(r string) bool { return revisions[r] }) {
				facts = append(facts, f)
			}
		case *event.Flag:
			if p.Environment == environment {
				facts = append(facts, f)
			}
		default:
			if entities[entityOf(f)] {
				facts = append(facts, f)
			}
		}
	}
	return Model{facts, m.means, m.repos}
}

// concerned are the deployments, incidents and findings of which one fact at
// least may place them at service, and the revisions of those
// deployments.
func (m Model) concerned(service string) (entities map[entity]bool, revisions map[string]bool) {
	entities, revisions = map[entity]bool{}, map[string]bool{}
	for _, f := range m.facts {
		switch p := f.Payload.(type) {
		case *event.Deployment:
			entities[entityOf(f)] = entities[entityOf(f)] || m.same(p.Service, service)
		case *event.Incident:
			named := slices.ContainsFunc(append([]string{p.Service}, p.Services...), func(n string) bool { return m.same(n, service) })
			entities[entityOf(f)] = entities[entityOf(f)] || named
		case *event.Finding:
			entities[entityOf(f)] = entities[entityOf(f)] || p.Service == "" || m.same(p.Service, service)
		}
	}
	for _, f := range m.facts {
		if d, ok := f.Payload.(*event.Deployment); ok && entities[entityOf(f)] {
			for _, r := range d.Revisions {
				revisions[r] = true
			}
		}
	}
	return entities, revisions
}

type entity struct{ kind, id string }

func entityOf(f event.Fact) entity {
	switch p := f.Payload.(type) {
	case *event.Deployment:
		return entity{"deployment", p.DeploymentID}
	case *event.Incident:
		return entity{"incident", p.IncidentID}
	case *event.Finding:
		return entity{"finding", p.FindingID}
	}
	return entity{}
}

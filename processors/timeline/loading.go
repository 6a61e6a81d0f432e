package timeline

import (
	"context"

	"github.com/whencehq/whence/schemas/event"
)

// Loading folds stored facts into a memory that knows nothing yet, and lets go of
// the past on the way: it needs memory for what stays and for a few chunks, not
// for everything that is stored.
//
// Names and retractions have to come before all others, and the facts of an
// entity one after the other. Findings before deployments and changes after
// them spares fetching some again.
type Loading struct {
	memory *Memory
	from   event.Millis
	every  int
	next   int      // facts in memory at which it lets go of some
	again  *lacking // what came too late for something that has left already
	upTo   uint64   // the greatest revision so far
}

// Load begins to fold the facts up to a revision, letting go of what is not
// needed from a moment on whenever so many more facts are in memory.
func (m *Memory) Load(from event.Millis, upTo uint64, every int) *Loading {
	m.upTo = max(m.upTo, upTo)
	return &Loading{memory: m, from: from, every: every, next: every, again: &lacking{timeline: m.Timeline}}
}

// Fold takes a chunk; nothing of it is kept.
func (l *Loading) Fold(facts []event.Fact) {
	m := l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Timeline.mu.Lock()
	defer m.Timeline.mu.Unlock()
	for i := range facts {
		l.take(&facts[i])
	}
	m.settle()
	if len(facts) > 0 && m.ledger.facts >= l.next {
		m.trim(l.from, m.entityOf(&facts[len(facts)-1])) // whose other facts may be in the next chunk
		l.next = 2*m.ledger.facts + l.every
	}
}

func (l *Loading) take(e *event.Fact) {
	m := l.memory
	l.upTo = max(l.upTo, e.Revision)
	l.again.identity(e.Source, e.ID)
	switch p := e.Payload.(type) {
	case *event.Change:
		if m.passes(p, e.Time, l.from) {
			m.latest = max(m.latest, e.Time)
			m.pass(p, e)
			return
		}
	case *event.Deployment, *event.Incident, *event.Finding:
		l.again.statement(e)
	}
	m.take(e)
}

// passes: a change from before a moment that no fact in memory names the
// revisions of.
func (t *Timeline) passes(c *event.Change, at, from event.Millis) bool {
	if at >= from || t.revisions[c.Revision] != nil {
		return false
	}
	for _, r := range c.Commits {
		if t.revisions[r] != nil {
			return false
		}
	}
	return true
}

// pass lets go of a change before it is folded.
func (t *Timeline) pass(c *event.Change, e *event.Fact) {
	t.forgotten.add(key{kind: keyFact, a: e.Source, b: e.ID})
	for _, r := range append([]string{c.Revision}, c.Commits...) {
		if r != "" {
			t.forgotten.add(key{kind: keyChange, a: r})
		}
	}
}

// entityOf is what e speaks of, nil where that is no entity of several facts.
func (t *Timeline) entityOf(e *event.Fact) entity {
	switch p := e.Payload.(type) {
	case *event.Deployment:
		if d := t.deployments[p.DeploymentID]; d != nil {
			return d
		}
	case *event.Incident:
		if i := t.incidents[p.IncidentID]; i != nil {
			return i
		}
	}
	return nil
}

// Finish: all facts are folded.
func (l *Loading) Finish(ctx context.Context) error {
	m := l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Timeline.mu.Lock()
	if m.forgotten.on {
		m.trim(l.from)
	}
	m.raise(l.upTo)
	m.Timeline.mu.Unlock()
	return m.fetch(ctx, l.again)
}

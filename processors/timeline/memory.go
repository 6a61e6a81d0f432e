package timeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/whencehq/whence/schemas/event"
)

// Store has every fact that a Memory lets go of.
type Store interface {
	// Facts returns what is missing, of the revisions up to upTo. It belongs to
	// the caller.
	Facts(ctx context.Context, missing event.Missing, upTo uint64) ([]event.Fact, error)
}

// Memory is a timeline that lets go of facts of the past and fetches them from a
// store when somebody asks for them again: when an observation lies before what
// is known whole, or states the version or instance of a deployment that was
// let go of; when a fact speaks of something that was; when rows of the past are
// corrected. What it answers is what the whole timeline would.
//
// A row never has to wait for another to correct it, and none is of an earlier
// revision than its worker knows: whoever stored it at revision 0 and put it right
// later would break the promise that closes facts (pipelinetest/statespace).
type Memory struct {
	*Timeline
	store Store
	mu    sync.Mutex // one at a time changes what is in memory
	upTo  uint64     // the greatest revision of a fact that was let go of, or greater
}

// NewMemory makes one that knows nothing. Without a store nothing may be
// trimmed.
func NewMemory(s Store) *Memory {
	m := &Memory{Timeline: New(), store: s}
	m.forgotten.on = s != nil
	return m
}

// Apply is [Timeline.Apply]. An error is the store's or the context's: some of
// the facts are folded then, and applying all of them again is no harm.
func (m *Memory) Apply(ctx context.Context, facts []event.Fact) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	byRevision := func(a, b event.Fact) int { return cmp.Compare(a.Revision, b.Revision) }
	if !slices.IsSortedFunc(facts, byRevision) {
		facts = slices.SortedStableFunc(slices.Values(facts), byRevision)
	}
	const atOnce = 1000 // are asked for together
	for some := range slices.Chunk(facts, atOnce) {
		if err := m.applySome(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// applySome asks for what the facts lack as things stand, and then, fact by fact,
// for what those before it have made it lack.
func (m *Memory) applySome(ctx context.Context, facts []event.Fact) error {
	m.Timeline.mu.RLock()
	l := m.lacksFacts(facts)
	m.Timeline.mu.RUnlock()
	if err := m.fetch(ctx, l); err != nil {
		return err
	}
	m.Timeline.mu.Lock()
	defer m.Timeline.mu.Unlock()
	return m.applyEach(facts, func(i int) error {
		l := m.lacksFacts(facts[i : i+1])
		if l == nil {
			return nil
		}
		m.Timeline.mu.Unlock()
		defer m.Timeline.mu.Lock()
		return m.fetch(ctx, l)
	})
}

// Enrich is [Timeline.Enrich], after fetching what the answers need. An error is
// the store's or the context's.
func (m *Memory) Enrich(ctx context.Context, obs []event.Observation, out []event.Enrichment) (revision uint64, err error) {
	revision, l := m.enrich(obs, out)
	if l == nil {
		return revision, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		// Once more: names may have moved, and others have fetched the same.
		if revision, l = m.enrich(obs, out); l == nil {
			return revision, nil
		}
		if err := m.fetch(ctx, l); err != nil {
			return 0, err
		}
	}
}

// Contexts is [Timeline.Contexts], after fetching what it needs.
func (m *Memory) Contexts(ctx context.Context, stale []event.Stale, limit int) (contexts []event.Context, servings []event.Serving, revision uint64, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		m.Timeline.mu.RLock()
		l := m.lacksContexts(stale)
		m.Timeline.mu.RUnlock()
		if l == nil {
			break
		}
		if err := m.fetch(ctx, l); err != nil {
			return nil, nil, 0, false, err
		}
	}
	contexts, servings, revision, ok = m.Timeline.Contexts(stale, limit)
	return contexts, servings, revision, ok, nil
}

// fetch brings back what is lacking, and what that lacks in turn, all at once:
// readers see none of it or all.
func (m *Memory) fetch(ctx context.Context, l *lacking) error {
	if l == nil {
		return nil
	}
	var all []event.Fact
	for missing := l.next(); !missing.Empty(); missing = l.next() {
		facts, err := m.store.Facts(ctx, missing, m.upTo)
		if err != nil {
			return fmt.Errorf("fetch facts of the past: %w", err)
		}
		all = append(all, facts...)
		m.Timeline.mu.RLock()
		l.further(facts)
		m.Timeline.mu.RUnlock()
	}
	m.Timeline.mu.Lock()
	defer m.Timeline.mu.Unlock()
	m.remember(all)
	l.fetched()
	return nil
}

// remember folds facts that were folded before. No answer changes but those that
// nobody was given.
func (t *Timeline) remember(facts []event.Fact) {
	noting := t.journal.on
	t.journal.on = false
	for i := range facts {
		t.take(&facts[i])
	}
	t.settle()
	t.journal.on = noting
}

// Trim lets go of facts that no answer from a moment on needs, of those up to a
// revision that are closed and that the store has, and returns how many that was.
func (m *Memory) Trim(from event.Millis, closed uint64) (facts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Timeline.mu.Lock()
	defer m.Timeline.mu.Unlock()
	closed = min(closed, m.revision)
	m.forgotten.closed(closed)
	m.upTo = max(m.upTo, closed)
	return m.trim(from)
}

// Latest is the greatest time of any fact so far, 0 before the first.
func (m *Memory) Latest() event.Millis {
	m.Timeline.mu.RLock()
	defer m.Timeline.mu.RUnlock()
	return m.latest
}

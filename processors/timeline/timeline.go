package timeline

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/whencehq/whence/schemas/event"
)

// Timeline is the fold of all facts applied so far, indexed by service and
// environment. It is safe for concurrent use: readers run in parallel, and one
// batch of observations is answered from one state.
type Timeline struct {
	mu       sync.RWMutex
	revision uint64        // the greatest folded in
	advanced chan struct{} // closed when revision rises

	texts        texts
	versions     texts // of deployments
	ledger       ledger
	names        map[string]*name
	environments map[string]*environment
	nowhere      *scope // of services and environments that no fact names
	scopes       int

	deployments  map[string]*deployment
	incidents    map[string]*incident
	findings     map[string]*finding
	revisions    map[string]*revision
	repositories map[string]*repository
	fields       map[view]*field
	listed       map[findingStage]*findingStage // what scans list, each once
	retracted    map[target][]*fact             // the retractions that count, by what they name

	marking uint64         // counts what is marked one after the other
	turns   []event.Millis // for finding.fold

	// What waits for settle.
	doubts  []*fact
	renamed []*name
	touched [ranks][]entity

	journal   journal
	variants  variants
	latest    event.Millis // the greatest time of a fact
	forgotten forgotten
}

// New returns a timeline that knows nothing, at revision 0.
func New() *Timeline {
	t := &Timeline{
		advanced:     make(chan struct{}),
		texts:        newTexts(),
		versions:     newTexts(),
		ledger:       newLedger(),
		names:        map[string]*name{},
		environments: map[string]*environment{},
		nowhere:      &scope{service: &service{}, environment: &environment{}},
		deployments:  map[string]*deployment{},
		incidents:    map[string]*incident{},
		findings:     map[string]*finding{},
		revisions:    map[string]*revision{},
		repositories: map[string]*repository{},
		fields:       map[view]*field{},
		listed:       map[findingStage]*findingStage{},
		retracted:    map[target][]*fact{},
		forgotten:    forgotten{seed: maphash.MakeSeed()},
	}
	t.environment("")
	return t
}

// Apply folds facts in, in any order and however often, and then advances to
// the greatest revision among them. The facts may be changed afterwards:
// nothing of them is kept. Readers wait while it runs and never see a part of
// it: folding an entity once for all its facts is what makes a start fast, so
// the caller chooses how much to hand over at once. After [Timeline.Journal]
// facts are folded one by one, and readers see the revisions in between.
func (t *Timeline) Apply(facts []event.Fact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.journal.on {
		_ = t.applyEach(facts, func(int) error { return nil })
		return
	}
	revision := t.revision
	for i := range facts {
		t.take(&facts[i])
		revision = max(revision, facts[i].Revision)
	}
	t.settle()
	t.raise(revision)
}

// applyEach folds facts one by one, in the order of their revisions, and notes
// what each of them changes. Readers get their turn now and then. An error of
// prepare, which is told the fact's index and may give the lock away for a while,
// ends it.
func (t *Timeline) applyEach(facts []event.Fact, prepare func(i int) error) error {
	const turn = 512
	order := slices.SortedStableFunc(slices.Values(indexes(facts)), func(a, b int) int {
		return cmp.Compare(facts[a].Revision, facts[b].Revision)
	})
	for n, i := range order {
		if err := prepare(i); err != nil {
			return err
		}
		f := t.take(&facts[i])
		t.forgotten.notYet(f, facts[i].Revision)
		t.settle()
		t.closeBatch(max(t.revision, facts[i].Revision))
		t.raise(facts[i].Revision)
		if n%turn == turn-1 {
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
	return nil
}

func indexes(facts []event.Fact) []int {
	all := make([]int, len(facts))
	for i := range all {
		all[i] = i
	}
	return all
}

// take takes e in and returns its fact, nil if that changes nothing.
func (t *Timeline) take(e *event.Fact) *fact {
	t.latest = max(t.latest, e.Time)
	if !readable(e) {
		return nil
	}
	f := t.admit(e)
	if f == nil {
		return nil
	}
	f.says = t.read(e)
	if f.says == nil {
		return f
	}
	if f.unsaid = t.isUnsaid(f); !f.unsaid {
		f.says.enter(t, f)
	}
	return f
}

// readable reports whether any rule reads facts of e's type. If not, no content
// of e ever counts for anything, and it need not be known again.
func readable(e *event.Fact) bool {
	switch e.Payload.(type) {
	case nil, *event.Alert, *event.Experiment:
		return false
	}
	return true
}

// read returns what e says, nil where no rule reads it.
func (t *Timeline) read(e *event.Fact) statement {
	switch p := e.Payload.(type) {
	case *event.Declaration:
		return t.readDeclaration(p)
	case *event.Identity:
		return t.readIdentity(p)
	case *event.Change:
		return t.readChange(p)
	case *event.Deployment:
		return t.readDeployment(p)
	case *event.Flag:
		return t.readFlag(p)
	case *event.Incident:
		return t.readIncident(p)
	case *event.Finding:
		return t.readFinding(p)
	case *event.Scan:
		return t.readScan(p)
	case *event.Retraction:
		return t.readRetraction(p)
	}
	return nil
}

// Advance says that the context log holds nothing more up to revision that the
// timeline has not seen.
func (t *Timeline) Advance(revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raise(revision)
}

func (t *Timeline) raise(revision uint64) {
	if revision <= t.revision {
		return
	}
	t.revision = revision
	close(t.advanced)
	t.advanced = make(chan struct{})
}

// Revision returns the last context revision folded in: epoch << 40 | offset.
func (t *Timeline) Revision() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.revision
}

// Wait returns when revision is folded in, or with the context's error.
func (t *Timeline) Wait(ctx context.Context, revision uint64) error {
	for {
		t.mu.RLock()
		now, advanced := t.revision, t.advanced
		t.mu.RUnlock()
		if now >= revision {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Len returns the number of facts in memory, each identity once, retracted ones
// included. Those of types that no rule reads are not kept.
func (t *Timeline) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ledger.facts
}

// Conflicts returns the number of identities seen with more than one content.
func (t *Timeline) Conflicts() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ledger.conflicts
}

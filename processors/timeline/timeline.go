package timeline

import (
	"cmp"
	"context"
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

	journal  journal
	variants variants
}

// New returns a timeline that knows nothing, at revision 0.
func New() *Timeline {
	t := &Timeline{
		advanced:     make(chan struct{}),
		texts:        newTexts(),
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
		t.applyEach(facts)
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
// what each of them changes. Readers get their turn now and then.
func (t *Timeline) applyEach(facts []event.Fact) {
	const turn = 512
	order := slices.SortedStableFunc(slices.Values(indexes(facts)), func(a, b int) int {
		return cmp.Compare(facts[a].Revision, facts[b].Revision)
	})
	for n, i := range order {
		t.take(&facts[i])
		t.settle()
		t.closeBatch(max(t.revision, facts[i].Revision))
		t.raise(facts[i].Revision)
		if n%turn == turn-1 {
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
}

func indexes(facts []event.Fact) []int {
	all := make([]int, len(facts))
	for i := range all {
		all[i] = i
	}
	return all
}

func (t *Timeline) take(e *event.Fact) {
	f := t.admit(e)
	if f == nil {
		return
	}
	f.says = t.read(e)
	if f.says == nil {
		return
	}
	if f.unsaid = t.isUnsaid(f); !f.unsaid {
		f.says.enter(t, f)
	}
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

// Len returns the number of facts, each identity once, retracted ones included.
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

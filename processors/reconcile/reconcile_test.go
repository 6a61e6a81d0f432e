package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/reconcile"
	"github.com/whencehq/whence/schemas/event"
)

// world is a timeline, promises and rows that write down what they are asked.
// The nth call, counted from 1, fails.
type world struct {
	mu      sync.Mutex
	calls   []string
	failing int

	revision  uint64
	follows   bool // whoever waits for a revision gets it
	pending   []event.Region
	forgotten uint64
	promises  []uint64 // one an answer, the last for ever
	stale     []event.Stale
	among     func([]event.Stale) error // nil: nothing is known of it
	limit     int                       // contexts that a chunk of more than so many rows needs too many of
	words     int                       // instances that a statement takes; 0: all
	slow      uint64                    // rows that take too long; 0: none
	past      error                     // of who is asked for facts of the past
	cursor    uint64
	rivals    []reconcile.Rivals // one an announcement, then none
	passes    []uint64           // that announced something, in order
	corrected []reconcile.Correction
	meanwhile func(reconcile.Correction) // while rows are corrected
}

var errAway = errors.New("away")

func (w *world) call(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
	if len(w.calls) == w.failing {
		return errAway
	}
	return nil
}

func (w *world) Revision() uint64 { return w.revision }
func (w *world) Wait(ctx context.Context, revision uint64) error {
	if w.revision >= revision {
		return nil
	}
	if w.follows {
		w.revision = revision
		return w.call("wait for %d", revision)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) Pending(upTo uint64) []event.Region {
	if w.forgotten >= upTo {
		return nil
	}
	return w.pending
}
func (w *world) Forget(upTo uint64) { w.forgotten = max(w.forgotten, upTo) }

func (w *world) Contexts(_ context.Context, stale []event.Stale, _ int) ([]event.Context, []event.Serving, uint64, bool, error) {
	var rows uint64
	for _, s := range stale {
		rows += s.Rows
	}
	if w.words > 0 && len(stale[0].Instances) > w.words {
		return nil, nil, 0, false, nil
	}
	return nil, nil, w.revision + 5, w.limit == 0 || rows <= uint64(w.limit), w.past
}

func (w *world) Least(context.Context) (uint64, error) {
	least := w.promises[0]
	if len(w.promises) > 1 {
		w.promises = w.promises[1:]
	}
	return least, w.call("promises")
}

func (w *world) Stale(_ context.Context, regions []event.Region, below uint64) ([]event.Stale, error) {
	return w.stale, w.call("stale below %d in %d", below, len(regions))
}

func (w *world) Among(_ context.Context, _ []event.Region, stale []event.Stale) error {
	if w.among == nil {
		return nil
	}
	return w.among(stale)
}

func (w *world) Announce(_ context.Context, pass, revision uint64) (rivals reconcile.Rivals, err error) {
	err = w.call("announce %d", revision)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes = append(w.passes, pass)
	if len(w.rivals) > 0 {
		rivals, w.rivals = w.rivals[0], w.rivals[1:]
	}
	return rivals, err
}

func (w *world) Settle(_ context.Context, pass uint64) error {
	if pass != w.passes[len(w.passes)-1] {
		return errors.New("another pass is settled")
	}
	return w.call("settle")
}

func (w *world) Correct(_ context.Context, c reconcile.Correction) (uint64, error) {
	var rows uint64
	for _, s := range c.Stale {
		rows += s.Rows
	}
	if w.slow > 0 && rows > w.slow {
		_ = w.call("too long")
		w.revision++ // a fact comes meanwhile
		return 0, fmt.Errorf("correct: %w", pipeline.ErrTooLong)
	}
	w.mu.Lock()
	w.corrected = append(w.corrected, c)
	w.mu.Unlock()
	if w.meanwhile != nil {
		w.meanwhile(c)
	}
	return rows, w.call("correct %d at %d", rows, c.Revision)
}

func (w *world) Touch(_ context.Context, _ []event.Region, after uint64) error {
	return w.call("touch after %d", after)
}

func (w *world) Times(context.Context) (first, last event.Millis, err error) {
	return yesterday.First, yesterday.Last, w.call("times")
}

func (w *world) Cursor(context.Context) (uint64, error) { return w.cursor, w.call("cursor") }

func (w *world) Closed(_ context.Context, p reconcile.Pass) error {
	err := w.call("close %d", p.Revision)
	if err == nil {
		w.cursor = max(w.cursor, p.Revision)
	}
	return err
}

func (*world) Failed(error)    {}
func (*world) Unsettled(error) {}
func (w *world) Passed(p reconcile.Pass) {
	w.calls = append(w.calls, fmt.Sprintf("passed with %d corrected", p.Corrected))
}

// observed is the world's view of what reconcile tells.
type observed struct{ *world }

func (observed) Pending(uint64, uint64) {}

// reconciler does one thing after the other, unless told otherwise.
func (w *world) reconciler(c reconcile.Config) *reconcile.Reconciler {
	c.AtOnce = max(c.AtOnce, 1)
	return reconcile.New(c, w, w, w, pipeline.SystemClock{}, observed{w})
}

func (w *world) said() string { return strings.Join(w.calls, ", ") }

var (
	everywhere = event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever}
	yesterday  = event.Stale{Service: "shop", Environment: "prod", First: 1000, Last: 2000, Rows: 10}
)

func newWorld() *world {
	return &world{revision: 7, cursor: 3, pending: []event.Region{everywhere}, promises: []uint64{7}, stale: []event.Stale{yesterday}}
}

func TestAPassAsksForPromisesBeforeItLooksAtRows(t *testing.T) {
	w := newWorld()
	pass, err := w.reconciler(reconcile.Config{}).Close(t.Context(), 3)
	if err != nil || pass.Corrected != 10 || pass.Revision != 7 {
		t.Fatalf("%+v, %v", pass, err)
	}
	if want := "promises, stale below 7 in 1, announce 12, correct 10 at 12, touch after 3, close 7, settle"; w.said() != want {
		t.Errorf("it did %s\nwant %s", w.said(), want)
	}
}

func TestItWaitsUntilEveryPartitionPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.promises = []uint64{0, 6, 7}
		pass, err := w.reconciler(reconcile.Config{Poll: time.Second}).Close(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(w.said(), "promises, promises, promises, stale") || pass.Waited != 2*time.Second {
			t.Errorf("it did %s and waited %s", w.said(), pass.Waited)
		}
	})
}

func TestFactsThatConcernNothingBeforeThemAreClosedWithoutAQuestion(t *testing.T) {
	w := newWorld()
	w.pending = nil
	if _, err := w.reconciler(reconcile.Config{}).Close(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if w.said() != "close 7" {
		t.Errorf("it did %s", w.said())
	}
}

func TestAfterAFailureAnywhereTheNextPassBeginsAtTheCursorAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for failing := 1; failing <= 8; failing++ {
			w := newWorld()
			w.failing = failing
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := w.reconciler(reconcile.Config{}).Run(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			want := "cursor, promises, stale below 7 in 1, announce 12, correct 10 at 12, touch after 3, close 7, settle, passed with 10 corrected, cursor"
			if w.cursor != 7 || !strings.HasSuffix(w.said(), want) {
				t.Errorf("call %d failed: it did %s, cursor %d", failing, w.said(), w.cursor)
			}
		}
	})
}

func TestWhatAnOperatorHasToLookAfterEndsIt(t *testing.T) {
	w := newWorld()
	r := reconcile.New(reconcile.Config{}, w, w, broken{w}, pipeline.SystemClock{}, observed{w})
	if err := r.Run(t.Context()); pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("got %v", err)
	}
}

type broken struct{ *world }

func (broken) Stale(context.Context, []event.Region, uint64) ([]event.Stale, error) {
	return nil, pipeline.Fatalf("", "no such table")
}

func TestManyRowsAreCutIntoStatements(t *testing.T) {
	w := newWorld()
	day := func(n int, rows uint64) event.Stale {
		at := event.Millis(n) * 86_400_000
		return event.Stale{Service: "shop", Environment: "prod", First: at, Last: at + 999, Rows: rows}
	}
	w.stale = []event.Stale{day(1, 40), day(2, 40), day(3, 40), day(4, 350)}
	if _, err := w.reconciler(reconcile.Config{Rows: 100}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range w.corrected {
		text := ""
		for _, s := range c.Stale {
			text += fmt.Sprintf("%d+%d ", s.First%86_400_000, s.Last-s.First)
		}
		got = append(got, strings.TrimSpace(text))
	}
	want := []string{"0+999 0+999", "0+999", "0+249", "250+249", "500+249", "750+249"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFewWrongRowsAmongManyAreAsManyStatementsAsItTakesToReadThem(t *testing.T) {
	w := newWorld()
	w.stale[0].First, w.stale[0].Last, w.stale[0].Rows = 0, 999, 10
	w.among = func(stale []event.Stale) error { stale[0].Among = 1500; return nil }
	if _, err := w.reconciler(reconcile.Config{Rows: 100}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	if len(w.corrected) != 4 {
		t.Errorf("%d statements", len(w.corrected))
	}
}

func TestWhereNobodyCanSayHowManyAreReadTheStaleOnesCount(t *testing.T) {
	w := newWorld()
	w.among = func([]event.Stale) error { return pipeline.ErrTooLong }
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil || len(w.corrected) != 1 {
		t.Errorf("%d statements, %v", len(w.corrected), err)
	}
}

func TestAChunkWithTooManyContextsIsHalvedByServicesThenByTime(t *testing.T) {
	w := newWorld()
	other := yesterday
	other.Service = "cart"
	w.stale, w.limit = []event.Stale{yesterday, other}, 5
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	if len(w.corrected) != 4 {
		t.Errorf("%d corrections", len(w.corrected))
	}
	for _, c := range w.corrected {
		if len(c.Stale) != 1 || c.Stale[0].Last-c.Stale[0].First > 500 {
			t.Errorf("%+v", c.Stale)
		}
	}
}

func TestMoreStatedInOneMomentThanAStatementTakesIsAnError(t *testing.T) {
	w := newWorld()
	w.stale[0].Last, w.limit = w.stale[0].First, 5
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err == nil {
		t.Error("no error")
	}
}

func TestManyRegionsAreAskedForInTurnAndTheirRowsCorrectedOnce(t *testing.T) {
	w := newWorld()
	w.pending = slices.Repeat([]event.Region{everywhere}, 130)
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	if want := "stale below 7 in 64, stale below 7 in 64, stale below 7 in 2, announce 12, correct 30 at 12, settle"; w.said() != want {
		t.Errorf("it did %s", w.said())
	}
}

func TestMoreInstancesThanAStatementTakesAreCutInHalves(t *testing.T) {
	w := newWorld()
	w.stale[0].Instances = make([]string, 5000)
	w.words = 1500
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	stated := 0
	for _, c := range w.corrected {
		stated += len(c.Stale[0].Instances)
		if c.Stale[0].First != yesterday.First || c.Stale[0].Last != yesterday.Last {
			t.Errorf("cut by time: %+v", c.Stale[0])
		}
	}
	if len(w.corrected) != 4 || stated != 5000 {
		t.Errorf("%d corrections of %d instances", len(w.corrected), stated)
	}
}

func TestAStatementThatTakesTooLongIsCutInHalves(t *testing.T) {
	w := newWorld()
	w.stale[0].Rows, w.slow = 1000, 300
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	want := "stale below 7 in 1, announce 12, too long, announce 13, too long, announce 14, correct 250 at 14, announce 14, correct 250 at 14, " +
		"announce 14, too long, announce 15, correct 250 at 15, announce 15, correct 250 at 15"
	if w.said() != want {
		t.Errorf("it did %s", w.said())
	}
	// What was cut short may still be under way, with what was known then: nothing is
	// settled, and its rows are written anew.
	var doubts []uint64
	for _, c := range w.corrected {
		doubts = append(doubts, c.Doubt)
	}
	if !slices.Equal(doubts, []uint64{13, 13, 14, 14}) {
		t.Errorf("rows below %d are rewritten though they are right", doubts)
	}
}

func TestTwoChunksAreUnderWayAtOnceAndNeverMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.stale[0].Rows = 500
		now, most := 0, 0
		w.meanwhile = func(reconcile.Correction) {
			w.mu.Lock()
			now++
			most = max(most, now)
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			now--
			w.mu.Unlock()
		}
		rows, err := w.reconciler(reconcile.Config{Rows: 100, AtOnce: 2}).Correct(t.Context(), w.pending, 7)
		if err != nil || rows < 490 || most != 2 {
			t.Errorf("%d rows, %d at once, %v", rows, most, err)
		}
		covered := event.Millis(0)
		for _, c := range w.corrected {
			for _, s := range c.Stale {
				covered += s.Last - s.First + 1
			}
		}
		if covered != yesterday.Last-yesterday.First+1 {
			t.Errorf("%d milliseconds are covered, some of them twice or not at all", covered)
		}
	})
}

func TestAChunkThatFailsEndsThePassAndTheOthersAreNotBegun(t *testing.T) {
	w := newWorld()
	w.stale[0].Rows, w.failing = 500, 4
	if _, err := w.reconciler(reconcile.Config{Rows: 100}).Close(t.Context(), 3); !errors.Is(err, errAway) {
		t.Errorf("%v", err)
	}
	if len(w.corrected) != 1 || strings.Contains(w.said(), "close") {
		t.Errorf("it did %s", w.said())
	}
}

func TestAPassFailsWhereFactsOfThePastCanNotBeAskedFor(t *testing.T) {
	w := newWorld()
	w.past = errAway
	if _, err := w.reconciler(reconcile.Config{}).Close(t.Context(), 3); !errors.Is(err, errAway) || len(w.corrected) > 0 {
		t.Errorf("%v, corrected %v", err, w.corrected)
	}
}

func TestAPassThatARivalIsAheadOfTakesWhatHoldsAnew(t *testing.T) {
	w := newWorld()
	w.rivals = []reconcile.Rivals{{Latest: 20}, {Latest: 25, Doubt: 9}}
	w.follows = true
	pass, err := w.reconciler(reconcile.Config{}).Close(t.Context(), 3)
	want := "promises, stale below 7 in 1, announce 12, wait for 20, announce 25, correct 10 at 25, touch after 3, close 7, settle"
	if err != nil || w.said() != want || pass.Known != 25 {
		t.Errorf("%v, known %d: it did %s", err, pass.Known, w.said())
	}
	if c := w.corrected[0]; c.Doubt != 9 {
		t.Errorf("rows below %d are rewritten though they are right, where a rival may rewrite those below 9", c.Doubt)
	}
}

func TestWhatIsAnnouncedStandsWhereAPassFails(t *testing.T) {
	w := newWorld()
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); err != nil {
		t.Fatal(err)
	}
	w.calls, w.failing = nil, 3
	if _, err := w.reconciler(reconcile.Config{}).Correct(t.Context(), w.pending, 7); !errors.Is(err, errAway) {
		t.Errorf("%v", err)
	}
	if want := "stale below 7 in 1, announce 12, correct 10 at 12"; w.said() != want {
		t.Errorf("it did %s", w.said())
	}
	if w.passes[0] == w.passes[1] {
		t.Error("two passes announce as one")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/reconcile"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// forced computes rows anew from what ClickHouse holds alone, whatever a late
// fact says or not. It is safe while workers work: it announces that it does, so
// that nobody who knows more leaves a row to it.
type forced struct {
	store    *clickhouse.Client
	timeline reconcile.Timeline
	known    uint64 // rows of later revisions are not looked at
}

// recallFacts folds every stored fact.
func recallFacts(ctx context.Context, store *clickhouse.Client, stderr io.Writer) (*forced, error) {
	log, err := observe.NewLogger(stderr, "warn", "console")
	if err != nil {
		return nil, err
	}
	known, err := store.StoredRevision(ctx)
	if err != nil {
		return nil, err
	}
	all := &recalled{Memory: timeline.NewMemory(nil), store: store, log: log}
	bar := progress(stderr, -1, "reading facts")
	err = all.fold(ctx, known, func(n int) { _ = bar.Add(n) })
	_ = bar.Finish()
	return &forced{store: store, timeline: all, known: known}, err
}

// recalled is a timeline of what ClickHouse has stored of facts. To know more it
// reads on.
type recalled struct {
	*timeline.Memory
	store *clickhouse.Client
	log   *zap.Logger
	mu    sync.RWMutex // who reads sees all of what is folded, or nothing
}

// fold folds what is stored of the revisions after its own. They come in no order,
// and its revision is the greatest from the first of them on.
func (r *recalled) fold(ctx context.Context, upTo uint64, folded func(facts int)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.store.Snapshot(ctx, r.log, r.Revision(), upTo, func(facts []event.Fact) {
		r.Timeline.Apply(facts)
		folded(len(facts))
	})
	if err == nil {
		r.Advance(upTo)
	}
	return err
}

// Contexts waits for a fold.
func (r *recalled) Contexts(ctx context.Context, stale []event.Stale, limit int) ([]event.Context, []event.Serving, uint64, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Memory.Contexts(ctx, stale, limit)
}

// storedWithin is how long workers are given to store facts that they know.
const storedWithin = time.Minute

// Wait returns when facts up to a revision are stored and folded.
func (r *recalled) Wait(ctx context.Context, revision uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storedWithin, &pipeline.Error{
		Err:  fmt.Errorf("a fact that a worker has corrected rows for is not stored after %s", storedWithin),
		Hint: "is a worker running? whence reconcile status tells how far they are",
	})
	defer cancel()
	for {
		stored, err := r.store.StoredRevision(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case stored >= revision:
			return r.fold(ctx, stored, func(int) {})
		}
		pipeline.SystemClock{}.Sleep(ctx, 200*time.Millisecond)
	}
}

// command is whence.observations as a command sees it that corrects rows and closes
// nothing. It makes one pass: it announces that, and then has to know what passes
// knew before.
type command struct {
	correctable
	once   sync.Once
	latest uint64
	err    error
}

func (c *command) Announce(ctx context.Context, pass, _ uint64) (reconcile.Rivals, error) {
	c.once.Do(func() { c.latest, c.err = c.AnnounceCommand(ctx, pass) })
	return reconcile.Rivals{Latest: c.latest}, c.err
}

// correct computes the rows of the regions anew and returns how many were
// wrong.
func (f *forced) correct(ctx context.Context, regions []event.Region, stderr io.Writer) (wrong uint64, err error) {
	rows := &watched{command: command{correctable: correctable{f.store}}, stderr: stderr}
	defer rows.finish()
	r := reconcile.New(reconcile.Config{}, f.timeline, nil, rows, pipeline.SystemClock{}, reconcileLog{zap.NewNop(), observe.NewMetrics()})
	wrong, err = r.Correct(ctx, regions, f.known+1)
	// Also where it was interrupted: what is rewritten already has valid seals.
	ctx = context.WithoutCancel(ctx)
	return wrong, errors.Join(err, reconcile.InParts(ctx, rows, regions, func(some []event.Region) error { return rows.touch(ctx, some, "1") }))
}

// watched shows on a terminal how far a correction is.
type watched struct {
	command
	stderr io.Writer
	total  uint64
	bar    interface {
		Add(int) error
		Finish() error
		ChangeMax64(int64)
	}
}

func (w *watched) Stale(ctx context.Context, regions []event.Region, below uint64) ([]event.Stale, error) {
	stale, err := w.correctable.Stale(ctx, regions, below)
	for _, s := range stale {
		w.total += s.Rows
	}
	if w.bar == nil {
		w.bar = progress(w.stderr, int64(w.total), "checking rows")
	}
	w.bar.ChangeMax64(int64(max(w.total, 1)))
	return stale, err
}

func (w *watched) Correct(ctx context.Context, c reconcile.Correction) (uint64, error) {
	n, err := w.correctable.Correct(ctx, c)
	for _, s := range c.Stale {
		_ = w.bar.Add(int(s.Rows))
	}
	return n, err
}

func (w *watched) finish() {
	if w.bar != nil {
		_ = w.bar.Finish()
	}
}

func rowsRewritten(n uint64) string {
	if n == 0 {
		return "no row was wrong"
	}
	return display.Quantity(n, "row was wrong and is rewritten", "rows were wrong and are rewritten")
}

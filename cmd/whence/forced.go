package main

import (
	"context"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/reconcile"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// forced computes rows anew from what ClickHouse holds alone, whatever a late
// fact says or not. It is safe while workers work: what it writes is right as
// of the facts stored by then, and later ones correct it as they correct any
// row.
type forced struct {
	store    *clickhouse.Client
	timeline *timeline.Memory
	known    uint64 // the revision that the timeline is of
}

// recallFacts folds every stored fact.
func recallFacts(ctx context.Context, store *clickhouse.Client, stderr io.Writer) (*forced, error) {
	log, err := observe.NewLogger(stderr, "warn", "console")
	if err != nil {
		return nil, err
	}
	f := &forced{store: store, timeline: timeline.NewMemory(nil)}
	if f.known, err = store.StoredRevision(ctx); err != nil {
		return nil, err
	}
	bar := progress(stderr, -1, "reading facts")
	err = store.Snapshot(ctx, log, 0, f.known, func(facts []event.Fact) {
		f.timeline.Timeline.Apply(facts)
		_ = bar.Add(len(facts))
	})
	_ = bar.Finish()
	f.timeline.Advance(f.known)
	return f, err
}

// correct computes the rows of the regions anew and returns how many were
// wrong.
func (f *forced) correct(ctx context.Context, regions []event.Region, stderr io.Writer) (wrong uint64, err error) {
	rows := &watched{correctable: correctable{f.store}, stderr: stderr}
	defer rows.finish()
	r := reconcile.New(reconcile.Config{}, f.timeline, nil, rows, pipeline.SystemClock{}, reconcileLog{zap.NewNop(), observe.NewMetrics()})
	if wrong, err = r.Correct(ctx, regions, f.known+1); err != nil {
		return wrong, err
	}
	return wrong, rows.Touch(ctx, regions, 0)
}

// watched shows on a terminal how far a correction is.
type watched struct {
	correctable
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
	switch n {
	case 0:
		return "no row was wrong"
	case 1:
		return "1 row was wrong and is rewritten"
	}
	return fmt.Sprintf("%s rows were wrong and are rewritten", counted(int64(n)))
}

package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// past is where the facts are that a worker has let go of.
type past struct {
	store   *clickhouse.Client
	log     *zap.Logger
	metrics *observe.Metrics
}

func (p past) Facts(ctx context.Context, missing event.Missing, upTo uint64) ([]event.Fact, error) {
	begun := time.Now()
	facts, err := p.store.FactsOf(ctx, p.log, missing, upTo)
	if err == nil {
		p.metrics.Fetched(len(facts), time.Since(begun))
	}
	return facts, err
}

// newTimeline makes one that lets go of facts if there is a horizon.
func (w *worker) newTimeline() *timeline.Memory {
	if w.horizon <= 0 {
		return timeline.NewMemory(nil)
	}
	return timeline.NewMemory(past{w.store, w.log, w.metrics})
}

// knownFrom is the moment from which on a timeline has to know everything, given
// the time of the latest fact. It follows the facts, so that the year before last
// can be replayed; a fact of the year 2100 moves it no further than to now.
func (w *worker) knownFrom(latest event.Millis) event.Millis {
	return min(latest, event.Millis(time.Now().UnixMilli())) - event.Millis(w.horizon.Milliseconds())
}

// How often is looked whether facts can be let go of, and how many must have come
// since the last time: readers wait a quarter of a second for each hundred thousand
// that go.
const (
	forgetEvery = time.Minute
	mayGrowBy   = 8 // one eighth
)

// forget lets go of facts until ctx is done.
func (w *worker) forget(ctx context.Context) {
	if w.horizon <= 0 {
		return
	}
	ticks := time.NewTicker(forgetEvery)
	defer ticks.Stop()
	for held := w.timeline.Len(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if w.timeline.Len() < held+held/mayGrowBy {
			continue
		}
		closed, err := w.closed(ctx)
		if err != nil {
			w.log.Warn("facts of the past stay in memory for another while", zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
			continue
		}
		gone := w.timeline.Trim(w.knownFrom(w.timeline.Latest()), closed)
		held = w.timeline.Len()
		w.metrics.Forgotten(gone, held)
	}
}

// closed is up to where facts are in every row they concern, and stored: the
// timeline that closes them may be ahead of who stores them.
func (w *worker) closed(ctx context.Context) (uint64, error) {
	cursor, err := w.store.Cursor(ctx)
	if err != nil {
		return 0, err
	}
	stored, err := w.store.StoredRevision(ctx)
	return min(cursor, stored), err
}

// loading folds what is stored, all of it or what has to be known.
func (w *worker) loading(ctx context.Context, upTo uint64) (fold func([]event.Fact), finish func(context.Context) error, err error) {
	if w.horizon <= 0 {
		return w.timeline.Timeline.Apply, func(context.Context) error { return nil }, nil
	}
	latest, err := w.store.LatestFact(ctx)
	if err != nil {
		return nil, nil, err
	}
	const atOnce = 1 << 17
	l := w.timeline.Load(w.knownFrom(latest), upTo, atOnce)
	return l.Fold, l.Finish, nil
}

// foldFacts folds facts of the context log. It ends with ctx alone: facts that it
// needs and can't ask for are asked for again.
func (w *worker) foldFacts(ctx context.Context, facts []event.Fact, revision uint64) error {
	for {
		err := w.timeline.Apply(ctx, facts)
		if err == nil {
			break
		}
		w.log.Warn("facts can't be folded without some that were let go of; trying again", zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	w.timeline.Advance(revision)
	w.metrics.Context(revision, w.timeline.Len())
	return nil
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/reconcile"
	"github.com/whencehq/whence/processors/seal"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// reconciling is reconcile with the servers it works on.
type reconciling struct {
	*reconcile.Reconciler
	promises *kafka.Promises
}

func (w *worker) reconciler() (*reconciling, error) {
	promises, err := kafka.OpenPromises(w.kafka, w.cfg.Kafka.Group, w.cfg.Kafka.Topics.InputNames(), w.cfg.Kafka.Topics.ContextName())
	if err != nil {
		return nil, err
	}
	r := reconcile.New(reconcile.Config{}, w.timeline, leastPromise{promises}, closing{correctable{w.store}}, pipeline.SystemClock{},
		reconcileLog{w.log.Named("reconcile"), w.metrics})
	return &reconciling{r, promises}, nil
}

func (r *reconciling) close() { r.promises.Close() }

// seal seals minutes until ctx is done.
func (w *worker) seal(ctx context.Context) error {
	config := seal.Config{After: w.cfg.Seal.After.Std()}
	ticks := time.NewTicker(config.Every())
	defer ticks.Stop()
	return seal.New(config, w.store, sealLog{w.log.Named("seal"), w.metrics}, time.Now).Run(ctx, ticks.C)
}

// sealLog tells people and metrics.
type sealLog struct {
	log *zap.Logger
	*observe.Metrics
}

func (l sealLog) SealFailed(err error) {
	l.Metrics.SealFailed()
	l.log.Warn("minutes could not be sealed, they are computed by who asks until they are", zap.Error(err))
}

// leastPromise is what all partitions promise.
type leastPromise struct{ *kafka.Promises }

func (p leastPromise) Least(ctx context.Context) (uint64, error) {
	promises, err := p.Read(ctx)
	if err != nil || len(promises) == 0 {
		return 0, err
	}
	least := promises[0].Revision
	for _, promise := range promises {
		least = min(least, promise.Revision)
	}
	return least, nil
}

// correctable is whence.observations as reconcile sees it.
type correctable struct{ *clickhouse.Client }

// closing is the same for a worker, which closes facts.
type closing struct{ correctable }

func (c closing) Announce(ctx context.Context, pass, revision uint64) (reconcile.Rivals, error) {
	latest, doubt, err := c.Client.Announce(ctx, pass, revision)
	return reconcile.Rivals{Latest: latest, Doubt: doubt}, err
}

func (c correctable) Correct(ctx context.Context, k reconcile.Correction) (uint64, error) {
	return c.Client.Correct(ctx, tables.Correction{
		Run: rand.Uint64() | 1, Regions: k.Regions, Stale: k.Stale, Below: k.Below, Doubt: k.Doubt, Revision: k.Revision,
	}, k.Contexts, k.Servings)
}

func (c correctable) Touch(ctx context.Context, regions []event.Region, after uint64) error {
	return c.touch(ctx, regions, fmt.Sprintf("revision > %d", after))
}

// touch has the minutes of the regions sealed anew in which a row meets the
// condition.
func (c correctable) touch(ctx context.Context, regions []event.Region, condition string) error {
	for some := range slices.Chunk(regions, 64) {
		where := fmt.Sprintf("%s AND (%s)", condition, tables.InRegions(some))
		if err := c.TouchRewritten(ctx, where, rand.Uint64()); err != nil {
			return err
		}
	}
	return nil
}

func (c correctable) Closed(ctx context.Context, p reconcile.Pass) error {
	facts := p.Revision - p.After
	if p.After>>40 != p.Revision>>40 { // the context log was made anew since
		facts = p.Revision&(1<<40-1) + 1
	}
	return c.Client.Closed(ctx, clickhouse.Pass{
		Revision: p.Revision, Known: p.Known, Facts: facts, Regions: p.Regions, Corrected: p.Corrected, Began: p.Began,
	})
}

// reconcileLog tells people and metrics.
type reconcileLog struct {
	log     *zap.Logger
	metrics *observe.Metrics
}

func (l reconcileLog) Pending(cursor, revision uint64) { l.metrics.Reconcile(cursor, revision) }

func (l reconcileLog) Passed(p reconcile.Pass) {
	l.metrics.Reconciled(p.Corrected, p.Took, p.Waited)
	if p.Corrected > 0 {
		l.log.Info("late facts corrected rows", zap.Uint64("revision", p.Revision), zap.Int("regions", p.Regions),
			zap.Uint64("rows", p.Corrected), zap.Duration("took", p.Took), zap.Duration("waited", p.Waited))
	}
}

func (l reconcileLog) Failed(err error) {
	l.metrics.ReconcileFailed()
	l.log.Warn("a pass of corrections failed, it begins again", zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
}

func (l reconcileLog) Unsettled(err error) {
	l.log.Warn("a pass of corrections is closed, but not settled: rows may be written once more than they had to be", zap.Error(err))
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/processors/timeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// worker is one process's part in the work: a timeline fed by the context log,
// a consumer of the input topics, and one of the context log that stores what
// it holds.
type worker struct {
	cfg      *config.Config
	log      *zap.Logger
	metrics  *observe.Metrics
	health   *observe.Health
	kafka    kafka.Connection
	store    *clickhouse.Client
	timeline *timeline.Memory
	horizon  time.Duration // how far back facts stay in memory; 0 and less: all do
	producer *kafka.Producer
	end      *kafka.ContextEnd
	epoch    uint64
	// correlating ranks causes while this worker stores the facts; nil: never.
	correlating *correlating
	model       *correlate.Model // to rank with
	rules       *rules.Set       // of the operator's
	notifier    *notify.Notifier // tells people of its rankings
}

// runWorker works until ctx is done and calls ready when events are being
// taken. Topics and tables must be there. It returns an error only if an
// operator has to act.
func runWorker(ctx context.Context, cfg *config.Config, log *zap.Logger, metrics *observe.Metrics, health *observe.Health, ready func()) error {
	model, err := configuredModel(cfg.Correlate.Model)
	if err != nil {
		return err
	}
	own, err := configuredRules(cfg, metrics.RuleFailed)
	if err != nil {
		return err
	}
	if own.Len() > 0 {
		log.Info("rules compiled", zap.Int("rules", own.Len()), zap.String("digest", own.Digest()))
	}
	w := &worker{cfg: cfg, log: log, metrics: metrics, health: health, horizon: cfg.Horizon.Std(), model: model, rules: own}
	err = w.run(ctx, ready)
	if ctx.Err() != nil && pipeline.ClassOf(err) != pipeline.Fatal {
		return nil
	}
	if err != nil {
		health.Broken(err)
	}
	return err
}

// How long a try at the start may take: a question, and reading all facts.
const (
	answerTime = 10 * time.Second
	recallTime = 10 * time.Minute
)

func (w *worker) run(ctx context.Context, ready func()) error {
	from, topic, err := w.open(ctx)
	defer w.close()
	if err == nil {
		err = w.persist(ctx, "clickhouse", answerTime, func(ctx context.Context) error { return w.store.UseRules(ctx, w.rules.Digest()) })
	}
	if err != nil {
		return err
	}
	return w.following(ctx, from, topic.End, func(ctx context.Context) error { return w.consume(ctx, ready) })
}

// open connects, and folds the facts that are stored. The context log has to be
// read from offset from on.
func (w *worker) open(ctx context.Context) (from int64, topic kafka.ContextTopic, err error) {
	if err = w.connect(ctx); err != nil {
		return 0, topic, err
	}
	topics := w.cfg.Kafka.Topics
	err = w.persist(ctx, "kafka", answerTime, func(ctx context.Context) (err error) {
		topic, err = kafka.DescribeContext(ctx, w.kafka, topics.ContextName())
		return err
	})
	if err != nil {
		return 0, topic, err
	}
	err = w.persist(ctx, "clickhouse", recallTime, func(ctx context.Context) (err error) {
		if w.epoch, err = w.store.Epoch(ctx, topic.ID); err != nil {
			return err
		}
		w.timeline = w.newTimeline()
		from, err = w.recall(ctx, topic)
		return err
	})
	if err != nil {
		return 0, topic, err
	}
	w.producer, err = kafka.NewProducer(w.kafka, topics.ContextName(), topics.DeadLetterName(), w.epoch, processors.EncodeFact)
	if err != nil {
		return 0, topic, err
	}
	w.end, err = kafka.OpenContextEnd(w.kafka, topics.ContextName(), w.epoch)
	return from, topic, err
}

func (w *worker) close() {
	if w.end != nil {
		w.end.Close()
	}
	if w.producer != nil {
		w.producer.Close()
	}
	if w.store != nil {
		_ = w.store.Close()
	}
}

// following does work while the timeline follows the context log, from the
// moment that everything before end is folded.
func (w *worker) following(ctx context.Context, from, end int64, work func(context.Context) error) error {
	// The tail ends after the work: a round under way waits for its facts.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	group, ctx := errgroup.WithContext(ctx)
	caughtUp := make(chan struct{})
	group.Go(func() error { return w.tail().Run(reading, from, end, func() { close(caughtUp) }) })
	group.Go(func() error {
		defer stopReading()
		select {
		case <-ctx.Done():
			return nil
		case <-caughtUp: // observations wait until everything that was known is known here
		}
		w.log.Info("context log folded", zap.Int("facts", w.timeline.Len()), zap.Uint64("revision", w.timeline.Revision()))
		return work(ctx)
	})
	return group.Wait()
}

// consume runs both consumers until ctx is done or one of them gives up.
func (w *worker) consume(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	state := newReadiness(w.health, ready)
	reconciling, err := w.reconciler()
	if err != nil {
		return err
	}
	defer reconciling.close()
	if w.notifier, err = w.newNotifier(); err != nil {
		return err
	}
	if w.correlating, err = w.correlator(); err != nil {
		return err
	}
	defer w.correlating.close()
	events, facts := w.events(state), w.facts(state)
	// Whoever stores the facts corrects rows, seals minutes and ranks causes
	// too: one worker at a time, and no harm in two.
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	facts.WhileOwning = func(owning context.Context) {
		var all sync.WaitGroup
		all.Go(func() {
			if err := reconciling.Run(owning); err != nil {
				giveUp(err)
			}
		})
		all.Go(func() { w.correlating.run(owning) })
		all.Go(func() { w.notifier.Run(owning) })
		all.Go(func() {
			if err := w.seal(owning); err != nil {
				giveUp(fmt.Errorf("seal: %w", err))
			}
		})
		all.Wait()
	}
	group.Go(func() error { w.forget(ctx); return nil })
	group.Go(func() error { return events.Run(ctx) })
	group.Go(func() error { return facts.Run(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := context.Cause(ctx); pipeline.ClassOf(err) == pipeline.Fatal {
		return err
	}
	return nil
}

// recall folds the facts that are stored already, those of former context logs
// among them, and returns the offset from which the log has to be read. What
// facts may have changed is noted from the first one that is not closed.
func (w *worker) recall(ctx context.Context, topic kafka.ContextTopic) (int64, error) {
	from, stored, err := w.store.LedgerEnd(ctx, topic.ID, 0)
	if err != nil {
		return 0, err
	}
	if !stored {
		from = topic.Start
	}
	if from < topic.Start {
		return 0, pipeline.Fatalf("facts are lost: publish them again from their sources, then set the offset of the group "+w.contextGroup()+" by hand",
			"the context log begins at offset %d, and facts are stored up to %d only", topic.Start, from)
	}
	cursor, err := w.store.Cursor(ctx)
	if err != nil {
		return 0, err
	}
	// No further than where the log is read from: what is stored beyond may have
	// holes yet, and would raise the revision over them.
	last := kafka.Revision(w.epoch, from) - 1
	// What is allocated here is kept, so collections find next to nothing: with
	// fewer of them a million facts take half a second less of the processors, and a
	// tenth more memory at the peak.
	defer debug.SetGCPercent(debug.SetGCPercent(recallGCPercent))
	fold, finish, err := w.loading(ctx, min(cursor, last))
	if err != nil {
		return 0, err
	}
	if err := w.store.Snapshot(ctx, w.log, 0, min(cursor, last), fold); err != nil {
		return 0, err
	}
	if err := finish(ctx); err != nil {
		return 0, err
	}
	w.timeline.Journal()
	if cursor < last {
		var failed error
		err := w.store.SnapshotInOrder(ctx, w.log, cursor, last, func(facts []event.Fact) {
			if failed == nil {
				failed = w.timeline.Apply(ctx, facts)
			}
		})
		if err = cmp.Or(err, failed); err != nil {
			return 0, err
		}
	}
	if from > 0 {
		w.timeline.Advance(kafka.Revision(w.epoch, from-1))
	}
	w.metrics.Context(w.timeline.Revision(), w.timeline.Len()) // the log says more only with its next fact
	return from, nil
}

// recallGCPercent is how much the heap grows between two collections of a
// recall, as GOGC has it.
const recallGCPercent = 400

func (w *worker) contextGroup() string { return w.cfg.Kafka.Group + "-context" }

func (w *worker) connect(ctx context.Context) (err error) {
	if w.kafka, err = kafka.Configured(w.cfg.Kafka, w.log); err != nil {
		return err
	}
	if w.store, err = clickhouse.Open(ctx, storeConfig(w.cfg.ClickHouse)); err != nil {
		return err
	}
	return w.persist(ctx, "clickhouse", answerTime, w.store.Ping)
}

// storeConfig is what the client needs of the configuration.
func storeConfig(c config.ClickHouse) clickhouse.Config {
	return clickhouse.Config{
		URL: c.URL, User: c.User, PasswordFile: c.PasswordFile, InsertTimeout: time.Duration(c.InsertTimeout),
	}
}

// persist tries until it works, saying what it waits for. A try may take
// within.
func (w *worker) persist(ctx context.Context, what string, within time.Duration, try func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 250*time.Millisecond, 5*time.Second
	for {
		attempt, cancel := context.WithTimeout(ctx, within)
		err := try(attempt)
		cancel()
		if err == nil || pipeline.ClassOf(err) == pipeline.Fatal {
			return err
		}
		next := pause.NextBackOff()
		w.health.Waiting(fmt.Sprintf("waiting for %s: %v", what, err))
		w.log.Warn("waiting for "+what, zap.Error(err), zap.String("hint", pipeline.HintOf(err)), zap.Duration("next_try_in", next))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(next):
		}
	}
}

func (w *worker) tail() *kafka.Tail {
	return &kafka.Tail{
		Connection: w.kafka, Topic: w.cfg.Kafka.Topics.ContextName(), Epoch: w.epoch,
		Decode: processors.DecodeFact,
		Fold:   w.foldFacts,
	}
}

// events consumes the input topics.
func (w *worker) events(state *readiness) *kafka.Consumer {
	c := w.consumer("events", w.cfg.Kafka.Group, w.cfg.Kafka.Topics.InputNames(), state)
	c.Stages = processors.Events(processors.Dependencies{
		Decode: decoding(w.cfg), Rules: w.rules,
		Timeline: w.timeline, ContextLog: w.producer, Sink: w.sink(), Graveyard: w.producer, Outlet: w.producer,
	})
	c.Floor, c.Await, c.Width = w.end.Revision, w.timeline.Wait, w.width
	c.Observer = observer{w.metrics, state, w.correlating, sparing(w.log)}
	return c
}

// width is how wide rows are now.
func (w *worker) width() int { return w.timeline.Width(event.MillisOf(time.Now())) }

// facts consumes the context log, and stores it.
func (w *worker) facts(state *readiness) *kafka.Consumer {
	topics := w.cfg.Kafka.Topics
	c := w.consumer("context", w.contextGroup(), []string{topics.ContextName()}, state)
	c.MaxPollRecords = maxPollFacts
	c.FetchMinBytes, c.FetchMaxWait = 64<<10, 200*time.Millisecond // facts are few, and awaited
	c.Stages = processors.Facts(processors.Dependencies{
		Sink: w.sink(), Graveyard: w.producer, Deriver: deriver{w.store, w.correlating},
		Revision: func(offset int64) uint64 { return kafka.Revision(w.epoch, offset) },
	})
	return c
}

func (w *worker) consumer(role, group string, topics []string, state *readiness) *kafka.Consumer {
	state.set(role, "joining the group")
	k := w.cfg.Kafka
	return &kafka.Consumer{
		Connection: w.kafka, Role: role, Group: group, Topics: topics, Context: w.cfg.Kafka.Topics.ContextName(),
		SessionTimeout: time.Duration(k.SessionTimeout), RebalanceTimeout: time.Duration(k.RebalanceTimeout),
		FetchMinBytes: int32(k.Fetch.MinBytes), FetchMaxWait: time.Duration(k.Fetch.MaxWait),
		FetchMaxBytes: int32(k.Fetch.MaxBytes), FetchMaxPartitionBytes: int32(k.Fetch.MaxPartitionBytes),
		MaxPollRecords: k.Fetch.MaxRecords,
		OnLost:         kafka.LostOffsets(w.cfg.Offsets.OnLost),
		Ledger:         w.store,
		Healthy:        w.store.Ping,
		Revision:       w.timeline.Revision,
		Observer:       observer{w.metrics, state, w.correlating, nil},
		Joined:         func() { state.set(role, "") },
	}
}

// maxPollFacts is how many facts one round of the context log stores and
// derives from: an announced batch can't be made smaller later.
const maxPollFacts = 5000

// observer counts, wakes who ranks causes, and says in /readyz when a session has ended; the next one
// says that it has joined.
type observer struct {
	*observe.Metrics
	state       *readiness
	correlating *correlating
	ahead       *zap.Logger // see sparing; nil: these have been looked at before
}

func (o observer) Stored(b *pipeline.Batch, took time.Duration) {
	o.Metrics.Stored(b, took)
	o.correlating.stored(b)
	if o.ahead != nil {
		o.warnOfTheFuture(b)
	}
}

// warnOfTheFuture counts events whose time is far ahead of that of their record,
// and names one. They are kept as they are; whoever reads them by time should know.
func (o observer) warnOfTheFuture(b *pipeline.Batch) {
	ahead := observe.AheadIn(b)
	if ahead.Events == 0 {
		return
	}
	o.FarAhead(b.Topic, ahead.Events)
	o.ahead.Warn("events are of the future: the clock or the time zone of whoever sent them is wrong",
		zap.String("topic", b.Topic), zap.Int("events", ahead.Events),
		zap.String("type", ahead.First.Type), zap.String("source", ahead.First.Source), zap.String("id", ahead.First.ID),
		zap.Time("time", ahead.First.Time.Time()), zap.Time("received", ahead.ReceivedAt.Time()),
		zap.String("hint", "they are stored with the time they state; whence_events_far_ahead_total counts them by topic"))
}

// sparing is a log that says the same message once a minute.
func sparing(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 1, 0)
	}))
}

func (o observer) SessionEnded(role string, err error) {
	o.Metrics.SessionEnded(role, err)
	o.state.set(role, err.Error())
}

func (w *worker) sink() sink { return sink{w.store, w.metrics, w.log} }

// sink counts what it passes on.
type sink struct {
	store   *clickhouse.Client
	metrics *observe.Metrics
	log     *zap.Logger
}

func (s sink) Insert(ctx context.Context, block tables.Block, token string) error {
	return s.counted(ctx, block, token, s.store.Insert)
}

func (s sink) Again(ctx context.Context, block tables.Block, token string) error {
	return s.counted(ctx, block, token, s.store.Again)
}

func (s sink) counted(ctx context.Context, block tables.Block, token string, insert func(context.Context, tables.Block, string) error) error {
	begun := time.Now()
	rows := block.Rows()
	if err := insert(ctx, block, token); err != nil {
		s.metrics.InsertFailed(block.Table())
		return err
	}
	s.metrics.Inserted(block.Table(), rows, time.Since(begun))
	if pipeline.Fenced(ctx) != nil {
		s.metrics.InsertedLate(block.Table())
	}
	return nil
}

func (s sink) Missing(ctx context.Context, observations []event.Observation) ([]int, error) {
	missing, err := s.store.Missing(ctx, observations)
	if len(missing) > 0 {
		first := &observations[missing[0]]
		s.metrics.Mended(len(missing))
		s.log.Warn("ClickHouse has acknowledged rows that it does not have: an earlier attempt failed and left its token behind. They are stored again",
			zap.Int("rows", len(missing)), zap.Int("of", len(observations)),
			zap.String("topic", first.Topic), zap.Int32("partition", first.Partition), zap.Int64("from_offset", first.Offset))
	}
	return missing, err
}

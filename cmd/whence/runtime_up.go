package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
)

// runUp brings up what is embedded, makes topics and tables where missing, and
// works until ctx is done: then the worker drains first, and the servers it
// drains into stop last.
func runUp(ctx context.Context, cfg *config.Config, o upOptions, log *zap.Logger, metrics *observe.Metrics, health *observe.Health, ready func(addresses)) error {
	if _, err := configuredModel(cfg.Correlate.Model); err != nil {
		return err // before anything is started
	}
	own, err := configuredRules(cfg, nil)
	if err != nil {
		return err
	}
	inputRetention := time.Duration(cfg.Kafka.Topics.Retention)
	if o.Kafka == "" {
		broker, err := embedded.StartKafka(filepath.Join(o.Data, "kafka"), o.ListenKafka, log)
		if err != nil {
			return err
		}
		defer broker.Close()
		cfg.Kafka.Seeds = []string{broker.Addr()}
		inputRetention = forEmbedded(&cfg.Kafka.Topics)
	}
	if o.ClickHouse == "" {
		child, err := startEngine(ctx, o, log)
		if err != nil {
			return err
		}
		defer child.Stop()
		cfg.ClickHouse.URL = "http://" + child.Addr()
	}
	w := &worker{cfg: cfg, log: log, metrics: metrics, health: health, rules: own}
	if err := w.prepare(ctx, inputRetention); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it waited
		}
		return err
	}
	at := addresses{Kafka: strings.Join(cfg.Kafka.Seeds, ","), ClickHouse: cfg.ClickHouse.URL}
	if cfg.Ingest.Listen == "" {
		return runWorker(ctx, cfg, log, metrics, health, func() { ready(at) })
	}
	g, err := openUsualGateway(cfg, log, metrics, health)
	if err != nil {
		return err
	}
	defer g.close()
	at.Ingest = g.url()
	// What one of them can't go on without ends both.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.run(ctx, false) })
	group.Go(func() error { return runWorker(ctx, cfg, log, metrics, health, func() { ready(at) }) })
	return group.Wait()
}

// startEngine starts the engine as a child. ctx is for the start alone: the
// worker drains into the engine after it. An engine whose parent was killed a
// moment ago may still be finishing its requests, and holds the folder for so
// long.
func startEngine(ctx context.Context, o upOptions, log *zap.Logger) (*engine.Child, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, end)
	defer release()
	deadline := time.Now().Add(8 * time.Second)
	for {
		child, err := engine.Start(life, engine.ChildConfig{
			Data: filepath.Join(o.Data, "clickhouse"), Listen: o.ListenClickHouse, Logger: log.Named("engine"),
		})
		if err == nil {
			return child, nil
		}
		if !strings.Contains(err.Error(), "is in use by another engine") || time.Now().After(deadline) {
			end()
			return nil, err
		}
		select {
		case <-life.Done():
			return nil, err
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// forEmbedded gives an embedded broker few partitions, for each costs an insert a
// flush and one process has nothing to scale out to, and returns how long its
// input topics are kept: it keeps producers' timestamps.
func forEmbedded(t *config.Topics) (retention time.Duration) {
	for i := range t.Inputs {
		if !t.Inputs[i].Foreign() {
			t.Inputs[i].Partitions = min(t.Inputs[i].Partitions, 2)
		}
	}
	return kafka.Forever
}

// prepare makes topics and tables where they are missing.
func (w *worker) prepare(ctx context.Context, inputRetention time.Duration) error {
	if err := w.connect(ctx); err != nil {
		return err
	}
	defer w.store.Close()
	err := w.persist(ctx, "clickhouse", time.Minute, func(ctx context.Context) error {
		if err := w.store.Migrate(ctx, w.log); err != nil {
			return err
		}
		return w.store.KeepHistory(ctx, w.cfg.History.Keep.Std())
	})
	if err != nil {
		return err
	}
	topics := w.cfg.Kafka.Topics
	return w.persist(ctx, "kafka", answerTime, func(ctx context.Context) error {
		specs := append(kafka.TopicSpecs(topics, inputRetention), kafka.RoutedSpecs(w.rules.Routes())...)
		states, err := kafka.EnsureTopics(ctx, w.kafka, specs, topics.Replication)
		for _, s := range states {
			for _, d := range s.Differences {
				w.log.Warn("a topic is not as it should be", zap.String("topic", s.Name), zap.Stringer("difference", d))
			}
		}
		return err
	})
}

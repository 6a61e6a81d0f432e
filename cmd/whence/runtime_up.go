package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline"
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
	if err := o.canStart(cfg); err != nil {
		return err
	}
	inputRetention := time.Duration(cfg.Kafka.Topics.Retention)
	if o.Kafka == "" {
		broker, err := embedded.StartKafka(filepath.Join(o.Data, "kafka"), o.ListenKafka, log)
		if err != nil {
			return whereElse(err, "--listen-kafka")
		}
		defer broker.Close()
		cfg.Kafka.Seeds = []string{broker.Addr()}
		inputRetention = forEmbedded(&cfg.Kafka.Topics)
	}
	if o.ClickHouse == "" {
		child, err := startEngine(ctx, o, cfg.Observe.Log, log)
		if err != nil {
			return whereElse(err, "--listen-clickhouse")
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
		return whereElse(err, "--listen-ingest")
	}
	defer g.close()
	at.Ingest = g.url()
	// What one of them can't go on without ends both.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.run(ctx, false) })
	group.Go(func() error { return runWorker(ctx, cfg, log, metrics, health, func() { ready(at) }) })
	return group.Wait()
}

// canStart looks, before a new folder is made, whether what would be in it can
// run: a start that fails leaves nothing behind. A folder that is there may be that
// of an engine whose parent was killed a moment ago, see startEngine.
func (o *upOptions) canStart(cfg *config.Config) error {
	if _, err := os.Stat(o.Data); !errors.Is(err, fs.ErrNotExist) || o.Kafka != "" && o.ClickHouse != "" {
		return nil
	}
	if o.ClickHouse == "" {
		if _, err := engine.FindLibrary(); err != nil {
			return err
		}
		if err := portIsFree(o.ListenClickHouse); err != nil {
			return whereElse(fmt.Errorf("engine: %w", err), "--listen-clickhouse")
		}
	}
	if at := cfg.Ingest.Listen; at != "" && at != config.Default().Ingest.Listen { // see openUsualGateway
		if err := portIsFree(at); err != nil {
			return whereElse(fmt.Errorf("ingest.listen: %w", err), "--listen-ingest")
		}
	}
	return nil
}

func portIsFree(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// whereElse hints at the flag that names another address, or another folder,
// where err is that one is taken. An engine's error comes as text, from its
// process.
func whereElse(err error, flag string) error {
	switch text := err.Error(); {
	case strings.Contains(text, syscall.EADDRINUSE.Error()):
		return &pipeline.Error{Err: err, Hint: "is another whence running? " + flag + " HOST:PORT names another address, port 0 picks a free one"}
	case strings.Contains(text, "is in use by another"):
		return &pipeline.Error{Err: err, Hint: "--data DIR names another folder"}
	}
	return err
}

// startEngine starts the engine as a child. ctx is for the start alone: the
// worker drains into the engine after it. An engine whose parent was killed a
// moment ago may still be finishing its requests, and holds the folder for so
// long.
func startEngine(ctx context.Context, o upOptions, says config.Log, log *zap.Logger) (*engine.Child, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, end)
	defer release()
	deadline := time.Now().Add(8 * time.Second)
	for {
		child, err := engine.Start(life, engine.ChildConfig{
			Args: []string{"engine", "--log-format", says.Format},
			Env:  []string{envLogLevel + "=" + cmp.Or(os.Getenv(envLogLevel), says.Level)},
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

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/schemas/event"
)

func newReplay() *cobra.Command {
	var k kafkaFlags
	var c clickHouseFlags
	var topic, from string
	var without, check, asJSON bool
	to := momentFlag{event.Forever, time.Now}
	cmd := &cobra.Command{
		Use:   "replay --topic T --from OFFSET|TIME [--to TIME]",
		Short: "Take records of a topic through the pipeline once more",
		Long: `replay reads a topic again, from an offset of each partition or from the time
that Kafka took the records, and stores what they bring: for events that
ClickHouse has lost, or that a new version understands. Rows that are there
already are written again, with what is known by now, and marked (rewritten = 1);
what they said before is kept in observations_history. A dead letter whose record
is stored now, or dropped by a rule, is open no longer.

--check stores nothing. It compares, and tells which observations are missing in
ClickHouse (it exits 1 then), and which are outdone: of two contents that somebody
publishes under one id, of one service, environment, name and moment, the greater
counts, and the other one is nowhere but in Kafka. Facts and other events are not
compared: whence verify and event_conflicts tell of them.

What fails while ClickHouse or Kafka is away is tried again for five minutes, with
a warning a minute; then the command ends with the error.

It may run while workers do: it joins no group and moves no offset. It needs their
configuration where that names rules: what they hide or drop would be stored
otherwise, so it refuses to go by none where they go by some.`,
		Example: `  whence replay --config worker.yaml --topic whence.behavior --from 2026-03-12T10:00:00Z
  whence replay --config worker.yaml --topic whence.delivery --from 0
  whence replay --config worker.yaml --topic whence.behavior --from 24h --check`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if topic == "" || from == "" {
				return usagef("--topic and --from are needed: which records")
			}
			if asJSON && !check {
				return usagef("--json is for what --check finds")
			}
			r := replay{topic: topic, offset: -1, without: without, from: momentFlag{event.Always, time.Now}, to: to}
			if offset, err := strconv.ParseInt(from, 10, 64); err == nil && offset >= 0 {
				r.offset = offset
			} else if err := r.from.Set(from); err != nil {
				return usagef("--from: %v, or an offset", err)
			}
			if r.from.at >= r.to.at {
				return usagef("--from must be before --to")
			}
			cfg, err := k.config()
			if err != nil {
				return err
			}
			if inputs := cfg.Kafka.Topics.InputNames(); !slices.Contains(inputs, topic) {
				return usagef("--topic %s: events are replayed from the input topics, %s", topic, strings.Join(inputs, ", "))
			}
			flags := c.or(cfg, k.file != "")
			at := flags.config()
			cfg.ClickHouse.URL, cfg.ClickHouse.User, cfg.ClickHouse.PasswordFile = at.URL, at.User, at.PasswordFile
			log, err := observe.NewLogger(cmd.ErrOrStderr(), "warn", "console")
			if err != nil {
				return err
			}
			if err := serversAnswer(cmd, cfg, flags, k.timeout); err != nil {
				return err
			}
			if err := rulesAreThere(cfg, k.file); err != nil {
				return err
			}
			own, err := configuredRules(cfg, nil)
			if err != nil {
				return err
			}
			w := &worker{cfg: cfg, log: log, metrics: observe.NewMetrics(), health: observe.NewHealth(), rules: own}
			if check {
				c := replayCheck{replay: r, asJSON: asJSON, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
				return c.run(cmd.Context(), w)
			}
			return r.run(cmd.Context(), w, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	k.add(cmd)
	c.add(cmd)
	withoutRules(cmd, &without)
	cmd.Flags().BoolVar(&check, "check", false, "store nothing: tell which observations ClickHouse lacks, or has another content of")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --check: one JSON object a record that differs")
	cmd.Flags().StringVar(&topic, "topic", "", "`TOPIC`, in full")
	cmd.Flags().StringVar(&from, "from", "", "an `OFFSET|TIME`: of each partition, or of Kafka taking the record")
	cmd.Flags().Var(&to, "to", "records that Kafka took before `TIME` (default: all there are when it begins)")
	return cmd
}

// serversAnswer returns once both do; it gives Kafka so much time. A worker
// would wait for ever.
func serversAnswer(cmd *cobra.Command, cfg *config.Config, c clickHouseFlags, timeout time.Duration) error {
	conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	if err := reach(ctx, cmd.ErrOrStderr(), conn, timeout); err != nil {
		return err
	}
	return withStore(ctx, c, func(context.Context, *clickhouse.Client) error { return nil })
}

type replay struct {
	topic    string
	offset   int64 // -1: from says
	from, to momentFlag
	without  bool // by no rules, though workers have some
}

func (r replay) run(ctx context.Context, w *worker, stdout, stderr io.Writer) error {
	begin, contextTopic, err := w.open(ctx)
	defer w.close()
	if err != nil {
		return err
	}
	if !r.without {
		if err := w.byRulesToo(ctx); err != nil {
			return err
		}
	}
	reader, stretches, err := r.stretches(ctx, w)
	if err != nil {
		return err
	}
	if len(stretches) == 0 {
		fmt.Fprintln(stdout, "no records there")
		return nil
	}
	now := time.Now().UTC()
	name := now.Format(time.RFC3339Nano)
	stages := processors.Events(processors.Dependencies{
		Decode: decoding(w.cfg), Rules: w.rules,
		Timeline: w.timeline, ContextLog: w.producer, Sink: w.sink(), Graveyard: w.producer, Replay: name,
	})
	keeper := &keeper{store: w.store}
	reader.Width = w.width
	reader.Stages = slices.Insert(stages, len(stages)-1, pipeline.Processor(keeper))
	reader.Stages = append(reader.Stages, letterCloser{w.store, name, event.MillisOf(now)})
	return keeper.hint(w.following(ctx, begin, contextTopic.End, func(ctx context.Context) error {
		return r.replay(ctx, w, reader, stretches, keeper, stdout, stderr)
	}))
}

// stretches are the offsets in question, and who reads them.
func (r replay) stretches(ctx context.Context, w *worker) (kafka.Replay, []kafka.Stretch, error) {
	reader := kafka.Replay{Connection: w.kafka, Topic: r.topic, MaxRecords: w.cfg.Kafka.Fetch.MaxRecords}
	all, err := reader.Offsets(ctx, r.offset, r.from.at, r.to.at)
	return reader, all, err
}

// retrying warns of what is tried again. The line goes where the bar was, which is
// drawn again below it with the next batch.
func retrying(log *zap.Logger, bar *progressbar.ProgressBar) func(error) {
	return func(err error) {
		_ = bar.Clear()
		log.Warn("trying again", zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
	}
}

func recordsIn(stretches []kafka.Stretch) (total int64) {
	for _, s := range stretches {
		total += s.To - s.From
	}
	return total
}

func (r replay) replay(ctx context.Context, w *worker, reader kafka.Replay, stretches []kafka.Stretch, kept *keeper, stdout, stderr io.Writer) error {
	bar := progress(stderr, recordsIn(stretches), "replaying")
	reader.Retrying = retrying(w.log, bar)
	var records, observations, facts int
	err := reader.Run(ctx, stretches, func(b *pipeline.Batch) {
		_ = bar.Add(len(b.Records))
		records, observations, facts = records+len(b.Records), observations+len(b.Observations), facts+len(b.Facts)
	})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	if err := w.levelUp(ctx, kept, stderr); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "replayed %s: %s, %s\n", display.Quantity(records, "record", "records"),
		display.Quantity(observations, "observation", "observations"), display.Quantity(facts, "fact", "facts"))
	return nil
}

// keeper is the stage before the last: what is stored of the batch already goes
// into the history. It knows the times of all that was stored or may have been, that
// of a batch which failed later included.
type keeper struct {
	store *clickhouse.Client
	times *event.Region // nil: there was nothing
}

func (*keeper) Name() string { return "keep" }

func (k *keeper) Process(ctx context.Context, b *pipeline.Batch) error {
	for i := range b.Observations {
		if k.times == nil {
			k.times = &event.Region{AnyEnvironment: true, From: event.Forever, To: event.Always}
		}
		k.times.From, k.times.To = min(k.times.From, b.Observations[i].Time), max(k.times.To, b.Observations[i].Time+1)
	}
	for some := range slices.Chunk(b.Observations, 10_000) {
		if err := k.store.Keep(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// hint says how to correct what was replayed before a replay failed, if it did.
func (k *keeper) hint(failed error) error {
	if failed == nil || k.times == nil {
		return failed
	}
	hint := fmt.Sprintf("whence rebuild --from %s --to %s corrects what was replayed so far",
		k.times.From.Time().Format(time.RFC3339), (k.times.To + 999).Time().Format(time.RFC3339))
	if why := pipeline.HintOf(failed); why != "" {
		hint = why + "; " + hint
	}
	return &pipeline.Error{Class: pipeline.ClassOf(failed), Err: failed, Hint: hint}
}

// levelUp corrects the replayed rows by what the workers may have closed while
// the replay was behind: no promise of theirs speaks for it.
func (w *worker) levelUp(ctx context.Context, kept *keeper, stderr io.Writer) error {
	if kept.times == nil {
		return nil
	}
	end, err := w.end.Revision(ctx)
	if err != nil {
		return err
	}
	if err := w.timeline.Wait(ctx, end); err != nil {
		return err
	}
	f := forced{store: w.store, timeline: w.timeline, known: end}
	if _, err = f.correct(ctx, []event.Region{*kept.times}, stderr); err == nil {
		kept.times = nil
	}
	return err
}

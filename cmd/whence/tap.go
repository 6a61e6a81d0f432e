package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/whencehq/whence/cmd/whence/tap"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/schemas/event"
)

// tapStages are where one can look, in the order of the chain.
var tapStages = []string{"record", "decode", "rules", "validate", "timeline", "enrich"}

func newTap() *cobra.Command {
	var k kafkaFlags
	var c clickHouseFlags
	var topics []string
	var filter, from string
	var before, asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "tap [STAGE]",
		Short: "Show events as they pass",
		Long: `tap shows what passes behind a stage, or before it with --before: record (as
Kafka has it), decode, rules, validate (the default), timeline, enrich. It reads
the topics itself and runs the same chain up to there in its own process:
workers know nothing of it, it joins no group and stores nothing. Facts are not
put on the context log, so enrich shows what is known from workers by now. Only
timeline and enrich need ClickHouse and the context log.

--filter is CEL, as in rules, over event.type, event.data and so on, and kind
(fact, observation, other, dead, dropped), reason, rule, and behind enrich
context: 'context.deployment_id == "d1"'. Of records it is over topic, key,
headers, body and text. What it can't be computed for is not shown.

It shows what comes from now on, or --from a time on, until it is interrupted or
has shown --limit. What it shows is not hidden from you by rules where it looks
before they do their work. Which rules there are says --config: without it
nothing is hidden or dropped behind any stage, and it warns where workers go by
rules.`,
		Example: `  whence tap
  whence tap decode --filter 'kind == "dead"'
  whence tap enrich --from 1h --filter 'event.service == "checkout"' --limit 20 --json
  whence tap rules --before --config worker.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			if len(args) == 1 && !slices.Contains(tapStages, args[0]) {
				return usagef("%s: want one of %s", args[0], strings.Join(tapStages, ", "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return tapStages, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at := "validate"
			if len(args) == 1 {
				at = args[0]
			}
			if before {
				at = tapStages[max(slices.Index(tapStages, at)-1, 0)]
			}
			begin := momentFlag{event.Forever, time.Now}
			if from != "" && from != "start" {
				if err := begin.Set(from); err != nil {
					return usagef("--from: %v, or start", err)
				}
			} else if from == "start" {
				begin.at = event.Always
			}
			if limit < 0 {
				return usagef("--limit: want at least 0")
			}
			t := tapping{stage: at, limit: limit, from: begin.at, out: cmd.OutOrStdout(), asJSON: asJSON}
			if err := t.want(filter); err != nil {
				return err
			}
			cfg, err := k.config()
			if err != nil {
				return err
			}
			if t.topics, err = tapTopics(cfg, topics); err != nil {
				return err
			}
			flags := c.or(cfg, k.file != "")
			server := flags.config()
			cfg.ClickHouse.URL, cfg.ClickHouse.User, cfg.ClickHouse.PasswordFile = server.URL, server.User, server.PasswordFile
			if err := rulesAreThere(cfg, k.file); err != nil {
				return err
			}
			own, err := configuredRules(cfg, nil)
			if err != nil {
				return err
			}
			return t.run(cmd, cfg, own, flags, k.timeout)
		},
	}
	k.add(cmd)
	c.add(cmd)
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "only this `TOPIC`, in full; more with commas (default: all input topics)")
	cmd.Flags().StringVar(&filter, "filter", "", "only what this `CEL` expression is true for")
	cmd.Flags().StringVar(&from, "from", "", "from `TIME` on, when Kafka took it: 2026-03-12T14:05:00Z, how long ago as 10m, or start (default: from now on)")
	cmd.Flags().IntVar(&limit, "limit", 0, "end after `N` (default: when it is interrupted)")
	cmd.Flags().BoolVar(&before, "before", false, "show what comes before the stage")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object each")
	completes(cmd, "topic", event.InputTopics())
	return cmd
}

func tapTopics(cfg *config.Config, only []string) ([]string, error) {
	inputs := cfg.Kafka.Topics.InputNames()
	for _, topic := range only {
		if !slices.Contains(inputs, topic) {
			return nil, usagef("--topic %s: want one of the input topics, %s", topic, strings.Join(inputs, ", "))
		}
	}
	if len(only) > 0 {
		return only, nil
	}
	return inputs, nil
}

// tapping is one look.
type tapping struct {
	stage  string
	topics []string
	from   event.Millis
	filter *rules.Filter // nil: all
	limit  int           // 0: none
	asJSON bool
	out    io.Writer

	chain []pipeline.Processor
	shown int
}

func (t *tapping) want(text string) (err error) {
	if text == "" {
		return nil
	}
	on := rules.OnEvent
	if t.stage == "record" {
		on = rules.OnRecord
	}
	if t.filter, err = rules.NewFilter(on, text); err != nil {
		return usagef("--filter: %v", err)
	}
	return nil
}

func (t *tapping) run(cmd *cobra.Command, cfg *config.Config, own *rules.Set, c clickHouseFlags, timeout time.Duration) error {
	t.warnOfRules(cmd, own, c)
	d := processors.Dependencies{Decode: decoding(cfg), Rules: own}
	conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
	if err != nil {
		return err
	}
	reader := &kafka.Watch{Connection: conn, Topics: t.topics, MaxRecords: 1000}
	watch := func(ctx context.Context) error {
		err := reader.Run(ctx, t.from, func(b *pipeline.Batch) error { return t.show(ctx, b) })
		if errors.Is(err, errShown) || cmd.Context().Err() != nil { // enough, or interrupted
			return nil
		}
		return err
	}
	if t.stage != "timeline" && t.stage != "enrich" {
		t.chain = upTo(processors.Reading(d), t.stage)
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		if err := reach(ctx, cmd.ErrOrStderr(), conn, timeout); err != nil {
			return err
		}
		return watch(cmd.Context())
	}
	log, err := observe.NewLogger(cmd.ErrOrStderr(), "warn", "console")
	if err != nil {
		return err
	}
	if err := serversAnswer(cmd, cfg, c, timeout); err != nil {
		return err
	}
	w := &worker{cfg: cfg, log: log, metrics: observe.NewMetrics(), health: observe.NewHealth()}
	begin, contextTopic, err := w.open(cmd.Context())
	defer w.close()
	if err != nil {
		return err
	}
	t.chain = processors.Reading(d)
	if t.stage == "enrich" {
		t.chain = append(t.chain, processors.Enriching(w.timeline))
	}
	return w.following(cmd.Context(), begin, contextTopic.End, watch)
}

// rulesAnswerTime is how long a look waits for what rules workers go by.
const rulesAnswerTime = 5 * time.Second

// warnOfRules says what a look by no rules behind the stage of rules shows that
// workers hide. Nothing is stored, so that it is no error as for a replay.
func (t *tapping) warnOfRules(cmd *cobra.Command, own *rules.Set, c clickHouseFlags) {
	if own.Len() > 0 || slices.Index(tapStages, t.stage) < slices.Index(tapStages, "rules") {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), rulesAnswerTime)
	defer cancel()
	var why string
	err := withStore(ctx, c, func(ctx context.Context, store *clickhouse.Client) error {
		digest, known, err := store.RulesInUse(ctx)
		if known && digest != "" {
			why = fmt.Sprintf("workers go by rules (%s)", digest)
		}
		return err
	})
	if err != nil {
		why = fmt.Sprintf("workers may go by rules (ClickHouse does not say: %s)", display.Line(err.Error()))
	}
	if why != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "whence tap: %s, and this command by none: what they hide or drop is shown here as it came\n"+
			"hint: --config FILE names the configuration of the workers, with its rules.files\n", why)
	}
}

// upTo is the beginning of a chain, as far as one looks behind a stage.
func upTo(chain []pipeline.Processor, stage string) []pipeline.Processor {
	decode := slices.IndexFunc(chain, func(p pipeline.Processor) bool { return p.Name() == "decode" })
	switch stage {
	case "record":
		return nil
	case "decode":
		return chain[:decode+1]
	case "rules":
		if next := chain[decode+1]; next.Name() == "rules" {
			decode++
		}
		return chain[:decode+1]
	}
	return chain
}

var errShown = errors.New("enough is shown")

func (t *tapping) show(ctx context.Context, b *pipeline.Batch) error {
	for _, stage := range t.chain {
		if err := stage.Process(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", stage.Name(), err)
		}
	}
	passing := tap.Events
	if t.stage == "record" {
		passing = tap.Records
	}
	for _, p := range passing(b) {
		if t.filter != nil && !t.filter.Fits(&p.Passing) {
			continue
		}
		if err := t.write(&p); err != nil {
			return err
		}
		if t.shown++; t.shown == t.limit {
			return errShown
		}
	}
	return nil
}

func (t *tapping) write(p *tap.Passing) error {
	if t.asJSON {
		line, err := tap.JSON(p)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s\n", line)
		return err
	}
	s := style(colored(t.out))
	_, err := fmt.Fprintln(t.out, tap.Line(p, tap.Style{Time: s.faint, Kind: s.bold, Dead: s.red, Faint: s.faint}, lineWidth(t.out)))
	return err
}

// lineWidth is how wide a terminal is, 0 elsewhere.
func lineWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

func newPublish() *cobra.Command {
	var k kafkaFlags
	var topic, as string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "publish [FILE|-]...",
		Short: "Publish CloudEvents, one JSON object a line, to Kafka",
		Long: `publish reads CloudEvents (or CDEvents) as JSON lines, plain or gzip, checks
each as strictly as the pipeline will (by the limits of --config, if they are not
the usual ones), and sends it to the topic of its type. A bad line is named on
standard error and left out; the others are sent. - or no FILE at all is standard
input.

Every record is acknowledged by all in-sync replicas. It exits 1 if a line was
bad or was not acknowledged; sending a file again is safe, for the same event
again is the same event.`,
		Example: `  whence publish events.jsonl.gz
  kubectl get events -o json | my-mapping | whence publish --kafka broker-1:9092 -`,
		RunE: func(cmd *cobra.Command, files []string) error {
			format, err := formatOf(as)
			if err != nil {
				return err
			}
			cfg, err := k.config()
			if err != nil {
				return err
			}
			if len(files) == 0 {
				if isTerminal(cmd.InOrStdin()) {
					return usagef("FILE is missing: - reads standard input")
				}
				files = []string{"-"}
			}
			conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
			if err != nil {
				return err
			}
			p := &publication{
				checker: newChecker(cfg.Limits),
				stderr:  cmd.ErrOrStderr(), timeout: k.timeout,
				format: format, topic: topic, prefix: cfg.Kafka.Topics.Prefix,
			}
			if err := p.run(cmd.Context(), conn, files, cmd.InOrStdin()); err != nil {
				return err
			}
			return p.report(cmd.OutOrStdout(), asJSON)
		},
	}
	k.add(cmd)
	cmd.Flags().StringVar(&topic, "topic", "", "send everything to topic `T`, not to the topic of each type")
	cmd.Flags().StringVar(&as, "as", "msgpack", "`msgpack` (binary mode, compact) or json (structured mode)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the counts as a JSON object")
	return cmd
}

func formatOf(as string) (codec.Format, error) {
	switch as {
	case "msgpack":
		return codec.BinaryMsgpack, nil
	case "json":
		return codec.StructuredJSON, nil
	}
	return 0, usagef("--as: want msgpack or json, have %q", as)
}

// publication is one run of whence publish.
type publication struct {
	stderr  io.Writer
	timeout time.Duration
	format  codec.Format
	topic   string // empty: by type
	prefix  string // of the topics by type

	checker
	bar *progressbar.ProgressBar // of the current file
	say sync.Mutex               // for stderr and bar, since acknowledgements complain too

	published, unacknowledged atomic.Int64
	bad                       int64
	took                      time.Duration
}

func (p *publication) run(ctx context.Context, conn kafka.Connection, files []string, stdin io.Reader) error {
	to, err := kafka.OpenPublisher(conn, p.timeout)
	if err != nil {
		return err
	}
	defer to.Close()
	reaching, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := to.Reach(reaching, tellRetries(p.stderr)); err != nil {
		return err
	}
	begun := time.Now()
	for _, file := range files {
		if err = p.file(ctx, to, file, stdin); err != nil {
			break
		}
	}
	if flushed := to.Flush(ctx); err == nil {
		err = flushed
	}
	p.took = time.Since(begun)
	return err
}

func (p *publication) file(ctx context.Context, to *kafka.Publisher, name string, stdin io.Reader) error {
	in, err := openLines(name, stdin)
	if err != nil {
		return err
	}
	defer in.close()
	p.onBar(func() { p.bar = progress(p.stderr, in.size, name, progressbar.OptionShowBytes(in.size >= 0)) })
	defer p.onBar(func() { _ = p.bar.Close() })
	for in.next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: stopped at line %d: %w", name, in.number, err)
		}
		if err := p.line(ctx, to, in, name); err != nil {
			p.bad++
			p.complain(name, in.number, err)
		}
		p.onBar(func() {
			if in.size >= 0 {
				_ = p.bar.Set64(in.offset.Load())
			} else {
				_ = p.bar.Add(1)
			}
		})
	}
	if in.err != nil {
		return fmt.Errorf("%s:%d: %w", name, in.number, in.err)
	}
	return nil
}

// onBar does what touches the bar: lines of earlier files may be complained about
// still, and what clears a bar for that does not lock it.
func (p *publication) onBar(touch func()) {
	p.say.Lock()
	defer p.say.Unlock()
	touch()
}

// line sends one; its error is about the line.
func (p *publication) line(ctx context.Context, to *kafka.Publisher, in *lines, name string) error {
	parsed, m, err := p.record(in, p.format)
	if err != nil {
		return err
	}
	number := in.number
	to.Send(ctx, p.message(parsed.Topic, m), func(err error) {
		if err == nil {
			p.published.Add(1)
			return
		}
		// What Kafka refuses it refuses by the thousand: the first say it all.
		if p.unacknowledged.Add(1) <= 10 {
			p.complain(name, number, err)
		}
	})
	return nil
}

func (p *publication) message(topic string, m codec.Message) kafka.Message {
	out := kafka.Message{Topic: p.topic, Key: m.Key, Value: m.Value, Headers: make([]pipeline.Header, len(m.Headers))}
	if out.Topic == "" {
		out.Topic = p.prefix + strings.TrimPrefix(topic, topicPrefix)
	}
	for i, h := range m.Headers {
		out.Headers[i] = pipeline.Header(h)
	}
	return out
}

// topicPrefix is what the default topics of types begin with.
var topicPrefix = strings.TrimSuffix(event.TopicContext, "context")

func (p *publication) complain(file string, line int, err error) {
	p.say.Lock()
	defer p.say.Unlock()
	_ = p.bar.Clear() // the line would be written over the bar
	fmt.Fprintf(p.stderr, "%s:%d: %s\n", file, line, display.Lines(err.Error()))
	if hint := pipeline.HintOf(err); hint != "" && p.unacknowledged.Load() <= 1 {
		fmt.Fprintf(p.stderr, "hint: %s\n", display.Lines(hint))
	}
}

// report writes the counts and fails if not all is well.
func (p *publication) report(w io.Writer, asJSON bool) error {
	published, lost := p.published.Load(), p.unacknowledged.Load()
	if asJSON {
		counts := struct {
			Published      int64   `json:"published"`
			Bad            int64   `json:"bad"`
			Unacknowledged int64   `json:"unacknowledged"`
			Seconds        float64 `json:"seconds"`
		}{published, p.bad, lost, p.took.Seconds()}
		if err := json.NewEncoder(w).Encode(counts); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w, "published %s in %s\n", display.Quantity(published, "event", "events"), p.took.Round(10*time.Millisecond))
	}
	if p.bad+lost > 0 {
		return fmt.Errorf("%s bad, %s not acknowledged", display.Count(p.bad), display.Count(lost))
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/cmd/whence/demo"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/schemas/codec"
)

func newDemo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the pipeline at work on an incident of a small web shop",
		Long: `demo starts everything embedded in a temporary folder, publishes an hour of a
small web shop as its producers would, facts late and out of order, waits until
it is stored, and prints what can be known of the incident in it. The shop and
its incident are made up; Kafka protocol, pipeline and ClickHouse are real.

It ends by itself. With --keep it goes on running on the default ports, so that
the queries it shows can be repeated; Ctrl-C ends it.`,
		Example: `  whence demo
  whence demo --keep`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := demonstration{out: cmd.OutOrStdout(), progressTo: cmd.ErrOrStderr(), style: style(colored(cmd.OutOrStdout())), keep: keep}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "go on running, on the default ports")
	return cmd
}

// demonstration is one run of whence demo.
type demonstration struct {
	style
	out, progressTo io.Writer
	keep            bool

	at     addresses
	events []demo.Event
}

func (d *demonstration) run(ctx context.Context) error {
	scenario, err := demo.Load()
	if err != nil {
		return err
	}
	if d.events, err = scenario.Events(); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "whence-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)

	// The pipeline outlives the steps below, and ends before its folder goes.
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	ready := make(chan addresses, 1)
	begun := time.Now()
	go func() { ended <- d.pipeline(running, data, ready) }()
	defer func() { stop(); <-ended }()
	select {
	case err := <-ended:
		ended <- err // for the deferred wait
		return err
	case d.at = <-ready:
	}
	d.say("started Kafka (%s) and ClickHouse (%s), embedded, in %s", d.at.Kafka, d.at.ClickHouse, seconds(begun))
	if err := d.steps(running, scenario); err != nil {
		return err
	}
	if d.keep {
		d.say("\n%s", d.bold("Running until Ctrl-C. Try the curl lines above, or: "+os.Args[0]+" query \"SHOW TABLES\""))
		<-ctx.Done()
	}
	return nil
}

func (d *demonstration) steps(ctx context.Context, scenario *demo.Scenario) error {
	begun := time.Now()
	if err := d.publish(ctx, scenario.Start); err != nil {
		return err
	}
	if err := d.waitStored(ctx, d.events); err != nil {
		return err
	}
	d.say("published %s events and found every one of them stored, in %s", display.Count(len(d.events)), seconds(begun))
	return d.answer(ctx, scenario)
}

// pipeline runs what `whence up` runs.
func (d *demonstration) pipeline(ctx context.Context, data string, ready chan<- addresses) error {
	o := upOptions{Data: data, ListenKafka: "127.0.0.1:0", ListenClickHouse: "127.0.0.1:0"}
	if d.keep {
		o.ListenKafka, o.ListenClickHouse = config.Default().Kafka.Seeds[0], "127.0.0.1:8123"
	}
	if err := portsFree(o.ListenKafka, o.ListenClickHouse); err != nil {
		return err
	}
	const level = "error" // a demo's terminal is for its answers
	log, err := observe.NewLogger(d.progressTo, level, "console")
	if err != nil {
		return err
	}
	if err := os.Setenv(envLogLevel, level); err != nil {
		return err
	}
	cfg := config.Default()
	cfg.Ingest.Listen = "" // its events come over Kafka
	return runUp(ctx, cfg, o, log, observe.NewMetrics(), observe.NewHealth(), func(at addresses) { ready <- at })
}

// portsFree fails early, where the reason is plain.
func portsFree(addresses ...string) error {
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("%s is in use: is another whence running? (%w)", a, err)
		}
		_ = l.Close()
	}
	return nil
}

// publish sends the events as the shop's producers would: each over a
// connection of its own, those of one minute at the same time. What happened
// before the hour is known before it begins.
func (d *demonstration) publish(ctx context.Context, start time.Time) error {
	producers := map[string]*producer{}
	defer func() {
		for _, p := range producers {
			p.to.Close()
		}
	}()
	for _, e := range d.events {
		if producers[e.Producer] != nil {
			continue
		}
		to, err := kafka.OpenPublisher(kafka.Connection{Seeds: strings.Split(d.at.Kafka, ","), ClientID: e.Producer, Log: zap.NewNop()}, 30*time.Second)
		if err != nil {
			return err
		}
		producers[e.Producer] = newProducer(e.Producer, to)
	}
	bar := progress(d.progressTo, int64(len(d.events)), "publishing")
	defer bar.Close()
	for from := 0; from < len(d.events); {
		to := d.minute(from, start)
		if slices.ContainsFunc(d.events[from:to], func(e demo.Event) bool { return e.Late }) {
			// In life minutes go by: what was said before is stored by now.
			if err := d.waitStored(ctx, d.events[:from]); err != nil {
				return err
			}
		}
		if err := d.publishTogether(ctx, producers, d.events[from:to]); err != nil {
			return err
		}
		_ = bar.Add(to - from)
		if d.events[from].Published.Before(start) {
			if err := d.waitStored(ctx, d.events[:to]); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// minute is where the events end that are published in the same minute as
// event i, or like it before the start.
func (d *demonstration) minute(i int, start time.Time) int {
	until := start
	if at := d.events[i].Published; !at.Before(start) {
		until = at.Truncate(time.Minute).Add(time.Minute)
	}
	for i < len(d.events) && d.events[i].Published.Before(until) {
		i++
	}
	return i
}

func (d *demonstration) publishTogether(ctx context.Context, producers map[string]*producer, events []demo.Event) error {
	var all errgroup.Group
	for name, p := range producers {
		all.Go(func() error {
			for _, e := range events {
				if e.Producer == name {
					if err := p.send(ctx, e.JSON); err != nil {
						return err
					}
				}
			}
			return p.flush(ctx)
		})
	}
	return all.Wait()
}

// producer is one of the shop's producers: the SDK and the mesh speak compact
// msgpack, the tools JSON.
type producer struct {
	to      *kafka.Publisher
	publish publication
	failed  chan error
}

func newProducer(name string, to *kafka.Publisher) *producer {
	p := &producer{to: to, failed: make(chan error, 1), publish: publication{prefix: topicPrefix, format: codec.StructuredJSON}}
	if name == demo.SDK || name == demo.Mesh {
		p.publish.format = codec.BinaryMsgpack
	}
	return p
}

func (p *producer) send(ctx context.Context, line []byte) error {
	parsed, err := p.publish.decoder.CheckLine(line)
	if err != nil {
		return err
	}
	m, err := p.publish.encoder.Line(line, p.publish.format)
	if err != nil {
		return err
	}
	p.to.Send(ctx, p.publish.message(parsed.Topic, m), func(err error) {
		if err != nil {
			select {
			case p.failed <- err:
			default: // one is enough
			}
		}
	})
	return nil
}

func (p *producer) flush(ctx context.Context) error {
	if err := p.to.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-p.failed:
		return err
	default:
		return nil
	}
}

// waitStored waits until the tables hold what was published.
func (d *demonstration) waitStored(ctx context.Context, published []demo.Event) error {
	facts, stages := 0, 0
	for _, e := range published {
		if e.Fact {
			facts++
		}
		if bytes.Contains(e.JSON, []byte(`"io.whence.deployment.`)) || bytes.Contains(e.JSON, []byte(`"io.whence.incident.`)) {
			stages++
		}
	}
	for _, want := range []struct {
		sql  string
		rows int
	}{
		{"SELECT count() FROM facts FINAL", facts},
		{"SELECT sum(facts) FROM (SELECT facts FROM deployments FINAL UNION ALL SELECT facts FROM incidents FINAL)", stages},
		{"SELECT count() FROM observations FINAL", len(published) - facts},
		{allClosed, 1},
	} {
		if err := d.waitFor(ctx, want.sql, want.rows); err != nil {
			return err
		}
	}
	return nil
}

// allClosed is 1 when every fact stored is in every row it concerns.
const allClosed = `SELECT (SELECT max(revision) FROM whence_state.reconciled) >=
    (SELECT max(bitShiftLeft(epoch, 40) + toUInt64(to_offset - 1)) FROM whence_state.batches INNER JOIN whence_state.epochs USING (topic_id))`

// storeTime is how long a demo waits for its rows before it gives up.
const storeTime = 2 * time.Minute

func (d *demonstration) waitFor(ctx context.Context, sql string, want int) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		rows, err := d.ask(ctx, sql)
		have := "no answer"
		if err == nil && len(rows) == 1 {
			have = rows[0][0]
			if n, err := strconv.Atoi(have); err == nil && n >= want {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d rows, have %s: %s: %w", want, have, sql, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// ask returns the cells of a result.
func (d *demonstration) ask(ctx context.Context, sql string) ([][]string, error) {
	var out bytes.Buffer
	if err := (query{sql: sql, format: "TabSeparated"}).run(ctx, clickHouseFlags{url: d.at.ClickHouse}, &out); err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

func (d *demonstration) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func seconds(since time.Time) string { return time.Since(since).Round(100 * time.Millisecond).String() }

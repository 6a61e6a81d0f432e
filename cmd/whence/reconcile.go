package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/schemas/event"
)

func newReconcile() *cobra.Command {
	var c clickHouseFlags
	var services []string
	var environment string
	within := newSpan()
	cmd := &cobra.Command{
		Use:   "reconcile --service S [--from TIME] [--to TIME]",
		Short: "Correct a service's rows now, or see which corrections are pending",
		Long: `Workers correct rows by themselves when late facts come: whence reconcile status
shows how far they are.

reconcile --service computes the rows of a service anew, as observations state
its name, from all facts that are stored, and rewrites those that are wrong.
That is needed only where something outside of whence has changed them. It may
run while workers do.`,
		Example: `  whence reconcile status
  whence reconcile --service checkout --from 2026-03-12T10:00:00Z --to 2026-03-12T12:00:00Z`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(services) == 0 {
				return usagef("--service is missing: it names the service whose rows are computed anew")
			}
			if err := within.check(); err != nil {
				return err
			}
			region := event.Region{
				Services: services, From: within.from.at, To: within.to.at,
				Environment: environment, AnyEnvironment: !cmd.Flags().Changed("environment"),
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				if err := known(ctx, store, services); err != nil {
					return err
				}
				f, err := recallFacts(ctx, store, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				wrong, err := f.correct(ctx, []event.Region{region}, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), rowsRewritten(wrong))
				return nil
			})
		},
	}
	c.add(cmd)
	cmd.Flags().StringSliceVar(&services, "service", nil, "`NAME` as observations state it; more with commas")
	cmd.Flags().StringVar(&environment, "environment", "", "`NAME`, that alone (default: every environment)")
	within.add(cmd)
	cmd.AddCommand(newReconcileStatus())
	return cmd
}

// known fails where no observation states the name of one of the services: that
// no row of it is wrong would be true and say the wrong thing.
func known(ctx context.Context, store *clickhouse.Client, services []string) error {
	stated, err := store.Stated(ctx, services)
	if err != nil {
		return err
	}
	for _, s := range services {
		if !slices.Contains(stated, s) {
			return &pipeline.Error{Err: fmt.Errorf("no observation is of a service %s", display.Line(s)),
				Hint: "--service wants a name as observations state it, before aliases: whence query 'SELECT DISTINCT service FROM observations'"}
		}
	}
	return nil
}

func (s *span) add(cmd *cobra.Command) {
	cmd.Flags().Var(&s.from, "from", "events from `TIME` on: 2026-03-12T14:05:00Z, 2026-03-12 or how long ago, as 24h (default: all)")
	cmd.Flags().Var(&s.to, "to", "events before `TIME` (default: all)")
}

// withStore opens a ClickHouse for the length of do.
func withStore(ctx context.Context, c clickHouseFlags, do func(context.Context, *clickhouse.Client) error) error {
	store, err := clickhouse.Open(ctx, c.config())
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Ping(ctx); err != nil {
		if exception := new(clickhouse.Exception); !errors.As(err, &exception) { // it did not even refuse
			return &pipeline.Error{Err: err, Hint: nameClickHouse}
		}
		return err
	}
	return do(ctx, store)
}

func newReconcileStatus() *cobra.Command {
	var c clickHouseFlags
	var k kafkaFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Which facts are not in every row yet, and what they wait for",
		Long: `status compares what the context log holds with what is corrected. A fact is
closed when every partition has promised to know it and the rows it concerns are
rewritten. Pending facts for longer than a few seconds mean that a partition
does not promise: its worker is away or behind.`,
		Example: `  whence reconcile status
  whence reconcile status --config worker.yaml --json | jq .quiet`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := k.config()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), k.timeout)
			defer cancel()
			return withStore(ctx, c.or(cfg, k.file != ""), func(ctx context.Context, store *clickhouse.Client) error {
				s, err := readReconcileStatus(ctx, cfg, store)
				if err != nil {
					return err
				}
				return s.print(cmd.OutOrStdout(), asJSON)
			})
		},
	}
	k.add(cmd)
	c.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// or takes what no flag says from a configuration file.
func (c clickHouseFlags) or(cfg *config.Config, fromFile bool) clickHouseFlags {
	if fromFile {
		c.url = cmp.Or(c.url, cfg.ClickHouse.URL)
		c.user = cmp.Or(c.user, cfg.ClickHouse.User)
		c.passwordFile = cmp.Or(c.passwordFile, cfg.ClickHouse.PasswordFile)
	}
	return c
}

// reconcileStatus is how far corrections are.
type reconcileStatus struct {
	Cursor       uint64          `json:"cursor"`      // facts up to this revision are in every row
	ContextEnd   uint64          `json:"context_end"` // the last revision there is to close; 0: none is known
	PendingFacts uint64          `json:"pending_facts"`
	WaitingFor   []kafka.Promise `json:"waiting_for"` // partitions that do not promise to know the last fact yet
	LastClosed   *time.Time      `json:"last_closed"`
	Corrected    uint64          `json:"corrected"` // rows, ever
	Quiet        bool            `json:"quiet"`
}

func readReconcileStatus(ctx context.Context, cfg *config.Config, store *clickhouse.Client) (*reconcileStatus, error) {
	conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
	if err != nil {
		return nil, err
	}
	topic, err := kafka.DescribeContext(ctx, conn, cfg.Kafka.Topics.ContextName())
	if err != nil {
		return nil, err
	}
	corrections, err := store.Corrections(ctx, topic.ID)
	if err != nil {
		return nil, err
	}
	s := reconcileStatusOf(topic, corrections)
	promises, err := kafka.OpenPromises(conn, cfg.Kafka.Group, cfg.Kafka.Topics.InputNames(), cfg.Kafka.Topics.ContextName())
	if err != nil {
		return nil, err
	}
	defer promises.Close()
	all, err := promises.Read(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Revision < s.ContextEnd && s.PendingFacts > 0 {
			s.WaitingFor = append(s.WaitingFor, p)
		}
	}
	return s, nil
}

// reconcileStatusOf is what is pending of a context log, and of former ones. It counts
// from the cursor on, though the log may begin later: what is trimmed off it is
// stored, and no less open for that.
func reconcileStatusOf(topic kafka.ContextTopic, k clickhouse.Corrections) *reconcileStatus {
	s := &reconcileStatus{
		Cursor: k.Cursor, Corrected: k.Rows, LastClosed: k.LastClosed, WaitingFor: []kafka.Promise{},
		PendingFacts: k.Former, ContextEnd: k.LastFormer,
	}
	switch {
	case k.Epoch == 0: // no worker has met this log yet, so nothing of it is stored
		s.PendingFacts += uint64(topic.End - topic.Start)
	case topic.End > 0:
		s.ContextEnd = kafka.Revision(k.Epoch, topic.End-1)
		begin := max(s.Cursor+1, kafka.Revision(k.Epoch, 0))
		s.PendingFacts += s.ContextEnd + 1 - min(begin, s.ContextEnd+1)
	}
	s.Quiet = s.PendingFacts == 0
	return s
}

func (s *reconcileStatus) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	if s.Quiet {
		fmt.Fprintln(w, "every fact is in every row it concerns")
	} else {
		fmt.Fprintf(w, "%s not in every row yet\n", display.Quantity(s.PendingFacts, "fact is", "facts are"))
	}
	fmt.Fprintf(w, "%s corrected so far", display.Quantity(s.Corrected, "row was", "rows were"))
	if s.LastClosed != nil {
		fmt.Fprintf(w, ", the last fact was closed at %s", s.LastClosed.Format(time.RFC3339))
	}
	fmt.Fprintln(w)
	if len(s.WaitingFor) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\npartitions that do not promise to know the last fact yet:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range s.WaitingFor {
		behind := "nothing promised yet"
		switch {
		case p.Revision>>40 != s.ContextEnd>>40 && p.Revision > 0:
			behind = "what it promised was of a former context log"
		case p.Revision > 0:
			behind = display.Quantity(s.ContextEnd-p.Revision, "fact", "facts") + " behind"
		}
		if p.Other {
			behind += otherConfiguration
		}
		fmt.Fprintf(table, "  %s\t%d\t%s\n", p.Topic, p.Partition, behind)
	}
	return table.Flush()
}

// otherConfiguration is said of a partition that no worker of this one will bring on.
// Without its offset a batch that was announced may be cut anew, once the topic is read
// again, and its records be counted twice.
const otherConfiguration = ", of no input of this configuration: a worker that reads it brings it on; " +
	"if none does and none ever will again, delete the group's offset of it"

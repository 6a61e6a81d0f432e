package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/kafka"
)

func newTopics() *cobra.Command {
	var check, asJSON bool
	var k kafkaFlags
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create or check the Kafka topics",
		Long: `topics creates the topics that are missing and compares the others with what
they should be, setting by setting. It never changes a topic that is there.

With --check it creates nothing, and exits 1 if a topic is missing or differs.`,
		Example: `  whence topics --kafka broker-1:9092
  whence topics --config worker.yaml --check --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := k.config()
			if err != nil {
				return err
			}
			conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), k.timeout)
			defer cancel()
			if err := reach(ctx, cmd.ErrOrStderr(), conn, k.timeout); err != nil {
				return err
			}
			retention := cfg.Kafka.Topics.Retention.Std()
			switch id, err := kafka.ClusterID(ctx, conn); {
			case err != nil:
				return err
			case id == embedded.ClusterID: // whence up has made these
				retention = forEmbedded(&cfg.Kafka.Topics)
			}
			own, err := configuredRules(cfg, nil)
			if err != nil {
				return err
			}
			specs := append(kafka.TopicSpecs(cfg.Kafka.Topics, retention), kafka.RoutedSpecs(own.Routes())...)
			states, err := kafka.Topics(ctx, conn, specs, cfg.Kafka.Topics.Replication, check)
			if err != nil {
				return err
			}
			if err := printTopics(cmd.OutOrStdout(), states, asJSON); err != nil {
				return err
			}
			return judgeTopics(states, check)
		},
	}
	k.add(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "create nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a topic")
	return cmd
}

func printTopics(w io.Writer, states []kafka.TopicState, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		for _, s := range states {
			if err := out.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range states {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.State, display.Quantity(s.Partitions, "partition", "partitions"))
		for _, d := range s.Differences {
			fmt.Fprintf(table, "\t  %s\t\n", d)
		}
	}
	return table.Flush()
}

// judgeTopics fails on what whence can't work with, and for --check on
// everything that is not as it should be.
func judgeTopics(states []kafka.TopicState, check bool) error {
	var missing, differing, breaking int64
	for _, s := range states {
		if s.State == kafka.TopicMissing {
			missing++
		}
		if len(s.Differences) > 0 {
			differing++
		}
		for _, d := range s.Differences {
			if d.Breaks {
				breaking++
			}
		}
	}
	switch {
	case breaking > 0:
		return errors.New("the context topic can't be used: it must have one partition")
	case check && missing+differing > 0:
		return fmt.Errorf("%s missing, %s not as they should be", display.Quantity(missing, "topic", "topics"), display.Count(differing))
	case missing > 0:
		return fmt.Errorf("%s missing that whoever owns it has to create; or state partitions in kafka.topics.inputs", display.Quantity(missing, "topic", "topics"))
	}
	return nil
}

// reach waits for a broker and tells on w what it waits for.
func reach(ctx context.Context, w io.Writer, conn kafka.Connection, timeout time.Duration) error {
	p, err := kafka.OpenPublisher(conn, timeout)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Reach(ctx, tellRetries(w))
}

func tellRetries(w io.Writer) func(error, time.Duration) {
	return func(err error, next time.Duration) {
		fmt.Fprintf(w, "kafka does not answer, trying again in %s: %v\n", next.Round(10*time.Millisecond), err)
	}
}

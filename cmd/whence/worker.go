package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/config"
)

func newWorker() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "worker --config FILE",
		Short: "Run one worker on real Kafka and ClickHouse",
		Long: `worker runs the chain decode, validate, timeline, enrich, store over the
partitions that its consumer group assigns to it. Start as many as wanted: they
share the work by partitions, and what one leaves, another takes up.

Topics and tables must be there: whence topics and whence migrate make them.
SIGTERM finishes the batches under way and leaves the group.`,
		Example: `  whence worker --config worker.yaml`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("--config is missing")
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if err := rulesAreThere(cfg, file); err != nil {
				return err
			}
			p, err := startObserving(cfg.Observe, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			return runWorker(cmd.Context(), cfg, p.log, p.metrics, p.health, func() {
				p.log.Info("ready", zap.Strings("kafka", cfg.Kafka.Seeds), zap.String("clickhouse", cfg.ClickHouse.URL))
				fmt.Fprintf(cmd.OutOrStdout(), "whence worker is ready%s\n", metricsSuffix(p.address()))
			})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` (YAML)")
	return cmd
}

func metricsSuffix(address string) string {
	if address == "" {
		return ""
	}
	return ": metrics http://" + address + "/metrics"
}

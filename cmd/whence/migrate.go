package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/observe"
)

func newMigrate() *cobra.Command {
	var c clickHouseFlags
	var cluster bool
	var timeout, keep time.Duration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update the tables and views in ClickHouse",
		Long: `migrate brings the databases whence and whence_state to this version's tables
and views. It is safe to run again, and safe to run while workers work.`,
		Example: `  whence migrate --clickhouse http://clickhouse:8123 --user whence --password-file secret`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := observe.NewLogger(cmd.ErrOrStderr(), "warn", "console")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			cfg := c.config()
			cfg.Cluster = cluster
			store, err := clickhouse.Open(ctx, cfg)
			if err != nil {
				return err
			}
			defer store.Close()
			if err := store.Migrate(ctx, log); err != nil {
				return err
			}
			if err := store.KeepHistory(ctx, keep); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the tables and views are those of this version")
			return nil
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&cluster, "cluster", false, "on every server of the cluster that the servers' macro {cluster} names, replicated")
	cmd.Flags().DurationVar(&keep, "keep-history", config.Default().History.Keep.Std(), "how long observations_history keeps what rows said before a correction; 0: for ever")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	return cmd
}

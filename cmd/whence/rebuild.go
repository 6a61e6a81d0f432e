package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func newRebuild() *cobra.Command {
	var c clickHouseFlags
	within := newSpan()
	cmd := &cobra.Command{
		Use:   "rebuild [--from TIME] [--to TIME]",
		Short: "Compute rows, vitals and entities anew from the events stored",
		Long: `rebuild computes the context of every observation between two times anew, from
all facts that are stored, and rewrites the rows that are wrong; then every
entity, and the vitals of those minutes. The content is the same afterwards
unless something outside of whence has changed it. It may run while workers do,
and begin again where it was interrupted.

whence replay reads Kafka again instead, for events that ClickHouse has lost.`,
		Example: `  whence rebuild --from 2026-03-12 --to 2026-03-13
  whence rebuild --from 24h`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := within.check(); err != nil {
				return err
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				f, err := recallFacts(ctx, store, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				all := []event.Region{{AnyEnvironment: true, From: within.from.at, To: within.to.at}}
				wrong, err := f.correct(ctx, all, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				if err := store.DeriveAll(ctx, f.known); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), rowsRewritten(wrong)+"; entities and vitals are computed anew")
				return nil
			})
		},
	}
	c.add(cmd)
	within.add(cmd)
	return cmd
}

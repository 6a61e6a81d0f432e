package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
)

// versionTable is where goose notes which migrations have run.
const versionTable = "whence_state.migrations"

// Migrate brings the tables to the version of this binary. Several workers may
// do it at the same moment: ClickHouse has no lock to take and no transaction
// around DDL, so every statement of a migration can run twice (IF NOT EXISTS,
// OR REPLACE), which also heals a migration that was cut off in the middle.
func (c *Client) Migrate(ctx context.Context, log *zap.Logger) error {
	const attempts = 5
	var err error
	for attempt := range attempts {
		if err = c.migrate(ctx, log); err == nil || pipeline.ClassOf(err) == pipeline.Fatal {
			return err
		}
		// Another worker's statement got in between. The next look sees it.
		log.Debug("migrate again", zap.Int("attempt", attempt+1), zap.Error(err))
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(100 * time.Millisecond << attempt):
		}
	}
	return err
}

func (c *Client) migrate(ctx context.Context, log *zap.Logger) error {
	variant, onCluster, engine := "migrations/single", "", "MergeTree"
	if c.config.Cluster {
		variant, onCluster = "migrations/cluster", " ON CLUSTER '{cluster}'"
		engine = "ReplicatedMergeTree('/clickhouse/tables/{database}/{table}', '{shard}-{replica}')"
	}
	// goose's own table comes before its first migration, in a database that
	// has to be there, and must be the same seen from every replica.
	for _, statement := range []string{
		"CREATE DATABASE IF NOT EXISTS whence_state" + onCluster + " ENGINE = Atomic",
		"CREATE TABLE IF NOT EXISTS " + versionTable + onCluster + ` (version_id Int64, is_applied UInt8,
			date Date DEFAULT now(), tstamp DateTime DEFAULT now()) ENGINE = ` + engine + " ORDER BY version_id",
	} {
		if err := c.exec(ctx, statement, nil); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	files, err := fs.Sub(tables.Migrations, variant)
	if err != nil {
		return pipeline.Fatalf("this is a bug", "migrate: %w", err)
	}
	store, err := database.NewStore(goose.DialectClickHouse, versionTable)
	if err != nil {
		return pipeline.Fatalf("this is a bug", "migrate: %w", err)
	}
	provider, err := goose.NewProvider("", c.db, files, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return pipeline.Fatalf("this is a bug", "migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	for _, result := range results {
		log.Info("migrated", zap.String("migration", result.Source.Path), zap.Duration("took", result.Duration))
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", Classify(err))
	}
	return nil
}

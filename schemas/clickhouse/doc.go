// Package tables is how events lie in ClickHouse: the migrations that make the
// tables, the statements that derive entities from facts, and blocks of
// columns that become one INSERT each.
//
//	block := tables.NewObservations()
//	block.Append(&observation, &enrichment)
//	err := client.Insert(ctx, block, token) // package pipeline/clickhouse
//
// Blocks are laid over ch-go's proto package and not over clickhouse-go,
// whose batches take `any`, reflect over every map, array and pointer, and
// give no say over the bytes that go out.
package tables

import "embed"

// Migrations holds the migrations for goose: migrations/single for one
// server, migrations/cluster for ON CLUSTER with replicated tables.
//
//go:embed migrations
var Migrations embed.FS

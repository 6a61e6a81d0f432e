// Package clickhouse is the pipeline's hold on ClickHouse, and the only
// importer of clickhouse-go.
//
//	client, err := clickhouse.Open(ctx, clickhouse.Config{URL: "http://127.0.0.1:8123"})
//	err = client.Migrate(ctx, zap.NewNop())
//	err = client.Insert(ctx, block, token)      // one block of columns, one POST
//	err = client.Derive(ctx, revision, facts)   // entities that those facts touch
//	err = client.Snapshot(ctx, log, after, upTo, timeline.Apply)
//
// Inserts are plain HTTP and not clickhouse-go's batch: what is stored under a
// deduplication token must be all of a batch or nothing, so the body is built
// whole, goes out with its Content-Length (a body that is cut off is then an
// error for the server too), and the rows that the server says it wrote are
// compared with the rows sent. clickhouse-go gives no hold on the body and
// hides the summary. Snapshots are read as they come, in blocks of columns. It
// does everything else: queries, DDL, migrations.
package clickhouse

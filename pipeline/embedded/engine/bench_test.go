package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// BenchmarkOpen starts an engine on an empty directory, up to its readiness, and stops it.
func BenchmarkOpen(b *testing.B) {
	needLibrary(b)
	for b.Loop() {
		child, err := engine.Start(b.Context(), engine.ChildConfig{Data: b.TempDir(), Listen: "127.0.0.1:0"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(residentMemory(child.PID()))/1e6, "MB-resident")
		child.Stop()
	}
}

// BenchmarkSelectOne is the cost of a request.
func BenchmarkSelectOne(b *testing.B) {
	c := engineFor(b)
	conn := dial(b, c, clickhouse.CompressionNone)
	for b.Loop() {
		var one uint8
		if err := conn.QueryRow(b.Context(), "SELECT 1").Scan(&one); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(residentMemory(shared.child.PID()))/1e6, "MB-resident")
}

// BenchmarkInsert sends batches of observations as clickhouse-go does.
func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{200, 20_000, 200_000} {
		for _, name := range []string{"none", "lz4"} {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, name), func(b *testing.B) {
				c := engineFor(b)
				c.must(b, `CREATE TABLE t (service LowCardinality(String), environment LowCardinality(String), time DateTime64(3, 'UTC'),
					name LowCardinality(String), source LowCardinality(String), id String, value Float64, attributes Map(LowCardinality(String), String))
					ENGINE = ReplacingMergeTree PARTITION BY toDate(time) ORDER BY (service, environment, toStartOfMinute(time), name, time, source, id)
					SETTINGS non_replicated_deduplication_window = 100000`)
				conn := dial(b, c, methods[name])
				at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
				n := 0
				for b.Loop() {
					n++
					ctx := clickhouse.Context(b.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint("b", n)}))
					batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
					if err != nil {
						b.Fatal(err)
					}
					for i := range rows {
						if err := batch.Append("service-"+fmt.Sprint(i%20), "production", at.Add(time.Duration(n*rows+i)*time.Millisecond),
							"checkout", "/sdk/web", fmt.Sprintf("%d-%d", n, i), float64(i), map[string]string{"region": "eu", "path": "/a/b"}); err != nil {
							b.Fatal(err)
						}
					}
					if err := batch.Send(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
				if got := strings.TrimSpace(c.must(b, "SELECT count() FROM t")); got != fmt.Sprint(n*rows) {
					b.Errorf("%s rows of %d", got, n*rows)
				}
			})
		}
	}
}

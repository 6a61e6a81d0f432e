package clickhouse

import (
	"fmt"
	"testing"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Rows into the engine, 50,000 an insert; the time is the caller's, with the
// engine on the same cores.
func BenchmarkInsertObservations(b *testing.B) {
	client := connect(b)
	empty(b, client, "whence.observations")
	const rows = 50_000
	block := observations("bench", rows, 10)
	n := 0
	for b.Loop() {
		n++
		must(b, client.Insert(b.Context(), block, fmt.Sprintf("bench|%d", n)))
	}
	b.ReportMetric(float64(n)*rows/b.Elapsed().Seconds(), "rows/s")
	empty(b, client, "whence.observations")
}

// What a batch of 100 facts of 100 deployments costs after its insert, among
// a million facts.
func BenchmarkDerive(b *testing.B) {
	client := connect(b)
	empty(b, client, factTables()...)
	fact := func(i int) event.Fact {
		f := said(fmt.Sprintf("fact-%d", i), "deployment.progressed", int64(i), fmt.Sprintf(
			`{"deployment_id":"deployment-%d","service":"service-%d","environment":"production","version":"v%d","percent":50}`, i/3, i%500, i/3))
		f.Revision = uint64(i + 1)
		return f
	}
	const million, chunk = 1_000_000, 50_000
	block := tables.NewFacts()
	for i := range million {
		f := fact(i)
		block.Append(&f)
		if block.Rows() == chunk {
			must(b, client.Insert(b.Context(), block, fmt.Sprintf("bench-derive|%d", i)))
			block.Reset()
		}
	}
	// Far from each other, as late facts are.
	touched := make([]event.Fact, 100)
	for i := range touched {
		touched[i] = fact(i * million / len(touched))
	}
	for b.Loop() {
		must(b, client.Derive(b.Context(), million+1, touched))
	}
	empty(b, client, factTables()...)
}

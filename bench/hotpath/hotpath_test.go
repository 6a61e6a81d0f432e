// Package hotpath measures what one observation costs a worker: decode,
// validate, enrich and the columns of its row, with 100,000 facts known.
//
//	go test -run '^$' -bench . -count 10 ./bench/hotpath
package hotpath

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/enrich"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/processors/validate"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"

	"github.com/ClickHouse/ch-go/proto"
)

const (
	services = 200
	facts    = 100_000
)

var start = event.MillisOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))

// known is a timeline of deployments, flags and incidents, spread over
// services: a step every 100 seconds.
func known() *timeline.Memory {
	t := timeline.NewMemory(nil)
	all := make([]event.Fact, 0, facts)
	for i := range facts {
		service := fmt.Sprintf("service-%d", i%services)
		f := event.Fact{Event: event.Event{Source: "bench", ID: fmt.Sprint(i), Time: start + event.Millis(i*100), Hash: uint64(i)},
			Revision: uint64(i), Service: service, Environment: "production"}
		switch n := i / services; n % 5 {
		case 0, 1, 2:
			stages := []string{"started", "progressed", "finished"}
			f.Type, f.Kind, f.EntityID = "io.whence.deployment."+stages[n%5], "deployment", fmt.Sprintf("%s-%d", service, n/5)
			d := &event.Deployment{Stage: event.Stage(n%5 + 1), DeploymentID: f.EntityID, Service: service, Environment: "production",
				Version: fmt.Sprintf("v%d", n/5), Percent: event.Unknown, Revisions: []string{fmt.Sprintf("r%d", i)}}
			if d.Stage == event.Finished {
				d.Outcome = "success"
			}
			f.Payload = d
		case 3:
			f.Type, f.Kind, f.EntityID = "io.whence.flag.changed", "flag", fmt.Sprintf("flag-%d", n%7)
			f.Payload = &event.Flag{Flag: f.EntityID, Environment: "production", Services: []string{service}, Rules: `{"on":50}`}
		default:
			f.Type, f.Kind, f.EntityID = "io.whence.incident.opened", "incident", fmt.Sprintf("incident-%d", i)
			f.Payload = &event.Incident{Stage: event.IncidentOpened, IncidentID: f.EntityID, Service: service,
				Environment: "production", Severity: "low", EndedAt: f.Time + 50_000}
		}
		all = append(all, f)
	}
	t.Timeline.Apply(all)
	return t
}

// published is a batch of behaviour as our publisher writes it.
func published(b *testing.B, records int, format codec.Format) []pipeline.Record {
	var encoder codec.Encoder
	batch := make([]pipeline.Record, records)
	for i := range batch {
		at := (start + event.Millis(facts*100-records+i)).Time().Format(time.RFC3339Nano)
		m, err := encoder.Line(fmt.Appendf(nil, `{"specversion":"1.0","id":"%08d","source":"web/shop","type":"io.whence.behavior.recorded","time":%q,`+
			`"data":{"name":"checkout","service":"service-%d","environment":"production","user":"u%d","session":"s%d","version":"v66",`+
			`"instance":"i-%d","ok":true,"duration_ms":%d.5,"value":12.5,"attributes":{"country":"de","device":"phone","plan":"pro"}}}`,
			i, at, i%services, i%5000, i%9000, i%40, i%300), format)
		if err != nil {
			b.Fatal(err)
		}
		batch[i] = pipeline.Record{Key: m.Key, Value: m.Value, Offset: int64(i), Timestamp: start}
		for _, h := range m.Headers {
			batch[i].Headers = append(batch[i].Headers, pipeline.Header(h))
		}
	}
	return batch
}

func BenchmarkObservation(b *testing.B) {
	// Batches as polls bring them: the larger one is beyond a core's cache.
	for _, records := range []int{1000, 10_000} {
		for name, format := range map[string]codec.Format{"msgpack": codec.BinaryMsgpack, "json": codec.StructuredJSON} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, records), func(b *testing.B) { benchmark(b, records, format) })
		}
	}
}

func benchmark(b *testing.B, records int, format codec.Format) {
	ctx := context.Background()
	chain := []pipeline.Processor{decode.New(decode.Config{}), validate.New(validate.Config{}), &enrich.Processor{Timeline: known()}}
	batch := &pipeline.Batch{Topic: "whence.behavior", To: int64(records), Records: published(b, records, format)}
	block := tables.NewObservations()
	var wire proto.Buffer
	b.ReportAllocs()
	// An operation is one observation, so that ns/op and allocs/op are its cost.
	for done := 0; b.Loop(); done++ {
		if done%records != 0 {
			continue
		}
		batch.Facts, batch.Observations, batch.Others, batch.Dead = batch.Facts[:0], batch.Observations[:0], batch.Others[:0], batch.Dead[:0]
		for _, stage := range chain {
			if err := stage.Process(ctx, batch); err != nil {
				b.Fatal(err)
			}
		}
		if len(batch.Observations) != records {
			b.Fatalf("%d observations, %d dead: %+v", len(batch.Observations), len(batch.Dead), batch.Dead[:min(1, len(batch.Dead))])
		}
		block.Reset()
		for i := range batch.Observations {
			block.Append(&batch.Observations[i], &batch.Enrichments[i])
		}
		wire.Reset()
		if err := (proto.Block{Rows: block.Rows()}).EncodeRawBlock(&wire, 0, block.Input()); err != nil {
			b.Fatal(err)
		}
	}
}

// Package otlp measures what spans cost a worker: an export request as the
// OpenTelemetry Collector's Kafka exporter writes it, decoded, validated,
// enriched and laid out in the columns of its rows.
//
//	go test -run '^$' -bench . -count 10 ./bench/otlp
package otlp

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/enrich"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/processors/validate"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const (
	records  = 20
	spans    = 512 // of a record: what an SDK exports at once
	services = 50
)

// known is a timeline of deployments, ten of each service.
func known() *timeline.Memory {
	t := timeline.NewMemory(nil)
	var all []event.Fact
	for i := range services * 10 {
		service, at := fmt.Sprintf("service-%d", i%services), event.MillisOf(start)-event.Millis(i)*60_000
		d := &event.Deployment{Stage: event.Finished, DeploymentID: fmt.Sprint(i), Service: service, Environment: "production",
			Version: fmt.Sprintf("v%d", i/services), Percent: event.Unknown, Outcome: "success"}
		all = append(all, event.Fact{Event: event.Event{Source: "bench", ID: fmt.Sprint(i), Type: "io.whence.deployment.finished", Time: at, Hash: uint64(i)},
			Revision: uint64(i + 1), Kind: "deployment", EntityID: d.DeploymentID, Service: service, Environment: "production", Payload: d})
	}
	t.Timeline.Apply(all)
	return t
}

// exported is a record: the spans of one instance. Of ten, served are of servers,
// the others of clients and of work inside.
func exported(b *testing.B, record, served int) []byte {
	t := ptrace.NewTraces()
	from := t.ResourceSpans().AppendEmpty()
	for _, a := range [][2]string{
		{"service.name", fmt.Sprintf("service-%d", record%services)}, {"service.namespace", "shop"}, {"service.version", "v3"},
		{"service.instance.id", fmt.Sprintf("service-%d-7d9f-%d", record%services, record)}, {"deployment.environment.name", "production"},
		{"telemetry.sdk.name", "opentelemetry"}, {"telemetry.sdk.language", "go"}, {"telemetry.sdk.version", "1.47.0"},
		{"k8s.pod.name", fmt.Sprintf("service-%d-7d9f-%d", record%services, record)}, {"k8s.namespace.name", "shop"},
		{"cloud.region", "eu-west-1"}, {"host.name", "ip-10-1-2-3"},
	} {
		from.Resource().Attributes().PutStr(a[0], a[1])
	}
	scope := from.ScopeSpans().AppendEmpty()
	scope.Scope().SetName("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp")
	for i := range spans {
		fill(scope.Spans().AppendEmpty(), record, i, served)
	}
	raw, err := ptraceotlp.NewExportRequestFromTraces(t).MarshalProto()
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

func fill(s ptrace.Span, record, i, served int) {
	var trace pcommon.TraceID
	var id pcommon.SpanID
	binary.LittleEndian.PutUint64(trace[:], uint64(record+1))
	binary.LittleEndian.PutUint64(trace[8:], uint64(i/10+1))
	binary.LittleEndian.PutUint64(id[:], uint64(record*spans+i+1))
	s.SetTraceID(trace)
	s.SetSpanID(id)
	s.SetParentSpanID(pcommon.SpanID{1, 2, 3})
	at := start.Add(time.Duration(record*spans+i) * 10 * time.Millisecond)
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(i%97) * 173 * time.Microsecond)))
	a := s.Attributes()
	switch {
	case i%10 < served:
		s.SetName("GET /orders/{id}")
		s.SetKind(ptrace.SpanKindServer)
		a.PutStr("http.request.method", "GET")
		a.PutStr("http.route", "/orders/{id}")
		a.PutStr("url.path", fmt.Sprintf("/orders/%d", i))
		a.PutStr("url.scheme", "https")
		a.PutStr("server.address", "shop.example.com")
		a.PutInt("server.port", 443)
		a.PutInt("http.response.status_code", 200)
		a.PutStr("client.address", "10.0.0.17")
		a.PutStr("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)")
		a.PutStr("network.protocol.version", "2")
		a.PutStr("user.id", fmt.Sprintf("u%d", i%1000))
	case i%2 == 0:
		s.SetName("GET")
		s.SetKind(ptrace.SpanKindClient)
		a.PutStr("http.request.method", "GET")
		a.PutStr("url.full", fmt.Sprintf("http://stock/items/%d", i))
		a.PutStr("server.address", "stock")
		a.PutInt("http.response.status_code", 200)
		a.PutStr("service.peer.name", "stock")
	default:
		s.SetName("price the cart")
		s.SetKind(ptrace.SpanKindInternal)
		a.PutInt("cart.items", int64(i%7))
		a.PutStr("cart.currency", "EUR")
	}
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Spans of servers alone, and among four times as many of clients and inner work.
func BenchmarkSpans(b *testing.B) {
	for _, served := range []int{10, 4, 2} {
		b.Run(fmt.Sprintf("served=%d%%", served*10), func(b *testing.B) { benchmark(b, served) })
	}
}

func benchmark(b *testing.B, served int) {
	ctx := context.Background()
	chain := []pipeline.Processor{decode.New(decode.Config{}), validate.New(validate.Config{}), &enrich.Processor{Timeline: known()}}
	batch := &pipeline.Batch{Topic: "otlp_spans", To: records}
	for i := range records {
		batch.Records = append(batch.Records, pipeline.Record{Value: exported(b, i, served), Offset: int64(i), Timestamp: event.MillisOf(start),
			Headers: []pipeline.Header{{Key: source.Header, Value: []byte("otlp-traces")}}})
	}
	block := tables.NewObservations()
	var wire proto.Buffer
	b.ReportAllocs()
	before, rounds := processorTime(), 0
	// An operation is one span, so that ns/op and allocs/op are its cost.
	for done := 0; b.Loop(); done++ {
		if done%(records*spans) != 0 {
			continue
		}
		rounds++
		batch.Facts, batch.Observations, batch.Others, batch.Dead = batch.Facts[:0], batch.Observations[:0], batch.Others[:0], batch.Dead[:0]
		for _, stage := range chain {
			if err := stage.Process(ctx, batch); err != nil {
				b.Fatal(err)
			}
		}
		if len(batch.Dead) > 0 || len(batch.Others) != records {
			b.Fatalf("%d dead, %d kept: %+v", len(batch.Dead), len(batch.Others), batch.Dead[:min(1, len(batch.Dead))])
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
	// Of the processor, the collector's threads among it, and not of the clock: that is what a core is.
	used := processorTime() - before
	b.ReportMetric(float64(rounds*records*spans)/used.Seconds(), "spans/core-s")
}

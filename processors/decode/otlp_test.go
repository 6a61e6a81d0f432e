package decode

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

var otlpNoon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func otlpAt(ms int) pcommon.Timestamp {
	return pcommon.NewTimestampFromTime(otlpNoon.Add(time.Duration(ms) * time.Millisecond))
}

func putAll(m pcommon.Map, attributes map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if err := m.PutEmpty(key).FromRaw(attributes[key]); err != nil {
			panic(err)
		}
	}
}

var cartResource = map[string]any{
	"service.name": "cart", "service.namespace": "shop", "service.version": "v7", "service.instance.id": "cart-1",
	"deployment.environment.name": "production", "cloud.region": "eu-west-1", "k8s.cluster.name": "blue",
	"k8s.namespace.name": "shop", "telemetry.sdk.language": "go",
}

// spansOf makes a request of one resource.
func spansOf(resource map[string]any, spans ...func(ptrace.Span)) ptraceotlp.ExportRequest {
	t := ptrace.NewTraces()
	from := t.ResourceSpans().AppendEmpty()
	putAll(from.Resource().Attributes(), resource)
	scope := from.ScopeSpans().AppendEmpty()
	scope.Scope().SetName("otelhttp")
	for i, fill := range spans {
		s := scope.Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{0x0a, 15: byte(i)})
		s.SetSpanID(pcommon.SpanID{0x0b, 7: byte(i)})
		s.SetStartTimestamp(otlpAt(0))
		s.SetEndTimestamp(otlpAt(12) + 500_000)
		s.SetName("a span")
		fill(s)
	}
	return ptraceotlp.NewExportRequestFromTraces(t)
}

func spanOf(kind ptrace.SpanKind, attributes map[string]any, more ...func(ptrace.Span)) func(ptrace.Span) {
	return func(s ptrace.Span) {
		s.SetKind(kind)
		putAll(s.Attributes(), attributes)
		for _, change := range more {
			change(s)
		}
	}
}

func servedSpan(attributes map[string]any, more ...func(ptrace.Span)) func(ptrace.Span) {
	return spanOf(ptrace.SpanKindServer, attributes, more...)
}

type marshaler interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// exported is what a request becomes, in both encodings the same.
func exported(t testing.TB, from string, request marshaler, headers ...string) *pipeline.Batch {
	t.Helper()
	raw, err := request.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	text, err := request.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var batches []*pipeline.Batch
	for _, body := range [][]byte{raw, text} {
		for _, typed := range []bool{false, true} {
			b := batchOf(body)
			b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte(from)}}
			if typed {
				contentType := map[bool]string{true: "application/json", false: "application/x-protobuf"}[body[0] == '{']
				b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: "Content-Type", Value: []byte(contentType)})
			}
			for i := 0; i < len(headers); i += 2 {
				b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: headers[i], Value: []byte(headers[i+1])})
			}
			if err := New(Config{}).Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if stored, dead, _ := b.Census(); stored+dead != 1 {
				t.Fatalf("stored %d, dead %d", stored, dead)
			}
			b.Records = nil
			batches = append(batches, b)
		}
	}
	for _, b := range batches[1:] {
		if d := cmp.Diff(batches[0], b, cmpopts.EquateNaNs()); d != "" {
			t.Fatalf("the encodings differ: %s", d)
		}
	}
	return batches[0]
}

func attributesIn(o event.Observation) map[string]string {
	m := map[string]string{}
	for _, a := range o.Attributes {
		m[a.Key] = a.Value
	}
	return m
}

func TestASpanOfAServerIsARequestOfItsService(t *testing.T) {
	b := exported(t, "otlp-traces", spansOf(cartResource, servedSpan(map[string]any{
		"http.request.method": "GET", "http.route": "/cart/{id}", "http.response.status_code": 200, "user.id": "u1", "session.id": "s1",
		"peer.service": "web", "tags": []any{"a", 1}, "more": map[string]any{"deep": true},
	}, func(s ptrace.Span) {
		s.SetParentSpanID(pcommon.SpanID{1})
		s.TraceState().FromRaw("vendor=x,ot=rv:abc;th:c")
		e := s.Events().AppendEmpty()
		e.SetName("cache miss")
		e.SetTimestamp(otlpAt(3))
		e.Attributes().PutStr("key", "k")
		s.Links().AppendEmpty().SetTraceID(pcommon.TraceID{9})
	})))
	if len(b.Observations) != 1 || len(b.Others) != 1 {
		t.Fatalf("%+v", b)
	}
	o := b.Observations[0]
	want := event.Observation{
		Event: event.Event{ID: "0a000000000000000000000000000000/0b00000000000000", Source: "otlp/shop/cart", Type: "io.whence.behavior.recorded",
			Time: event.MillisOf(otlpNoon), Region: "eu-west-1", Cluster: "blue", TraceID: "0a000000000000000000000000000000", Hash: o.Hash},
		Provenance: o.Provenance,
		Name:       "GET /cart/{id}", Service: "cart", Environment: "production", User: "u1", Session: "s1", Version: "v7", Instance: "cart-1",
		OK: event.True, DurationMS: 12.5, Weight: 4, Value: math.NaN(),
		IntervalMS: math.NaN(), Requests: math.NaN(), Errors: math.NaN(), SuccessRatio: math.NaN(), LatencyMS: math.NaN(), LatencyP99MS: math.NaN(), CPURatio: math.NaN(), MemoryRatio: math.NaN(),
		Attributes: o.Attributes,
	}
	if d := cmp.Diff(want, o, cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
	attributes := map[string]string{
		"http.request.method": "GET", "http.route": "/cart/{id}", "http.response.status_code": "200", "peer.service": "web", "caller": "web",
		"tags": `["a",1]`, "more": `{"deep":true}`, "span.kind": "server", "span.parent_id": "0100000000000000", "span.name": "a span",
		"otel.scope.name": "otelhttp", "service.namespace": "shop", "k8s.namespace.name": "shop", "tracestate": "vendor=x,ot=rv:abc;th:c",
		"span.events": `[{"name":"cache miss","time":"2026-11-23T12:00:00.003Z","attributes":{"key":"k"}}]`,
		"span.links":  `[{"trace_id":"09000000000000000000000000000000","span_id":"","attributes":{}}]`,
	}
	if d := cmp.Diff(attributes, attributesIn(o)); d != "" {
		t.Error(d)
	}
	kept := b.Others[0]
	if kept.Type != "io.opentelemetry.traces" || kept.Source != "otlp/shop/cart" || kept.Time != event.MillisOf(otlpNoon.Truncate(24*time.Hour)) || !strings.HasSuffix(kept.ID, "/2026-11-23") || !strings.Contains(kept.Data, "telemetry.sdk.language") || strings.Contains(kept.Data, "cache miss") {
		t.Errorf("what is left is not the resource: %+v", kept)
	}
}

func TestWhatIsLeftOfRecordsOfOneInstanceIsOneEventADay(t *testing.T) {
	left := func(ms int) event.Other {
		return exported(t, "otlp-traces", spansOf(cartResource, servedSpan(nil, func(s ptrace.Span) { s.SetStartTimestamp(otlpAt(ms)) }))).Others[0]
	}
	const hour = 60 * 60 * 1000
	if d := cmp.Diff(left(0), left(11*hour)); d != "" {
		t.Errorf("two records of one instance, of which all is said, are kept twice: %s", d)
	}
	if left(0).ID == left(12*hour).ID {
		t.Error("an instance that runs for ever is kept once")
	}
}

func TestARequestIsNamedByWhatHasFewValues(t *testing.T) {
	for _, c := range []struct {
		attributes map[string]any
		want       string
	}{
		{map[string]any{"http.request.method": "POST", "http.route": "/orders"}, "POST /orders"},
		{map[string]any{"http.method": "POST", "http.route": "/orders"}, "POST /orders"},
		{map[string]any{"http.request.method": "GET", "url.path": "/orders/17"}, "a span"},
		{map[string]any{"rpc.service": "shop.Cart", "rpc.method": "Add"}, "shop.Cart/Add"},
		{map[string]any{"rpc.method": "shop.Cart/Add"}, "shop.Cart/Add"},
		{map[string]any{"messaging.operation.type": "process", "messaging.operation.name": "consume", "messaging.destination.name": "orders"}, "consume orders"},
		{map[string]any{"messaging.operation": "process", "messaging.destination.name": "reply-17", "messaging.destination.template": "reply-{id}"}, "process reply-{id}"},
		{map[string]any{"messaging.operation.name": "process", "messaging.destination.name": "tmp-17", "messaging.destination.temporary": true}, "process (temporary)"},
		{nil, "a span"},
	} {
		b := exported(t, "otlp-traces", spansOf(cartResource, spanOf(ptrace.SpanKindConsumer, c.attributes)))
		if got := b.Observations[0].Name; got != c.want {
			t.Errorf("%v: %q, want %q", c.attributes, got, c.want)
		}
	}
}

func TestARequestFailsByItsStatusElseByWhatItAnswers(t *testing.T) {
	status := func(code ptrace.StatusCode) func(ptrace.Span) {
		return func(s ptrace.Span) { s.Status().SetCode(code) }
	}
	for _, c := range []struct {
		attributes map[string]any
		code       ptrace.StatusCode
		want       event.Truth
	}{
		{nil, ptrace.StatusCodeUnset, event.True},
		{nil, ptrace.StatusCodeError, event.False},
		{map[string]any{"http.response.status_code": 404}, ptrace.StatusCodeUnset, event.True},
		{map[string]any{"http.response.status_code": 503}, ptrace.StatusCodeUnset, event.False},
		{map[string]any{"http.status_code": 500}, ptrace.StatusCodeUnset, event.False},
		{map[string]any{"http.response.status_code": 503}, ptrace.StatusCodeOk, event.True},
		{map[string]any{"error.type": "timeout"}, ptrace.StatusCodeUnset, event.False},
		{map[string]any{"rpc.grpc.status_code": 5}, ptrace.StatusCodeUnset, event.True},
		{map[string]any{"rpc.grpc.status_code": 14}, ptrace.StatusCodeUnset, event.False},
		{map[string]any{"rpc.response.status_code": "DEADLINE_EXCEEDED"}, ptrace.StatusCodeUnset, event.False},
		{map[string]any{"rpc.response.status_code": "OK"}, ptrace.StatusCodeUnset, event.True},
	} {
		b := exported(t, "otlp-traces", spansOf(cartResource, servedSpan(c.attributes, status(c.code))))
		if got := b.Observations[0].OK; got != c.want {
			t.Errorf("%v, %v: %v", c.attributes, c.code, got)
		}
	}
}

func TestASampledSpanStandsForSeveral(t *testing.T) {
	for _, c := range []struct {
		state      string
		attributes map[string]any
		want       float64
	}{
		{"", nil, math.NaN()}, {"other=1", nil, math.NaN()}, {"ot=rv:0", nil, math.NaN()},
		{"ot=th:0", nil, 1}, {"ot=th:8", nil, 2}, {"ot=th:c;rv:1", nil, 4}, {"a=b, ot=th:fd70a3d70a3d71", nil, float64(1<<56) / float64(1<<56-0xfd70a3d70a3d71)},
		{"ot=th:ffffffffffffff", nil, 1 << 56}, {"ot=th:fffffffffffffff", nil, math.NaN()}, {"ot=th:x", nil, math.NaN()}, {"ot=th:", nil, math.NaN()},
		{"ot=p:3;r:5", nil, 8}, {"ot=p:0", nil, 1}, {"ot=p:63", nil, 0}, {"ot=p:64", nil, math.NaN()},
		{"", map[string]any{"SampleRate": 20}, 20}, {"", map[string]any{"SampleRate": 0.5}, math.NaN()}, {"", map[string]any{"SampleRate": "NaN"}, math.NaN()},
		{"", map[string]any{"sampling.threshold": "c"}, 4}, {"ot=th:8", map[string]any{"SampleRate": 20}, 2},
	} {
		b := exported(t, "otlp-traces", spansOf(cartResource, servedSpan(c.attributes, func(s ptrace.Span) { s.TraceState().FromRaw(c.state) })))
		if got := b.Observations[0].Weight; got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%q %v: %v, want %v", c.state, c.attributes, got, c.want)
		}
	}
}

func TestAResourceSaysWhoseSpansTheyAre(t *testing.T) {
	for _, c := range []struct {
		resource map[string]any
		headers  []string
		want     string
	}{
		{cartResource, nil, "cart production v7 cart-1 otlp/shop/cart"},
		{cartResource, []string{"whence-service", "other", "whence-environment", "test"}, "cart production v7 cart-1 otlp/shop/cart"},
		{map[string]any{"deployment.environment": "staging", "k8s.deployment.name": "cart", "k8s.pod.name": "cart-abc"}, nil, "cart staging  cart-abc otlp/cart"},
		{map[string]any{"host.name": "h1"}, []string{"whence-service", "hinted", "whence-environment", "test"}, "hinted test  h1 otlp/hinted"},
		{map[string]any{"vcs.ref.head.revision": "0b31b1"}, nil, "unknown_service production 0b31b1  otlp/unknown_service"},
	} {
		o := exported(t, "otlp-traces", spansOf(c.resource, servedSpan(nil)), c.headers...).Observations[0]
		if got := fmt.Sprintf("%s %s %s %s %s", o.Service, o.Environment, o.Version, o.Instance, o.Source); got != c.want {
			t.Errorf("%v: %s, want %s", c.resource, got, c.want)
		}
	}
}

// One request is a span of the caller and one of the called, and counts once.
func TestACallersSpansAreCountedByEdgeAndMinuteAndNeverAsRequests(t *testing.T) {
	call := func(ms int, peer string, more ...func(ptrace.Span)) func(ptrace.Span) {
		return spanOf(ptrace.SpanKindClient, map[string]any{"peer.service": peer}, append([]func(ptrace.Span){func(s ptrace.Span) {
			s.SetStartTimestamp(otlpAt(ms))
			s.SetEndTimestamp(otlpAt(ms + 10))
		}}, more...)...)
	}
	failed := func(s ptrace.Span) { s.Status().SetCode(ptrace.StatusCodeError) }
	twice := func(s ptrace.Span) { s.TraceState().FromRaw("ot=th:8") }
	slow := func(s ptrace.Span) { s.SetEndTimestamp(s.StartTimestamp() + 100_000_000) }
	b := exported(t, "otlp-traces", spansOf(cartResource, call(0, "stock"), call(1000, "stock", failed, twice), call(2000, "mail"), call(61_000, "stock"), call(3000, "stock", slow),
		spanOf(ptrace.SpanKindClient, map[string]any{"db.system.name": "postgresql"}), spanOf(ptrace.SpanKindInternal, map[string]any{"peer.service": "x"})))
	var got []string
	for _, o := range b.Observations {
		got = append(got, fmt.Sprintf("%s %s %s>%s %s %s n=%v e=%v mean=%.4g p99=%v over %v until %s", o.Name, o.Service, o.Caller, o.Callee, o.Version, o.Instance, o.Requests, o.Errors, o.LatencyMS, o.LatencyP99MS, o.IntervalMS, o.Time.Time().Format("05.000")))
	}
	want := []string{
		"service.measured cart cart>stock v7 cart-1 n=4 e=2 mean=32.5 p99=100 over 3100 until 03.100",
		"service.measured cart cart>mail v7 cart-1 n=1 e=0 mean=10 p99=10 over 10 until 02.010",
		"service.measured cart cart>stock v7 cart-1 n=1 e=0 mean=10 p99=10 over 10 until 01.010",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := strings.Count(b.Others[0].Data, `"spanId"`); n != 7 {
		t.Errorf("%d of 7 spans are kept", n)
	}
	if again := exported(t, "otlp-traces", spansOf(cartResource, call(0, "stock"))); again.Observations[0].ID == b.Observations[0].ID {
		t.Error("measurements of other spans have one id")
	}
}

func TestASpanThatCannotBePlacedIsKeptWithTheReason(t *testing.T) {
	b := exported(t, "otlp-traces", spansOf(cartResource,
		servedSpan(nil, func(s ptrace.Span) { s.SetTraceID(pcommon.TraceID{}) }),
		servedSpan(nil, func(s ptrace.Span) { s.SetStartTimestamp(5); s.SetEndTimestamp(6) }), servedSpan(nil)))
	if len(b.Observations) != 1 || len(b.Others) != 1 || strings.Count(b.Others[0].Data, `"kind"`) != 2 {
		t.Fatalf("%+v", b)
	}
	if got := fmt.Sprint(b.Others[0].Extensions); !strings.Contains(got, "without a trace id") || !strings.Contains(got, "time: 1970-") {
		t.Error(got)
	}
}

func TestTextThatIsNoUTF8IsMended(t *testing.T) {
	request := spansOf(cartResource, servedSpan(map[string]any{"note": "gr\xc3", "\xff": "x", "http.route": "/\xe9"}), spanOf(ptrace.SpanKindInternal, map[string]any{"note": "gr\xc3"}))
	raw, err := request.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(raw)
	b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte("otlp-traces")}}
	if err := New(Config{}).Process(t.Context(), b); err != nil || len(b.Observations) != 1 || len(b.Others) != 1 {
		t.Fatalf("%v %+v", err, b)
	}
	if got := attributesIn(b.Observations[0]); got["note"] != "gr\uFFFD" || got["\uFFFD"] != "x" || b.Observations[0].Name != "/\uFFFD" {
		t.Errorf("%v", got)
	}
	if !strings.Contains(b.Others[0].Data, "gr\uFFFD") {
		t.Error(b.Others[0].Data)
	}
}

func TestExceptionsAndFlagsOfASpan(t *testing.T) {
	happened := func(name string, attributes map[string]any) func(ptrace.Span) {
		return func(s ptrace.Span) {
			e := s.Events().AppendEmpty()
			e.SetName(name)
			e.SetTimestamp(otlpAt(5))
			putAll(e.Attributes(), attributes)
		}
	}
	b := exported(t, "otlp-traces", spansOf(cartResource, servedSpan(map[string]any{"enduser.id": "u1"},
		happened("exception", map[string]any{"exception.type": "java.lang.IllegalStateException", "exception.message": "no cart 17",
			"exception.stacktrace": "java.lang.IllegalStateException: no cart 17\n\tat shop.Cart.total(Cart.java:12)\n\tat shop.Main.main(Main.java:3)\n"}),
		happened("feature_flag.evaluation", map[string]any{"feature_flag.key": "new-cart", "feature_flag.result.variant": "on", "feature_flag.context.id": "u9", "feature_flag.provider.name": "unleash"}),
		happened("feature_flag", map[string]any{"feature_flag.key": "blue", "feature_flag.variant": "b"}),
		happened("feature_flag.evaluation", map[string]any{"feature_flag.key": "no-variant"})),
		spanOf(ptrace.SpanKindInternal, nil, happened("exception", map[string]any{"exception.message": "took 17 ms"})),
	))
	var got []string
	for _, o := range b.Observations {
		got = append(got, strings.Join([]string{o.Name, o.ID[33:], o.Service, o.Version, o.User, o.Experiment, o.Variant, o.UnitID, o.Fingerprint, o.Message, strings.Join(o.Frames, ";"), o.Extra}, "|"))
	}
	want := []string{
		`error.occurred|0b00000000000000/event/0|cart|v7|u1||||java.lang.IllegalStateException at shop.Cart.total|no cart 17|shop.Cart.total(Cart.java:12);shop.Main.main(Main.java:3)|` +
			`{"attributes":{"exception.stacktrace":"java.lang.IllegalStateException: no cart 17\n\tat shop.Cart.total(Cart.java:12)\n\tat shop.Main.main(Main.java:3)\n","exception.type":"java.lang.IllegalStateException"}}`,
		`experiment.exposed|0b00000000000000/event/1|cart|||new-cart|on|u9||||{"attributes":{"feature_flag.provider.name":"unleash","feature_flag.result.variant":"on"}}`,
		`experiment.exposed|0b00000000000000/event/2|cart|||blue|b|u1||||{"attributes":{"feature_flag.variant":"b"}}`,
		`a span|0b00000000000000|cart|v7|u1|||||||`,
		`error.occurred|0b00000000000001/event/0|cart|v7|||||took 00 ms|took 17 ms||`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if events := attributesIn(b.Observations[3])["span.events"]; !strings.Contains(events, "no-variant") || strings.Contains(events, "new-cart") {
		t.Error(events)
	}
	if !strings.Contains(fmt.Sprint(b.Others[0].Extensions), "experiment.exposed: data.variant: missing") {
		t.Errorf("%v", b.Others[0].Extensions)
	}
}

func TestARunOfAPipelineIsABuildAndNoRequest(t *testing.T) {
	run := func(attributes map[string]any) *pipeline.Batch {
		return exported(t, "otlp-traces", spansOf(map[string]any{"service.name": "ci", "vcs.repository.url.full": "https://git.example/shop", "vcs.ref.head.revision": "0b31b1"},
			servedSpan(attributes)))
	}
	b := run(map[string]any{"cicd.pipeline.run.id": "run-17", "cicd.pipeline.name": "release", "cicd.pipeline.result": "timeout"})
	if len(b.Facts) != 1 || len(b.Observations) != 0 || len(b.Others) != 1 || !strings.Contains(b.Others[0].Data, "run-17") {
		t.Fatalf("%+v", b)
	}
	f := b.Facts[0]
	if f.Type != "io.whence.build.finished" || f.ID != "build/run-17" || f.EntityID != "run-17" || f.Time != event.MillisOf(otlpNoon)+12 || !strings.HasPrefix(f.Data, `{"attributes":{"cicd.pipeline.name":"release"`) ||
		!strings.HasSuffix(f.Data, `"build_id":"run-17","duration_ms":12.5,"outcome":"failure","repository":"https://git.example/shop","revision":"0b31b1","started_at":"2026-11-23T12:00:00Z"}`) {
		t.Errorf("%+v", f)
	}
}

func TestWhatIsHostileInARecordOfSpansIsRefused(t *testing.T) {
	field := func(number byte, inner []byte) []byte {
		b := []byte{number<<3 | 2}
		for n := len(inner); ; n >>= 7 {
			if n < 0x80 {
				b = append(b, byte(n))
				break
			}
			b = append(b, byte(n)|0x80)
		}
		return append(b, inner...)
	}
	nested := []byte{}
	for range 40 {
		nested = field(5, field(1, nested))
	}
	spans := func(span []byte) []byte { return field(1, field(2, span)) }
	for _, c := range []struct {
		name   string
		body   []byte
		reason pipeline.Reason
	}{
		{"an attribute that nests without end", spans(field(2, field(9, field(2, nested)))), pipeline.ReasonTooDeep},
		{"a megabyte of empty spans", spans([]byte(strings.Repeat("\x12\x00", 400_000))), pipeline.ReasonTooLarge},
		{"a length beyond the end", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, pipeline.ReasonMalformed},
		{"a group", []byte{0x0b, 0x0c}, pipeline.ReasonMalformed},
		{"text", []byte("hello"), pipeline.ReasonMalformed},
		{"JSON of something else", []byte(`{"resourceSpans": 5}`), pipeline.ReasonMalformed},
		{"JSON that nests without end", []byte(strings.Repeat(`{"a":`, 10_000)), pipeline.ReasonTooDeep},
		{"no object", []byte(`{}x`), pipeline.ReasonMalformed},
	} {
		b := batchOf(c.body)
		b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte("otlp-traces")}}
		if err := New(Config{}).Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Dead) != 1 || b.Dead[0].Reason != c.reason {
			t.Errorf("%s: %+v", c.name, b)
		}
	}
}

func TestAnEmptyExportIsKept(t *testing.T) {
	b := batchOf([]byte(`{}`))
	b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte("otlp-logs")}}
	if err := New(Config{}).Process(t.Context(), b); err != nil || len(b.Others) != 1 || b.Others[0].Time != b.Records[0].Timestamp {
		t.Errorf("%v %+v", err, b)
	}
}

// metricOf makes a request of one metric.
func metricOf(resource map[string]any, name, unit string, fill func(pmetric.Metric)) pmetricotlp.ExportRequest {
	m := pmetric.NewMetrics()
	from := m.ResourceMetrics().AppendEmpty()
	putAll(from.Resource().Attributes(), resource)
	metric := from.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName(name)
	metric.SetUnit(unit)
	fill(metric)
	return pmetricotlp.NewExportRequestFromMetrics(m)
}

func histogramOf(over pmetric.AggregationTemporality, attributes map[string]any) func(pmetric.Metric) {
	return func(m pmetric.Metric) {
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(over)
		p := h.DataPoints().AppendEmpty()
		putAll(p.Attributes(), attributes)
		p.SetStartTimestamp(otlpAt(0))
		p.SetTimestamp(otlpAt(60_000))
		p.SetCount(200)
		p.SetSum(10)
		p.ExplicitBounds().FromRaw([]float64{0.05, 0.1, 0.5})
		p.BucketCounts().FromRaw([]uint64{150, 44, 4, 2})
	}
}

func measuredBy(t *testing.T, request marshaler) string {
	t.Helper()
	b := exported(t, "otlp-metrics", request)
	if len(b.Others) != 1 || b.Others[0].Type != "io.opentelemetry.metrics" || b.Others[0].Time != event.MillisOf(otlpNoon)+60_000 {
		t.Errorf("the record is not kept: %+v", b)
	}
	var lines []string
	for _, o := range b.Observations {
		line := fmt.Sprintf("%s %s>%s %s %s %s", o.Service, o.Caller, o.Callee, o.Version, o.Instance, o.Time.Time().Format("15:04:05"))
		for _, v := range []struct {
			name string
			n    float64
		}{{"interval", o.IntervalMS}, {"n", o.Requests}, {"e", o.Errors}, {"mean", o.LatencyMS}, {"p99", o.LatencyP99MS}, {"cpu", o.CPURatio}, {"memory", o.MemoryRatio}} {
			if !math.IsNaN(v.n) {
				line += fmt.Sprintf(" %s=%.5g", v.name, v.n)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTheDurationsOfRequestsAreMeasurements(t *testing.T) {
	const delta = pmetric.AggregationTemporalityDelta
	exponential := func(m pmetric.Metric) {
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(delta)
		p := h.DataPoints().AppendEmpty()
		p.SetStartTimestamp(otlpAt(0))
		p.SetTimestamp(otlpAt(60_000))
		p.SetCount(100)
		p.SetSum(10)
		p.SetScale(0)
		p.SetZeroCount(10)
		p.Positive().SetOffset(-4) // (1/16, 1/8], (1/8, 1/4]
		p.Positive().BucketCounts().FromRaw([]uint64{80, 10})
	}
	idle := func(m pmetric.Metric) {
		histogramOf(delta, nil)(m)
		p := m.Histogram().DataPoints().At(0)
		p.SetCount(0)
		p.SetSum(0)
		p.BucketCounts().FromRaw([]uint64{0, 0, 0, 0})
	}
	const row = "cart > v7 cart-1 12:01:00 interval=60000 "
	for _, c := range []struct {
		name, unit string
		fill       func(pmetric.Metric)
		want       string
	}{
		{"http.server.request.duration", "s", histogramOf(delta, map[string]any{"http.response.status_code": 200}), row + "n=200 e=0 mean=50 p99=500"},
		{"http.server.request.duration", "s", histogramOf(delta, map[string]any{"http.response.status_code": 500}), row + "n=200 e=200 mean=50 p99=500"},
		{"http.server.request.duration", "s", histogramOf(delta, map[string]any{"error.type": "timeout"}), row + "n=200 e=200 mean=50 p99=500"},
		{"http.server.duration", "", histogramOf(delta, nil), row + "n=200 e=0 mean=0.05 p99=0.5"},
		{"rpc.server.duration", "ms", histogramOf(delta, map[string]any{"rpc.grpc.status_code": 13}), row + "n=200 e=200 mean=0.05 p99=0.5"},
		{"http.server.request.duration", "s", exponential, row + "n=100 e=0 mean=100 p99=237.5"},
		{"http.server.request.duration", "s", idle, row + "n=0 e=0"},
		{"http.client.request.duration", "s", histogramOf(delta, map[string]any{"service.peer.name": "stock", "http.response.status_code": 404}), "cart cart>stock v7 cart-1 12:01:00 interval=60000 n=200 e=200 mean=50 p99=500"},
		{"http.client.request.duration", "s", histogramOf(delta, map[string]any{"server.address": "10.0.0.1"}), ""},
		{"queue.wait", "s", histogramOf(delta, nil), ""},
	} {
		if got := measuredBy(t, metricOf(cartResource, c.name, c.unit, c.fill)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestACumulativeHistogramIsKeptAndSaysWhy(t *testing.T) {
	b := exported(t, "otlp-metrics", metricOf(cartResource, "http.server.request.duration", "s", histogramOf(pmetric.AggregationTemporalityCumulative, nil)))
	if len(b.Observations) != 0 || !strings.Contains(b.Others[0].Data, `"bucketCounts":["150"`) || !strings.Contains(fmt.Sprint(b.Others[0].Extensions), "cumulative temporality") {
		t.Errorf("%+v", b)
	}
}

func TestPointsOfOneMetricAreToldApartByTheirAttributes(t *testing.T) {
	b := exported(t, "otlp-metrics", metricOf(cartResource, "http.server.request.duration", "s", func(m pmetric.Metric) {
		histogramOf(pmetric.AggregationTemporalityDelta, map[string]any{"http.route": "/a", "http.request.method": "GET"})(m)
		m.Histogram().DataPoints().At(0).CopyTo(m.Histogram().DataPoints().AppendEmpty())
		m.Histogram().DataPoints().At(1).Attributes().PutStr("http.route", "/b")
	}))
	if len(b.Observations) != 2 || b.Observations[0].ID == b.Observations[1].ID {
		t.Fatalf("%+v", b.Observations)
	}
	if want := `{"attributes":{"http.request.method":"GET","http.route":"/a","metric":"http.server.request.duration"}}`; b.Observations[0].Extra != want {
		t.Error(b.Observations[0].Extra)
	}
}

func TestUtilisationIsAddedUpOverModes(t *testing.T) {
	gauge := func(points ...map[string]any) func(pmetric.Metric) {
		return func(m pmetric.Metric) {
			g := m.SetEmptyGauge()
			for i, attributes := range points {
				p := g.DataPoints().AppendEmpty()
				putAll(p.Attributes(), attributes)
				p.SetTimestamp(otlpAt(60_000))
				p.SetDoubleValue(0.125 * float64(i+1))
			}
		}
	}
	for _, c := range []struct {
		name string
		fill func(pmetric.Metric)
		want string
	}{
		{"process.cpu.utilization", gauge(map[string]any{"cpu.mode": "user"}, map[string]any{"cpu.mode": "system"}, map[string]any{"cpu.mode": "idle"}), "cart > v7 cart-1 12:01:00 interval=0 cpu=0.375"},
		{"k8s.container.memory_limit_utilization", gauge(nil), "cart > v7 cart-1 12:01:00 interval=0 memory=0.125"},
		{"process.cpu.utilization", gauge(map[string]any{"cpu.logical_number": 3}), ""},
		{"jvm.threads", gauge(nil), ""},
	} {
		if got := measuredBy(t, metricOf(cartResource, c.name, "1", c.fill)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLogsThatSayFlagsAndErrorsAreThatAndTheOthersAreKept(t *testing.T) {
	l := plog.NewLogs()
	from := l.ResourceLogs().AppendEmpty()
	putAll(from.Resource().Attributes(), cartResource)
	records := from.ScopeLogs().AppendEmpty().LogRecords()
	record := func(name, body string, attributes map[string]any) {
		r := records.AppendEmpty()
		r.SetEventName(name)
		r.Body().SetStr(body)
		r.SetTimestamp(otlpAt(1))
		r.SetSeverityNumber(plog.SeverityNumberError)
		r.SetTraceID(pcommon.TraceID{7})
		putAll(r.Attributes(), attributes)
	}
	record("", "started", nil)
	record("", "oh", map[string]any{"exception.type": "E", "exception.message": "m", "user.id": "u"})
	record("feature_flag.evaluation", "", map[string]any{"feature_flag.key": "f", "feature_flag.result.value": true, "feature_flag.context.id": "u"})
	record("k8s.event", "Back-off restarting", map[string]any{"k8s.event.reason": "BackOff"})
	record("feature_flag.evaluation", "", map[string]any{"feature_flag.key": "nobody"})
	b := exported(t, "otlp-logs", plogotlp.NewExportRequestFromLogs(l))
	var got []string
	for _, o := range b.Observations {
		got = append(got, strings.Join([]string{o.Name, o.ID[:4], o.TraceID[:2], o.Version, o.User, o.Experiment, o.Variant, o.UnitID, o.Fingerprint, o.Message, o.Extra}, "|"))
	}
	want := []string{
		`error.occurred|log/|07|v7|u||||E|m|{"attributes":{"exception.type":"E","log.body":"oh","log.severity":"ERROR","user.id":"u"}}`,
		`experiment.exposed|log/|07|||f|true|u|||{"attributes":{"feature_flag.result.value":"true","log.severity":"ERROR"}}`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	kept := b.Others[0]
	if kept.Type != "io.opentelemetry.logs" || strings.Count(kept.Data, `"timeUnixNano"`) != 3 || !strings.Contains(kept.Data, "BackOff") || !json.Valid([]byte(kept.Data)) {
		t.Errorf("%+v", kept)
	}
}

func TestFramesAreReadAsRuntimesPrintThem(t *testing.T) {
	for _, c := range []struct{ stack, first, function string }{
		{"Error: x\n    at total (/app/cart.js:10:5)\n    at main (/app/main.js:1:1)", "total (/app/cart.js:10:5)", "total"},
		{"Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in main\n    run()\n  File \"/app/cart.py\", line 9, in total\n    x\nValueError: x", `File "/app/cart.py", line 9, in total`, "/app/cart.py total"},
		{"#0 /app/Cart.php(12): Cart->total()\n#1 {main}", "/app/Cart.php(12): Cart->total()", "Cart->total"},
		{"cart.rb:12:in `total': x (E)\n\tfrom main.rb:1:in `<main>'", "cart.rb:12:in `total': x (E)", "total"},
		{"goroutine 1 [running]:\nmain.total(0x1)\n\t/app/cart.go:12 +0x1\nmain.main()\n\t/app/main.go:3", "main.total(0x1) /app/cart.go:12 +0x1", "main.total"},
		{"   at Shop.Cart.Total(Int32 id) in /app/Cart.cs:line 12", "Shop.Cart.Total(Int32 id) in /app/Cart.cs:line 12", "Shop.Cart.Total"},
		{"java.lang.A: x\n\tat a.B.c(B.java:1)\nCaused by: java.lang.D\n\tat e.F.g(F.java:1)", "a.B.c(B.java:1)", "a.B.c"},
		{"whatever 12:34", "whatever 12:34", "whatever"},
	} {
		frames := framesOf(c.stack)
		if len(frames) == 0 || frames[0] != c.first || functionOf(frames[0]) != c.function {
			t.Errorf("%q: %q, %q", c.stack, frames, functionOf(frames[0]))
		}
	}
	if frames := framesOf(strings.Repeat("at f (x:1)\n", 5000)); len(frames) != mostFrames {
		t.Errorf("%d frames", len(frames))
	}
}

func FuzzOTLP(f *testing.F) {
	seed := func(request marshaler) {
		raw, _ := request.MarshalProto()
		text, _ := request.MarshalJSON()
		for i := range 3 {
			f.Add(raw, byte(i), "")
			f.Add(text, byte(i), "application/json")
		}
	}
	seed(spansOf(cartResource, servedSpan(map[string]any{"http.route": "/a", "tags": []any{"a", map[string]any{"b": 1.5}}}), spanOf(ptrace.SpanKindClient, map[string]any{"peer.service": "b"})))
	seed(metricOf(cartResource, "http.server.request.duration", "s", histogramOf(pmetric.AggregationTemporalityDelta, map[string]any{"http.route": "/a"})))
	l := plog.NewLogs()
	putAll(l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes(), map[string]any{"exception.type": "E", "exception.stacktrace": "at f"})
	seed(plogotlp.NewExportRequestFromLogs(l))
	names := []string{"otlp-traces", "otlp-metrics", "otlp-logs"}
	decoder := New(Config{})
	f.Fuzz(func(t *testing.T, body []byte, which byte, contentType string) {
		b := batchOf(body)
		b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte(names[int(which)%len(names)])}}
		if contentType != "" {
			b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: "content-type", Value: []byte(contentType)})
		}
		if err := decoder.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		sound(t, b)
	})
}

// What a flipped byte makes of a request is refused or kept, and never fails: the
// fuzzer's reach within the seconds that CI gives it is short.
func TestDamagedRequestsAreSound(t *testing.T) {
	l := plog.NewLogs()
	putAll(l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes(), map[string]any{"exception.type": "E", "exception.stacktrace": "at f"})
	requests := map[string]marshaler{
		"otlp-traces": spansOf(cartResource, servedSpan(map[string]any{"http.route": "/a", "tags": []any{"a", map[string]any{"b": 1.5}}}, func(s ptrace.Span) {
			s.Events().AppendEmpty().Attributes().PutStr("exception.type", "E")
			s.Links().AppendEmpty()
		}), spanOf(ptrace.SpanKindClient, map[string]any{"peer.service": "b"}), spanOf(ptrace.SpanKindInternal, map[string]any{"cicd.pipeline.run.id": "r", "cicd.pipeline.result": "skip", "vcs.ref.head.revision": "0b"})),
		"otlp-metrics": metricOf(cartResource, "http.server.request.duration", "s", histogramOf(pmetric.AggregationTemporalityDelta, map[string]any{"http.route": "/a"})),
		"otlp-logs":    plogotlp.NewExportRequestFromLogs(l),
	}
	decoder, random := New(Config{}), rand.New(rand.NewPCG(1, 2))
	for from, request := range requests {
		raw, _ := request.MarshalProto()
		text, _ := request.MarshalJSON()
		for _, body := range [][]byte{raw, text} {
			for range 2000 {
				damaged := slices.Clone(body)
				for range random.IntN(3) + 1 {
					damaged[random.IntN(len(damaged))] = byte(random.IntN(256))
				}
				if random.IntN(10) == 0 {
					damaged = damaged[:random.IntN(len(damaged))+1]
				}
				b := batchOf(damaged)
				b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte(from)}}
				if err := decoder.Process(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				sound(t, b)
			}
		}
	}
}

// TestBothEncodingsOfARequestWeighTheSame: else one of them knows a list of messages
// that the other doesn't.
func TestBothEncodingsOfARequestWeighTheSame(t *testing.T) {
	attributes := map[string]any{"a": int64(1), "b": []any{"x", map[string]any{"c": 1.5}}}
	point := func(p interface {
		Attributes() pcommon.Map
		Exemplars() pmetric.ExemplarSlice
	}) {
		putAll(p.Attributes(), attributes)
		putAll(p.Exemplars().AppendEmpty().FilteredAttributes(), attributes)
	}
	l := plog.NewLogs()
	record := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	putAll(record.Attributes(), attributes)
	putAll(record.Body().SetEmptyMap(), attributes)
	metrics := pmetric.NewMetrics()
	scope := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	putAll(scope.Scope().Attributes(), attributes)
	for _, fill := range []func(pmetric.Metric){
		func(m pmetric.Metric) { point(m.SetEmptyGauge().DataPoints().AppendEmpty()) },
		func(m pmetric.Metric) { point(m.SetEmptySum().DataPoints().AppendEmpty()) },
		func(m pmetric.Metric) { point(m.SetEmptyHistogram().DataPoints().AppendEmpty()) },
		func(m pmetric.Metric) { point(m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty()) },
		func(m pmetric.Metric) {
			p := m.SetEmptySummary().DataPoints().AppendEmpty()
			putAll(p.Attributes(), attributes)
			p.QuantileValues().AppendEmpty()
		},
	} {
		m := scope.Metrics().AppendEmpty()
		putAll(m.Metadata(), attributes)
		fill(m)
	}
	for from, request := range map[string]marshaler{
		"otlp-traces": spansOf(cartResource, servedSpan(attributes, func(s ptrace.Span) {
			putAll(s.Events().AppendEmpty().Attributes(), attributes)
			putAll(s.Links().AppendEmpty().Attributes(), attributes)
		})),
		"otlp-metrics": pmetricotlp.NewExportRequestFromMetrics(metrics),
		"otlp-logs":    plogotlp.NewExportRequestFromLogs(l),
	} {
		raw, _ := request.MarshalProto()
		text, _ := request.MarshalJSON()
		var inProtobuf, inJSON inspection
		inProtobuf.left, inProtobuf.levels = 1<<30, 64
		inJSON.left, inJSON.levels = 1<<30, 64
		if err := inProtobuf.message(requests[from], raw, 64); err != nil {
			t.Error(err)
		}
		if err := inJSON.text(requests[from], text); err != nil {
			t.Error(err)
		}
		if inProtobuf.left != inJSON.left || inJSON.left == 1<<30 {
			t.Errorf("%s: %d bytes, and %d in JSON", from, 1<<30-inProtobuf.left, 1<<30-inJSON.left)
		}
	}
}

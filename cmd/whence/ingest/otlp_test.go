package ingest

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"
)

// spans are traces of so many resources, scopes and spans, each span with an
// attribute of some bytes.
func spans(resources, scopes, each, bytes int) ptrace.Traces {
	all := ptrace.NewTraces()
	for r := range resources {
		resource := all.ResourceSpans().AppendEmpty()
		resource.Resource().Attributes().PutStr("service.name", fmt.Sprintf("service-%d", r))
		resource.SetSchemaUrl("https://opentelemetry.io/schemas/1.30.0")
		for s := range scopes {
			scope := resource.ScopeSpans().AppendEmpty()
			scope.Scope().SetName(fmt.Sprintf("scope-%d", s))
			for i := range each {
				span := scope.Spans().AppendEmpty()
				span.SetName(fmt.Sprintf("%d/%d/%d", r, s, i))
				span.SetTraceID(pcommon.TraceID{1, byte(r), byte(s)})
				span.Attributes().PutStr("payload", strings.Repeat("x", bytes))
			}
		}
	}
	return all
}

// told are the spans of traces, each with its service and scope.
func told(all ptrace.Traces) map[string]int {
	names := map[string]int{}
	for _, resource := range all.ResourceSpans().All() {
		service, _ := resource.Resource().Attributes().Get("service.name")
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				names[service.Str()+" "+scope.Scope().Name()+" "+span.Name()+" "+resource.SchemaUrl()]++
			}
		}
	}
	return names
}

func protobufOf(t testing.TB, r request) []byte {
	t.Helper()
	body, err := r.marshal()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAnOTLPRequestIsARecordAsItCame(t *testing.T) {
	w := gatewayWith(t, nil)
	all := spans(1, 1, 2, 10)
	body := protobufOf(t, traces{all})
	answer := w.post("/v1/traces", gzipped(t, body), "Content-Type", protobufType, "Content-Encoding", "gzip")
	if answer.Code != 200 || answer.Body.Len() != 0 || answer.Header().Get("Content-Type") != protobufType {
		t.Errorf("%d %v %q", answer.Code, answer.Header(), answer.Body)
	}
	sent := w.broker.messages()
	if len(sent) != 1 || sent[0].Topic != "whence.measurements" || string(sent[0].Value) != string(body) ||
		!strings.HasPrefix(headersOf(sent[0]), "whence-source: otlp-traces\ncontent-type: application/x-protobuf\nwhence-received: ") {
		t.Errorf("%+v", sent)
	}
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(all)
	if err != nil {
		t.Fatal(err)
	}
	answer = w.post("/v1/traces?environment=staging", text, "Content-Type", "application/json")
	if answer.Code != 200 || answer.Body.String() != "{}" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if last := w.broker.messages()[1]; string(last.Value) != string(text) || !strings.HasSuffix(headersOf(last), "whence-environment: staging") {
		t.Errorf("%s", headersOf(last))
	}
}

func TestAnEmptyOTLPRequestIsTakenAndIsNothing(t *testing.T) {
	w := gatewayWith(t, nil)
	for _, path := range []string{"/v1/traces", "/v1/metrics", "/v1/logs"} {
		for media, body := range map[string]string{protobufType: "", jsonType: "{}"} {
			if answer := w.post(path, []byte(body), "Content-Type", media); answer.Code != 200 || len(w.broker.messages()) != 0 {
				t.Errorf("%s %s: %d %s", path, media, answer.Code, answer.Body)
			}
		}
	}
}

func TestALargeOTLPRequestIsCutIntoRequests(t *testing.T) {
	w := gatewayWith(t, nil)
	all := spans(3, 3, 100, 5000) // 4.5 MB
	want := told(all)
	if answer := w.post("/v1/traces", protobufOf(t, traces{all}), "Content-Type", protobufType); answer.Code != 200 {
		t.Fatal(answer.Code, answer.Body)
	}
	got := map[string]int{}
	sent := w.broker.messages()
	for _, m := range sent {
		part, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(m.Value)
		if err != nil || len(m.Value) > 1<<20-overhead {
			t.Fatal(err, len(m.Value))
		}
		for name, n := range told(part) {
			got[name] += n
		}
	}
	if len(sent) < 5 || len(sent) > 12 || len(got) != len(want) {
		t.Errorf("%d records with %d spans, want %d", len(sent), len(got), len(want))
	}
	for name := range want {
		if got[name] != 1 {
			t.Errorf("%s is there %d times", name, got[name])
		}
	}
}

func TestLargeLogsAndMetricsAreCutToo(t *testing.T) {
	w := gatewayWith(t, nil)
	records := plog.NewLogs()
	scope := records.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for range 300 {
		scope.LogRecords().AppendEmpty().Body().SetStr(strings.Repeat("x", 10_000))
	}
	if answer := w.post("/v1/logs", protobufOf(t, logs{records}), "Content-Type", protobufType); answer.Code != 200 {
		t.Fatal(answer.Code, answer.Body)
	}
	count := 0
	for _, m := range w.broker.messages() {
		part, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(m.Value)
		if err != nil {
			t.Fatal(err)
		}
		count += part.LogRecordCount()
	}
	if count != 300 {
		t.Errorf("%d of 300 logs", count)
	}

	w = gatewayWith(t, nil)
	points := pmetric.NewMetrics()
	one := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	one.SetName("requests")
	one.SetUnit("1")
	sum := one.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	for i := range 3000 {
		point := sum.DataPoints().AppendEmpty()
		point.SetIntValue(int64(i))
		point.Attributes().PutStr("payload", strings.Repeat("x", 1000))
	}
	if answer := w.post("/v1/metrics", protobufOf(t, metrics{points}), "Content-Type", protobufType); answer.Code != 200 {
		t.Fatal(answer.Code, answer.Body)
	}
	total := int64(0)
	for _, m := range w.broker.messages() {
		part, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(m.Value)
		if err != nil {
			t.Fatal(err)
		}
		metric := part.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
		if metric.Name() != "requests" || metric.Unit() != "1" || !metric.Sum().IsMonotonic() || metric.Sum().AggregationTemporality() != pmetric.AggregationTemporalityDelta {
			t.Fatalf("%s %s", metric.Name(), metric.Type())
		}
		for _, point := range metric.Sum().DataPoints().All() {
			total += point.IntValue()
		}
	}
	if total != 3000*2999/2 {
		t.Errorf("points add up to %d", total)
	}
}

func TestEveryKindOfMetricIsCut(t *testing.T) {
	for name, make := range map[string]func(pmetric.Metric){
		"gauge": func(m pmetric.Metric) { d := m.SetEmptyGauge().DataPoints(); d.AppendEmpty(); d.AppendEmpty() },
		"histogram": func(m pmetric.Metric) {
			d := m.SetEmptyHistogram().DataPoints()
			d.AppendEmpty()
			d.AppendEmpty()
		},
		"exponential histogram": func(m pmetric.Metric) {
			d := m.SetEmptyExponentialHistogram().DataPoints()
			d.AppendEmpty()
			d.AppendEmpty()
		},
		"summary": func(m pmetric.Metric) { d := m.SetEmptySummary().DataPoints(); d.AppendEmpty(); d.AppendEmpty() },
	} {
		all := pmetric.NewMetrics()
		m := all.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		make(m)
		a, b, ok := metrics{all}.halves()
		if !ok || a.count() != 1 || b.count() != 1 {
			t.Errorf("%s: %v", name, ok)
		} else if _, _, ok := a.halves(); ok {
			t.Errorf("%s: one point is cut", name)
		}
	}
	empty := pmetric.NewMetrics()
	empty.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	if _, _, ok := (metrics{empty}).halves(); ok {
		t.Error("a metric without a type is cut")
	}
}

func TestASpanThatFitsNoRecordIsRejectedAlone(t *testing.T) {
	w := gatewayWith(t, nil)
	all := spans(1, 1, 3, 1000)
	all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(1).Attributes().PutStr("payload", strings.Repeat("x", 2<<20))
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(all)
	if err != nil {
		t.Fatal(err)
	}
	answer := w.post("/v1/traces", text, "Content-Type", "application/json")
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), `"rejectedSpans":"1"`) || len(w.broker.messages()) == 0 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	answer = w.post("/v1/traces", protobufOf(t, traces{all}), "Content-Type", protobufType)
	partial, n := protowire.ConsumeBytes(answer.Body.Bytes()[1:])
	if rejected, m := protowire.ConsumeVarint(partial[1:]); answer.Code != 200 || n < 0 || m < 0 || rejected != 1 {
		t.Errorf("%d %x", answer.Code, answer.Body)
	}
	only := spans(1, 1, 1, 2<<20)
	if answer := w.post("/v1/traces", protobufOf(t, traces{only}), "Content-Type", protobufType); answer.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// What exporters retry is 429, 502, 503 and 504; the body is a Status in the
// request's encoding.
func TestOTLPIsRefusedAsOTLPHas(t *testing.T) {
	w := gatewayWith(t, nil)
	answer := w.post("/v1/traces", []byte("{"), "Content-Type", "application/json")
	if answer.Code != 400 || answer.Header().Get("Content-Type") != jsonType || !strings.HasPrefix(answer.Body.String(), `{"code":3,"message":"body: `) {
		t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
	}
	answer = w.post("/v1/traces", []byte("\xff\xff"), "Content-Type", protobufType)
	code, _ := protowire.ConsumeVarint(answer.Body.Bytes()[1:])
	if answer.Code != 400 || answer.Header().Get("Content-Type") != protobufType || code != 3 {
		t.Errorf("%d %v %x", answer.Code, answer.Header(), answer.Body)
	}
	for _, body := range []string{"[]", `"text"`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)} {
		if answer := w.post("/v1/logs", []byte(body), "Content-Type", "application/json"); answer.Code != 400 {
			t.Errorf("%.20s: %d %s", body, answer.Code, answer.Body)
		}
	}
	w.refuses(http.StatusUnsupportedMediaType, "/v1/traces", []byte("{}"), "Content-Type", "text/plain")
	w.broker.failure = errUnreachable
	answer = w.post("/v1/traces", protobufOf(t, traces{spans(1, 1, 1, 1)}), "Content-Type", protobufType)
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
}

// TestAnOTLPRequestThatWouldFillTheMemoryIsRefused: a span of two bytes takes 300
// when it is read, and a resource is in each of the records that a request is
// cut into.
func TestAnOTLPRequestThatWouldFillTheMemoryIsRefused(t *testing.T) {
	w := gatewayWith(t, nil)
	field := func(number protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), body)
	}
	none := field(1, field(2, []byte(strings.Repeat("\x12\x00", 4<<20))))
	many := spans(1, 1, 20_000, 100)
	many.ResourceSpans().At(0).Resource().Attributes().PutStr("service.name", strings.Repeat("x", 1_000_000))
	for name, request := range map[string]struct {
		body  []byte
		media string
	}{
		"empty spans":         {none, protobufType},
		"empty spans in JSON": {[]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.TrimSuffix(strings.Repeat("{},", 2<<20), ",") + `]}]}]}`), jsonType},
		"a long resource":     {protobufOf(t, traces{many}), protobufType},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answer := w.post("/v1/traces", request.body, "Content-Type", request.media)
		runtime.ReadMemStats(&after)
		if answer.Code != 413 || len(w.broker.messages()) != 0 {
			t.Errorf("%s: %d %.200s", name, answer.Code, answer.Body)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 600 {
			t.Errorf("%s: %d MB were allocated for %d", name, took, len(request.body)>>20)
		}
	}
}

// TestAPartOfACutRequestIsWeighedToo: a long text made up for many empty spans beside
// it, and their part was answered with 200 and became a dead letter.
func TestAPartOfACutRequestIsWeighedToo(t *testing.T) {
	w := gatewayWith(t, small)
	all := spans(1, 1, 8, bombRecord/2)
	for range 20_000 {
		all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().AppendEmpty()
	}
	answer := w.post("/v1/traces", protobufOf(t, traces{all}), "Content-Type", protobufType)
	if answer.Code != http.StatusRequestEntityTooLarge || len(w.broker.messages()) != 0 || !strings.Contains(answer.Body.String(), "too many messages") {
		t.Errorf("%d %q, %d records", answer.Code, answer.Body, len(w.broker.messages()))
	}
	all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().RemoveIf(func(s ptrace.Span) bool { return s.Name() == "" && s.Attributes().Len() == 0 })
	if answer := w.post("/v1/traces", protobufOf(t, traces{all}), "Content-Type", protobufType); answer.Code != http.StatusOK || len(w.broker.messages()) < 2 {
		t.Errorf("%d %q, %d records", answer.Code, answer.Body, len(w.broker.messages()))
	}
}

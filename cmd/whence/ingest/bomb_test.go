package ingest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/scan"
)

// listed is a list of one thing, again and again, of about so many bytes.
func listed(one string, size int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", size/(len(one)+1)), ",") + "]"
}

// The limits of these tests, less than the defaults, and what a request may
// allocate, whatever it is. Its bytes alone are four times max_body, while they are
// unpacked into room that doubles. A report is a stream of records, and most of what
// they allocate is gone at once.
const (
	bombBody, bombRecord = 2 << 20, 256 << 10
	tooMuch              = 10 * bombBody
	tooMuchOfARecord     = 160 * bombRecord
	tooMuchOfAStream     = 320 * bombRecord
)

func small(o *Options) {
	o.Config.MaxBody, o.Limits.MaxEventBytes = bombBody, bombRecord
	o.Split = scan.Split
	o.Config.Secrets, o.Config.InsecureHooks = nil, true
}

// allocated is what do allocates. It is all of the process, so tests that ask don't
// run beside others.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestABombOfElementsIsRefusedForTheMemoryOfItsBytes: 16 kB packed were 16 MiB of
// `[0,0,...]`, and a gigabyte of what they were read into, beside ingest.max_in_flight. What each
// source makes of elements is in the test of the same name in processors/decode.
func TestABombOfElementsIsRefusedForTheMemoryOfItsBytes(t *testing.T) {
	w := gatewayWith(t, small)
	fast := func(w io.Writer) io.WriteCloser {
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		return z
	}
	body, record, report := bombBody-1000, bombRecord-overhead-1000, 2*bombRecord // which is cut
	for _, bomb := range []struct {
		path, around string
		size         int
	}{
		{path: "/v1/events", around: `%s`, size: body},
		{path: "/v1/events", around: `[%s]`, size: record},
		{path: "/v1/events", around: `{"specversion":"1.0","data":%s}`, size: body},
		{path: "/v1/events", around: `{"specversion":"1.0","data":%s}`, size: record},
		{path: "/v1/batch", around: `{"batch":%s}`, size: body},
		{path: "/v1/batch", around: `{"batch":%s}`, size: record},
		{path: "/v1/track", around: `%s`, size: body},
		{path: "/v1/traces", around: `{"resource_spans":[{"scopeSpans":[{"spans":%s}]}]}`, size: body},
		{path: "/v1/metrics", around: `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{"dataPoints":%s}}]}]}]}`, size: record},
		{path: "/v1/logs", around: `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"arrayValue":{"values":%s}}}]}]}]}`, size: body},
		{path: "/hooks/alertmanager", around: `{"status":"firing","alerts":%s}`, size: record},
		{path: "/findings/sarif", around: `{"version":"2.1.0","runs":%s}`, size: record},
		{path: "/findings/sarif", around: `{"version":"2.1.0","runs":%s}`, size: report},
		{path: "/findings/sarif", around: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":%s}]}`, size: report},
		{path: "/findings/trivy", around: `{"SchemaVersion":2,"Results":%s}`, size: body},
		{path: "/findings/ocsf", around: `%s`, size: record},
		{path: "/findings/ocsf", around: `%s`, size: report},
	} {
		for _, one := range []string{"0", "null", "{}"} {
			packed := packedBy(t, fmt.Appendf(nil, bomb.around, listed(one, bomb.size)), fast)
			name := fmt.Sprintf("%s %s of %s, %d kB", bomb.path, bomb.around, one, bomb.size>>10)
			took := allocated(func() {
				answer := w.post(bomb.path, packed, "Content-Type", jsonType, "Content-Encoding", "gzip")
				if answer.Code < 400 || answer.Code >= 500 || answer.Code == http.StatusTooManyRequests || answer.Body.Len() < 20 {
					t.Errorf("%s: %d %.200s", name, answer.Code, answer.Body)
				}
			})
			most := uint64(tooMuch)
			switch {
			case bomb.size <= record:
				most = tooMuchOfARecord
			case strings.HasPrefix(bomb.path, "/findings/"):
				most = tooMuchOfAStream
			}
			if took > most {
				t.Errorf("%s: %d MB were allocated", name, took>>20)
			}
			if sent := len(w.broker.messages()); sent > 0 {
				t.Fatalf("%s: %d records were written", name, sent)
			}
		}
	}
	if used := w.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are left over", used)
	}
}

// TestAnHonestBodyOfTheSameSizeIsTaken: none of the bounds is met by what tools send,
// if it fills the body.
func TestAnHonestBodyOfTheSameSizeIsTaken(t *testing.T) {
	all := spans(1, 1, bombBody/700, 30)
	for _, span := range all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
		span.SetStartTimestamp(1770000000000000000)
		for i := range 8 {
			span.Attributes().PutInt(fmt.Sprintf("a%d", i), int64(i))
		}
	}
	spansInJSON, err := (&ptrace.JSONMarshaler{}).MarshalTraces(all)
	if err != nil {
		t.Fatal(err)
	}
	points := pmetric.NewMetrics()
	histogram := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyHistogram()
	for range bombBody / 3000 {
		point := histogram.DataPoints().AppendEmpty()
		point.SetTimestamp(1770000000000000000)
		point.BucketCounts().FromRaw(make([]uint64, 160))
		for i := range 159 {
			point.ExplicitBounds().Append(float64(i) * 0.125)
		}
	}
	pointsInJSON, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(points)
	if err != nil {
		t.Fatal(err)
	}
	message := `{"type":"track","event":"Clicked","userId":"u","messageId":"m","timestamp":"2026-11-26T14:00:00Z","properties":{"at":[1,2,3,4,5,6,7,8]}}`
	alert := `{"status":"firing","labels":{"alertname":"High"},"startsAt":"2026-11-26T14:00:00Z","fingerprint":"a"}`
	labels := `{"action":"opened","issue":{"id":1,"number":1,"title":"t","labels":` + listed(`{"name":"a"}`, bombRecord/2) + `}}`
	result := `{"ruleId":"a","message":{"text":"t"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":7}}}]}`
	for name, c := range map[string]struct {
		path    string
		body    string
		headers []string
	}{
		"events":           {"/v1/events", listed(behavior, min(9000*len(behavior), bombBody-1000)), []string{"Content-Type", batchType}},
		"product events":   {"/v1/batch", `{"batch":` + listed(message, bombBody-1000) + `}`, nil},
		"numbers":          {"/v1/track", strings.Replace(message, "[1,", listed("7", bombRecord-overhead-1000)[:bombRecord-overhead-2000]+",", 1), nil},
		"spans":            {"/v1/traces", string(protobufOf(t, traces{all})), []string{"Content-Type", protobufType}},
		"spans in JSON":    {"/v1/traces", string(spansInJSON), nil},
		"buckets":          {"/v1/metrics", string(protobufOf(t, metrics{points})), []string{"Content-Type", protobufType}},
		"buckets in JSON":  {"/v1/metrics", string(pointsInJSON), nil},
		"alerts":           {"/hooks/alertmanager", `{"status":"firing","alerts":` + listed(alert, bombRecord-overhead-1000) + `}`, nil},
		"labels":           {"/hooks/github", labels + strings.Repeat(" ", bombRecord/4), []string{"X-GitHub-Event", "issues"}},
		"results":          {"/findings/sarif", `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":` + listed(result, bombRecord-overhead-1000) + `}]}`, nil},
		"a report in cuts": {"/findings/sarif", `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":` + listed(result, bombBody) + `}]}`, nil},
	} {
		w := gatewayWith(t, small)
		if len(c.headers) == 0 || c.headers[0] != "Content-Type" {
			c.headers = append(c.headers, "Content-Type", jsonType)
		}
		answer := w.post(c.path, []byte(c.body), c.headers...)
		if answer.Code != http.StatusOK || len(w.broker.messages()) == 0 {
			t.Errorf("%s of %d kB: %d %.300s", name, len(c.body)>>10, answer.Code, answer.Body)
		}
	}
}

// watching is a stage that counts what is in it at once.
type watching struct {
	inside, most atomic.Int64
	leave        chan struct{}
}

func (*watching) Name() string { return "watches" }

func (s *watching) Process(context.Context, *pipeline.Batch) error {
	s.most.Store(max(s.most.Load(), s.inside.Add(1)))
	<-s.leave
	s.inside.Add(-1)
	return nil
}

// TestLargeBodiesAreReadInTurn: max_in_flight is of bytes, and what they are read
// into is many times as large. So not all that are held are read at once.
func TestLargeBodiesAreReadInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage := &watching{leave: make(chan struct{})}
		const body, record = 4 << 20, 256 << 10 // of what is longer than shortBody
		w := gatewayWith(t, func(o *Options) {
			small(o)
			o.Config.MaxBody, o.Limits.MaxEventBytes = body, record
			o.Stages = []pipeline.Processor{stage}
		})
		long := []byte(`{"a":"` + strings.Repeat("x", 200<<10) + `"}`)
		answers := make(chan int)
		const all = 20
		for range all {
			go func() { answers <- w.post("/hooks/alertmanager", long).Code }()
		}
		synctest.Wait()
		if n := stage.inside.Load(); n < 2 || n > body/structures/int64(len(long)) {
			t.Errorf("%d of %d kB are read at once", n, len(long)>>10)
		}
		go func() { answers <- w.post("/hooks/alertmanager", []byte(`{}`)).Code }()
		synctest.Wait()
		if n := stage.inside.Load(); n > 1+body/structures/int64(len(long)) {
			t.Errorf("%d are read at once", n)
		} else if n == body/structures/int64(len(long)) {
			t.Error("a short body waits for long ones")
		}
		close(stage.leave)
		for range all + 1 {
			if code := <-answers; code != http.StatusOK {
				t.Errorf("answer %d", code)
			}
		}
		if most := stage.most.Load(); most > 1+body/structures/int64(len(long)) {
			t.Errorf("%d were read at once", most)
		}
	})
}

// TestOTLPThatRepeatsALongResourceIsRefusedAndNotLost: it was answered with 200, and
// became a dead letter, since the events that it makes are a hundred times as long.
func TestOTLPThatRepeatsALongResourceIsRefusedAndNotLost(t *testing.T) {
	w := gatewayWith(t, nil)
	all := spans(1, 1, 2000, 1)
	for _, span := range all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
		span.SetKind(ptrace.SpanKindServer)
		span.SetStartTimestamp(1770000000000000000)
		span.SetEndTimestamp(1770000000001000000)
		span.SetSpanID([8]byte{1})
	}
	resource := all.ResourceSpans().At(0).Resource().Attributes()
	resource.PutStr("host.name", strings.Repeat("x", 30_000))
	body := protobufOf(t, traces{all})
	answer := w.post("/v1/traces", body, "Content-Type", protobufType)
	if answer.Code != http.StatusRequestEntityTooLarge || len(w.broker.messages()) > 0 || !strings.Contains(answer.Body.String(), "repeat") {
		t.Errorf("%d %q, %d records", answer.Code, answer.Body, len(w.broker.messages()))
	}
	resource.PutStr("host.name", strings.Repeat("x", 300))
	if answer := w.post("/v1/traces", protobufOf(t, traces{all}), "Content-Type", protobufType); answer.Code != http.StatusOK || len(w.broker.messages()) != 1 {
		t.Errorf("%d %q", answer.Code, answer.Body)
	}
}

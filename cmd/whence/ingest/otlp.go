package ingest

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/schemas/codec"
)

// signal is one of OTLP's: how its requests are read and cut.
type signal struct {
	rejected string // the field of its partial success that counts what was not taken
	read     func(body []byte, asJSON bool) (request, error)
}

// request is an Export…ServiceRequest; the data types of pdata have its form.
type request interface {
	count() int
	repeated() int // bytes of its resources, each as often as there are events of it
	size() int     // as protobuf
	marshal() ([]byte, error)
	// halves takes the request apart; ok is false where it is one thing.
	halves() (a, b request, ok bool)
}

var signals = map[string]*signal{
	"otlp-traces":  {"rejectedSpans", readTraces},
	"otlp-metrics": {"rejectedDataPoints", readMetrics},
	"otlp-logs":    {"rejectedLogRecords", readLogs},
}

// telemetry takes an OTLP request. What fits a record is written as it came; a
// larger one is cut into requests as protobuf. Something in it that is too large
// alone is rejected, as the protocol has it, and the rest is taken.
func (x *exchange) telemetry() error {
	body, err := x.body()
	if err != nil {
		return err
	}
	x.bytes = int64(len(body))
	asJSON := x.media == jsonType
	if err := x.weighed(body, asJSON); err != nil {
		return err
	}
	r, err := readSafely(x.endpoint.otlp, body, asJSON)
	if err != nil {
		return problem(http.StatusBadRequest, reasonMalformed, "the body is no OTLP request: %v", err)
	}
	if r.count() == 0 {
		return nil // allowed, and nothing to write
	}
	records, err := x.telemetryRecords(r, body)
	if err != nil {
		return err
	}
	topic := x.topic(x.endpoint.source.Topic)
	return x.write(func(int) string { return topic }, records)
}

// weighed refuses a request that decode would make a dead letter: one that is far
// larger in memory than its bytes.
func (x *exchange) weighed(body []byte, asJSON bool) error {
	if fault := codec.FaultOf(decode.CheckOTLP(x.endpoint.source.Name, body, asJSON, x.limits.MaxDepth)); fault != nil {
		return faulty(string(fault.Reason), fault.Detail)
	}
	return nil
}

// telemetryRecords are the records of a request, and of the body it was read from.
func (x *exchange) telemetryRecords(r request, body []byte) ([]pipeline.Record, error) {
	if len(body) <= x.maxRecord-overhead {
		only := x.record(body, x.request.Header.Get("Content-Type"))
		return []pipeline.Record{only}, x.checkRepeated(r, only)
	}
	if err := x.hold(int64(len(body))); err != nil { // the parts are copies
		return nil, err
	}
	var records []pipeline.Record
	sum := 0
	err := x.cut(r, x.maxRecord-overhead, func(part []byte, of request) error {
		// Each has its resource: a long one and many spans would be gigabytes.
		if sum += len(part); sum > x.maxRecord+mostCopied*len(body) {
			return problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "cut into records that repeat its resources it is more than %d times as long", mostCopied)
		}
		// The body may be light for its length, and a part of it not.
		if err := x.weighed(part, false); err != nil {
			return err
		}
		record := x.record(part, protobufType)
		records = append(records, record)
		return x.checkRepeated(of, record)
	})
	if err == nil && len(records) == 0 {
		err = problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "%s", x.because)
	}
	return records, err
}

// mostRepeated is how many bytes the events of a record may have of its resources,
// for each byte of it, without being asked about: less than what decode allows
// them in all, since a service is in several fields, and an item has text of its own.
const mostRepeated = 4

// checkRepeated asks the first stages about a record whose items each repeat a long
// resource: it may be a dead letter. Of others they find fault with nothing that
// has been read, and reading all twice would cost twice as much.
func (x *exchange) checkRepeated(r request, record pipeline.Record) error {
	if r.repeated() <= 1<<20+mostRepeated*len(record.Value) {
		return nil
	}
	_, err := x.check(x.topic(x.endpoint.source.Topic), []pipeline.Record{record}, whole)
	return err
}

// mostCopied is how many times its length a body may have when it is cut.
const mostCopied = 2

// readSafely reads a body: a panic over it in a library is the body's fault.
func readSafely(s *signal, body []byte, asJSON bool) (r request, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("it can't be read: %v", trouble)
		}
	}()
	return s.read(body, asJSON)
}

// cut halves r until the parts fit.
func (x *exchange) cut(r request, limit int, emit func([]byte, request) error) error {
	size := r.size()
	if size <= limit {
		part, err := r.marshal()
		if err == nil {
			err = emit(part, r)
		}
		return err
	}
	a, b, ok := r.halves()
	if !ok {
		x.rejected += r.count()
		x.because = fmt.Sprintf("one of %d bytes is too large for a record of %d", size, limit)
		return nil
	}
	if err := x.cut(a, limit, emit); err != nil {
		return err
	}
	return x.cut(b, limit, emit)
}

// textIn is how many bytes of text a resource has.
func textIn(r pcommon.Resource) int {
	sum := 0
	for key, v := range r.Attributes().All() {
		sum += len(key)
		switch v.Type() {
		case pcommon.ValueTypeStr:
			sum += len(v.Str())
		case pcommon.ValueTypeBytes, pcommon.ValueTypeSlice, pcommon.ValueTypeMap:
			sum += len(v.AsString())
		}
	}
	return sum
}

// repeatedIn is how many bytes of their resources the events of a request have.
func repeatedIn[E interface{ Resource() pcommon.Resource }](all iter.Seq2[int, E], events func(E) int) int {
	sum := 0
	for _, of := range all {
		sum += events(of) * textIn(of.Resource())
	}
	return sum
}

// slice is what pdata's slices have in common.
type slice[E movable[E]] interface {
	Len() int
	At(int) E
	AppendEmpty() E
	RemoveIf(func(E) bool)
}

type movable[E any] interface{ MoveTo(E) }

// moveHalf moves the first half of from to the empty to.
func moveHalf[S slice[E], E movable[E]](from, to S) {
	i, half := 0, from.Len()/2
	from.RemoveIf(func(e E) bool {
		if i++; i > half {
			return false
		}
		e.MoveTo(to.AppendEmpty())
		return true
	})
}

type traces struct{ ptrace.Traces }

func readTraces(body []byte, asJSON bool) (request, error) {
	if asJSON {
		t, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(body)
		return traces{t}, err
	}
	t, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	return traces{t}, err
}

func (t traces) count() int               { return t.SpanCount() }
func (t traces) size() int                { return (&ptrace.ProtoMarshaler{}).TracesSize(t.Traces) }
func (t traces) marshal() ([]byte, error) { return (&ptrace.ProtoMarshaler{}).MarshalTraces(t.Traces) }

func (t traces) repeated() int {
	return repeatedIn(t.ResourceSpans().All(), func(of ptrace.ResourceSpans) int {
		events := 0
		for _, scope := range of.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				events += 1 + span.Events().Len()
			}
		}
		return events
	})
}

func (t traces) halves() (a, b request, ok bool) {
	first := ptrace.NewTraces()
	all := t.ResourceSpans()
	if all.Len() > 1 {
		moveHalf(all, first.ResourceSpans())
		return traces{first}, t, true
	}
	if all.Len() == 0 {
		return nil, nil, false
	}
	resource, copied := all.At(0), first.ResourceSpans().AppendEmpty()
	resource.Resource().CopyTo(copied.Resource())
	copied.SetSchemaUrl(resource.SchemaUrl())
	if resource.ScopeSpans().Len() > 1 {
		moveHalf(resource.ScopeSpans(), copied.ScopeSpans())
		return traces{first}, t, true
	}
	if resource.ScopeSpans().Len() == 0 || resource.ScopeSpans().At(0).Spans().Len() < 2 {
		return nil, nil, false
	}
	scope, into := resource.ScopeSpans().At(0), copied.ScopeSpans().AppendEmpty()
	scope.Scope().CopyTo(into.Scope())
	into.SetSchemaUrl(scope.SchemaUrl())
	moveHalf(scope.Spans(), into.Spans())
	return traces{first}, t, true
}

type logs struct{ plog.Logs }

func readLogs(body []byte, asJSON bool) (request, error) {
	if asJSON {
		l, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(body)
		return logs{l}, err
	}
	l, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body)
	return logs{l}, err
}

func (l logs) count() int               { return l.LogRecordCount() }
func (l logs) size() int                { return (&plog.ProtoMarshaler{}).LogsSize(l.Logs) }
func (l logs) marshal() ([]byte, error) { return (&plog.ProtoMarshaler{}).MarshalLogs(l.Logs) }

func (l logs) repeated() int {
	return repeatedIn(l.ResourceLogs().All(), func(of plog.ResourceLogs) int {
		events := 0
		for _, scope := range of.ScopeLogs().All() {
			events += scope.LogRecords().Len()
		}
		return events
	})
}

func (l logs) halves() (a, b request, ok bool) {
	first := plog.NewLogs()
	all := l.ResourceLogs()
	if all.Len() > 1 {
		moveHalf(all, first.ResourceLogs())
		return logs{first}, l, true
	}
	if all.Len() == 0 {
		return nil, nil, false
	}
	resource, copied := all.At(0), first.ResourceLogs().AppendEmpty()
	resource.Resource().CopyTo(copied.Resource())
	copied.SetSchemaUrl(resource.SchemaUrl())
	if resource.ScopeLogs().Len() > 1 {
		moveHalf(resource.ScopeLogs(), copied.ScopeLogs())
		return logs{first}, l, true
	}
	if resource.ScopeLogs().Len() == 0 || resource.ScopeLogs().At(0).LogRecords().Len() < 2 {
		return nil, nil, false
	}
	scope, into := resource.ScopeLogs().At(0), copied.ScopeLogs().AppendEmpty()
	scope.Scope().CopyTo(into.Scope())
	into.SetSchemaUrl(scope.SchemaUrl())
	moveHalf(scope.LogRecords(), into.LogRecords())
	return logs{first}, l, true
}

type metrics struct{ pmetric.Metrics }

func readMetrics(body []byte, asJSON bool) (request, error) {
	if asJSON {
		m, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(body)
		return metrics{m}, err
	}
	m, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(body)
	return metrics{m}, err
}

func (m metrics) count() int { return m.DataPointCount() }
func (m metrics) size() int  { return (&pmetric.ProtoMarshaler{}).MetricsSize(m.Metrics) }
func (m metrics) marshal() ([]byte, error) {
	return (&pmetric.ProtoMarshaler{}).MarshalMetrics(m.Metrics)
}

func (m metrics) repeated() int {
	return repeatedIn(m.ResourceMetrics().All(), func(of pmetric.ResourceMetrics) int {
		events := 0
		for _, scope := range of.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				events += points(metric)
			}
		}
		return events
	})
}

func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

func (m metrics) halves() (a, b request, ok bool) {
	first := pmetric.NewMetrics()
	all := m.ResourceMetrics()
	if all.Len() > 1 {
		moveHalf(all, first.ResourceMetrics())
		return metrics{first}, m, true
	}
	if all.Len() == 0 {
		return nil, nil, false
	}
	resource, copied := all.At(0), first.ResourceMetrics().AppendEmpty()
	resource.Resource().CopyTo(copied.Resource())
	copied.SetSchemaUrl(resource.SchemaUrl())
	if resource.ScopeMetrics().Len() > 1 {
		moveHalf(resource.ScopeMetrics(), copied.ScopeMetrics())
		return metrics{first}, m, true
	}
	if resource.ScopeMetrics().Len() == 0 || resource.ScopeMetrics().At(0).Metrics().Len() == 0 {
		return nil, nil, false
	}
	scope, into := resource.ScopeMetrics().At(0), copied.ScopeMetrics().AppendEmpty()
	scope.Scope().CopyTo(into.Scope())
	into.SetSchemaUrl(scope.SchemaUrl())
	if scope.Metrics().Len() > 1 {
		moveHalf(scope.Metrics(), into.Metrics())
		return metrics{first}, m, true
	}
	return metrics{first}, m, halfPoints(scope.Metrics().At(0), into.Metrics().AppendEmpty())
}

// halfPoints moves half of a metric's points to a new one of the same name.
func halfPoints(from, to pmetric.Metric) bool {
	to.SetName(from.Name())
	to.SetDescription(from.Description())
	to.SetUnit(from.Unit())
	from.Metadata().CopyTo(to.Metadata())
	switch from.Type() {
	case pmetric.MetricTypeGauge:
		return half(from.Gauge().DataPoints(), to.SetEmptyGauge().DataPoints())
	case pmetric.MetricTypeSum:
		sum := to.SetEmptySum()
		sum.SetAggregationTemporality(from.Sum().AggregationTemporality())
		sum.SetIsMonotonic(from.Sum().IsMonotonic())
		return half(from.Sum().DataPoints(), sum.DataPoints())
	case pmetric.MetricTypeHistogram:
		histogram := to.SetEmptyHistogram()
		histogram.SetAggregationTemporality(from.Histogram().AggregationTemporality())
		return half(from.Histogram().DataPoints(), histogram.DataPoints())
	case pmetric.MetricTypeExponentialHistogram:
		histogram := to.SetEmptyExponentialHistogram()
		histogram.SetAggregationTemporality(from.ExponentialHistogram().AggregationTemporality())
		return half(from.ExponentialHistogram().DataPoints(), histogram.DataPoints())
	case pmetric.MetricTypeSummary:
		return half(from.Summary().DataPoints(), to.SetEmptySummary().DataPoints())
	}
	return false
}

func half[S slice[E], E movable[E]](from, to S) bool {
	if from.Len() < 2 {
		return false
	}
	moveHalf(from, to)
	return true
}

// The answers are protobuf messages of three fields, written here by hand:
// their generated packages bring gRPC along.

// answerTelemetry is an Export…ServiceResponse (opentelemetry-proto,
// collector/trace/v1: partial_success = 1 {rejected_spans = 1, error_message = 2}).
func (x *exchange) answerTelemetry() []byte {
	if x.media == jsonType {
		if x.rejected == 0 {
			return []byte("{}")
		}
		// int64 is a string in JSON.
		body, _ := json.Marshal(map[string]any{"partialSuccess": map[string]string{
			x.endpoint.otlp.rejected: fmt.Sprint(x.rejected), "errorMessage": x.because,
		}})
		return body
	}
	if x.rejected == 0 {
		return nil
	}
	partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(x.rejected))
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), x.because)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
}

// rpcCodes are those of google.rpc.Code that stand for a status.
var rpcCodes = map[int]int32{
	http.StatusBadRequest: 3, http.StatusUnauthorized: 16, http.StatusForbidden: 7, http.StatusRequestEntityTooLarge: 3,
	http.StatusUnsupportedMediaType: 3, http.StatusTooManyRequests: 8, http.StatusServiceUnavailable: 14, http.StatusInternalServerError: 13,
	http.StatusRequestTimeout: 4,
}

// refuseTelemetry answers with a google.rpc.Status (code = 1, message = 2) in
// the request's encoding: OTLP specification, "Failures" of OTLP/HTTP.
func (x *exchange) refuseTelemetry(p *Problem) {
	message := p.Detail
	if p.Hint != "" {
		message += " (" + p.Hint + ")"
	}
	for name, values := range p.header {
		x.writer.Header()[name] = values
	}
	var body []byte
	if x.media == protobufType {
		body = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(rpcCodes[p.Status]))
		body = protowire.AppendString(protowire.AppendTag(body, 2, protowire.BytesType), message)
	} else {
		body, _ = json.Marshal(map[string]any{"code": rpcCodes[p.Status], "message": message})
	}
	x.writer.Header().Set("Content-Type", x.media)
	x.writer.WriteHeader(p.Status)
	_, _ = x.writer.Write(body)
}

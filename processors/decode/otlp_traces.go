package decode

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/whencehq/whence/schemas/event"
)

func otlpTracesReader() reader {
	return reader{source: "otlp-traces", binary: true, rows: otlpTracesRows(), read: func(p *payload, s *said) error {
		request := ptraceotlp.NewExportRequest()
		if err := readOTLP(p, s, request); err != nil {
			return err
		}
		t := tracesIn{payload: p, said: s}
		for _, resource := range request.Traces().ResourceSpans().All() {
			t.resource(resource)
		}
		return t.keep(request)
	}}
}

// tracesIn is what the spans of a record are read with.
type tracesIn struct {
	*payload
	*said
	resourced  *otlpResource
	origin     string // of the first resource, for what is kept
	when       extent
	request    event.Observation // scratch
	attributes []event.Pair      // scratch
	// Of the resource at hand: who was called and in which minute, and that in the
	// order it was met.
	edges   map[edgeKey]*edge
	ordered []*edge
}

// resource says the spans of one resource, and takes those out that are said whole.
func (t *tracesIn) resource(from ptrace.ResourceSpans) {
	t.resourced = resourceOf(t.payload, from.Resource())
	if t.origin == "" {
		t.origin = t.resourced.origin
	}
	t.request = t.resourced.blank("behavior.recorded")
	for _, scope := range from.ScopeSpans().All() {
		name := validText(scope.Scope().Name())
		scope.Spans().RemoveIf(func(s ptrace.Span) bool {
			said := t.span(s, name)
			t.when.item(otlpMillis(s.StartTimestamp()), said)
			return said
		})
	}
	for _, e := range t.ordered {
		t.observe(e.measured(t.resourced))
	}
	t.ordered = t.ordered[:0]
	clear(t.edges)
}

// span says a span, and tells whether all of it is said. A server's or consumer's
// is the request; a client's or producer's is the same request as its caller saw
// it, and counts for the edge between the two only.
func (t *tracesIn) span(from ptrace.Span, scope string) bool {
	if t.full() {
		return false
	}
	s := t.read(from)
	unsaid := t.happenings(from, &s)
	switch kind := from.Kind(); {
	case s.run != "" && s.result != "":
		t.pipelineRun(from, &s)
	case s.trace == "":
		t.refuse("behavior.recorded", errNoIDs)
	case kind == ptrace.SpanKindServer || kind == ptrace.SpanKindConsumer:
		return t.served(from, &s, scope, unsaid)
	case s.peer != "" && (kind == ptrace.SpanKindClient || kind == ptrace.SpanKindProducer):
		t.called(from, &s)
	}
	return false
}

var errNoIDs = errors.New("a span without a trace id or a span id")

// spanRead is what of a span has a place of its own.
type spanRead struct {
	id, trace         string
	method, route     string // HTTP
	rpc, rpcService   string
	operation, target string // messaging
	user, session     string
	peer              string
	errorType, status string // http.response.status_code
	code              string // of RPC
	run, result       string // CI/CD
	revision          string
	weight            float64
	temporary         bool // the destination of a message is of one client
}

// read fills t.attributes and says what is where in them. It is one long switch
// because it is done for each attribute of each span.
func (t *tracesIn) read(from ptrace.Span) (s spanRead) {
	t.attributes = append(t.attributes[:0], t.resourced.attributes...)
	s.trace, s.id = spanID(from.TraceID(), from.SpanID())
	s.run, s.revision = t.resourced.pipeline, t.resourced.revision
	s.weight = weightOf(from.TraceState().AsRaw())
	var user, pseudonym string
	for key, v := range from.Attributes().All() {
		text := textOf(v)
		switch key {
		case "http.request.method", "http.method":
			s.method = text
		case "http.route":
			s.route = text
		case "http.response.status_code", "http.status_code":
			s.status = text
		case "rpc.method":
			s.rpc = text
		case "rpc.service":
			s.rpcService = text
		case "rpc.response.status_code", "rpc.grpc.status_code":
			s.code = text
		case "messaging.operation.name":
			s.operation = text
		case "messaging.operation.type", "messaging.operation":
			s.operation = cmp.Or(s.operation, text)
		case "messaging.destination.template":
			s.target = text
		case "messaging.destination.name":
			s.target = cmp.Or(s.target, text)
		case "messaging.destination.temporary", "messaging.destination.anonymous":
			s.temporary = s.temporary || text == "true"
		case "error.type":
			s.errorType = text
		case "service.peer.name", "peer.service":
			s.peer = text
		case "enduser.id":
			user = text
			continue
		case "user.id":
			s.user = text
			continue
		case "enduser.pseudo.id":
			pseudonym = text
		case "session.id":
			s.session = text
			continue
		case "SampleRate":
			if math.IsNaN(s.weight) {
				s.weight = countOf(text)
			}
		case "sampling.threshold":
			if math.IsNaN(s.weight) {
				s.weight = adjustedCount(text)
			}
		case "cicd.pipeline.run.id":
			s.run = text
		case "cicd.pipeline.result":
			s.result = text
		case "vcs.ref.head.revision":
			s.revision = text
		}
		t.attributes = append(t.attributes, event.Pair{Key: validText(key), Value: text})
	}
	if s.user != "" && user != "" { // both are stated: one has the column
		t.attributes = append(t.attributes, event.Pair{Key: "user.id", Value: s.user})
	}
	s.user = cmp.Or(user, s.user, pseudonym)
	return s
}

// spanID is how a span is called, trace id/span id in hex, and its trace id;
// empty where one of them is missing.
func spanID(trace pcommon.TraceID, span pcommon.SpanID) (traceID, id string) {
	if trace.IsEmpty() || span.IsEmpty() {
		return "", ""
	}
	var b [2*len(trace) + 1 + 2*len(span)]byte
	hex.Encode(b[:], trace[:])
	b[2*len(trace)] = '/'
	hex.Encode(b[2*len(trace)+1:], span[:])
	id = string(b[:])
	return id[:2*len(trace)], id
}

// name is what was done, from the attributes that have few values. The span's
// own name comes last: the semantic conventions ask for as few, and not every
// instrumentation follows.
func (s *spanRead) name(own string) string {
	switch {
	case s.route != "":
		return strings.TrimPrefix(s.method+" "+s.route, " ")
	case s.rpc != "" && s.rpcService != "":
		return s.rpcService + "/" + s.rpc
	case s.rpc != "":
		return s.rpc
	case s.operation != "" && s.temporary:
		return s.operation + " (temporary)"
	case s.operation != "" && s.target != "":
		return s.operation + " " + s.target
	}
	return cmp.Or(validText(own), s.operation, "span")
}

// failed tells whether a span says that it went wrong. A status that the
// application set is its last word; without one the attributes say what the
// conventions would have set it to.
func (s *spanRead) failed(status ptrace.Status, client bool) bool {
	switch status.Code() {
	case ptrace.StatusCodeError:
		return true
	case ptrace.StatusCodeOk:
		return false
	}
	return s.errorType != "" || failedHTTP(s.status, client) || failedRPC(s.code, client)
}

// durationMS is how long a span took; unknown where it ends before it starts.
func durationMS(from ptrace.Span) float64 {
	if from.EndTimestamp() < from.StartTimestamp() || from.StartTimestamp() == 0 {
		return event.Unknown
	}
	return float64(from.EndTimestamp()-from.StartTimestamp()) / 1e6
}

// served says a request that the resource has served.
func (t *tracesIn) served(from ptrace.Span, s *spanRead, scope, unsaid string) bool {
	o := &t.request
	o.ID, o.TraceID, o.Time = s.id, s.trace, otlpMillis(from.StartTimestamp())
	o.Name = s.name(from.Name())
	o.Version, o.Instance = cmp.Or(t.resourced.version, s.revision), t.resourced.instance
	o.User, o.Session, o.Weight, o.DurationMS = s.user, s.session, s.weight, durationMS(from)
	o.OK = event.True
	if s.failed(from.Status(), false) {
		o.OK = event.False
	}
	t.more("span.kind", strings.ToLower(from.Kind().String()))
	t.more("otel.scope.name", scope)
	if parent := from.ParentSpanID(); !parent.IsEmpty() {
		t.more("span.parent_id", parent.String())
	}
	if o.Name != from.Name() {
		t.more("span.name", validText(from.Name()))
	}
	if status := from.Status(); status.Code() != ptrace.StatusCodeUnset {
		t.more("otel.status_code", strings.ToUpper(status.Code().String()))
		t.more("otel.status_description", validText(status.Message()))
	}
	t.more("tracestate", validText(from.TraceState().AsRaw()))
	t.more("caller", s.peer)
	t.more("span.events", unsaid)
	t.more("span.links", linksOf(from.Links()))
	o.Attributes = t.attributes
	return t.observe(o)
}

func (t *tracesIn) more(key, text string) {
	if text != "" {
		t.attributes = append(t.attributes, event.Pair{Key: key, Value: text})
	}
}

func linksOf(links ptrace.SpanLinkSlice) string {
	if links.Len() == 0 {
		return ""
	}
	var w jx.Writer
	w.ArrStart()
	for i, link := range links.All() {
		if i > 0 {
			w.Comma()
		}
		w.ObjStart()
		w.FieldStart("trace_id")
		w.Str(link.TraceID().String())
		w.Comma()
		w.FieldStart("span_id")
		w.Str(link.SpanID().String())
		w.Comma()
		w.FieldStart("attributes")
		writeMap(&w, link.Attributes())
		w.ObjEnd()
	}
	w.ArrEnd()
	return string(w.Buf)
}

// happenings says the events of a span that have a type of ours, and returns the
// others as JSON; empty where there are none.
func (t *tracesIn) happenings(from ptrace.Span, s *spanRead) string {
	var w jx.Writer
	for i, e := range from.Events().All() {
		h := happening{resource: t.resourced, trace: s.trace, at: otlpMillis(e.Timestamp()), user: s.user, session: s.session,
			version: cmp.Or(t.resourced.version, s.revision), attributes: e.Attributes()}
		if h.at == 0 {
			h.at = otlpMillis(from.StartTimestamp())
		}
		if s.id != "" {
			h.id = s.id + "/event/" + strconv.Itoa(i)
		}
		if t.happened(e.Name(), &h) {
			continue
		}
		if len(w.Buf) == 0 {
			w.ArrStart()
		} else {
			w.Comma()
		}
		w.ObjStart()
		w.FieldStart("name")
		w.Str(validText(e.Name()))
		w.Comma()
		w.FieldStart("time")
		w.Str(e.Timestamp().AsTime().Format(time.RFC3339Nano))
		w.Comma()
		w.FieldStart("attributes")
		writeMap(&w, e.Attributes())
		w.ObjEnd()
	}
	if len(w.Buf) > 0 {
		w.ArrEnd()
	}
	return string(w.Buf)
}

// pipelineRun says a run of a CI/CD pipeline, as its span has it (semantic
// conventions, "CI/CD spans").
func (t *tracesIn) pipelineRun(from ptrace.Span, s *spanRead) {
	outcomes := map[string]string{"success": "success", "failure": "failure", "error": "failure", "timeout": "failure", "cancellation": "cancelled", "skip": "skipped"}
	data := map[string]any{"build_id": s.run, "outcome": cmp.Or(outcomes[s.result], s.result)}
	for name, text := range map[string]string{"revision": s.revision, "repository": t.resourced.repository} {
		if text != "" {
			data[name] = text
		}
	}
	if start := otlpMillis(from.StartTimestamp()); start != 0 {
		data["started_at"] = start.Time()
	}
	if took := durationMS(from); !math.IsNaN(took) {
		data["duration_ms"] = took
	}
	attributes := map[string]string{}
	for _, a := range t.attributes {
		attributes[a.Key] = a.Value
	}
	data["attributes"] = attributes
	t.say(event.Event{Source: t.resourced.origin, ID: "build/" + s.run, Time: otlpMillis(from.EndTimestamp()), TraceID: s.trace}, "build.finished", data)
}

// edge is the calls to one service in one minute, as a record's spans of one
// caller have them.
type edge struct {
	edgeKey
	from, to         pcommon.Timestamp
	requests, errors float64
	took             []timed
	ids              hash.Hash
}

type edgeKey struct {
	callee string
	minute event.Millis
}

// timed is how long some requests took, and how many they are.
type timed struct{ ms, count float64 }

// called adds a call to the edge that it went over. A measurement is of an
// interval, and what ranks causes reads measurements one by one, so calls are
// counted by record and minute and not said each for itself.
func (t *tracesIn) called(from ptrace.Span, s *spanRead) {
	end := max(from.EndTimestamp(), from.StartTimestamp())
	key := edgeKey{s.peer, otlpMillis(end) / 60_000}
	e := t.edges[key]
	if e == nil {
		e = &edge{edgeKey: key, from: from.StartTimestamp(), to: end, ids: sha256.New()}
		if t.edges == nil {
			t.edges = map[edgeKey]*edge{}
		}
		t.edges[key] = e
		t.ordered = append(t.ordered, e)
	}
	e.from, e.to = min(e.from, from.StartTimestamp()), max(e.to, end)
	count := s.weight
	if math.IsNaN(count) {
		count = 1
	}
	e.requests += count
	if s.failed(from.Status(), true) {
		e.errors += count
	}
	if ms := durationMS(from); !math.IsNaN(ms) {
		e.took = append(e.took, timed{ms, count})
	}
	_, _ = e.ids.Write([]byte(s.id))
}

// measured is the edge as one measurement of its caller. Its id is of the spans
// it counts: the same export again is the same measurement.
func (e *edge) measured(r *otlpResource) *event.Observation {
	o := r.blank("service.measured")
	o.ID = "calls/" + hex.EncodeToString(e.ids.Sum(nil)[:16])
	o.Time, o.IntervalMS = otlpMillis(e.to), float64(e.to-e.from)/1e6
	o.Version, o.Instance, o.Caller, o.Callee = r.version, r.instance, r.service, e.callee
	o.Requests, o.Errors = e.requests, e.errors
	slices.SortFunc(e.took, func(a, b timed) int { return cmp.Compare(a.ms, b.ms) })
	total, sum := 0.0, 0.0
	for _, t := range e.took {
		total, sum = total+t.count, sum+t.ms*t.count
	}
	if total == 0 {
		return &o
	}
	o.LatencyMS = sum / total
	seen := 0.0
	for _, t := range e.took { // the nearest rank
		o.LatencyP99MS = t.ms
		if seen += t.count; seen >= 0.99*total {
			break
		}
	}
	return &o
}

// keep keeps what is left of the record, its resources always among it.
func (t *tracesIn) keep(request ptraceotlp.ExportRequest) error {
	body, err := request.MarshalJSON()
	if err != nil {
		return err
	}
	return t.keepOTLP("io.opentelemetry.traces", t.origin, t.when, body)
}

// weightOf is how many spans one stands for by its trace state's ot entry (W3C
// Trace Context; "TraceState: Probability Sampling" of the OpenTelemetry
// specification): th is the threshold of OTEP 235, p the exponent that it
// replaced. Unknown where there is neither.
func weightOf(traceState string) float64 {
	if traceState == "" {
		return event.Unknown
	}
	for member := range strings.SplitSeq(traceState, ",") {
		entry, ok := strings.CutPrefix(strings.TrimSpace(member), "ot=")
		if !ok {
			continue
		}
		weight := event.Unknown
		for field := range strings.SplitSeq(entry, ";") {
			if threshold, ok := strings.CutPrefix(field, "th:"); ok {
				return adjustedCount(threshold)
			}
			if exponent, ok := strings.CutPrefix(field, "p:"); ok {
				weight = powerOfTwo(exponent)
			}
		}
		return weight
	}
	return event.Unknown
}

// adjustedCount is 2^56/(2^56-T), T being up to 14 hex digits of which zeros at
// the end are left out.
func adjustedCount(threshold string) float64 {
	const digits = 14
	t, err := strconv.ParseUint(threshold, 16, 64)
	if err != nil || len(threshold) > digits {
		return event.Unknown
	}
	t <<= 4 * (digits - len(threshold))
	return float64(1<<56) / float64(1<<56-t)
}

// powerOfTwo is 2^p; 63 stands for a span that counts for none.
func powerOfTwo(exponent string) float64 {
	switch p, err := strconv.ParseUint(exponent, 10, 8); {
	case err != nil || p > 63:
		return event.Unknown
	case p == 63:
		return 0
	default:
		return math.Ldexp(1, int(p))
	}
}

// countOf is a count that an attribute states; unknown where it is below one.
func countOf(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 1) || !finite(n) {
		return event.Unknown
	}
	return n
}

func otlpTracesRows() []row {
	resource := []rowField{
		{"service", "`service.name`, the hint, the workload's name in Kubernetes, `unknown_service`"},
		{"environment", "`deployment.environment.name`, `deployment.environment`, the hint, the default"},
	}
	version := rowField{"version", "`service.version`, the hint, `vcs.ref.head.revision`"}
	instance := rowField{"instance", "`service.instance.id`, `k8s.pod.name`, `container.id`, `host.name`"}
	user := rowField{"user", "`enduser.id`, `user.id`, `enduser.pseudo.id`"}
	return []row{
		{
			from: "Span", when: "of kind SERVER or CONSUMER", to: "behavior.recorded", id: "trace id/span id", time: "its start",
			fields: append(slices.Clone(resource), rowField{"name", "method and `http.route`; `rpc.service`/`rpc.method`; `messaging.operation.name` and destination; else the span's"},
				version, instance, user, rowField{"session", "`session.id`"},
				rowField{"ok", "false: status ERROR, or none and `error.type`, an HTTP status from 500, a gRPC code of the server's failures"},
				rowField{"duration_ms", "end - start"},
				rowField{"weight", "of `tracestate`: `ot=th:`, `ot=p:`; `SampleRate`; `sampling.threshold`"},
				rowField{"attributes", "the span's, `span.kind`, `span.parent_id`, `span.name`, `span.events`, `span.links`, `otel.scope.name`, `otel.status_code`, `caller`, and of the resource what says where it ran"}),
		},
		{
			from: "Span", when: "of kind CLIENT or PRODUCER with `service.peer.name` or `peer.service`: those of one record, callee and minute together",
			to: "service.measured", id: "calls/ and a digest of their ids", time: "the last end",
			fields: append(slices.Clone(resource), version, instance, rowField{"caller", "the service"}, rowField{"callee", "`service.peer.name`, `peer.service`"},
				rowField{"interval_ms", "from the first start to the last end"}, rowField{"requests", "their weights"}, rowField{"errors", "likewise of those that failed"},
				rowField{"latency_ms", "mean"}, rowField{"latency_p99_ms", "nearest rank"}),
		},
		{
			from: "Span", when: "with `cicd.pipeline.run.id` and `cicd.pipeline.result`", to: "build.finished", id: "build/`cicd.pipeline.run.id`", time: "its end",
			fields: []rowField{{"build_id", "`cicd.pipeline.run.id`"}, {"revision", "`vcs.ref.head.revision`"}, {"repository", "`vcs.repository.url.full`"},
				{"outcome", "`cicd.pipeline.result`: error and timeout are failures"}, {"started_at", "its start"}, {"duration_ms", "end - start"}},
		},
		exceptionRow("event of a span", "the span's, /event/ and its place", resource, version, instance, user),
		exposureRow("event of a span", "the span's, /event/ and its place", resource),
	}
}

func exceptionRow(from, id string, resource []rowField, more ...rowField) row {
	return row{from: from, when: "with `exception.type` or `exception.message`", to: "error.occurred", id: id, time: "its own",
		fields: append(append(slices.Clone(resource), more...), rowField{"fingerprint", "`exception.type` and the innermost function"},
			rowField{"message", "`exception.message`"}, rowField{"frames", "`exception.stacktrace`"})}
}

func exposureRow(from, id string, resource []rowField) row {
	return row{from: from, when: "named `feature_flag.evaluation`", to: "experiment.exposed", id: id, time: "its own",
		fields: append(slices.Clone(resource), rowField{"experiment", "`feature_flag.key`"}, rowField{"variant", "`feature_flag.result.variant`, `.variant`, `.result.value`"},
			rowField{"unit_id", "`feature_flag.context.id`, else the user, else the session"})}
}

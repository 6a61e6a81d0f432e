package decode

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// What the three signals of OTLP share. A record is an export request as OTLP/HTTP
// has it for a body and the OpenTelemetry Collector's Kafka exporter for a value
// (encodings otlp_proto and otlp_json). Names of attributes are those of the
// semantic conventions 1.43; where they were renamed the old ones are read too,
// since instrumentation in the field is years behind.

// isOTLPJSON tells the encoding by the content type and, where a record has none,
// by its first byte: a request in protobuf begins with the tag of its field 1, 0x0a.
func isOTLPJSON(p *payload) bool {
	contentType := p.header("content-type")
	if contentType != "" && !strings.HasPrefix(contentType, "application/octet-stream") {
		return strings.Contains(contentType, "json")
	}
	return p.body[0] == '{'
}

// unmarshaler is what the export requests of the three signals have in common.
type unmarshaler interface {
	UnmarshalProto([]byte) error
	UnmarshalJSON([]byte) error
}

// readOTLP reads the body into request, after checking what the library doesn't.
func readOTLP(p *payload, s *said, request unmarshaler) error {
	asJSON, depth := isOTLPJSON(p), value.DefaultDepth
	if asJSON && s.doc.MaxDepth > 0 {
		depth = s.doc.MaxDepth
	}
	if err := CheckOTLP(p.source.Name, p.body, asJSON, depth); err != nil {
		return err
	}
	if asJSON {
		return request.UnmarshalJSON(p.body)
	}
	return request.UnmarshalProto(p.body)
}

// otlpResource is what the resource of spans, points or records says for all of them.
type otlpResource struct {
	service, environment, version, instance string
	region, cluster, origin                 string
	// attributes that every observation of it has; the resource as a whole is in
	// what is kept of the record.
	attributes []event.Pair
	revision   string // vcs.ref.head.revision
	repository string // vcs.repository.url.full
	pipeline   string // cicd.pipeline.run.id, where all of the resource is of one run
}

// unknownService is what SDKs must call a service that nobody named (resource
// semantic conventions, "service").
const unknownService = "unknown_service"

func resourceOf(p *payload, from pcommon.Resource) *otlpResource {
	r := &otlpResource{}
	var namespace, oldEnvironment, workload, pod, container, host string
	for key, v := range from.Attributes().All() {
		var slot *string
		keep := true
		switch key {
		case "service.name":
			slot, keep = &r.service, false
		case "service.namespace":
			slot = &namespace
		case "service.version":
			slot, keep = &r.version, false
		case "service.instance.id":
			slot, keep = &r.instance, false
		case "deployment.environment.name":
			slot, keep = &r.environment, false
		case "deployment.environment":
			slot, keep = &oldEnvironment, false
		case "cloud.region":
			slot, keep = &r.region, false
		case "k8s.cluster.name":
			slot, keep = &r.cluster, false
		case "k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name":
			slot = &workload
		case "k8s.pod.name":
			slot = &pod
		case "container.id":
			slot, keep = &container, false
		case "host.name":
			slot = &host
		case "vcs.ref.head.revision", "vcs.repository.ref.revision":
			slot = &r.revision
		case "vcs.repository.url.full":
			slot = &r.repository
		case "cicd.pipeline.run.id":
			slot = &r.pipeline
		case "k8s.namespace.name", "k8s.node.name", "cloud.availability_zone", "cicd.pipeline.name", "vcs.ref.head.name":
		default:
			continue
		}
		text := textOf(v)
		if slot != nil {
			*slot = text
		}
		if keep && text != "" {
			r.keep(key, text)
		}
	}
	r.service = cmp.Or(p.service(r.service), workload, unknownService)
	r.environment = p.environment(r.environment, oldEnvironment)
	r.version = cmp.Or(r.version, p.hint("version"), r.revision)
	r.instance = cmp.Or(r.instance, pod, container, host)
	r.origin = "otlp/" + r.service
	if namespace != "" {
		r.origin = "otlp/" + namespace + "/" + r.service
	}
	return r
}

// keep adds an attribute, each key once: the last. All spans have them, and a
// resource may say one ten thousand times.
func (r *otlpResource) keep(key, text string) {
	for i := range r.attributes {
		if r.attributes[i].Key == key {
			r.attributes[i].Value = text
			return
		}
	}
	r.attributes = append(r.attributes, event.Pair{Key: key, Value: text})
}

// blank is an observation of a resource.
func (r *otlpResource) blank(typ string) event.Observation {
	o := codec.Blank(event.Prefix + typ)
	o.Source, o.Region, o.Cluster = r.origin, r.region, r.cluster
	o.Service, o.Environment = r.service, r.environment
	return o
}

// textOf is an attribute's value as text: strings as they are, bytes as base64,
// lists and maps as JSON, an empty value as the empty string.
func textOf(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return validText(v.Str())
	case pcommon.ValueTypeInt:
		return strconv.FormatInt(v.Int(), 10)
	case pcommon.ValueTypeBool:
		return strconv.FormatBool(v.Bool())
	case pcommon.ValueTypeSlice, pcommon.ValueTypeMap:
		var w jx.Writer
		writeValue(&w, v)
		return string(w.Buf)
	}
	return v.AsString()
}

// validText is s as UTF-8. SDKs that cut long values by bytes cut runes in two, and
// one such value must not cost the other spans of its record.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

// writeValue writes a value as plain JSON: what isn't finite as a string, since
// JSON has no word for it.
func writeValue(w *jx.Writer, v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeEmpty:
		w.Null()
	case pcommon.ValueTypeBool:
		w.Bool(v.Bool())
	case pcommon.ValueTypeInt:
		w.Int64(v.Int())
	case pcommon.ValueTypeDouble:
		if n := v.Double(); finite(n) {
			w.Float64(n)
		} else {
			w.Str(v.AsString())
		}
	case pcommon.ValueTypeMap:
		writeMap(w, v.Map())
	case pcommon.ValueTypeSlice:
		w.ArrStart()
		for i, element := range v.Slice().All() {
			if i > 0 {
				w.Comma()
			}
			writeValue(w, element)
		}
		w.ArrEnd()
	default:
		w.Str(validText(v.AsString()))
	}
}

func writeMap(w *jx.Writer, m pcommon.Map) {
	w.ObjStart()
	more := false
	for key, v := range m.All() {
		if more {
			w.Comma()
		}
		more = true
		w.FieldStart(validText(key))
		writeValue(w, v)
	}
	w.ObjEnd()
}

func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

// attributesOf are the attributes of m but for those called left.
func attributesOf(m pcommon.Map, left ...string) []event.Pair {
	to := make([]event.Pair, 0, m.Len()+4)
	for key, v := range m.All() {
		if !slices.Contains(left, key) {
			to = append(to, event.Pair{Key: validText(key), Value: textOf(v)})
		}
	}
	return to
}

// statedIn is the first of the attributes of these names that is there.
func statedIn(m pcommon.Map, names ...string) string {
	for _, name := range names {
		if v, ok := m.Get(name); ok {
			if text := textOf(v); text != "" {
				return text
			}
		}
	}
	return ""
}

// otlpMillis is a time of OTLP, nanoseconds since 1970, as ours; 0 where it is not stated.
func otlpMillis(t pcommon.Timestamp) event.Millis { return event.Millis(t / 1_000_000) }

// earliest keeps the least moment that is stated.
func earliest(a, b event.Millis) event.Millis {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// failedHTTP and failedRPC tell whether a response is the server's failure, as the
// semantic conventions set a span's status by it. A client's view counts 4xx too.
func failedHTTP(status string, client bool) bool {
	return len(status) == 3 && (status[0] == '5' || client && status[0] == '4')
}

func failedRPC(code string, client bool) bool {
	switch strings.ToUpper(code) {
	case "", "0", "OK":
		return false
	case "2", "4", "12", "13", "14", "15", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS":
		return true
	}
	return client
}

// happening is an event of a span, or a log record.
type happening struct {
	resource                          *otlpResource
	id, trace, user, session, version string
	at                                event.Millis
	attributes                        pcommon.Map
	more                              []event.Pair // what a log record says besides
}

// happened says what has a type of ours, and tells whether it has.
func (s *said) happened(name string, h *happening) bool {
	switch name {
	case "feature_flag.evaluation", "feature_flag": // the older name
		return s.evaluated(h)
	}
	_, typed := h.attributes.Get("exception.type")
	_, told := h.attributes.Get("exception.message")
	return (typed || told) && s.exception(h)
}

// evaluated says that a unit met the variant of a flag (semantic conventions,
// "Feature flags in logs").
func (s *said) evaluated(h *happening) bool {
	o := h.resource.blank("experiment.exposed")
	o.ID, o.TraceID, o.Time = h.id, h.trace, h.at
	o.Experiment = statedIn(h.attributes, "feature_flag.key")
	o.Variant = statedIn(h.attributes, "feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value")
	o.UnitID = cmp.Or(statedIn(h.attributes, "feature_flag.context.id", "enduser.id", "user.id"), h.user, statedIn(h.attributes, "session.id"), h.session)
	o.Attributes = append(attributesOf(h.attributes, "feature_flag.key", "feature_flag.context.id"), h.more...)
	return s.observe(&o)
}

// exception says an error (semantic conventions, "Exceptions"). What makes two of
// them the same is the type and the function it came from: lines move with every
// release, and messages hold ids.
func (s *said) exception(h *happening) bool {
	o := h.resource.blank("error.occurred")
	o.ID, o.TraceID, o.Time = h.id, h.trace, h.at
	o.Version, o.Instance, o.User, o.Session = h.version, h.resource.instance, h.user, h.session
	o.Message = statedIn(h.attributes, "exception.message")
	o.Frames = framesOf(statedIn(h.attributes, "exception.stacktrace"))
	o.Fingerprint = fingerprint(statedIn(h.attributes, "exception.type"), o.Message, o.Frames)
	o.Attributes = append(attributesOf(h.attributes, "exception.message"), h.more...)
	return s.observe(&o)
}

// extent is when the items of a record begin: all of them, and those that are left
// after the others were said.
type extent struct{ all, left event.Millis }

// item takes the time of an item into account.
func (e *extent) item(at event.Millis, said bool) {
	e.all = earliest(e.all, at)
	if !said {
		e.left = earliest(e.left, at)
	}
}

// keepOTLP keeps what is left of a record. Its id is a digest of it, whatever the
// encoding, and its time that of the first thing in it. Where only resources are
// left it is one event a day: it says what many records say.
func (s *said) keepOTLP(name, origin string, when extent, body []byte) error {
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte(string(utf8.RuneError)))
	}
	id, ms := digestOf(body), when.left
	if ms == 0 && when.all != 0 {
		const day = 24 * 60 * 60 * 1000
		ms = when.all / day * day
		id += "/" + ms.Time().Format(time.DateOnly)
	}
	var at time.Time
	if ms >= event.MinTime && ms < event.MaxTime {
		at = ms.Time()
	}
	return s.keep(name, cmp.Or(origin, "otlp"), id, at, body)
}

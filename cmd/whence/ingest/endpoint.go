package ingest

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/source"
)

// endpoint is one path that takes something. The server, the OpenAPI document
// and the README are made of the same table.
type endpoint struct {
	path    string
	title   string
	doc     string
	source  *source.Source // nil: events, which name their type themselves
	media   []string       // content types; +json is any with that suffix
	untyped bool           // a request may say none
	lists   bool           // a body may be a JSON array
	hints   bool           // takes source.Hints as query parameters
	limit   func(*Gateway) int64
	take    func(*exchange) error
	otlp    *signal // answers as OTLP/HTTP says
	access  access
}

func (e *endpoint) hook() bool { return strings.HasPrefix(e.path, "/hooks/") }

// The content types.
const (
	jsonType       = "application/json"
	anyJSON        = "+json"
	formType       = "application/x-www-form-urlencoded"
	protobufType   = "application/x-protobuf"
	cloudEventType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
	msgpackType    = "application/cloudevents+msgpack"
	sarifType      = "application/sarif+json"
	linesType      = "application/x-ndjson" // a document a line
	cycloneDXType  = "application/vnd.cyclonedx+json"
)

// endpoints are all of them, without access.
func endpoints() []*endpoint {
	body := func(g *Gateway) int64 { return int64(g.config.MaxBody) }
	record := func(g *Gateway) int64 { return int64(g.maxRecord) }
	report := func(g *Gateway) int64 { return int64(g.config.MaxFindings) }
	all := []*endpoint{{
		path: "/v1/events", title: "CloudEvents and CDEvents",
		doc:   "One CloudEvent in structured or binary mode, a batch of them as a JSON array, or a CDEvent as it is. Each becomes a record of its own.",
		media: []string{cloudEventType, batchType, jsonType, msgpackType}, limit: body, take: (*exchange).events,
	}}
	for _, s := range source.All() {
		from := source.Lookup(s.Name)
		e := &endpoint{path: s.Path, title: s.Title, source: from, media: []string{jsonType, anyJSON}, hints: true}
		all = append(all, e)
		switch {
		case e.hook():
			e.doc = "A webhook of " + s.Title + ", as it sends it."
			e.untyped, e.limit, e.take = true, record, (*exchange).hook
			if s.Name == "github" {
				e.media = append(e.media, formType) // what its form for webhooks proposes
			}
		case strings.HasPrefix(s.Path, "/findings/"):
			e.doc = "A report as " + s.Title + ". One that is too large for a record is split into reports of the same kind."
			e.limit, e.take = report, (*exchange).findings
			switch s.Name {
			case "ocsf":
				e.media, e.lists = append(e.media, linesType), true
			case "sarif":
				e.media = append(e.media, sarifType)
			case "cyclonedx":
				e.media = append(e.media, cycloneDXType)
			}
		case strings.HasPrefix(s.Name, "otlp-"):
			e.otlp = signals[s.Name]
			e.doc = "OTLP/HTTP 1.x. A request that is too large for a record is split into requests."
			e.media, e.limit, e.take = []string{protobufType, jsonType}, body, (*exchange).telemetry
		default: // track
			e.doc = "A message of a Segment client, or {\"batch\": [...]} of them."
			e.limit, e.take = body, (*exchange).track
			whole := *e
			whole.path, whole.title = "/v1/batch", s.Title+", many"
			all = append(all, &whole)
		}
	}
	return all
}

// mediaOf is the content type of a request without its parameters, empty where
// it says none.
func mediaOf(r *http.Request) (string, error) {
	text := r.Header.Get("Content-Type")
	if text == "" {
		return "", nil
	}
	media, _, err := mime.ParseMediaType(text)
	if err != nil {
		return "", problem(http.StatusUnsupportedMediaType, reasonContentType, "content-type: %v", err).at("content-type")
	}
	return media, nil
}

// takes says whether the endpoint reads such a body.
func (e *endpoint) takes(media string) bool {
	if media == "" {
		return e.untyped
	}
	return slices.Contains(e.media, media) || slices.Contains(e.media, anyJSON) && strings.HasSuffix(media, anyJSON)
}

package jsonschema

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

type ref struct {
	Ref string `yaml:"$ref"`
}

type asyncAPI struct {
	AsyncAPI           string               `yaml:"asyncapi"`
	Info               info                 `yaml:"info"`
	DefaultContentType string               `yaml:"defaultContentType"`
	Channels           map[string]channel   `yaml:"channels"`
	Operations         map[string]operation `yaml:"operations"`
	Components         components           `yaml:"components"`
}

type info struct {
	Title       string  `yaml:"title"`
	Version     string  `yaml:"version"`
	Description string  `yaml:"description"`
	License     license `yaml:"license"`
}

type license struct {
	Name string `yaml:"name"`
}

type channel struct {
	Address     string         `yaml:"address"`
	Description string         `yaml:"description"`
	Messages    map[string]ref `yaml:"messages"`
}

type operation struct {
	Action  string `yaml:"action"` // what Whence does: receive or send
	Channel ref    `yaml:"channel"`
	Summary string `yaml:"summary"`
}

type components struct {
	Messages map[string]message `yaml:"messages"`
	Schemas  map[string]any     `yaml:"schemas"` // of headers that several messages have
}

type message struct {
	Name        string `yaml:"name"`
	Summary     string `yaml:"summary"`
	ContentType string `yaml:"contentType"`
	Headers     any    `yaml:"headers,omitempty"`
	Payload     any    `yaml:"payload"`
}

// anyObject is the payload of messages that no one schema describes.
var anyObject = map[string]string{"type": "object"}

// headersOf is the schema of a message's headers: name, and what it says.
func headersOf(required []string, pairs ...[2]string) map[string]any {
	properties := map[string]any{}
	for _, p := range pairs {
		properties[p[0]] = map[string]any{"type": "string", "description": p[1]}
	}
	schema := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// place are the headers of what Whence writes about a record.
var place = [][2]string{
	{"whence-topic", "The topic the record came from."}, {"whence-partition", "Its partition."}, {"whence-offset", "Its offset."},
}

// contextHeaders are those of the context log, letterHeaders those of a dead
// letter, besides the record's own.
var (
	contextHeaders = headersOf([]string{"content-type", "whence-topic", "whence-partition", "whence-offset", "whence-received-at"},
		append([][2]string{
			{"content-type", "application/cloudevents+msgpack."}, {"whence-received-at", "When Kafka took the record: milliseconds since 1970."},
		}, place...)...)
	letterHeaders = headersOf([]string{"whence-reason", "whence-detail", "whence-topic", "whence-partition", "whence-offset"},
		append([][2]string{
			{"whence-reason", "Class of the reason: malformed, missing_field, rule and so on."}, {"whence-detail", "What and where, for a person."},
			{"whence-cut", "The record was too large for this topic and has no value here; the table dead_letters has it."},
		}, place...)...)
)

// sourceHeaders are those of what any tool sends.
func sourceHeaders() map[string]any {
	pairs := [][2]string{
		{source.Header, "The source's name. May be left out where a header of the tool's own, or the format of the topic, says what it is."},
		{"content-type", "As the tool sent it."}, {source.Received, "When it was taken, RFC 3339: for payloads that state no time."},
	}
	for _, hint := range source.Hints() {
		pairs = append(pairs, [2]string{source.HintPrefix + hint, "What a payload is about that doesn't say it itself: its " + hint + "."})
	}
	return headersOf(nil, pairs...)
}

// sourceMessage is what a tool sends, as it sends it: see package source.
func sourceMessage(s *source.Source) message {
	var own [][2]string
	for _, name := range s.Headers {
		own = append(own, [2]string{name, "As " + s.Title + " sends it."})
	}
	headers := headersOf(nil, own...)
	headers["allOf"] = []any{ref{"#/components/schemas/source"}}
	contentType, payload := "application/json", any(anyObject)
	if strings.HasPrefix(s.Name, "otlp-") {
		contentType, payload = "application/x-protobuf", map[string]string{"type": "string", "format": "binary"}
	}
	return message{
		Name: "source." + s.Name, Summary: s.Title + ", as it is sent: processors/decode maps it. The gateway takes it at " + s.Path + ".",
		ContentType: contentType, Headers: headers, Payload: payload,
	}
}

// linksPayload is a message of the topic of links.
var linksPayload = func() map[string]any {
	kind := func(name string) map[string]any { return map[string]any{"type": name} }
	moment := map[string]any{"type": "string", "format": "date-time"}
	object := func(fields map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": fields}
	}
	term := object(map[string]any{
		"term": kind("string"), "value": kind("number"), "weight": kind("number"), "words": kind("string"), "sql": kind("string"),
	})
	link := object(map[string]any{
		"cause_kind": kind("string"), "cause_id": kind("string"), "service": kind("string"), "rank": kind("integer"),
		"probability": kind("number"), "log_odds": kind("number"), "evidence": map[string]any{"type": "array", "items": term},
	})
	return object(map[string]any{
		"effect_kind": kind("string"), "effect_id": kind("string"), "ranking": kind("integer"), "service": kind("string"),
		"environment": kind("string"), "onset": moment, "detected": moment, "model": kind("string"), "revision": kind("integer"),
		"computed_at": moment, "links": map[string]any{"type": "array", "items": link},
	})
}()

var topicDocs = map[string]string{
	event.TopicDelivery:     "Changes, builds, tests, artifacts, deployments, flags, experiments, and the catalog of services and names. CDEvents too.",
	event.TopicIncidents:    "Alerts, incidents and their confirmed causes.",
	event.TopicAudit:        "Findings and breaches.",
	event.TopicBehavior:     "What users did and met, exposures, errors.",
	event.TopicMeasurements: "Measurements of services and edges, an interval each.",
	event.TopicContext:      "The context log: all facts in one partition, so totally ordered. Keyed by source|id, with where each came from in the headers whence-topic, whence-partition, whence-offset and whence-received-at (milliseconds since 1970). Written by Whence alone.",
	event.TopicDeadLetter:   "Records that could not be taken: the bytes as they came, with the reason.",
	event.TopicLinks:        "The causes of incidents, alerts, breaches and findings, ranked: one message a ranking, keyed by effect_kind|effect_id. Of an effect the one with the greatest ranking number is current, and one that is seen twice is the same.",
	event.TopicEnriched:     "Observations with the context of their time, where that is switched on.",
}

// AsyncAPI is the document of the topics (AsyncAPI 3.0.0).
func AsyncAPI() []byte {
	doc := asyncAPI{
		AsyncAPI: "3.0.0",
		Info: info{
			Title: "Whence", Version: "1.0.0", License: license{"Apache-2.0"},
			Description: "CloudEvents 1.0 over Kafka, in structured mode (application/cloudevents+json or +msgpack) or in binary mode (ce_ headers, data as application/json or application/msgpack), CDEvents as they are, and what tools send (webhooks, reports of scanners, OTLP, product events) as they send it. Any of the input topics takes any type and any source; each is listed where it goes by default.",
		},
		DefaultContentType: "application/cloudevents+json",
		Channels:           map[string]channel{},
		Operations:         map[string]operation{},
		Components:         components{map[string]message{}, map[string]any{"context": contextHeaders, "source": sourceHeaders()}},
	}
	for _, topic := range event.InputTopics() {
		doc.add(topic, "receive")
	}
	for _, topic := range []string{event.TopicContext, event.TopicDeadLetter, event.TopicLinks, event.TopicEnriched} {
		doc.add(topic, "send")
	}
	for _, t := range event.Types() {
		payload := ref{"./jsonschema/" + File(t)}
		doc.say(t.Topic, message{Name: t.Name, Summary: t.Doc, ContentType: "application/cloudevents+json", Payload: payload})
		if !t.Observation {
			doc.say(event.TopicContext, message{
				Name: t.Name + ".fact", Summary: t.Doc, ContentType: "application/cloudevents+msgpack", Headers: ref{"#/components/schemas/context"}, Payload: payload,
			})
		}
	}
	for topic, m := range map[string]message{
		event.TopicDelivery:   {"dev.cdevents", "A CDEvent, specification 0.4 to 0.6, bare or in a CloudEvents envelope.", "application/json", nil, anyObject},
		event.TopicDeadLetter: {"deadletter", "The record as it came, but for what rules hide in it.", "application/octet-stream", letterHeaders, map[string]string{"type": "string", "format": "binary"}},
		event.TopicLinks:      {"links", "A ranking of the causes of an effect. Without links: the effect is none any more.", "application/json", nil, linksPayload},
		event.TopicEnriched:   {"enriched", "An observation and its context.", "application/msgpack", nil, anyObject},
	} {
		doc.say(topic, m)
	}
	sources := source.All()
	for i := range sources {
		doc.say(sources[i].Topic, sourceMessage(&sources[i]))
	}
	return doc.yaml()
}

func (doc *asyncAPI) add(topic, action string) {
	doc.Channels[topic] = channel{Address: topic, Description: topicDocs[topic], Messages: map[string]ref{}}
	doc.Operations[action+"."+topic] = operation{action, ref{"#/channels/" + topic}, topicDocs[topic]}
}

// say puts a message into a topic.
func (doc *asyncAPI) say(topic string, m message) {
	doc.Components.Messages[m.Name] = m
	doc.Channels[topic].Messages[m.Name] = ref{"#/components/messages/" + m.Name}
}

func (doc *asyncAPI) yaml() []byte {
	var buf bytes.Buffer
	buf.WriteString("# Made from schemas/event by `go generate ./schemas/event`; not to be edited.\n")
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		panic(err) // strings and maps of them
	}
	return buf.Bytes()
}

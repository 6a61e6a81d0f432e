package jsonschema

import (
	"bytes"

	"go.yaml.in/yaml/v3"

	"github.com/whencehq/whence/schemas/event"
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
}

type message struct {
	Name        string `yaml:"name"`
	Summary     string `yaml:"summary"`
	ContentType string `yaml:"contentType"`
	Payload     any    `yaml:"payload"`
}

// anyObject is the payload of messages that no one schema describes.
var anyObject = map[string]string{"type": "object"}

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
			Description: "CloudEvents 1.0 over Kafka, in structured mode (application/cloudevents+json or +msgpack) or in binary mode (ce_ headers, data as application/json or application/msgpack), and CDEvents as they are. Any of the input topics takes any type; each type is listed where it goes by default.",
		},
		DefaultContentType: "application/cloudevents+json",
		Channels:           map[string]channel{},
		Operations:         map[string]operation{},
		Components:         components{map[string]message{}},
	}
	for _, topic := range event.InputTopics() {
		doc.add(topic, "receive")
	}
	for _, topic := range []string{event.TopicContext, event.TopicDeadLetter, event.TopicLinks, event.TopicEnriched} {
		doc.add(topic, "send")
	}
	for _, t := range event.Types() {
		doc.Components.Messages[t.Name] = message{t.Name, t.Doc, "application/cloudevents+json", ref{"./jsonschema/" + File(t)}}
		doc.link(t.Topic, t.Name)
		if !t.Observation {
			doc.link(event.TopicContext, t.Name)
		}
	}
	for topic, m := range map[string]message{
		event.TopicDelivery:   {"dev.cdevents", "A CDEvent, specification 0.4 to 0.6, bare or in a CloudEvents envelope.", "application/json", anyObject},
		event.TopicDeadLetter: {"deadletter", "The record as it came.", "application/octet-stream", map[string]string{"type": "string", "format": "binary"}},
		event.TopicLinks:      {"links", "A ranking of the causes of an effect. Without links: the effect is none any more.", "application/json", linksPayload},
		event.TopicEnriched:   {"enriched", "An observation and its context.", "application/msgpack", anyObject},
	} {
		doc.Components.Messages[m.Name] = m
		doc.link(topic, m.Name)
	}
	return doc.yaml()
}

func (doc *asyncAPI) add(topic, action string) {
	doc.Channels[topic] = channel{Address: topic, Description: topicDocs[topic], Messages: map[string]ref{}}
	doc.Operations[action+"."+topic] = operation{action, ref{"#/channels/" + topic}, topicDocs[topic]}
}

func (doc *asyncAPI) link(topic, message string) {
	doc.Channels[topic].Messages[message] = ref{"#/components/messages/" + message}
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

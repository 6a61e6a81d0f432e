package world

import (
	"math/rand/v2"
	"strings"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// bads are records that are no events, each with the reason that it is buried
// for.
var bads = []struct{ reason, contentType, value string }{
	{"empty", "application/cloudevents+json", ""},
	{"malformed", "application/cloudevents+json", `{"specversion":"1.0","type":`},
	{"malformed", "application/cloudevents+msgpack", "\x85\xa2id"},
	{"invalid_utf8", "application/cloudevents+json", "{\"specversion\":\"1.0\",\"type\":\"io.whence.behavior.recorded\",\"source\":\"\xff\xfe\",\"id\":\"1\"}"},
	{"content_type", "application/x-protobuf", "\x0a\x05hello"},
	{"spec_version", "application/cloudevents+json", `{"specversion":"0.3","type":"io.whence.behavior.recorded","source":"bad","id":"1","time":"2025-06-02T00:00:00Z","data":{}}`},
	{"missing_field", "application/cloudevents+json", badLine("behavior.recorded", "2025-06-02T00:00:00Z", `{"name":"n","environment":"e"}`)},
	{"wrong_type", "application/cloudevents+json", badLine("behavior.recorded", "2025-06-02T00:00:00Z", `{"name":"n","service":5,"environment":"e"}`)},
	{"invalid_value", "application/cloudevents+json", badLine("deployment.finished", "2025-06-02T00:00:00Z",
		`{"deployment_id":"d","service":"s","environment":"e","version":"v","outcome":"dreaming"}`)},
	{"time", "application/cloudevents+json", badLine("behavior.recorded", "1999-12-31T23:59:59Z", `{"name":"n","service":"s","environment":"e"}`)},
	{"unknown_type", "application/cloudevents+json", badLine("unheard.of", "2025-06-02T00:00:00Z", `{}`)},
	{"too_deep", "application/cloudevents+json", badLine("behavior.recorded", "2025-06-02T00:00:00Z",
		`{"name":"n","service":"s","environment":"e","deep":`+strings.Repeat("[", 90)+strings.Repeat("]", 90)+`}`)},
	{"too_large", "application/cloudevents+json", badLine("behavior.recorded", "2025-06-02T00:00:00Z",
		`{"name":"n","service":"s","environment":"e","large":"`+strings.Repeat("x", 1<<20)+`"}`)},
}

func badLine(typ, at, data string) string {
	return `{"specversion":"1.0","type":"` + event.Prefix + typ + `","source":"bad","id":"1","time":"` + at + `","data":` + data + `}`
}

// bad says one of them, the large one seldom.
func (w *World) bad(random *rand.Rand) {
	i := random.IntN(len(bads))
	if bads[i].reason == "too_large" && random.IntN(10) > 0 {
		i = 0
	}
	w.due.put(w.second, w.sayBad(random, i))
}

func (w *World) sayBad(random *rand.Rand, i int) Said {
	topics := event.InputTopics()
	m := codec.Message{Headers: []codec.Header{{Key: "content-type", Value: []byte(bads[i].contentType)}}}
	if bads[i].value != "" {
		m.Value = []byte(bads[i].value)
	}
	return Said{What: Bad, Topic: topics[random.IntN(len(topics))], Message: m, Reason: bads[i].reason}
}

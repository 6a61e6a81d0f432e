package rules_test

import (
	"testing"

	"github.com/whencehq/whence/pipeline"
)

// Any bytes with any header give events, a dead letter or a drop, and never a
// panic: the census is checked by ran.
func FuzzRules(f *testing.F) {
	f.Add([]byte(clicked), "content-type", []byte("application/cloudevents+json"))
	f.Add([]byte(`{"a":[1,{"b":"c"}]}`), "x-acme-kind", []byte("release"))
	f.Add([]byte("\x81\xa1a\x92\x01\x02"), "content-type", []byte("application/msgpack"))
	f.Add([]byte("ping"), "ce_type", []byte("io.whence.behavior.recorded"))
	set := parsed(f, `
rules:
  - {name: on records, on: record, hash: [body.*.user, body.data.*], redact: [body.a, headers.x-acme-kind], set: {headers.x: key + text}}
  - {name: mapped, on: record, when: 'headers["x-acme-kind"] == "release"', keep: com.acme.release, map: [{type: io.whence.user.identified, id: '"1"', source: '"/x"', time: body.time, data: body.data}]}
  - {name: on events, types: ["io.*", "com.*"], set: {event.data.x.y: event.data, event.subject: event.source}, hash: [event.data.*, event.id], redact: [event.data.attributes.*, event.subject]}
  - {name: renamed, types: ["com.*"], rename: io.whence.behavior.recorded}
`)
	f.Fuzz(func(t *testing.T, value []byte, header string, content []byte) {
		ran(t, set, pipeline.Record{Key: content, Value: value, Headers: []pipeline.Header{{Key: header, Value: content}}}, structured(string(value)))
	})
}

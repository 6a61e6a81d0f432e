package codec

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline/pipelinetest/growth"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew instead of comparing them")

var from = event.Provenance{ReceivedAt: 1700000000000, Topic: "whence.delivery", Partition: 3, Offset: 77}

func decoded(t testing.TB, val []byte, headers ...Header) Events {
	t.Helper()
	var events Events
	if err := new(Decoder).Decode(&events, from, val, headers); err != nil {
		t.Fatalf("%s: %v", val, err)
	}
	return events
}

func difference(a, b any) string { return cmp.Diff(a, b, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()) }

// attribute draws a context attribute: text that no form of it may change.
func attribute() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abz09-/:%2 é世\"\\")), 1, 20, -1)
}

// drawnEvent draws a structured event of any type, ours or not.
func drawnEvent(t *rapid.T) map[string]any {
	names := []string{"com.example.thing"}
	for _, typ := range event.Types() {
		names = append(names, typ.Name)
	}
	e := map[string]any{
		"specversion": "1.0", "id": attribute().Draw(t, "id"), "source": attribute().Draw(t, "source"), "type": rapid.SampledFrom(names).Draw(t, "type"),
		"time": rapid.SampledFrom([]string{"2026-11-23T14:05:00Z", "2000-01-01T00:00:00.000Z", "2026-11-23T15:05:00.123456+01:00", "2100-12-31T23:59:59.999999Z", "2026-11-23T14:05:00.1Z"}).Draw(t, "time"),
	}
	for _, name := range []string{"subject", "tenant", "traceid", "sequence", "anextension", "partitionkey", "dataschema"} {
		if rapid.Bool().Draw(t, name) {
			e[name] = attribute().Draw(t, name)
		}
	}
	data := map[string]any{"unknown": rapid.SampledFrom([]any{1, "x", 1.5, nil, []any{1, nil}, map[string]any{"deep": true}}).Draw(t, "unknown")}
	if typ := event.Lookup(e["type"].(string)); typ != nil {
		for i := range typ.Fields {
			if rapid.IntRange(0, 3).Draw(t, "present") > 0 {
				data[typ.Fields[i].Name] = drawnField(t, &typ.Fields[i])
			}
		}
	}
	for _, f := range event.Shared() {
		if rapid.IntRange(0, 3).Draw(t, f.Name) == 0 {
			data[f.Name] = rapid.SampledFrom([]any{"said", 12, nil}).Draw(t, f.Name)
		}
	}
	e["data"] = data
	return e
}

func drawnField(t *rapid.T, f *event.Field) any {
	switch f.Kind {
	case event.StringField:
		if len(f.Allowed) > 0 {
			return rapid.SampledFrom(f.Allowed).Draw(t, f.Name)
		}
		return attribute().Draw(t, f.Name)
	case event.NumberField:
		return rapid.OneOf(rapid.Float64Range(-1e15, 1e15), rapid.Map(rapid.IntRange(-5, 70000), func(n int) float64 { return float64(n) })).Draw(t, f.Name)
	case event.IntegerField:
		return rapid.IntRange(-3, 1<<40).Draw(t, f.Name)
	case event.BoolField:
		return rapid.Bool().Draw(t, f.Name)
	case event.TimeField:
		return "2026-11-23T15:05:00.123456+01:00"
	case event.StringsField:
		return rapid.SliceOfN(attribute(), 0, 4).Draw(t, f.Name)
	case event.ObjectField:
		object := map[string]any{"b": 2, "a": "one", "c": nil}
		for i := range f.Fields {
			object[f.Fields[i].Name] = drawnField(t, &f.Fields[i])
		}
		return object
	case event.ObjectsField:
		return []any{map[string]any{"revision": "r1", "name": "control", "weight": 1.5}}
	case event.ListField:
		return []any{"main.go:3", map[string]any{"line": 3, "file": "main.go"}}
	}
	return rapid.SampledFrom([]any{"x", 3, true}).Draw(t, f.Name)
}

type written struct {
	name    string
	value   []byte
	headers []Header
}

// everyForm writes an event in all forms that we read, without our encoder.
func everyForm(t testing.TB, e map[string]any) []written {
	t.Helper()
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	asMsgpack := func(v any) []byte {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	contentType := func(s string) []Header { return []Header{{"content-type", []byte(s)}} }
	with := func(extra map[string]any, without string) map[string]any {
		c := map[string]any{}
		for k, v := range e {
			if k != without {
				c[k] = v
			}
		}
		for k, v := range extra {
			c[k] = v
		}
		return c
	}
	var binary []Header
	for name, v := range with(nil, "data") {
		binary = append(binary, Header{"ce_" + name, []byte(v.(string))})
	}
	headers := func(s string) []Header { return append(append([]Header{}, binary...), contentType(s)...) }
	data := e["data"]
	return []written{
		{"structured JSON", asJSON(e), contentType("application/cloudevents+json; charset=UTF-8")},
		{"structured JSON, nothing said", asJSON(e), nil},
		{"structured JSON, said to be JSON", asJSON(with(map[string]any{"datacontenttype": "application/json"}, "")), contentType("application/json")},
		{"structured msgpack", asMsgpack(e), contentType("application/cloudevents+msgpack")},
		{"structured msgpack, nothing said", asMsgpack(e), nil},
		{"structured, data as base64 JSON", asJSON(with(map[string]any{"data_base64": base64.StdEncoding.EncodeToString(asJSON(data))}, "data")), nil},
		{"structured, data as base64 msgpack", asJSON(with(map[string]any{"data_base64": asMsgpack(data), "datacontenttype": "application/msgpack"}, "data")), nil},
		{"binary JSON", asJSON(data), headers("application/json")},
		{"binary JSON, a type of its own", asJSON(data), headers("application/vnd.acme+json;v=1")},
		{"binary JSON, nothing said", asJSON(data), binary},
		{"binary msgpack", asMsgpack(data), headers("application/msgpack")},
		{"binary msgpack, the older name", asMsgpack(data), headers("Application/X-Msgpack")},
	}
}

func TestAnEventIsTheSameInEveryForm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawnEvent(rt)
		forms := everyForm(t, e)
		first := decoded(t, forms[0].value, forms[0].headers...)
		for _, f := range forms[1:] {
			if d := difference(first, decoded(t, f.value, f.headers...)); d != "" {
				rt.Fatalf("%s differs from %s: %s", f.name, forms[0].name, d)
			}
		}
		var enc Encoder
		for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
			m, err := enc.Line(forms[1].value, format)
			if err != nil {
				rt.Fatal(err)
			}
			if d := difference(first, decoded(t, m.Value, m.Headers...)); d != "" {
				rt.Fatalf("our own format %d differs: %s", format, d)
			}
		}
	})
}

func TestTheOrderOfKeysAndHeadersDoesNotCount(t *testing.T) {
	shuffledObject := func(rt *rapid.T, object map[string]any) string {
		var members []string
		for key, v := range object {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, fmt.Sprintf("%q:%s", key, text))
		}
		slices.Sort(members)
		return "{" + strings.Join(rapid.Permutation(members).Draw(rt, "order"), ",") + "}"
	}
	rapid.Check(t, func(rt *rapid.T) {
		e := drawnEvent(rt)
		e["traceid"], e["trace_id"] = "trace a", "trace b"
		data := e["data"].(map[string]any)
		data["traceid"], data["trace_id"] = "trace c", "trace d"
		var shuffled [2]Events
		for i := range shuffled {
			e["data"] = json.RawMessage(shuffledObject(rt, data))
			shuffled[i] = decoded(t, []byte(shuffledObject(rt, e)))
		}
		if d := difference(shuffled[0], shuffled[1]); d != "" {
			rt.Fatal(d)
		}
		forms := everyForm(t, e)
		binary := forms[7]
		a := decoded(t, binary.value, binary.headers...)
		b := decoded(t, binary.value, rapid.Permutation(binary.headers).Draw(rt, "headers")...)
		if d := difference(a, b); d != "" {
			rt.Fatal(d)
		}
		if d := difference(shuffled[0], a); d != "" {
			rt.Fatal(d)
		}
	})
}

func TestAFactComesBackFromTheContextLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawnEvent(rt)
		if typ := event.Lookup(e["type"].(string)); typ == nil || typ.Observation {
			e["type"] = "io.whence.deployment.progressed"
		}
		fact := decoded(t, everyForm(t, e)[0].value).Facts[0]
		var enc Encoder
		m, err := enc.EncodeFact(&fact)
		if err != nil {
			rt.Fatal(err)
		}
		again, err := new(Decoder).DecodeFact(m.Value, m.Headers)
		if err != nil {
			rt.Fatal(err)
		}
		if d := difference(fact, again); d != "" {
			rt.Fatal(d)
		}
		if string(m.Key) != fact.Source+"|"+fact.ID {
			rt.Fatalf("key %q", m.Key)
		}
		for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
			m, err := enc.Fact(&fact, format)
			if err != nil {
				rt.Fatal(err)
			}
			if d := difference(fact, decoded(t, m.Value, m.Headers...).Facts[0]); d != "" {
				rt.Fatalf("format %d: %s", format, d)
			}
		}
	})
}

func TestAnObservationComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawnEvent(rt)
		if typ := event.Lookup(e["type"].(string)); typ == nil || !typ.Observation {
			e["type"] = "io.whence.behavior.recorded"
			e["data"] = map[string]any{"name": "n", "service": "s", "attributes": map[string]any{"b": "2", "a": "1"}, "ok": false, "duration_ms": 1.5, "more": []any{1}}
		}
		observation := decoded(t, everyForm(t, e)[0].value).Observations[0]
		var enc Encoder
		for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
			m, err := enc.Observation(&observation, format)
			if err != nil {
				rt.Fatal(err)
			}
			again := decoded(t, m.Value, m.Headers...).Observations[0]
			again.Hash = observation.Hash // frames that were objects are strings now
			if d := difference(observation, again); d != "" {
				rt.Fatalf("format %d: %s", format, d)
			}
		}
	})
}

func TestCheckLineAgreesWithThePipeline(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawnEvent(rt)
		line := everyForm(t, e)[0].value
		_, lineErr := CheckLine(line)
		var events Events
		pipelineErr := new(Decoder).Decode(&events, from, line, nil)
		for i := range events.Observations {
			pipelineErr = CheckObservation(&events.Observations[i])
		}
		for i := range events.Facts {
			data := new(Decoder)
			pipelineErr = Check(event.Lookup(events.Facts[i].Type), mustParse(t, data, events.Facts[i].Data))
		}
		if (lineErr == nil) != (pipelineErr == nil) {
			rt.Fatalf("%s\npublish says %v, the pipeline %v", line, lineErr, pipelineErr)
		}
	})
}

// golden holds what we write down of an event, its hash above all: a hash that
// changes makes conflicts of every event seen before.
func TestGoldenEvents(t *testing.T) {
	lines, err := os.ReadFile(filepath.Join("testdata", "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(lines)), "\n") {
		events := decoded(t, []byte(line))
		for _, f := range events.Facts {
			fmt.Fprintf(&got, "fact %s %s %016x\n  %s %s service=%s environment=%s\n  %s\n  %+v\n", f.Type, f.Time.Time().Format("2006-01-02T15:04:05.000Z"), f.Hash, f.Kind, f.EntityID, f.Service, f.Environment, f.Data, f.Payload)
		}
		for _, o := range events.Observations {
			fmt.Fprintf(&got, "observation %s %s %016x\n  %+v\n", o.Type, o.Time.Time().Format("2006-01-02T15:04:05.000Z"), o.Hash, o)
		}
		for _, o := range events.Others {
			fmt.Fprintf(&got, "other %s %s %016x\n  %s\n", o.Type, o.Time.Time().Format("2006-01-02T15:04:05.000Z"), o.Hash, o.Data)
		}
	}
	name := filepath.Join("testdata", "events.golden")
	if *rewrite {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("run with -rewrite if this is meant:\n%s", d)
	}
}

func structuredWith(change string) string {
	return `{"specversion":"1.0","id":"1","source":"s","type":"io.whence.behavior.recorded","time":"2026-11-23T14:05:00Z",` + change + `}`
}

func TestFaults(t *testing.T) {
	const data = `"data":{"name":"n","service":"s","environment":"e"}`
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	binary := func(change ...string) []Header {
		headers := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("1")}, {"ce_source", []byte("s")},
			{"ce_type", []byte("com.example")}, {"ce_time", []byte("2026-11-23T14:05:00Z")}}
		for i := 0; i < len(change); i += 2 {
			headers = append(headers, Header{change[i], []byte(change[i+1])})
		}
		return headers
	}
	for _, c := range []struct {
		value   string
		headers []Header
		reason  Reason
		detail  string
	}{
		{"", nil, Empty, "no value"},
		{"", binary(), Empty, "no value"},
		{"{", nil, Malformed, "value: malformed: JSON"},
		{"[]", nil, Malformed, "value: must be an object, is an array"},
		{"12", nil, Malformed, "value: must be an object, is the integer 12"},
		{"{}", nil, Missing, "specversion: missing"},
		{structuredWith(data + `} {`), nil, Malformed, "value: malformed"},
		{"\xff", nil, InvalidUTF8, "value: invalid UTF-8 at byte 0"},
		{structuredWith(`"data":{"name":"` + "\xc0" + `"}`), nil, InvalidUTF8, "value: invalid UTF-8"},
		{structuredWith(`"data":` + deep), nil, TooDeep, "more than 65 levels"},
		{deep, binary(), TooDeep, "more than 64 levels"},
		{"\xdf\xff\xff\xff\xff", []Header{{"content-type", []byte("application/cloudevents+msgpack")}}, Malformed, "a length of 4294967295"},
		{"\x81\xa4name\xa1\xff", binary("content-type", "application/msgpack"), InvalidUTF8, "data: invalid UTF-8"},
		{"{}", binary("ce_subject", "\xff"), InvalidUTF8, `header "ce_subject"`},
		{"{}", binary("content-type", "application/xml", "ce_type", "io.whence.team.declared"), ContentType, `content-type: "application/xml" is not read here`},
		{"{}", binary("content-type", "application/octet-stream", "ce_type", "io.whence.behavior.recorded"), ContentType, "is not read here"},
		{structuredWith(`"datacontenttype":"text/csv","data_base64":"e30="`), nil, ContentType, `datacontenttype: "text/csv" is not read here`},
		{structuredWith(data), []Header{{"content-type", []byte("text/plain")}}, ContentType, `content-type: "text/plain" is not read here`},
		{"{}", binary("content-type", "application/cloudevents+protobuf"), ContentType, "protobuf"},
		{"{}", binary("ce_data", "x"), Malformed, "header ce_data: data is the record's value, and no attribute"},
		{"{}", binary("ce_data_base64", "eHg="), Malformed, "header ce_data_base64: data is the record's value"},
		{"[]", []Header{{"Content-Type", []byte("application/cloudevents-batch+json")}}, ContentType, "one event a record"},
		{"{}", []Header{{"content-type", []byte("application/cloudevents+avro")}}, ContentType, "avro"},
		{"{}", binary("ce_specversion", "0.3"), SpecVersion, `specversion: "0.3" is not 1.0`},
		{`{"specversion":1.0,"id":"1"}`, nil, WrongType, "specversion: must be a string, is the integer 1"},
		{`{"specversion":"1.0","source":"s","type":"t","time":"2026-11-23T14:05:00Z"}`, nil, Missing, "id: missing"},
		{`{"specversion":"1.0","id":"1","type":"t","time":"2026-11-23T14:05:00Z"}`, nil, Missing, "source: missing"},
		{`{"specversion":"1.0","id":"1","source":"s","time":"2026-11-23T14:05:00Z"}`, nil, Missing, "type: missing"},
		{`{"specversion":"1.0","id":"1","source":"s","type":null,"time":"2026-11-23T14:05:00Z"}`, nil, Missing, "type: missing"},
		{`{"specversion":"1.0","id":"","source":"s","type":"t","time":"2026-11-23T14:05:00Z"}`, nil, Missing, "id: missing"},
		{`{"specversion":"1.0","id":"1","source":"s","type":"t"}`, nil, Time, "time: missing"},
		{"{}", binary("ce_time", "yesterday"), Time, `time: "yesterday" is no RFC 3339 time`},
		{"{}", binary("ce_time", "0000-01-01T00:00:00Z"), Time, "is not within the years 2000 to 2100"},
		{"{}", binary("ce_time", "1999-12-31T23:59:59.999Z"), Time, "2000 to 2100"},
		{"{}", binary("ce_time", "2101-01-01T00:00:00Z"), Time, "2000 to 2100"},
		{"{}", binary("ce_time", "2026-02-30T00:00:00Z"), Time, "no RFC 3339 time"},
		{"{}", binary("ce_time", "1700000000"), Time, "no RFC 3339 time"},
		{"{}", binary("ce_type", "io.whence.behaviour.recorded"), UnknownType, `type: "io.whence.behaviour.recorded" is not known`},
		{structuredWith(`"data":{"name":7}`), nil, WrongType, "data.name: must be a string, is the integer 7"},
		{structuredWith(`"data":{"duration_ms":"fast"}`), nil, WrongType, `data.duration_ms: must be a number, is the string "fast"`},
		{structuredWith(`"data":{"ok":1}`), nil, WrongType, "data.ok: must be a boolean"},
		{structuredWith(`"data":{"attributes":[]}`), nil, WrongType, "data.attributes: must be an object, is an array"},
		{structuredWith(`"data":{"tenant":{}}`), nil, WrongType, "data.tenant: must be a string or whole number"},
		{structuredWith(`"tenant":"true","data":{"tenant":true}`), nil, WrongType, "data.tenant: must be a string or whole number, is the boolean true"},
		{structuredWith(`"data":[1]`), nil, WrongType, "data: must be an object, is an array"},
		{structuredWith(`"data":"name"`), nil, WrongType, `data: must be an object, is the string "name"`},
		{structuredWith(`"data":{},"data_base64":"e30="`), nil, Malformed, "data_base64: stands beside data"},
		{structuredWith(`"data_base64":"!"`), nil, Malformed, "data_base64: illegal base64"},
		{structuredWith(`"data_base64":5`), nil, WrongType, "data_base64: must be a string"},
		{structuredWith(`"data_base64":"e30"`), nil, Malformed, "data_base64"},
		{structuredWith(`"data_base64":"ew=="`), nil, Malformed, "data_base64: malformed: JSON"},
		{`{"context":{"id":"1"},"subject":{}}`, nil, Missing, "context.type: missing"},
		{`{"context":{"id":"1","type":"dev.cdevents.x.y.1","source":"s"},"subject":{}}`, nil, Time, "context.timestamp: missing"},
		{`{"context":{"id":1},"subject":{}}`, nil, WrongType, "context.id: must be a string"},
		{`{"context":{"id":"1","type":"dev.cdevents.x.y.1","source":"s","timestamp":"2023-03-20T14:27:05Z"},"subject":{},"customData":` + deep[6:134] + `}`, nil, TooDeep, "value: nested too deep: more than 64 levels"},
		{`{"context":{"type":"other"},"subject":{}}`, nil, Malformed, "is no CDEvents type"},
	} {
		events := Events{Facts: make([]event.Fact, 1), Observations: make([]event.Observation, 1), Others: make([]event.Other, 1)}
		err := new(Decoder).Decode(&events, from, []byte(c.value), c.headers)
		f := FaultOf(err)
		if f == nil || f.Reason != c.reason || !strings.Contains(f.Detail, c.detail) {
			t.Errorf("%.80q: %v, want %s: %s", c.value, err, c.reason, c.detail)
		}
		if len(events.Facts)+len(events.Observations)+len(events.Others) != 3 {
			t.Errorf("%.80q left an event behind", c.value)
		}
	}
}

func TestAFaultSaysWhatCouldBeRead(t *testing.T) {
	var events Events
	err := new(Decoder).Decode(&events, from, []byte(`{"specversion":"2.0","id":"1","source":"s","type":"t","time":"2026-11-23T14:05:00Z"}`), nil)
	want := &Fault{Reason: SpecVersion, Detail: `specversion: "2.0" is not 1.0`, Source: "s", ID: "1", Type: "t", Time: 1795442700000}
	if d := difference(want, FaultOf(err)); d != "" {
		t.Error(d)
	}
}

func TestCheckLineNamesTheField(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"s","time":"2026-11-23T14:05:00Z","type":"io.whence.`
	for line, want := range map[string]string{
		`behavior.recorded","data":{"name":"n","environment":"e"}}`: "missing_field data.service: missing",
		`behavior.recorded"}`:           "missing_field data.name: missing",
		`behavior.recorded","data":[]}`: "wrong_type data: must be an object, is an array",
		`deployment.finished","data":{"deployment_id":"d","service":"s","environment":"e","version":"v"}}`:                                              "missing_field data.outcome: missing",
		`deployment.finished","data":{"deployment_id":"d","service":"s","environment":"e","version":"v","outcome":"ok"}}`:                               `invalid_value data.outcome: "ok" is none of ["success" "failure" "cancelled" "rolled_back"]`,
		`deployment.started","data":{"deployment_id":"d","service":"s","environment":"e","version":"v","revisions":["a",1]}}`:                           "wrong_type data.revisions: must be a list of strings, is an array",
		`deployment.started","data":{"deployment_id":"d","service":"s","environment":"e","version":""}}`:                                                "missing_field data.version: missing",
		`deployment.started","data":{"deployment_id":"d","service":"s","environment":"e","version":"v","percent":"50"}}`:                                `wrong_type data.percent: must be a number, is the string "50"`,
		`change.merged","data":{"change_id":"c","repository":"r","revision":"v","merged_at":"today"}}`:                                                  `invalid_value data.merged_at: "today" is no RFC 3339 time`,
		`change.merged","data":{"change_id":"c","repository":"r","revision":"v","merged_at":"2026-11-23T14:05:00Z","commits":[{"author":5}]}}`:          "wrong_type data.commits[0].author: must be a string, is the integer 5",
		`change.merged","data":{"change_id":"c","repository":"r","revision":"v","merged_at":"0001-01-01T00:00:00Z"}}`:                                   `invalid_value data.merged_at: "0001-01-01T00:00:00Z" is not within the years 2000 to 2100`,
		`incident.opened","data":{"incident_id":"i","service":"s","environment":"e","started_at":"1970-01-01T00:00:00Z"}}`:                              `invalid_value data.started_at: "1970-01-01T00:00:00Z" is not within the years 2000 to 2100`,
		`incident.opened","data":{"incident_id":"i","service":"s","environment":"e","ended_at":"2101-01-01T00:00:00Z"}}`:                                `invalid_value data.ended_at: "2101-01-01T00:00:00Z" is not within the years 2000 to 2100`,
		`maintenance.planned","data":{"maintenance_id":"m","services":[],"environment":"e","from":"2026-11-23T14:05:00Z","to":"2026-11-23T14:05:00Z"}}`: "missing_field data.services: missing",
		`experiment.started","data":{"experiment":"x","hypothesis":"h","unit":"user","variants":[],"primary_metric":"m"}}`:                              "missing_field data.variants: missing",
		`team.declared","tenant":"1.5","data":{"team":"t","tenant":1.5}}`:                                                                               "wrong_type data.tenant: must be a string or whole number, is the number 1.5",
		`fact.retracted","data":{"retracts":{"source":"s"}}}`:                                                                                           "missing_field data.retracts.id: missing",
		`flag.changed","data":{"flag":"f","environment":"e","rules":null}}`:                                                                             "missing_field data.rules: missing",
		`nonsense","data":{}}`: `unknown_type type: "io.whence.nonsense" is not known`,
	} {
		_, err := CheckLine([]byte(envelope + line))
		if f := FaultOf(err); f == nil || string(f.Reason)+" "+f.Detail != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestCheckLineSaysWhereALineGoes(t *testing.T) {
	got, err := CheckLine([]byte(`{"specversion":"1.0","id":"1","source":"pager","time":"2026-11-23T14:05:00Z","type":"io.whence.alert.fired","data":{"alert_id":"a","service":"checkout","environment":"e"}}`))
	want := Parsed{Type: "io.whence.alert.fired", Source: "pager", ID: "1", Service: "checkout", Topic: event.TopicIncidents, Key: []byte("pager|1"), Time: 1795442700000}
	if d := difference(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
	got, err = CheckLine([]byte(`{"specversion":"1.0","id":"1","source":"s","time":"2026-11-23T14:05:00Z","type":"com.example","partitionkey":"p"}`))
	if string(got.Key) != "p" || got.Topic != event.TopicDelivery || err != nil {
		t.Error(got, err)
	}
}

func TestACDEventIsTheSameBareAndWrapped(t *testing.T) {
	const bare = `{"context":{"version":"0.4.1","id":"i","source":"/s","type":"dev.cdevents.service.deployed.0.1.1","timestamp":"2023-03-20T14:27:05.315384Z"},"subject":{"id":"app","type":"service","content":{}}}`
	wrapped := `{"specversion":"1.0","dataschema":"https://cdevents.dev/0.4.1/schema/service-deployed-event","id":"i","source":"/s","type":"dev.cdevents.service.deployed.0.1.1","time":"2023-03-20T14:27:05.315Z","subject":"app","datacontenttype":"application/cdevents+json","data":` + bare + `}`
	want := decoded(t, []byte(bare))
	if len(want.Others) != 1 || want.Others[0].Subject != "app" || want.Others[0].ID != "i" {
		t.Fatalf("%+v", want)
	}
	if d := difference(want, decoded(t, []byte(wrapped))); d != "" {
		t.Error("wrapped:", d)
	}
	if d := difference(want, decoded(t, []byte(bare), Header{"content-type", []byte("application/cdevents+json")})); d != "" {
		t.Error("with a content type:", d)
	}
	var enc Encoder
	m, err := enc.Line([]byte(bare), BinaryMsgpack)
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(want, decoded(t, m.Value, m.Headers...)); d != "" {
		t.Error("as msgpack:", d)
	}
}

func TestHeadersAreNotPercentDecoded(t *testing.T) {
	headers := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("pkg:oci/app@sha256%3A0b31")}, {"ce_source", []byte("s")}, {"ce_type", []byte("t")}, {"ce_time", []byte("2026-11-23T14:05:00Z")}}
	if id := decoded(t, []byte(`{}`), headers...).Others[0].ID; id != "pkg:oci/app@sha256%3A0b31" {
		t.Error(id)
	}
}

func TestAnAttributeWinsOverData(t *testing.T) {
	both := decoded(t, []byte(structuredWith(`"tenant":"attribute","data":{"name":"n","tenant":"data","region":5}`))).Observations[0]
	if both.Tenant != "attribute" || both.Region != "5" || both.Extra != "" {
		t.Errorf("%+v", both)
	}
}

func TestDataThatNobodyReadsIsKeptTheSameInEveryForm(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-23T14:05:00Z","datacontenttype":"`
	for _, c := range []struct{ contentType, raw, want string }{
		{"text/plain", "hello", `"hello"`},
		{"text/plain; charset=UTF-8", "a \"b\"\n", `"a \"b\"\n"`},
		{"application/xml", "<a/>", `"<a/>"`},
		{"image/svg+xml", "<svg/>", `"<svg/>"`},
		{"text/plain", "na\xefve", `"bmHvdmU="`}, // Latin 1
		{"application/octet-stream", "\x00\x01", `"AAE="`},
		{"application/octet-stream", "hello", `"aGVsbG8="`},
		{"image/png", "\x89PNG\r\n", `"iVBORw0K"`},
	} {
		headers := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("1")}, {"ce_source", []byte("s")}, {"ce_type", []byte("t")},
			{"ce_time", []byte("2026-11-23T14:05:00Z")}, {"content-type", []byte(c.contentType)}}
		binary := decoded(t, []byte(c.raw), headers...)
		if got := binary.Others[0].Data; got != c.want {
			t.Errorf("%s %q is kept as %s, want %s", c.contentType, c.raw, got, c.want)
		}
		coded := base64.StdEncoding.EncodeToString([]byte(c.raw))
		for _, structured := range []string{
			envelope + c.contentType + `","data":` + c.want + `}`,
			envelope + c.contentType + `","data_base64":"` + coded + `"}`,
			envelope + c.contentType + `","data_base64":"` + coded[:1] + `\n` + coded[1:] + `"}`,
		} {
			if d := difference(binary, decoded(t, []byte(structured))); d != "" {
				t.Errorf("%s\n%s", structured, d)
			}
		}
	}
}

func TestBase64IsKeptAsWeWriteItHoweverItWasTyped(t *testing.T) {
	for _, typed := range []string{`AAE=`, `AA\nE=`, `AAE=\r\n`, `AAF=`} { // of the last, two bits count for nothing
		other := decoded(t, []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-23T14:05:00Z","datacontenttype":"application/zip","data_base64":"`+typed+`"}`)).Others[0]
		if other.Data != `"AAE="` {
			t.Errorf("%s is kept as %s", typed, other.Data)
		}
	}
}

// manyAttributes is an event of n extension attributes, backwards, each twice.
func manyAttributes(n int) []Header {
	headers := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("1")}, {"ce_source", []byte("s")}, {"ce_type", []byte("t")}, {"ce_time", []byte("2026-11-23T14:05:00Z")}}
	for i := range 2 * n {
		headers = append(headers, Header{fmt.Sprintf("ce_%06d", n-1-i%n), fmt.Appendf(nil, "%d", i/n)})
	}
	return headers
}

func TestOfAnAttributeStatedTwiceTheLastCounts(t *testing.T) {
	extensions := decoded(t, []byte(`{}`), manyAttributes(3)...).Others[0].Extensions
	want := []event.Pair{{Key: "000000", Value: "1"}, {Key: "000001", Value: "1"}, {Key: "000002", Value: "1"}}
	if d := difference(want, extensions); d != "" {
		t.Error(d)
	}
}

func TestAMegabyteOfAttributesIsNoDenialOfService(t *testing.T) {
	growth.Linear(t, 8750, func(n int) time.Duration {
		headers := manyAttributes(n)
		begun := time.Now()
		others := decoded(t, []byte(`{}`), headers...).Others
		took := time.Since(begun)
		if got := len(others[0].Extensions); got != n {
			t.Error(got)
		}
		return took
	})
}

// oddly draws what a careful producer would not send: attributes that say what
// data says in another type, empty ones, data that is no object.
func oddly(t *rapid.T) map[string]any {
	e := drawnEvent(t)
	data := e["data"].(map[string]any)
	for _, f := range event.Shared() {
		if rapid.Bool().Draw(t, "attribute "+f.Name) {
			e[strings.ReplaceAll(f.Name, "_", "")] = rapid.SampledFrom([]string{"true", "1.5", "12", "said", "", "null", "{}"}).Draw(t, f.Name)
		}
		if rapid.IntRange(0, 3).Draw(t, "data "+f.Name) == 0 {
			data[f.Name] = rapid.SampledFrom([]any{true, 1.5, 12, "12", "true", "", map[string]any{}, []any{}, nil}).Draw(t, f.Name)
		}
	}
	for _, name := range []string{"dataschema", "context", "subject", "Odd Name", "traceparent", "trace_id"} {
		if rapid.IntRange(0, 2).Draw(t, name) == 0 {
			e[name] = rapid.SampledFrom([]string{"x", "", "1", "é"}).Draw(t, name)
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "no object") == 0 {
		e["data"] = rapid.SampledFrom([]any{nil, "", "text", 1, 1.5, []any{nil, 1}, true}).Draw(t, "data")
	}
	return e
}

// accepted decodes a record, and tells whether decode and validate take it.
func accepted(record []byte, headers []Header) (Events, bool) {
	var events Events
	if new(Decoder).Decode(&events, from, record, headers) != nil {
		return Events{}, false
	}
	for i := range events.Observations {
		if CheckObservation(&events.Observations[i]) != nil {
			return Events{}, false
		}
	}
	for i := range events.Facts {
		var doc value.Doc
		data := value.Value{}
		if events.Facts[i].Data != "" {
			if doc.ParseJSON([]byte(events.Facts[i].Data)) != nil {
				return Events{}, false
			}
			data = doc.Root()
		}
		if Check(event.Lookup(events.Facts[i].Type), data) != nil {
			return Events{}, false
		}
	}
	return events, true
}

func TestWhatIsAcceptedIsTheSameHoweverItIsSentOnAndReadBack(t *testing.T) {
	var stored Payloads
	rapid.Check(t, func(rt *rapid.T) {
		e := oddly(rt)
		var first Events
		for i, form := range everyForm(t, e) {
			if len(form.value) == 0 || strings.HasPrefix(form.name, "binary") && e["data"] == nil {
				continue // a record without a value, or one with data that is null, is another matter
			}
			events, ok := accepted(form.value, form.headers)
			if i == 0 {
				first = events
				if _, err := CheckLine(form.value); (err == nil) != ok {
					rt.Fatalf("%s\nthe pipeline takes it: %v; publish says %v", form.value, ok, err)
				}
			}
			if d := difference(first, events); d != "" {
				rt.Fatalf("%s: %s", form.name, d)
			}
			if !ok {
				continue
			}
			var enc Encoder
			for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
				m, err := enc.Line(everyForm(t, e)[0].value, format)
				if err != nil {
					rt.Fatal(err)
				}
				again, ok := accepted(m.Value, m.Headers)
				if d := difference(events, again); d != "" || !ok {
					rt.Fatalf("published as %d: %s", format, d)
				}
			}
			for i := range events.Facts {
				fact := &events.Facts[i]
				m, err := enc.EncodeFact(fact)
				if err != nil {
					rt.Fatal(err)
				}
				again, err := new(Decoder).DecodeFact(m.Value, m.Headers)
				if d := difference(*fact, again); d != "" || err != nil {
					rt.Fatalf("from the context log: %v %s", err, d)
				}
				stored.Reset()
				payload, err := stored.Read(fact.Type, []byte(fact.Data))
				if d := difference(fact.Payload, payload); d != "" || err != nil {
					rt.Fatalf("from the store: %v %s", err, d)
				}
				if (fact.Payload != nil) != HasPayload(fact.Type) {
					rt.Fatalf("%s has the payload %v", fact.Type, fact.Payload)
				}
				for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
					m, err := enc.Fact(fact, format)
					if err != nil {
						rt.Fatal(err)
					}
					again, ok := accepted(m.Value, m.Headers)
					if d := difference(Events{Facts: []event.Fact{*fact}}, again); d != "" || !ok {
						rt.Fatalf("written as %d: %s", format, d)
					}
				}
			}
		}
	})
}

func TestAFactComesBackFromTheContextLogWhateverItsHeadersSay(t *testing.T) {
	for _, name := range []string{"ce_data", "ce_data_base64", "ce_tenant", "ce_region", "ce_", "ce_context", "ce_datacontenttype", "ce_subject"} {
		for _, said := range []string{"", "true", "1.5", "eHg="} {
			for _, data := range []string{`{"team":"t"}`, `{"team":"t","tenant":true}`, `{"team":"t","tenant":1.5,"region":[]}`, `{"team":"t","tenant":"true"}`} {
				headers := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("1")}, {"ce_source", []byte("s")}, {"ce_type", []byte("io.whence.team.declared")},
					{"ce_time", []byte("2026-11-23T14:05:00Z")}, {name, []byte(said)}}
				events, ok := accepted([]byte(data), headers)
				if !ok {
					continue
				}
				var enc Encoder
				m, err := enc.EncodeFact(&events.Facts[0])
				if err != nil {
					t.Fatal(err)
				}
				again, err := new(Decoder).DecodeFact(m.Value, m.Headers)
				if d := difference(events.Facts[0], again); d != "" || err != nil {
					t.Errorf("%s=%s %s: %v %s", name, said, data, err, d)
				}
			}
		}
	}
}

func TestAStoredPayloadIsReadHoweverDeepItIsAndHoweverStrictTheRulesAreNow(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 900) + "1" + strings.Repeat("}", 900)
	const opened = "io.whence.incident.opened"
	payload, err := new(Payloads).Read(opened, []byte(`{"incident_id":"i","started_at":"0001-01-01T00:00:00Z","more":`+deep+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if p := payload.(*event.Incident); p.IncidentID != "i" || p.StartedAt != 0 || p.Stage != event.IncidentOpened {
		t.Errorf("%+v", p)
	}
	for _, bad := range []struct{ name, data string }{{opened, "{"}, {"io.whence.behavior.recorded", "{}"}, {"com.example", "{}"}} {
		if _, err := new(Payloads).Read(bad.name, []byte(bad.data)); FaultOf(err) == nil {
			t.Errorf("%s %s is a fact", bad.name, bad.data)
		}
	}
}

func TestAPayloadIsLentUntilResetAndNothingOfItStays(t *testing.T) {
	var payloads Payloads
	read := func(typ, data string) any {
		payload, err := payloads.Read(event.Prefix+typ, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	for _, typ := range event.Types() {
		if !HasPayload(typ.Name) {
			continue
		}
		full := map[string]any{}
		for _, field := range typ.Fields {
			full[field.Name] = valueOf(&field)
		}
		data, err := json.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(typ.Name, event.Prefix)
		blank, said := read(name, ""), read(name, string(data))
		if blank == said || difference(blank, said) == "" {
			t.Errorf("%s: %+v and %+v", name, blank, said)
		}
		payloads.Reset()
		_ = read(name, string(data))
		if again := read(name, ""); again != said || difference(again, read(name, "")) != "" {
			t.Errorf("%s: what was read before shows in %+v", name, again)
		}
		payloads.Reset()
	}
}

// valueOf is a value that a field may have.
func valueOf(f *event.Field) any {
	switch f.Kind {
	case event.NumberField, event.IntegerField:
		return 7
	case event.BoolField:
		return true
	case event.TimeField:
		return "2026-11-23T14:05:00Z"
	case event.StringsField, event.ListField:
		return []string{"x"}
	case event.ObjectsField:
		return []any{map[string]any{"revision": "x"}}
	case event.ObjectField:
		return map[string]any{"source": "x", "id": "y"}
	}
	return "x"
}

func TestAnEventWithoutDataCanBeSent(t *testing.T) {
	line := []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-23T14:05:00Z"}`)
	var enc Encoder
	m, err := enc.Line(line, BinaryMsgpack)
	if err != nil || len(m.Value) == 0 {
		t.Fatal(err, m)
	}
	if d := difference(decoded(t, line), decoded(t, m.Value, m.Headers...)); d != "" {
		t.Error(d)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	o := decoded(t, []byte(structuredWith(`"data":{"name":"n","z":1,"caller":"c","a":{"y":2,"x":null}}`))).Observations[0]
	if want := `{"a":{"y":2},"caller":"c","z":1}`; o.Extra != want || o.Caller != "" {
		t.Errorf("%s, caller %q", o.Extra, o.Caller)
	}
}

func TestEveryFieldOfAnObservationHasItsPlace(t *testing.T) {
	for s, name := range slotNames {
		if slotOf(name) != slot(s) {
			t.Errorf("%s is slot %d, not %d", name, slotOf(name), s)
		}
	}
	var o event.Observation
	for s := range slotNone {
		if (textSlot(&o, s) != nil) != (s < slotDurationMS) || (numberSlot(&o, s) != nil) != (s >= slotDurationMS && s < slotOK) {
			t.Errorf("%s is of the wrong kind", slotNames[s])
		}
	}
	for _, typ := range event.Types() {
		for _, f := range typ.Fields {
			if s := slotOf(f.Name); typ.Observation && s == slotNone {
				t.Errorf("%s: %s has no place", typ.Name, f.Name)
			} else if typ.Observation && f.Required && s >= slotOK {
				t.Errorf("%s: %s is required, which only strings and numbers can be", typ.Name, f.Name)
			}
		}
	}
}

func TestEveryFoldedTypeHasItsPayload(t *testing.T) {
	for _, typ := range event.Types() {
		if typ.Observation {
			continue
		}
		fact := decoded(t, []byte(`{"specversion":"1.0","id":"1","source":"s","time":"2026-11-23T14:05:00Z","type":"`+typ.Name+`","data":{"`+typ.IDField+`":"the-id","service":"svc","environment":"env"}}`)).Facts[0]
		if fact.Kind == "" || fact.Service != "svc" && typ.IDField != "service" || fact.Environment != "env" {
			t.Errorf("%s: %+v", typ.Name, fact)
		}
		if fact.EntityID != "the-id" && typ.EntityKind != "retraction" && typ.EntityKind != "scan" && typ.IDField != "service" {
			t.Errorf("%s: entity %q", typ.Name, fact.EntityID)
		}
	}
}

func TestDecodingAnObservationAllocatesNothingToSpeakOf(t *testing.T) {
	var dec Decoder
	for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
		m := encoded(t, thirteen, format)
		events := Events{Observations: make([]event.Observation, 0, 1)}
		n := testing.AllocsPerRun(1000, func() {
			events.Observations = events.Observations[:0]
			if err := dec.Decode(&events, from, m.Value, m.Headers); err != nil {
				t.Error(err)
			}
		})
		if n > 1 {
			t.Errorf("format %d: %v allocations", format, n)
		}
	}
}

package decode

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// fromTopic is what a record of a topic of that format becomes, a line each.
func fromTopic(t testing.TB, format string, value []byte, headers ...string) []string {
	t.Helper()
	b := batchOf(value)
	b.Topic = "db.shop"
	for i := 0; i < len(headers); i += 2 {
		b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	config := DefaultConfig()
	config.Formats = map[string]string{"db.shop": format}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := New(config).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	sound(t, b)
	var lines []string
	for _, f := range b.Facts {
		lines = append(lines, strings.TrimPrefix(f.Type, event.Prefix)+" "+f.EntityID)
	}
	for _, o := range b.Observations {
		lines = append(lines, o.Name+" "+o.ID)
	}
	for _, o := range b.Others {
		lines = append(lines, "kept "+o.Type+" "+o.Source)
	}
	for _, d := range b.Dead {
		lines = append(lines, fmt.Sprintf("dead %s", d.Reason))
	}
	return lines
}

func quotedJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestWhatDebeziumWrapsIsReadAsIfItHadComeByItself(t *testing.T) {
	const (
		status = `{"action":"created","deployment":{"id":1,"sha":"0b31b1","environment":"production"},"deployment_status":{"id":2,"state":"success","created_at":"2026-11-23T12:00:00Z"},"repository":{"name":"shop","full_name":"acme/shop","html_url":"https://github.com/acme/shop"}}`
		track  = `{"type":"track","event":"A","messageId":"m","timestamp":"2026-11-23T12:00:00Z"}`
		from   = `"source":{"schema":"public","table":"outbox","ts_ms":1764000000000}`
	)
	plain := string(good(1))
	change := func(row string) string { return `{"before":null,"after":` + row + `,` + from + `,"op":"c","ts_ms":1}` }
	converted := func(payload string) string { return `{"schema":{"type":"struct"},"payload":` + payload + `}` }
	github := []string{"deployment.finished github/acme/shop/deployment/1", "kept com.github.deployment_status.created https://github.com/acme/shop"}
	raw, err := spansOf(cartResource, servedSpan(map[string]any{"http.route": "/a"})).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	spans := []string{"/a 0a000000000000000000000000000000/0b00000000000000", "kept io.opentelemetry.traces otlp/shop/cart"}
	for _, c := range []struct {
		name, format, value string
		headers             []string
		want                []string
	}{
		{"an event in a row of an outbox", "debezium", change(`{"id":7,"payload":` + quotedJSON(plain) + `}`), nil, []string{"n 1"}},
		{"the same with its schema", "debezium", converted(change(`{"id":7,"payload":` + quotedJSON(plain) + `}`)), nil, []string{"n 1"}},
		{"the same as an object", "debezium", converted(change(`{"id":7,"payload":` + plain + `}`)), nil, []string{"n 1"}},
		{"what the outbox router makes of it", "debezium", plain, nil, []string{"n 1"}},
		{"the same, its JSON not expanded", "debezium", quotedJSON(plain), nil, []string{"n 1"}},
		{"the same, with its schema", "debezium", converted(quotedJSON(plain)), nil, []string{"n 1"}},
		{"a row that is an event", "debezium", change(plain), nil, []string{"n 1"}},
		{"a document of MongoDB", "debezium", change(quotedJSON(plain)), nil, []string{"n 1"}},
		{"a CDEvent", "debezium", change(`{"payload":` + string(cdevent("incident.reported.0.3.0", `{"id":"i","content":{"environment":{"id":"e"},"service":{"id":"s"}}}`)) + `}`), nil, []string{"incident.opened i"}},
		{"a webhook, its kind in a header", "debezium:github", converted(quotedJSON(status)), []string{"X-GitHub-Event", "deployment_status"}, github},
		{"a webhook, told by its header alone", "debezium", quotedJSON(status), []string{"X-GitHub-Event", "deployment_status"}, github},
		{"a webhook, its kind in a column", "debezium:github", change(`{"x_github_event":"deployment_status","payload":` + quotedJSON(status) + `}`), nil, github},
		{"product events", "debezium:track", change(`{"payload":` + track + `}`), nil, []string{"A m"}},
		{"spans in a column of bytes", "debezium:otlp-traces", change(`{"payload":"` + base64.StdEncoding.EncodeToString(raw) + `"}`), nil, spans},
		{"a record that says itself what it is", "debezium:github", track, []string{source.Header, "track"}, []string{"A m"}},
		{"a row of a table without events", "debezium", change(`{"id":7,"name":"x"}`), nil, []string{"kept io.debezium.change debezium/public.outbox"}},
		{"a row that is gone", "debezium:github", `{"before":{"id":7},"after":null,` + from + `,"op":"d"}`, nil, []string{"kept io.debezium.change debezium/public.outbox"}},
		{"a tombstone", "debezium", "", nil, []string{"kept io.debezium.change debezium/tombstone"}},
		{"an event that breaks a rule", "debezium", change(`{"payload":` + strings.Replace(plain, `"id":"1"`, `"id":""`, 1) + `}`), nil, []string{"dead missing_field"}},
		{"Avro", "debezium", "\x00\x00\x00\x00\x01abc", nil, []string{"dead malformed"}},
		{"payloads in payloads without end", "debezium", strings.Repeat(`{"payload":`, 40) + "1" + strings.Repeat("}", 40), nil, []string{"kept io.debezium.change debezium/db.shop"}},
	} {
		if d := cmp.Diff(c.want, fromTopic(t, c.format, []byte(c.value), c.headers...)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestATopicsFormatSaysWhatItsRecordsAre(t *testing.T) {
	raw, err := spansOf(cartResource, servedSpan(map[string]any{"http.route": "/a"})).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	spans := []string{"/a 0a000000000000000000000000000000/0b00000000000000", "kept io.opentelemetry.traces otlp/shop/cart"}
	for _, c := range []struct {
		name, format string
		value        []byte
		headers      []string
		want         []string
	}{
		{"as the Collector's Kafka exporter writes it", "otlp-traces", raw, nil, spans},
		{"an event by its headers", "otlp-traces", []byte(`{"name":"n","service":"s","environment":"e"}`),
			[]string{"ce_id", "1", "ce_source", "web", "ce_type", "io.whence.behavior.recorded", "ce_time", "2026-11-23T14:05:00Z", "ce_specversion", "1.0"}, []string{"n 1"}},
		{"an event where that is the format", "cloudevents", good(1), nil, []string{"n 1"}},
		{"bytes of no format", "", raw, nil, []string{"dead invalid_utf8"}},
		{"bytes of a content type that several have", "", raw, []string{"content-type", "application/x-protobuf"}, []string{"dead content_type"}},
	} {
		if d := cmp.Diff(c.want, fromTopic(t, c.format, c.value, c.headers...)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestSomePayloadsAreKnownByTheirShape(t *testing.T) {
	text, err := spansOf(cartResource, servedSpan(map[string]any{"http.route": "/a"})).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w := New(Config{}).workers.New().(*worker)
	for _, name := range []string{"ocsf", "sarif", "cyclonedx"} {
		w.readers[name] = &reader{source: name}
	}
	for _, c := range []struct{ body, want string }{
		{string(text), "otlp-traces"}, {`{"resourceMetrics":[]}`, "otlp-metrics"}, {`{"resourceLogs":[]}`, "otlp-logs"},
		{`{"class_uid":2002,"metadata":{"version":"1.3.0"}}`, "ocsf"}, {`{"class_uid":"2002","metadata":{"version":"1.3.0"}}`, ""}, {`{"class_uid":2002}`, ""},
		{`{"version":"2.1.0","runs":[]}`, "sarif"}, {`{"version":"3","runs":[]}`, ""}, {`{"bomFormat":"CycloneDX"}`, "cyclonedx"},
		{`{"specversion":"1.0","class_uid":2002,"metadata":{"version":"1"}}`, ""}, {`[]`, ""}, {`{`, ""}, {string(good(1)), ""},
	} {
		got := ""
		if r := w.shaped([]byte(c.body)); r != nil {
			got = r.source
		}
		if got != c.want {
			t.Errorf("%s is taken for %q", c.body, got)
		}
	}
	if got := fromTopic(t, "", text); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestAFormatThatDoesNotExistIsNamed(t *testing.T) {
	for _, name := range []string{"otlp", "debezium:", "debezium:debezium", "avro:github"} {
		c := DefaultConfig()
		c.Formats = map[string]string{"t": name}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "formats.t: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDebezium(f *testing.F) {
	f.Add([]byte(`{"schema":{},"payload":{"before":null,"after":{"payload":"{\"type\":\"track\"}"},"source":{"table":"t","ts_ms":1},"op":"c"}}`), "debezium:track")
	f.Add([]byte(`{"after":"{}","op":"c","source":7,"ts_ms":"x"}`), "debezium")
	f.Add([]byte(`"\"\\\"x\\\"\""`), "debezium:otlp-traces")
	f.Add([]byte(`{"payload":"aGVsbG8="}`), "debezium:github")
	f.Fuzz(func(t *testing.T, body []byte, format string) {
		config := DefaultConfig()
		config.Formats = map[string]string{"whence.behavior": format}
		if config.Validate() != nil {
			config.Formats["whence.behavior"] = source.Debezium
		}
		b := batchOf(body)
		if err := New(config).Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		sound(t, b)
	})
}

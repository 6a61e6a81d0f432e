package codec

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/schemas/event"
)

// kept is a file of testdata/forever: one event of a type in every form that has
// ever been written, and what it says. Such bytes lie in topics and archives
// for years: every later version must read them as the same event, with the
// same hash. So a file is written once, by -rewrite, and never again.
type kept struct {
	Says  json.RawMessage `json:"says"` // the event, structured
	Hash  string          `json:"hash"` // of its content, hexadecimal
	Forms []keptForm      `json:"forms"`
}

type keptForm struct {
	Form    string      `json:"form"`
	Headers [][2]string `json:"headers"`
	Value   []byte      `json:"value"`
}

func keptFile(t *event.Type) string {
	return filepath.Join("testdata", "forever", t.Name+".json")
}

func TestEveryTypeIsReadForEverAsItWasWrittenFirst(t *testing.T) {
	for _, typ := range event.Types() {
		t.Run(typ.Name, func(t *testing.T) {
			if _, err := os.Stat(keptFile(typ)); os.IsNotExist(err) && *rewrite {
				writeKept(t, typ)
			}
			text, err := os.ReadFile(keptFile(typ))
			if err != nil {
				t.Fatalf("%v: a new type needs its bytes: go test ./schemas/codec -run ForEver -rewrite", err)
			}
			var k kept
			if err := json.Unmarshal(text, &k); err != nil {
				t.Fatal(err)
			}
			least := 5
			if !typ.Observation {
				least++ // the context log's
			}
			if len(k.Forms) < least {
				t.Errorf("%d forms, want %d", len(k.Forms), least)
			}
			for _, form := range k.Forms {
				says, hash := readKept(t, form)
				if diff := cmp.Diff(plainJSON(t, k.Says), plainJSON(t, says)); diff != "" {
					t.Errorf("%s says something else now (-then +now):\n%s", form.Form, diff)
				}
				if hash != k.Hash {
					t.Errorf("%s hashes to %s, it was %s", form.Form, hash, k.Hash)
				}
			}
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "forever", "*.json"))
	if err != nil || len(files) < len(event.Types()) {
		t.Errorf("%d files, %v: one was taken away", len(files), err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); event.Lookup(name) == nil {
			t.Errorf("%s was a type: what was published of it must still be read", name)
		}
	}
}

func plainJSON(t *testing.T, text json.RawMessage) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// readKept is what a form says, in structured mode, and the hash.
func readKept(t *testing.T, form keptForm) (json.RawMessage, string) {
	t.Helper()
	var headers []Header
	for _, h := range form.Headers {
		headers = append(headers, Header{Key: h[0], Value: []byte(h[1])})
	}
	var d Decoder
	var e Encoder
	if form.Form == contextLog {
		f, err := d.DecodeFact(form.Value, headers)
		if err != nil {
			t.Fatalf("%s: %v", form.Form, err)
		}
		if f.Topic != "whence.delivery" || f.Partition != 2 || f.Offset != 7 || f.ReceivedAt != event.MinTime {
			t.Errorf("provenance %+v", f.Provenance)
		}
		return structuredFact(t, &e, &f), hashText(f.Hash)
	}
	var events Events
	if err := d.Decode(&events, event.Provenance{}, form.Value, headers); err != nil {
		t.Fatalf("%s: %v", form.Form, err)
	}
	if len(events.Facts) == 1 {
		return structuredFact(t, &e, &events.Facts[0]), hashText(events.Facts[0].Hash)
	}
	if len(events.Observations) != 1 {
		t.Fatalf("%s: %+v", form.Form, events)
	}
	o := &events.Observations[0]
	if err := CheckObservation(o); err != nil {
		t.Error(err)
	}
	m, err := e.Observation(o, StructuredJSON)
	if err != nil {
		t.Fatal(err)
	}
	return m.Value, hashText(o.Hash)
}

func structuredFact(t *testing.T, e *Encoder, f *event.Fact) json.RawMessage {
	t.Helper()
	m, err := e.Fact(f, StructuredJSON)
	if err != nil {
		t.Fatal(err)
	}
	return m.Value
}

func hashText(hash uint64) string { return fmt.Sprintf("%016x", hash) }

const contextLog = "context log"

// writeKept writes the file of a type that has none.
func writeKept(t *testing.T, typ *event.Type) {
	t.Helper()
	line, data := sampleOf(t, typ)
	forms := []keptForm{
		{"structured JSON", [][2]string{{"content-type", "application/cloudevents+json"}}, line},
		{"binary JSON", binaryHeaders(typ, "application/json"), data},
	}
	var e Encoder
	binary, err := e.Line(line, BinaryMsgpack)
	if err != nil {
		t.Fatal(err)
	}
	forms = append(forms, formOfMessage("binary msgpack", binary))
	encoded, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": "forever/1", "source": "/golden", "type": typ.Name, "time": sampleTime, "subject": "s", "origin": "kept",
		"datacontenttype": "application/msgpack", "data_base64": binary.Value,
	})
	if err != nil {
		t.Fatal(err)
	}
	forms = append(forms, keptForm{"structured JSON, data as base64 of msgpack", [][2]string{{"content-type", "application/cloudevents+json"}}, encoded})
	var d Decoder
	var events Events
	if err := d.Decode(&events, event.Provenance{Topic: "whence.delivery", Partition: 2, Offset: 7, ReceivedAt: event.MinTime}, line, nil); err != nil {
		t.Fatal(err)
	}
	envelope := event.Fact{}
	if typ.Observation {
		envelope = event.Fact{Event: events.Observations[0].Event, Data: string(data)}
	} else {
		envelope = events.Facts[0]
	}
	m, err := e.EncodeFact(&envelope)
	if err != nil {
		t.Fatal(err)
	}
	whole := formOfMessage("structured msgpack", m)
	whole.Headers = whole.Headers[:1] // the content type alone
	forms = append(forms, whole)
	if !typ.Observation {
		forms = append(forms, formOfMessage(contextLog, m))
	}
	k := kept{Forms: forms}
	k.Says, k.Hash = readKept(t, forms[0])
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keptFile(typ), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func formOfMessage(name string, m Message) keptForm {
	form := keptForm{Form: name, Value: m.Value}
	for _, h := range m.Headers {
		form.Headers = append(form.Headers, [2]string{h.Key, string(h.Value)})
	}
	return form
}

const sampleTime = "2026-03-12T14:05:06.789Z"

func binaryHeaders(typ *event.Type, contentType string) [][2]string {
	return [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", "forever/1"}, {"ce_source", "/golden"}, {"ce_type", typ.Name}, {"ce_time", sampleTime},
		{"ce_subject", "s"}, {"ce_origin", "kept"}, {"content-type", contentType},
	}
}

// sampleOf is an event with every field of its type, and some that it doesn't name.
func sampleOf(t *testing.T, typ *event.Type) (line, data []byte) {
	t.Helper()
	fields := sampleFields(typ.Fields)
	for _, f := range event.Shared() {
		fields[f.Name] = sampleField(&f)
	}
	fields["of_ours"] = map[string]any{"née": []any{true, -1, 1.5, "ü"}}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	line, err = json.Marshal(map[string]any{
		"specversion": "1.0", "id": "forever/1", "source": "/golden", "type": typ.Name, "time": sampleTime, "subject": "s", "origin": "kept",
		"data": json.RawMessage(data),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckLine(line); err != nil {
		t.Fatalf("%s: %v", typ.Name, err)
	}
	return line, data
}

func sampleFields(fields []event.Field) map[string]any {
	all := map[string]any{}
	for i := range fields {
		all[fields[i].Name] = sampleField(&fields[i])
	}
	return all
}

func sampleField(f *event.Field) any {
	switch f.Kind {
	case event.NumberField:
		return 12.5
	case event.IntegerField:
		return 42
	case event.BoolField:
		return true
	case event.TimeField:
		return "2026-03-12T13:00:00+01:00"
	case event.StringsField:
		return []string{f.Name + " 1", "zwei ✓"}
	case event.ObjectField:
		if len(f.Fields) == 0 {
			return map[string]any{"key": "value"}
		}
		return sampleFields(f.Fields)
	case event.ObjectsField:
		return []any{sampleFields(f.Fields)}
	case event.ListField:
		return []any{"frame", map[string]any{"line": 3}}
	}
	if len(f.Allowed) > 0 {
		return f.Allowed[0]
	}
	return "the " + f.Name
}

// A field that comes to a type later is absent in old bytes: they must not be
// read as if it had been stated.
func TestTheSamplesHaveEveryFieldThatTheTypeHadThen(t *testing.T) {
	for _, typ := range event.Types() {
		text, err := os.ReadFile(keptFile(typ))
		if err != nil {
			t.Fatal(err)
		}
		var k struct {
			Says struct {
				Data map[string]any `json:"data"`
			} `json:"says"`
		}
		if err := json.Unmarshal(text, &k); err != nil {
			t.Fatal(err)
		}
		for i := range typ.Fields {
			f := &typ.Fields[i]
			if f.Required && k.Says.Data[f.Name] == nil {
				t.Errorf("%s: the required field %s is in no bytes of before: it can't be required", typ.Name, f.Name)
			}
		}
	}
}

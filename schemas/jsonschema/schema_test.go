package jsonschema

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

var rewrite = flag.Bool("rewrite", false, "write the files anew instead of comparing them")

func TestFilesAreCurrent(t *testing.T) {
	want := map[string][]byte{filepath.Join("..", "asyncapi.yaml"): AsyncAPI()}
	for _, typ := range event.Types() {
		want[File(typ)] = Document(typ)
	}
	for name, content := range want {
		if *rewrite {
			if err := os.WriteFile(name, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s is not what the registry says (%v): run go generate ./schemas/event", name, err)
		}
	}
	files, _ := filepath.Glob("*.json")
	for _, name := range files {
		if want[name] == nil {
			t.Errorf("%s belongs to no type: delete it", name)
		}
	}
}

func compiled(t *testing.T) map[string]*validator.Schema {
	t.Helper()
	c := validator.NewCompiler()
	c.AssertFormat()
	schemas := map[string]*validator.Schema{}
	for _, typ := range event.Types() {
		doc, err := validator.UnmarshalJSON(bytes.NewReader(Document(typ)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(typ.Name, doc); err != nil {
			t.Fatal(err)
		}
		if schemas[typ.Name], err = c.Compile(typ.Name); err != nil {
			t.Fatal(err)
		}
	}
	return schemas
}

func TestEverySchemaIsValidDraft202012(t *testing.T) {
	if n := len(compiled(t)); n != len(event.Types()) {
		t.Errorf("%d schemas of %d types", n, len(event.Types()))
	}
}

// fieldValue draws something for a field: mostly what it must hold, sometimes not.
func fieldValue(t *rapid.T, f *event.Field) any {
	wild := []any{nil, "", "text", 1, 1.5, -3, true, []any{}, []any{"a"}, []any{1}, map[string]any{}, []any{map[string]any{}}, "2023-01-02T03:04:05Z"}
	if rapid.IntRange(0, 19).Draw(t, "wild") == 0 {
		return rapid.SampledFrom(wild).Draw(t, f.Name)
	}
	switch f.Kind {
	case event.StringField:
		if len(f.Allowed) > 0 {
			return rapid.SampledFrom(f.Allowed).Draw(t, f.Name)
		}
		return rapid.StringMatching(`[a-z]{1,5}`).Draw(t, f.Name)
	case event.NumberField:
		return rapid.Float64Range(-1e9, 1e9).Draw(t, f.Name)
	case event.IntegerField:
		return rapid.IntRange(-9, 9).Draw(t, f.Name)
	case event.BoolField:
		return rapid.Bool().Draw(t, f.Name)
	case event.TimeField:
		return "2023-03-20T14:27:05.315384+02:00"
	case event.StringsField:
		return rapid.SliceOfN(rapid.StringMatching(`[a-z]`), 0, 3).Draw(t, f.Name)
	case event.ObjectField:
		return dataFor(t, f.Fields)
	case event.ObjectsField:
		return []any{dataFor(t, f.Fields)}
	case event.ListField:
		return []any{"frame", map[string]any{"line": 3}}
	case event.TokenField:
		return rapid.SampledFrom([]any{"t", 7}).Draw(t, f.Name)
	}
	return rapid.SampledFrom([]any{"x", 2, true}).Draw(t, f.Name)
}

func dataFor(t *rapid.T, fields []event.Field) map[string]any {
	data := map[string]any{"unknown_field": "kept"}
	for i := range fields {
		if present := rapid.IntRange(0, 29).Draw(t, "present"); fields[i].Required && present > 0 || present%3 == 0 {
			data[fields[i].Name] = fieldValue(t, &fields[i])
		}
	}
	return data
}

func TestASchemaAcceptsWhatPublishAccepts(t *testing.T) {
	schemas := compiled(t)
	rapid.Check(t, func(rt *rapid.T) {
		typ := rapid.SampledFrom(event.Types()).Draw(rt, "type")
		fields := append(append([]event.Field{}, typ.Fields...), event.Shared()...)
		line, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": "1", "source": "s", "type": typ.Name, "time": "2023-03-20T14:27:05Z", "data": dataFor(rt, fields),
		})
		if err != nil {
			rt.Fatal(err)
		}
		_, codecErr := codec.CheckLine(line)
		doc, err := validator.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			rt.Fatal(err)
		}
		schemaErr := schemas[typ.Name].Validate(doc)
		if (codecErr == nil) != (schemaErr == nil) {
			rt.Fatalf("%s\ncodec: %v\nschema: %v", line, codecErr, schemaErr)
		}
	})
}

func TestTheRecordedRolloutsFitTheirSchemas(t *testing.T) {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	files, _ := filepath.Glob(filepath.Join(shared, "data", "rollouts", "at-1m", "*_1.jsonl.gz"))
	if len(files) == 0 {
		t.Log("the recorded rollouts are not here, so they were not checked")
		return
	}
	schemas := compiled(t)
	for _, name := range files {
		for _, line := range gunzipLines(t, name) {
			doc, err := validator.UnmarshalJSON(strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			typ, _ := doc.(map[string]any)["type"].(string)
			if err := schemas[typ].Validate(doc); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
}

func gunzipLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(unzipped)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestTheAsyncAPIDocumentNamesEveryTopicTypeAndSource(t *testing.T) {
	var doc asyncAPI
	if err := yaml.Unmarshal(AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for topic := range topicDocs {
		if len(doc.Channels[topic].Messages) == 0 {
			t.Errorf("%s has no messages", topic)
		}
	}
	for _, typ := range event.Types() {
		if _, ok := doc.Channels[event.TopicFor(typ.Name)].Messages[typ.Name]; !ok {
			t.Errorf("%s is not in %s", typ.Name, event.TopicFor(typ.Name))
		}
	}
	for _, s := range source.All() {
		if _, ok := doc.Channels[s.Topic].Messages["source."+s.Name]; !ok {
			t.Errorf("%s is not in %s", s.Name, s.Topic)
		}
	}
}

func TestTheAsyncAPIDocumentIsOneByTheSpecificationsSchema(t *testing.T) {
	packed, err := os.Open(filepath.Join("testdata", "asyncapi-3.0.0.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	specification, err := validator.UnmarshalJSON(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("http://asyncapi.com/definitions/3.0.0/asyncapi.json", specification); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("http://asyncapi.com/definitions/3.0.0/asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	for _, to := range references(doc, nil) {
		if file, local := strings.CutPrefix(to, "./"); local {
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Error(err)
			}
			continue
		}
		at := doc
		for _, key := range strings.Split(strings.TrimPrefix(to, "#/"), "/") {
			object, _ := at.(map[string]any)
			at = object[key]
		}
		if at == nil {
			t.Errorf("%s is nowhere", to)
		}
	}
}

func references(v any, all []string) []string {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if text, ok := member.(string); ok && name == "$ref" {
				all = append(all, text)
			}
			all = references(member, all)
		}
	case []any:
		for _, element := range v {
			all = references(element, all)
		}
	}
	return all
}

package decode

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
	"github.com/whencehq/whence/schemas/value"
)

// sent is a batch of one record as the gateway would write it.
func sent(from string, body []byte, headers ...string) *pipeline.Batch {
	b := batchOf(body)
	b.Records[0].Headers = []pipeline.Header{{Key: source.Header, Value: []byte(from)}, {Key: "content-type", Value: []byte("application/json")}}
	for i := 0; i < len(headers); i += 2 {
		b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return b
}

// saidBy is what a payload has become, a line each: type, id, data.
func saidBy(t testing.TB, from string, body []byte, headers ...string) []string {
	t.Helper()
	b := sent(from, body, headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range b.Facts {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", strings.TrimPrefix(f.Type, event.Prefix), f.Time.Time().Format("2006-01-02T15:04:05Z"), f.ID, f.Data))
	}
	for _, o := range b.Observations {
		lines = append(lines, fmt.Sprintf("%s %s %s %s/%s", o.Name, o.Time.Time().Format("2006-01-02T15:04:05Z"), o.ID, o.Service, o.Environment))
	}
	for _, o := range b.Others {
		line := "kept " + o.Type
		for _, x := range o.Extensions {
			line += " " + x.Key + "=" + x.Value
		}
		lines = append(lines, line)
	}
	for _, d := range b.Dead {
		lines = append(lines, fmt.Sprintf("dead %s %s", d.Reason, d.Detail))
	}
	return lines
}

// sharedData is the folder of recorded material, empty where it is not here.
func sharedData(parts ...string) string {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	return filepath.Join(append([]string{shared, "data"}, parts...)...)
}

func TestEveryReaderIsOfASourceAndItsRulesNameFieldsOfTheirTypes(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range readers() {
		if source.Lookup(r.source) == nil || seen[r.source] {
			t.Errorf("%s is no source, or read twice", r.source)
		}
		seen[r.source] = true
		for _, line := range r.rows {
			typ := event.Lookup(event.Prefix + line.to)
			if typ == nil {
				t.Errorf("%s %s becomes %s, which does not exist", r.source, line.from, line.to)
				continue
			}
			for _, f := range line.fields {
				// What a type does not name is kept with it: attributes of an exposure.
				shared := slices.ContainsFunc(event.Shared(), func(s event.Field) bool { return s.Name == f.name })
				if typ.Field(f.name) == nil && !shared && f.name != "attributes" {
					t.Errorf("%s has no field %s", line.to, f.name)
				}
			}
		}
	}
}

// sound holds what every record must be after decode, whatever it holds: stored or
// dead, not by a panic, and of events that validation lets pass, since one of a
// record's events in a dead letter would have it in both.
func sound(t testing.TB, b *pipeline.Batch) {
	t.Helper()
	if stored, dead, _ := b.Census(); stored+dead != len(b.Records) {
		t.Fatalf("of %d records %d are stored and %d dead", len(b.Records), stored, dead)
	}
	for _, d := range b.Dead {
		if strings.Contains(d.Detail, "which is a bug") || d.Detail == "" {
			t.Fatal(d.Detail)
		}
	}
	for i := range b.Others {
		if o := &b.Others[i]; !utf8.ValidString(o.Source + o.ID + o.Type + o.Data) {
			t.Fatalf("%+v", o)
		}
	}
	for i := range b.Observations {
		if o := &b.Observations[i]; !utf8.ValidString(o.Source + o.ID + o.Service + o.Extra) {
			t.Fatalf("%+v", o)
		}
		if err := codec.CheckObservation(&b.Observations[i]); err != nil {
			t.Fatalf("%v: %+v", err, b.Observations[i])
		}
	}
	for i := range b.Facts {
		if f := &b.Facts[i]; !utf8.ValidString(f.Source + f.ID + f.Data) {
			t.Fatalf("%+v", f)
		}
		var doc value.Doc
		doc.MaxDepth = 1000
		if err := doc.ParseJSON([]byte(b.Facts[i].Data)); err != nil {
			t.Fatal(err)
		}
		if err := codec.Check(event.Lookup(b.Facts[i].Type), doc.Root()); err != nil {
			t.Fatalf("%v: %+v", err, b.Facts[i])
		}
	}
}

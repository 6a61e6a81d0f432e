package decode

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
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
				shared := slices.ContainsFunc(event.Shared(), func(s event.Field) bool { return s.Name == f.name })
				if typ.Field(f.name) == nil && !shared {
					t.Errorf("%s has no field %s", line.to, f.name)
				}
			}
		}
	}
}

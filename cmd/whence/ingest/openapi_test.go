package ingest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

var rewrite = flag.Bool("rewrite", false, "write schemas/openapi.json and the README's table anew instead of comparing them")

func TestTheOpenAPIFileIsWhatIsServed(t *testing.T) {
	const file = "../../../schemas/openapi.json"
	want := OpenAPI()
	if *rewrite {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("schemas/openapi.json is not what the endpoints say (%v): go test ./cmd/whence/ingest -run OpenAPI -rewrite", err)
	}
	served := gatewayWith(t, nil)
	answer := served.get("/openapi.json")
	if answer.Code != 200 || !bytes.Equal(answer.Body.Bytes(), want) {
		t.Error(answer.Code)
	}
}

func TestEverySourceHasAnEndpointThatIsDescribed(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content map[string]any }
			Parameters  []any
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(OpenAPI(), &document); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/v1/events", "/v1/batch"}
	for _, s := range source.All() {
		paths = append(paths, s.Path)
	}
	for _, path := range paths {
		post, there := document.Paths[path]["post"]
		if !there || len(post.RequestBody.Content) == 0 || len(post.Responses) < 10 {
			t.Errorf("%s: %+v", path, post)
		}
		if hints := len(post.Parameters); (hints == 0) != (path == "/v1/events") {
			t.Errorf("%s has %d parameters", path, hints)
		}
	}
}

func TestTheREADMEHasTheEndpoints(t *testing.T) {
	const begin, end = "<!-- endpoints: made by go test ./cmd/whence/ingest -rewrite -->\n", "<!-- end of endpoints -->\n"
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("README.md has no place for the endpoints")
	}
	want := before + begin + table() + end + after
	if *rewrite {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("README.md is not what the endpoints say: go test ./cmd/whence/ingest -run README -rewrite")
	}
}

// table is the endpoints as Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("| POST | takes | topic | proof of the sender |\n|---|---|---|---|\n")
	for _, e := range endpoints() {
		topic, proof := "that of the type", "token `ingest.tokens.v1`"
		if e.source != nil {
			topic = "`" + e.source.Topic + "`"
		}
		if strings.HasPrefix(e.path, "/findings/") {
			proof = "token `ingest.tokens.findings`"
		}
		if e.hook() {
			var headers []string
			for _, p := range proofs(e.source.Signature) {
				headers = append(headers, "`"+p.header+"`")
			}
			if e.source.Signature == source.Unsigned {
				headers = append(headers, "`?token=`")
			}
			proof = strings.Join(headers, " or ")
		}
		b.WriteString("| `" + e.path + "` | " + e.title + " | " + topic + " | " + proof + " |\n")
	}
	return b.String()
}

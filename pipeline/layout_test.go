package pipeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/whencehq/whence/"

// listed is what `go list` says of a package. Imports are those of its code,
// without its tests.
type listed struct {
	ImportPath, Dir string
	Imports, Deps   []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Imports,Deps", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var own []listed
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return own
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
			own = append(own, p)
		}
	}
}

// below says whether path is folder or lies in it.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// Dependencies point one way. A layer imports itself and those before it.
func TestLayersImportOnlyWhatIsBelowThem(t *testing.T) {
	layers := []string{"schemas", "pipeline", "processors", "cmd"}
	for _, p := range packages(t) {
		layer := slices.IndexFunc(layers, func(l string) bool { return below(p.ImportPath, l) })
		if layer < 0 {
			continue // bench and deploy: at the top, where nobody may depend on them
		}
		for _, dep := range p.Deps {
			own, ours := strings.CutPrefix(dep, module)
			if ours && !below(own, layers[:layer+1]...) {
				t.Errorf("%s depends on %s", p.ImportPath, own)
			}
		}
	}
}

// A processor gets what it needs passed in, so that it can be tested and moved
// alone. processors itself is the catalog, which knows them all.
func TestProcessorsKnowNoOtherProcessorAndNoServer(t *testing.T) {
	for _, p := range packages(t) {
		name, inside := strings.CutPrefix(p.ImportPath, "processors/")
		if !inside {
			continue
		}
		folder, _, _ := strings.Cut(name, "/")
		for _, dep := range p.Deps {
			own, ours := strings.CutPrefix(dep, module)
			switch {
			case ours && below(own, "processors") && !below(own, "processors/"+folder):
				t.Errorf("%s depends on another processor: %s", p.ImportPath, own)
			case ours && below(own, "pipeline/kafka", "pipeline/clickhouse", "pipeline/embedded"):
				t.Errorf("%s depends on a server: %s", p.ImportPath, own)
			case below(dep, franzGo, clickHouseGo):
				t.Errorf("%s depends on a client: %s", p.ImportPath, dep)
			}
		}
	}
}

const (
	franzGo      = "github.com/twmb/franz-go"
	clickHouseGo = "github.com/ClickHouse/clickhouse-go"
)

// One package each talks to the client libraries, so that their types are in
// nobody's signature. pipelinetest is for tests, bench measures against peers.
func TestClientsAreImportedInOnePlace(t *testing.T) {
	for _, rule := range []struct {
		client  string
		allowed []string
	}{
		{franzGo, []string{"pipeline/kafka", "pipeline/embedded", "pipeline/pipelinetest", "bench"}},
		{clickHouseGo, []string{"pipeline/clickhouse", "pipeline/pipelinetest", "bench"}},
	} {
		for _, p := range packages(t) {
			for _, i := range p.Imports {
				if below(i, rule.client) && !below(p.ImportPath, rule.allowed...) {
					t.Errorf("%s imports %s", p.ImportPath, i)
				}
			}
		}
	}
}

// The same facts give the same answer whenever they are computed: no processor
// may look at the clock.
func TestProcessorsDoNotKnowTheTime(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}
	err := filepath.WalkDir("../processors", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, s.Sel.Name) {
					t.Errorf("%s: time.%s", files.Position(s.Pos()), s.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

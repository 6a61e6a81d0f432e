package rollouts

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/whencehq/whence/processors/correlate"
)

// Recorded reads a folder of cases: answers.json, and for each name in it
// name.jsonl.gz. Cases come in the order of their names.
func Recorded(dir string) ([]Case, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		return nil, fmt.Errorf("recorded cases: %w", err)
	}
	var answers map[string]answer
	if err := json.Unmarshal(raw, &answers); err != nil {
		return nil, fmt.Errorf("recorded cases: answers.json: %w", err)
	}
	var cases []Case
	for name, a := range answers {
		lines, err := readLines(filepath.Join(dir, name+".jsonl.gz"))
		if err != nil {
			return nil, fmt.Errorf("recorded cases: %s: %w", name, err)
		}
		cases = append(cases, Case{Name: name, Lines: lines, Truth: a.truth()})
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

// answer is what answers.json says of a case. Without a deployment the change
// was withheld, and what can be known of it is its service.
type answer struct {
	Service    string `json:"service"`
	Fault      string `json:"fault"`
	Deployment string `json:"deployment_id"`
}

func (a answer) truth() Truth {
	if a.Deployment == "" {
		return Truth{Kind: correlate.Undeclared, ID: a.Service, Service: a.Service, Fault: a.Fault}
	}
	return Truth{Kind: correlate.Deployment, ID: a.Deployment, Service: a.Service, Fault: a.Fault}
}

func readLines(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, err
	}
	return bytes.Split(bytes.TrimSpace(all), []byte("\n")), nil
}

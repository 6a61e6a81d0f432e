package acceptance_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// said is one CloudEvent of the recorded material, as a line.
type said struct {
	line     []byte
	identity string // a fact's source, id and type; an observation's key
	fact     bool
}

// material is what is published: the recorded events with duplicates, equal
// ids from a second source and conflicting twins put in.
type material struct {
	all                                         []said
	facts, observations                         map[string]bool // the distinct ones, by identity
	factTwins                                   int             // contents that another one under their identity outdoes
	duplicates, observationTwins, secondSources int
}

// prepare reads every recorded case and injects, always the same: of every
// kind some, spread over all types.
func prepare(t *testing.T) *material {
	random := rand.New(rand.NewPCG(20230922, 3))
	m := &material{facts: map[string]bool{}, observations: map[string]bool{}}
	for _, e := range recorded(t) {
		m.add(e)
		facts := e["type"] != "io.whence.service.measured"
		if random.IntN(20) == 0 { // the same again, its members in another order
			m.add(e)
			m.duplicates++
		}
		if random.IntN(25) == 0 { // the same id, published by another
			second := maps.Clone(e)
			second["source"] = e["source"].(string) + "/second"
			m.add(second)
			m.secondSources++
		}
		for twins := 2; twins > 0 && random.IntN(3) == 0 && (facts || random.IntN(10) == 0); twins-- {
			m.add(twin(e, twins))
			if facts {
				m.factTwins++
			} else {
				m.observationTwins++
			}
		}
	}
	if m.duplicates*m.secondSources*m.factTwins*m.observationTwins == 0 {
		t.Fatalf("nothing was injected: %+v", m)
	}
	return m
}

// twin is another content under the identity of e.
func twin(e map[string]any, number int) map[string]any {
	other, data := maps.Clone(e), maps.Clone(e["data"].(map[string]any))
	other["data"] = data
	switch e["type"] {
	case "io.whence.service.measured":
		data["latency_ms"] = 1000 + number
	case "io.whence.service.declared":
		data["owner"] = fmt.Sprint("team-", number)
	case "io.whence.incident.opened":
		data["severity"] = []string{"low", "high"}[number-1]
	default: // deployments
		data["percent"] = 30 + number
	}
	return other
}

func (m *material) add(e map[string]any) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // it was JSON before
	}
	s := said{line: append(line, '\n'), fact: e["type"] != "io.whence.service.measured"}
	data := e["data"].(map[string]any)
	if s.fact {
		s.identity = fmt.Sprint(e["source"], "|", e["id"], "|", e["type"])
		m.facts[s.identity] = true
	} else {
		s.identity = fmt.Sprint(e["source"], "|", e["id"], "|", data["service"], "|", data["environment"], "|", e["time"])
		m.observations[s.identity] = true
	}
	m.all = append(m.all, s)
}

// recorded reads the events of all cases, in the order of their files.
func recorded(t *testing.T) []map[string]any {
	files, err := filepath.Glob(filepath.Join(pipelinetest.Shared(t), "rollouts", "at-1m", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded cases: %v", err)
	}
	var events []map[string]any
	for _, name := range files {
		packed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(plain); lines.Scan(); {
			var e map[string]any
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	return events
}

// shuffled is the material in another order.
func (m *material) shuffled(seed uint64) []said {
	all := slices.Clone(m.all)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// reversed is the material with the last line first.
func (m *material) reversed() []said {
	all := slices.Clone(m.all)
	slices.Reverse(all)
	return all
}

// only is the facts, or the observations, in their order.
func (m *material) only(facts bool) []said {
	return slices.DeleteFunc(slices.Clone(m.all), func(s said) bool { return s.fact != facts })
}

// file writes lines for `whence publish`, gzip where the name says so.
func file(t *testing.T, name string, all []said) string {
	path := filepath.Join(t.TempDir(), name)
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	text := slices.Concat(linesOf(all)...)
	if !strings.HasSuffix(name, ".gz") {
		_, err = out.Write(text)
	} else {
		packed := gzip.NewWriter(out)
		if _, err = packed.Write(text); err == nil {
			err = packed.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func linesOf(all []said) [][]byte {
	lines := make([][]byte, len(all))
	for i := range all {
		lines[i] = all[i].line
	}
	return lines
}

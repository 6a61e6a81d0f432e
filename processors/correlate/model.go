package correlate

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
)

// Model is what each term of evidence weighs: the change of a hypothesis's log
// odds for a value of 1.
type Model struct {
	Name    string             `json:"name"`   // with its version
	Fitted  string             `json:"fitted"` // on what, for readers
	Weights map[string]float64 `json:"weights"`
}

//go:embed weights.json
var weights []byte

// DefaultModel is the one that Whence comes with. bench/accuracy fits it.
func DefaultModel() *Model {
	m, err := ReadModel(weights)
	if err != nil {
		panic(err) // the tests read it
	}
	return m
}

// identified is the model under a name that says which weights it has: other
// weights under the name of before rank everything anew, and so do those that a
// version adds to a model that was learned before it.
func (m *Model) identified() *Model {
	h := fnv.New32a()
	for _, name := range slices.Sorted(maps.Keys(m.Weights)) {
		fmt.Fprintf(h, "%q %x\n", name, math.Float64bits(m.Weights[name]))
	}
	other := *m
	other.Name = fmt.Sprintf("%s#%08x", m.Name, h.Sum32())
	return &other
}

// ReadModel reads a model as JSON, and says what is wrong with it.
func ReadModel(text []byte) (*Model, error) {
	var m Model
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("a model of weights: %w", err)
	}
	if m.Name == "" || len(m.Weights) == 0 {
		return nil, fmt.Errorf("a model of weights needs a name and weights")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Weights)) {
		if w := m.Weights[name]; math.IsNaN(w) || math.Abs(w) > 50 {
			return nil, fmt.Errorf("a model of weights: %s: %v is no sensible weight", name, w)
		}
	}
	return &m, nil
}

package correlate

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

// Example is a ranked effect of which the cause is known: the values of the
// terms of every hypothesis, and which of them are true.
type Example struct {
	Hypotheses []map[string]float64
	True       []int   // indexes; of several causes any one will do
	Importance float64 // how much it counts, 0: 1
}

// NewExample takes the values that Rank would weigh. isTrue says of a
// hypothesis whether it is the cause.
func NewExample(s *Situation, isTrue func(kind, id string) bool) Example {
	var e Example
	for i, h := range newSignals(s).evidence() {
		values := make(map[string]float64, len(h.pieces))
		for _, p := range h.pieces {
			values[p.name] = p.value
		}
		e.Hypotheses = append(e.Hypotheses, values)
		if isTrue(h.kind, h.id) {
			e.True = append(e.True, i)
		}
	}
	return e
}

// Fit finds the weights that make the examples' causes most probable: a
// conditional logit model (McFadden 1974), whose maximum is the only one. Each
// weight is drawn towards its prior's as if by a normal distribution of that
// variance. Examples of which no hypothesis is true teach nothing.
func Fit(examples []Example, prior map[string]float64, variance float64) (map[string]float64, error) {
	f := newFitting(examples, prior, variance)
	if len(f.examples) == 0 {
		return nil, fmt.Errorf("no example has its cause among its hypotheses")
	}
	problem := optimize.Problem{Func: f.loss, Grad: f.gradient}
	result, err := optimize.Minimize(problem, slices.Clone(f.prior), &optimize.Settings{MajorIterations: 500}, &optimize.LBFGS{})
	if result == nil || result.X == nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	fitted := maps.Clone(prior)
	if fitted == nil {
		fitted = map[string]float64{}
	}
	for i, name := range f.names {
		fitted[name] = result.X[i]
	}
	return fitted, nil
}

// speaksFor are terms that can speak for their hypothesis only: a weight below
// zero would be a chance of the examples, and nobody could read it.
var speaksFor = []string{
	"blind",
	"cpu", "elsewhere", "label", "latency", "load", "own", "side", "silent", "thin", "unmoved", "upstream", "vanished", "weekly",
}

// FitSigned is Fit, and again with weight 0 for what came out with a sign that
// it can't have.
func FitSigned(examples []Example, prior map[string]float64, variance float64) (map[string]float64, error) {
	none := map[string]bool{}
	for {
		weights, err := Fit(without(examples, none), prior, variance)
		if err != nil {
			return nil, err
		}
		known := len(none)
		for _, name := range speaksFor {
			if weights[name] < 0 {
				none[name] = true
			}
			if none[name] {
				weights[name] = 0
			}
		}
		if len(none) == known {
			return weights, nil
		}
	}
}

// without leaves terms out.
func without(examples []Example, terms map[string]bool) []Example {
	if len(terms) == 0 {
		return examples
	}
	kept := slices.Clone(examples)
	for i := range kept {
		kept[i].Hypotheses = slices.Clone(kept[i].Hypotheses)
		for j, values := range kept[i].Hypotheses {
			left := maps.Clone(values)
			maps.DeleteFunc(left, func(name string, _ float64) bool { return terms[name] })
			kept[i].Hypotheses[j] = left
		}
	}
	return kept
}

// Probabilities are what weights say of the example's hypotheses.
func (e *Example) Probabilities(weights map[string]float64) []float64 {
	scores := make([]float64, len(e.Hypotheses))
	for i, values := range e.Hypotheses {
		for _, name := range slices.Sorted(maps.Keys(values)) { // sums of floats depend on their order
			scores[i] += weights[name] * values[name]
		}
	}
	return softmax(scores)
}

type fitting struct {
	names    []string
	prior    []float64
	variance float64
	examples []fitExample
}

type fitExample struct {
	hypotheses [][]value
	true       []int
	importance float64
}

type value struct {
	term int
	x    float64
}

func newFitting(examples []Example, prior map[string]float64, variance float64) *fitting {
	f := &fitting{variance: variance}
	at := map[string]int{}
	for _, e := range examples {
		if len(e.True) == 0 || len(e.Hypotheses) < 2 {
			continue
		}
		indexed := fitExample{true: e.True, importance: e.Importance}
		if indexed.importance == 0 {
			indexed.importance = 1
		}
		for _, values := range e.Hypotheses {
			var h []value
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if _, known := at[name]; !known {
					at[name] = len(f.names)
					f.names = append(f.names, name)
					f.prior = append(f.prior, prior[name])
				}
				h = append(h, value{at[name], values[name]})
			}
			indexed.hypotheses = append(indexed.hypotheses, h)
		}
		f.examples = append(f.examples, indexed)
	}
	return f
}

func (e *fitExample) probabilities(w []float64) []float64 {
	scores := make([]float64, len(e.hypotheses))
	for i, h := range e.hypotheses {
		for _, v := range h {
			scores[i] += w[v.term] * v.x
		}
	}
	return softmax(scores)
}

func (e *fitExample) ofTrue(p []float64) float64 {
	var sum float64
	for _, i := range e.true {
		sum += p[i]
	}
	return max(sum, math.SmallestNonzeroFloat64)
}

func (f *fitting) loss(w []float64) float64 {
	d := floats.Distance(w, f.prior, 2)
	loss := d * d / (2 * f.variance)
	for i := range f.examples {
		e := &f.examples[i]
		loss -= e.importance * math.Log(e.ofTrue(e.probabilities(w)))
	}
	return loss
}

func (f *fitting) gradient(grad, w []float64) {
	for i := range grad {
		grad[i] = (w[i] - f.prior[i]) / f.variance
	}
	for i := range f.examples {
		e := &f.examples[i]
		p := e.probabilities(w)
		sure := e.ofTrue(p)
		for j, h := range e.hypotheses {
			pull := p[j]
			if slices.Contains(e.true, j) {
				pull -= p[j] / sure
			}
			for _, v := range h {
				grad[v.term] += e.importance * pull * v.x
			}
		}
	}
}

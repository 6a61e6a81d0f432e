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

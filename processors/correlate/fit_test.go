package correlate

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawn makes examples whose causes follow weights, the same ones from the same
// source.
func drawn(n int, weights map[string]float64, random *rand.Rand) []Example {
	names := slices.Sorted(maps.Keys(weights))
	examples := make([]Example, n)
	for i := range examples {
		e := &examples[i]
		for range 2 + random.IntN(5) {
			values := map[string]float64{}
			for _, name := range names {
				values[name] = random.Float64()
			}
			e.Hypotheses = append(e.Hypotheses, values)
		}
		at := random.Float64()
		for j, p := range e.Probabilities(weights) {
			if at -= p; at < 0 || j == len(e.Hypotheses)-1 {
				e.True = []int{j}
				break
			}
		}
	}
	return examples
}

func TestAFitFindsTheWeightsThatCausesFollow(t *testing.T) {
	weights := map[string]float64{"own": 4, "lag": 1.5, "alike": -2, "size": 0}
	fitted, err := Fit(drawn(4000, weights, rand.New(rand.NewPCG(1, 1))), nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range weights {
		if math.Abs(fitted[name]-w) > 0.3 {
			t.Errorf("%s is %.2f, want %.2f", name, fitted[name], w)
		}
	}
}

func TestAFitStaysNearItsPriorWhereExamplesSayLittle(t *testing.T) {
	prior := map[string]float64{"own": 3, "never seen": 7}
	fitted, err := Fit(drawn(5, map[string]float64{"own": -5}, rand.New(rand.NewPCG(1, 1))), prior, 0.01)
	if err != nil || math.Abs(fitted["own"]-3) > 0.05 || fitted["never seen"] != 7 {
		t.Errorf("%v, %v", fitted, err)
	}
}

func TestAnExampleCountsAsOftenAsItsImportanceSays(t *testing.T) {
	examples := drawn(200, map[string]float64{"own": 2}, rand.New(rand.NewPCG(1, 1)))
	var twice []Example
	for _, e := range examples[:50] {
		twice = append(twice, e, e)
	}
	for i := range examples {
		if examples[i].Importance = 2; i >= 50 {
			examples[i].Importance = 1
		}
	}
	one, err := Fit(examples, nil, 1)
	other, err2 := Fit(append(twice, examples[50:]...), nil, 1)
	if err != nil || err2 != nil || math.Abs(one["own"]-other["own"]) > 1e-3 {
		t.Errorf("%v, then %v (%v, %v)", one, other, err, err2)
	}
}

func TestOfSeveralCausesAnyOneWillDo(t *testing.T) {
	// Whenever b is the cause so is a: to be sure of a is enough.
	e := Example{Hypotheses: []map[string]float64{{"a": 1}, {"b": 1}, {"c": 1}}, True: []int{0, 1}}
	fitted, err := Fit(slices.Repeat([]Example{e}, 50), nil, 10)
	if err != nil || !(fitted["a"] > fitted["c"]+1 && fitted["b"] > fitted["c"]+1) {
		t.Errorf("%v, %v", fitted, err)
	}
}

func TestExamplesWithoutACauseTeachNothing(t *testing.T) {
	for name, examples := range map[string][]Example{
		"none":            nil,
		"no cause":        {{Hypotheses: []map[string]float64{{"a": 1}, {"b": 1}}}},
		"nothing to tell": {{Hypotheses: []map[string]float64{{"a": 1}}, True: []int{0}}},
	} {
		if w, err := Fit(examples, nil, 1); err == nil || err.Error() != "no example has its cause among its hypotheses" {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
}

func TestAWeightHasTheSignThatPeopleCanRead(t *testing.T) {
	examples := drawn(2000, map[string]float64{"own": -2, "lag": 2, "alike": -2}, rand.New(rand.NewPCG(1, 1)))
	fitted, err := FitSigned(examples, nil, 10)
	if err != nil || fitted["own"] != 0 || fitted["lag"] < 1 || fitted["alike"] > -1 {
		t.Errorf("%v, %v", fitted, err)
	}
}

// The steepest ascent is where the gradient says, or the fit would end anywhere.
func TestTheGradientIsThatOfTheLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		examples := drawn(20, map[string]float64{"a": 1, "b": -1, "c": 0}, random)
		examples[0].True, examples[1].Importance = []int{0, 1}, 3
		f := newFitting(examples, map[string]float64{"a": 0.5}, 2)
		w, grad := make([]float64, len(f.names)), make([]float64, len(f.names))
		for i := range w {
			w[i] = random.NormFloat64()
		}
		f.gradient(grad, w)
		for i := range w {
			const step = 1e-5
			up, down := slices.Clone(w), slices.Clone(w)
			up[i], down[i] = up[i]+step, down[i]-step
			if slope := (f.loss(up) - f.loss(down)) / (2 * step); math.Abs(slope-grad[i]) > 1e-4*(1+math.Abs(slope)) {
				t.Fatalf("%s: the slope is %v, the gradient %v", f.names[i], slope, grad[i])
			}
		}
	})
}

func TestAnExampleIsWhatRankWeighs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSituation(t), DefaultModel()
		r := Rank(s, m)
		e := NewExample(s, func(kind, id string) bool { return kind == r.Links[0].CauseKind && id == r.Links[0].CauseID })
		if p := e.Probabilities(m.Weights); len(e.True) != 1 || math.Abs(p[e.True[0]]-r.Links[0].Probability) > 1e-9 {
			t.Fatalf("%v is true, with %v, and the first is ranked with %v", e.True, p, r.Links[0].Probability)
		}
	})
}

func TestAModelSaysWhatIsWrongWithIt(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "a model of weights: unexpected end of JSON input",
		`[]`:                                     "a model of weights: json: cannot unmarshal array",
		`{"weights": {"own": 1}}`:                "a model of weights needs a name and weights",
		`{"name": "m"}`:                          "a model of weights needs a name and weights",
		`{"name": "m", "weights": {"own": "1"}}`: "a model of weights: json: cannot unmarshal string",
		`{"name": "m", "weights": {"own": 51}}`:  "a model of weights: own: 51 is no sensible weight",
		`{"name": "m", "weights": {"b": -99, "a": 77}}`: "a model of weights: a: 77 is no sensible weight",
		`{"name": "m", "weights": {"own": 1}}`:          "",
	} {
		m, err := ReadModel([]byte(text))
		if want == "" && (err != nil || m.Weights["own"] != 1) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTheModelInTheTreeIsSensible(t *testing.T) {
	m := DefaultModel()
	for _, name := range speaksFor {
		if w, there := m.Weights[name]; !there || w < 0 {
			t.Errorf("%s weighs %v, and can speak for its hypothesis only", name, w)
		}
	}
	if m.Name == "" || m.Fitted == "" {
		t.Error("nobody can tell what it was fitted on: ", fmt.Sprint(m))
	}
}

func FuzzAModelIsReadOrRefused(f *testing.F) {
	f.Add(weights)
	f.Add([]byte(`{"name": "m", "weights": {"own": 1e999}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := ReadModel(text); err == nil {
			r := Rank(&shop("web").Situation, m)
			if err := sound(&r); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestTheDocumentationNamesEveryTerm(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range DefaultModel().Weights {
		word := name
		if prior, kind, is := strings.Cut(name, "."); is && kind != "" {
			word = prior + ".KIND"
		}
		if !regexp.MustCompile(`(?m)^//\t(\w+, )?` + regexp.QuoteMeta(word) + `\b`).Match(text) {
			t.Errorf("doc.go says nothing of %s", name)
		}
	}
}

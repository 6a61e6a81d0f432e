package learn

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/processors/correlate"
)

var (
	noon    = time.Date(2026, 3, 12, 12, 0, 0, 0, time.UTC)
	factory = &correlate.Model{Name: "factory-1", Weights: map[string]float64{"own": 1, "lag": 1}}
)

func options() Options {
	return Options{Name: "acme", Now: noon, Prior: factory, Current: factory, Variance: 0.1, Eta: 1, Least: 0.2, HeldBack: 0.2, Minimum: 20}
}

// world makes incidents with five hypotheses each, whose causes follow weights.
func world(n int, seed uint64, weights func(incident string) map[string]float64) []Case {
	random := rand.New(rand.NewPCG(seed, 1))
	cases := make([]Case, n)
	for i := range cases {
		c := &cases[i]
		c.Incident = fmt.Sprint("inc-", i)
		for range 5 {
			c.Example.Hypotheses = append(c.Example.Hypotheses, map[string]float64{"own": random.Float64(), "lag": random.Float64()})
		}
		c.Example.True = []int{drawn(random, c.Example.Probabilities(weights(c.Incident)))}
	}
	return cases
}

func drawn(random *rand.Rand, p []float64) int {
	at := random.Float64()
	for i := range p {
		if at -= p[i]; at < 0 {
			return i
		}
	}
	return len(p) - 1
}

func constant(own, lag float64) func(string) map[string]float64 {
	return func(string) map[string]float64 { return map[string]float64{"own": own, "lag": lag} }
}

func learned(t *testing.T, cases []Case, o Options) *Report {
	t.Helper()
	r, err := From(cases, Skipped{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestManyConfirmationsMoveTheWeightsToWhereTheyPoint(t *testing.T) {
	r := learned(t, world(2000, 1, constant(6, 0)), options())
	if len(r.Objections) > 0 || r.Model.Weights["own"] < 4.5 || r.Model.Weights["lag"] > 0.5 {
		t.Errorf("%v, objections %v", r.Model.Weights, r.Objections)
	}
	for _, s := range r.Scores {
		if !(s.LogLoss.Change.Mean < 0 && s.Brier.Change.Mean < 0 && s.First.Change.Mean > 0) {
			t.Errorf("%s is not answered better: %+v", s.Set, s)
		}
	}
	if r.Weights[0].Term != "own" || r.Learned+r.HeldBack != 2000 {
		t.Errorf("%+v", r)
	}
}

func TestFewConfirmationsMoveLittle(t *testing.T) {
	r := learned(t, world(20, 1, constant(6, 0)), options())
	for _, m := range r.Weights {
		if math.Abs(m.After-m.Before) > 0.5 {
			t.Errorf("%s moves from %v to %v", m.Term, m.Before, m.After)
		}
	}
}

func TestTooFewConfirmationsAreObjectedTo(t *testing.T) {
	r := learned(t, world(19, 1, constant(6, 0)), options())
	if r.Model == nil || !strings.Contains(strings.Join(r.Objections, ";"), "19 incidents can be learned from, and at least 20 are wanted") {
		t.Errorf("%+v", r)
	}
	r = learned(t, nil, options())
	if r.Model != nil || len(r.Objections) != 2 {
		t.Errorf("of nothing: %+v", r)
	}
}

func TestWhatMakesUnseenIncidentsWorseIsObjectedTo(t *testing.T) {
	o := options()
	o.Variance = 10
	r := learned(t, world(1000, 1, func(incident string) map[string]float64 {
		if c := (&Case{Incident: incident}); c.heldBack(o.HeldBack) {
			return map[string]float64{"own": 1, "lag": 8}
		}
		return map[string]float64{"own": 8}
	}), o)
	if len(r.Objections) != 3 || !strings.HasPrefix(r.Objections[0], "log loss on what was held back rises by ") {
		t.Errorf("%q", r.Objections)
	}
}

func TestWithNothingHeldBackNobodyCanSay(t *testing.T) {
	o := options()
	o.HeldBack = 0
	if r := learned(t, world(100, 1, constant(6, 0)), o); len(r.Objections) != 1 || r.HeldBack != 0 {
		t.Errorf("%+v", r.Objections)
	}
}

// Users see causes by rank and confirm those shown low less often. What was seen
// first by the model in use would confirm the model.
func TestWhatIsShownFirstDoesNotConfirmItself(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	var confirmed []Case
	for _, c := range world(8000, 2, constant(0.5, 4)) {
		p := c.Example.Probabilities(map[string]float64{"own": 4, "lag": 0.5}) // what was shown
		c.Rank = 1
		for _, q := range p {
			if q > p[c.Example.True[0]] {
				c.Rank++
			}
		}
		if random.Float64() < 1/float64(c.Rank) {
			confirmed = append(confirmed, c)
		}
	}
	o := options()
	o.Variance = 100
	corrected := learned(t, confirmed, o)
	o.Eta = 0
	naive := learned(t, confirmed, o)
	if w := corrected.Model.Weights; math.Abs(w["own"]-0.5) > 0.35 || math.Abs(w["lag"]-4) > 0.5 {
		t.Errorf("with the rank taken into account: %v", w)
	}
	if w := naive.Model.Weights; w["own"] < 1 {
		t.Errorf("the test tells nothing: without it, %v", w)
	}
}

func TestTheOrderOfIncidentsDoesNotMatter(t *testing.T) {
	cases := world(200, 4, constant(3, 1))
	before := learned(t, cases, options())
	slices.Reverse(cases)
	if after := learned(t, cases, options()); after.Model.Name != before.Model.Name || fmt.Sprint(after.Model.Weights) != fmt.Sprint(before.Model.Weights) {
		t.Errorf("%v, then %v", before.Model, after.Model)
	}
}

func TestOtherWeightsHaveAnotherName(t *testing.T) {
	a, b := nameOf("acme", noon, map[string]float64{"own": 1}), nameOf("acme", noon, map[string]float64{"own": 1.001})
	if a == b || !strings.HasPrefix(a, "acme-2026-03-12-") {
		t.Errorf("%s, %s", a, b)
	}
}

func TestALearnedModelIsReadAsOneIsWritten(t *testing.T) {
	r := learned(t, world(100, 1, constant(6, 0)), options())
	text, err := json.Marshal(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := correlate.ReadModel(text); err != nil || m.Name != r.Model.Name {
		t.Errorf("%v, %v", m, err)
	}
}

func TestEveryReportIsTold(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		r, err := From(world(n, 1, constant(6, 0)), Skipped{notRanked: 2}, options())
		if err != nil {
			t.Fatal(err)
		}
		var told strings.Builder
		if err := r.Tell(&told); err != nil || !strings.Contains(told.String(), "2 left out: the incident was never ranked") || strings.Contains(told.String(), "NaN") {
			t.Errorf("%d incidents: %v\n%s", n, err, told.String())
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%d incidents: %v", n, err)
		}
	}
}

func TestAnEstimateHoldsTheTruthAboutNineteenTimesInTwenty(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	held, rounds := 0, 2000
	for range rounds {
		x, w := make([]float64, 12), make([]float64, 12)
		for i := range x {
			x[i], w[i] = random.NormFloat64()+3, 1+float64(random.IntN(2))
		}
		if e := estimate(x, w); *e.Low <= 3 && 3 <= *e.High {
			held++
		}
	}
	if share := float64(held) / float64(rounds); share < 0.93 || share > 0.97 {
		t.Errorf("it holds it in %v", share)
	}
}

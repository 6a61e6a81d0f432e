package correlate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/event"
)

// unsure is what a ranking may say at most of a change that nothing but its time
// speaks for.
const unsure = 0.8

func TestDependenciesInACircleEnd(t *testing.T) {
	s := newScene("a")
	s.DependsOn = map[string][]string{"a": {"b", "a"}, "b": {"c"}, "c": {"a", "b"}}
	s.deploys("d", "c", 60_000)
	s.calls("b", "c", 1, 0.5)
	s.calls("c", "a", 1, 0.9)
	r := s.ranked(t)
	if term := find(t, &r, Deployment, "d", "distance"); term.Value != 0.5 {
		t.Errorf("c is %v away", term.Value)
	}
}

func TestWhereNothingIsSaidOfDependenciesTrafficIsTheGraph(t *testing.T) {
	s := newScene("web")
	s.deploys("d", "cart", 60_000)
	s.calls("web", "cart", 1, 0.5)
	r := s.ranked(t)
	if first := r.Links[0]; first.CauseID != "d" || find(t, &r, Deployment, "d", "distance").Value != 0.25 {
		t.Errorf("%+v", first)
	}
}

func TestAnUnknownServiceBlamesNothing(t *testing.T) {
	for _, service := range []string{"", "nobody knows it"} {
		s := newScene(service)
		s.DependsOn = map[string][]string{"web": {"cart"}}
		s.deploys("d", "cart", 60_000)
		r := s.ranked(t)
		if p := cause(t, &r, Deployment, "d").Probability; p > 0.3 {
			t.Errorf("of service %q a deployment of cart is blamed with %.2f", service, p)
		}
		if term := find(t, &r, Deployment, "d", "unreachable"); strings.HasPrefix(term.Words, " ") {
			t.Errorf("it says %q", term.Words)
		}
	}
}

func TestADeploymentThatNeverFinishesFadesWithTime(t *testing.T) {
	last := 1.0
	for _, hours := range []event.Millis{0, 1, 24, 24 * 30} {
		s := shop("cart")
		d := s.deploys("d", "cart", 60_000+hours*3600_000, "new")
		d.Ended, d.Outcome = 0, ""
		r := s.ranked(t)
		p := cause(t, &r, Deployment, "d").Probability
		if p >= last {
			t.Errorf("%d hours after it began it is as likely as before: %.3f", hours, p)
		}
		last = p
	}
	if last > 0.05 {
		t.Errorf("after a month it is blamed with %.2f", last)
	}
}

func TestIncidentsThatOverlapAreEachTheirOwn(t *testing.T) {
	of := func(service string) Ranking {
		s := newScene(service)
		s.DependsOn = map[string][]string{"web": {"cart"}, "app": {"mail"}}
		s.deploys("cart-2", "cart", 60_000)
		s.deploys("mail-2", "mail", 60_000)
		s.calls("web", "cart", 1, 0.5)
		s.calls("app", "mail", 1, 0.5)
		return s.ranked(t)
	}
	for service, want := range map[string]string{"web": "cart-2", "app": "mail-2"} {
		if r := of(service); r.Links[0].CauseID != want {
			t.Errorf("the incident of %s is blamed on %s", service, r.Links[0].CauseID)
		}
	}
}

func TestOfTwoCausesNeitherIsSure(t *testing.T) {
	s := newScene("web")
	s.DependsOn = map[string][]string{"web": {"cart", "mail"}}
	for _, service := range []string{"cart", "mail"} {
		s.deploys(service+"-2", service, 60_000)
		s.calls("web", service, 1, 0.5)
	}
	r := s.ranked(t)
	a, b := cause(t, &r, Deployment, "cart-2"), cause(t, &r, Deployment, "mail-2")
	if a.Probability != b.Probability || a.Probability < 0.4 {
		t.Errorf("one with %.3f, the other with %.3f", a.Probability, b.Probability)
	}
}

func TestClocksThatDisagree(t *testing.T) {
	probability := func(before event.Millis, set func(*Candidate)) float64 {
		s := shop("web")
		s.calls("web", "cart", 1, 0.5)
		if d := s.deploys("d", "cart", before); set != nil {
			set(d)
		}
		r := s.ranked(t)
		return cause(t, &r, Deployment, "d").Probability
	}
	well := probability(30_000, nil)
	if a := probability(-20_000, nil); a < well/2 {
		t.Errorf("twenty seconds after the onset a step is as good as excluded: %.3f, not %.3f", a, well)
	}
	if a := probability(-600_000, nil); a > well/2 {
		t.Errorf("ten minutes after the onset a step is still blamed with %.3f, of %.3f", a, well)
	}
	ended := probability(30_000, func(c *Candidate) { c.Ended, c.Began = c.Began-3600_000, c.Began+3600_000 })
	if math.Abs(ended-well) > 1e-9 {
		t.Errorf("a deployment that ended before it began: %.3f, by its stages %.3f", ended, well)
	}
}

func TestWhatIsMeasuredAtNonsenseTimesIsOutside(t *testing.T) {
	s := shop("web")
	s.deploys("d", "cart", 60_000)
	s.calls("web", "cart", 1, 0.5)
	before := s.ranked(t)
	for _, at := range []event.Millis{0, -1, onset - 400*24*3600_000, onset + 400*24*3600_000, math.MaxInt64 / 2, math.MinInt64 / 2} {
		m := unsaid(at, "cart", "", "web", "cart")
		m.Success = 0
		s.Measurements = append(s.Measurements, m)
	}
	after := s.ranked(t)
	if own := find(t, &after, Deployment, "d", "own"); own.Value != find(t, &before, Deployment, "d", "own").Value {
		t.Errorf("it changes how surely cart is at fault: %v", own)
	}
}

func TestNonsenseFiguresMoveNothing(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name  string
		spoil func(*Measurement)
	}{
		{"nothing stated", func(m *Measurement) { m.Success = nan }},
		{"a ratio above one", func(m *Measurement) { m.Success = 7 }},
		{"endless success", func(m *Measurement) { m.Success = inf }},
		{"endlessly many requests", func(m *Measurement) { m.Requests, m.Errors = inf, inf }},
		{"negative errors", func(m *Measurement) { m.Requests, m.Errors = 100, -5 }},
		{"errors of no requests", func(m *Measurement) { m.Requests, m.Errors, m.Success = 0, 50, nan }},
		{"a share of no requests", func(m *Measurement) { m.Requests, m.Success = 0, 0 }},
		{"latency without an end", func(m *Measurement) { m.Latency, m.P99, m.CPU, m.Memory = inf, inf, inf, inf }},
		{"negative latency", func(m *Measurement) { m.Latency, m.CPU = -5, -1 }},
	} {
		s := shop("web")
		s.deploys("d", "cart", 60_000, "new")
		s.calls("web", "cart", 1, 1)
		s.instance("cart", "old", "1", "web", -24, 5, 1, 1)
		s.instance("cart", "new", "2", "web", 0, 5, 1, 1)
		for i := range s.Measurements {
			m := &s.Measurements[i]
			if m.Latency = 10; m.At >= onset && m.Instance != "old" {
				c.spoil(m)
			}
		}
		r := s.ranked(t)
		if p := cause(t, &r, Deployment, "d").Probability; p > unsure {
			t.Errorf("%s: the deployment is blamed with %.2f", c.name, p)
		}
	}
}

// quiet is a service that few call, and of these calls some fail.
func quiet(calls float64) *scene {
	s := shop("web")
	s.deploys("d", "cart", 120_000, "new")
	s.each(-24, 5, func(at event.Millis) Measurement {
		m := unsaid(at, "cart", "", "web", "cart")
		if m.Requests, m.Errors = 0, 0; at == onset-20*minute || at == onset+minute {
			m.Requests = calls
		}
		if at == onset+minute {
			m.Errors = calls
		}
		return m
	})
	return s
}

func TestOneFailureOfThreeRequestsAnHourProvesNothing(t *testing.T) {
	few, many := quiet(1).ranked(t), quiet(1000).ranked(t)
	if p := cause(t, &few, Deployment, "d").Probability; p > 0.5 {
		t.Errorf("one call failed, and the deployment is blamed with %.2f", p)
	}
	if p := cause(t, &many, Deployment, "d").Probability; p < 0.7 {
		t.Errorf("a thousand calls failed, and the deployment is blamed with %.2f", p)
	}
	if own := find(t, &few, Deployment, "d", "own"); own.Value > 0.1 {
		t.Errorf("of one call it is %.2f sure", own.Value)
	}
}

func TestInstancesThatNobodyMeasuresAreNotSilent(t *testing.T) {
	s := shop("web")
	s.deploys("d", "cart", 180_000, "new")
	s.calls("web", "cart", 1, 1)
	r := s.ranked(t)
	for _, term := range cause(t, &r, Deployment, "d").Evidence {
		if term.Name == "silent" {
			t.Errorf("it says %s, and nobody measures instances of cart", term.Words)
		}
	}
}

func TestAServiceThatMeasuresNoEdgesIsMeasured(t *testing.T) {
	s := shop("cart")
	s.deploys("d", "cart", 60_000)
	s.each(-24, 5, func(at event.Millis) Measurement {
		m := unsaid(at, "cart", "cart-1", "", "")
		if m.Success = 1; at >= onset {
			m.Success = 0.5
		}
		return m
	})
	r := s.ranked(t)
	if own := find(t, &r, Deployment, "d", "own"); math.Abs(own.Value-0.909) > 0.01 || !strings.HasPrefix(own.Words, "calls from outside fail") {
		t.Errorf("%+v", own)
	}
}

func TestWithoutAnyMeasurementNothingIsSure(t *testing.T) {
	s := shop("web")
	s.deploys("d", "cart", 60_000, "new")
	r := s.ranked(t)
	if p := cause(t, &r, Deployment, "d").Probability; p > unsure {
		t.Errorf("the deployment is blamed with %.2f", p)
	}
	if find(t, &r, None, "", "blind").Words != "nothing was measured" {
		t.Error("nobody says that nothing was measured")
	}
}

func TestNothingAtAllIsNoKnownChange(t *testing.T) {
	r := Rank(&Situation{}, DefaultModel())
	if err := sound(&r); err != nil || len(r.Links) != 1 || r.Links[0].Probability != 1 {
		t.Errorf("%v, %+v", err, r.Links)
	}
}

func TestEmptyNamesAreNoServices(t *testing.T) {
	s := newScene("")
	s.Effect.Services, s.DependsOn = []string{"", ""}, map[string][]string{"": {""}, "web": {""}}
	s.Candidates = []Candidate{{Kind: Flag, ID: "f", Services: []string{""}, Began: onset}, {Kind: "", ID: "", Began: onset}}
	s.each(-24, 5, func(at event.Millis) Measurement {
		m := unsaid(at, "", "a", "", "")
		if m.Success = 1; at >= onset {
			m.Success = 0
		}
		return m
	})
	s.each(1, 5, func(at event.Millis) Measurement { m := unsaid(at, "", "b", "", ""); m.Success = 0; return m })
	r := s.ranked(t)
	if len(r.Links) != 3 {
		t.Errorf("%d hypotheses", len(r.Links))
	}
	for _, l := range r.Links {
		for _, term := range l.Evidence {
			if term.Name == "own" || term.Name == "elsewhere" {
				t.Errorf("%s %s: %s", l.CauseKind, l.CauseID, term.Words)
			}
		}
	}
}

func TestThousandsOfCandidatesAndHundredsOfServices(t *testing.T) {
	const services, candidates = 300, 4000
	name := func(i int) string { return fmt.Sprint("s", i) }
	s := newScene(name(0))
	for i := range services {
		for _, callee := range []int{2*i + 1, 2*i + 2, i / 3} {
			if callee < services {
				s.DependsOn[name(i)] = append(s.DependsOn[name(i)], name(callee))
				s.calls(name(i), name(callee), 1, 1)
			}
		}
		s.instance(name(i), name(i)+"-a", "1", name((i-1)/2), -24, 5, 1, 1)
	}
	for i := range candidates {
		s.deploys(fmt.Sprint("d", i), name(i%services), event.Millis(i)*1000).Version = "1"
	}
	s.calls(name(1), name(3), 1, 0.3)
	s.deploys("culprit", name(3), 30_000, "new")
	s.instance(name(3), "new", "2", name(1), 0, 5, 1, 0.2)
	r := s.ranked(t)
	if len(r.Links) != most+1 || r.Links[0].CauseID != "culprit" {
		t.Errorf("%d hypotheses, first %s %s with %.2f", len(r.Links), r.Links[0].CauseKind, r.Links[0].CauseID, r.Links[0].Probability)
	}
}

// find is a term that has to be there.
func find(t *testing.T, r *Ranking, kind, id, name string) Term {
	t.Helper()
	l := cause(t, r, kind, id)
	at := slices.IndexFunc(l.Evidence, func(term Term) bool { return term.Name == name })
	if at < 0 {
		t.Errorf("%s %s: %s says nothing: %+v", kind, id, name, l.Evidence)
		return Term{}
	}
	return l.Evidence[at]
}

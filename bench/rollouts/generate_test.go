package rollouts_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/schemas/codec"
)

// drawn are n cases as Draw has them.
func drawn(n int) []rollouts.Case {
	random := rand.New(rand.NewPCG(1, 2))
	var cases []rollouts.Case
	for seed := range uint64(n) {
		o := rollouts.Draw(random)
		o.Services = min(o.Services, 60) // large ones take their time
		cases = append(cases, rollouts.Generate(seed, o))
	}
	return cases
}

func TestTheSameSeedMakesTheSameCase(t *testing.T) {
	for seed := range uint64(20) {
		o := rollouts.Draw(rand.New(rand.NewPCG(seed, 0)))
		o.Services = min(o.Services, 60)
		a, b := rollouts.Generate(seed, o), rollouts.Generate(seed, o)
		if !slices.EqualFunc(a.Lines, b.Lines, bytes.Equal) || fmt.Sprint(a.Truth) != fmt.Sprint(b.Truth) {
			t.Fatalf("seed %d makes two cases", seed)
		}
		if c := rollouts.Generate(seed+1000, o); slices.EqualFunc(a.Lines, c.Lines, bytes.Equal) {
			t.Fatalf("seeds %d and %d make one case", seed, seed+1000)
		}
	}
}

func TestEventsAreAsStrictAsThePipelineIs(t *testing.T) {
	var decoder codec.Decoder
	for _, c := range drawn(40) {
		seen := map[string]bool{}
		for i, line := range c.Lines {
			parsed, err := decoder.CheckLine(line)
			if err != nil {
				t.Fatalf("%s: line %d: %v\n%s", c.Name, i+1, err, line)
			}
			if id := parsed.Source + " " + parsed.ID; seen[id] {
				t.Fatalf("%s: %s twice", c.Name, id)
			} else {
				seen[id] = true
			}
		}
	}
}

func TestLinesAreInTheOrderOfTime(t *testing.T) {
	var decoder codec.Decoder
	for _, c := range drawn(20) {
		last := codec.Parsed{}
		for i, line := range c.Lines {
			parsed, err := decoder.CheckLine(line)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Time < last.Time {
				t.Fatalf("%s: line %d is earlier than the one before", c.Name, i+1)
			}
			last = parsed
		}
	}
}

func TestTheCauseIsACandidateUnlessItIsWithheldOrNone(t *testing.T) {
	for _, c := range drawn(150) {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		switch c.Truth.Kind {
		case correlate.None:
			if c.Truth.ID != "" {
				t.Errorf("%s: none has the id %q", c.Name, c.Truth.ID)
			}
		case correlate.Undeclared:
			for _, candidate := range s.Candidates {
				if candidate.Kind == correlate.Deployment && candidate.Service == c.Truth.Service {
					t.Errorf("%s: %s names what is withheld", c.Name, candidate.ID)
				}
			}
		default:
			if !named(s, c.Truth) {
				t.Errorf("%s: %+v isn't among %d candidates", c.Name, c.Truth, len(s.Candidates))
			}
		}
	}
}

func TestSmallAndLargeWorldsHaveEveryFault(t *testing.T) {
	for _, fault := range slices.Concat(rollouts.OfDeployments, rollouts.OfOthers) {
		for seed := range uint64(10) {
			o := rollouts.Options{Services: 5, Fault: fault, Two: seed%2 == 0, Counts: seed%3 == 0, Minutes: 5}
			if _, err := rollouts.Situation(rollouts.Generate(seed, o)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := rollouts.Situation(rollouts.Generate(1, rollouts.Options{
		Services: 500, Views: rollouts.Destinations, Fault: rollouts.FalseAlarm,
	}))
	if err != nil {
		t.Fatal(err)
	}
	callees := map[string]bool{}
	for _, m := range s.Measurements {
		callees[m.Callee] = true
	}
	if len(callees) < 400 {
		t.Errorf("%d of 500 services are called", len(callees))
	}
}

func TestOnlyWantedViewsAreMeasured(t *testing.T) {
	views := func(m correlate.Measurement) rollouts.Views {
		switch {
		case m.Instance != "":
			return rollouts.Pods
		case m.Service == m.Caller:
			return rollouts.Sources
		default:
			return rollouts.Destinations
		}
	}
	for _, want := range []rollouts.Views{
		rollouts.Pods, rollouts.Sources, rollouts.Destinations, rollouts.Sources | rollouts.Destinations, rollouts.AllViews,
	} {
		s, err := rollouts.Situation(rollouts.Generate(7, rollouts.Options{Views: want}))
		if err != nil {
			t.Fatal(err)
		}
		var seen rollouts.Views
		for _, m := range s.Measurements {
			seen |= views(m)
		}
		if seen != want {
			t.Errorf("views %b for %b", seen, want)
		}
	}
}

func TestCountsAgreeWithRatios(t *testing.T) {
	s, err := rollouts.Situation(rollouts.Generate(3, rollouts.Options{Counts: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Measurements {
		if m.Requests > 0 && math.Abs(m.Success-(1-m.Errors/m.Requests)) > 1e-4 {
			t.Fatalf("%v of %v requests fail, but the ratio is %v", m.Errors, m.Requests, m.Success)
		}
	}
	ratios, err := rollouts.Situation(rollouts.Generate(3, rollouts.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ratios.Measurements {
		if m.Requests == m.Requests {
			t.Fatalf("there are counts, though none were wanted: %+v", m)
		}
	}
}

func TestNoNameIsARecordedOne(t *testing.T) {
	taken := map[string]bool{}
	for _, c := range recordings(t, "at-1m") {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		for service := range s.DependsOn {
			taken[service] = true
		}
	}
	for _, c := range drawn(50) {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		for service := range s.DependsOn {
			if taken[service] {
				t.Errorf("%s: %s is recorded", c.Name, service)
			}
		}
	}
}

func TestDrawDrawsEveryKindOfTruth(t *testing.T) {
	kinds := map[string]int{}
	for _, c := range drawn(150) {
		kinds[c.Truth.Kind]++
	}
	t.Log(kinds)
	for _, kind := range []string{
		correlate.Deployment, correlate.Undeclared, correlate.None, correlate.Flag, correlate.Configuration,
		correlate.Infrastructure, correlate.Provider,
	} {
		if kinds[kind] == 0 {
			t.Errorf("none of 150 cases is of kind %s", kind)
		}
	}
}

func TestWithheldVersionsLeaveNoTrace(t *testing.T) {
	for seed := range uint64(20) {
		c := rollouts.Generate(seed, rollouts.Options{Withheld: rollouts.EventsAndMore})
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.Measurements {
			if m.Service == c.Truth.Service && m.Version != "" {
				t.Fatalf("%s: %s states version %s", c.Name, m.Instance, m.Version)
			}
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, services := range []int{10, 100, 500} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			lines, seed := 0, uint64(0)
			for b.Loop() {
				seed++
				lines += len(rollouts.Generate(seed, rollouts.Options{Services: services}).Lines)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cases/s")
			b.ReportMetric(float64(lines)/float64(b.N), "lines/case")
		})
	}
}

func BenchmarkSituation(b *testing.B) {
	c := rollouts.Generate(1, rollouts.Options{})
	for b.Loop() {
		if _, err := rollouts.Situation(c); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cases/s")
}

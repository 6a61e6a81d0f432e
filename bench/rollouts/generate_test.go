package rollouts_test

import (
	"bytes"
	"fmt"
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
	for _, c := range drawn(60) {
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
	for _, c := range drawn(300) {
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
				t.Errorf("%s: %s %s (%s) isn't among %d candidates", c.Name, c.Truth.Kind, c.Truth.ID, c.Truth.Fault, len(s.Candidates))
			}
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

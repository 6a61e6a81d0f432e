package correlate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/event"
)

// The time of the situations in these tests: the onset of their effect.
const onset event.Millis = 1_773_313_200_000 // 2026-03-12T11:00:00Z

// hostile are figures as sources with bugs send them.
var hostile = []float64{math.NaN(), math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, 0, 0.2, 0.5, 0.99, 1, 1, 2, 3, 1000, math.MaxFloat64, math.SmallestNonzeroFloat64}

var names = []string{"", "cart", "checkout", "payments", "it's \\ hostile", "unknown"}

var allKinds = []string{Deployment, Change, Flag, Configuration, Migration, Infrastructure, Provider, ""}

// drawSituation draws one that nobody would believe.
func drawSituation(t *rapid.T) *Situation {
	service := rapid.SampledFrom(names)
	instance := rapid.SampledFrom([]string{"", "a", "b", "c", "d"})
	version := rapid.SampledFrom([]string{"", "1", "2"})
	figure := rapid.SampledFrom(hostile)
	around := func(minutes int) *rapid.Generator[event.Millis] {
		return rapid.Custom(func(t *rapid.T) event.Millis {
			return onset + event.Millis(rapid.IntRange(-minutes*2, minutes).Draw(t, "half minutes"))*30_000
		})
	}
	stage := rapid.Custom(func(t *rapid.T) Stage {
		return Stage{around(30).Draw(t, "at"), figure.Draw(t, "percent"),
			rapid.SliceOfN(instance, 0, 2).Draw(t, "added"), rapid.SliceOfN(instance, 0, 2).Draw(t, "removed")}
	})
	candidate := rapid.Custom(func(t *rapid.T) Candidate {
		return Candidate{
			Kind: rapid.SampledFrom(allKinds).Draw(t, "kind"), Service: service.Draw(t, "service"),
			Services: rapid.SliceOfN(service, 0, 3).Draw(t, "services"), Version: version.Draw(t, "version"), PreviousVersion: version.Draw(t, "previous"),
			Began: around(400).Draw(t, "began"), Ended: rapid.SampledFrom([]event.Millis{0, onset, onset - 60_000}).Draw(t, "ended"),
			Outcome: rapid.SampledFrom([]string{"", "success", "failure"}).Draw(t, "outcome"), Stages: rapid.SliceOfN(stage, 0, 3).Draw(t, "stages"),
			Revisions: rapid.SliceOfN(version, 0, 2).Draw(t, "revisions"), Size: figure.Draw(t, "size"), RollbackOf: version.Draw(t, "rollback"),
			Confirmed: rapid.IntRange(0, 3).Draw(t, "confirmed"), Refuted: rapid.IntRange(0, 3).Draw(t, "refuted"),
		}
	})
	measurement := func(shift event.Millis) *rapid.Generator[Measurement] {
		return rapid.Custom(func(t *rapid.T) Measurement {
			return Measurement{
				At: around(25).Draw(t, "at") - shift, Source: version.Draw(t, "source"), Service: service.Draw(t, "service"), Instance: instance.Draw(t, "instance"),
				Version: version.Draw(t, "version"), Caller: service.Draw(t, "caller"), Callee: service.Draw(t, "callee"),
				Requests: figure.Draw(t, "requests"), Errors: figure.Draw(t, "errors"), Success: figure.Draw(t, "success"),
				Latency: figure.Draw(t, "latency"), P99: figure.Draw(t, "p99"), CPU: figure.Draw(t, "cpu"), Memory: figure.Draw(t, "memory"),
			}
		})
	}
	s := &Situation{
		Effect: Effect{
			Kind: rapid.SampledFrom([]string{Incident, Alert, Breach, Finding}).Draw(t, "kind"), ID: "e", Service: service.Draw(t, "service"),
			Services: rapid.SliceOfN(service, 0, 2).Draw(t, "services"), Environment: "production",
			Onset: onset, Detected: onset + 60_000, Introduced: version.Draw(t, "introduced"),
		},
		Candidates:   rapid.SliceOfN(candidate, 0, 5).Draw(t, "candidates"),
		DependsOn:    rapid.MapOfN(service, rapid.SliceOfN(service, 0, 4), 0, 5).Draw(t, "depends on"),
		Measurements: rapid.SliceOfN(measurement(0), 0, 40).Draw(t, "measurements"),
		WeekBefore:   rapid.SliceOfN(measurement(week), 0, 10).Draw(t, "week before"),
		From:         onset - Before, To: onset + After,
	}
	for i := range s.Candidates {
		s.Candidates[i].ID = fmt.Sprint("c", i)
	}
	return s
}

// shuffled is the same situation with every list in another order.
func shuffled(s *Situation, random *rand.Rand) *Situation {
	c := *s
	c.Effect.Services = mixed(s.Effect.Services, random)
	c.Measurements, c.WeekBefore = mixed(s.Measurements, random), mixed(s.WeekBefore, random)
	c.Candidates = mixed(s.Candidates, random)
	for i := range c.Candidates {
		d := &c.Candidates[i]
		d.Services, d.Stages, d.Revisions = mixed(d.Services, random), mixed(d.Stages, random), mixed(d.Revisions, random)
		for j := range d.Stages {
			d.Stages[j].Added, d.Stages[j].Removed = mixed(d.Stages[j].Added, random), mixed(d.Stages[j].Removed, random)
		}
	}
	c.DependsOn = map[string][]string{}
	for name, callees := range s.DependsOn {
		c.DependsOn[name] = mixed(callees, random)
	}
	return &c
}

func mixed[T any](list []T, random *rand.Rand) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// scene is a situation as tests tell it: calls between services by the minute,
// a step of which is worse than the rest.
type scene struct{ Situation }

func newScene(service string) *scene {
	return &scene{Situation{
		Effect: Effect{Kind: Incident, ID: "i", Service: service, Environment: "production", Onset: onset, Detected: onset + minute},
		From:   onset - Before, To: onset + After, DependsOn: map[string][]string{},
	}}
}

// unsaid is a measurement that states nothing but who.
func unsaid(at event.Millis, service, instance, caller, callee string) Measurement {
	nan := math.NaN()
	return Measurement{At: at, Interval: minute, Service: service, Instance: instance, Caller: caller, Callee: callee,
		Requests: nan, Errors: nan, Success: nan, Latency: nan, P99: nan, CPU: nan, Memory: nan}
}

// during makes a measurement for each minute of the window, from and to in
// minutes around the onset.
func (s *scene) each(from, to int, measured func(at event.Millis) Measurement) {
	for m := from; m < to; m++ {
		s.Measurements = append(s.Measurements, measured(onset+event.Millis(m)*minute))
	}
}

// calls measures the success of the calls of an edge before and from the onset
// on, as one of its ends sees them.
func (s *scene) calls(caller, callee string, before, after float64) {
	s.each(-24, 5, func(at event.Millis) Measurement {
		m := unsaid(at, callee, "", caller, callee)
		if m.Success = before; at >= onset {
			m.Success = after
		}
		return m
	})
}

// instance measures the success of the calls into one of a service.
func (s *scene) instance(service, name, version, caller string, from, to int, before, after float64) {
	s.each(from, to, func(at event.Millis) Measurement {
		m := unsaid(at, service, name, caller, service)
		m.Version = version
		if m.Success = before; at >= onset {
			m.Success = after
		}
		return m
	})
}

// deploys adds a deployment that brings instances a while before the onset.
func (s *scene) deploys(id, service string, before event.Millis, added ...string) *Candidate {
	s.Candidates = append(s.Candidates, Candidate{
		Kind: Deployment, ID: id, Service: service, Version: "2", PreviousVersion: "1", Began: onset - before,
		Stages: []Stage{{At: onset - before, Percent: 50, Added: added}},
	})
	return &s.Candidates[len(s.Candidates)-1]
}

// ranked is what Rank says, which must be sound.
func (s *scene) ranked(t testing.TB) Ranking {
	t.Helper()
	r := Rank(&s.Situation, DefaultModel())
	if err := sound(&r); err != nil {
		t.Error(err)
	}
	return r
}

// cause is the link of a cause.
func cause(t testing.TB, r *Ranking, kind, id string) Link {
	t.Helper()
	for _, l := range r.Links {
		if l.CauseKind == kind && l.CauseID == id {
			return l
		}
	}
	t.Fatalf("%s %s is no hypothesis", kind, id)
	return Link{}
}

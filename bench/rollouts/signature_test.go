package rollouts_test

import (
	"math"
	"slices"
	"testing"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
)

const week = 7 * 24 * 3600_000

// scene is a situation with what is known of its fault.
type scene struct {
	*correlate.Situation
	truth rollouts.Truth
	added []string // instances of the faulty version
}

func sceneOf(t *testing.T, c rollouts.Case) scene {
	t.Helper()
	s, err := rollouts.Situation(c)
	if err != nil {
		t.Fatal(err)
	}
	sc := scene{Situation: s, truth: c.Truth}
	for _, candidate := range s.Candidates {
		if candidate.Kind == c.Truth.Kind && candidate.ID == c.Truth.ID {
			for _, stage := range candidate.Stages {
				sc.added = append(sc.added, stage.Added...)
			}
		}
	}
	return sc
}

type figure = func(correlate.Measurement) float64

func success(m correlate.Measurement) float64 { return m.Success }
func latency(m correlate.Measurement) float64 { return m.Latency }
func memory(m correlate.Measurement) float64  { return m.Memory }
func cpu(m correlate.Measurement) float64     { return m.CPU }

// mean is that of a figure over the rows that are wanted; NaN without any.
func (s scene) mean(of figure, wanted ...func(correlate.Measurement) bool) float64 {
	sum, n := 0.0, 0.0
	for _, m := range s.Measurements {
		all := true
		for _, w := range wanted {
			all = all && w(m)
		}
		if x := of(m); all && x == x {
			sum, n = sum+x, n+1
		}
	}
	return sum / n
}

func (s scene) fresh(m correlate.Measurement) bool { return slices.Contains(s.added, m.Instance) }
func (s scene) old(m correlate.Measurement) bool {
	return m.Instance != "" && m.Service == s.truth.Service && !s.fresh(m)
}
func (s scene) into(m correlate.Measurement) bool { return m.Callee == s.truth.Service }
func (s scene) end(m correlate.Measurement) bool  { return m.Instance == "" }
func (s scene) then(m correlate.Measurement) bool { return m.At > s.Effect.Detected-30_000 }
func (s scene) early(m correlate.Measurement) bool {
	return m.At < s.Effect.Detected-6*60_000
}

// drop is the worst that any end of an edge sees after the detection.
func (s scene) drop() float64 {
	worst := 0.0
	for _, m := range s.Measurements {
		if m.Instance == "" && s.then(m) {
			worst = math.Max(worst, 1-m.Success)
		}
	}
	return worst
}

// failing counts services whose old instances see calls to them fail.
func (s scene) failing() int {
	services := map[string]bool{}
	for _, m := range s.Measurements {
		if m.Instance != "" && m.Service == m.Callee && s.then(m) && m.Success < 0.9 {
			services[m.Service] = true
		}
	}
	return len(services)
}

// upstream says whether calls fail on an edge that doesn't lead into the faulty service.
func (s scene) upstream() bool {
	return slices.ContainsFunc(s.Measurements, func(m correlate.Measurement) bool {
		return s.then(m) && s.end(m) && !s.into(m) && m.Success < 0.95
	})
}

func TestEveryFaultShowsWhereItMust(t *testing.T) {
	for _, row := range []struct {
		fault rollouts.Fault
		shows string
		seen  func(scene) bool
		least int // of 20 cases; the others are too weak, hidden or silent
	}{
		{rollouts.Exception, "the new version fails more than the old", func(s scene) bool {
			return s.mean(success, s.fresh, s.into) < s.mean(success, s.old, s.into)-0.1
		}, 9},
		{rollouts.Latency, "the new version is slower than the old", func(s scene) bool {
			return s.mean(latency, s.fresh) > 3*s.mean(latency, s.old)
		}, 10},
		{rollouts.MemoryLeak, "the new version fails, and its memory is filling", func(s scene) bool {
			return s.mean(success, s.fresh, s.into) < 0.95 && s.mean(memory, s.fresh) > 0.03
		}, 7},
		{rollouts.WrongValue, "the new version succeeds, and something above it fails", func(s scene) bool {
			return !(s.mean(success, s.fresh, s.into) < 0.97) && s.upstream()
		}, 13},
		{rollouts.BadConfiguration, "calls from or to the new version fail", func(s scene) bool {
			return s.mean(success, s.fresh) < 0.97
		}, 9},
		{rollouts.LostReplicas, "the old instances are busier than before, and calls fail", func(s scene) bool {
			return s.mean(cpu, s.old, s.then) > 1.05*s.mean(cpu, s.old, s.early) && s.drop() > 0.03
		}, 14},
		{rollouts.Silent, "the new version has no rows, and calls fail", func(s scene) bool {
			return math.IsNaN(s.mean(cpu, s.fresh)) && s.drop() > 0.03
		}, 16},
		{rollouts.PartlySilent, "calls fail", func(s scene) bool { return s.drop() > 0.03 }, 15},
		{rollouts.FlagChange, "calls fail", func(s scene) bool { return s.drop() > 0.03 }, 15},
		{rollouts.ConfigurationChange, "calls fail", func(s scene) bool { return s.drop() > 0.03 }, 15},
		{rollouts.InfrastructureChange, "several services fail", func(s scene) bool { return s.failing() > 1 }, 13},
		{rollouts.ProviderDegraded, "several services fail", func(s scene) bool { return s.failing() > 1 }, 13},
		{rollouts.Dependency, "several services fail", func(s scene) bool { return s.failing() > 1 }, 13},
		{rollouts.Node, "several services fail", func(s scene) bool { return s.failing() > 1 }, 13},
		{rollouts.Spontaneous, "calls fail", func(s scene) bool { return s.drop() > 0.03 }, 15},
		{rollouts.Surge, "everything is busier", func(s scene) bool {
			return s.mean(cpu, s.then) > 1.1*s.mean(cpu, s.early)
		}, 13},
		{rollouts.Weekly, "it was there a week ago", func(s scene) bool {
			return len(s.WeekBefore) > 20 && slices.ContainsFunc(s.WeekBefore, func(m correlate.Measurement) bool {
				return m.At > s.Effect.Detected-week-30_000 && m.Success < 0.97
			})
		}, 12},
		{rollouts.FalseAlarm, "next to nothing fails", func(s scene) bool {
			return s.mean(success, s.end, s.then) > 0.985
		}, 17},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			n := 0
			for seed := range uint64(20) {
				if row.seen(sceneOf(t, rollouts.Generate(seed, rollouts.Options{Fault: row.fault}))) {
					n++
				}
			}
			t.Logf("in %d of 20 cases %s", n, row.shows)
			if n < row.least {
				t.Errorf("only in %d of 20 cases %s", n, row.shows)
			}
		})
	}
}

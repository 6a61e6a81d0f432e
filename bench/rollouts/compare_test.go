package rollouts_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/schemas/event"
)

// alike are generated cases of what the recorded ones are cases of: ten
// services, a deployment to blame, ratios in all views.
func alike(n, minutes int) []rollouts.Case {
	random := rand.New(rand.NewPCG(3, 4))
	var cases []rollouts.Case
	for seed := uint64(0); len(cases) < n; seed++ {
		o := rollouts.Draw(random)
		if o.Two || !slices.Contains(rollouts.OfDeployments, o.Fault) {
			continue
		}
		cases = append(cases, rollouts.Generate(seed, rollouts.Options{Services: 10, Minutes: minutes, Fault: o.Fault}))
	}
	return cases
}

// shape is what cases look like, in figures.
type shape struct {
	rows, rollouts, lag             []float64 // a case
	before, at, after, edges        []float64 // of drops on edges' ends, a case
	cases, silent, unseen, latest   float64
	fresh, freshSilent              float64 // instances that innocent rollouts added
	early, blips, pods, nulls, gaps float64 // rows
}

func shapeOf(t *testing.T, cases []rollouts.Case) *shape {
	t.Helper()
	var sh shape
	for _, c := range cases {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		sh.add(s, c.Truth)
	}
	return &sh
}

func (sh *shape) add(s *correlate.Situation, truth rollouts.Truth) {
	sh.cases++
	sh.rows = append(sh.rows, float64(len(s.Measurements)))
	seen := map[string]bool{}
	for _, m := range s.Measurements {
		seen[m.Instance], seen[m.Service] = true, true
	}
	sh.addRollouts(s, truth, seen)
	sh.addDrops(s)
	sh.addNoise(s)
}

func (sh *shape) addRollouts(s *correlate.Situation, truth rollouts.Truth, seen map[string]bool) {
	n, latest := 0.0, false
	for _, c := range s.Candidates { // in the order of their beginning
		if c.Kind != correlate.Deployment {
			continue
		}
		n++
		if c.Began < s.Effect.Detected {
			latest = truth.Names(c.Kind, c.ID)
		}
		for i, stage := range c.Stages {
			if !seen[c.Service] { // it isn't near the incident
				continue
			}
			silent := !slices.ContainsFunc(stage.Added, func(name string) bool { return seen[name] })
			switch {
			case !truth.Names(c.Kind, c.ID):
				if stage.At < s.Effect.Detected-30_000 && stage.At > s.Effect.Detected-600_000 {
					sh.fresh++
					sh.freshSilent += is(silent)
				}
			case i == 0:
				sh.silent += is(silent)
				sh.lag = append(sh.lag, float64(s.Effect.Detected-stage.At)/1000)
			}
		}
	}
	sh.latest += is(latest)
	sh.rollouts = append(sh.rollouts, n)
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// scrape counts a moment's minutes from the detection.
func scrape(s *correlate.Situation, at event.Millis) int {
	return int((at-s.Effect.Detected+30_000+3600_000)/60_000) - 60
}

func (sh *shape) addDrops(s *correlate.Situation) {
	var most [3]float64
	dropped := map[string]bool{}
	for _, m := range s.Measurements {
		if at := scrape(s, m.At) + 1; m.Instance == "" && at >= 0 && at <= 2 {
			most[at] = max(most[at], 1-m.Success)
			if m.Success < 0.95 {
				dropped[m.Caller+">"+m.Callee] = true
			}
		}
	}
	sh.before, sh.at, sh.after = append(sh.before, most[0]), append(sh.at, most[1]), append(sh.after, most[2])
	sh.edges = append(sh.edges, float64(len(dropped)))
	sh.unseen += is(max(most[1], most[2]) < 0.03)
}

// addNoise looks at what was long before the trouble.
func (sh *shape) addNoise(s *correlate.Situation) {
	minutes, first := map[string]map[int]bool{}, 0
	for _, m := range s.Measurements {
		at := scrape(s, m.At)
		key := m.Instance + m.Source + m.Caller + m.Callee
		if minutes[key] == nil {
			minutes[key] = map[int]bool{}
		}
		minutes[key][at] = true
		first = min(first, at)
		if at > -5 {
			continue
		}
		if m.Instance == "" {
			sh.early++
			sh.blips += is(m.Success < 0.97)
		} else {
			sh.pods++
			sh.nulls += is(m.Success != m.Success)
		}
	}
	for _, of := range minutes {
		low, high := 0, -100
		for at := range of {
			low, high = min(low, at), max(high, at)
		}
		sh.gaps += float64(high-low+1-len(of)) / float64(high-low+1) / float64(len(minutes))
	}
}

func quartiles(of []float64) string {
	if len(of) == 0 {
		return "-"
	}
	slices.Sort(of)
	at := func(p float64) float64 { return of[int(p*float64(len(of)-1)+0.5)] }
	return fmt.Sprintf("%.4g [%.4g, %.4g]", at(0.5), at(0.25), at(0.75))
}

// table has one line a figure, one column a set of cases.
func table(sets ...*shape) string {
	var b strings.Builder
	line := func(name string, figure func(*shape) string) {
		fmt.Fprintf(&b, "\n%-48s", name)
		for _, s := range sets {
			fmt.Fprintf(&b, "%-26s", figure(s))
		}
	}
	share := func(a, of float64, unit string) string { return fmt.Sprintf("%.3g %s", a/max(of, 1), unit) }
	line("cases", func(s *shape) string { return fmt.Sprint(s.cases) })
	line("rows", func(s *shape) string { return quartiles(s.rows) })
	line("rollouts", func(s *shape) string { return quartiles(s.rollouts) })
	line("s from first stage to detection", func(s *shape) string { return quartiles(s.lag) })
	line("latest started is to blame", func(s *shape) string { return share(s.latest, s.cases, "of cases") })
	line("worst drop on an edge at the scrape before", func(s *shape) string { return quartiles(s.before) })
	line("  at detection", func(s *shape) string { return quartiles(s.at) })
	line("  a minute after", func(s *shape) string { return quartiles(s.after) })
	line("edges that drop by 0.05", func(s *shape) string { return quartiles(s.edges) })
	line("nothing drops by 0.03", func(s *shape) string { return share(s.unseen, s.cases, "of cases") })
	line("faulty version silent", func(s *shape) string { return share(s.silent, s.cases, "of cases") })
	line("innocent version silent", func(s *shape) string { return share(s.freshSilent, s.fresh, "of stages") })
	line("early drops by 0.03 on an edge", func(s *shape) string { return share(1e4*s.blips, s.early, "of 10,000 rows") })
	line("instances' rows without a ratio", func(s *shape) string { return share(1e4*s.nulls, s.pods, "of 10,000 rows") })
	line("scrapes that are missing", func(s *shape) string { return share(100*s.gaps, s.cases, "%") })
	return b.String()
}

func TestGeneratedCasesLookLikeRecordedOnes(t *testing.T) {
	recorded, made := shapeOf(t, recordings(t, "at-1m")), shapeOf(t, alike(200, 1))
	t.Log("recorded and generated, at one minute; median and quartiles:" + table(recorded, made))
	recorded5, made5 := shapeOf(t, recordings(t, "at-5m")), shapeOf(t, alike(60, 5))
	t.Log("at five minutes:" + table(recorded5, made5))
}

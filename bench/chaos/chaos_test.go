package chaos

import (
	"cmp"
	"flag"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
)

var (
	seed         = flag.Uint64("seed", 0, "of the world and of the faults; 0: of the commit, so that each has the faults in another order")
	rounds       = flag.Int("rounds", 0, "faults of a full run; 0: every kind but the longest once, as far as the budget goes")
	observations = flag.Int("observations", 20_000_000, "of a full run")
	rate         = flag.Int("rate", 2000, "events a second while faults are injected")
	chosen       = flag.String("fault", "", "regular expression: only faults whose name it matches")
	without      = flag.String("without", "^$", "regular expression: no faults whose name it matches")
	density      = flag.Uint64("density", 400, "observations a second of event time in a full run; facts come by event time, so fewer are more facts for each")
	horizon      = flag.Duration("horizon", 0, "of what workers of a full run keep in memory; 0: for ever")
	budget       = flag.Duration("budget", 0, "for faults; 0: five minutes, and in a full run as long as they take")
	safeguards   = flag.String("safeguards", "no-intent|no-token", "which are taken out, a regular expression; all six take five minutes")
)

func TestEveryTableIsRightAfterEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of it")
	}
	if *rounds > 0 {
		fullRun(t)
		return
	}
	seed := cmp.Or(*seed, ofCommit())
	t.Logf("-seed %d repeats the run", seed)
	s := newSystem(t, options{
		shape:   world.Shape{Seed: seed, Observations: 1 << 40, PerSecond: 400},
		brokers: 3, workers: 2, rate: *rate, disk: 4000, settle: 5 * time.Minute,
	})
	r := newRunner(s, seed, chooseFaults(false))
	defer func() { t.Logf("%s", r.table()) }()
	within := cmp.Or(*budget, 5*time.Minute)
	end := time.Now().Add(within)
	for i := range r.all {
		if time.Now().After(end) {
			t.Logf("the budget of %s is spent: %d kinds of faults are left out this time", within, len(r.all)-i)
			break
		}
		r.round(len(r.all) - i)
	}
	r.end()
}

// fullRun has all faults again and again, and goes on publishing until there
// are as many observations as were asked for.
func fullRun(t *testing.T) {
	seed := cmp.Or(*seed, ofCommit())
	s := newSystem(t, options{
		shape:   world.Shape{Seed: seed, Observations: 1 << 40, PerSecond: *density},
		brokers: 3, workers: 3, rate: *rate, disk: 40_000, settle: 30 * time.Minute, horizon: *horizon,
	})
	r := newRunner(s, seed, chooseFaults(true))
	r.everyRounds = 25
	defer func() { t.Logf("%s", r.table()) }()
	end := time.Now().Add(cmp.Or(*budget, 1<<62))
	left, longest := *rounds, len(r.longest())
	for ; left > longest && time.Now().Before(end); left-- {
		r.round(left)
	}
	if left > longest {
		t.Logf("the budget of %s is spent: %d faults are left out, none of the %d longest", *budget, left-longest, longest)
	}
	for left = min(left, longest); left > 0; left-- {
		r.round(left)
	}
	r.publisher.rate.Store(15_000)
	r.publisher.resume()
	r.awaitObservations(*observations)
	r.end()
}

// ofCommit is a seed of the commit that is tested: what the budget leaves out of one
// run comes in another commit's. Where there is no commit to ask for it is 1.
func ofCommit() uint64 {
	const digits = 8
	out, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil || len(out) < digits {
		return 1
	}
	n, err := strconv.ParseUint(string(out[:digits]), 16, 64)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

func chooseFaults(full bool) (some []*fault) {
	match, not := regexp.MustCompile(*chosen), regexp.MustCompile(*without)
	for _, f := range faults() {
		if (full || !f.full) && match.MatchString(f.name) && !not.MatchString(f.name) {
			some = append(some, f)
		}
	}
	return some
}

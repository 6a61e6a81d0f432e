package chaos

import (
	"flag"
	"regexp"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
)

var (
	seed         = flag.Uint64("seed", 1, "of the world and of the faults")
	rounds       = flag.Int("rounds", 0, "faults of a full run; 0: every kind but the longest once, as CI does")
	observations = flag.Int("observations", 20_000_000, "of a full run")
	rate         = flag.Int("rate", 0, "events a second; 0: 2,000, in a full run 6,000")
	only1        = flag.String("fault", "", "only faults whose name contains this")
)

func TestEveryTableIsRightAfterEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of it")
	}
	_ = time.Second
	o := options{
		shape:   world.Shape{Seed: *seed, Observations: 1 << 40, PerSecond: 50},
		brokers: 3, rate: 2000, workers: 2, disk: 4000,
	}
	if *rate > 0 {
		o.rate = *rate
	}
	s := newSystem(t, o)
	var all []*fault
	for _, f := range faults() {
		if !f.full && regexp.MustCompile(*only1).MatchString(f.name) {
			all = append(all, f)
		}
	}
	r := newRunner(s, *seed, all)
	defer func() { t.Logf("%s", r.table()) }()
	n := len(r.all)
	if *rounds > 0 {
		n = *rounds
	}
	for i := range n {
		r.round(i + 1)
	}
	s.publisher.finish()
	s.quieten()
	begun := time.Now()
	d := s.everything()
	t.Logf("everything compared in %s", time.Since(begun).Round(time.Millisecond))
	r.judge(d)
}

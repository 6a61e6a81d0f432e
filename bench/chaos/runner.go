package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// outcome is what became of one round.
type outcome struct {
	fault    string
	lasted   time.Duration // from the injection to the healing
	recovery time.Duration // from the healing until all that was published by then is in the ledger
	effect   string
	unseen   bool // some of it, or all
}

// runner injects one fault after another.
type runner struct {
	*system
	seed     uint64
	random   *rand.Rand
	all      []*fault
	deck     []*fault // each kind once before any comes again, but for the longest
	outcomes []outcome
	// everyRounds compares all rows, after so many rounds.
	everyRounds int
}

func newRunner(s *system, seed uint64, all []*fault) *runner {
	r := &runner{system: s, seed: seed, random: rand.New(rand.NewPCG(seed, 0xfa017))}
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("seed %d; again: %s", seed, r.again())
		}
	})
	for _, f := range all {
		if f.possible != nil {
			if why := f.possible(s); why != "" {
				s.Logf("left out: %s: %s", f.name, why)
				continue
			}
		}
		r.all = append(r.all, f)
	}
	if len(r.all) == 0 {
		s.Fatal("no fault is left of those that -fault and -without choose")
	}
	return r
}

// next is the next fault with so many rounds left, itself included. The longest
// come once, at the end: what they leave behind makes each further round slow.
func (r *runner) next(left int) *fault {
	longest := r.longest()
	if left <= len(longest) || len(longest) == len(r.all) {
		return longest[left%len(longest)]
	}
	if len(r.deck) == 0 {
		r.deck = slices.DeleteFunc(slices.Clone(r.all), func(f *fault) bool { return f.full })
		r.random.Shuffle(len(r.deck), func(i, j int) { r.deck[i], r.deck[j] = r.deck[j], r.deck[i] })
	}
	f := r.deck[0]
	r.deck = r.deck[1:]
	return f
}

func (r *runner) longest() (some []*fault) {
	for _, f := range r.all {
		if f.full {
			some = append(some, f)
		}
	}
	return some
}

// flowing rows are stored before a fault is injected: it has to meet work.
const flowing = 500

// round injects the next fault and ends with a comparison. So many rounds are
// left, itself included.
func (r *runner) round(left int) {
	r.Helper()
	number := len(r.outcomes) + 1
	one := &round{system: r.system, Rand: rand.New(rand.NewPCG(r.random.Uint64(), uint64(number))), fault: r.next(left), before: r.journal.all()}
	r.publisher.resume()
	flow := one.goesOn(flowing)
	if one.unseen == 0 {
		flow = "" // as it should be
	}
	begun := time.Now()
	seen := one.fault.inject(one)
	slices.Reverse(one.undo)
	for _, undo := range one.undo {
		undo()
	}
	o := outcome{fault: one.fault.name, lasted: time.Since(begun)}
	o.recovery, o.unseen = r.awaitCovered(r.published()), one.unseen > 0
	o.effect = strings.Join(slices.DeleteFunc([]string{flow, seen, r.journal.since(one.before)}, func(s string) bool { return s == "" }), "; ")
	r.outcomes = append(r.outcomes, o)
	r.quieten()
	quiet := time.Since(begun)
	var d differences
	if r.everyRounds > 0 && number%r.everyRounds == 0 {
		d = r.everything()
	} else {
		d = r.counts()
	}
	r.Logf("%3d %-64s fault %5.1f s, recovery %5.1f s, quiet after %5.1f s, compared after %5.1f s: %s", number, o.fault, o.lasted.Seconds(), o.recovery.Seconds(),
		quiet.Seconds(), time.Since(begun).Seconds(), o.effect)
	r.judge(d)
}

// end says all that is held back, and compares everything.
func (r *runner) end() {
	r.Helper()
	r.publisher.finish()
	r.quieten()
	begun := time.Now()
	d := r.everything()
	r.Logf("%d observations published, everything compared in %s", r.record.observations, time.Since(begun).Round(time.Millisecond))
	r.judge(d)
}

// awaitObservations waits until so many are published and stored. How long that
// takes is for whoever has asked for them.
func (r *runner) awaitObservations(n int) {
	r.Helper()
	published := func() int {
		r.record.mu.Lock()
		defer r.record.mu.Unlock()
		return r.record.observations
	}
	for published() < n {
		<-time.After(time.Second)
		if r.Failed() {
			r.FailNow()
		}
	}
}

// judge fails the run where there are differences.
func (r *runner) judge(d differences) {
	r.Helper()
	if len(d) > 0 || r.Failed() {
		r.Fatalf("differences after %d faults:\n%s", len(r.outcomes), d)
	}
}

// again is the command that makes the same attempt: the longest faults come after it.
func (r *runner) again() string {
	if r.everyRounds > 0 {
		return fmt.Sprintf("make chaos SEED=%d ROUNDS=%d OBSERVATIONS=%d DENSITY=%d RATE=%d HORIZON=%s",
			r.seed, len(r.outcomes)+1+len(r.longest()), r.record.observations, r.shape.PerSecond, r.rate, r.horizon)
	}
	return fmt.Sprintf("go test -count=1 -v ./bench/chaos -run TestEveryTable -args -seed %d", r.seed)
}

// table is what the run has shown: one line a kind of fault, with how often its
// effect, or a part of it, was waited for in vain.
func (r *runner) table() string {
	kinds := map[string][]outcome{}
	for _, o := range r.outcomes {
		kinds[o.fault] = append(kinds[o.fault], o)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d faults of %d kinds\n%-70s %5s %6s %9s %9s  %s\n", r.seed, len(r.outcomes), len(kinds), "fault", "times", "unseen", "median", "max", "observed effect, the last time")
	for _, f := range r.all {
		of := kinds[f.name]
		if len(of) == 0 {
			continue
		}
		last, unseen := of[len(of)-1].effect, 0
		for _, o := range of {
			if o.unseen {
				unseen++
			}
		}
		slices.SortFunc(of, func(a, b outcome) int { return cmp.Compare(a.recovery, b.recovery) })
		fmt.Fprintf(&b, "%-70s %5d %6d %7.1f s %7.1f s  %s\n", f.name, len(of), unseen, of[len(of)/2].recovery.Seconds(), of[len(of)-1].recovery.Seconds(), last)
	}
	return b.String()
}

package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// fault is one kind of thing that goes wrong.
type fault struct {
	name string
	// inject makes it happen while events flow, and returns when its effect
	// was seen: what that was, in words.
	inject func(*round) string
	// full: it takes so long that only a full run has it.
	full bool
	// possible says why it can't be made to happen here; nil: always.
	possible func(*system) string
}

// round is one fault from its injection to the comparison.
type round struct {
	*system
	*rand.Rand
	fault  *fault
	before map[string]int // of the journal
	undo   []func()
	unseen int // effects that did not come
}

// later registers what heals this round, last first.
func (r *round) later(undo func()) { r.undo = append(r.undo, undo) }

// faults are all kinds, at least one of each line of the promise in the issue.
func faults() []*fault {
	var all []*fault
	for _, some := range [][]*fault{workerFaults(), engineFaults(), correctionFaults(), brokerFaults(), topicFaults(), worldFaults()} {
		all = append(all, some...)
	}
	return all
}

// patience is how long an effect is waited for. Where it does not come the
// round says so, counts it, and goes on: what counts is what is in the tables.
const patience = 20 * time.Second

// sees waits until the condition holds.
func (r *round) sees(what string, within time.Duration, condition func() bool) string {
	begun := time.Now()
	tick := time.NewTicker(polls / 2)
	defer tick.Stop()
	for deadline := time.After(within); ; {
		if condition() {
			return fmt.Sprintf("%s after %.1f s", what, time.Since(begun).Seconds())
		}
		select {
		case <-deadline:
			return r.misses(fmt.Sprintf("not seen within %.0f s: %s", within.Seconds(), what))
		case <-tick.C:
		}
	}
}

// misses counts an effect that did not come, or could not be made to.
func (r *round) misses(what string) string {
	r.unseen++
	return what
}

// needs sees what is the fault itself, and not only its effect: where it does not
// come within what a recovery may take nothing has gone wrong, and the round fails.
func (r *round) needs(what string, condition func() bool) string {
	r.Helper()
	before := r.unseen
	seen := r.sees(what, r.settle, condition)
	if r.unseen > before {
		r.Errorf("%s: it was not injected: %s", r.fault.name, seen)
	}
	return seen
}

// hears waits until workers have said a word that often since the round began.
func (r *round) hears(word string, times int) string {
	return r.sees(fmt.Sprintf("%d %s", times, word), patience, func() bool { return r.heard(word) >= times })
}

func (r *round) heard(word string) int { return r.journal.count(word) - r.before[word] }

// goesOn waits until more rows are stored than there were: work is done in
// spite of it all.
func (r *round) goesOn(rows int64) string {
	from := r.stored()
	return r.sees(fmt.Sprintf("%d more rows are stored", rows), patience, func() bool { return r.stored() >= from+rows })
}

// stored is how many rows there are; what can't be asked does not count.
func (r *round) stored() int64 {
	ends, err := r.ledgerEnds()
	if err != nil {
		return 0
	}
	sum := int64(0)
	for _, end := range ends {
		sum += end
	}
	return sum
}

// stays lets a state be for a few seconds more than it takes to be noticed.
func (r *round) stays() string { return r.lasts(time.Duration(r.IntN(4000)) * time.Millisecond) }

// lasts lets a state be for a while: how long a link is slow is the fault's
// own parameter, and nothing to wait for.
func (r *round) lasts(d time.Duration) string {
	<-time.After(d)
	return fmt.Sprintf("for %.1f s", d.Seconds())
}

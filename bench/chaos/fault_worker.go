package chaos

import (
	"fmt"
	"strings"
	"syscall"
)

func workerFaults() []*fault {
	all := []*fault{
		{name: "a worker is killed", inject: func(r *round) string {
			r.fleet.kill(r.anyWorker())
			r.later(func() { r.fleet.start("") })
			return r.hears("assignments", 1)
		}},
		{name: "all workers are killed", inject: func(r *round) string {
			n := len(r.fleet.all())
			for _, w := range r.fleet.all() {
				r.fleet.kill(w)
			}
			r.later(func() { r.fleet.scale(n) })
			return fmt.Sprintf("%d workers gone, %s", n, r.stays())
		}},
		{name: "a worker stands still beyond its session, and goes on", inject: (*round).pauseWorker},
		{name: "a worker stands still between insert and commit, another takes over", inject: (*round).pauseBeforeCommit},
		{name: "a worker stands still in a correction that is undone meanwhile", inject: (*round).pauseInCorrection},
		{name: "a worker stands still while it seals, another one seals meanwhile", inject: (*round).pauseInSealing, full: true},
		{name: "rolling restart", inject: func(r *round) string {
			for _, w := range r.fleet.all() {
				if err := r.fleet.stop(w); err != nil {
					r.Error(err)
				}
				r.fleet.start("")
			}
			return r.hears("starts", len(r.fleet.all()))
		}},
		{name: "scale from 1 to 8 to 1", inject: func(r *round) string {
			n := len(r.fleet.all())
			r.later(func() { r.fleet.scale(n) })
			r.fleet.scale(1)
			r.fleet.scale(8)
			seen := r.hears("starts", 7) + ", " + r.hears("assignments", 7)
			r.fleet.scale(1)
			return seen
		}},
	}
	for _, step := range []struct{ name, point string }{
		{"a worker is killed before its intent", "events/before-intent=kill@2"},
		{"a worker is killed between intent and insert", "events/after-enrich=kill@2"},
		{"a worker is killed between insert and ledger", "store/before-ledger=kill@2"},
		{"a worker is killed between insert and commit", "events/before-commit=kill@2"},
		{"a worker is killed after its commit", "events/after-commit=kill@2"},
		{"a worker is killed with facts stored and not derived", "store/after-facts=kill@2"},
		{"a worker is killed before it commits facts", "context/before-commit=kill@2"},
		{"a worker is killed in a correction, promises read", "reconcile/after-promises=kill"},
		{"a worker is killed in a correction, its revision announced", "reconcile/after-announcement=kill"},
		{"a worker is killed in a correction, images kept", "reconcile/after-history=kill"},
		{"a worker is killed in a correction, rows rewritten", "reconcile/after-rewrite=kill"},
		{"a worker is killed in a correction, minutes touched", "reconcile/after-touch=kill"},
		{"a worker is killed in a correction, before it is closed", "reconcile/before-close=kill"},
	} {
		all = append(all, killedAt(step.name, step.point))
	}
	for _, step := range []struct{ name, point string }{
		{"a worker is killed while it seals, minutes read", "seal/after-read=kill"},
		{"a worker is killed while it seals, minutes stored", "seal/after-seal=kill"},
	} {
		f := killedAt(step.name, step.point)
		f.full = true // a minute is sealed when nothing was written to it for a minute
		all = append(all, f)
	}
	return all
}

// killedAt arms a new worker, which dies when it comes to the step. Others are
// stopped first: it has to get work.
func killedAt(name, point string) *fault {
	return &fault{name: name, inject: func(r *round) string {
		n := len(r.fleet.all())
		r.fleet.stopAll()
		r.later(func() { r.fleet.scale(n) })
		before := r.heard(exits)
		r.fleet.start(point)
		if strings.HasPrefix(point, "reconcile/") {
			r.publisher.inject(correction)
		}
		step, _, _ := strings.Cut(point, "=")
		return r.needs("it dies at "+step, func() bool { return r.heard(exits) > before })
	}}
}

func (r *round) anyWorker() *worker {
	all := r.fleet.all()
	return all[r.IntN(len(all))]
}

func (r *round) pauseWorker() string {
	w := r.anyWorker()
	if len(r.fleet.all()) == 1 {
		r.fleet.start("") // somebody has to take over
	}
	w.Signal(syscall.SIGSTOP)
	r.later(func() { w.Signal(syscall.SIGCONT) })
	seen := r.hears("assignments", 1)
	return seen + ", " + r.goesOn(1000)
}

// sole starts a worker, armed with failpoints, that has everything to do by itself.
func (r *round) sole(failpoints string) *worker {
	w := r.fleet.start(failpoints)
	for _, other := range r.fleet.all() {
		if other != w {
			_ = r.fleet.stop(other)
		}
	}
	return w
}

func (r *round) pauseBeforeCommit() string {
	w := r.sole("events/before-commit=stop@3")
	seen := r.needs("it stands still", func() bool { return stopped(w.Pid()) })
	r.fleet.start("")
	r.later(func() {
		w.Signal(syscall.SIGCONT)
		r.hears("sessions ended", 1)
	})
	return seen + ", " + r.goesOn(1000)
}

// pauseInCorrection: the one that stands still is about to rewrite rows by a fact
// that is retracted meanwhile. Another one puts them right before it goes on.
func (r *round) pauseInCorrection() string {
	w := r.sole("reconcile/after-history=stop")
	return r.undone(w, "it stands still", func() bool { return stopped(w.Pid()) }, func() {})
}

// pauseInSealing: the one that stands still has read how often minutes were
// touched, of which it is about to seal those that have rested: hence not its
// first look. Meanwhile they are touched again, and another one seals.
func (r *round) pauseInSealing() string {
	w := r.sole("seal/after-read=stop@6")
	seen := r.needs("it stands still", func() bool { return stopped(w.Pid()) })
	sealed := func() int64 { return r.number("SELECT toInt64(sum(rows)) FROM whence_state.sealed FINAL") }
	before := sealed()
	r.fleet.start("")
	r.publisher.inject(correction)
	r.later(func() {
		w.Signal(syscall.SIGCONT)
		r.hears("sessions ended", 1)
	})
	return seen + ", " + r.sees("another one has sealed", 10*patience, func() bool { return sealed() > before })
}

package chaos

import (
	"net/http"
	"sync/atomic"
	"syscall"

	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/pipeline/pipelinetest/world"
)

// The statements of corrections and seals, which the server carries out by itself.
const rewrites = "INSERT INTO whence.observations ("

var besideRewrites = []string{
	"INSERT INTO whence.observations_history (", // images
	"INSERT INTO whence_state.rewriting",        // announcements
	"INSERT INTO whence_state.touches",
	"INSERT INTO whence_state.reconciled", // what is closed
	"INSERT INTO whence_state.sealed",
}

func correctionFaults() []*fault {
	return []*fault{
		{name: "a correction is carried out and its answer is lost", inject: (*round).loseRewrite},
		{name: "a correction's statement arrives late, another one has corrected", inject: (*round).delayRewrite},
	}
}

// loseRewrite: who corrects does not hear that it has, nor, now and then, that what
// belongs to a correction was done.
func (r *round) loseRewrite() string {
	var lost atomic.Bool
	rewritten := pipelinetest.Statements(pipelinetest.Lose, rewrites)
	beside := sometimes(r.Rand, pipelinetest.Statements(pipelinetest.Lose, besideRewrites...), 4)
	r.gateway.Treat(func(request *http.Request) pipelinetest.Treatment {
		switch {
		case rewritten(request) == pipelinetest.Pass:
			return beside(request)
		case lost.Swap(true):
			return pipelinetest.Pass
		}
		return pipelinetest.Lose
	})
	r.later(r.gateway.Heal)
	r.publisher.inject(correction)
	return r.needs("a rewrite is not answered", lost.Load) + ", " + r.stays()
}

// delayRewrite: the statement that rewrites rows by a fact is on its way when its
// sender stands still. It arrives when the fact is retracted and corrected for, and
// finds the contexts that it was made for.
func (r *round) delayRewrite() string {
	w := r.sole("")
	var held atomic.Bool
	rewritten := pipelinetest.Statements(pipelinetest.Delay, rewrites)
	r.gateway.Treat(func(request *http.Request) pipelinetest.Treatment {
		if rewritten(request) == pipelinetest.Pass || held.Swap(true) {
			return pipelinetest.Pass
		}
		return pipelinetest.Delay
	})
	return r.undone(w, "a rewrite is held back", held.Load, func() {
		r.gateway.Heal()
		r.gateway.AwaitLate()
	})
}

// undone has a worker stand still in the correction for a fact, once it is where it
// ought to be. The fact is retracted, and another worker, which knows both, corrects.
// Then comes what is late, and the first one goes on.
func (r *round) undone(w *worker, where string, is func() bool, late func()) string {
	id := ""
	r.publisher.inject(func(w *world.World) (said []world.Said) { said, id = w.Correction(); return said })
	seen := r.needs(where, is)
	w.Signal(syscall.SIGSTOP)
	r.publisher.pause()
	r.tellContext(r.world.Retract(id)) // so that the other one meets both facts at once
	r.fleet.start("")
	r.later(func() {
		late()
		w.Signal(syscall.SIGCONT)
		r.hears("sessions ended", 1)
	})
	return seen + ", " + r.sees("another one has corrected", 5*patience, func() bool { return r.corrected() == nil })
}

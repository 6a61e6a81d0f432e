package statespace

import (
	"errors"
	"fmt"
)

// Spec is a system to explore: where it starts, what may happen next, what
// must never be. A state is a plain comparable value.
type Spec[S comparable] struct {
	Start S
	// Steps tells all that may happen in s, in an order that depends on s
	// alone.
	Steps func(s S, happen Happen[S])
	// Same maps states that are alike (names swapped, leftovers that can't
	// matter any more) to one of them. nil: only equal states are alike.
	Same func(S) S
	// Always must hold in every state, Quiet in those where nothing but faults
	// can happen.
	Always, Quiet func(S) error
}

// Happen takes one step: its kind, the state after it, and what a reader is
// told.
type Happen[S comparable] func(kind Kind, to S, text string, args ...any)

// Kind tells what a system does by itself from what is done to it. A system is
// quiet when no Progress is left.
type Kind bool

// The kinds.
const (
	Progress Kind = true
	Fault    Kind = false
)

// Result is what an exploration found. A violation has a shortest interleaving
// that leads to it, one line a step.
type Result struct {
	States, Transitions int
	Depth               int // steps to the state that is furthest away, or to the violation
	Quiet               int // states where nothing but faults can happen
	Violation           error
	Trace               []string
}

func (r Result) String() string {
	return fmt.Sprintf("%d states, %d transitions, depth %d, %d quiet states", r.States, r.Transitions, r.Depth, r.Quiet)
}

// Explore visits every state breadth first, so that the violation it stops at
// is as few steps away as any, and two runs find the same one. Where there is
// none it also sees to it that every run comes to rest once faults end. It
// fails beyond limit states: a model that has grown out of its bounds must not
// pass for one that was explored.
func Explore[S comparable](spec Spec[S], limit int) (Result, error) {
	e := &exploration[S]{spec: spec, seen: map[S]uint32{}}
	e.visit(spec.Start, 0)
	for len(e.level) > 0 && e.found == nil {
		level := e.level
		e.level = nil
		e.result.Depth++
		for _, s := range level {
			if e.expand(s); len(e.before) > limit {
				return e.result, fmt.Errorf("more than %d states", limit)
			}
		}
	}
	e.result.Depth-- // the last level led nowhere
	if e.found == nil {
		e.comesToRest()
	}
	e.result.States = len(e.before)
	if e.found != nil {
		e.result.Violation, e.result.Trace = e.found.why, e.trace(e.found.state)
		e.result.Depth = len(e.result.Trace)
	}
	return e.result, nil
}

type exploration[S comparable] struct {
	spec   Spec[S]
	seen   map[S]uint32 // number of a state
	before []uint32     // how it was first reached: the state before it
	level  []S          // found and not expanded yet
	result Result
	found  *violation

	// edges are the Progress steps; those of state n begin at first[n].
	// Breadth first, states are expanded in the order of their numbers.
	edges []uint32
	first []int
}

type violation struct {
	state uint32
	why   error
	quiet bool
}

func (e *exploration[S]) same(s S) S {
	if e.spec.Same == nil {
		return s
	}
	return e.spec.Same(s)
}

func (e *exploration[S]) visit(s S, before uint32) uint32 {
	s = e.same(s)
	if id, known := e.seen[s]; known {
		return id
	}
	id := uint32(len(e.before))
	e.seen[s] = id
	e.before = append(e.before, before)
	e.level = append(e.level, s)
	if err := e.spec.Always(s); err != nil {
		e.found = &violation{state: id, why: err}
	}
	return id
}

func (e *exploration[S]) expand(s S) {
	id, quiet := e.seen[s], true
	e.first = append(e.first, len(e.edges))
	e.spec.Steps(s, func(kind Kind, to S, _ string, _ ...any) {
		quiet = quiet && kind != Progress
		if e.found != nil {
			return
		}
		e.result.Transitions++
		if next := e.visit(to, id); kind == Progress {
			e.edges = append(e.edges, next)
		}
	})
	if !quiet {
		return
	}
	e.result.Quiet++
	// This is one step less than what may have been found on the level already.
	if err := e.spec.Quiet(s); err != nil && (e.found == nil || !e.found.quiet) {
		e.found = &violation{state: id, why: fmt.Errorf("nothing more will happen, yet %w", err), quiet: true}
	}
}

var errRestless = errors.New("it may go on for ever from here without any fault")

// comesToRest sorts the states by Progress (Kahn, 1962). States that are left
// over lie on a circle, or behind one.
func (e *exploration[S]) comesToRest() {
	into := make([]uint32, len(e.before))
	for _, to := range e.edges {
		into[to]++
	}
	var free []uint32
	for id, n := range into {
		if n == 0 {
			free = append(free, uint32(id))
		}
	}
	e.first = append(e.first, len(e.edges))
	left := len(e.before)
	for ; len(free) > 0; left-- {
		id := free[len(free)-1]
		free = free[:len(free)-1]
		for _, to := range e.edges[e.first[id]:e.first[id+1]] {
			if into[to]--; into[to] == 0 {
				free = append(free, to)
			}
		}
	}
	for id := 0; left > 0; id++ {
		if into[id] > 0 {
			e.found = &violation{state: uint32(id), why: errRestless}
			return
		}
	}
}

// trace runs the steps to a state again. It goes from the start with the names
// as they are, not as Same has swapped them: a worker keeps its number from
// the first line to the last.
func (e *exploration[S]) trace(last uint32) []string {
	var path []uint32
	for id := last; id != 0; id = e.before[id] {
		path = append(path, id)
	}
	var lines []string
	s := e.spec.Start
	for i := len(path) - 1; i >= 0; i-- {
		found := false
		e.spec.Steps(s, func(_ Kind, to S, text string, args ...any) {
			if id, known := e.seen[e.same(to)]; !found && known && id == path[i] {
				lines = append(lines, fmt.Sprintf(text, args...))
				s, found = to, true
			}
		})
	}
	return lines
}

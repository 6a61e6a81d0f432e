package rollouts

import "math"

// strain is what a fault does to an instance in a minute, or several faults do.
type strain struct {
	errors    float64 // share of its requests that it fails
	on        *edge   // only those of this edge; nil: all
	wait      float64 // share that callers give up on
	poison    float64 // share of its answers on which callers fail, though they are successes
	outErrors float64 // share of its calls that fail
	out       *edge   // of these calls
	slow      float64 // added to its latency, as a multiple of it
	cpu       float64 // added
	memory    float64 // added
	hidden    float64 // share of its failures that the mesh doesn't see
}

// trouble is one fault: what it does to an instance at a time, and since when.
type trouble struct {
	from   int64
	hits   func(*pod) bool
	strain func(p *pod, at int64) strain
}

// on is the strain of a minute that ends at a time: as much of it as there was
// trouble in the time that the instance served.
func (t *trouble) on(p *pod, at int64) (strain, bool) {
	from, to := max(at-60, p.born), min(at, p.gone)
	if t.from >= to || !t.hits(p) {
		return strain{}, false
	}
	s := t.strain(p, at)
	if from < t.from {
		s.scale(float64(to-t.from) / float64(to-from))
	}
	return s, true
}

func (s *strain) scale(by float64) {
	s.errors *= by
	s.wait *= by
	s.poison *= by
	s.outErrors *= by
	s.slow *= by
	s.cpu *= by
}

func (s *strain) add(b strain) {
	s.errors, s.wait = either(s.errors, b.errors), either(s.wait, b.wait)
	s.poison, s.outErrors = either(s.poison, b.poison), either(s.outErrors, b.outErrors)
	s.slow, s.cpu, s.memory = s.slow+b.slow, s.cpu+b.cpu, s.memory+b.memory
	s.hidden = math.Max(s.hidden, b.hidden)
	if b.on != nil {
		s.on = b.on
	}
	if b.out != nil {
		s.out = b.out
	}
}

// either is the chance that one of two independent things happens.
func either(a, b float64) float64 { return 1 - (1-a)*(1-b) }

// constant is a fault that does the same to everything at any time.
func constant(s strain) func(*pod, int64) strain {
	return func(*pod, int64) strain { return s }
}

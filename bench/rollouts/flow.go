package rollouts

import "math"

// flow is what happens on every edge and to every instance in one minute, on
// average: what scrapes then sample from.
type flow struct {
	*world
	troubles []trouble
	load     func(at int64) float64 // of users, 1: as usual

	edges []onEdge
	pods  []onPod // of all services, in their order
	first []int   // of a service's
	busy  []float64
}

// onEdge is one edge in one minute.
type onEdge struct {
	rate   float64 // calls
	fails  float64 // share that fails for the caller
	callee float64 // share that callers see fail for the callee's reasons
	source float64 // the same, and for reasons of the caller's instances
	target float64 // share that the callee's end sees fail
	poison float64
	late   float64 // latency beyond the usual, ms
	reach  float64 // share of the caller's requests that get as far as this edge
	sum    float64 // of what the caller's instances see fail
}

// onPod is one instance in one minute.
type onPod struct {
	strain
	pod      *pod
	share    float64 // of its service's requests
	survives float64 // share of its requests that no callee fails
	late     float64 // latency beyond the usual, ms
}

func newFlow(w *world, troubles []trouble, load func(int64) float64) *flow {
	f := &flow{
		world: w, troubles: troubles, load: load,
		edges: make([]onEdge, len(w.edges)), busy: make([]float64, len(w.services)),
	}
	for _, s := range w.services {
		f.first = append(f.first, len(f.pods))
		for _, p := range s.pods {
			f.pods = append(f.pods, onPod{pod: p})
		}
	}
	return f
}

func (f *flow) of(s *service) []onPod { return f.pods[f.first[s.index]:][:len(s.pods)] }

// minute works out the minute that ends at a time: failures from the callees
// up, then traffic from users down.
func (f *flow) minute(at int64) {
	for i := len(f.services) - 1; i >= 0; i-- {
		f.fail(f.services[i], at)
	}
	for i, s := range f.services {
		f.busy[i] = 0
		for _, e := range s.in {
			f.busy[i] += f.edges[e.index].rate
		}
		if i == 0 {
			f.busy[i] = f.requests * f.load(at)
		}
		for _, e := range s.out {
			f.edges[e.index].rate = f.busy[i] * e.use * e.calls * f.edges[e.index].reach
		}
	}
}

// fail works out what a service suffers from what it calls, and what it does to
// its callers.
func (f *flow) fail(s *service, at int64) {
	pods := f.of(s)
	f.spread(pods, at)
	for _, e := range s.out {
		o := &f.edges[e.index]
		o.reach, o.sum = 0, 0
	}
	for i := range pods {
		if p := &pods[i]; p.share > 0 {
			p.strain = f.strained(p.pod, at)
			f.suffer(s, p)
		}
	}
	for _, e := range s.out {
		o := &f.edges[e.index]
		o.source = o.sum
	}
	for _, e := range s.in {
		f.answer(e, pods)
	}
}

// spread gives each instance its share of the requests of the minute: as much
// as it served of it.
func (f *flow) spread(pods []onPod, at int64) {
	all := 0.0
	for i := range pods {
		p := &pods[i]
		p.share = float64(max(0, min(at, p.pod.gone)-max(at-60, p.pod.born)))
		all += p.share
	}
	for i := range pods {
		if all > 0 {
			pods[i].share /= all
		}
	}
}

func (f *flow) strained(p *pod, at int64) strain {
	var all strain
	for i := range f.troubles {
		if s, ok := f.troubles[i].on(p, at); ok {
			all.add(s)
		}
	}
	return all
}

// suffer works out how many of an instance's requests outlive its calls, which
// are made in order: what fails early spares the callees that come later.
func (f *flow) suffer(s *service, p *onPod) {
	p.survives, p.late = 1, 0
	for _, e := range s.out {
		o := &f.edges[e.index]
		extra := 0.0
		if p.out == e {
			extra = p.outErrors
		}
		o.reach += p.share * p.survives
		o.sum += p.share * either(o.callee, extra)
		bad := either(either(o.fails, o.poison), extra)
		if bad > 0 {
			p.survives *= 1 - e.use*e.critical*(1-math.Pow(1-bad, e.calls))
		}
		p.late = math.Min(10_000, p.late+e.use*e.calls*o.late)
	}
}

// answer works out how calls of one edge go.
func (f *flow) answer(e *edge, pods []onPod) {
	o := &f.edges[e.index]
	*o = onEdge{rate: o.rate}
	for i := range pods {
		p := &pods[i]
		if p.share == 0 {
			continue
		}
		own, poison := p.errorsOn(e), 0.0
		if p.on == nil || p.on == e {
			poison = p.poison
		}
		fails := either(own, p.wait)
		o.fails += p.share * fails
		o.callee += p.share * fails * (1 - p.hidden)
		// A caller that gives up isn't always told to whom it called.
		o.target += p.share * either(own, p.wait/3) * (1 - p.hidden)
		o.poison += p.share * poison
		o.late += p.share * (p.pod.latency*p.slow + p.late)
	}
	if o.fails == 0 && !serve(pods) {
		o.fails, o.callee = 1, 1
	}
	o.fails, o.callee, o.target = either(o.fails, e.noise), either(o.callee, e.noise), either(o.target, e.noise)
}

// errorsOn is the share of an instance's requests on an edge that it fails,
// itself or for what it calls.
func (p *onPod) errorsOn(e *edge) float64 {
	if p.on == nil || p.on == e {
		return 1 - p.survives*(1-p.errors)
	}
	return 1 - p.survives
}

func serve(pods []onPod) bool {
	for i := range pods {
		if pods[i].share > 0 {
			return true
		}
	}
	return false
}

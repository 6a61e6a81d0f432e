package rollouts

// scraper samples what flows into rows, once a minute.
type scraper struct {
	dice
	flow    *flow
	out     *writer
	counts  bool
	views   Views
	source  string  // of the instances' rows; an end's has the end after a slash
	missing float64 // of an instance's scrapes
	blips   float64 // of an end's minutes: failures that mean nothing
	gaps    []gap
	drift   []int64 // of each instance's scrapes, in seconds
	ends    []bothEnds
	until   int64    // no row is later
	only    *service // whose rows are written; nil: everybody's
}

// bothEnds are the source and the destination of an edge.
type bothEnds struct {
	series  [2]series
	behind  [2]bool // says what was a minute ago
	earlier [2]float64
}

// gap is when nothing of a service was scraped, or of any.
type gap struct {
	service  *service // nil: all
	from, to int64
}

func newScraper(f *flow, w *writer, d dice, o Options) *scraper {
	s := &scraper{
		dice: d, flow: f, out: w, counts: o.Counts, views: o.Views,
		source:  pick(d, []string{"mesh", "mesh", "istio", "linkerd", "telemetry"}),
		missing: pick(d, []float64{0.001, 0.004, 0.01, 0.03}),
		blips:   pick(d, []float64{0.00005, 0.0001, 0.0003, 0.002}),
		ends:    make([]bothEnds, len(f.edges)), drift: make([]int64, len(f.pods)),
	}
	for i := range s.drift {
		s.drift[i] = d.seconds(0, 1)
	}
	return s
}

// addGaps leaves out scrapes for some minutes: in half of the cases those of a
// service, and rarely all.
func (s *scraper) addGaps(from, to int64) {
	for s.chance(0.5) {
		at := s.seconds(from, to)
		s.gaps = append(s.gaps, gap{service: pick(s.dice, s.flow.services), from: at, to: at + 60*s.seconds(1, 6)})
	}
	if s.chance(0.04) {
		at := s.seconds(from, to)
		s.gaps = append(s.gaps, gap{from: at, to: at + 60})
	}
}

func (s *scraper) missed(of *service, at int64) bool {
	for _, g := range s.gaps {
		if (g.service == nil || g.service == of) && at >= g.from && at < g.to {
			return true
		}
	}
	return false
}

// scrape writes the rows of the minute that ends at a time.
func (s *scraper) scrape(at int64) {
	s.flow.minute(at)
	if s.views&Pods != 0 {
		for i := range s.flow.pods {
			stamp := at + s.drift[i] + s.late()
			if p := &s.flow.pods[i]; stamp <= s.until && !s.skips(p.pod, at) {
				s.instance(p, at, stamp)
			}
		}
	}
	if at+1 > s.until {
		return
	}
	for i, e := range s.flow.world.edges {
		s.edge(i, e, at)
	}
}

// late is by how many seconds a scrape is late.
func (s *scraper) late() int64 {
	if s.chance(0.05) {
		return 1
	}
	return 0
}

// skips says whether a scrape of an instance yields nothing. One that is gone
// may be found once more.
func (s *scraper) skips(p *pod, at int64) bool {
	if s.only != nil && s.only != p.service {
		return true
	}
	if at > p.gone {
		return p.ghost <= at-60 || p.ghost > at
	}
	return at < p.reports || s.chance(s.missing+p.patchy) || s.missed(p.service, at)
}

// instance writes the rows of an instance: of calls to it and of its own.
func (s *scraper) instance(p *onPod, at, stamp int64) {
	own := p.pod.service
	if p.pod.series == nil {
		p.pod.series = s.seriesOf(p.pod)
	}
	r := s.vitals(p, at)
	for i, e := range own.in {
		s.calls(&r, p, s.flow.edges[e.index].rate, p.seenOn(e))
		s.out.measured(&p.pod.series[i], stamp, r, s.counts, true)
	}
	for i, e := range own.out {
		o := &s.flow.edges[e.index]
		fails := o.callee
		if p.out == e {
			fails = either(fails, p.outErrors)
		}
		if own.blind {
			fails = 0
		}
		s.calls(&r, p, o.rate, fails)
		s.out.measured(&p.pod.series[len(own.in)+i], stamp, r, s.counts, true)
	}
}

func (s *scraper) seriesOf(p *pod) []series {
	var all []series
	for _, e := range p.in {
		all = append(all, s.out.newSeries(s.source, p.service.name, p, s.flow.services[e.from].name, p.service.name))
	}
	for _, e := range p.service.out {
		all = append(all, s.out.newSeries(s.source, p.service.name, p, p.service.name, s.flow.services[e.to].name))
	}
	return all
}

// seenOn is what an instance sees of the failures of calls to it.
func (p *onPod) seenOn(e *edge) float64 {
	return either(either(p.errorsOn(e), p.wait/3)*(1-p.hidden), e.noise)
}

// calls samples how many calls of a rate were this instance's, and how many failed.
func (s *scraper) calls(r *row, p *onPod, rate, fails float64) {
	r.requests = s.poisson(rate * p.share)
	r.errors = s.binomial(r.requests, fails)
}

// vitals are what is the instance's and the same on all its edges. A new
// instance is slow for a minute; an idle one has no latency.
func (s *scraper) vitals(p *onPod, at int64) row {
	of := p.pod
	busy := s.flow.busy[of.index]
	if busy*p.share < 0.2 {
		return row{cpu: s.about(of.service.cpu*0.5, 0.1), memory: s.about(of.memory, 0.03)}
	}
	load := 0.3 + 0.7*busy/max(of.usual, 1)
	r := row{
		latency: s.about(of.latency*of.slower, 0.25)*(1+p.slow) + p.late,
		cpu:     s.about(of.service.cpu*of.cpu, 0.02)*load + p.cpu,
		memory:  min(1, s.about(of.memory, 0.03)+p.memory),
	}
	if age := at - of.born; age < 75 {
		r.latency *= s.between(1.2, 6)
		r.cpu *= s.between(0.8, 1.15)
	}
	return r
}

// edge writes what the two ends of an edge see. An end that saw no call says nothing.
func (s *scraper) edge(i int, e *edge, at int64) {
	o := &s.flow.edges[i]
	services := [2]*service{s.flow.services[e.from], s.flow.services[e.to]}
	both := &s.ends[i]
	if both.series[0].head == nil {
		s.open(both, services)
	}
	for end, fails := range [2]float64{o.source, o.target} {
		said := fails
		if both.behind[end] {
			said = both.earlier[end]
		}
		both.earlier[end] = fails
		if s.views&(Sources<<end) == 0 || s.chance(s.missing) || s.missed(services[1], at) ||
			s.only != nil && s.only != services[end] {
			continue
		}
		if r := (row{requests: s.poisson(o.rate)}); r.requests > 0 {
			r.errors = s.binomial(r.requests, s.disturbed(said))
			s.out.measured(&both.series[end], at+1, r, s.counts, false)
		}
	}
}

func (s *scraper) open(both *bothEnds, services [2]*service) {
	caller, callee := services[0].name, services[1].name
	both.series[0] = s.out.newSeries(s.source+"/source", caller, nil, caller, callee)
	both.series[1] = s.out.newSeries(s.source+"/destination", callee, nil, caller, callee)
	for end := range both.behind {
		both.behind[end] = s.chance(0.07)
	}
}

// disturbed is what an end says of a share of failures: now and then some that
// mean nothing, and now and then none in the middle of trouble.
func (s *scraper) disturbed(fails float64) float64 {
	switch {
	case s.chance(s.blips):
		return either(fails, s.between(0.03, 0.3))
	case fails > 0 && s.chance(0.03):
		return 0
	}
	return fails
}

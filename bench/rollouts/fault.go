package rollouts

import (
	"fmt"
	"math"

	"github.com/whencehq/whence/processors/correlate"
)

// fits says whether a service can have that fault in its new version, so that
// anybody could notice.
func (f Fault) fits(s *service) bool {
	switch f {
	case WrongValue: // what fails is its caller, in the eyes of that one's callers
		for _, e := range s.in {
			if e.from > 0 {
				return true
			}
		}
		return false
	case BadConfiguration:
		return len(s.out)+len(s.addresses) > 0
	case LostReplicas, PartlySilent:
		return s.replicas > 1
	}
	return true
}

// harm makes the new version of a rollout faulty.
func (p *plan) harm(r *rollout, f Fault) {
	of := func(i *pod) bool { return i.rollout == r }
	from := r.stages[0].at - p.lag - 10
	fresh := r.stages[0].added
	silent := p.mute(f, fresh)
	hide := p.hide(silent, from)
	switch s := (strain{}); f {
	case Exception:
		s.errors, s.on = p.between(0.3, 1), p.someEdge(r.service, 0.4)
		p.trouble(from, of, hiding(constant(s), hide))
	case Latency:
		s.slow = p.scale(5, 80)
		if p.chance(0.85) {
			s.wait = p.between(0.15, 0.9)
		}
		p.trouble(from, of, hiding(constant(s), hide))
	case MemoryLeak:
		p.trouble(from, of, hiding(p.leak(), hide))
	case WrongValue:
		s.poison, s.on = p.between(0.4, 1), p.poisoned(r.service)
		p.trouble(from, of, hiding(constant(s), hide))
	case BadConfiguration:
		p.trouble(from, of, hiding(constant(p.misconfigured(r.service)), hide))
	case LostReplicas:
		p.loseReplicas(r, from)
	default: // silent in part or whole
		s.errors = p.between(0.4, 1)
		p.trouble(from, of, hiding(constant(s), hide))
	}
}

func (p *plan) trouble(from int64, hits func(*pod) bool, what func(*pod, int64) strain) {
	p.troubles = append(p.troubles, trouble{from: from, hits: hits, strain: what})
}

// mute says when the faulty instances are first scraped: in half of the cases
// they aren't within a minute of the detection.
func (p *plan) mute(f Fault, fresh []*pod) bool {
	share := 0.38
	switch f {
	case Silent:
		share = 1
	case PartlySilent:
		share = 0.3
	case LostReplicas:
		share = 0
	}
	all := p.chance(share)
	for i, n := range fresh {
		switch {
		case all && (f == Silent || p.chance(0.92)):
			n.reports = never
		case all:
			n.reports = p.detected + p.seconds(70, 280)
		case f == PartlySilent && i%2 == 1:
			n.reports = never
		case f == PartlySilent:
			n.patchy = 0.5
		case f == LostReplicas:
			n.reports = n.born + p.seconds(50, 190)
		case n.reports == never:
			n.reports = n.born
		}
	}
	return all
}

// hide says how much of the failures the mesh doesn't see. Of instances that
// never come up it may see them for a minute only, until it calls them no
// more, or none at all, while the callers go on failing.
func (p *plan) hide(silent bool, from int64) func(at int64) float64 {
	share, until := p.between(0.7, 1), from+p.seconds(50, 150)
	switch x := p.Float64(); {
	case !silent || x < 0.5:
		share = 0
	case x < 0.7:
		until = from
	}
	return func(at int64) float64 {
		if at < until {
			return 0
		}
		return share
	}
}

// hiding is a fault of which the mesh doesn't see everything.
func hiding(what func(*pod, int64) strain, hide func(int64) float64) func(*pod, int64) strain {
	return func(p *pod, at int64) strain {
		s := what(p, at)
		s.hidden = hide(at)
		return s
	}
}

// someEdge is nil, or with some chance one edge into a service.
func (p *plan) someEdge(s *service, chance float64) *edge {
	if len(s.in) < 2 || !p.chance(chance) {
		return nil
	}
	return pick(p.dice, s.in)
}

// poisoned is the edge on which callers fail for what they are told, nil: all.
// A caller that fails must be seen by somebody.
func (p *plan) poisoned(s *service) *edge {
	var seen []*edge
	for _, e := range s.in {
		if e.from > 0 {
			seen = append(seen, e)
		}
	}
	if len(seen) == 0 {
		return nil
	}
	e := pick(p.dice, seen)
	e.critical, e.use = 1, math.Max(e.use, 0.2)
	if p.chance(0.5) {
		return nil
	}
	return e
}

// misconfigured instances can't call something, and fail for it.
func (p *plan) misconfigured(s *service) strain {
	if len(s.out) == 0 || p.chance(0.3) { // an address, whose calls nobody measures
		return strain{errors: p.between(0.3, 1), on: p.someEdge(s, 0.3)}
	}
	most := s.out[0]
	for _, e := range s.out {
		if e.use > most.use {
			most = e
		}
	}
	most.critical = 1
	return strain{out: most, outErrors: p.between(0.6, 1)}
}

// leak fills memory within minutes; errors come with it.
func (p *plan) leak() func(*pod, int64) strain {
	minutes, slow, errors := p.between(1, 4), p.scale(5, 60), p.between(0.4, 1)
	memory, cpu := p.between(0.03, 0.6), p.between(0.05, 0.5)
	return func(i *pod, at int64) strain {
		full := math.Min(1, math.Max(0, float64(at-i.born)/60/minutes))
		return strain{errors: errors * full, slow: slow * full, memory: memory * full, cpu: cpu * math.Sqrt(full)}
	}
}

// loseReplicas has the new instances fail under the load, and the old ones
// suffer from it.
func (p *plan) loseReplicas(r *rollout, from int64) {
	fails := strain{errors: p.between(0.8, 1), slow: p.scale(2, 30), cpu: p.between(0.8, 2.5)}
	suffers := strain{errors: p.between(0.03, 0.45), slow: p.between(0.5, 4), cpu: p.between(0.1, 1)}
	p.trouble(from, func(i *pod) bool { return i.rollout == r }, constant(fails))
	old := func(i *pod) bool { return i.service == r.service && i.rollout == nil }
	p.trouble(from, old, constant(suffers))
}

// blameOther makes something fail that no deployment changed.
func (p *plan) blameOther() {
	switch p.options.Fault {
	case FlagChange:
		p.changeFlag()
	case ConfigurationChange:
		p.changeConfiguration()
	case InfrastructureChange:
		p.changeInfrastructure()
	case ProviderDegraded:
		p.degradeProvider()
	case Dependency:
		p.failAddress()
	case Node:
		p.failNode()
	case Spontaneous:
		s := p.someService(nil)
		p.truth.Service = s.name
		p.failService(s, 1)
	case Surge, Weekly:
		p.surge(p.options.Fault == Weekly)
	}
}

// failService has all instances of a service fail in some way, or a share.
func (p *plan) failService(s *service, share float64) {
	hit := map[*pod]bool{}
	for i, n := range s.pods {
		hit[n] = float64(i) < share*float64(len(s.pods))
	}
	hits := func(i *pod) bool {
		is, known := hit[i]
		return i.service == s && (is || !known) // new ones are made from what is there now
	}
	what := strain{errors: p.between(0.1, 1), on: p.someEdge(s, 0.25)}
	switch x := p.Float64(); {
	case x < 0.2:
		what = strain{slow: p.scale(3, 40), wait: p.between(0.1, 0.8)}
	case x < 0.35 && WrongValue.fits(s):
		what = strain{poison: p.between(0.3, 1), on: p.poisoned(s)}
	case x < 0.5 && len(s.out) > 0:
		what = p.misconfigured(s)
	}
	p.trouble(p.onset, hits, constant(what))
}

func (p *plan) changeFlag() {
	s := p.someService(nil)
	at := p.onset - p.seconds(0, 25)
	name := p.flag(at, s)
	p.truth = Truth{Kind: correlate.Flag, ID: name, Service: s.name, Fault: p.truth.Fault}
	p.failService(s, 1)
}

// flag has one change that touches a service; not every tool says which.
func (p *plan) flag(at int64, s *service) string {
	name := p.names.once(p.names.word) + "-" + p.names.word()
	data := says{"flag": name, "rules": says{"on": pick(p.dice, []int{1, 5, 10, 25, 50, 100})}}
	if p.chance(0.75) {
		data["services"] = []string{s.name}
	}
	p.notices = append(p.notices, notice{at: at, typ: "flag.changed", id: name, from: "flags", data: data})
	return name
}

func (p *plan) changeConfiguration() {
	s, share := p.someService(nil), 1.0
	if p.chance(0.3) {
		share = 0.5
	}
	id := p.configuration(p.onset-p.seconds(0, 40), s)
	p.truth = Truth{Kind: correlate.Configuration, ID: id, Service: s.name, Fault: p.truth.Fault}
	p.failService(s, share)
}

func (p *plan) configuration(at int64, s *service) string {
	id := p.change("configuration", at, "Set "+p.names.word(), s.name)
	return id
}

// change is a notice of one of the kinds of change that are facts of their own.
func (p *plan) change(kind string, at int64, summary, service string) string {
	id := p.names.once(func() string { return fmt.Sprintf("chg-%s", p.names.hex(8)) })
	data := says{"change_id": id, "summary": summary}
	if service != "" {
		data["service"] = service
	}
	p.notices = append(p.notices, notice{at: at, typ: kind + ".changed", id: id, from: kind, data: data})
	return id
}

func (p *plan) changeInfrastructure() {
	at, service := p.onset-p.seconds(0, 100), ""
	if p.chance(0.5) {
		service = p.failAddress()
	} else {
		p.failNode()
	}
	id := p.change("infrastructure", at, "Replace "+p.names.word(), service)
	p.truth = Truth{Kind: correlate.Infrastructure, ID: id, Service: service, Fault: p.truth.Fault}
}

// degradeProvider: it may say so only after others have noticed.
func (p *plan) degradeProvider() {
	provider := p.failAddress()
	at := min(p.onset+p.seconds(-60, 90), p.detected+30)
	p.provider(at, provider)
	p.truth = Truth{Kind: correlate.Provider, ID: provider, Service: provider, Fault: p.truth.Fault}
}

func (p *plan) provider(at int64, name string) {
	data := says{"provider": name, "severity": pick(p.dice, []string{"high", "critical", "medium"})}
	p.notices = append(p.notices, notice{at: at, typ: "provider.degraded", id: name, from: "status", data: data})
}

// failAddress degrades what several services share. It returns its name.
func (p *plan) failAddress() string {
	address, users := 0, 0
	for a := range p.addresses {
		n := 0
		for _, s := range p.services {
			if s.uses(a) && s.usual >= 3 {
				n++
			}
		}
		if n > users || n == users && p.chance(0.5) {
			address, users = a, n
		}
	}
	suffer := map[*service]strain{}
	for _, s := range p.services {
		if s.uses(address) {
			suffer[s] = strain{errors: p.Float64() * p.Float64(), slow: p.scale(0.5, 20)}
		}
	}
	hits := func(i *pod) bool { return i.uses(address) }
	p.trouble(p.onset, hits, func(i *pod, _ int64) strain { return suffer[i.service] })
	return p.addresses[address]
}

func (s *service) uses(address int) bool {
	for _, a := range s.addresses {
		if a == address {
			return true
		}
	}
	return false
}

// failNode degrades one instance or more of several services.
func (p *plan) failNode() {
	on := map[int]int{}
	most := 0
	for _, s := range p.services {
		for _, i := range s.pods {
			if on[i.node]++; on[i.node] > on[most] {
				most = i.node
			}
		}
	}
	what := strain{errors: p.between(0.2, 1), slow: p.scale(2, 30), cpu: p.between(0, 0.6)}
	p.trouble(p.onset, func(i *pod) bool { return i.node == most }, constant(what))
}

// surge brings more load than some services bear; every week, or just now.
func (p *plan) surge(weekly bool) {
	usual, height, from := p.load, p.between(1.4, 4), p.onset-p.seconds(0, 120)
	since := func(at int64) (int64, bool) {
		if weekly && at < from-weekSeconds/2 {
			at += weekSeconds
		}
		return at - from, at > from
	}
	p.load = func(at int64) float64 {
		if age, on := since(at); on {
			return usual(at) * (1 + (height-1)*math.Min(1, float64(age)/150))
		}
		return usual(at)
	}
	overloaded := map[*service]strain{}
	for range 1 + p.IntN(3) {
		overloaded[p.someService(nil)] = strain{errors: p.between(0.05, 0.5), slow: p.between(1, 8)}
	}
	hits := func(i *pod) bool { _, is := overloaded[i.service]; return is }
	begin := from
	if weekly {
		begin -= weekSeconds
		p.weekly = true
	}
	p.trouble(begin, hits, func(i *pod, at int64) strain {
		s := overloaded[i.service]
		age, on := since(at)
		if !on {
			return strain{}
		}
		s.scale(math.Min(1, float64(age)/90))
		return s
	})
}

// addDistractions announces changes that do no harm.
func (p *plan) addDistractions() {
	lately := func() int64 { return p.detected - p.seconds(-30, 1800) }
	for range p.poisson(0.35) {
		p.flag(lately(), p.someService(nil))
	}
	for range p.poisson(0.35) {
		p.configuration(lately(), p.someService(nil))
	}
	if p.chance(0.25) {
		p.change("infrastructure", lately(), "Replace "+p.names.word(), "")
	}
	if p.chance(0.15) {
		p.provider(lately(), p.names.once(p.names.word))
	}
	p.weekly = p.weekly || p.chance(0.1)
}

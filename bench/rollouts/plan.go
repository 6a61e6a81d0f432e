package rollouts

import (
	"math"

	"github.com/whencehq/whence/processors/correlate"
)

// plan is everything that is going to happen in a case. Times are in seconds.
type plan struct {
	*fleet
	options       Options
	environment   string
	first, scrape int64 // scrapes: the first, and the last before the detection
	detected, cut int64
	onset         int64 // of what goes wrong
	incident      *service
	rollouts      []*rollout
	notices       []notice
	troubles      []trouble
	load          func(at int64) float64
	truth         Truth
	weekly        bool // measurements of a week before are there as well
}

// notice is a fact other than those of deployments and the incident.
type notice struct {
	at            int64
	typ, id, from string
	data          says
}

const weekSeconds = 7 * 24 * 3600

// newPlan plans a case, again and again until somebody would have noticed. One
// in twenty is what nobody can see in the measurements, as happens.
func newPlan(d dice, environment string, o Options) *plan {
	faint := d.chance(0.05)
	for try := 0; ; try++ {
		p := &plan{fleet: newFleet(newWorld(d, o.Services)), options: o, environment: environment}
		p.times()
		p.incident = p.services[0]
		p.load = p.usualLoad()
		p.truth = Truth{Kind: correlate.None, Fault: string(o.Fault)}
		if o.Fault.ofDeployment() {
			p.blameDeployments()
		} else {
			p.populate()
			p.blameOther()
		}
		p.distract()
		share := p.visible()
		if o.Fault == FalseAlarm || try == 20 || faint && share < visibly || !faint && d.chance(noticed(share)) {
			p.detect()
			return p
		}
	}
}

// times sets when the case is: a scrape mostly is what detects.
func (p *plan) times() {
	p.detected = 1_704_067_200 + p.Int64N(2*365*24*3600)
	p.scrape = p.detected - p.seconds(0, 1)
	if p.chance(0.35) {
		p.scrape = p.detected - p.seconds(2, 59)
	}
	p.first = p.scrape - 60*p.seconds(18, 23)
	p.cut = p.detected + 60*int64(p.options.Minutes) + p.seconds(4, 6)
	p.onset = p.scrape - p.seconds(18, 60) - p.lag
	if p.chance(0.3) {
		p.onset -= p.seconds(0, 170)
	}
}

func (p *plan) usualLoad() func(int64) float64 {
	swing, phase := p.between(0, 0.15), p.Float64()
	return func(at int64) float64 { return 1 + swing*math.Sin(2*math.Pi*(phase+float64(at)/3600)) }
}

// someService draws one that enough requests reach, rarely that of the users.
func (p *plan) someService(fits func(*service) bool) *service {
	for range 50 {
		s := pick(p.dice, p.services)
		if s.usual >= 3 && (s.index > 0 || p.chance(0.1)) && (fits == nil || fits(s)) {
			return s
		}
	}
	return p.services[1]
}

// blameDeployments makes one new version faulty, or two.
func (p *plan) blameDeployments() {
	s := p.someService(p.options.Fault.fits)
	s.unlabelled = p.options.Withheld == EventsAndMore
	p.populate()
	r := p.faulty(s, p.options.Fault)
	p.truth = p.blamed(r, p.options.Fault)
	if !p.options.Two {
		return
	}
	other := p.someService(func(o *service) bool { return o != s })
	if other == s {
		return
	}
	fault := pick(p.dice, OfDeployments)
	p.truth.Also = append(p.truth.Also, p.blamed(p.faulty(other, fault), fault))
}

func (p *plan) blamed(r *rollout, f Fault) Truth {
	if p.options.Withheld != Nothing {
		r.withheld = true
		return Truth{Kind: correlate.Undeclared, ID: r.service.name, Service: r.service.name, Fault: string(f)}
	}
	return Truth{Kind: correlate.Deployment, ID: r.id, Service: r.service.name, Fault: string(f)}
}

// faulty rolls out a new version that has a fault.
func (p *plan) faulty(s *service, f Fault) *rollout {
	r := p.roll(p.environment, s, p.onset+p.lag)
	p.rollouts = append(p.rollouts, r)
	p.harm(r, f)
	if p.chance(0.15) {
		p.abort(r, p.detected+p.seconds(60, 200))
	}
	return r
}

// distract adds what is innocent: other rollouts, flags, configuration.
func (p *plan) distract() {
	taken := map[*service]bool{}
	for _, r := range p.rollouts {
		taken[r.service] = true
	}
	for range p.drawRollouts() {
		if s := p.someService(nil); !taken[s] {
			taken[s] = true
			p.rollouts = append(p.rollouts, p.innocent(s))
		}
	}
	p.addDistractions()
}

// drawRollouts is how many innocent ones there are.
func (p *plan) drawRollouts() int {
	n := 3 + p.IntN(4)
	if p.options.Services > 60 {
		n = p.IntN(12)
	}
	if len(p.rollouts) == 0 && p.chance(0.2) {
		n = p.IntN(2)
	}
	return n
}

func (p *plan) innocent(s *service) *rollout {
	first := p.detected - p.seconds(-60*int64(p.options.Minutes), 420)
	if p.chance(0.12) {
		first = p.detected - p.seconds(900, 7200)
	}
	r := p.roll(p.environment, s, first)
	if first < p.detected-600 || p.chance(0.25) {
		p.proceed(r, p.cut)
	}
	if r.finished == 0 && p.chance(0.05) {
		p.abort(r, r.stages[len(r.stages)-1].at+p.seconds(60, 240))
	}
	if p.chance(0.05) { // connections that are cut when an instance goes
		brief, share := r.stages[0].at+30, p.between(0.01, 0.06)
		p.troubles = append(p.troubles, trouble{from: first - p.lag, hits: func(i *pod) bool { return i.service == s },
			strain: func(_ *pod, at int64) strain {
				if at-60 > brief {
					return strain{}
				}
				return strain{errors: share}
			}})
	}
	return r
}

// visibly is the least share of failures that stands out.
const visibly = 0.03

// noticed is the chance that somebody is told of that share of failures.
func noticed(share float64) float64 {
	if share < visibly {
		return 0
	}
	return math.Min(1, 1.8*share)
}

// visible is the greatest share of failures that any edge shows in the minute
// of the detection, beyond what always fails.
func (p *plan) visible() float64 {
	f := newFlow(p.world, p.troubles, p.load)
	f.minute(p.scrape + 15)
	most := 0.0
	for i, o := range f.edges {
		if o.rate >= 1 {
			most = max(most, o.source-p.edges[i].noise, o.target-p.edges[i].noise)
		}
	}
	return most
}

// detect says of which service the incident is: mostly the users', else one on
// the way from there to the fault.
func (p *plan) detect() {
	if p.truth.Service == "" || p.chance(0.8) {
		return
	}
	for _, s := range p.services {
		if s.name == p.truth.Service {
			p.incident = pick(p.dice, p.callersOf(s))
		}
	}
}

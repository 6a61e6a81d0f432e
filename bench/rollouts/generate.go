package rollouts

import (
	"fmt"
	"slices"
)

// Generate makes a case, the same for the same seed and options.
func Generate(seed uint64, opts Options) Case {
	opts = opts.orDefaults()
	name := fmt.Sprintf("env-%016x", seed)
	p := newPlan(newDice(seed), name, opts)
	w := newWriter(name, p.rows())
	p.tell(w)
	p.measure(w)
	lines := w.sorted()
	return Case{Name: name, Lines: lines, Truth: p.truth}
}

// tell writes the facts that were known by the cut.
func (p *plan) tell(w *writer) {
	p.tellCatalog(w)
	for _, r := range p.rollouts {
		if !r.withheld {
			p.tellRollout(w, r)
		}
	}
	for _, n := range p.notices {
		if n.at <= p.cut {
			w.fact(n.at, n.typ, fmt.Sprintf("%s/%s/%d", n.from, n.id, n.at), n.from, n.id, n.data)
		}
	}
	data := says{
		"incident_id": p.environment + "/incident", "service": p.incident.name,
		"severity": pick(p.dice, []string{"critical", "critical", "high"}), "title": "error budget burning",
		"detected_at": string(w.time(p.detected)),
	}
	if p.chance(0.15) {
		data["started_at"] = string(w.time(min(p.detected, p.onset+60)))
	}
	w.fact(p.detected, "incident.opened", "incident/opened", "pager", p.incident.name, data)
}

// tellCatalog declares services and what they call. Some catalogs are behind,
// and some organisations have none.
func (p *plan) tellCatalog(w *writer) {
	if p.chance(0.04) {
		return
	}
	at, behind := p.first-p.seconds(60, 300), 0.0
	if p.chance(0.15) {
		behind = 0.2
	}
	declare := func(name string, calls []string) {
		slices.Sort(calls)
		w.fact(at, "service.declared", "service/"+name, "catalog", name, says{"service": name, "depends_on": calls})
	}
	for _, a := range p.addresses {
		declare(a, []string{})
	}
	for _, s := range p.services {
		calls := []string{}
		for _, a := range s.addresses {
			calls = append(calls, p.addresses[a])
		}
		for _, e := range s.out {
			if !p.chance(behind) {
				calls = append(calls, p.services[e.to].name)
			}
		}
		declare(s.name, calls)
	}
}

func (p *plan) tellRollout(w *writer, r *rollout) {
	tell := func(at int64, stage, id string, more says) {
		if at > p.cut {
			return
		}
		more["deployment_id"], more["service"], more["strategy"] = r.id, r.service.name, "rolling"
		more["version"], more["previous_version"] = r.version, r.previous
		w.fact(at, "deployment."+stage, r.id+"/"+id, "deployer", r.service.name, more)
	}
	tell(r.started, "started", "started", says{"replicas": r.service.replicas})
	for i, s := range r.stages {
		tell(s.at, "progressed", fmt.Sprintf("stage-%d", i+1), s.says())
	}
	if r.finished != 0 {
		tell(r.finished, "finished", "finished", says{"outcome": r.outcome})
	}
}

func (s stage) says() says {
	data := says{}
	if s.percent >= 0 {
		data["percent"] = s.percent
	}
	if s.phase != "" {
		data["phase"] = s.phase
	}
	if len(s.added) > 0 {
		data["instances_added"] = namesOf(s.added)
	}
	if len(s.removed) > 0 {
		data["instances_removed"] = namesOf(s.removed)
	}
	return data
}

func namesOf(pods []*pod) []string {
	var names []string
	for _, p := range pods {
		names = append(names, p.name)
	}
	return names
}

// measure writes the rows, a minute after the other, until the cut.
func (p *plan) measure(w *writer) {
	p.addGhosts()
	s := newScraper(newFlow(p.world, p.troubles, p.load), w, p.dice, p.options)
	s.until = p.cut
	s.addGaps(p.first, p.cut)
	if p.weekly {
		s.only = p.incident
		for at := p.first - weekSeconds; at <= p.cut-weekSeconds; at += 60 {
			s.scrape(at)
		}
		s.only = nil
	}
	for at := p.first; at <= p.cut; at += 60 {
		s.scrape(at)
	}
}

// addGhosts has an instance or two be seen at one scrape only, which happens to
// those that are about to go.
func (p *plan) addGhosts() {
	for p.chance(0.3) {
		s := p.services[p.IntN(len(p.services))]
		at := p.first + 60*p.seconds(0, (p.scrape-p.first)/60)
		i := p.addPod(s, s.version, at-3)
		i.reports, i.gone = at, at
	}
}

// rows is about how many there will be.
func (p *plan) rows() int {
	series := 2 * len(p.edges)
	for _, s := range p.services {
		series += len(s.pods) * (len(s.in) + len(s.out))
	}
	return series * int((p.cut-p.first)/60+1)
}

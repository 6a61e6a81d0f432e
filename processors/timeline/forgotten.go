package timeline

import (
	"hash/maphash"
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// forgotten is what a timeline still knows of what it has let go of: enough to
// see that a fact or an observation needs it again. A key for nothing costs a
// question and changes no answer, so none is ever taken back.
type forgotten struct {
	on     bool // something will be let go of
	seed   maphash.Seed
	keys   filter
	recent []recent // not to be let go of yet, in the order of revisions
	sweeps uint64
}

// recent is a fact folded since Journal, with its revision.
type recent struct {
	revision uint64
	fact     *fact
}

// keyKind says by what a thing is known.
type keyKind byte

const (
	keyFact       keyKind = iota // source, id
	keyDeployment                // id
	keyIncident                  // id
	keyChange                    // a revision that a change brings
	keyCarrier                   // a revision that a deployment carries
	keyVersion                   // service, environment, version's key: what serves it is not known whole
	keyInstance                  // service, environment, instance: likewise
	keyService                   // name, of a service as a whole
)

type key struct {
	kind    keyKind
	a, b, c string
}

func (g *forgotten) digest(k key) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	_ = h.WriteByte(byte(k.kind))
	for _, s := range [...]string{k.a, k.b, k.c} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

func (g *forgotten) add(k key)      { g.keys.add(g.digest(k)) }
func (g *forgotten) has(k key) bool { return !g.keys.empty() && g.keys.has(g.digest(k)) }

// notYet keeps a fact that was just folded, nil for none, from being let go of
// until its revision is closed.
func (g *forgotten) notYet(f *fact, revision uint64) {
	if g.on && f != nil {
		g.recent = append(g.recent, recent{revision, f})
	}
}

// closed drops what was recent up to a revision.
func (g *forgotten) closed(revision uint64) {
	g.recent = slices.DeleteFunc(g.recent, func(r recent) bool { return r.revision <= revision })
}

// lacking gathers what has to be fetched before facts are folded or
// observations answered, each thing once.
type lacking struct {
	timeline *Timeline
	missing  event.Missing // what was not handed out by next yet
	services []*service
	asked    map[key]struct{}
}

func (l *lacking) once(k key) bool {
	if _, known := l.asked[k]; known {
		return false
	}
	if l.asked == nil {
		l.asked = map[key]struct{}{}
	}
	l.asked[k] = struct{}{}
	return true
}

// next is what is missing and was not asked for yet.
func (l *lacking) next() event.Missing {
	m := l.missing
	l.missing = event.Missing{}
	return m
}

// service asks for all that was let go of sv.
func (l *lacking) service(sv *service) {
	if sv == nil || !sv.partial || !l.once(key{kind: keyService, a: sv.name}) {
		return
	}
	l.services = append(l.services, sv)
	l.missing.Services = append(l.missing.Services, l.timeline.stated(sv)...)
}

func (l *lacking) add(kind keyKind, id string, to *[]string) {
	if k := (key{kind: kind, a: id}); l.timeline.forgotten.has(k) && l.once(k) {
		*to = append(*to, id)
	}
}

func (l *lacking) changes(revision string) {
	if r := l.timeline.revisions[revision]; r == nil || !r.allChanges {
		l.add(keyChange, revision, &l.missing.Changes)
	}
}

func (l *lacking) carriers(revision string) {
	if r := l.timeline.revisions[revision]; r == nil || !r.allCarriers {
		l.add(keyCarrier, revision, &l.missing.Carriers)
	}
}

// fetched: all that was asked for is in memory.
func (l *lacking) fetched() {
	for _, sv := range l.services {
		sv.partial, sv.fetched = false, true
		for _, sc := range sv.scopes {
			sc.partial = false
		}
	}
	for k := range l.asked {
		switch r := l.timeline.revisions[k.a]; {
		case r == nil:
		case k.kind == keyChange:
			r.allChanges = true
		case k.kind == keyCarrier:
			r.allCarriers = true
		}
	}
}

// identity asks for the facts of a source and id.
func (l *lacking) identity(source, id string) {
	if k := (key{kind: keyFact, a: source, b: id}); l.timeline.forgotten.has(k) && l.once(k) {
		l.missing.Facts = append(l.missing.Facts, event.FactID{Source: source, ID: id})
	}
}

// lacksFacts is what folding facts needs that is not in memory, nil for nothing.
func (t *Timeline) lacksFacts(facts []event.Fact) *lacking {
	if t.forgotten.keys.empty() {
		return nil
	}
	l := &lacking{timeline: t}
	for i := range facts {
		if readable(&facts[i]) {
			l.fact(&facts[i])
		}
	}
	if l.missing.Empty() {
		return nil
	}
	return l
}

func (l *lacking) fact(e *event.Fact) {
	ledger := &l.timeline.ledger
	if known := ledger.find(ledger.digest(e.Source, e.ID), e.Source, e.ID, e.Type); known == nil {
		l.identity(e.Source, e.ID)
	} else {
		if e.Hash <= known.hash {
			return // the same again, or what counts for nothing
		}
		l.turn(known)
	}
	l.statement(e)
}

// statement is for what e says.
func (l *lacking) statement(e *event.Fact) {
	t := l.timeline
	switch p := e.Payload.(type) {
	case *event.Deployment:
		d := t.deployments[p.DeploymentID]
		if d == nil {
			l.add(keyDeployment, p.DeploymentID, &l.missing.Deployments)
		}
		l.deployment(d, e.Time, t.names[p.Service])
		for _, r := range p.Revisions {
			l.changes(r)
		}
	case *event.Incident:
		if t.incidents[p.IncidentID] == nil {
			l.add(keyIncident, p.IncidentID, &l.missing.Incidents)
		}
	case *event.Change:
		l.carriers(p.Revision)
		for _, r := range p.Commits {
			l.carriers(r)
		}
	case *event.Finding:
		l.carriers(p.RevisionIntroduced)
		l.finding(t.findings[p.FindingID])
	case *event.Scan:
		for i := range p.Findings {
			l.carriers(p.Findings[i].RevisionIntroduced)
			l.finding(t.findings[p.Findings[i].FindingID])
		}
	case *event.Declaration:
		for _, a := range p.Aliases {
			l.meaning(t.names[a], t.names[p.Service])
		}
	case *event.Identity:
		if p.Kind == "service" {
			l.meaning(t.names[p.Alias], t.names[p.Canonical])
		}
	case *event.Retraction:
		l.unsaying(target{p.Source, p.ID})
	}
}

// deployment is for d, nil if it is new, at whose beginning or at another time
// something changes; one of its facts states the name, nil for none. What began
// in the time that is known whole has no part in the time before.
func (l *lacking) deployment(d *deployment, at event.Millis, stated *name) {
	var of []*service
	if stated != nil {
		of = append(of, stated.service)
	}
	if d != nil && len(d.facts) > 0 {
		at = min(at, d.facts[0].time)
		for _, f := range d.facts {
			if n := f.says.(*stage).service; n != nil {
				of = append(of, n.service)
			}
		}
	}
	for _, sv := range of {
		if sv != nil && at < sv.since {
			l.service(sv)
		}
	}
}

// finding is for f, nil if it is new, whose last word on its revision may become
// another.
func (l *lacking) finding(f *finding) {
	if f == nil {
		return
	}
	for _, said := range f.said {
		if r := said.says.revision; r != nil {
			l.carriers(r.name)
		}
	}
}

// meaning is for an alias that gets one more word. Either may be nil: a name that
// nobody has said has no past.
func (l *lacking) meaning(alias, canonical *name) {
	if alias == nil || alias == canonical {
		return
	}
	if canonical != nil {
		if alias.meaning == canonical {
			return // the last word on it says so already, and will
		}
		l.service(canonical.service)
	}
	l.moving(alias)
}

// moving is for an alias that gets another meaning of those that it ever had.
func (l *lacking) moving(alias *name) {
	l.service(alias.service)
	for _, w := range alias.words {
		l.service(w.meaning.service)
	}
}

// unsaying is for all that a retraction of that target turns round: facts, and
// the targets of retractions, and so on.
func (l *lacking) unsaying(named target) {
	if !l.once(key{keyFact, named.source, named.id, "unsaid"}) {
		return
	}
	l.identity(named.source, named.id)
	l.timeline.ledger.named(named.source, named.id, l.turn)
}

// turn is for a fact in memory that counts from now on, or no more.
func (l *lacking) turn(f *fact) {
	switch s := f.says.(type) {
	case *stage:
		l.deployment(s.deployment, f.time, s.service)
		if s.carried != nil {
			for _, r := range s.carried.revisions {
				l.changes(r.name)
			}
		}
	case *change:
		for _, r := range s.revisions {
			l.carriers(r.name)
		}
	case *findingStage:
		l.finding(s.finding)
		if s.revision != nil {
			l.carriers(s.revision.name)
		}
	case *scanPart:
		for _, listed := range s.lists {
			l.finding(listed.finding)
			if listed.revision != nil {
				l.carriers(listed.revision.name)
			}
		}
	case *declaration:
		for _, a := range s.aliases {
			l.moving(a)
			l.service(s.service.service)
		}
	case *identity:
		l.moving(s.alias)
		l.service(s.canonical.service)
	case *retraction:
		l.unsaying(s.target)
	}
}

// further is what facts that were fetched need themselves: a deployment stands
// among all others of its service, and lists the changes that it carries.
func (l *lacking) further(facts []event.Fact) {
	for i := range facts {
		d, ok := facts[i].Payload.(*event.Deployment)
		if !ok {
			continue
		}
		if n := l.timeline.names[d.Service]; n != nil {
			l.service(n.service)
		}
		for _, r := range d.Revisions {
			l.changes(r)
		}
	}
}

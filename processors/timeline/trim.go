package timeline

import (
	"maps"

	"github.com/whencehq/whence/schemas/event"
)

// trim lets go of the deployments, incidents and changes that no answer from a
// moment on needs, and returns how many facts that was. What is left answers as
// before from that moment on, but for the versions and instances that forgotten
// has a key of; what it answers for the time before is worth nothing, and the
// services concerned are marked as partial.
//
// Everything else stays whole: findings, flags, declarations, names and
// retractions are few, and hold for ever or read each other.
type trim struct {
	*Timeline
	from     event.Millis // of this moment on nothing may change
	busy     map[entity]bool
	fresh    map[*fact]bool
	thinner  map[*scope]bool // deployments left it
	anchors  map[*scope]anchor
	orphaned []*revision // of facts let go of
}

// trim: see the type. What is busy stays, and so does what was folded since
// Journal and is not closed.
func (t *Timeline) trim(from event.Millis, busy ...entity) (facts int) {
	tr := trim{
		Timeline: t, from: from, busy: map[entity]bool{}, fresh: map[*fact]bool{},
		thinner: map[*scope]bool{}, anchors: map[*scope]anchor{},
	}
	for _, e := range busy {
		tr.busy[e] = true
	}
	for _, r := range t.forgotten.recent {
		tr.fresh[r.fact] = true
		switch s := r.fact.says.(type) {
		case *stage:
			tr.busy[s.deployment] = true
		case *incidentStage:
			tr.busy[s.incident] = true
		}
	}
	for _, d := range t.deployments {
		if tr.letsGo(d) {
			tr.dropDeployment(d)
		}
	}
	for _, i := range t.incidents {
		if tr.isOver(i) {
			tr.dropIncident(i)
		}
	}
	for _, n := range t.names {
		if n.own != nil {
			tr.doubtWords(n.own)
			n.own.fetched = false
		}
	}
	for sc := range tr.thinner {
		sc.compact()
	}
	return tr.sweep()
}

// compact gives back the room of what was let go of.
func (sc *scope) compact() {
	sc.started.compact()
	sc.completed.compact()
	sc.boundaries.compact()
	sc.versions, sc.instances = copied(sc.versions), copied(sc.instances)
}

// anchor is what the answers of a scope rest on.
type anchor struct {
	// previous was completed before any deployment began that may be the one
	// completed last from tr.from on, and never fails: what was completed before
	// it is nobody's previous version and is never completed last.
	previous span[*deployment]
	known    bool // there is one
}

func (tr *trim) anchor(sc *scope) anchor {
	if known, ok := tr.anchors[sc]; ok {
		return known
	}
	var a anchor
	if last := sc.completed.lasting(tr.from); last != nil {
		began := last.of.start.time
		for r := range sc.completed.since(last.from) {
			began = min(began, r.of.(*deployment).start.time)
		}
		if s := sc.completed.lasting(began - 1); s != nil {
			a.previous, a.known = *s, true
		}
	}
	tr.anchors[sc] = a
	return a
}

// lasting returns the span that began last of those that begin at or before t
// and never end, or nil.
func (l *spans[T]) lasting(t event.Millis) *span[T] {
	for i := l.begun(t) - 1; i >= 0; i-- {
		b := &l.blocks[i]
		if b.latest != forever {
			continue
		}
		for j := b.begun(t) - 1; j >= 0; j-- {
			if b.spans[j].to == forever {
				return &b.spans[j]
			}
		}
	}
	return nil
}

// letsGo: a deployment that is over and is nobody's previous version. A finding
// reads when the deployments of its revision were completed, however long ago.
func (tr *trim) letsGo(d *deployment) bool {
	if tr.busy[d] || len(d.facts) == 0 || !d.placed {
		return false
	}
	for _, r := range d.revisions() {
		if len(r.findings) > 0 {
			return false
		}
	}
	if d.scope == nil {
		return d.facts[len(d.facts)-1].time <= tr.from
	}
	if d.end > tr.from || d.scope.service.fetched {
		return false
	}
	a := tr.anchor(d.scope)
	if d.completed == nil {
		return true
	}
	s := d.running()
	return a.known && s.before(&a.previous)
}

func (tr *trim) dropDeployment(d *deployment) {
	d.remove(tr.Timeline)
	d.gone = true
	delete(tr.deployments, d.id)
	tr.forgotten.add(key{kind: keyDeployment, a: d.id})
	if d.scope != nil {
		d.scope.partial = true
		tr.thinner[d.scope] = true
		tr.part(d.scope.service)
		tr.doubt(d)
	}
}

func (tr *trim) part(sv *service) {
	if !sv.partial || sv.since < tr.from {
		sv.partial, sv.since = true, tr.from
	}
}

// doubt: what serves the words of d is not known any more.
func (tr *trim) doubt(d *deployment) {
	sc := d.scope
	if d.version != 0 {
		tr.forgotten.add(key{keyVersion, sc.service.name, sc.environment.name, event.VersionKey(tr.versions.word(d.version))})
	}
	for _, i := range d.instances() {
		tr.forgotten.add(key{keyInstance, sc.service.name, sc.environment.name, i})
	}
}

// doubtWords is for the deployments that stay and whose previous version may be
// one that was let go of.
func (tr *trim) doubtWords(sv *service) {
	for _, sc := range sv.scopes {
		if !sc.partial {
			continue
		}
		a := tr.anchor(sc)
		sc.started.all(func(d *deployment) {
			if d.previous == 0 && (!a.known || d.start.time <= a.previous.from) {
				tr.doubt(d)
			}
		})
	}
}

// isOver: an incident that is open no more. It reads nothing but itself.
func (tr *trim) isOver(i *incident) bool {
	if tr.busy[i] || len(i.facts) == 0 || !i.placed || i.facts[len(i.facts)-1].time > tr.from {
		return false
	}
	for _, e := range i.open {
		if e.to > tr.from {
			return false
		}
	}
	for _, sc := range i.scopes {
		if sc.service.fetched {
			return false
		}
	}
	return true
}

func (tr *trim) dropIncident(i *incident) {
	i.remove(tr.Timeline)
	i.gone = true
	delete(tr.incidents, i.id)
	tr.forgotten.add(key{kind: keyIncident, a: i.id})
	for _, sc := range i.scopes {
		tr.part(sc.service)
	}
}

// sweep lets go of the facts of what was dropped, and of what these were the
// last to speak of.
func (tr *trim) sweep() (facts int) {
	before := tr.ledger.facts
	tr.forgotten.sweeps++
	tr.ledger.all(tr.carry)
	tr.ledger.sweep(tr.drops)
	tr.ledger.all(tr.name)
	for _, r := range tr.orphaned {
		if r.named != tr.forgotten.sweeps && tr.revisions[r.name] == r {
			delete(tr.revisions, r.name)
		}
	}
	tr.keepVersions()
	if tr.ledger.facts < before/2 {
		tr.deployments, tr.incidents, tr.revisions = copied(tr.deployments), copied(tr.incidents), copied(tr.revisions)
	}
	return before - tr.ledger.facts
}

// copied is m without the room that it has from when it was larger.
func copied[V any](m map[string]V) map[string]V {
	smaller := make(map[string]V, len(m))
	maps.Copy(smaller, m)
	return smaller
}

// carry marks the revisions that deployments in memory carry: their changes stay.
func (tr *trim) carry(f *fact) {
	if s, ok := f.says.(*stage); ok && s.carried != nil && !s.deployment.gone {
		for _, r := range s.carried.revisions {
			r.carried = tr.forgotten.sweeps
		}
	}
}

// drops tells whether f goes, and takes down what it is known by from then on.
func (tr *trim) drops(f *fact) bool {
	var revisions []*revision
	switch s := f.says.(type) {
	case *stage:
		if !s.deployment.gone {
			return false
		}
		if s.carried != nil {
			revisions = s.carried.revisions
			for _, r := range revisions {
				tr.forgotten.add(key{kind: keyCarrier, a: r.name})
				r.allCarriers = false
			}
		}
	case *incidentStage:
		if !s.incident.gone {
			return false
		}
	case *change:
		if tr.fresh[f] || !tr.carriedByNone(s, f.time) {
			return false
		}
		revisions = s.revisions
		for _, r := range revisions {
			tr.forgotten.add(key{kind: keyChange, a: r.name})
			r.allChanges = false
			if !f.unsaid {
				r.changes = without(r.changes, s)
			}
		}
	default:
		return false
	}
	tr.orphaned = append(tr.orphaned, revisions...)
	tr.forgotten.add(key{kind: keyFact, a: f.origin.source, b: f.id})
	return true
}

// carriedByNone: no deployment in memory lists the change, and it is no new one
// that is about to be deployed.
func (tr *trim) carriedByNone(c *change, at event.Millis) bool {
	if at > tr.from {
		return false
	}
	for _, r := range c.revisions {
		if r.carried == tr.forgotten.sweeps {
			return false
		}
	}
	return true
}

// name marks the revisions that facts in memory speak of.
func (tr *trim) name(f *fact) {
	switch s := f.says.(type) {
	case *stage:
		if s.carried != nil {
			tr.named(s.carried.revisions)
		}
	case *change:
		tr.named(s.revisions)
	case *findingStage:
		tr.introduces(s)
	case *scanPart:
		for _, listed := range s.lists {
			tr.introduces(listed)
		}
	}
}

func (tr *trim) introduces(s *findingStage) {
	if s.revision != nil {
		s.revision.named = tr.forgotten.sweeps
	}
}

func (tr *trim) named(revisions []*revision) {
	for _, r := range revisions {
		r.named = tr.forgotten.sweeps
	}
}

// keepVersions numbers the versions of deployments anew: those that stay.
func (tr *trim) keepVersions() {
	kept := newTexts()
	again := func(v *text) { *v = kept.intern(tr.versions.word(*v)) }
	tr.ledger.all(func(f *fact) {
		if s, ok := f.says.(*stage); ok {
			again(&s.version)
			again(&s.previous)
		}
	})
	for _, d := range tr.deployments {
		again(&d.version)
		again(&d.previous)
	}
	tr.versions = kept
}

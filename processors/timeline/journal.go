package timeline

import (
	"cmp"
	"iter"
	"slices"
	"sort"

	"github.com/whencehq/whence/schemas/event"
)

// journal notes which answers the facts folded since may have changed: what
// reconcile has to look at. It holds a superset, and a tight one: a fact that
// comes on time marks nothing before its own time.
//
// It is kept fact by fact: rows are written by other workers too, whose timelines
// pass through states that facts folded together would hide from this one (an
// incident that is opened and moved in one batch leaves a trace where somebody
// has answered in between).
//
// An entity's claims are taken down before its first change (note) and compared
// with those afterwards. An answer at t is a function of the claims that cover
// t, so the differences cover every answer that has changed. Two things are then
// added or taken off:
//
//   - A claim that is hidden, before and after, by a later one that has not
//     changed marks nothing (visible): a late deployment between two others
//     marks the time up to the next, not the time up to now.
//   - What a deployment gives as its previous version is read of another
//     (markPrevious), which is no claim of its own.
type journal struct {
	on     bool
	before map[entity][]held // the claims of what the batch under way has changed
	names  []*name           // that the batch under way has given another service
	marks  []mark
}

// mark is observations whose answers facts of the revisions oldest to newest
// may have changed.
type mark struct {
	area
	name           *name // not nil: those of this name alone, whatever service it means
	from, to       event.Millis
	oldest, newest uint64
}

const (
	// marksKept bounds the journal; beyond it the marks of a service in an
	// environment are joined into one.
	marksKept = 100_000
	// regionsKept bounds how much is asked for at once: of more, those of a
	// service in an environment that lie nearby are joined into one, because to
	// look at the rows between them costs less than thousands of conditions.
	regionsKept = 256
	nearby      = 24 * 60 * 60 * 1000
	// fewSteps bounds how far is looked for a neighbour that has not changed:
	// when thousands change at once, most neighbours have changed too.
	fewSteps = 64
	// manyChanges of one fact are marked by the scope.
	manyChanges = 64
)

// Journal begins to note what facts change: those applied before are taken as
// known to every row.
func (t *Timeline) Journal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.journal.on = true
}

// Pending returns the observations whose answers facts up to a revision may
// have changed, without what Forget was told of. None: those facts, if any,
// concern nothing before their own time.
func (t *Timeline) Pending(upTo uint64) []event.Region {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var due []mark
	for _, m := range t.journal.marks {
		// A name that means another service by now is in nobody's names any
		// more, so what an earlier fact has marked of it is found by this alone.
		if m.oldest <= upTo || m.name != nil {
			due = append(due, m)
		}
	}
	if due = joined(due, 0); len(due) > regionsKept {
		due = joined(due, nearby)
	}
	return t.regions(due)
}

// Forget drops what is noted of facts up to a revision: every row knows them.
func (t *Timeline) Forget(upTo uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.journal.marks = slices.DeleteFunc(t.journal.marks, func(m mark) bool { return m.newest <= upTo })
}

// note takes e's claims down before they change.
func (t *Timeline) note(e entity) {
	if !t.journal.on || t.noted(e) {
		return
	}
	if t.journal.before == nil {
		t.journal.before = map[entity][]held{}
	}
	var claims []held
	if e.state().placed {
		claims = e.claims(t)
	}
	t.journal.before[e] = claims
}

func (t *Timeline) noted(e entity) bool {
	_, known := t.journal.before[e]
	return known
}

// noteName marks all rows of a name that gets another service than its own, or
// had one: their canonical service is another now, whatever their time.
func (t *Timeline) noteName(n *name, s *service) {
	if t.journal.on && (n.service != nil || s.name != n.text) {
		t.journal.names = append(t.journal.names, n)
	}
}

// closeBatch turns what was noted into marks of a revision.
func (t *Timeline) closeBatch(revision uint64) {
	j := &t.journal
	for _, n := range j.names {
		j.marks = append(j.marks, mark{name: n, from: -forever, to: forever, oldest: revision, newest: revision})
	}
	if len(j.before) > manyChanges {
		t.markCoarsely(revision)
	} else {
		for e, before := range j.before {
			for _, h := range changed(before, e.claims(t)) {
				t.mark(h, revision)
			}
		}
	}
	clear(j.before)
	j.names = j.names[:0]
	if len(j.marks) > marksKept {
		j.marks = joined(j.marks, forever)
	}
}

// markCoarsely makes one mark of all that has changed in a scope: an alias may
// move twenty thousand deployments at once, and neighbours that have not
// changed are few then. Who reads its previous version of another began after
// it, hence no end where a completion has changed.
func (t *Timeline) markCoarsely(revision uint64) {
	hulls := map[area]mark{}
	for e, before := range t.journal.before {
		for _, h := range changed(before, e.claims(t)) {
			where := area{service: h.service, environment: h.environment}
			if h.kind == claimCompleted {
				h.to = forever
			}
			m, known := hulls[where]
			if !known {
				m = mark{area: where, from: h.from, to: h.to, oldest: revision, newest: revision}
			}
			m.from, m.to = min(m.from, h.from), max(m.to, h.to)
			hulls[where] = m
		}
	}
	for _, m := range hulls {
		t.journal.marks = append(t.journal.marks, m)
	}
}

func (t *Timeline) mark(h held, revision uint64) {
	for _, v := range t.visible(h) {
		t.journal.add(v.area, v.from, v.to, revision)
		if v.kind == claimCompleted {
			t.markPrevious(v, revision)
		}
	}
}

func (j *journal) add(a area, from, to event.Millis, revision uint64) {
	j.marks = append(j.marks, mark{area: a, from: from, to: to, oldest: revision, newest: revision})
}

// markPrevious marks the rows of the deployments that name, as their previous
// version, what ran just before their start, where that start lies in v.
func (t *Timeline) markPrevious(v held, revision uint64) {
	steps := 0
	for r := range v.scope().started.since(v.from + 1) {
		if r.from > v.to {
			return
		}
		if steps++; steps > fewSteps {
			t.journal.add(area{service: v.service, environment: v.environment}, v.from, forever, revision)
			return
		}
		d := r.of.(*deployment)
		if d.previous != 0 {
			continue
		}
		for _, h := range d.claims(t) {
			if h.kind != claimCompleted && h.kind != claimVersion && h.kind != claimInstance {
				continue
			}
			for _, h := range t.visible(h) {
				t.journal.add(h.area, h.from, h.to, revision)
			}
		}
	}
}

// visible is h without the times at which it is hidden, before the batch and
// after it, by a later rival that the batch has left as it was.
func (t *Timeline) visible(h held) []held {
	switch h.kind {
	case claimCompleted:
		return t.unhidden(h, h.scope().completed.since(h.order+1))
	case claimVersion:
		return t.unhidden(h, h.scope().versions.since(h.version, h.order+1))
	case claimFlag:
		changes := h.environment.flags
		if h.service != nil {
			changes = h.scope().flags
		}
		if list := changes[h.word]; list != nil {
			return t.unhidden(h, list.since(h.order+1))
		}
	case claimOwner, claimTier:
		return t.unhidden(h, h.declarations().since(h.order+1))
	case claimFirstOwner, claimFirstTier:
		// Only the first declaration speaks of the time before it.
		if first := h.declarations().first(); first != nil && first.from < h.order && !t.noted(first.of) {
			return nil
		}
	}
	return []held{h}
}

func (t *Timeline) unhidden(h held, rivals iter.Seq[rival]) (left []held) {
	steps := 0
	for r := range rivals {
		if steps++; r.from >= h.to || steps > fewSteps {
			break
		}
		if t.noted(r.of) {
			continue
		}
		if h.from < r.from {
			left = append(left, held{h.claim, h.from, r.from})
		}
		if h.from = max(h.from, r.to); h.from >= h.to {
			return left
		}
	}
	return append(left, h)
}

func (a area) scope() *scope { return a.service.scopes[a.environment] }

// declarations is the list that a claim of an owner or a tier stands in.
func (h held) declarations() *spans[*declaration] {
	owner, tier := &h.service.owner, &h.service.tier
	if h.environment != nil {
		owner, tier = &h.scope().owner, &h.scope().tier
	}
	if h.kind == claimOwner || h.kind == claimFirstOwner {
		return owner
	}
	return tier
}

// rival is what may hide a claim: an entity that says the like, from a later
// time on.
type rival struct {
	from, to event.Millis
	of       entity
}

// since yields what begins at or after t, in order.
func (l *spans[T]) since(t event.Millis) iter.Seq[rival] {
	return func(yield func(rival) bool) {
		// Equal starts may straddle a block's end.
		first := sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].spans[0].from >= t })
		for i := max(first-1, 0); i < len(l.blocks); i++ {
			for _, s := range l.blocks[i].spans {
				if s.from >= t && !yield(rival{s.from, s.to, any(s.of).(entity)}) {
					return
				}
			}
		}
	}
}

func (l lineups) since(word string, t event.Millis) iter.Seq[rival] {
	return func(yield func(rival) bool) {
		line := l[word]
		for _, d := range line[sort.Search(len(line), func(i int) bool { return line[i].start.time >= t }):] {
			if !yield(rival{d.start.time, d.failed, d}) {
				return
			}
		}
	}
}

// joined makes one mark of those of the same area that meet; with a gap: of
// those of the same service and environment with no more than that between
// them.
func joined(marks []mark, gap event.Millis) []mark {
	type key struct {
		area
		name *name
	}
	byKey := map[key][]mark{}
	for _, m := range marks {
		if gap > 0 {
			m.version, m.instance = "", ""
		}
		k := key{m.area, m.name}
		byKey[k] = append(byKey[k], m)
	}
	var all []mark
	for _, same := range byKey {
		slices.SortFunc(same, func(a, b mark) int { return cmp.Compare(a.from, b.from) })
		last := same[0]
		for _, m := range same[1:] {
			if m.from > last.to && m.from-last.to > gap {
				all = append(all, last)
				last = m
				continue
			}
			last.to = max(last.to, m.to)
			last.oldest, last.newest = min(last.oldest, m.oldest), max(last.newest, m.newest)
		}
		all = append(all, last)
	}
	return all
}

// regions says marks in names as observations state them.
func (t *Timeline) regions(marks []mark) []event.Region {
	var all []event.Region
	stated := map[*service][]string{}
	for _, m := range marks {
		r := event.Region{From: m.from, To: m.to, VersionKey: m.version, Instance: m.instance, AnyEnvironment: m.environment == nil}
		if r.From == -forever {
			r.From = event.Always
		}
		if m.environment != nil {
			r.Environment = m.environment.name
		}
		switch {
		case m.name != nil:
			r.Services = []string{m.name.text}
		case m.service != nil:
			// None: each of its names means another service now, and is marked
			// by itself.
			names, known := stated[m.service]
			if !known {
				names = t.stated(m.service)
				stated[m.service] = names
			}
			if r.Services = names; len(names) == 0 {
				continue
			}
		}
		all = append(all, r)
	}
	return all
}

// stated lists the names that mean s.
func (t *Timeline) stated(s *service) (names []string) {
	for n := range t.names[s.name].group {
		if n.service == s {
			names = append(names, n.text)
		}
	}
	return names
}

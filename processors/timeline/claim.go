package timeline

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// claim is one thing that an entity says of an area, on its own: without what
// other entities make of it. The answer to an observation is a function of the
// claims that cover it, so where no claim has changed no answer has, but for
// what one deployment reads of another (markPrevious).
type claim struct {
	area
	words
}

// area is a set of observations: those of a service and environment, where
// stated with a version or an instance.
type area struct {
	service           *service     // nil: any
	environment       *environment // nil: any
	version, instance string       // the version's key; empty: any
}

// words is what a claim says, comparable as a whole. by and hash are the fact
// that gives it its place among others, and that fact's content.
type words struct {
	kind        claimKind
	id          string
	by          *fact
	hash        uint64
	order       event.Millis // its place among its rivals: a later one hides it
	start       event.Millis // of a deployment
	word, other text
	number      float64
	more        string
}

type claimKind uint8

const (
	claimRollout    claimKind = iota
	claimCompleted            // could be the deployment completed last
	claimVersion              // serves those that state its version, in any spelling
	claimInstance             // serves those that state its instance
	claimIncident             //
	claimFinding              //
	claimException            // what the service's findings say does not hold here
	claimFlag                 // holds until the flag's next change
	claimOwner                // from its time on, until the next
	claimTier                 //
	claimFirstOwner           // before its time, while it is the first
	claimFirstTier            //
)

// held is a claim with the time it is made for.
type held struct {
	claim
	from, to event.Millis
}

func (d *deployment) claims(t *Timeline) []held {
	if len(d.facts) == 0 || d.scope == nil {
		return nil
	}
	here := area{service: d.scope.service, environment: d.scope.environment}
	all := d.rolloutClaims(here)
	card := words{
		id: d.id, by: d.start, hash: d.start.hash, order: d.start.time, start: d.start.time,
		word: d.version, other: d.previous, more: strings.Join(d.changeIDs(), "\x00"),
	}
	if d.completed != nil {
		c := card
		c.kind, c.by, c.hash, c.order = claimCompleted, d.completed, d.completed.hash, d.completed.time
		all = append(all, held{claim{here, c}, d.completed.time, d.failed})
	}
	if d.version != 0 {
		c, where := card, here
		c.kind, where.version = claimVersion, event.VersionKey(t.versions.word(d.version))
		all = append(all, held{claim{where, c}, d.start.time, d.failed})
	}
	for _, i := range d.instances() {
		c, where := card, here
		c.kind, where.instance = claimInstance, i
		all = append(all, held{claim{where, c}, d.start.time, d.failed})
	}
	return all
}

// rolloutClaims has a piece for each percent.
func (d *deployment) rolloutClaims(here area) []held {
	var all []held
	w := words{kind: claimRollout, id: d.id, by: d.start, hash: d.start.hash, order: d.start.time}
	from := d.start.time
	piece := func(to event.Millis) {
		if from < to {
			all = append(all, held{claim{here, w}, from, to})
			from = to
		}
	}
	for _, f := range d.facts {
		if s := f.says.(*stage); s.statesPercent() {
			piece(min(f.time, d.end))
			w.number = s.percent
		}
	}
	piece(d.end)
	return all
}

func (i *incident) claims(t *Timeline) []held {
	var all []held
	for _, sc := range i.scopes {
		here := area{service: sc.service, environment: sc.environment}
		for _, e := range i.open {
			for from := e.from; from < e.to; {
				to := i.nextSeverity(from, e.to)
				w := words{kind: claimIncident, id: i.id, word: i.severity(from)}
				all = append(all, held{claim{here, w}, from, to})
				from = to
			}
		}
	}
	return all
}

// nextSeverity is the first moment in (t, end) at which a severity is stated,
// or end.
func (i *incident) nextSeverity(t, end event.Millis) event.Millis {
	for _, f := range i.facts {
		if f.time > t && f.time < end && f.says.(*incidentStage).severity != 0 {
			return f.time
		}
	}
	return end
}

func (f *finding) claims(*Timeline) []held {
	if len(f.said) == 0 {
		return nil
	}
	var all []held
	say := func(where area, kind claimKind, from event.Millis) {
		for _, e := range f.openFrom(from) {
			all = append(all, held{claim{where, words{kind: kind, id: f.id}}, e.from, e.to})
		}
	}
	for _, sv := range f.everywhere {
		say(area{service: sv}, claimFinding, f.opened)
	}
	for _, p := range f.inParticular {
		here := area{service: p.scope.service, environment: p.scope.environment}
		say(here, claimFinding, p.from)
		if slices.Contains(f.everywhere, p.scope.service) {
			say(here, claimException, f.opened)
		}
	}
	return all
}

func (c *flagChange) claims(*Timeline) []held {
	if c.by == nil {
		return nil
	}
	var all []held
	w := words{kind: claimFlag, by: c.by, hash: c.by.hash, order: c.by.time, word: c.flag, other: c.rules}
	if c.all {
		all = append(all, held{claim{area{environment: c.environment}, w}, c.by.time, forever})
	}
	for _, sv := range servicesOf(c.names) {
		all = append(all, held{claim{area{service: sv, environment: c.environment}, w}, c.by.time, forever})
	}
	return all
}

func (d *declaration) claims(*Timeline) []held {
	if d.by == nil {
		return nil
	}
	var all []held
	here := area{service: d.service.service, environment: d.environment}
	say := func(said text, later, first claimKind) {
		if said == 0 {
			return
		}
		w := words{kind: later, by: d.by, hash: d.by.hash, order: d.by.time, word: said}
		all = append(all, held{claim{here, w}, d.by.time, forever})
		w.kind = first
		all = append(all, held{claim{here, w}, -forever, d.by.time})
	}
	say(d.owner, claimOwner, claimFirstOwner)
	say(d.tier, claimTier, claimFirstTier)
	return all
}

// changed is where two sets of claims differ: each claim for the times that
// only one side makes it for.
func changed(before, after []held) []held {
	if slices.Equal(before, after) {
		return nil
	}
	counts := map[claim][]edge{}
	for _, h := range before {
		counts[h.claim] = append(counts[h.claim], edge{h.from, 1}, edge{h.to, -1})
	}
	for _, h := range after {
		counts[h.claim] = append(counts[h.claim], edge{h.from, -1}, edge{h.to, 1})
	}
	var all []held
	for c, edges := range counts {
		slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
		sum := 0
		for i, e := range edges {
			if sum != 0 && edges[i-1].at < e.at {
				all = append(all, held{c, edges[i-1].at, e.at})
			}
			sum += e.step
		}
	}
	return all
}

// edge is where one more or one fewer makes a claim.
type edge struct {
	at   event.Millis
	step int
}

package timeline

import (
	"slices"
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// finding is folded from what its own facts say and what scans say of it (R25,
// R26, R30, R31).
type finding struct {
	standing
	id    string
	said  sayings
	stand fact // its place in lists, by its id: many findings have one fact

	service      *name        // nil: not stated
	environment  *environment // nil: every one
	repository   *repository  // nil: not stated
	revision     *revision    // nil: not stated
	opened       event.Millis // where no completion is known
	closed       []episode    // when it wasn't open, whenever it began
	everywhere   []*service   // open there from opened, but where a scope says otherwise
	inParticular []particular
}

// sayings are in the order of their facts; those of one fact as it lists them.
type sayings []saying

// saying is what one fact says of a finding.
type saying struct {
	by   *fact
	says *findingStage
}

func (s *sayings) add(f *fact, says *findingStage) {
	behind := sort.Search(len(*s), func(i int) bool { return f.before((*s)[i].by) })
	*s = slices.Insert(*s, behind, saying{f, says})
}

// drop takes out all that f says.
func (s *sayings) drop(f *fact) {
	from := sort.Search(len(*s), func(i int) bool { return !(*s)[i].by.before(f) })
	to := from
	for to < len(*s) && (*s)[to].by == f {
		to++
	}
	*s = slices.Delete(*s, from, to)
}

// particular is a finding in one scope: the only one it is open in, or one
// where its revision was completed.
type particular struct {
	scope *scope
	from  event.Millis
}

// findingStage is what one of a finding's facts says, or a scan.
type findingStage struct {
	finding     *finding
	stage       event.FindingStage
	service     *name        // nil: not stated
	environment *environment // nil: not stated
	repository  *repository  // nil: not stated
	revision    *revision    // nil: not stated
	firstSeen   event.Millis
}

func (t *Timeline) readFinding(f *event.Finding) statement {
	s := t.findingStage(f)
	return &s
}

func (t *Timeline) findingStage(f *event.Finding) findingStage {
	s := findingStage{
		finding: t.finding(f.FindingID), stage: f.Stage,
		service: t.name(f.Service), firstSeen: f.FirstSeen,
	}
	if f.Environment != "" {
		s.environment = t.environment(f.Environment)
	}
	if f.Repository != "" {
		s.repository = t.repository(f.Repository)
	}
	if f.RevisionIntroduced != "" {
		s.revision = t.revisionNamed(f.RevisionIntroduced)
	}
	return s
}

func (t *Timeline) finding(id string) *finding {
	if known := t.findings[id]; known != nil {
		return known
	}
	f := &finding{standing: standing{rank: rankFinding}, id: strings.Clone(id)}
	f.stand = fact{id: f.id, origin: &origin{}}
	t.findings[f.id] = f
	return f
}

func (s *findingStage) enter(t *Timeline, f *fact) { t.touch(s.finding); s.finding.said.add(f, s) }
func (s *findingStage) leave(t *Timeline, f *fact) { t.touch(s.finding); s.finding.said.drop(f) }

// touchFindings is called where what findings read is about to change. It
// takes a copy, for a finding that is taken out leaves the list.
func (t *Timeline) touchFindings(found []*finding) {
	if len(found) == 0 {
		return
	}
	for _, f := range append([]*finding(nil), found...) {
		t.touch(f)
	}
}

func (f *finding) insert(t *Timeline) {
	f.everywhere, f.inParticular = f.everywhere[:0], f.inParticular[:0]
	if len(f.said) == 0 {
		return
	}
	f.fold(t)
	if f.repository != nil {
		f.repository.findings = append(f.repository.findings, f)
	}
	if f.revision != nil {
		f.revision.findings = append(f.revision.findings, f)
	}
	f.spread(t)
	for _, sv := range f.everywhere {
		sv.generation++
		for _, e := range f.openFrom(f.opened) {
			sv.findings.insert(f.span(e))
			sv.boundaries.add(e.from)
			sv.boundaries.add(e.to)
		}
	}
	for _, p := range f.inParticular {
		p.scope.generation++
		p.scope.except(f)
		for _, e := range f.openFrom(p.from) {
			p.scope.findings.insert(f.span(e))
			p.scope.boundaries.add(e.from)
			p.scope.boundaries.add(e.to)
		}
	}
}

func (f *finding) remove(*Timeline) {
	if len(f.said) == 0 {
		return
	}
	if f.repository != nil {
		f.repository.findings = without(f.repository.findings, f)
	}
	if f.revision != nil {
		f.revision.findings = without(f.revision.findings, f)
	}
	for _, sv := range f.everywhere {
		sv.generation++
		for _, e := range f.openFrom(f.opened) {
			sv.findings.remove(f.span(e))
			sv.boundaries.remove(e.from)
			sv.boundaries.remove(e.to)
		}
	}
	for _, p := range f.inParticular {
		p.scope.generation++
		delete(p.scope.exceptions, f)
		for _, e := range f.openFrom(p.from) {
			p.scope.findings.remove(f.span(e))
			p.scope.boundaries.remove(e.from)
			p.scope.boundaries.remove(e.to)
		}
	}
}

func (f *finding) span(e episode) span[*finding] { return span[*finding]{e.from, e.to, &f.stand, f} }

// openFrom is when f is open where it is from a time on: then, but for when it
// is closed. One that never is has a moment of no length: what an index doesn't
// hold is not found when a name moves.
func (f *finding) openFrom(from event.Millis) []episode {
	var open []episode
	began := from
	for _, c := range f.closed {
		if from < c.from {
			open = append(open, episode{from, c.from})
		}
		from = max(from, c.to)
	}
	if from < forever {
		open = append(open, episode{from, forever})
	}
	if len(open) == 0 {
		open = append(open, episode{began, began})
	}
	return open
}

func (f *finding) fold(t *Timeline) {
	f.service, f.environment, f.repository, f.revision = nil, nil, nil, nil
	var seen, opened event.Millis
	for _, said := range f.said {
		f.foldWords(said.says)
		if said.says.firstSeen != 0 {
			seen = said.says.firstSeen
		}
		if said.says.stage == event.FindingOpened && opened == 0 {
			opened = said.by.time
		}
	}
	switch {
	case seen != 0:
		f.opened = seen
	case opened != 0:
		f.opened = opened
	default:
		f.opened = f.said[0].by.time
	}
	t.turns = t.absences(f, t.turns[:0])
	f.foldClosed(t.turns)
}

// foldClosed finds when f is closed: from what closes it until it is opened
// later. At one moment what closes it counts. gone is when it was missed.
func (f *finding) foldClosed(gone []event.Millis) {
	f.closed = f.closed[:0]
	shut := false
	turn := func(at event.Millis, closes bool) {
		switch last := len(f.closed) - 1; {
		case closes && !shut:
			f.closed, shut = append(f.closed, episode{at, forever}), true
		case !closes && shut && f.closed[last].from < at:
			f.closed[last].to, shut = at, false
		}
	}
	for i := 0; i < len(f.said) || len(gone) > 0; {
		at, closes := forever, false
		if len(gone) > 0 {
			at = gone[0]
		}
		if i < len(f.said) {
			at = min(at, f.said[i].by.time)
		}
		for len(gone) > 0 && gone[0] == at {
			gone, closes = gone[1:], true
		}
		opens := false
		for ; i < len(f.said) && f.said[i].by.time == at; i++ {
			if f.said[i].says.stage == event.FindingOpened {
				opens = true
			} else {
				closes = true
			}
		}
		if opens || closes {
			turn(at, closes)
		}
	}
}

func (f *finding) foldWords(s *findingStage) {
	if s.service != nil {
		f.service = s.service
	}
	if s.environment != nil {
		f.environment = s.environment
	}
	if s.repository != nil {
		f.repository = s.repository
	}
	if s.revision != nil {
		f.revision = s.revision
	}
}

// services is whom f is of (R25).
func (f *finding) services() []*service {
	if f.service != nil {
		return []*service{f.service.service}
	}
	if f.repository == nil {
		return nil
	}
	var found []*service
	for same := range f.repository.same {
		for _, d := range same.declarations {
			found = append(found, d.service.service)
		}
	}
	return distinct(found)
}

// spread decides where f is open from when (R26).
func (f *finding) spread(t *Timeline) {
	completions := f.completions()
	for _, sv := range f.services() {
		if f.environment != nil {
			sc := t.scope(sv, f.environment)
			from, known := completions[sc]
			if !known {
				from = f.opened
			}
			f.inParticular = append(f.inParticular, particular{sc, from})
			continue
		}
		f.everywhere = append(f.everywhere, sv)
		for sc, from := range completions {
			if sc.service == sv {
				f.inParticular = append(f.inParticular, particular{sc, from})
			}
		}
	}
}

// completions is the earliest completion of f's revision in each scope.
func (f *finding) completions() map[*scope]event.Millis {
	if f.revision == nil {
		return nil
	}
	first := map[*scope]event.Millis{}
	for _, d := range f.revision.deployments {
		if d.completed == nil {
			continue
		}
		if at, known := first[d.scope]; !known || d.completed.time < at {
			first[d.scope] = d.completed.time
		}
	}
	return first
}

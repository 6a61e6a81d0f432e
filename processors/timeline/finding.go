package timeline

import (
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// finding is folded from its facts (R25, R26).
type finding struct {
	standing
	id    string
	facts facts

	service      *name        // nil: not stated
	environment  *environment // nil: every one
	repository   *repository  // nil: not stated
	revision     *revision    // nil: not stated
	opened       event.Millis // where no completion is known
	until        event.Millis // forever: still open
	everywhere   []*service   // open there from opened, but where a scope says otherwise
	inParticular []particular
}

// particular is a finding in one scope: the only one it is open in, or one
// where its revision was completed.
type particular struct {
	scope *scope
	from  event.Millis
}

// findingStage is one of a finding's facts.
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
	s := &findingStage{
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
	t.findings[f.id] = f
	return f
}

func (s *findingStage) enter(t *Timeline, f *fact) { t.touch(s.finding); s.finding.facts.add(f) }
func (s *findingStage) leave(t *Timeline, f *fact) { t.touch(s.finding); s.finding.facts.drop(f) }

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
	if len(f.facts) == 0 {
		return
	}
	f.fold()
	if f.repository != nil {
		f.repository.findings = append(f.repository.findings, f)
	}
	if f.revision != nil {
		f.revision.findings = append(f.revision.findings, f)
	}
	f.spread(t)
	for _, sv := range f.everywhere {
		sv.findings.insert(f.span(f.opened))
		sv.boundaries.add(f.opened)
		sv.boundaries.add(f.until)
		sv.generation++
	}
	for _, p := range f.inParticular {
		p.scope.findings.insert(f.span(p.from))
		p.scope.except(f)
		p.scope.boundaries.add(p.from)
		p.scope.boundaries.add(f.until)
		p.scope.generation++
	}
}

func (f *finding) remove(*Timeline) {
	if len(f.facts) == 0 {
		return
	}
	if f.repository != nil {
		f.repository.findings = without(f.repository.findings, f)
	}
	if f.revision != nil {
		f.revision.findings = without(f.revision.findings, f)
	}
	for _, sv := range f.everywhere {
		sv.findings.remove(f.span(f.opened))
		sv.boundaries.remove(f.opened)
		sv.boundaries.remove(f.until)
		sv.generation++
	}
	for _, p := range f.inParticular {
		p.scope.findings.remove(f.span(p.from))
		delete(p.scope.exceptions, f)
		p.scope.boundaries.remove(p.from)
		p.scope.boundaries.remove(f.until)
		p.scope.generation++
	}
}

func (f *finding) span(from event.Millis) span[*finding] {
	return span[*finding]{from, f.until, f.facts[0], f}
}

func (f *finding) fold() {
	f.service, f.environment, f.repository, f.revision = nil, nil, nil, nil
	f.until = forever
	var seen, opened event.Millis
	for _, fact := range f.facts {
		s := fact.says.(*findingStage)
		f.foldWords(s)
		if s.firstSeen != 0 {
			seen = s.firstSeen
		}
		if s.stage == event.FindingOpened {
			if opened == 0 {
				opened = fact.time
			}
		} else {
			f.until = min(f.until, fact.time)
		}
	}
	switch {
	case seen != 0:
		f.opened = seen
	case opened != 0:
		f.opened = opened
	default:
		f.opened = f.facts[0].time
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
	for _, d := range f.repository.declarations {
		found = append(found, d.service.service)
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

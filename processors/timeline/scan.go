package timeline

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// field is what one tool looks at time and again: its scans of one target.
type field struct {
	scans map[string]*scan
	parts facts   // of all of them
	whole []*scan // those that all is known of, by time
	mark  uint64  // see Timeline.absences
}

// view names a field.
type view struct{ tool, target string }

// scan is folded from its parts (R30).
type scan struct {
	id    string
	of    *field
	parts facts
	at    event.Millis // when it was over: the latest part
	whole bool
	mark  uint64 // see Timeline.absences
}

// scanPart is one fact of a scan. What it lists is shared with the scans of
// other days that list the same in the same words.
type scanPart struct {
	scan        *scan
	part, parts int
	partial     bool
	lists       []*findingStage
}

func (t *Timeline) readScan(s *event.Scan) statement {
	p := &scanPart{scan: t.scan(s), part: s.Part, parts: s.Parts, partial: s.Partial}
	if len(s.Findings) > 0 {
		p.lists = make([]*findingStage, len(s.Findings))
	}
	for i := range s.Findings {
		said := t.findingStage(&s.Findings[i])
		known := t.listed[said]
		if known == nil {
			known = new(findingStage)
			*known = said
			t.listed[said] = known
		}
		p.lists[i] = known
	}
	return p
}

func (t *Timeline) scan(s *event.Scan) *scan {
	in := t.fields[view{s.Tool, s.Target}]
	if in == nil {
		in = &field{scans: map[string]*scan{}}
		t.fields[view{strings.Clone(s.Tool), strings.Clone(s.Target)}] = in
	}
	known := in.scans[s.ScanID]
	if known == nil {
		known = &scan{id: strings.Clone(s.ScanID), of: in}
		in.scans[known.id] = known
	}
	return known
}

func (p *scanPart) enter(t *Timeline, f *fact) {
	for _, l := range p.lists {
		t.touch(l.finding)
		l.finding.said.add(f, l)
	}
	p.scan.change(t, func(s *scan) { s.parts.add(f); s.of.parts.add(f) })
}

func (p *scanPart) leave(t *Timeline, f *fact) {
	for _, l := range p.lists {
		t.touch(l.finding)
		l.finding.said.drop(f)
	}
	p.scan.change(t, func(s *scan) { s.parts.drop(f); s.of.parts.drop(f) })
}

// change changes the parts of s, and touches those findings that were or will
// be gone by it (R31).
func (s *scan) change(t *Timeline, parts func(*scan)) {
	if s.whole {
		s.touchMissed(t)
		at := s.of.place(s)
		s.of.whole = slices.Delete(s.of.whole, at, at+1)
	}
	parts(s)
	s.fold()
	if s.whole {
		s.of.whole = slices.Insert(s.of.whole, s.of.place(s), s)
		s.touchMissed(t)
	}
}

// place is where s stands, or belongs, among the whole scans.
func (in *field) place(s *scan) int {
	return sort.Search(len(in.whole), func(i int) bool {
		o := in.whole[i]
		return cmp.Or(cmp.Compare(o.at, s.at), strings.Compare(o.id, s.id)) >= 0
	})
}

// after is the first whole scan later than at.
func (in *field) after(at event.Millis) int {
	return sort.Search(len(in.whole), func(i int) bool { return in.whole[i].at > at })
}

// touchMissed touches what may be gone first by s: what the whole scan before
// it lists, and what was listed since that one. Anything listed only earlier is
// missing in that one already.
func (s *scan) touchMissed(t *Timeline) {
	from := -forever
	if before := sort.Search(len(s.of.whole), func(i int) bool { return s.of.whole[i].at >= s.at }) - 1; before >= 0 {
		last := s.of.whole[before]
		from = last.at
		for _, f := range last.parts {
			f.says.(*scanPart).touch(t)
		}
	}
	first := sort.Search(len(s.of.parts), func(i int) bool { return s.of.parts[i].time >= from })
	for _, f := range s.of.parts[first:] {
		if f.time >= s.at {
			break
		}
		f.says.(*scanPart).touch(t)
	}
}

func (p *scanPart) touch(t *Timeline) {
	for _, l := range p.lists {
		t.touch(l.finding)
	}
}

// fold is R30. How many parts there are is what the greatest of them says.
func (s *scan) fold() {
	s.at, s.whole = 0, false
	most := 0
	for _, f := range s.parts {
		p := f.says.(*scanPart)
		if p.partial {
			return
		}
		most = max(most, p.parts)
		s.at = f.time // the last one's, in the end
	}
	if most == 0 || len(s.parts) < most {
		return
	}
	known := make([]bool, most)
	left := most
	for _, f := range s.parts {
		if p := f.says.(*scanPart); p.part >= 1 && p.part <= most && !known[p.part-1] {
			known[p.part-1] = true
			left--
		}
	}
	s.whole = left == 0
}

// absences appends when f was gone by R31, in the order of time. It marks what
// lists f, so that whether a scan does costs nothing.
func (t *Timeline) absences(f *finding, gone []event.Millis) []event.Millis {
	t.marking++
	var fields []*field
	for _, s := range f.said {
		if p, listed := s.by.says.(*scanPart); listed {
			p.scan.mark = t.marking
			if p.scan.of.mark != t.marking {
				p.scan.of.mark = t.marking
				fields = append(fields, p.scan.of)
			}
		}
	}
	for _, in := range fields {
		last := -forever
		for _, s := range f.said {
			p, listed := s.by.says.(*scanPart)
			if !listed || p.scan.of != in || s.by.time < last {
				continue
			}
			missed := in.after(s.by.time)
			for missed < len(in.whole) && in.whole[missed].mark == t.marking {
				missed++
			}
			if missed == len(in.whole) {
				break
			}
			last = in.whole[missed].at
			gone = append(gone, last)
		}
	}
	if len(fields) > 1 {
		slices.Sort(gone)
	}
	return gone
}

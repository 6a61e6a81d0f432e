package timeline

import (
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// retraction unsays the facts of a source and id.
type retraction struct{ target target }

type target struct{ source, id string }

func (t *Timeline) readRetraction(r *event.Retraction) statement {
	return &retraction{target{strings.Clone(r.Source), strings.Clone(r.ID)}}
}

func (r *retraction) enter(t *Timeline, f *fact) {
	t.retracted[r.target] = append(t.retracted[r.target], f)
	t.doubt(r.target)
}

func (r *retraction) leave(t *Timeline, f *fact) {
	by := t.retracted[r.target]
	at := slices.Index(by, f)
	if by = slices.Delete(by, at, at+1); len(by) == 0 {
		delete(t.retracted, r.target)
	} else {
		t.retracted[r.target] = by
	}
	t.doubt(r.target)
}

func (t *Timeline) doubt(named target) {
	t.ledger.named(named.source, named.id, func(f *fact) { t.doubts = append(t.doubts, f) })
}

// isUnsaid answers R3 for f, given which retractions count now.
func (t *Timeline) isUnsaid(f *fact) bool {
	if len(t.retracted) == 0 {
		return false
	}
	by := t.retracted[target{f.origin.source, f.id}]
	if _, ok := f.says.(*retraction); ok {
		return slices.ContainsFunc(by, f.before)
	}
	return len(by) > 0
}

// settleRetractions decides anew what was put in doubt. It ends: a retraction
// is undone only by a later one, and each names a single source and id, so a
// change runs down one path towards earlier retractions.
func (t *Timeline) settleRetractions() {
	for len(t.doubts) > 0 {
		f := t.doubts[len(t.doubts)-1]
		t.doubts = t.doubts[:len(t.doubts)-1]
		if f.says == nil {
			continue
		}
		switch unsaid := t.isUnsaid(f); {
		case unsaid == f.unsaid:
		case unsaid:
			f.says.leave(t, f)
			f.unsaid = true
		default:
			f.unsaid = false
			f.says.enter(t, f)
		}
	}
}

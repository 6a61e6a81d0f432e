package timeline

import (
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// change is one fact of a change with the revisions it brings (R17). The union
// over a change's facts is the union over these.
type change struct {
	id        string
	revisions []*revision
}

func (t *Timeline) readChange(c *event.Change) statement {
	revisions := t.revisionsOf(append([]string{c.Revision}, c.Commits...))
	if len(revisions) == 0 {
		return nil
	}
	return &change{strings.Clone(c.ChangeID), revisions}
}

func (c *change) enter(t *Timeline, _ *fact) {
	c.note(t)
	for _, r := range c.revisions {
		r.changes = append(r.changes, c)
		r.changed()
	}
}

func (c *change) leave(t *Timeline, _ *fact) {
	c.note(t)
	for _, r := range c.revisions {
		r.changes = without(r.changes, c)
		r.changed()
	}
}

// note is for the deployments whose cards are about to list other changes.
func (c *change) note(t *Timeline) {
	for _, r := range c.revisions {
		for _, d := range r.deployments {
			t.note(d)
		}
	}
}

// changed tells the scopes where r runs that they answer differently now.
func (r *revision) changed() {
	for _, d := range r.deployments {
		d.scope.generation++
	}
}

// changeIDs is R17.
func (d *deployment) changeIDs() []string {
	var ids []string
	for _, r := range d.revisions() {
		for _, c := range r.changes {
			ids = append(ids, c.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

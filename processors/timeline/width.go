package timeline

import "github.com/whencehq/whence/schemas/event"

// Width is about how many bytes of text a row gets by what holds at a moment,
// where that is most: every row has its own copy of all flags, incidents, findings
// and changes, so a batch may be a thousand times as wide as its records were.
// What a row of a version that runs no more gets may be wider.
func (t *Timeline) Width(at event.Millis) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	everywhere := map[*environment]int{}
	widest := 0
	for _, e := range t.environments {
		everywhere[e] = t.flagsWidth(e.flags, at)
		widest = max(widest, everywhere[e])
	}
	done := map[*service]bool{}
	for _, n := range t.names {
		s := n.service
		if s == nil || done[s] {
			continue
		}
		done[s] = true
		anywhere := 0
		s.findings.holding(at, func(f *finding) { anywhere += len(f.id) })
		widest = max(widest, anywhere)
		for e, sc := range s.scopes {
			widest = max(widest, everywhere[e]+anywhere+t.ownWidth(sc, at))
		}
	}
	return widest
}

// ownWidth is that of what neither the whole service nor the whole environment has.
func (t *Timeline) ownWidth(sc *scope, at event.Millis) int {
	width := t.flagsWidth(sc.flags, at)
	sc.incidents.holding(at, func(i *incident) { width += len(i.id) })
	sc.findings.holding(at, func(f *finding) { width += len(f.id) })
	changes := 0
	carries := func(d *deployment) {
		n := 0
		for _, id := range t.cardOf(d).changes {
			n += len(id)
		}
		changes = max(changes, n)
	}
	if s := sc.completed.last(at); s != nil {
		carries(s.of)
	}
	sc.started.holding(at, func(d *deployment) {
		width += len(d.id)
		carries(d)
	})
	return width + changes
}

func (t *Timeline) flagsWidth(all flags, at event.Millis) int {
	width := 0
	for _, changes := range all {
		if s := changes.last(at); s != nil {
			width += len(t.texts.word(s.of.flag)) + len(t.texts.word(s.of.rules))
		}
	}
	return width
}

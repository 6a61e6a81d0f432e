package timeline

import (
	"slices"
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// name is a service's name as somebody stated it.
type name struct {
	text    string
	service *service // what it means after aliases (R7)
	own     *service // the service of this very name, nil until one is needed

	words   []word  // who says what this name means, in the order of facts
	meaning *name   // the last word; nil: itself
	aliases []*name // the names whose meaning this is
	renamed bool    // waits in Timeline.renamed
}

// word is one statement that a name means another (R5).
type word struct {
	by      *fact
	meaning *name
}

// name returns the name s, nil for the empty string: that is no service.
func (t *Timeline) name(s string) *name {
	if s == "" {
		return nil
	}
	if known := t.names[s]; known != nil {
		return known
	}
	n := &name{text: strings.Clone(s)}
	n.own = newService(n.text)
	n.service = n.own
	t.names[n.text] = n
	return n
}

// namesOf returns the names stated, each once.
func (t *Timeline) namesOf(stated []string) []*name {
	names := make([]*name, 0, len(stated))
	for _, s := range stated {
		if n := t.name(s); n != nil {
			names = append(names, n)
		}
	}
	return distinct(names)
}

// identity is identity.declared of a service.
type identity struct{ alias, canonical *name }

func (t *Timeline) readIdentity(i *event.Identity) statement {
	if i.Kind != "service" || i.Alias == "" || i.Canonical == "" || i.Alias == i.Canonical {
		return nil
	}
	return &identity{t.name(i.Alias), t.name(i.Canonical)}
}

func (i *identity) enter(t *Timeline, f *fact) { t.say(i.alias, word{f, i.canonical}) }
func (i *identity) leave(t *Timeline, f *fact) { t.unsay(i.alias, word{f, i.canonical}) }

func (n *name) place(w word) int {
	return sort.Search(len(n.words), func(i int) bool { return !n.words[i].by.before(w.by) })
}

func (t *Timeline) say(alias *name, w word) {
	alias.words = slices.Insert(alias.words, alias.place(w), w)
	t.rename(alias)
}

func (t *Timeline) unsay(alias *name, w word) {
	at := alias.place(w)
	alias.words = slices.Delete(alias.words, at, at+1)
	t.rename(alias)
}

func (t *Timeline) rename(n *name) {
	if !n.renamed {
		n.renamed = true
		t.renamed = append(t.renamed, n)
	}
}

// settleNames gives the renamed names their last word. All entities of a
// service that loses or moves a name leave the indexes and come back under the
// names as they then are: an alias costs the entities of the services it joins
// or parts.
func (t *Timeline) settleNames() {
	for _, n := range t.renamed {
		n.renamed = false
		var meaning *name
		if len(n.words) > 0 {
			meaning = n.words[len(n.words)-1].meaning
		}
		if meaning != n.meaning {
			t.remean(n, meaning)
		}
	}
	t.renamed = t.renamed[:0]
}

func (t *Timeline) remean(n, meaning *name) {
	if n.meaning != nil {
		n.meaning.aliases = slices.DeleteFunc(n.meaning.aliases, func(a *name) bool { return a == n })
	}
	if n.meaning = meaning; meaning != nil {
		meaning.aliases = append(meaning.aliases, n)
	}
	for _, a := range n.following() {
		if s := a.resolve().own; s != a.service {
			t.evict(a.service)
			a.service = s
		}
	}
}

// following returns n and every name whose chain of meanings leads to n.
func (n *name) following() []*name {
	seen := map[*name]bool{n: true}
	chain := []*name{n}
	for i := 0; i < len(chain); i++ {
		for _, a := range chain[i].aliases {
			if !seen[a] {
				seen[a] = true
				chain = append(chain, a)
			}
		}
	}
	return chain
}

// resolve follows the chain of meanings (R6). Two walkers, one at twice the
// speed, meet in a cycle if there is one.
func (n *name) resolve() *name {
	slow, fast := n, n
	for fast.meaning != nil && fast.meaning.meaning != nil {
		slow, fast = slow.meaning, fast.meaning.meaning
		if slow == fast {
			return slow.leastOfCycle()
		}
	}
	if fast.meaning != nil {
		return fast.meaning
	}
	return fast
}

func (n *name) leastOfCycle() *name {
	least := n
	for m := n.meaning; m != n; m = m.meaning {
		if m.text < least.text {
			least = m
		}
	}
	return least
}

// evict takes every entity of s out of the indexes until the batch is settled.
func (t *Timeline) evict(s *service) {
	for _, e := range s.entities() {
		t.touch(e)
	}
}

package timeline

import (
	"slices"
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// name is a service's name as somebody stated it, or a repository's.
type name struct {
	text       string
	service    *service    // what it means after aliases (R7), nil until names are settled
	own        *service    // the service of this very name, nil until one is needed
	repository *repository // whose name it is; nil: a service's

	words   []word  // who says what this name means, in the order of facts
	meaning *name   // the last word; nil: itself
	aliases []*name // the names whose meaning this is, in no order
	at      int     // of this name in its meaning's aliases
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
	t.names[n.text] = n
	t.rename(n)
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

// identity is identity.declared of a service or a repository.
type identity struct{ alias, canonical *name }

func (t *Timeline) readIdentity(i *event.Identity) statement {
	if i.Alias == "" || i.Canonical == "" || i.Alias == i.Canonical {
		return nil
	}
	switch i.Kind {
	case "service":
		return &identity{t.name(i.Alias), t.name(i.Canonical)}
	case "repository":
		return &identity{t.repository(i.Alias).name, t.repository(i.Canonical).name}
	}
	return nil
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

// settleNames gives the renamed names their last word, and the new ones a
// service. All entities of a service that loses or moves a name leave the indexes
// and come back under the names as they then are: an alias costs the entities of
// the services it joins or parts.
func (t *Timeline) settleNames() {
	t.settleRepositories()
	moved := t.renamed[:0]
	for _, n := range t.renamed {
		n.renamed = false
		if n.repository == nil && (n.remean() || n.service == nil) {
			moved = append(moved, n)
		}
	}
	// Only now that every chain is as it will be: a chain of n aliases said at
	// once is gone along once, and not once an alias.
	settled, means := map[*name]bool{}, roots{}
	for _, n := range moved {
		if !settled[n] {
			t.move(n, means.of(n).ownService(), settled)
		}
	}
	clear(t.renamed)
	t.renamed = t.renamed[:0]
}

// settleRepositories gives the renamed names of repositories their last word:
// findings in what meant the same, and in what means the same now, may be of other
// services. Each group of names is gone through once before and once after.
func (t *Timeline) settleRepositories() {
	var moved []*repository
	seen, means := map[*name]bool{}, roots{}
	touch := func(r *repository) {
		if root := means.of(r.name); !seen[root] {
			seen[root] = true
			t.touchRepository(r)
		}
	}
	for _, n := range t.renamed {
		if n.repository != nil {
			touch(n.repository)
			moved = append(moved, n.repository)
		}
	}
	for _, r := range moved {
		r.remean()
	}
	clear(seen)
	clear(means)
	for _, r := range moved {
		touch(r)
	}
}

// remean gives n its last word, and tells whether that is another.
func (n *name) remean() bool {
	var meaning *name
	if len(n.words) > 0 {
		meaning = n.words[len(n.words)-1].meaning
	}
	if meaning == n.meaning {
		return false
	}
	if n.meaning != nil {
		n.meaning.dropAlias(n)
	}
	if n.meaning = meaning; meaning != nil {
		n.at = len(meaning.aliases)
		meaning.aliases = append(meaning.aliases, n)
	}
	return true
}

// dropAlias costs the same however many aliases n has: one fact may take a
// hundred thousand back.
func (n *name) dropAlias(alias *name) {
	last := len(n.aliases) - 1
	n.aliases[alias.at] = n.aliases[last]
	n.aliases[alias.at].at = alias.at
	n.aliases[last] = nil
	n.aliases = n.aliases[:last]
}

// move makes s the service of n and of every name whose chain of meanings leads
// to n, and adds them to settled.
func (t *Timeline) move(n *name, s *service, settled map[*name]bool) {
	settled[n] = true
	for chain := []*name{n}; len(chain) > 0; {
		n, chain = chain[len(chain)-1], chain[:len(chain)-1]
		if n.service != s {
			t.noteName(n, s)
			if n.service != nil {
				t.evict(n.service)
			}
			n.service = s
		}
		for _, a := range n.aliases {
			if !settled[a] {
				settled[a] = true
				chain = append(chain, a)
			}
		}
	}
}

// group yields n and every name whose chain of meanings leads to n, each once.
func (n *name) group(yield func(*name) bool) {
	if len(n.aliases) == 0 {
		yield(n)
		return
	}
	seen := map[*name]bool{n: true}
	for chain := []*name{n}; len(chain) > 0; {
		n, chain = chain[len(chain)-1], chain[:len(chain)-1]
		if !yield(n) {
			return
		}
		for _, a := range n.aliases {
			if !seen[a] {
				seen[a] = true
				chain = append(chain, a)
			}
		}
	}
}

func (n *name) ownService() *service {
	if n.own == nil {
		n.own = newService(n.text)
	}
	return n.own
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

// roots knows what names resolve to, while no meaning changes: of many names of
// one chain each link is followed once.
type roots map[*name]*name

// following is the root of a name on the way whose end is not known yet.
var following = &name{}

func (r roots) of(n *name) *name {
	end := n
	for r[end] == nil && end.meaning != nil {
		r[end] = following
		end = end.meaning
	}
	root := end
	switch known := r[end]; {
	case known == following:
		root = end.leastOfCycle()
	case known != nil:
		root = known
	}
	for ; r[n] == following; n = n.meaning {
		r[n] = root
	}
	return root
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

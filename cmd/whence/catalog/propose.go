package catalog

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The kinds of names.
const (
	Service    = "service"
	Repository = "repository"
	Person     = "person"
)

// Name is a name that events use.
type Name struct {
	Kind          string   `json:"kind"`
	Name          string   `json:"name"`
	Canonical     string   `json:"canonical"` // what it means; itself where nothing says
	Declared      bool     `json:"declared"`
	Roles         []string `json:"roles"`
	Sources       []string `json:"sources"`
	FirstSeen     string   `json:"first_seen"`
	LastSeen      string   `json:"last_seen"`
	Events        uint64   `json:"events"`
	ExampleSource string   `json:"example_source"`
	ExampleID     string   `json:"example_id"`
}

// placed says how much stands behind a name: the more, the rather it is the one
// that the others mean.
func (n *Name) placed() int {
	score := 0
	if n.Declared {
		score += 8
	}
	if n.is("deployment") {
		score += 4
	}
	if n.is("observation") {
		score += 2
	}
	if n.Kind == Person && !strings.ContainsAny(n.Name, "@ ") {
		score++ // a login
	}
	return score
}

func (n *Name) is(role string) bool { return slices.Contains(n.Roles, role) }

// Tie is what events say of two names together.
type Tie struct {
	How   string // workload, incident, repository, commits
	Name  string
	Other string
	Count uint64 // how often
	Of    uint64 // of how many in all; of a repository, how many services list it
}

// share is how much of what there is of the name is of the other.
func (t *Tie) share() float64 { return math.Min(1, float64(t.Count)/float64(max(t.Of, 1))) }

// Pair is an alias and what it would mean.
type Pair struct {
	Kind      string `json:"kind"`
	Alias     string `json:"alias"`
	Canonical string `json:"canonical"`
}

// Knowledge is what proposals are made of.
type Knowledge struct {
	Names   []Name
	Ties    []Tie
	Refused []Pair
}

// Evidence is one reason to take two names for one.
type Evidence struct {
	Kind   string  `json:"kind"`
	Weight float64 `json:"weight"` // 0 to 1
	Words  string  `json:"words"`
}

// Proposal is that a name means another.
type Proposal struct {
	Pair
	Confidence float64    `json:"confidence"`
	Evidence   []Evidence `json:"evidence"`
}

// Propose says which names may mean others, the most likely first. Names that
// mean something else already are left as they are, and pairs that were refused
// are left out. It is a pure function: the same knowledge in any order gives the
// same proposals.
func Propose(k Knowledge) []Proposal {
	p := proposing{evidence: map[[2]*Name][]Evidence{}, byName: map[Pair]*Name{}}
	for i := range k.Names {
		n := &k.Names[i]
		p.byName[Pair{Kind: n.Kind, Alias: n.Name}] = n
	}
	for _, kind := range []struct {
		name  string
		forms []form
	}{{Service, serviceForms}, {Repository, repositoryForms}, {Person, personForms}} {
		p.compare(k.Names, kind.name, kind.forms)
	}
	for i := range k.Ties {
		p.tie(&k.Ties[i])
	}
	refused := map[Pair]bool{}
	for _, pair := range k.Refused {
		refused[pair] = true
	}
	return p.proposals(refused)
}

type proposing struct {
	byName   map[Pair]*Name // Canonical left empty
	evidence map[[2]*Name][]Evidence
}

// form is a way to read names by which two may be one. Of several that two names
// share, the first counts.
type form struct {
	kind   string
	weight float64
	of     func(name string) []string
	words  string
}

func one(of func(string) string) func(string) []string {
	return func(name string) []string { return []string{of(name)} }
}

var serviceForms = []form{
	{"letters", 0.9, one(letters), "the same letters"},
	{"affixes", 0.75, one(stem), "the same without words such as service, api and prod"},
	{"last part", 0.5, func(name string) []string { return []string{stem(name), stem(lastPart(name))} }, "the last part of a path is the other"},
	{"singular", 0.5, one(singular), "the same but for an s"},
}

var repositoryForms = []form{
	{"address", 0.95, one(address), "the path of one repository"},
	{"last part", 0.5, func(name string) []string { return []string{letters(name), letters(lastPart(name))} }, "the last part of a path is the other"},
}

var personForms = []form{
	{"noreply", 0.95, func(p string) []string {
		if l := login(p); l != "" {
			return []string{l}
		}
		return []string{strings.ToLower(p)}
	}, "the login is in the address"},
	{"local part", 0.7, func(p string) []string {
		if local := localPart(p); local != "" {
			return []string{letters(local)}
		}
		return []string{letters(cmp.Or(login(p), p))}
	}, "the address before the @, or the name, in the same letters"},
	{"initial", 0.5, func(p string) []string {
		return []string{letters(cmp.Or(localPart(p), login(p), p)), initialed(p)}
	}, "first letter and last name"},
}

// compare finds the names of a kind that share a form. They meet by it, so that
// ten thousand names are not a hundred million pairs.
func (p *proposing) compare(names []Name, kind string, forms []form) {
	for _, f := range forms {
		meeting := map[string][]*Name{}
		for i := range names {
			n := &names[i]
			if n.Kind != kind {
				continue
			}
			read := f.of(n.Name)
			slices.Sort(read)
			for _, text := range slices.Compact(read) {
				if text != "" {
					meeting[text] = append(meeting[text], n)
				}
			}
		}
		for _, met := range meeting {
			if len(met) > crowd {
				continue
			}
			for i, a := range met {
				for _, b := range met[i+1:] {
					if pair, ok := ordered(a, b); ok && !p.spelled(pair) {
						p.evidence[pair] = append(p.evidence[pair], Evidence{f.kind, f.weight, f.words})
					}
				}
			}
		}
	}
}

// crowd is how many names that share a form say that it tells nothing.
const crowd = 20

// spelled says whether two names share a form already.
func (p *proposing) spelled(pair [2]*Name) bool { return len(p.evidence[pair]) > 0 }

// ordered is which of two names would mean which.
func ordered(a, b *Name) ([2]*Name, bool) {
	if a.Name == b.Name || a.Canonical == b.Canonical {
		return [2]*Name{}, false
	}
	if c := cmp.Or(cmp.Compare(a.placed(), b.placed()), cmp.Compare(a.Events, b.Events), cmp.Compare(b.Name, a.Name)); c > 0 {
		a, b = b, a
	}
	// What means something else already is settled; and two that are declared
	// are two by their owners' word.
	free := a.Canonical == a.Name && !a.Declared && !slices.Equal(a.Roles, []string{"alias"})
	return [2]*Name{a, b}, free && b.Canonical == b.Name
}

// tie adds what events say of two names together.
func (p *proposing) tie(t *Tie) {
	kind, weight, words := Service, 0.0, ""
	switch t.How {
	case "workload":
		weight = 0.8 * t.share()
		words = fmt.Sprintf("%d of %d events of instances of %s say that their service is %s", t.Count, t.Of, t.Name, t.Other)
	case "incident":
		weight = 0.8 * t.share()
		if t.Count == 1 {
			weight = 0.5 * t.share()
		}
		words = fmt.Sprintf("%d of %d alerts of %s are in incidents of %s", t.Count, t.Of, t.Name, t.Other)
	case "repository":
		weight = 0.5 / float64(max(t.Of, 1))
		words = fmt.Sprintf("%d deployments of %s are from a repository that %s lists", t.Count, t.Name, t.Other)
		if t.Of > 1 {
			words += fmt.Sprintf(", as do %d more", t.Of-1)
		}
	case "commits":
		kind, weight = Person, 0.6*t.share()
		if t.Count == 1 {
			weight = 0.3 * t.share()
		}
		words = fmt.Sprintf("%s alone wrote the commits of %d of %d changes of %s", t.Name, t.Count, t.Of, t.Other)
	}
	a, b := p.byName[Pair{Kind: kind, Alias: t.Name}], p.byName[Pair{Kind: kind, Alias: t.Other}]
	if a == nil || b == nil {
		return
	}
	if pair, ok := ordered(a, b); ok {
		p.evidence[pair] = append(p.evidence[pair], Evidence{t.How, weight, words})
	}
}

func (p *proposing) proposals(refused map[Pair]bool) []Proposal {
	all := []Proposal{}
	for pair, evidence := range p.evidence {
		alias, canonical := pair[0], pair[1]
		made := Proposal{Pair: Pair{alias.Kind, alias.Name, canonical.Name}, Evidence: evidence}
		if refused[made.Pair] || refused[Pair{alias.Kind, canonical.Name, alias.Name}] {
			continue
		}
		// Sums of floats depend on their order.
		slices.SortFunc(made.Evidence, func(a, b Evidence) int {
			return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Words, b.Words))
		})
		doubt := 1.0
		for _, e := range made.Evidence {
			doubt *= 1 - e.Weight
		}
		made.Confidence = 1 - doubt
		if alias.stands() && canonical.stands() {
			made.Confidence *= 0.3
			made.Evidence = append(made.Evidence, Evidence{"both stand", 0, "but both are deployed and observed: likely two services"})
		}
		all = append(all, made)
	}
	slices.SortFunc(all, func(a, b Proposal) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Alias, b.Alias), cmp.Compare(a.Canonical, b.Canonical))
	})
	return all
}

// stands: there is a service of that name without any alias.
func (n *Name) stands() bool { return n.is("deployment") && n.is("observation") }

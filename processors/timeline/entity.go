package timeline

import (
	"slices"
	"sort"
)

// entity is something that several facts speak of, or a fact that stands for
// itself. It is out of the indexes while any of its facts changes:
//
//	touch     takes it out, once a batch, before the first change
//	settle    folds it from its facts and puts it back
//
// so that remove always sees what insert saw.
type entity interface {
	insert(*Timeline)
	remove(*Timeline)
	state() *standing
	claims(*Timeline) []held
}

// standing says where an entity is between touch and settle.
type standing struct {
	waiting bool // in Timeline.touched
	placed  bool // in the indexes
	gone    bool // let go of
	rank    rank
}

// rank orders the settling: what a later rank reads, an earlier one has
// settled. Putting back an entity touches only those of later ranks.
type rank uint8

const (
	rankDeclaration rank = iota // which services list a repository
	rankDeployment
	rankOther
	rankFinding // reads repositories and the completions of deployments
	ranks
)

func (s *standing) state() *standing { return s }

func (t *Timeline) touch(e entity) {
	s := e.state()
	if s.waiting {
		return
	}
	t.note(e)
	if s.placed {
		e.remove(t)
		s.placed = false
	}
	s.waiting = true
	t.touched[s.rank] = append(t.touched[s.rank], e)
}

// settle brings the indexes up to the facts.
func (t *Timeline) settle() {
	t.settleRetractions()
	t.settleNames()
	for r := range t.touched {
		for _, e := range t.touched[r] {
			s := e.state()
			s.waiting = false
			e.insert(t)
			s.placed = true
		}
		clear(t.touched[r])
		t.touched[r] = t.touched[r][:0]
	}
}

// facts is the facts of one entity in the total order.
type facts []*fact

func (s *facts) add(f *fact) { *s = slices.Insert(*s, s.place(f), f) }

func (s *facts) drop(f *fact) {
	at := s.place(f)
	*s = slices.Delete(*s, at, at+1)
}

func (s facts) place(f *fact) int {
	return sort.Search(len(s), func(i int) bool { return !s[i].before(f) })
}

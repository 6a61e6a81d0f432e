package timeline

import (
	"hash/maphash"
	"math/bits"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// fact is what the timeline keeps of one event: its place in the total order
// and what it says. Its size is a cache line's, for what compares facts meets
// them in no order.
type fact struct {
	time   event.Millis
	hash   uint64
	id     string
	origin *origin
	says   statement // nil: nothing that any rule reads

	unsaid  bool // retracted (R3)
	twinned bool // more than one content was seen (R1)
}

// origin is the part of an identity that many facts share.
type origin struct{ source, typ string }

// before is the total order of facts (R2). The hash covers the type, which
// comes last only so that the order is total whatever the hash.
func (f *fact) before(g *fact) bool {
	switch {
	case f == g:
		return false
	case f.time != g.time:
		return f.time < g.time
	case f.origin.source != g.origin.source:
		return f.origin.source < g.origin.source
	case f.id != g.id:
		return f.id < g.id
	case f.hash != g.hash:
		return f.hash < g.hash
	}
	return f.origin.typ < g.origin.typ
}

// statement is what a fact says, reduced to what the rules read.
type statement interface {
	// enter makes it count. It takes the entity it speaks of out of every index
	// first (touch), so that an index never holds a key that has changed.
	enter(*Timeline, *fact)
	// leave makes it count no more; the fact is still as it was at enter.
	leave(*Timeline, *fact)
}

// ledger holds every fact once, by identity. Facts are seldom let go of, and then
// many at once, so they are cut from slabs, which have no slack, and known by
// their number; what is let go of leaves its number to the next. The hash table
// over them is open: most facts are looked for once, when they are new, and
// then one line of the table answers, where chains would be followed through
// facts that lie anywhere. It has no pointers, so the collector passes it by.
type ledger struct {
	seed      maphash.Seed
	slots     []slot // a power of two, at most two thirds of them taken
	shift     uint8  // of a digest, to its first slot
	slabs     [][]fact
	ids       letters
	origins   map[origin]*origin
	made      int      // numbers given out
	free      []uint32 // of those, the ones without a fact
	facts     int
	conflicts int
}

// slot says which fact is at its place, counted from 1; 0: none.
type slot struct{ digest, fact uint32 }

func newLedger() ledger {
	l := ledger{seed: maphash.MakeSeed(), origins: map[origin]*origin{}}
	l.resize(slabSize)
	return l
}

func (l *ledger) digest(source, id string) uint32 {
	return uint32((maphash.String(l.seed, id)*0x9e3779b97f4a7c15 + maphash.String(l.seed, source)) >> 32)
}

func (l *ledger) resize(slots int) {
	l.slots = make([]slot, slots)
	l.shift = uint8(32 - bits.TrailingZeros(uint(slots)))
}

// next is the slot that a search goes on with.
func (l *ledger) next(at int) int { return (at + 1) & (len(l.slots) - 1) }

// first is the slot that a search begins with: by the digest's upper bits, so
// that growing goes through both tables from one end to the other.
func (l *ledger) first(digest uint32) int { return int(digest >> l.shift) }

func (l *ledger) number(n uint32) *fact { return &l.slabs[(n-1)/slabSize][(n-1)%slabSize] }

const slabSize = 1024

// find returns the fact of that identity, or nil.
func (l *ledger) find(digest uint32, source, id, typ string) *fact {
	for at := l.first(digest); l.slots[at].fact != 0; at = l.next(at) {
		if l.slots[at].digest == digest {
			if f := l.number(l.slots[at].fact); f.is(source, id) && f.origin.typ == typ {
				return f
			}
		}
	}
	return nil
}

func (f *fact) is(source, id string) bool { return f.id == id && f.origin.source == source }

// named calls yield with the facts of a source and id, of any type.
func (l *ledger) named(source, id string, yield func(*fact)) {
	digest := l.digest(source, id)
	for at := l.first(digest); l.slots[at].fact != 0; at = l.next(at) {
		if l.slots[at].digest == digest {
			if f := l.number(l.slots[at].fact); f.is(source, id) {
				yield(f)
			}
		}
	}
}

// add makes a new fact of e's identity, without a content.
func (l *ledger) add(digest uint32, e *event.Fact) *fact {
	if 3*l.facts >= 2*len(l.slots) {
		l.grow()
	}
	n := l.newNumber()
	l.facts++
	l.place(slot{digest, n})
	f := l.number(n)
	f.id, f.origin = l.ids.copy(e.ID), l.originOf(e.Source, e.Type)
	return f
}

func (l *ledger) newNumber() uint32 {
	if last := len(l.free) - 1; last >= 0 {
		n := l.free[last]
		l.free = l.free[:last]
		return n
	}
	if l.made%slabSize == 0 {
		l.slabs = append(l.slabs, make([]fact, slabSize))
	}
	l.made++
	return uint32(l.made)
}

// all calls yield with every fact.
func (l *ledger) all(yield func(*fact)) {
	for _, s := range l.slots {
		if s.fact != 0 {
			yield(l.number(s.fact))
		}
	}
}

// sweep lets go of the facts that drop names. Their ids lie among those of the
// others, so these are copied together.
func (l *ledger) sweep(drop func(*fact) bool) {
	old := l.slots
	l.ids = letters{}
	for i, s := range old {
		if s.fact == 0 {
			continue
		}
		f := l.number(s.fact)
		if drop(f) {
			*f, old[i] = fact{}, slot{}
			l.free = append(l.free, s.fact)
			l.facts--
			continue
		}
		f.id = l.ids.copy(f.id)
	}
	slots := slabSize
	for 3*l.facts >= 2*slots {
		slots *= 2
	}
	l.resize(slots)
	for _, s := range old {
		if s.fact != 0 {
			l.place(s)
		}
	}
}

func (l *ledger) place(s slot) {
	at := l.first(s.digest)
	for l.slots[at].fact != 0 {
		at = l.next(at)
	}
	l.slots[at] = s
}

func (l *ledger) grow() {
	old := l.slots
	l.resize(2 * len(old))
	for _, s := range old {
		if s.fact != 0 {
			l.place(s)
		}
	}
}

func (l *ledger) originOf(source, typ string) *origin {
	if known := l.origins[origin{source, typ}]; known != nil {
		return known
	}
	o := &origin{strings.Clone(source), strings.Clone(typ)}
	l.origins[*o] = o
	return o
}

// admit takes e in and returns its fact when that has a new content, else nil:
// the same again, or the lesser of two contents (R1). A former content has left
// before the fact changes.
func (t *Timeline) admit(e *event.Fact) *fact {
	digest := t.ledger.digest(e.Source, e.ID)
	f := t.ledger.find(digest, e.Source, e.ID, e.Type)
	switch {
	case f == nil:
		f = t.ledger.add(digest, e)
	case f.hash == e.Hash:
		return nil
	default:
		if !f.twinned {
			f.twinned = true
			t.ledger.conflicts++
		}
		if e.Hash < f.hash {
			return nil
		}
		t.withdraw(f)
	}
	f.time, f.hash = e.Time, e.Hash
	return f
}

func (t *Timeline) withdraw(f *fact) {
	if f.says != nil && !f.unsaid {
		f.says.leave(t, f)
	}
	f.says = nil
}

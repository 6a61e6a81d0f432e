package timeline

import (
	"hash/maphash"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// fact is what the timeline keeps of one event: its place in the total order
// and what it says.
type fact struct {
	time   event.Millis
	hash   uint64
	id     string
	origin *origin
	says   statement // nil: nothing that any rule reads
	next   *fact     // in the same bucket of the ledger

	digest  uint32 // of source and id
	unsaid  bool   // retracted (R3)
	twinned bool   // more than one content was seen (R1)
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

// ledger holds every fact once, by identity: a hash table whose buckets are
// chained through the facts themselves, a third of the size of a Go map that
// repeats the key. Facts are allocated by the thousand: they are never freed,
// and a slab has no slack.
type ledger struct {
	seed      maphash.Seed
	buckets   []*fact // a power of two, at least as many as facts
	origins   map[origin]*origin
	slab      []fact
	facts     int
	conflicts int
}

func newLedger() ledger {
	return ledger{seed: maphash.MakeSeed(), buckets: make([]*fact, slabSize), origins: map[origin]*origin{}}
}

func (l *ledger) digest(source, id string) uint32 {
	return uint32((maphash.String(l.seed, id)*0x9e3779b97f4a7c15 + maphash.String(l.seed, source)) >> 32)
}

func (l *ledger) bucket(digest uint32) **fact { return &l.buckets[int(digest)&(len(l.buckets)-1)] }

// find returns the fact of that identity, or nil.
func (l *ledger) find(digest uint32, source, id, typ string) *fact {
	for f := *l.bucket(digest); f != nil; f = f.next {
		if f.digest == digest && f.is(source, id) && f.origin.typ == typ {
			return f
		}
	}
	return nil
}

func (f *fact) is(source, id string) bool { return f.id == id && f.origin.source == source }

// named calls yield with the facts of a source and id, of any type.
func (l *ledger) named(source, id string, yield func(*fact)) {
	for f := *l.bucket(l.digest(source, id)); f != nil; f = f.next {
		if f.is(source, id) {
			yield(f)
		}
	}
}

// add makes a new fact of e's identity, without a content.
func (l *ledger) add(digest uint32, e *event.Fact) *fact {
	if l.facts == len(l.buckets) {
		l.grow()
	}
	if len(l.slab) == 0 {
		l.slab = make([]fact, slabSize)
	}
	f := &l.slab[0]
	l.slab = l.slab[1:]
	f.digest, f.id, f.origin = digest, strings.Clone(e.ID), l.originOf(e.Source, e.Type)
	l.link(f)
	l.facts++
	return f
}

const slabSize = 1024

func (l *ledger) link(f *fact) {
	head := l.bucket(f.digest)
	f.next, *head = *head, f
}

func (l *ledger) grow() {
	old := l.buckets
	l.buckets = make([]*fact, 2*len(old))
	for _, f := range old {
		for f != nil {
			next := f.next
			l.link(f)
			f = next
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

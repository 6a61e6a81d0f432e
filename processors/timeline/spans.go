package timeline

import (
	"slices"
	"sort"

	"github.com/whencehq/whence/schemas/event"
)

// forever ends what has not ended.
const forever = event.Millis(1<<63 - 1)

// span is a half-open interval [from, to) of something. Spans that begin in
// the same millisecond stand in the order of their facts.
type span[T comparable] struct {
	from, to event.Millis
	by       *fact
	of       T
}

func (s *span[T]) before(o *span[T]) bool {
	if s.from != o.from {
		return s.from < o.from
	}
	return s.by.before(o.by)
}

// blockSize bounds what one insertion moves: 256 spans are 8 KiB.
const blockSize = 256

// spans is a list of spans in the order of their starts. It is cut into blocks
// so that an insertion anywhere moves at most one of them, and every block
// knows its latest end, so that "which hold at t" passes over the blocks that
// are over. (A sorted slice moves megabytes for a late fact of a hot service; a
// balanced tree costs a pointer and a cache miss a span.)
type spans[T comparable] struct{ blocks []block[T] }

type block[T comparable] struct {
	latest event.Millis // the greatest to
	spans  []span[T]
}

func (b *block[T]) measure() {
	b.latest = b.spans[0].to
	for i := range b.spans {
		b.latest = max(b.latest, b.spans[i].to)
	}
}

// blockFor returns the block that s belongs in: the last one that does not
// begin after s.
func (l *spans[T]) blockFor(s *span[T]) int {
	after := sort.Search(len(l.blocks), func(i int) bool { return s.before(&l.blocks[i].spans[0]) })
	return max(after-1, 0)
}

func (l *spans[T]) insert(s span[T]) {
	if len(l.blocks) == 0 {
		l.blocks = append(l.blocks, block[T]{latest: s.to, spans: []span[T]{s}})
		return
	}
	i := l.blockFor(&s)
	b := &l.blocks[i]
	if len(b.spans) == blockSize {
		b = l.split(i, &s)
	}
	at := sort.Search(len(b.spans), func(j int) bool { return s.before(&b.spans[j]) })
	b.spans = slices.Insert(b.spans, at, s)
	b.latest = max(b.latest, s.to)
}

// split makes room in the full block i for s and returns the block that takes
// it. What comes in order opens a new block at the end instead of halving a
// full one, so that a history loaded in order fills its blocks.
func (l *spans[T]) split(i int, s *span[T]) *block[T] {
	full := &l.blocks[i]
	half := blockSize / 2
	if i == len(l.blocks)-1 && full.spans[blockSize-1].before(s) {
		half = blockSize
	}
	right := block[T]{latest: s.to, spans: append(make([]span[T], 0, blockSize-half+1), full.spans[half:]...)}
	if half == blockSize {
		l.blocks = append(l.blocks, right)
		return &l.blocks[i+1]
	}
	full.spans = slices.Clip(full.spans[:half])
	full.measure()
	right.measure()
	l.blocks = slices.Insert(l.blocks, i+1, right)
	if s.before(&l.blocks[i+1].spans[0]) {
		return &l.blocks[i]
	}
	return &l.blocks[i+1]
}

// remove takes s out again. It must be in the list, as it was inserted and with
// its fact unchanged since.
func (l *spans[T]) remove(s span[T]) {
	// Equal starts of one fact may straddle a block's end, so begin at the
	// first block that can hold s.
	first := sort.Search(len(l.blocks), func(i int) bool { return !l.blocks[i].spans[0].before(&s) })
	for i := max(first-1, 0); i < len(l.blocks); i++ {
		b := &l.blocks[i]
		if at := slices.Index(b.spans, s); at >= 0 {
			l.cut(i, at)
			return
		}
	}
	panic("timeline: a span to remove is not in its list")
}

func (l *spans[T]) cut(i, at int) {
	b := &l.blocks[i]
	to := b.spans[at].to
	b.spans = slices.Delete(b.spans, at, at+1)
	switch {
	case len(b.spans) == 0:
		l.blocks = slices.Delete(l.blocks, i, i+1)
	case to == b.latest:
		b.measure()
	}
}

// begun returns the number of blocks that begin at or before t.
func (l *spans[T]) begun(t event.Millis) int {
	return sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].spans[0].from > t })
}

// last returns the span that began last of those that hold at t, or nil.
func (l *spans[T]) last(t event.Millis) *span[T] {
	for i := l.begun(t) - 1; i >= 0; i-- {
		b := &l.blocks[i]
		if b.latest <= t {
			continue
		}
		for j := b.begun(t) - 1; j >= 0; j-- {
			if b.spans[j].to > t {
				return &b.spans[j]
			}
		}
	}
	return nil
}

func (b *block[T]) begun(t event.Millis) int {
	return sort.Search(len(b.spans), func(j int) bool { return b.spans[j].from > t })
}

// first returns the span that begins first, or nil.
func (l *spans[T]) first() *span[T] {
	if len(l.blocks) == 0 {
		return nil
	}
	return &l.blocks[0].spans[0]
}

// holding calls yield with what holds at t, in the order of the starts.
func (l *spans[T]) holding(t event.Millis, yield func(T)) {
	for i := range l.begun(t) {
		if b := &l.blocks[i]; b.latest > t {
			for j := range b.begun(t) {
				if b.spans[j].to > t {
					yield(b.spans[j].of)
				}
			}
		}
	}
}

// all calls yield with everything in the list.
func (l *spans[T]) all(yield func(T)) {
	for i := range l.blocks {
		for j := range l.blocks[i].spans {
			yield(l.blocks[i].spans[j].of)
		}
	}
}

// compact lays the list out anew, without the room that removals have left.
func (l *spans[T]) compact() {
	var all []span[T]
	for _, b := range l.blocks {
		all = append(all, b.spans...)
	}
	l.blocks = nil
	for some := range slices.Chunk(all, blockSize) {
		b := block[T]{spans: slices.Clone(some)}
		b.measure()
		l.blocks = append(l.blocks, b)
	}
}

// empty reports whether nothing is in the list.
func (l *spans[T]) empty() bool { return len(l.blocks) == 0 }

package timeline

import (
	"slices"
	"sort"

	"github.com/whencehq/whence/schemas/event"
)

// moments is a sorted list of times in which a time stands as often as it was
// added: the boundaries between which nothing changes. Cut into blocks for the
// reason spans is.
type moments struct{ blocks [][]event.Millis }

func (m *moments) blockFor(t event.Millis) int {
	after := sort.Search(len(m.blocks), func(i int) bool { return m.blocks[i][0] > t })
	return max(after-1, 0)
}

func (m *moments) add(t event.Millis) {
	if t == forever {
		return
	}
	if len(m.blocks) == 0 {
		m.blocks = append(m.blocks, []event.Millis{t})
		return
	}
	i := m.blockFor(t)
	if len(m.blocks[i]) == blockSize {
		i = m.split(i, t)
	}
	at, _ := slices.BinarySearch(m.blocks[i], t)
	m.blocks[i] = slices.Insert(m.blocks[i], at, t)
}

// split makes room for t in the full block i, as spans.split does, and returns
// the block that takes it.
func (m *moments) split(i int, t event.Millis) int {
	full := m.blocks[i]
	half := blockSize / 2
	if i == len(m.blocks)-1 && full[blockSize-1] <= t {
		half = blockSize
	}
	right := append(make([]event.Millis, 0, blockSize-half+1), full[half:]...)
	m.blocks = slices.Insert(m.blocks, i+1, right)
	if half == blockSize {
		return i + 1
	}
	m.blocks[i] = slices.Clip(full[:half])
	if t < right[0] {
		return i
	}
	return i + 1
}

// remove takes out one t, which must be there.
func (m *moments) remove(t event.Millis) {
	if t == forever {
		return
	}
	i := m.blockFor(t)
	at, found := slices.BinarySearch(m.blocks[i], t)
	if !found {
		panic("timeline: a boundary to remove is not in its list")
	}
	m.blocks[i] = slices.Delete(m.blocks[i], at, at+1)
	if len(m.blocks[i]) == 0 {
		m.blocks = slices.Delete(m.blocks, i, i+1)
	}
}

// compact lays the list out anew, without the room that removals have left.
func (m *moments) compact() {
	var blocks [][]event.Millis
	for some := range slices.Chunk(slices.Concat(m.blocks...), blockSize) {
		blocks = append(blocks, slices.Clone(some))
	}
	m.blocks = blocks
}

// around returns the segment [from, to) that t lies in: from the greatest
// boundary at or before t to the least after it.
func (m *moments) around(t event.Millis) (from, to event.Millis) {
	from, to = -forever, forever
	if len(m.blocks) == 0 {
		return from, to
	}
	i := m.blockFor(t)
	after := sort.Search(len(m.blocks[i]), func(j int) bool { return m.blocks[i][j] > t })
	if after > 0 {
		from = m.blocks[i][after-1]
	}
	switch {
	case after < len(m.blocks[i]):
		to = m.blocks[i][after]
	case i+1 < len(m.blocks):
		to = m.blocks[i+1][0]
	}
	return from, to
}

package value

import (
	"cmp"
	"math"
	"slices"
)

// The scanners put a value on the tape through these.

func (d *Doc) push(kind Kind, str string, bits uint64) {
	i := len(d.nodes)
	if i == cap(d.nodes) {
		d.nodes = slices.Grow(d.nodes, max(64, i))
	}
	// Field by field, in place: building a node first and copying it costs
	// twice as much, and this is most of what scanning does.
	d.nodes = d.nodes[:i+1]
	n := &d.nodes[i]
	n.str, n.bits, n.end, n.kind, n.dead = str, bits, uint32(i)+1, kind, false
}

func (d *Doc) pushNull()           { d.push(Null, "", 0) }
func (d *Doc) pushString(s string) { d.push(String, s, 0) }

func (d *Doc) pushBool(b bool) {
	bits := uint64(0)
	if b {
		bits = 1
	}
	d.push(Bool, "", bits)
}

func (d *Doc) pushInt(i int64) { d.push(Int, "", uint64(i)) }

func (d *Doc) pushUint(u uint64) {
	kind := Int
	if u > math.MaxInt64 {
		kind = Uint
	}
	d.push(kind, "", u)
}

// pushFloat takes a float64, as an integer where it is one. It reports false
// for what is no number.
func (d *Doc) pushFloat(f float64) bool {
	kind, bits := numberOf(f)
	if kind == Null {
		return false
	}
	d.push(kind, "", bits)
	return true
}

// numberOf is a float64 as a node has it: an integer where it is one; Null for
// what is no number.
func numberOf(f float64) (Kind, uint64) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return Null, 0
	case f != math.Trunc(f):
		return Float, math.Float64bits(f)
	case f >= -0x1p63 && f < 0x1p63:
		return Int, uint64(int64(f))
	case f >= 0 && f < 0x1p64:
		return Uint, uint64(f)
	}
	return Float, math.Float64bits(f)
}

func (d *Doc) pushKey(key string) {
	d.push(String, key, HashText(key))
}

// open starts a container and returns its place, for close.
func (d *Doc) open(kind Kind) int {
	d.push(kind, "", 0)
	return len(d.nodes) - 1
}

func (d *Doc) closeArray(at, elements int) {
	d.nodes[at].bits = uint64(elements)
	d.nodes[at].end = uint32(len(d.nodes))
	d.elements += elements
}

// closeObject settles which members count: of equal keys the last, and none
// that is null.
func (d *Doc) closeObject(at, members int) {
	end := uint32(len(d.nodes))
	if members > 1 {
		d.buryDuplicates(uint32(at)+1, end, members)
	}
	live := 0
	for i := uint32(at) + 1; i < end; i = d.nodes[i+1].end {
		key := &d.nodes[i]
		if d.nodes[i+1].kind == Null {
			key.dead = true
		}
		if !key.dead {
			live++
		}
	}
	d.nodes[at].bits, d.nodes[at].end = uint64(live), end
}

// manyMembers is where looking every key up among the earlier ones (only when
// a 64-bit filter says it may be there) gives way to sorting: an object of
// 100,000 keys must not cost their square.
const manyMembers = 32

func (d *Doc) buryDuplicates(first, end uint32, members int) {
	if members > manyMembers {
		d.buryDuplicatesSorted(first, end)
		return
	}
	var seen uint64
	for i := first; i < end; i = d.nodes[i+1].end {
		key := &d.nodes[i]
		bit := uint64(1) << (key.bits & 63)
		if seen&bit != 0 {
			for j := first; j < i; j = d.nodes[j+1].end {
				if earlier := &d.nodes[j]; earlier.bits == key.bits && earlier.str == key.str {
					earlier.dead = true
				}
			}
		}
		seen |= bit
	}
}

func (d *Doc) buryDuplicatesSorted(first, end uint32) {
	keys := d.order[:0]
	for i := first; i < end; i = d.nodes[i+1].end {
		keys = append(keys, i)
	}
	slices.SortFunc(keys, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(d.nodes[a].bits, d.nodes[b].bits), cmp.Compare(d.nodes[a].str, d.nodes[b].str), cmp.Compare(a, b))
	})
	for i := 1; i < len(keys); i++ {
		if d.nodes[keys[i-1]].str == d.nodes[keys[i]].str {
			d.nodes[keys[i-1]].dead = true
		}
	}
	d.order = keeping(keys)
}

// keeping empties scratch for reuse, or drops it where it has grown beyond
// what ordinary records need.
func keeping(scratch []uint32) []uint32 {
	if cap(scratch) > keepNodes {
		return nil
	}
	return scratch[:0]
}

package timeline

import "math/bits"

// filter is a set of digests that never misses one it has, and says of one in
// a hundred thousand that it has it although it hasn't: four bytes a digest, where
// a map takes fifteen. (With two bytes it is one in some hundreds, and every
// mistake about what an observation states fetches a service's past.) It is a Bloom filter in layers, each twice the size of the one
// before, so that it grows without knowing what is in it (Almeida, Baquero,
// Preguiça, Hutchison, "Scalable Bloom Filters", 2007).
type filter struct {
	layers []layer
	left   int // digests that the last layer takes
}

type layer []uint64 // a power of two of them

const (
	bitsEach     = 32
	probes       = 12 // with 32 bits each, one in a million is mistaken in a full layer
	firstDigests = 1 << 14
)

func (f *filter) empty() bool { return len(f.layers) == 0 }

func (f *filter) add(digest uint64) {
	if f.has(digest) {
		return
	}
	if f.left == 0 {
		f.left = firstDigests << len(f.layers)
		f.layers = append(f.layers, make(layer, f.left*bitsEach/64))
	}
	f.left--
	l := f.layers[len(f.layers)-1]
	l.each(digest, func(word *uint64, bit uint64) bool {
		*word |= bit
		return true
	})
}

func (f *filter) has(digest uint64) bool {
	for i := len(f.layers) - 1; i >= 0; i-- {
		all := f.layers[i].each(digest, func(word *uint64, bit uint64) bool { return *word&bit != 0 })
		if all {
			return true
		}
	}
	return false
}

// each calls do with the bits of a digest, while it returns true: the first by one
// half of the digest, each further one by the other half from it (Kirsch and
// Mitzenmacher, "Less Hashing, Same Performance", 2006).
func (l layer) each(digest uint64, do func(word *uint64, bit uint64) bool) bool {
	shift := 64 - bits.TrailingZeros(uint(len(l))) - 6
	step := digest<<32 | digest>>32 | 1
	for range probes {
		at := digest >> shift
		if !do(&l[at/64], 1<<(at%64)) {
			return false
		}
		digest += step
	}
	return true
}

package value

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// Mix folds two 64-bit words into one in which every bit of both counts, as
// wyhash does it: the halves of a 128-bit product. Mix(a, b) differs from
// Mix(b, a), so that order counts.
func Mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}

// HashText is the content hash of a string: xxHash64, but for the short strings
// that events are made of two loads and two products, as XXH3 does it for up to
// 16 bytes. xxHash64 costs three times that for them.
func HashText(s string) uint64 {
	n := len(s)
	if n > 16 {
		return xxhash.Sum64String(s)
	}
	b := unsafe.Slice(unsafe.StringData(s), n)
	var first, last uint64 // with n they say s exactly
	switch {
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		first, last = uint64(b[0])|uint64(b[n/2])<<8, uint64(b[n-1])
	}
	return Mix(Mix(first, last), uint64(n))
}

// Seeds by kind keep "1" from 1, [] from {} and -1 from 2^64-1.
const (
	seedNull uint64 = iota + 1
	seedBool
	seedInt
	seedUint
	seedFloat
	seedString
	seedArray
	seedObject
)

// Hash is the content hash of v: equal for equal canonical forms, whatever the
// format, the order of members, the notation of numbers, and whether an empty
// member is null or absent; different (up to the odds of 64 bits) for any two
// others. So {} differs from nothing, [1,2] from [2,1] and {"a":{"b":1}} from
// {"a.b":1}. A value that does not exist hashes to a constant.
//
// It guards against mistakes, not against an adversary: this is no
// cryptographic hash.
func (v Value) Hash() uint64 {
	if v.doc == nil {
		return seedNull
	}
	return hashNode(v.doc.nodes, v.at)
}

// hashNode adds up an object's members, which makes their order not count;
// each term is mixed from the hashes of key and value, so that the sum says
// which key has which value.
func hashNode(nodes []node, at uint32) uint64 {
	n := &nodes[at]
	switch n.kind {
	case Bool:
		return Mix(seedBool, n.bits)
	case Int:
		return Mix(seedInt, n.bits)
	case Uint:
		return Mix(seedUint, n.bits)
	case Float:
		return Mix(seedFloat, n.bits)
	case String:
		return Mix(seedString, HashText(n.str))
	case Array:
		h := Mix(seedArray, n.bits)
		for i := at + 1; i < n.end; i = nodes[i].end {
			h = Mix(h, hashNode(nodes, i))
		}
		return h
	case Object:
		sum := uint64(0)
		for i := at + 1; i < n.end; i = nodes[i+1].end {
			if !nodes[i].dead {
				sum += Mix(nodes[i].bits, hashNode(nodes, i+1))
			}
		}
		return Mix(Mix(seedObject, n.bits), sum)
	}
	return seedNull
}

// ObjectHash is the content hash of an object that is on no tape: what Value.Hash
// would be of it. Members come in any order, each key once, nulls left out.
type ObjectHash struct{ members, sum uint64 }

// Add takes a member: HashText of its key, and the content hash of its value.
func (h *ObjectHash) Add(key, member uint64) {
	h.members++
	h.sum += Mix(key, member)
}

// Hash of what was added.
func (h *ObjectHash) Hash() uint64 { return Mix(Mix(seedObject, h.members), h.sum) }

// HashString is the content hash of a string value.
func HashString(s string) uint64 { return Mix(seedString, HashText(s)) }

// HashStrings is the content hash of an array of strings.
func HashStrings(list []string) uint64 {
	h := Mix(seedArray, uint64(len(list)))
	for _, s := range list {
		h = Mix(h, HashString(s))
	}
	return h
}

// HashBool is the content hash of a boolean.
func HashBool(b bool) uint64 {
	if b {
		return Mix(seedBool, 1)
	}
	return Mix(seedBool, 0)
}

// HashNumber is the content hash of a number; false where f is none.
func HashNumber(f float64) (uint64, bool) {
	switch kind, bits := numberOf(f); kind {
	case Int:
		return Mix(seedInt, bits), true
	case Uint:
		return Mix(seedUint, bits), true
	case Float:
		return Mix(seedFloat, bits), true
	}
	return 0, false
}

package value

import (
	"iter"
	"math"

	"github.com/go-faster/jx"
)

// Kind is what a value is.
type Kind uint8

// The kinds. A number is an Int where it fits one, else a Uint, else a Float.
const (
	Null Kind = iota
	Bool
	Int   // fits int64
	Uint  // above the greatest int64, fits uint64
	Float // not integral, or integral and too large
	String
	Array
	Object
)

var kindNames = [...]string{"null", "boolean", "integer", "integer", "number", "string", "array", "object"}

// String names the kind as JSON Schema does.
func (k Kind) String() string { return kindNames[k] }

// node is one entry of the tape. An object is followed by its members, a key
// node and a value's nodes each; an array by its elements'.
type node struct {
	str  string // String: the bytes
	bits uint64 // Bool: 0 or 1; numbers: their 64 bits; a key: its hash; containers: how many live members
	end  uint32 // the index after this value's last node
	kind Kind
	dead bool // a key that counts for nothing: null, or repeated later
}

// DefaultDepth is how deep arrays and objects may nest where MaxDepth is 0.
const DefaultDepth = 64

// keepNodes bounds the tape kept for the next record (32 bytes a node), so
// that one 10 MB record doesn't stay with a decoder for ever.
const keepNodes = 1 << 14

// keepText bounds the scratch for canonical forms in the same way, in bytes.
const keepText = 1 << 17

// Doc is a parsed value on a reusable tape. The zero Doc is ready for use.
type Doc struct {
	// MaxDepth is how deep arrays and objects may nest; 0 means DefaultDepth.
	MaxDepth int

	nodes    []node
	elements int // of all arrays
	arena    arena
	json     jsonScanner
	// Scratch of the canonical form: members being sorted, the writer (on the
	// heap once and not for each value), what it wrote.
	order []uint32
	out   jx.Writer
	text  []byte
}

func (d *Doc) reset() {
	if cap(d.nodes) > keepNodes {
		d.nodes = nil
	}
	d.nodes, d.elements = d.nodes[:0], 0
}

func (d *Doc) maxDepth() int {
	if d.MaxDepth > 0 {
		return d.MaxDepth
	}
	return DefaultDepth
}

// Root returns what was parsed last: Null after an error, or before the first.
func (d *Doc) Root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{doc: d}
}

// Elements is how many elements all arrays of what was parsed last have. What
// reads them into a list of structures takes that many, whatever they are.
func (d *Doc) Elements() int { return d.elements }

// Value is one value of a Doc, valid until the Doc parses again. The zero
// Value is Null, so that reading a path that isn't there needs no checks.
type Value struct {
	doc *Doc
	at  uint32
}

func (v Value) node() *node { return &v.doc.nodes[v.at] }

// Kind of v.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Null
	}
	return v.node().kind
}

// Exists tells whether v is anything but null or absent.
func (v Value) Exists() bool { return v.Kind() != Null }

// Text returns v's string; false where v is none.
func (v Value) Text() (string, bool) {
	if v.Kind() != String {
		return "", false
	}
	return v.node().str, true
}

// Bool returns v's truth; false, false where v is no boolean.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.node().bits != 0, true
}

// Int returns v as an int64; false where v is not integral or doesn't fit.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Int {
		return 0, false
	}
	return int64(v.node().bits), true
}

// Uint returns v as a uint64; false where v is not integral, negative or doesn't fit.
func (v Value) Uint() (uint64, bool) {
	switch k := v.Kind(); {
	case k == Uint, k == Int && int64(v.node().bits) >= 0:
		return v.node().bits, true
	}
	return 0, false
}

// Number returns v as a float64, rounded to the nearest where an integer has
// more than 53 bits; false where v is no number.
func (v Value) Number() (float64, bool) {
	switch v.Kind() {
	case Int:
		return float64(int64(v.node().bits)), true
	case Uint:
		return float64(v.node().bits), true
	case Float:
		return math.Float64frombits(v.node().bits), true
	}
	return 0, false
}

// Len is the number of an object's members (null ones aside) or an array's
// elements, 0 for the rest.
func (v Value) Len() int {
	if k := v.Kind(); k != Array && k != Object {
		return 0
	}
	return int(v.node().bits)
}

// Depth is how deep arrays and objects nest in v, as MaxDepth counts: 0 for a
// scalar, 1 for {}.
func (v Value) Depth() int {
	if v.doc == nil {
		return 0
	}
	return v.doc.depth(v.at)
}

func (d *Doc) depth(at uint32) int {
	n, deepest := &d.nodes[at], 0
	switch n.kind {
	case Array:
		for i := at + 1; i < n.end; i = d.nodes[i].end {
			deepest = max(deepest, d.depth(i))
		}
	case Object:
		for i := at + 1; i < n.end; i = d.nodes[i+1].end {
			deepest = max(deepest, d.depth(i+1))
		}
	default:
		return 0
	}
	return deepest + 1
}

// Members yields an object's members in the order they were written, null
// ones and all but the last of equal keys left out; nothing for other kinds.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.at+1, nodes[v.at].end; i < end; i = nodes[i+1].end {
			if !nodes[i].dead && !yield(nodes[i].str, Value{v.doc, i + 1}) {
				return
			}
		}
	}
}

// Elements yields an array's elements, nothing for other kinds.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.at+1, nodes[v.at].end; i < end; i = nodes[i].end {
			if !yield(Value{v.doc, i}) {
				return
			}
		}
	}
}

// Field returns an object's member, Null where it has none or v is no object.
func (v Value) Field(key string) Value {
	for k, member := range v.Members() {
		if k == key {
			return member
		}
	}
	return Value{}
}

// At follows keys down through objects, Null where the path ends early.
func (v Value) At(path ...string) Value {
	for _, key := range path {
		v = v.Field(key)
	}
	return v
}

package value

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/go-faster/jx"
)

// AppendJSON appends v's canonical form to dst: JSON without white space,
// members sorted by the bytes of their keys, null members left out, integers
// in decimal, other numbers in the shortest form that reads back the same
// (ECMAScript's, as in RFC 8785, section 3.2.2.3), strings escaped only where
// JSON demands it. Equal values give equal bytes; reading them gives v again.
func (v Value) AppendJSON(dst []byte) []byte {
	if v.doc == nil {
		return append(dst, "null"...)
	}
	w := &v.doc.out
	w.Buf = dst
	v.doc.writeJSON(w, v.at)
	dst, w.Buf = w.Buf, nil
	return dst
}

// JSON is the canonical form as a string of its own; empty where v does not
// exist.
func (v Value) JSON() string {
	if !v.Exists() {
		return ""
	}
	d := v.doc
	d.text = v.AppendJSON(d.text[:0])
	text := string(d.text)
	if cap(d.text) > keepText {
		d.text = nil
	}
	return text
}

func (d *Doc) writeJSON(w *jx.Writer, at uint32) {
	n := &d.nodes[at]
	switch n.kind {
	case Null:
		w.Null()
	case Bool:
		w.Bool(n.bits != 0)
	case Int:
		w.Buf = strconv.AppendInt(w.Buf, int64(n.bits), 10)
	case Uint:
		w.Buf = strconv.AppendUint(w.Buf, n.bits, 10)
	case Float:
		w.Float64(math.Float64frombits(n.bits))
	case String:
		writeString(w, n.str)
	case Array:
		w.ArrStart()
		for i := at + 1; i < n.end; i = d.nodes[i].end {
			if i > at+1 {
				w.Comma()
			}
			d.writeJSON(w, i)
		}
		w.ArrEnd()
	case Object:
		d.writeObject(w, at, n.end)
	}
}

func (d *Doc) writeObject(w *jx.Writer, at, end uint32) {
	w.ObjStart()
	from := len(d.order)
	d.sortMembers(at, end)
	// By index: writing a member may move d.order.
	for i, to := from, len(d.order); i < to; i++ {
		if i > from {
			w.Comma()
		}
		key := d.order[i]
		writeString(w, d.nodes[key].str)
		w.Buf = append(w.Buf, ':')
		d.writeJSON(w, key+1)
	}
	d.order = d.order[:from]
	if from == 0 {
		d.order = keeping(d.order)
	}
	w.ObjEnd()
}

// writeString is w.Str, which writes byte by byte as it may have a stream
// behind it, for the strings that have nothing to escape.
func writeString(w *jx.Writer, s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			w.Str(s)
			return
		}
	}
	w.Buf = append(append(append(w.Buf, '"'), s...), '"')
}

// sortMembers appends an object's live keys to d.order, sorted. What we wrote
// ourselves is sorted already, and only looked at.
func (d *Doc) sortMembers(at, end uint32) {
	from := len(d.order)
	sorted, last := true, ""
	for i := at + 1; i < end; i = d.nodes[i+1].end {
		if d.nodes[i].dead {
			continue
		}
		sorted = sorted && last <= d.nodes[i].str
		last = d.nodes[i].str
		d.order = append(d.order, i)
	}
	if !sorted {
		slices.SortFunc(d.order[from:], func(a, b uint32) int { return cmp.Compare(d.nodes[a].str, d.nodes[b].str) })
	}
}

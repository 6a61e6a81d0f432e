package value

import (
	"encoding/base64"
	"time"
	"unsafe"
)

// arenaChunk is the size of an arena's chunks: small, since a string keeps its
// whole chunk alive.
const arenaChunk = 4 << 10

// arena holds the strings that are not in the input as they are. It only
// grows: a full chunk is left to the strings in it, so they stay valid.
type arena struct{ chunk []byte }

// room returns n bytes to write a string into.
func (a *arena) room(n int) []byte {
	if cap(a.chunk)-len(a.chunk) < n {
		a.chunk = make([]byte, 0, max(n, arenaChunk))
	}
	start := len(a.chunk)
	a.chunk = a.chunk[:start+n]
	return a.chunk[start : start+n : start+n]
}

func (a *arena) copy(b []byte) string {
	dst := a.room(len(b))
	copy(dst, b)
	return view(dst)
}

func (a *arena) base64(b []byte) string {
	dst := a.room(base64.StdEncoding.EncodedLen(len(b)))
	base64.StdEncoding.Encode(dst, b)
	return view(dst)
}

func (a *arena) rfc3339(t time.Time) string {
	var buf [len(time.RFC3339Nano)]byte
	return a.copy(t.UTC().AppendFormat(buf[:0], time.RFC3339Nano))
}

// view is b as a string, without a copy: b must never change again.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

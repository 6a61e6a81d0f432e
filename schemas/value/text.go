package value

import (
	"encoding/binary"
	"unicode/utf8"
)

// ParseText takes b, which must be UTF-8, as one string. b must not change
// while values or strings of it are in use.
func (d *Doc) ParseText(b []byte) error {
	d.reset()
	if !ValidUTF8(b) {
		return invalidUTF8(validPrefix(b))
	}
	d.pushString(view(b))
	return nil
}

// ParseBytes takes b as one string, the standard base64 of its bytes: what
// ParseMsgpack makes of bin, and CloudEvents' data_base64 of data.
func (d *Doc) ParseBytes(b []byte) {
	d.reset()
	d.pushString(d.arena.base64(b))
}

const highBits = 0x8080808080808080

// ValidUTF8 is utf8.Valid, quicker on the short ASCII strings that events are
// made of: utf8.Valid goes byte by byte over the last seven, this takes them
// with a load that overlaps the one before.
func ValidUTF8(b []byte) bool {
	n := len(b)
	if n < 8 {
		for _, c := range b {
			if c >= utf8.RuneSelf {
				return utf8.Valid(b)
			}
		}
		return true
	}
	for i := 0; i < n-8; i += 8 {
		if binary.LittleEndian.Uint64(b[i:])&highBits != 0 {
			return utf8.Valid(b)
		}
	}
	return binary.LittleEndian.Uint64(b[n-8:])&highBits == 0 || utf8.Valid(b)
}

// validPrefix returns how many bytes of b are UTF-8.
func validPrefix(b []byte) int {
	n := 0
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		n += size
	}
	return n
}

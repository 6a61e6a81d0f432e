package value

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The scanner is our own, over vmihailenco's codes, and fuzzed against that
// library: its Decoder reads through an io.Reader, so it copies every string,
// and makes room for what a length declares before the bytes are there (ten
// bytes made it ask for 58 GB).

// code is what a msgpack byte starts.
type code uint8

const (
	codeInvalid code = iota
	codeNil
	codeFalse
	codeTrue
	codeFixNum
	codeUint
	codeInt
	codeFloat32
	codeFloat64
	codeString
	codeBinary
	codeArray
	codeMap
	codeExt
)

// format of a msgpack byte: what it starts, and how much follows it.
type format struct {
	code code
	// width is the bytes of a number, or of a length; 0: the length is fixed.
	width uint8
	fixed uint8
}

var formats = msgpackFormats()

func msgpackFormats() (f [256]format) {
	f[msgpcode.Nil] = format{code: codeNil}
	f[msgpcode.False] = format{code: codeFalse}
	f[msgpcode.True] = format{code: codeTrue}
	f[msgpcode.Float] = format{code: codeFloat32, width: 4}
	f[msgpcode.Double] = format{code: codeFloat64, width: 8}
	for i := range uint8(4) {
		f[msgpcode.Uint8+i] = format{code: codeUint, width: 1 << i}
		f[msgpcode.Int8+i] = format{code: codeInt, width: 1 << i}
	}
	for i := range uint8(3) {
		f[msgpcode.Str8+i] = format{code: codeString, width: 1 << i}
		f[msgpcode.Bin8+i] = format{code: codeBinary, width: 1 << i}
		f[msgpcode.Ext8+i] = format{code: codeExt, width: 1 << i}
	}
	for i := range uint8(2) {
		f[msgpcode.Array16+i] = format{code: codeArray, width: 2 << i}
		f[msgpcode.Map16+i] = format{code: codeMap, width: 2 << i}
	}
	for i := range uint8(5) {
		f[msgpcode.FixExt1+i] = format{code: codeExt, fixed: 1 << i}
	}
	for b := range 256 {
		c := byte(b)
		switch {
		case msgpcode.IsFixedNum(c):
			f[c] = format{code: codeFixNum}
		case msgpcode.IsFixedString(c):
			f[c] = format{code: codeString, fixed: c & msgpcode.FixedStrMask}
		case msgpcode.IsFixedArray(c):
			f[c] = format{code: codeArray, fixed: c & msgpcode.FixedArrayMask}
		case msgpcode.IsFixedMap(c):
			f[c] = format{code: codeMap, fixed: c & msgpcode.FixedMapMask}
		}
	}
	return f
}

// IsMsgpackMap tells whether c starts a msgpack map, which no JSON text does.
func IsMsgpackMap(c byte) bool { return formats[c].code == codeMap }

// ParseMsgpack reads one msgpack value and nothing behind it. b must not
// change while values or strings of it are in use.
func (d *Doc) ParseMsgpack(b []byte) error {
	d.reset()
	rest, err := d.msgpackValue(b, d.maxDepth())
	if err == nil && len(rest) > 0 {
		err = malformed("msgpack: %d bytes behind the value", len(rest))
	}
	if err != nil {
		d.nodes = d.nodes[:0]
	}
	return err
}

// msgpackValue takes one value off b and returns what is left. It calls
// itself at most maxDepth deep.
func (d *Doc) msgpackValue(b []byte, depth int) ([]byte, error) {
	if len(b) == 0 {
		return nil, errTruncated
	}
	c, f := b[0], formats[b[0]]
	b = b[1:]
	if n := int(f.fixed); f.code == codeString && f.width == 0 && n <= len(b) { // most values
		s, err := d.msgpackString(b[:n])
		d.pushString(s)
		return b[n:], err
	}
	if len(b) < int(f.width) {
		return nil, errTruncated
	}
	arg := bigEndian(b, f.width)
	b = b[f.width:]
	switch f.code {
	case codeNil:
		d.pushNull()
	case codeFalse, codeTrue:
		d.pushBool(f.code == codeTrue)
	case codeFixNum:
		d.pushInt(int64(int8(c)))
	case codeUint:
		d.pushUint(arg)
	case codeInt:
		shift := 64 - 8*f.width
		d.pushInt(int64(arg<<shift) >> shift)
	case codeFloat32:
		return b, d.msgpackFloat(float64(math.Float32frombits(uint32(arg))))
	case codeFloat64:
		return b, d.msgpackFloat(math.Float64frombits(arg))
	case codeInvalid:
		return nil, malformed("msgpack: 0x%02x starts nothing", c)
	default:
		return d.msgpackSized(b, f.code, uint64(f.fixed)+arg, depth)
	}
	return b, nil
}

var errTruncated = malformed("msgpack: ends in the middle of a value")

// msgpackSized takes what has a length. Nothing is reserved by it: it is
// first held against the bytes left.
func (d *Doc) msgpackSized(b []byte, c code, n uint64, depth int) ([]byte, error) {
	least := n // the fewest bytes that n of these take
	switch c {
	case codeMap:
		least = 2 * n
	case codeExt:
		least = n + 1 // the type
	}
	if least > uint64(len(b)) {
		return nil, malformed("msgpack: a length of %d with %d bytes left", n, len(b))
	}
	switch c {
	case codeString:
		s, err := d.msgpackString(b[:n])
		d.pushString(s)
		return b[n:], err
	case codeBinary:
		d.pushString(d.arena.base64(b[:n]))
		return b[n:], nil
	case codeExt:
		return b[n+1:], d.msgpackExt(int8(b[0]), b[1:n+1])
	}
	if depth == 0 {
		return nil, tooDeep(d.maxDepth())
	}
	if c == codeArray {
		return d.msgpackArray(b, int(n), depth-1)
	}
	return d.msgpackMap(b, int(n), depth-1)
}

func (d *Doc) msgpackArray(b []byte, n, depth int) (_ []byte, err error) {
	at := d.open(Array)
	for range n {
		if b, err = d.msgpackValue(b, depth); err != nil {
			return nil, err
		}
	}
	d.closeArray(at, n)
	return b, nil
}

func (d *Doc) msgpackMap(b []byte, n, depth int) (_ []byte, err error) {
	at := d.open(Object)
	for range n {
		if b, err = d.msgpackKey(b); err != nil {
			return nil, err
		}
		if b, err = d.msgpackValue(b, depth); err != nil {
			return nil, err
		}
	}
	d.closeObject(at, n)
	return b, nil
}

func (d *Doc) msgpackKey(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errTruncated
	}
	f := formats[b[0]]
	if f.code != codeString {
		return nil, malformed("msgpack: a key that is no string (0x%02x)", b[0])
	}
	b = b[1:]
	if len(b) < int(f.width) {
		return nil, errTruncated
	}
	n := uint64(f.fixed) + bigEndian(b, f.width)
	b = b[f.width:]
	if n > uint64(len(b)) {
		return nil, malformed("msgpack: a length of %d with %d bytes left", n, len(b))
	}
	key, err := d.msgpackString(b[:n])
	if err != nil {
		return nil, err
	}
	d.pushKey(key)
	return b[n:], nil
}

func (d *Doc) msgpackString(b []byte) (string, error) {
	if !ValidUTF8(b) {
		return "", invalidUTF8(validPrefix(b))
	}
	return view(b), nil
}

func (d *Doc) msgpackFloat(f float64) error {
	if !d.pushFloat(f) {
		return malformed("msgpack: %v is no number", f)
	}
	return nil
}

// timestampExt is the ext type of a timestamp (msgpack specification,
// "Timestamp extension type").
const timestampExt = -1

func (d *Doc) msgpackExt(kind int8, data []byte) error {
	if kind == timestampExt {
		t, ok := timestamp(data)
		if !ok {
			return malformed("msgpack: a timestamp that is none")
		}
		d.pushString(d.arena.rfc3339(t))
		return nil
	}
	at := d.open(Array)
	d.pushInt(int64(kind))
	d.pushString(d.arena.base64(data))
	d.closeArray(at, 2)
	return nil
}

// The seconds of the years that RFC 3339 can write, 0000 to 9999.
const minSeconds, maxSeconds = -62167219200, 253402300799

// timestamp reads the three widths the specification gives: seconds; 30 bits of
// nanoseconds and 34 of seconds; 32 bits of nanoseconds and 64 of seconds.
func timestamp(b []byte) (time.Time, bool) {
	var seconds int64
	var nanos uint32
	switch len(b) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(b))
	case 8:
		both := binary.BigEndian.Uint64(b)
		seconds, nanos = int64(both&(1<<34-1)), uint32(both>>34)
	case 12:
		nanos, seconds = binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]))
	default:
		return time.Time{}, false
	}
	if nanos > 999_999_999 || seconds < minSeconds || seconds > maxSeconds {
		return time.Time{}, false
	}
	return time.Unix(seconds, int64(nanos)).UTC(), true
}

func bigEndian(b []byte, width uint8) uint64 {
	switch width {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

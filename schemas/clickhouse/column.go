package tables

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/schemas/event"
)

// The columns of this file hold their rows in the form that goes over the
// wire (Native format: https://clickhouse.com/docs/interfaces/formats/Native),
// so that encoding one is a copy. They are lazy: a row that holds the type's
// default only raises a counter, and the bytes of a run of defaults are filled
// in when something else follows, or on encoding. Most columns of most
// observations are such runs (ch-go's ColStr spends 16 bytes and two appends
// on each empty string).

// column is a column of a block.
type column interface {
	proto.ColInput
	Reset()
	// blank says that every row is the default, so that the column may be
	// left out of an INSERT: the table's default is the same.
	blank() bool
}

// lazy counts rows; filled is how many of them are written out.
type lazy struct{ rows, filled int }

func (l *lazy) Rows() int   { return l.rows }
func (l *lazy) blank() bool { return l.filled == 0 }
func (l *lazy) restart()    { l.rows, l.filled = 0, 0 }

// gap is the number of defaults to write before the row that comes next, which
// is counted as written.
func (l *lazy) gap() int {
	n := l.rows - l.filled
	l.rows++
	l.filled = l.rows
	return n
}

// rest is the number of defaults to write behind the last row that is none.
func (l *lazy) rest() int { return l.rows - l.filled }

// zeros appends n zero bytes.
func zeros(b []byte, n int) []byte { return fill(b, n, 0) }

func fill(b []byte, n int, v byte) []byte {
	if n == 0 {
		return b
	}
	start := len(b)
	b = slices.Grow(b, n)[:start+n]
	tail := b[start:]
	for i := range tail {
		tail[i] = v
	}
	return b
}

// write sends a column's bytes as a stream; blocks are encoded into a buffer,
// this one is here for ch-go's interface.
func write(w *proto.Writer, c proto.ColInput) { w.ChainBuffer(c.EncodeColumn) }

// text is String: each value its length as a varint, then its bytes.
type text struct {
	lazy
	buf []byte
}

func (c *text) Append(v string) {
	if v == "" {
		c.rows++
		return
	}
	c.add(v)
}

func (c *text) add(v string) {
	c.buf = zeros(c.buf, c.gap())
	c.buf = appendText(c.buf, v)
}

func appendText(b []byte, v string) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func (c *text) Reset()                       { c.restart(); c.buf = c.buf[:0] }
func (c *text) Type() proto.ColumnType       { return proto.ColumnTypeString }
func (c *text) WriteColumn(w *proto.Writer)  { write(w, c) }
func (c *text) EncodeColumn(b *proto.Buffer) { b.Buf = zeros(append(b.Buf, c.buf...), c.rest()) }

// fixed is a column of numbers of width bytes, little endian. Its default is zero.
type fixed struct {
	lazy
	typ   proto.ColumnType
	width int
	buf   []byte
}

// millis is the type of every moment.
const millis = proto.ColumnType("DateTime64(3, 'UTC')")

// seconds is the type of a minute's start.
func seconds() fixed { return fixed{typ: "DateTime('UTC')", width: 4} }

func moments() fixed   { return fixed{typ: millis, width: 8} }
func unsigned() fixed  { return fixed{typ: proto.ColumnTypeUInt64, width: 8} }
func signed() fixed    { return fixed{typ: proto.ColumnTypeInt64, width: 8} }
func signed32() fixed  { return fixed{typ: proto.ColumnTypeInt32, width: 4} }
func fractions() fixed { return fixed{typ: proto.ColumnTypeFloat64, width: 8} }
func bits() fixed      { return fixed{typ: proto.ColumnTypeUInt8, width: 1} }
func uuids() fixed     { return fixed{typ: proto.ColumnTypeUUID, width: 16} }

func (c *fixed) Append64(v uint64) {
	if v == 0 {
		c.rows++
		return
	}
	c.add64(v)
}

func (c *fixed) add64(v uint64) {
	if n := c.gap(); n > 0 {
		c.buf = zeros(c.buf, n*c.width)
	}
	c.buf = binary.LittleEndian.AppendUint64(c.buf, v)
}

func (c *fixed) Append32(v uint32) {
	if v == 0 {
		c.rows++
		return
	}
	c.buf = zeros(c.buf, c.gap()*c.width)
	c.buf = binary.LittleEndian.AppendUint32(c.buf, v)
}

func (c *fixed) Append8(v uint8) {
	if v == 0 {
		c.rows++
		return
	}
	c.buf = append(zeros(c.buf, c.gap()*c.width), v)
}

// AppendUUID appends 16 bytes in their textual order. ClickHouse keeps a UUID
// as two 64-bit numbers, so the bytes of each half go out reversed.
func (c *fixed) AppendUUID(v [16]byte) {
	c.buf = zeros(c.buf, c.gap()*c.width)
	c.buf = binary.LittleEndian.AppendUint64(c.buf, binary.BigEndian.Uint64(v[:8]))
	c.buf = binary.LittleEndian.AppendUint64(c.buf, binary.BigEndian.Uint64(v[8:]))
}

func (c *fixed) AppendTime(v event.Millis)   { c.Append64(uint64(v)) }
func (c *fixed) AppendFloat(v float64)       { c.Append64(math.Float64bits(v)) }
func (c *fixed) Reset()                      { c.restart(); c.buf = c.buf[:0] }
func (c *fixed) Type() proto.ColumnType      { return c.typ }
func (c *fixed) WriteColumn(w *proto.Writer) { write(w, c) }
func (c *fixed) EncodeColumn(b *proto.Buffer) {
	b.Buf = zeros(append(b.Buf, c.buf...), c.rest()*c.width)
}

// optional is Nullable of a number: a byte a row that is 1 for null, then the
// numbers, zero where null. Its default is null.
type optional struct {
	fixed
	nulls []byte
}

func optionally(of fixed) optional {
	of.typ = proto.ColumnTypeNullable.Sub(of.typ)
	return optional{fixed: of}
}

// AppendFloat appends v, or null for event.Unknown.
func (c *optional) AppendFloat(v float64) {
	if v != v {
		c.rows++
		return
	}
	c.some(math.Float64bits(v))
}

func (c *optional) some(v uint64) {
	if n := c.gap(); n > 0 {
		c.nulls = fill(c.nulls, n, 1)
		c.buf = zeros(c.buf, n*c.width)
	}
	c.nulls = append(c.nulls, 0)
	c.buf = binary.LittleEndian.AppendUint64(c.buf, v)
}

// AppendUnless appends v, or null if it is the value that stands for none.
func (c *optional) AppendUnless(v, none int64) {
	if v == none {
		c.rows++
		return
	}
	c.some(uint64(v))
}

func (c *optional) Reset()                      { c.fixed.Reset(); c.nulls = c.nulls[:0] }
func (c *optional) WriteColumn(w *proto.Writer) { write(w, c) }
func (c *optional) EncodeColumn(b *proto.Buffer) {
	b.Buf = fill(append(b.Buf, c.nulls...), c.rest(), 1)
	c.fixed.EncodeColumn(b)
}

// truths is Nullable(Bool).
type truths struct {
	lazy
	nulls, buf []byte
}

func (c *truths) Append(v event.Truth) {
	if v == event.Unstated {
		c.rows++
		return
	}
	n := c.gap()
	c.nulls = append(fill(c.nulls, n, 1), 0)
	c.buf = append(zeros(c.buf, n), byte(v-event.False))
}

func (c *truths) Reset()                      { c.restart(); c.nulls, c.buf = c.nulls[:0], c.buf[:0] }
func (c *truths) Type() proto.ColumnType      { return proto.ColumnTypeNullable.Sub(proto.ColumnTypeBool) }
func (c *truths) WriteColumn(w *proto.Writer) { write(w, c) }
func (c *truths) EncodeColumn(b *proto.Buffer) {
	b.Buf = fill(append(b.Buf, c.nulls...), c.rest(), 1)
	b.Buf = zeros(append(b.Buf, c.buf...), c.rest())
}

// bytes is Nullable(String): nil is null, which differs from empty.
type bytes struct {
	lazy
	nulls, buf []byte
}

func (c *bytes) Append(v []byte) {
	if v == nil {
		c.rows++
		return
	}
	n := c.gap()
	c.nulls = append(fill(c.nulls, n, 1), 0)
	c.buf = binary.AppendUvarint(zeros(c.buf, n), uint64(len(v)))
	c.buf = append(c.buf, v...)
}

func (c *bytes) Reset()                      { c.restart(); c.nulls, c.buf = c.nulls[:0], c.buf[:0] }
func (c *bytes) Type() proto.ColumnType      { return proto.ColumnTypeNullable.Sub(proto.ColumnTypeString) }
func (c *bytes) WriteColumn(w *proto.Writer) { write(w, c) }
func (c *bytes) EncodeColumn(b *proto.Buffer) {
	b.Buf = fill(append(b.Buf, c.nulls...), c.rest(), 1)
	b.Buf = zeros(append(b.Buf, c.buf...), c.rest())
}

// offsets are the running totals that arrays and maps start with.
type offsets struct {
	lazy
	total uint64
	buf   []byte
}

func (c *offsets) more(n int) {
	for range c.gap() {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, c.total)
	}
	c.total += uint64(n)
	c.buf = binary.LittleEndian.AppendUint64(c.buf, c.total)
}

func (c *offsets) restart() { c.lazy.restart(); c.total, c.buf = 0, c.buf[:0] }

func (c *offsets) encode(b *proto.Buffer) {
	b.Buf = append(b.Buf, c.buf...)
	for range c.rest() {
		b.Buf = binary.LittleEndian.AppendUint64(b.Buf, c.total)
	}
}

// list is Array(String).
type list struct {
	offsets
	elements []byte
}

func (c *list) Append(v []string) {
	if len(v) == 0 {
		c.rows++
		return
	}
	c.more(len(v))
	for _, s := range v {
		c.elements = appendText(c.elements, s)
	}
}

func (c *list) Reset()                       { c.restart(); c.elements = c.elements[:0] }
func (c *list) Type() proto.ColumnType       { return proto.ColumnTypeArray.Sub(proto.ColumnTypeString) }
func (c *list) WriteColumn(w *proto.Writer)  { write(w, c) }
func (c *list) EncodeColumn(b *proto.Buffer) { c.encode(b); b.Buf = append(b.Buf, c.elements...) }

// pairs is Map(String, String).
type pairs struct {
	offsets
	keys, values []byte
}

func (c *pairs) Append(v []event.Pair) {
	if len(v) == 0 {
		c.rows++
		return
	}
	c.more(len(v))
	for i := range v {
		c.keys = appendText(c.keys, v[i].Key)
		c.values = appendText(c.values, v[i].Value)
	}
}

func (c *pairs) Reset() { c.restart(); c.keys, c.values = c.keys[:0], c.values[:0] }
func (c *pairs) Type() proto.ColumnType {
	return proto.ColumnTypeMap.Sub(proto.ColumnTypeString, proto.ColumnTypeString)
}
func (c *pairs) WriteColumn(w *proto.Writer) { write(w, c) }
func (c *pairs) EncodeColumn(b *proto.Buffer) {
	c.encode(b)
	b.Buf = append(append(b.Buf, c.keys...), c.values...)
}

// words is LowCardinality(String): the block's distinct values, then for each
// row the number of its value. The strings must not change until Reset.
//
// Why not ch-go's ColLowCardinality: it keeps the values and looks each up in
// a map on encoding. Events of one record source come in runs, so a comparison
// with the row before answers most of the time.

type words struct {
	lazy
	last     string
	lastKey  uint32
	known    map[string]uint32
	distinct []byte // wire form; number 0 is the empty string
	keys     []uint32
}

func (c *words) Append(v string) {
	if v == "" {
		c.rows++
		return
	}
	c.add(v)
}

func (c *words) add(v string) {
	if v != c.last {
		c.last, c.lastKey = v, c.number(v)
	}
	for range c.gap() {
		c.keys = append(c.keys, 0)
	}
	c.keys = append(c.keys, c.lastKey)
}

func (c *words) number(v string) uint32 {
	key, ok := c.known[v]
	if !ok {
		if c.known == nil {
			c.known = map[string]uint32{}
		}
		key = uint32(len(c.known) + 1)
		c.known[v] = key
		c.distinct = appendText(c.distinct, v)
	}
	return key
}

func (c *words) Reset() {
	c.restart()
	clear(c.known)
	c.last, c.lastKey, c.distinct, c.keys = "", 0, c.distinct[:0], c.keys[:0]
}

func (c *words) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}

func (c *words) WriteColumn(w *proto.Writer) { write(w, c) }

// EncodeState writes the version of the keys' serialization (shared
// dictionaries with additional keys), before the column's data.
func (c *words) EncodeState(b *proto.Buffer) { b.PutInt64(1) }

// The flags of a LowCardinality column: the dictionary follows and is new
// (ClickHouse, SerializationLowCardinality.cpp, IndexesSerializationType).
const hasAdditionalKeys, needUpdateDictionary = 1 << 9, 1 << 10

// EncodeColumn writes the keys in the narrowest of the widths that holds them.
func (c *words) EncodeColumn(b *proto.Buffer) {
	if c.rows == 0 {
		return
	}
	n := len(c.known) + 1
	width := proto.KeyUInt32
	switch {
	case n <= math.MaxUint8+1:
		width = proto.KeyUInt8
	case n <= math.MaxUint16+1:
		width = proto.KeyUInt16
	}
	b.PutInt64(hasAdditionalKeys | needUpdateDictionary | int64(width))
	b.PutInt64(int64(n))
	b.Buf = append(append(b.Buf, 0), c.distinct...)
	b.PutInt64(int64(c.rows))
	switch width {
	case proto.KeyUInt8:
		for _, k := range c.keys {
			b.Buf = append(b.Buf, byte(k))
		}
	case proto.KeyUInt16:
		for _, k := range c.keys {
			b.Buf = binary.LittleEndian.AppendUint16(b.Buf, uint16(k))
		}
	default:
		for _, k := range c.keys {
			b.Buf = binary.LittleEndian.AppendUint32(b.Buf, k)
		}
	}
	b.Buf = zeros(b.Buf, c.rest()<<width)
}

package value

import (
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// jsonScanner is jx's tokenizer, kept with the Doc so that it is not made
// anew for each record.
type jsonScanner struct{ jx.Decoder }

// ParseJSON reads one JSON value (RFC 8259) and nothing behind it but white
// space. b must not change while values or strings of it are in use.
//
// A lone surrogate escape (\ud800) reads as U+FFFD: it is UTF-8 on the wire
// and names no character.
func (d *Doc) ParseJSON(b []byte) error {
	d.reset()
	if err := d.parseJSON(b); err != nil {
		d.nodes = d.nodes[:0]
		return err
	}
	return nil
}

func (d *Doc) parseJSON(b []byte) error {
	// Once over the whole is faster than string by string, and outside of
	// strings JSON is ASCII anyway.
	if !utf8.Valid(b) {
		return invalidUTF8(validPrefix(b))
	}
	d.json.ResetBytes(b)
	if err := d.jsonValue(d.maxDepth()); err != nil {
		return jsonError(err)
	}
	// Bare io.EOF says that nothing follows; wrapped, that what follows is cut off.
	if err := d.json.Skip(); err != io.EOF {
		return malformed("JSON: more than one value")
	}
	return nil
}

// jsonError classes what jx says; its text names the byte.
func jsonError(err error) error {
	if errors.Is(err, ErrTooDeep) || errors.Is(err, ErrMalformed) {
		return err
	}
	return malformed("JSON: %v", err)
}

// jsonValue calls itself at most maxDepth deep.
func (d *Doc) jsonValue(depth int) error {
	switch d.json.Next() {
	case jx.String:
		s, err := d.jsonString()
		if err != nil {
			return err
		}
		d.pushString(s)
		return nil
	case jx.Number:
		return d.jsonNumber()
	case jx.Bool:
		b, err := d.json.Bool()
		d.pushBool(b)
		return err
	case jx.Null:
		d.pushNull()
		return d.json.Null()
	case jx.Array:
		return d.jsonArray(depth)
	case jx.Object:
		return d.jsonObject(depth)
	}
	return d.json.Skip() // for its error
}

func (d *Doc) jsonArray(depth int) error {
	if depth == 0 {
		return tooDeep(d.maxDepth())
	}
	elements, err := d.json.ArrIter()
	if err != nil {
		return err
	}
	at, n := d.open(Array), 0
	for elements.Next() {
		if err := d.jsonValue(depth - 1); err != nil {
			return err
		}
		n++
	}
	d.closeArray(at, n)
	return elements.Err()
}

func (d *Doc) jsonObject(depth int) error {
	if depth == 0 {
		return tooDeep(d.maxDepth())
	}
	members, err := d.json.ObjIter()
	if err != nil {
		return err
	}
	at, n := d.open(Object), 0
	for members.Next() {
		// The key aliases the input, or is jx's own copy where it had escapes.
		d.pushKey(view(members.Key()))
		if err := d.jsonValue(depth - 1); err != nil {
			return err
		}
		n++
	}
	if err := members.Err(); err != nil {
		return err
	}
	d.closeObject(at, n)
	return nil
}

func (d *Doc) jsonString() (string, error) {
	b, err := d.json.StrBytes()
	return view(b), err
}

func (d *Doc) jsonNumber() error {
	num, err := d.json.Num()
	if err != nil {
		return err
	}
	text := view(num)
	if num.IsInt() {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			d.pushInt(i)
			return nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			d.pushUint(u)
			return nil
		}
	}
	// Not jx's own Float64: with up to six decimals it divides by a power of
	// ten, which is off by one in the last place for long mantissas.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !d.pushFloat(f) {
		return malformed("JSON: number %s is out of range", text)
	}
	return nil
}

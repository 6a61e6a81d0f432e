package value

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner is where ParseJSON stands in its input.
type jsonScanner struct {
	in []byte
	at int
}

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
	if !ValidUTF8(b) {
		return invalidUTF8(validPrefix(b))
	}
	d.json = jsonScanner{in: b}
	if err := d.jsonValue(d.maxDepth()); err != nil {
		return err
	}
	d.json.peek()
	if d.json.at < len(b) {
		return malformed("JSON: more than one value")
	}
	return nil
}

// peek passes white space and returns what comes then; 0 at the end.
func (s *jsonScanner) peek() byte {
	for ; s.at < len(s.in); s.at++ {
		switch c := s.in[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *jsonScanner) unexpected() error {
	if s.at >= len(s.in) {
		return malformed("JSON: it ends early, at byte %d", len(s.in))
	}
	r, _ := utf8.DecodeRune(s.in[s.at:])
	return malformed("JSON: unexpected %q at byte %d", r, s.at)
}

// jsonValue calls itself at most maxDepth deep.
func (d *Doc) jsonValue(depth int) error {
	switch c := d.json.peek(); c {
	case '"':
		s, err := d.jsonString()
		if err != nil {
			return err
		}
		d.pushString(s)
		return nil
	case '{', '[':
		if depth == 0 {
			return tooDeep(d.maxDepth())
		}
		d.json.at++
		if c == '{' {
			return d.jsonObject(depth)
		}
		return d.jsonArray(depth)
	case 't':
		d.pushBool(true)
		return d.json.word("true")
	case 'f':
		d.pushBool(false)
		return d.json.word("false")
	case 'n':
		d.pushNull()
		return d.json.word("null")
	}
	return d.jsonNumber()
}

func (s *jsonScanner) word(word string) error {
	for i := range len(word) {
		if s.at >= len(s.in) || s.in[s.at] != word[i] {
			return s.unexpected()
		}
		s.at++
	}
	return nil
}

// more passes what stands between two elements, or behind the last.
func (s *jsonScanner) more(end byte) (bool, error) {
	switch s.peek() {
	case ',':
		s.at++
		return true, nil
	case end:
		s.at++
		return false, nil
	}
	return false, s.unexpected()
}

func (d *Doc) jsonArray(depth int) error {
	at, n := d.open(Array), 0
	more := d.json.peek() != ']'
	if !more {
		d.json.at++
	}
	for more {
		err := d.jsonValue(depth - 1)
		if err != nil {
			return err
		}
		n++
		if more, err = d.json.more(']'); err != nil {
			return err
		}
	}
	d.closeArray(at, n)
	return nil
}

func (d *Doc) jsonObject(depth int) error {
	at, n := d.open(Object), 0
	more := d.json.peek() != '}'
	if !more {
		d.json.at++
	}
	for more {
		err := d.jsonMember(depth)
		if err != nil {
			return err
		}
		n++
		if more, err = d.json.more('}'); err != nil {
			return err
		}
	}
	d.closeObject(at, n)
	return nil
}

func (d *Doc) jsonMember(depth int) error {
	if d.json.peek() != '"' {
		return d.json.unexpected()
	}
	key, err := d.jsonString()
	if err != nil {
		return err
	}
	if d.json.peek() != ':' {
		return d.json.unexpected()
	}
	d.json.at++
	d.pushKey(key)
	return d.jsonValue(depth - 1)
}

// jsonString reads the string that begins here. It aliases the input, or lies in
// the arena where it has escapes.
func (d *Doc) jsonString() (string, error) {
	s := &d.json
	from := s.at + 1
	at := s.plain(from)
	switch {
	case at < len(s.in) && s.in[at] == '"':
		s.at = at + 1
		return view(s.in[from:at]), nil
	case at < len(s.in) && s.in[at] == '\\':
		return d.jsonEscaped(from, at)
	}
	s.at = at
	return "", s.unexpected()
}

const (
	everyByte = 0x0101010101010101
	spaces    = everyByte * ' '
	quotes    = everyByte * '"'
	escapes   = everyByte * '\\'
)

// plain returns where, from at on, the first byte is that does not stand for
// itself: a quote, a backslash or a control character. It looks at eight at a
// time: in each of them that is found the highest bit is set, and perhaps, by a
// borrow, in some behind the first. (Hacker's Delight, section 6-1.)
func (s *jsonScanner) plain(at int) int {
	for ; at+8 <= len(s.in); at += 8 {
		w := binary.LittleEndian.Uint64(s.in[at:])
		quote, escape := w^quotes, w^escapes
		found := ((quote - everyByte) &^ quote) | ((escape - everyByte) &^ escape) | ((w - spaces) &^ w)
		if found &= highBits; found != 0 {
			return at + bits.TrailingZeros64(found)/8
		}
	}
	for ; at < len(s.in); at++ {
		if c := s.in[at]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return at
}

// jsonEscaped reads the rest of a string whose first escape is at.
func (d *Doc) jsonEscaped(from, at int) (string, error) {
	s := &d.json
	text := append(d.text[:0], s.in[from:at]...)
	for s.at = at; s.at < len(s.in) && s.in[s.at] == '\\'; {
		var err error
		if text, err = s.escape(text); err != nil {
			return "", err
		}
		from = s.at
		s.at = s.plain(from)
		text = append(text, s.in[from:s.at]...)
	}
	if d.text = text; cap(text) > keepText {
		d.text = nil
	}
	if s.at >= len(s.in) || s.in[s.at] != '"' {
		return "", s.unexpected()
	}
	s.at++
	return d.arena.copy(text), nil
}

var escaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends what the escape here stands for.
func (s *jsonScanner) escape(text []byte) ([]byte, error) {
	s.at++
	if s.at >= len(s.in) {
		return text, s.unexpected()
	}
	if c := escaped[s.in[s.at]]; c != 0 {
		s.at++
		return append(text, c), nil
	}
	if s.in[s.at] != 'u' {
		return text, s.unexpected()
	}
	r, ok := s.hex(s.at + 1)
	if !ok {
		return text, s.unexpected()
	}
	s.at += 5
	if utf16.IsSurrogate(r) {
		pair := rune(utf8.RuneError)
		if s.at+1 < len(s.in) && s.in[s.at] == '\\' && s.in[s.at+1] == 'u' {
			low, _ := s.hex(s.at + 2)
			pair = utf16.DecodeRune(r, low)
		}
		if r = pair; r != utf8.RuneError {
			s.at += 6
		}
	}
	return utf8.AppendRune(text, r), nil
}

// hex reads four digits.
func (s *jsonScanner) hex(at int) (r rune, ok bool) {
	if at+4 > len(s.in) {
		return 0, false
	}
	for _, c := range s.in[at : at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (d *Doc) jsonNumber() error {
	s := &d.json
	from := s.at
	integral, err := s.number()
	if err != nil {
		return err
	}
	text := view(s.in[from:s.at])
	if integral {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			d.pushInt(i)
			return nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			d.pushUint(u)
			return nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !d.pushFloat(f) {
		return malformed("JSON: number %s is out of range", text)
	}
	return nil
}

// number passes a number, and tells whether it has neither fraction nor exponent.
func (s *jsonScanner) number() (integral bool, err error) {
	s.pass("-")
	if !s.pass("0") && !s.digits() {
		return false, s.unexpected()
	}
	integral = true
	if s.pass(".") {
		integral = false
		if !s.digits() {
			return false, s.unexpected()
		}
	}
	if s.pass("eE") {
		integral = false
		s.pass("+-")
		if !s.digits() {
			return false, s.unexpected()
		}
	}
	return integral, nil
}

// pass passes one of some bytes, if one is here.
func (s *jsonScanner) pass(any string) bool {
	for i := range len(any) {
		if s.at < len(s.in) && s.in[s.at] == any[i] {
			s.at++
			return true
		}
	}
	return false
}

// digits passes as many as there are, and tells whether there are any.
func (s *jsonScanner) digits() bool {
	from := s.at
	for s.at < len(s.in) && '0' <= s.in[s.at] && s.in[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

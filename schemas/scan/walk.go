package scan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// node says what to keep of a value. A nil node keeps nothing.
type node struct {
	// members are those of an object to keep; of a list, those of its elements.
	// Nil: the value is kept whole.
	members map[string]*node
	// each is given the elements of a list, one by one, instead of their being
	// kept: what members leave of them. An element is only lent.
	each func(w *walk, element []byte) error
	// to is given what is kept of a value, instead of the value around it. It is
	// only lent.
	to func(w *walk, value []byte) error
	// begin is called before each element of a list, which must be an object where
	// members are those of it: [0] is no scan that found nothing.
	begin func(w *walk) error
	// met is called where the value is a list.
	met func()
	// root: anything but an object is an error.
	root bool
	// lines: the value may be a list or any number of elements, one after the
	// other. Only at the top.
	lines bool
}

// walk is one reading of a report, in a stream.
type walk struct {
	in    *bufio.Reader
	dec   *json.Decoder
	most  int // bytes of a value that is read whole
	where []step
	raw   json.RawMessage // the value read last
}

// step is a member's name, or a place in a list.
type step struct {
	name  string
	index int
}

func newWalk(r io.Reader, most int) *walk {
	w := &walk{in: bufio.NewReaderSize(r, 64<<10), most: most}
	if mark, _ := w.in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = w.in.Discard(3) // tools on Windows begin files so
	}
	w.dec = json.NewDecoder(&guard{r: w.in, w: w})
	w.dec.UseNumber() // a number of any length is none of ours
	return w
}

// guard ends a reading in which one string, number, gap or whole value would
// fill the memory: the decoder holds all bytes from the beginning of the value
// that it is at.
type guard struct {
	r    io.Reader
	w    *walk
	read int64
}

var errTooLong = errors.New("a value is too long")

func (g *guard) Read(p []byte) (int, error) {
	if g.read-g.w.dec.InputOffset() > int64(g.w.most) {
		return 0, errTooLong
	}
	n, err := g.r.Read(p)
	g.read += int64(n)
	return n, err
}

// path is where the walk is.
func (w *walk) path() string {
	var b []byte
	for _, s := range w.where {
		switch {
		case s.name == "":
			b = fmt.Appendf(b, "[%d]", s.index)
		case len(b) > 0:
			b = append(append(b, '.'), s.name...)
		default:
			b = append(b, s.name...)
		}
	}
	return string(b)
}

func (w *walk) wrong(format string, args ...any) error {
	return &Error{Where: w.path(), Offset: w.dec.InputOffset(), Detail: fmt.Sprintf(format, args...)}
}

// failed is the error of the decoder, with its place.
func (w *walk) failed(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errTooLong):
		return w.wrong("a value is longer than %d bytes", w.most)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return w.wrong("the report ends here")
	case errors.As(err, &syntax):
		return w.wrong("%v", err)
	}
	return err
}

func (w *walk) enter(s step) error {
	const longest = 64 // of a name, in an error: it may be anything
	if len(s.name) > longest {
		s.name = s.name[:longest]
	}
	w.where = append(w.where, s)
	if len(w.where) > mostDepth {
		return w.wrong("nested deeper than %d levels", mostDepth)
	}
	return nil
}

func (w *walk) leave() { w.where = w.where[:len(w.where)-1] }

// document reads all of it.
func (w *walk) document(n *node) error {
	if n.lines && !w.startsList() {
		return w.lines(n)
	}
	if err := w.value(n, nil); err != nil {
		return err
	}
	if _, err := w.dec.Token(); err == nil {
		return w.wrong("something follows the report")
	} else if !errors.Is(err, io.EOF) {
		return w.failed(err)
	}
	return nil
}

// startsList says whether the first byte that is no space begins a list.
func (w *walk) startsList() bool {
	for {
		c, err := w.in.ReadByte()
		if err != nil {
			return false
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		_ = w.in.UnreadByte()
		return c == '['
	}
}

func (w *walk) lines(n *node) error {
	for i := 0; ; i++ {
		err := w.dec.Decode(&w.raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := w.enter(step{index: i}); err != nil {
			return err
		}
		if err == nil {
			err = w.shallow()
		} else {
			err = w.failed(err)
		}
		if err == nil {
			err = n.each(w, w.raw)
		}
		if err != nil {
			return err
		}
		w.leave()
	}
}

// value reads the next value and appends what n keeps of it to out, which may
// be nil where nothing is kept but handed over. Without a member to keep an
// object is {}; a string, a number, true, false and null are kept as they are.
func (w *walk) value(n *node, out *[]byte) error {
	switch {
	case n == nil:
		return w.skip()
	case n.to != nil:
		var own []byte
		inner := *n
		inner.to = nil
		if err := w.value(&inner, &own); err != nil {
			return err
		}
		return n.to(w, own)
	case n.members == nil && n.each == nil && n.begin == nil:
		if err := w.whole(); err != nil {
			return err
		}
		put(out, w.raw...)
		return nil
	}
	token, err := w.dec.Token()
	if err != nil {
		return w.failed(err)
	}
	listed := n.each != nil || n.begin != nil
	switch {
	case token == json.Delim('[') && n.root:
		return w.wrong("must be an object")
	case token == json.Delim('['):
		if n.met != nil {
			n.met()
		}
		return w.list(n, out)
	case listed && token != nil:
		return w.wrong("must be a list")
	case token == json.Delim('{'):
		return w.object(n, out)
	case n.root:
		return w.wrong("must be an object")
	}
	scalar, err := json.Marshal(token)
	put(out, scalar...)
	return err
}

func put(out *[]byte, b ...byte) {
	if out != nil {
		*out = append(*out, b...)
	}
}

func (w *walk) object(n *node, out *[]byte) error {
	put(out, '{')
	first := true
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return w.failed(err)
		}
		name, _ := token.(string)
		if err := w.enter(step{name: name}); err != nil {
			return err
		}
		member := n.members[name]
		if member.kept() {
			if !first {
				put(out, ',')
			}
			first = false
			quoted, _ := json.Marshal(name)
			put(out, quoted...)
			put(out, ':')
			err = w.value(member, out)
		} else {
			err = w.value(member, nil)
		}
		if err != nil {
			return err
		}
		w.leave()
	}
	put(out, '}')
	return w.close()
}

// kept: something of the value goes into the value around it.
func (n *node) kept() bool { return n != nil && n.each == nil && n.to == nil && n.begin == nil }

func (w *walk) list(n *node, out *[]byte) error {
	element := &node{members: n.members, root: n.begin != nil && n.members != nil}
	var own []byte
	put(out, '[')
	for i := 0; w.dec.More(); i++ {
		if err := w.enter(step{index: i}); err != nil {
			return err
		}
		if n.begin != nil {
			if err := n.begin(w); err != nil {
				return err
			}
		}
		if n.each != nil {
			own = own[:0]
			if err := w.value(element, &own); err != nil {
				return err
			}
			if err := n.each(w, own); err != nil {
				return err
			}
		} else {
			if i > 0 {
				put(out, ',')
			}
			if err := w.value(element, out); err != nil {
				return err
			}
		}
		w.leave()
	}
	put(out, ']')
	return w.close()
}

// close reads the end of an object or a list.
func (w *walk) close() error {
	if _, err := w.dec.Token(); err != nil {
		return w.failed(err)
	}
	return nil
}

// whole reads the next value into raw.
func (w *walk) whole() error {
	if err := w.dec.Decode(&w.raw); err != nil {
		return w.failed(err)
	}
	return w.shallow()
}

// shallow checks that what was read is not nested too deep.
func (w *walk) shallow() error {
	depth, quoted := len(w.where), false
	for i := 0; i < len(w.raw); i++ {
		switch c := w.raw[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > mostDepth {
				return w.wrong("nested deeper than %d levels", mostDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// skip reads past the next value and holds none of it but a string or a number.
func (w *walk) skip() error {
	for depth := 0; ; {
		token, err := w.dec.Token()
		if err != nil {
			return w.failed(err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; len(w.where)+depth > mostDepth {
				return w.wrong("nested deeper than %d levels", mostDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

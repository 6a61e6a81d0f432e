package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/schemas/codec"
)

// lines reads JSON lines from a file, unpacked if it is gzip by its first two
// bytes, whatever its name.
type lines struct {
	text   []byte // of the current line, until next
	number int    // of the current line, from 1
	tooBig bool   // the line is over the limit; text is its beginning
	err    error  // what ended the reading, if not the file's end

	size   int64 // of the file as it lies there; -1: unknown
	offset atomic.Int64
	file   io.Closer
	buffer *bufio.Reader
}

// openLines opens a file; - is stdin.
func openLines(name string, stdin io.Reader) (*lines, error) {
	l := &lines{size: -1}
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			l.size = info.Size()
		}
		in, l.file = f, f
	}
	l.buffer = bufio.NewReaderSize(counter{in, &l.offset}, 256<<10)
	if magic, _ := l.buffer.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(l.buffer)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		l.buffer = bufio.NewReaderSize(unpacked, 256<<10)
	}
	return l, nil
}

func (l *lines) close() {
	if l.file != nil {
		_ = l.file.Close() // only read from
	}
}

// next advances to the next line that is not blank.
func (l *lines) next() bool {
	for l.read() {
		if l.text = bytes.TrimSpace(l.text); len(l.text) > 0 {
			return true
		}
	}
	return false
}

func (l *lines) read() bool {
	l.text, l.tooBig = l.text[:0], false
	l.number++
	for {
		part, err := l.buffer.ReadSlice('\n')
		if len(l.text)+len(part) > kafka.MaxRecordBytes {
			l.tooBig = true // and the rest of it is read over
		} else {
			l.text = append(l.text, part...)
		}
		switch {
		case err == nil:
			return true
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return len(l.text) > 0 || l.tooBig
		}
		l.err = err
		return false
	}
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

var errLineTooBig = fmt.Errorf("longer than a record may be (%d MiB)", kafka.MaxRecordBytes>>20)

// checker makes records of lines that the pipeline would take.
type checker struct {
	decoder  codec.Decoder
	encoder  codec.Encoder
	maxBytes int // a record's value and headers
}

func newChecker(limits config.Limits) checker {
	return checker{decoder: codec.Decoder{MaxDepth: limits.MaxDepth}, maxBytes: int(limits.MaxEventBytes)}
}

// record is the current line as a record. The error says why the pipeline would
// not take it. Its size is that of the record and not of the line: a list of
// numbers is longer as msgpack, most else is shorter.
func (c *checker) record(l *lines, format codec.Format) (codec.Parsed, codec.Message, error) {
	if l.tooBig {
		return codec.Parsed{}, codec.Message{}, errLineTooBig
	}
	parsed, err := c.decoder.CheckLine(l.text)
	if err != nil {
		return codec.Parsed{}, codec.Message{}, err
	}
	m, err := c.encoder.Line(l.text, format)
	if err != nil {
		return codec.Parsed{}, codec.Message{}, err
	}
	return parsed, m, codec.CheckSize(m.Size(), c.maxBytes)
}

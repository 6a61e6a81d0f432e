package engine

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decoded undoes a body's Content-Encoding. A body that ends before its encoding does gives an error, never io.EOF.
func decoded(body io.Reader, encoding string) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return &lazyReader{open: func() (io.Reader, error) { return gzip.NewReader(body) }}, nil
	case "deflate":
		return &lazyReader{open: func() (io.Reader, error) { return zlib.NewReader(body) }}, nil
	case "br":
		return brotli.NewReader(body), nil
	case "lz4":
		return lz4.NewReader(body), nil
	case "zstd":
		return &lazyReader{open: func() (io.Reader, error) { return zstd.NewReader(body, zstd.WithDecoderConcurrency(1)) }}, nil
	}
	return nil, fail(codeNotImplemented, "NOT_IMPLEMENTED", "Unknown Content-Encoding %q (gzip, deflate, br, lz4 and zstd are known)", encoding)
}

// sticky repeats its reader's first error: some decoders go on after their end, ch-go's with the last frame once more.
type sticky struct {
	r   io.Reader
	err error
}

func (s *sticky) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.err = err
	return n, err
}

// lazyReader opens a decoder at the first read: gzip and zlib read a header, and a request without a body has none.
type lazyReader struct {
	open func() (io.Reader, error)
	r    io.Reader
	err  error
}

func (l *lazyReader) Read(p []byte) (int, error) {
	if l.r == nil && l.err == nil {
		l.r, l.err = l.open()
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.r.Read(p)
}

// frames undoes ClickHouse's own compression: frames of checksum, sizes, method and data (LZ4, ZSTD or none).
// ch-go's reader says io.EOF also where a frame is cut, so ends are counted here.
type frames struct {
	src *countingReader
	r   *compress.Reader
}

func newFrames(r io.Reader) *frames {
	src := &countingReader{r: r}
	return &frames{src: src, r: compress.NewReader(src)}
}

func (f *frames) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	before := f.src.n
	n, err := f.r.Read(p)
	if err == nil {
		return n, nil
	}
	switch {
	case f.src.err != nil && !errors.Is(f.src.err, io.EOF):
		return n, f.src.err // the transport's own trouble
	case errors.Is(err, io.EOF) && f.src.n == before:
		return n, io.EOF // between two frames
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, fail(codeCannotDecompress, "CANNOT_DECOMPRESS", "Cannot decompress the body: %v", err)
}

type countingReader struct {
	r   io.Reader
	n   int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// frameWriter compresses as ClickHouse does, one frame a megabyte.
type frameWriter struct {
	w   io.Writer
	c   *compress.Writer
	buf bytes.Buffer
}

const frameSize = 1 << 20

func newFrameWriter(w io.Writer, method string) *frameWriter {
	m := compress.LZ4
	switch strings.ToUpper(method) {
	case "ZSTD":
		m = compress.ZSTD
	case "NONE":
		m = compress.None
	case "LZ4HC":
		m = compress.LZ4HC
	}
	return &frameWriter{w: w, c: compress.NewWriter(compress.LevelZero, m)}
}

func (f *frameWriter) Write(data []byte) (int, error) {
	written := len(data)
	for len(data) > 0 {
		n := min(len(data), frameSize-f.buf.Len())
		f.buf.Write(data[:n])
		data = data[n:]
		if f.buf.Len() == frameSize {
			if err := f.Flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// Flush writes what is held as one frame.
func (f *frameWriter) Flush() error {
	if f.buf.Len() == 0 {
		return nil
	}
	if err := f.c.Compress(f.buf.Bytes()); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	f.buf.Reset()
	_, err := f.w.Write(f.c.Data)
	return err
}

// plain lets what follows go uncompressed, in frames of its own.
func (f *frameWriter) plain() {
	if f.Flush() == nil {
		f.c = compress.NewWriter(compress.LevelZero, compress.None)
	}
}

func (f *frameWriter) Close() error { return f.Flush() }

// acceptable picks an encoding out of Accept-Encoding, in ClickHouse's order of preference. Empty means none.
func acceptable(header string) string {
	accepted := map[string]bool{}
	for part := range strings.SplitSeq(header, ",") {
		name, args, _ := strings.Cut(part, ";")
		if q, ok := strings.CutPrefix(strings.TrimSpace(args), "q="); ok {
			if weight, err := strconv.ParseFloat(q, 64); err == nil && weight == 0 {
				continue
			}
		}
		accepted[strings.ToLower(strings.TrimSpace(name))] = true
	}
	for _, name := range []string{"zstd", "lz4", "br", "gzip", "deflate"} {
		if accepted[name] {
			return name
		}
	}
	return ""
}

// encoded applies a Content-Encoding that acceptable picked.
func encoded(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	case "lz4":
		return lz4.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("unknown encoding %q", encoding)
}

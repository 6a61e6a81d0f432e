package ingest

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packings are the content encodings that are read.
var packings = []string{"gzip", "zstd", "deflate"}

// packing is a request's content encoding, empty for none.
func packing(r *http.Request) (string, error) {
	name := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ",")))
	switch name {
	case "", "identity":
		return "", nil
	case "x-gzip":
		return "gzip", nil
	case "gzip", "zstd", "deflate":
		return name, nil
	}
	return "", problem(http.StatusUnsupportedMediaType, reasonEncoding, "content-encoding: %.50q is not read here", name).
		at("content-encoding").with("Accept-Encoding", strings.Join(packings, ", "))
}

var (
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstds = sync.Pool{New: func() any {
		// A window of 8 MiB is what RFC 8878 asks every reader to have.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			panic(err) // constant options
		}
		return d
	}}
)

// unpacked reads what r holds packed. Its errors are problems. release gives
// the reader back.
func unpacked(r io.Reader, packing string) (unpacked io.Reader, release func(), err error) {
	switch packing {
	case "gzip":
		z := gzips.Get().(*gzip.Reader)
		if err := z.Reset(r); err != nil {
			return nil, nil, badPacking(packing, err)
		}
		return packed{z, packing}, func() { gzips.Put(z) }, nil
	case "zstd":
		z := zstds.Get().(*zstd.Decoder)
		if err := z.Reset(r); err != nil {
			return nil, nil, badPacking(packing, err)
		}
		return packed{z, packing}, func() { _ = z.Reset(nil); zstds.Put(z) }, nil
	case "deflate": // which is the zlib format: RFC 9110, section 8.4.1.2
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, nil, badPacking(packing, err)
		}
		return packed{z, packing}, func() {}, nil
	}
	return r, func() {}, nil
}

// packed tells a body that is badly packed from one that doesn't come.
type packed struct {
	io.Reader
	packing string
}

func (p packed) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = badPacking(p.packing, err)
	}
	return n, err
}

func badPacking(packing string, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return problem(http.StatusBadRequest, reasonMalformed, "the body is no %s: %v", packing, err).at("content-encoding")
}

// arriving reads a request's body from the network.
type arriving struct{ io.Reader }

func (a arriving) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	switch {
	case err == nil || err == io.EOF:
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = problem(http.StatusRequestTimeout, reasonIncomplete, "the body did not come in time").with("Connection", "close")
	default:
		err = problem(http.StatusBadRequest, reasonIncomplete, "the body ended early: %v", err)
	}
	return n, err
}

// firstRead is what memory a body is given before it says how long it is.
const firstRead = 8 << 10

// readAll reads r, of size bytes as far as is known (-1: unknown), limit at
// most. What is read is taken from the budget first.
func (x *exchange) readAll(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, tooLarge(limit)
	}
	if size < 0 {
		size = firstRead
	}
	if err := x.hold(size); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(min(size, limit)) + bytes.MinRead)
	for {
		free := b.Available()
		if free < bytes.MinRead {
			if err := x.hold(int64(b.Len())); err != nil { // it is going to double
				return nil, err
			}
			b.Grow(b.Len())
			free = b.Available()
		}
		n, err := r.Read(b.AvailableBuffer()[:free])
		b.Write(b.AvailableBuffer()[:n])
		if int64(b.Len()) > limit {
			return nil, tooLarge(limit)
		}
		if err == io.EOF {
			return b.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

package engine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestFramesComeBackAsTheyWent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, method := range []string{"", "LZ4", "ZSTD", "NONE"} {
		for _, size := range []int{0, 1, 1000, frameSize, frameSize + 17} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(r.IntN(8))
			}
			var wire bytes.Buffer
			w := newFrameWriter(&wire, method)
			for len(data) > 0 { // in uneven pieces
				n := min(len(data), 1+r.IntN(400000))
				w.Write(data[:n])
				data = data[n:]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(&sticky{r: newFrames(&wire)})
			if err != nil || len(got) != size {
				t.Errorf("%q: %d bytes of %d: %v", method, len(got), size, err)
			}
		}
	}
}

func TestACutFrameIsNeverAnEnd(t *testing.T) {
	var wire bytes.Buffer
	w := newFrameWriter(&wire, "LZ4")
	w.Write([]byte("the first frame, the first frame"))
	w.Flush()
	first := wire.Len()
	w.Write([]byte("and the second one, the second one"))
	w.Close()
	whole := wire.Bytes()
	for cut := range whole {
		_, err := io.ReadAll(&sticky{r: newFrames(bytes.NewReader(whole[:cut]))})
		atBoundary := cut == 0 || cut == first
		if (err == nil) != atBoundary {
			t.Errorf("cut at %d (the first frame ends at %d): %v", cut, first, err)
		}
	}
	broken := bytes.Clone(whole)
	broken[first+30] ^= 1
	var e *exception
	if _, err := io.ReadAll(&sticky{r: newFrames(bytes.NewReader(broken))}); !errors.As(err, &e) || e.code != codeCannotDecompress {
		t.Errorf("a flipped bit: %v", err)
	}
}

func TestACutEncodingIsNeverAnEnd(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	for _, encoding := range []string{"gzip", "deflate", "br", "lz4", "zstd"} {
		var wire bytes.Buffer
		w, err := encoded(&wire, encoding)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		w.Close()
		for cut := 1; cut <= wire.Len(); cut++ {
			r, err := decoded(bytes.NewReader(wire.Bytes()[:cut]), encoding)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(&sticky{r: r})
			if whole := bytes.Equal(got, data); err == nil && !whole {
				t.Errorf("%s cut at %d of %d passes with %d bytes", encoding, cut, wire.Len(), len(got))
			} else if cut == wire.Len() && (err != nil || !whole) {
				t.Errorf("%s whole: %v", encoding, err)
			}
		}
	}
	if _, err := decoded(nil, "nonsense"); err == nil {
		t.Error("an unknown encoding passes")
	}
}

func TestABodyThatFailsUnderItsEncodingFails(t *testing.T) {
	var wire bytes.Buffer
	z := gzip.NewWriter(&wire)
	z.Write([]byte("whole"))
	z.Close()
	broken := io.MultiReader(&wire, iotest.ErrReader(io.ErrUnexpectedEOF)) // HTTP's own end is missing
	r, err := decoded(broken, "gzip")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err == nil {
		t.Error("passes")
	}
}

func TestTheEncodingIsPickedOutOfWhatIsAccepted(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "identity": "", "gzip": "gzip", "gzip, deflate": "gzip", "deflate": "deflate", "lz4, br, gzip": "lz4",
		"gzip;q=0, deflate;q=0.5": "deflate", "GZIP": "gzip", "*": "", "zstd;q=1.0,gzip": "zstd",
	} {
		if got := acceptable(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}

func FuzzFramesDoNotPanic(f *testing.F) {
	var wire bytes.Buffer
	w := newFrameWriter(&wire, "LZ4")
	w.Write([]byte("seed seed seed"))
	w.Close()
	f.Add(wire.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		io.Copy(io.Discard, io.LimitReader(&sticky{r: newFrames(bytes.NewReader(data))}, 1<<20))
	})
}

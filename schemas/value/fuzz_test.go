package value

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// FuzzJSON holds the scanner against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		thirteen, `[1,1.0,1e0,-0,1e-7,18446744073709551616]`, `{"a":1,"a":null}`, `"\ud83d\ude42\ud800"`, strings.Repeat("[", 65),
		strings.Repeat("[", 100_000), `{"a":"` + "\xff" + `"}`, `[1,]`, `1e999`, "\"\x00\"", ` {"a" : [ ] } `, `{"a":{"b":{"c":[1,{"d":null}]}}}`,
		"[" + strings.Repeat("null,", 10_000) + "1]", `"` + strings.Repeat("x", 10_000) + `"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		doc := new(Doc)
		err := doc.ParseJSON(in)
		switch valid := json.Valid(in) && utf8.Valid(in); {
		case err == nil && !valid:
			t.Fatalf("%q is no JSON", in)
		case err != nil && valid && !errors.Is(err, ErrTooDeep) && !strings.Contains(err.Error(), "out of range"):
			t.Fatalf("%q is refused: %v", in, err)
		case err != nil:
			return
		}
		reader := json.NewDecoder(bytes.NewReader(in))
		reader.UseNumber()
		var peer any
		if err := reader.Decode(&peer); err != nil {
			t.Fatal(err)
		}
		agree(t, doc.Root(), peer)
		readsBack(t, doc.Root())
	})
}

// FuzzMsgpack holds the scanner against vmihailenco's.
func FuzzMsgpack(f *testing.F) {
	moment := time.Date(2026, 11, 23, 15, 4, 5, 6, time.UTC)
	for _, v := range []any{
		nil, true, -1, 300, 1 << 40, 1.5, float32(0.25), "text", []byte("bytes"), moment, []any{1, nil, "a"},
		map[string]any{"a": map[string]any{"b": []any{1.0, uint64(1 << 63)}}, "t": moment},
	} {
		f.Add(marshalled(f, v))
	}
	f.Add(pack(f, thirteen))
	for _, seed := range []string{
		"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xffabc", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\xff", "\xc1",
		"\x81\x01\x02", "\x81\xa1a", "\xa2\xff\xfe", "\x92\x01", "\xc0\xc0", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01", "\xd4\x05\x00",
		"\x82\xa1a\x01\xa1a\xc0", strings.Repeat("\x91", 100_000), strings.Repeat("\x81\xa1a", 70) + "\xc0",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		doc := new(Doc)
		err := doc.ParseMsgpack(in)
		if err == nil {
			readsBack(t, doc.Root())
		} else if ourOwnRule(err) || strings.Contains(err.Error(), "a length of") {
			// The peer would go on, and meet lengths that we have not: it makes
			// room for 2^32 of anything (58 GB, and the end of the process).
			return
		}
		source := bytes.NewReader(in)
		peer, peerErr := msgpack.NewDecoder(source).DecodeInterface()
		if peerErr == nil && source.Len() > 0 {
			peerErr = io.ErrUnexpectedEOF
		}
		switch {
		case err == nil && peerErr == nil:
			agree(t, doc.Root(), peer)
		case err == nil && !theirOwnRule(peerErr):
			t.Fatalf("%x: the peer refuses it: %v", in, peerErr)
		case err != nil && peerErr == nil:
			t.Fatalf("%x: the peer takes it: %v", in, err)
		}
	})
}

// ourOwnRule tells errors for what msgpack itself allows.
func ourOwnRule(err error) bool {
	if errors.Is(err, ErrTooDeep) || errors.Is(err, ErrInvalidUTF8) {
		return true
	}
	for _, rule := range []string{"is no number", "a key that is no string", "a timestamp that is none"} {
		if strings.Contains(err.Error(), rule) {
			return true
		}
	}
	return false
}

// theirOwnRule tells errors for extensions that the peer doesn't know, or has
// a use of its own for (-128: interned strings).
func theirOwnRule(err error) bool {
	return strings.Contains(err.Error(), "unknown ext id") || strings.Contains(err.Error(), "intern")
}

// agree compares a value with what another decoder made of the same bytes.
func agree(t *testing.T, got Value, peer any) {
	t.Helper()
	text, err := json.Marshal(plainly(peer))
	if err != nil {
		t.Fatal(err)
	}
	doc := &Doc{MaxDepth: 1000}
	if err := doc.ParseJSON(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if a, b := string(got.AppendJSON(nil)), string(doc.Root().AppendJSON(nil)); a != b {
		t.Fatalf("we read %s, the peer %s", a, b)
	}
	if got.Hash() != doc.Root().Hash() {
		t.Fatalf("two hashes of %s", text)
	}
}

// plainly says in JSON's types what msgpack says in its own.
func plainly(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float32:
		return plainly(float64(v))
	case float64:
		// Beyond 2^53 json.Marshal's digits may be another integer's.
		if v == math.Trunc(v) && v >= -0x1p63 && v < 0x1p63 {
			return int64(v)
		}
		if v >= 0x1p63 && v < 0x1p64 {
			return uint64(v)
		}
	case []any:
		for i := range v {
			v[i] = plainly(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainly(v[key])
		}
	}
	return v
}

// readsBack writes a value in both formats and reads them again.
func readsBack(t *testing.T, v Value) {
	t.Helper()
	canonical := string(v.AppendJSON(nil))
	fromJSON, fromMsgpack := &Doc{MaxDepth: 1000}, &Doc{MaxDepth: 1000}
	if err := fromJSON.ParseJSON([]byte(canonical)); err != nil {
		t.Fatalf("%s: %v", canonical, err)
	}
	if err := fromMsgpack.ParseMsgpack(marshalled(t, v)); err != nil {
		t.Fatalf("%s: %v", canonical, err)
	}
	for _, again := range []Value{fromJSON.Root(), fromMsgpack.Root()} {
		if got := string(again.AppendJSON(nil)); got != canonical || again.Hash() != v.Hash() {
			t.Fatalf("%s reads back as %s", canonical, got)
		}
	}
}

package value

import (
	"bytes"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// thirteen is the data of a behavior.recorded event with all its fields.
const thirteen = `{"name":"checkout.completed","service":"checkout","environment":"production",` +
	`"user":"u-5f8a2c91","session":"s-77ab01","version":"v2.14.0","instance":"checkout-7d9f8b-x2x4q",` +
	`"ok":true,"duration_ms":182.4,"value":49.9,"weight":1,` +
	`"attributes":{"country":"DE","plan":"pro"},"region":"eu-central-1"}`

func pack(tb testing.TB, text string) []byte {
	tb.Helper()
	var doc Doc
	if err := doc.ParseJSON([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	var buf bytes.Buffer
	if err := doc.Root().EncodeMsgpack(msgpack.NewEncoder(&buf)); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkParseJSON(b *testing.B) {
	var doc Doc
	in := []byte(thirteen)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := doc.ParseJSON(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMsgpack(b *testing.B) {
	var doc Doc
	in := pack(b, thirteen)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := doc.ParseMsgpack(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	var doc Doc
	if err := doc.ParseJSON([]byte(thirteen)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		doc.Root().Hash()
	}
}

func BenchmarkCanonicalJSON(b *testing.B) {
	var doc Doc
	if err := doc.ParseJSON([]byte(thirteen)); err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = doc.Root().AppendJSON(buf[:0])
	}
}

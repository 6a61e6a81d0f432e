package value

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

func parsedJSON(t testing.TB, text string) Value {
	t.Helper()
	doc := new(Doc)
	if err := doc.ParseJSON([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc.Root()
}

func parsedMsgpack(t testing.TB, b []byte) Value {
	t.Helper()
	doc := new(Doc)
	if err := doc.ParseMsgpack(b); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return doc.Root()
}

func marshalled(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCanonicalJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":2}`:                           `{"a":2,"b":1}`,
		` [ 1 , 1.0 , 1e0, 10e-1 ] `:              `[1,1,1,1]`,
		`[-0, -0.0, 0e9]`:                         `[0,0,0]`,
		`[1.50, 1e-7, 1e21, 1e22, 0.1]`:           `[1.5,1e-7,1e+21,1e+22,0.1]`,
		`[18446744073709551615]`:                  `[18446744073709551615]`,
		`[9223372036854775808, 9007199254740993]`: `[9223372036854775808,9007199254740993]`,
		`[18446744073709551616]`:                  `[18446744073709552000]`,
		`{"a":null,"b":[null]}`:                   `{"b":[null]}`,
		`{"a":1,"a":2}`:                           `{"a":2}`,
		`{"a":1,"a":null}`:                        `{}`,
		`"\u00e9\n\"\\\/ \u0001"`:                 "\"é\\n\\\"\\\\/ \\u0001\"",
		`{"\u0061":1,"a":2}`:                      `{"a":2}`,
		`null`:                                    ``,
		`true`:                                    `true`,
	} {
		if got := parsedJSON(t, in).JSON(); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `01`, `1.`, `.5`, `+1`, `- 1`, `NaN`, `Infinity`, `1e999`, `-1e999`,
		`"\x"`, "\"\x01\"", `"abc`, `tru`, `nulll`, `1 2`, `{} {}`, "\ufeff{}", `[1}`, `'a'`, `"\u12"`, `/*c*/1`,
	} {
		doc := new(Doc)
		if err := doc.ParseJSON([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", in, err)
		}
		if doc.Root().Exists() {
			t.Errorf("%q left a value behind", in)
		}
	}
}

func TestInvalidUTF8IsRefusedInBothFormats(t *testing.T) {
	doc := new(Doc)
	for _, bad := range []string{"\xff", "long enough to be read by words \xc0\xaf", "\xed\xa0\x80", "ends\xe2\x82"} {
		if err := doc.ParseJSON([]byte(`{"a":"` + bad + `"}`)); !errors.Is(err, ErrInvalidUTF8) {
			t.Errorf("JSON %q: %v", bad, err)
		}
		for _, v := range []any{bad, map[string]any{bad: 1}, []any{"é", bad}} {
			if err := doc.ParseMsgpack(marshalled(t, v)); !errors.Is(err, ErrInvalidUTF8) {
				t.Errorf("msgpack %q: %v", bad, err)
			}
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	nested := func(n int) (text string, packed []byte) {
		return strings.Repeat("[", n) + strings.Repeat("]", n), append(bytes.Repeat([]byte{0x91}, n-1), 0x90)
	}
	doc := new(Doc)
	text, packed := nested(DefaultDepth)
	if doc.ParseJSON([]byte(text)) != nil || doc.ParseMsgpack(packed) != nil {
		t.Error("64 levels are refused")
	}
	for _, n := range []int{DefaultDepth + 1, 1_000_000} {
		text, packed := nested(n)
		if err := doc.ParseJSON([]byte(text)); !errors.Is(err, ErrTooDeep) {
			t.Errorf("JSON of %d levels: %v", n, err)
		}
		if err := doc.ParseMsgpack(packed); !errors.Is(err, ErrTooDeep) {
			t.Errorf("msgpack of %d levels: %v", n, err)
		}
	}
	doc.MaxDepth = 1
	if err := doc.ParseJSON([]byte(`{"a":[]}`)); !errors.Is(err, ErrTooDeep) {
		t.Errorf("two levels where one is allowed: %v", err)
	}
}

func TestDepthIsWhatABoundWouldHaveToBe(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text, err := json.Marshal(anyValue(4).Draw(rt, "value"))
		if err != nil {
			rt.Fatal(err)
		}
		depth := parsedJSON(t, string(text)).Depth()
		if depth > 0 && (&Doc{MaxDepth: depth}).ParseJSON(text) != nil {
			rt.Fatalf("%s is refused at its depth %d", text, depth)
		}
		if depth > 1 && (&Doc{MaxDepth: depth - 1}).ParseJSON(text) == nil {
			rt.Fatalf("%s is taken at less than its depth %d", text, depth)
		}
	})
	if (Value{}).Depth() != 0 || parsedJSON(t, `{"a":null,"a":[[]]}`).Depth() != 3 || parsedJSON(t, `[]`).Depth() != 1 {
		t.Error("another depth")
	}
}

func TestTextAndBytesAreStrings(t *testing.T) {
	var doc Doc
	if err := doc.ParseText([]byte("é\x00\"")); err != nil || doc.Root().JSON() != `"é\u0000\""` {
		t.Error(err, doc.Root().JSON())
	}
	if err := doc.ParseText([]byte("a\xff")); !errors.Is(err, ErrInvalidUTF8) || doc.Root().Exists() {
		t.Error(err)
	}
	doc.ParseBytes([]byte{0, 1})
	if doc.Root().Hash() != parsedMsgpack(t, []byte{0xc4, 2, 0, 1}).Hash() || doc.Root().JSON() != `"AAE="` {
		t.Error(doc.Root().JSON())
	}
	for _, empty := range [][]byte{nil, {}} {
		doc.ParseBytes(empty)
		if s, ok := doc.Root().Text(); s != "" || !ok {
			t.Error("nothing is no empty string")
		}
	}
}

func TestADeclaredLengthReservesNothing(t *testing.T) {
	doc := new(Doc)
	for _, start := range []string{
		"\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01",
		"\xda\xff\xff", "\xdc\xff\xff", "\xde\xff\xff", "\xdf\x80\x00\x00\x00", "\x81\xdb\xff\xff\xff\xff",
	} {
		in := []byte(start + "abc")
		grown := testing.AllocsPerRun(10, func() {
			if err := doc.ParseMsgpack(in); !errors.Is(err, ErrMalformed) {
				t.Errorf("%x: %v", in, err)
			}
		})
		if grown > 20 || cap(doc.nodes) > 1000 {
			t.Errorf("%x: %v allocations, %d nodes", in, grown, cap(doc.nodes))
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	packed := pack(t, thirteen)
	doc := new(Doc)
	for n := range packed {
		if err := doc.ParseMsgpack(packed[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("msgpack cut to %d bytes: %v", n, err)
		}
	}
	for n := range len(thirteen) {
		if err := doc.ParseJSON([]byte(thirteen[:n])); !errors.Is(err, ErrMalformed) {
			t.Errorf("JSON cut to %d bytes: %v", n, err)
		}
	}
}

func TestWhatIsNoMsgpackIsRefused(t *testing.T) {
	doc := new(Doc)
	nan, inf := make([]byte, 9), make([]byte, 9)
	nan[0], inf[0] = 0xcb, 0xcb
	binary.BigEndian.PutUint64(nan[1:], math.Float64bits(math.NaN()))
	binary.BigEndian.PutUint64(inf[1:], math.Float64bits(math.Inf(-1)))
	for name, in := range map[string][]byte{
		"nothing": {}, "the unused code": {0xc1}, "a key that is a number": {0x81, 0x01, 0x02}, "a key that is nil": {0x81, 0xc0, 0x02},
		"a second value": {0x01, 0x02}, "NaN": nan, "infinity": inf, "a timestamp of 3 bytes": {0xc7, 3, 0xff, 1, 2, 3},
		"a timestamp of 2^32-1 nanoseconds": append([]byte{0xc7, 12, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 8)...),
		"a timestamp beyond the year 9999":  append([]byte{0xc7, 12, 0xff, 0, 0, 0, 0}, bytes.Repeat([]byte{0x7f}, 8)...),
	} {
		if err := doc.ParseMsgpack(in); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtensionsOfMsgpack(t *testing.T) {
	moment := time.Date(2026, 11, 23, 15, 4, 5, 123456789, time.FixedZone("", 3600))
	for want, in := range map[string][]byte{
		`"2026-11-23T14:04:05.123456789Z"`: marshalled(t, moment),
		`"2026-11-23T14:04:05Z"`:           marshalled(t, moment.Truncate(time.Second)),
		`"1960-01-01T00:00:00Z"`:           marshalled(t, time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)),
		`"AQID/w=="`:                       marshalled(t, []byte{1, 2, 3, 255}),
		`[5,"Kg=="]`:                       {0xd4, 0x05, 0x2a},
		`[-2,""]`:                          {0xc7, 0x00, 0xfe},
	} {
		if got := parsedMsgpack(t, in).JSON(); got != want {
			t.Errorf("%x is %s, want %s", in, got, want)
		}
	}
}

func TestANumberIsTheSameHoweverWritten(t *testing.T) {
	for want, same := range map[string][]any{
		`1`:                    {int8(1), uint64(1), float32(1), float64(1), int64(1)},
		`-5`:                   {int8(-5), int16(-5), int32(-5), int64(-5), float32(-5)},
		`300`:                  {uint16(300), int16(300), uint32(300), float64(300)},
		`9223372036854775808`:  {uint64(1 << 63), float64(1 << 63)},
		`-9223372036854775808`: {int64(math.MinInt64), float64(math.MinInt64)},
		`0`:                    {0, math.Copysign(0, -1)},
		`0.5`:                  {float32(0.5), 0.5},
	} {
		hash := parsedJSON(t, want).Hash()
		for _, v := range same {
			got := parsedMsgpack(t, marshalled(t, v))
			if got.JSON() != want || got.Hash() != hash {
				t.Errorf("%T %v is %s", v, v, got.JSON())
			}
		}
	}
}

func TestHashTellsApartWhatIsNotTheSame(t *testing.T) {
	seen := map[uint64]string{}
	for _, text := range []string{
		`{}`, `[]`, `""`, `null`, `0`, `false`, `true`, `1`, `"1"`, `-1`, `18446744073709551615`, `1.5`, `"1.5"`, `"true"`, `"null"`,
		`[null]`, `[null,null]`, `[[]]`, `[{}]`, `{"a":{}}`, `{"a":[]}`, `{"a":""}`,
		`{"a":{"b":1}}`, `{"a.b":1}`, `{"a":{"b":{"c":1}}}`, `{"a.b":{"c":1}}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"b":{"a":1}}`,
		`["a","b"]`, `["b","a"]`, `["ab"]`, `["a",["b"]]`, `[["a"],"b"]`, `[["a","b"]]`, `{"a":"b"}`, `{"b":"a"}`, `{"ab":""}`, `{"":"ab"}`,
		`[1,2]`, `[2,1]`, `[12]`, `[1,2,0]`, `{"a":[1,2]}`, `{"a":[1],"b":[2]}`, `{"a":[2],"b":[1]}`, `"a"`, `"aa"`, `"aaa"`, `"aaaa"`,
		`"aaaaaaaa"`, `"aaaaaaaaa"`, `"\u0000"`, `"\u0000\u0000"`, `{"x":1,"y":1}`, `{"x":1,"y":1,"z":1}`,
	} {
		h := parsedJSON(t, text).Hash()
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have one hash", text, other)
		}
		seen[h] = text
	}
}

func TestHashOfTextHasNoEasyCollisions(t *testing.T) {
	seen := map[uint64]string{}
	buf := []byte("0123456789abcdefghij")
	for n := range len(buf) + 1 {
		for i := range n {
			for c := range 256 {
				s := append([]byte{}, buf[:n]...)
				s[i] = byte(c)
				h := HashText(string(s))
				if other, ok := seen[h]; ok && other != string(s) {
					t.Fatalf("%q and %q have one hash", s, other)
				}
				seen[h] = string(s)
			}
		}
	}
}

// TestHashIsWellMixed flips each bit of a number and expects about half of the
// hash to change.
func TestHashIsWellMixed(t *testing.T) {
	changed, flips := 0, 0
	for n := range int64(200) {
		for bit := range 63 {
			a := parsedMsgpack(t, marshalled(t, map[string]int64{"n": n * 7919})).Hash()
			b := parsedMsgpack(t, marshalled(t, map[string]int64{"n": n*7919 ^ 1<<bit})).Hash()
			for x := a ^ b; x != 0; x &= x - 1 {
				changed++
			}
			flips++
		}
	}
	if mean := float64(changed) / float64(flips); mean < 31 || mean > 33 {
		t.Errorf("%.2f of 64 bits change with one", mean)
	}
}

// anyValue draws what both formats can say.
func anyValue(depth int) *rapid.Generator[any] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\\n\u0001é世🙂.")), 0, 12, -1)
	scalar := rapid.OneOf(
		rapid.Just(any(nil)), asAny(rapid.Bool()), asAny(rapid.Int64()), asAny(rapid.Uint64()), asAny(text),
		asAny(rapid.Float64Range(-0x1p53, 0x1p53)), rapid.Just(any(-1.5e300)), asAny(rapid.Int64Range(-40, 300)),
	)
	if depth == 0 {
		return scalar
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(depth - 1) })
	return rapid.OneOf(scalar, asAny(rapid.SliceOfN(inner, 0, 5)), asAny(rapid.MapOfN(text, inner, 0, 40)))
}

func asAny[T any](g *rapid.Generator[T]) *rapid.Generator[any] {
	return rapid.Map(g, func(v T) any { return v })
}

func TestBothFormatsOfAValueAreOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := anyValue(4).Draw(rt, "value")
		text, err := json.Marshal(v)
		if err != nil {
			rt.Fatal(err)
		}
		fromJSON, fromMsgpack := parsedJSON(t, string(text)), parsedMsgpack(t, marshalled(t, v))
		if a, b := fromJSON.JSON(), fromMsgpack.JSON(); a != b {
			rt.Fatalf("JSON says %s, msgpack %s", a, b)
		}
		if fromJSON.Hash() != fromMsgpack.Hash() {
			rt.Fatalf("two hashes of %s", text)
		}
	})
}

func TestTheCanonicalFormAndMsgpackReadBackTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text, err := json.Marshal(anyValue(4).Draw(rt, "value"))
		if err != nil {
			rt.Fatal(err)
		}
		v := parsedJSON(t, string(text))
		canonical := string(v.AppendJSON(nil))
		again := parsedJSON(t, canonical)
		if got := string(again.AppendJSON(nil)); got != canonical || again.Hash() != v.Hash() {
			rt.Fatalf("%s reads back as %s", canonical, got)
		}
		packed := parsedMsgpack(t, marshalled(t, v))
		if got := string(packed.AppendJSON(nil)); got != canonical || packed.Hash() != v.Hash() {
			rt.Fatalf("%s packs to %s", canonical, got)
		}
		if !json.Valid([]byte(canonical)) {
			rt.Fatalf("%s is no JSON", canonical)
		}
	})
}

func TestOrderAndNullsDoNotCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		members := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,6}`), anyValue(1), 0, 50).Draw(rt, "members")
		var lines []string
		for key, v := range members {
			k, _ := json.Marshal(key)
			text, _ := json.Marshal(v)
			lines = append(lines, string(k)+":"+string(text))
		}
		if len(lines) > 0 { // a member stated before, with another value
			key, _, _ := strings.Cut(lines[0], ":")
			lines = append([]string{key + `:"overridden"`}, lines...)
		}
		tail := rapid.Permutation(lines[min(1, len(lines)):]).Draw(rt, "order")
		shuffled := append(append([]string{}, lines[:min(1, len(lines))]...), tail...)
		shuffled = append(shuffled, `"NULL":null`)
		a := parsedJSON(t, "{"+strings.Join(lines, ",")+"}")
		b := parsedJSON(t, "{"+strings.Join(shuffled, " , ")+"}")
		if a.Hash() != b.Hash() || a.JSON() != b.JSON() || a.Len() != b.Len() {
			rt.Fatalf("%s and %s differ", a.JSON(), b.JSON())
		}
	})
}

func TestAccess(t *testing.T) {
	v := parsedJSON(t, `{"s":"x","i":-3,"u":18446744073709551615,"f":1.5,"b":true,"a":[1,"two",null],"o":{"p":{"q":"deep"}},"n":null}`)
	if s, ok := v.Field("s").Text(); s != "x" || !ok {
		t.Error(s, ok)
	}
	if i, ok := v.Field("i").Int(); i != -3 || !ok {
		t.Error(i, ok)
	}
	if _, ok := v.Field("u").Int(); ok {
		t.Error("2^64-1 fits an int64")
	}
	for name, want := range map[string]float64{"i": -3, "u": 18446744073709551615, "f": 1.5} {
		if n, ok := v.Field(name).Number(); n != want || !ok {
			t.Error(name, n, ok)
		}
	}
	if b, ok := v.Field("b").Bool(); !b || !ok {
		t.Error(b, ok)
	}
	if s, _ := v.At("o", "p", "q").Text(); s != "deep" {
		t.Error(s)
	}
	if v.At("o", "nothing", "q").Exists() || v.Field("n").Exists() || v.Len() != 7 {
		t.Error("something where there is nothing", v.Len())
	}
	var kinds []string
	for element := range v.Field("a").Elements() {
		kinds = append(kinds, element.Kind().String())
	}
	if got := strings.Join(kinds, " "); got != "integer string null" {
		t.Error(got)
	}
}

func TestStringsOutliveTheNextParse(t *testing.T) {
	var doc Doc
	var kept []string
	for i := range 2000 {
		if err := doc.ParseMsgpack(marshalled(t, []any{time.Unix(int64(i), 0).UTC(), []byte{byte(i)}})); err != nil {
			t.Fatal(err)
		}
		for v := range doc.Root().Elements() {
			s, _ := v.Text()
			kept = append(kept, s)
		}
	}
	for i := range 2000 {
		if want := time.Unix(int64(i), 0).UTC().Format(time.RFC3339); kept[2*i] != want {
			t.Fatalf("%s has become %s", want, kept[2*i])
		}
	}
}

func TestAHugeRecordDoesNotStayWithTheDoc(t *testing.T) {
	var doc Doc
	huge := `["` + strings.Repeat("x", 10_000_000) + `",` + strings.Repeat("0,", 100_000) + "0]"
	if err := doc.ParseJSON([]byte(huge)); err != nil {
		t.Fatal(err)
	}
	if err := doc.ParseJSON([]byte(`1`)); err != nil || cap(doc.nodes) > keepNodes {
		t.Errorf("%v, %d nodes are kept", err, cap(doc.nodes))
	}
}

func TestManyEqualKeysCostNoSquare(t *testing.T) {
	var doc Doc
	many := "{" + strings.Repeat(`"k":1,`, 200_000) + `"k":2}`
	if err := doc.ParseJSON([]byte(many)); err != nil || doc.Root().JSON() != `{"k":2}` {
		t.Errorf("%v: %s", err, doc.Root().JSON())
	}
}

func TestScanningAndHashingAllocateNothing(t *testing.T) {
	var doc Doc
	text, packed := []byte(thirteen), pack(t, thirteen)
	n := testing.AllocsPerRun(100, func() {
		if doc.ParseJSON(text) != nil || doc.ParseMsgpack(packed) != nil || doc.Root().Hash() == 0 {
			t.Error("does not parse")
		}
		for range doc.Root().Members() { // the closure too is free
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidUTF8AgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte("aaaaaaaa\x7f\x80\xc3\xa9\xe2\x82\xac\xff")), 0, 40).Draw(rt, "bytes")
		if got, want := ValidUTF8(b), validPrefix(b) == len(b); got != want {
			rt.Fatalf("%x: %v", b, got)
		}
	})
}

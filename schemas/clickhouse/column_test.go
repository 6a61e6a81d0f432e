package tables

import (
	stdbytes "bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/event"
)

// encoded is a column in wire form, read back by ch-go's own column.
func encoded(t *rapid.T, c column, into proto.ColResult) {
	var buf proto.Buffer
	if s, ok := c.(proto.StateEncoder); ok {
		s.EncodeState(&buf)
	}
	c.EncodeColumn(&buf)
	r := proto.NewReader(stdbytes.NewReader(buf.Buf))
	if s, ok := into.(proto.StateDecoder); ok {
		if err := s.DecodeState(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := into.DecodeColumn(r, c.Rows()); err != nil {
		t.Fatal(err)
	}
	if c.Type() != into.Type() {
		t.Fatalf("type %s, want %s", c.Type(), into.Type())
	}
}

// Values are drawn so that defaults come in runs, which the columns leave out
// until something follows.
func draw[T any](t *rapid.T, some *rapid.Generator[T], none T) []T {
	return rapid.SliceOf(rapid.OneOf(rapid.Just(none), rapid.Just(none), some)).Draw(t, "values")
}

func TestLazyColumnsSayTheSameAsThoseOfChGo(t *testing.T) {
	t.Run("text", rapid.MakeCheck(func(t *rapid.T) {
		var c text
		values := draw(t, rapid.String(), "")
		for range 2 { // again, after Reset
			c.Reset()
			for _, v := range values {
				c.Append(v)
			}
			var got proto.ColStr
			encoded(t, &c, &got)
			for i, v := range values {
				if got.Row(i) != v {
					t.Fatalf("row %d is %q, want %q", i, got.Row(i), v)
				}
			}
		}
	}))
	t.Run("words", rapid.MakeCheck(func(t *rapid.T) {
		var c words
		// Some draws have more than 256 distinct values: keys of two bytes.
		values := draw(t, rapid.StringMatching(`[a-z]{1,2}`), "")
		if rapid.Bool().Draw(t, "many") {
			for i := range 300 {
				values = append(values, strings.Repeat("x", i))
			}
		}
		for range 2 {
			c.Reset()
			for _, v := range values {
				c.Append(v)
			}
			if len(values) == 0 {
				return
			}
			got := new(proto.ColStr).LowCardinality()
			encoded(t, &c, got)
			if !slices.Equal(got.Values, values) {
				t.Fatalf("%q, want %q", got.Values, values)
			}
		}
	}))
	t.Run("fixed", rapid.MakeCheck(func(t *rapid.T) {
		c := unsigned()
		values := draw(t, rapid.Uint64(), 0)
		for _, v := range values {
			c.Append64(v)
		}
		var got proto.ColUInt64
		encoded(t, &c, &got)
		if !slices.Equal(got, values) {
			t.Fatalf("%v, want %v", got, values)
		}
	}))
	t.Run("optional", rapid.MakeCheck(func(t *rapid.T) {
		c := optionally(fractions())
		values := draw(t, rapid.Float64(), event.Unknown)
		for _, v := range values {
			c.AppendFloat(v)
		}
		got := new(proto.ColFloat64).Nullable()
		encoded(t, &c, got)
		for i, v := range values {
			if row := got.Row(i); row.Set != (v == v) || row.Set && row.Value != v {
				t.Fatalf("row %d is %v, want %v", i, row, v)
			}
		}
	}))
	t.Run("truths", rapid.MakeCheck(func(t *rapid.T) {
		var c truths
		values := draw(t, rapid.SampledFrom([]event.Truth{event.True, event.False}), event.Unstated)
		for _, v := range values {
			c.Append(v)
		}
		got := new(proto.ColBool).Nullable()
		encoded(t, &c, got)
		for i, v := range values {
			if row := got.Row(i); row.Set != (v != event.Unstated) || row.Set && row.Value != (v == event.True) {
				t.Fatalf("row %d is %v, want %v", i, row, v)
			}
		}
	}))
	t.Run("list", rapid.MakeCheck(func(t *rapid.T) {
		var c list
		values := draw(t, rapid.SliceOf(rapid.String()), nil)
		for _, v := range values {
			c.Append(v)
		}
		got := new(proto.ColStr).Array()
		encoded(t, &c, got)
		for i, v := range values {
			if !slices.Equal(got.Row(i), v) {
				t.Fatalf("row %d is %q, want %q", i, got.Row(i), v)
			}
		}
	}))
	t.Run("pairs", rapid.MakeCheck(func(t *rapid.T) {
		var c pairs
		pair := rapid.Custom(func(t *rapid.T) event.Pair {
			return event.Pair{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "value")}
		})
		values := draw(t, rapid.SliceOf(pair), nil)
		for _, v := range values {
			c.Append(v)
		}
		got := proto.NewMap(new(proto.ColStr), new(proto.ColStr))
		encoded(t, &c, got)
		for i, v := range values {
			row := got.RowKV(i)
			same := slices.EqualFunc(row, v, func(kv proto.KV[string, string], p event.Pair) bool {
				return kv.Key == p.Key && kv.Value == p.Value
			})
			if !same {
				t.Fatalf("row %d is %q, want %q", i, row, v)
			}
		}
	}))
}

func TestABlockSendsOnlyTheColumnsThatSaySomething(t *testing.T) {
	block := NewFacts()
	f := &event.Fact{Event: event.Event{Source: "s", ID: "i", Type: "t"}, Data: "{}"}
	for range 3 {
		block.Append(f)
		var names []string
		for _, column := range block.Input() {
			if column.Data.Rows() != 1 {
				t.Errorf("%s has %d rows", column.Name, column.Data.Rows())
			}
			names = append(names, column.Name)
		}
		if want := []string{"source", "id", "type", "data"}; !slices.Equal(names, want) {
			t.Errorf("columns %q, want %q", names, want)
		}
		block.Reset()
	}
	block.Append(&event.Fact{})
	if input := block.Input(); len(input) != 1 || block.Rows() != 1 {
		t.Errorf("a row of defaults has %d columns and %d rows", len(input), block.Rows())
	}
}

func TestAppendingAnObservationAllocatesNothingInTheLongRun(t *testing.T) {
	observations, enrichments := sample(1000)
	block := NewObservations()
	fill := func() {
		block.Reset()
		for i := range observations {
			block.Append(&observations[i], &enrichments[i])
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n > 10 {
		t.Errorf("%v allocations for 1000 observations", n)
	}
}

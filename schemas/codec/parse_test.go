package codec

import (
	"testing"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

func mustParse(t testing.TB, d *Decoder, text string) value.Value {
	t.Helper()
	if text == "" {
		return value.Value{}
	}
	if err := d.doc.ParseJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d.doc.Root()
}

func TestTimes(t *testing.T) {
	var c clock
	for text, want := range map[string]event.Millis{
		"2026-11-23T14:05:00Z":        1795442700000,
		"2026-11-23T14:05:00.1Z":      1795442700100,
		"2026-11-23T14:05:00.123Z":    1795442700123,
		"2026-11-23T14:05:00.123999Z": 1795442700123,
		"2026-11-23T15:05:00+01:00":   1795442700000,
		"2026-11-23T00:05:00.5-14:00": 1795442700500,
		"1969-12-31T23:59:59.999Z":    -1,
		"2000-02-29T23:59:59Z":        951868799000,
	} {
		for range 2 { // the second time the date is known
			if got, ok := c.parse(text); got != want || !ok {
				t.Errorf("%s: %d, want %d", text, got, want)
			}
		}
	}
	for _, text := range []string{
		"", "2026", "2026-11-23", "2026-11-23 14:05:00Z", "2026-11-23T14:05:00", "2026-11-23T24:00:00Z", "2026-11-23T14:60:00Z", "2026-11-23T14:05:61Z",
		"2026-11-23T14:05:0aZ", "2026-11-23T14:05:00.Z", "2026-11-23T14:05:00.1a3Z", "2026-11-23T14:05:00z1", "2026-13-01T00:00:00Z", "2026-11-23T1:05:000Z", "2026-11-23T-1:05:00Z",
	} {
		if _, ok := c.parse("2026-11-23T00:00:00Z"); !ok {
			t.Fatal("no time")
		}
		if got, ok := c.parse(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}

package codec

import (
	"testing"

	"github.com/whencehq/whence/schemas/event"
)

// What is delivered again comes at another time, and a later version places
// more of it.
func TestWhatIsKeptIsTheSameContentHoweverOftenItComes(t *testing.T) {
	var d Decoder
	var out Events
	e := event.Event{Type: "com.example.hook", Source: "s", ID: "1", Time: event.MinTime}
	for _, again := range []struct {
		at       event.Millis
		unplaced string
		body     string
	}{
		{event.MinTime, "", `{"a":1,"b":2}`}, {event.MinTime + 1, "", `{"b":2,"a":1}`}, {event.MinTime, "a reason", `{"a":1,"b":2}`},
		{event.MinTime, "", `{"a":2,"b":2}`},
	} {
		e.Time, e.Extensions = again.at, nil
		if again.unplaced != "" {
			e.Extensions = []event.Pair{{Key: "unplaced", Value: again.unplaced}}
		}
		if err := d.Keep(&out, from, e, []byte(again.body)); err != nil {
			t.Fatal(err)
		}
	}
	first := out.Others[0]
	for i, o := range out.Others[1:] {
		if same := i < 2; (o.Hash == first.Hash) != same || !o.Kept {
			t.Errorf("%s at %d with %v: hash %x, the first has %x", o.Data, o.Time, o.Extensions, o.Hash, first.Hash)
		}
	}
	// Rules that rewrite it leave it so.
	var restated Events
	for _, o := range out.Others[:2] {
		if err := d.Restate(&restated, from, o.Event, o.Kept, o.Data, `{"a":1}`); err != nil {
			t.Fatal(err)
		}
	}
	if restated.Others[0].Hash != restated.Others[1].Hash {
		t.Error("rewritten, they are two contents")
	}
}

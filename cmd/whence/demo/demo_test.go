package demo

import (
	"bytes"
	"sync"
	"testing"

	"github.com/whencehq/whence/schemas/codec"
)

func generate() ([]Event, error) {
	s, err := Load()
	if err != nil {
		return nil, err
	}
	return s.Events()
}

var generateOnce = sync.OnceValues(generate)

func events(t *testing.T) []Event {
	t.Helper()
	all, err := generateOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheScenarioIsTheSameEveryTime(t *testing.T) {
	a := events(t)
	b, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Fatalf("%d events, then %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].JSON, b[i].JSON) {
			t.Fatalf("event %d was %s, then %s", i, a[i].JSON, b[i].JSON)
		}
	}
}

func TestEveryEventIsOneThatThePipelineTakes(t *testing.T) {
	var d codec.Decoder
	facts, observations := 0, 0
	seen := map[string]bool{}
	for _, e := range events(t) {
		parsed, err := d.CheckLine(e.JSON)
		if err != nil {
			t.Fatalf("%v: %s", err, e.JSON)
		}
		identity := parsed.Source + "|" + parsed.ID + "|" + parsed.Type
		if seen[identity] {
			t.Errorf("two events are %s", identity)
		}
		seen[identity] = true
		if e.Fact {
			facts++
		} else {
			observations++
		}
	}
	t.Logf("%d facts, %d observations", facts, observations)
	if observations < 20_000 || observations > 60_000 {
		t.Errorf("%d observations, want 20,000 to 60,000", observations)
	}
}

func TestFactsComeLateAndObservationsOutOfOrder(t *testing.T) {
	var d codec.Decoder
	latest := map[bool]int64{}
	behind := map[bool]int{}
	for _, e := range events(t) {
		parsed, err := d.CheckLine(e.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if at := int64(parsed.Time); at < latest[e.Fact] {
			behind[e.Fact]++
		} else {
			latest[e.Fact] = at
		}
	}
	if behind[true] == 0 || behind[false] == 0 {
		t.Errorf("%d facts and %d observations are published after a later one", behind[true], behind[false])
	}
}

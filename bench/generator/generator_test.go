package generator_test

import (
	"reflect"
	"testing"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/schemas/event"
)

func all(s generator.Shape, batch int) []event.Fact {
	var facts []event.Fact
	for f := range generator.New(s).Facts(batch) {
		facts = append(facts, f...)
	}
	return facts
}

func TestASeedMakesTheSameFactsHoweverTheyAreCut(t *testing.T) {
	s := generator.Organisation(7, 1234)
	a, b := all(s, 1000), all(s, 7)
	if len(a) != 1234 || len(b) != 1234 {
		t.Fatalf("made %d and %d facts", len(a), len(b))
	}
	for i := range a {
		// Unknown numbers differ from themselves, so payloads are left out.
		a[i].Payload, b[i].Payload = nil, nil
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatal("they differ")
	}
}

func TestEveryFactHasAnIdentityOfItsOwnAndATimeInTheInterval(t *testing.T) {
	s := generator.Organisation(7, 5000)
	seen := map[[3]string]bool{}
	for i, f := range all(s, 512) {
		k := [3]string{f.Source, f.ID, f.Type}
		if seen[k] {
			t.Fatalf("twice: %v", k)
		}
		seen[k] = true
		if f.Time < s.From || f.Time >= s.To || f.Revision != 1<<40|uint64(i+1) {
			t.Fatalf("fact %d: time %d, revision %d", i, f.Time, f.Revision)
		}
	}
}

func TestAHotKeyIsOneServiceInOneEnvironment(t *testing.T) {
	for _, f := range all(generator.HotKey(7, 500), 100) {
		if d, ok := f.Payload.(*event.Deployment); ok && (d.Service != "service-0000" || d.Environment != "production") {
			t.Fatalf("got %s in %s", d.Service, d.Environment)
		}
	}
}

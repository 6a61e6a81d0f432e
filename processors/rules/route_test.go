package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/rules"
)

// destinations are a batch's routes as a reader would list them.
func destinations(b *pipeline.Batch) (all []string) {
	for _, r := range b.Alive() {
		all = append(all, fmt.Sprintf("%d by %s to %s", r.Offset, r.Rule, r.To))
	}
	return all
}

func TestWhatIsRoutedIsAsTheRulesLeaveItWhicheverComesFirst(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: to people, types: [io.whence.behavior.recorded], route: acme.people}
  - {name: to bots, types: [io.whence.behavior.recorded], when: event.data.name == "checkout", route: acme.bots}
  - {name: hidden, types: [io.whence.behavior.recorded], hash: [event.data.user], redact: [event.data.attributes.email]}
`)
	b := ran(t, set, structured(clicked))
	if diff := cmp.Diff([]string{"100 by to people to acme.people", "100 by to bots to acme.bots"}, destinations(b)); diff != "" {
		t.Fatal(diff)
	}
	if len(b.Observations) != 1 {
		t.Errorf("it is stored besides: %+v", b.Observations)
	}
	r := b.Routed[0]
	var said struct {
		ID, Type string
		Data     struct {
			User       string
			Attributes map[string]string
		}
	}
	if err := json.Unmarshal(r.Value, &said); err != nil {
		t.Fatalf("%v in %s", err, r.Value)
	}
	if said.ID != "1" || said.Type != "io.whence.behavior.recorded" || said.Data.User != b.Observations[0].User || said.Data.Attributes["email"] != "[redacted]" {
		t.Errorf("%s went out, and %s is stored", r.Value, b.Observations[0].User)
	}
	if strings.Contains(string(r.Value)+string(r.Key), "ada@") {
		t.Errorf("what was to be hidden went out: key %s, %s", r.Key, r.Value)
	}
	if i := slices.IndexFunc(r.Headers, func(h pipeline.Header) bool { return h.Key == "content-type" }); i < 0 || string(r.Headers[i].Value) != "application/cloudevents+json" {
		t.Errorf("headers %v", r.Headers)
	}
	if diff := cmp.Diff([]string{"acme.bots", "acme.people"}, set.Routes()); diff != "" {
		t.Error(diff)
	}
}

func TestAnEventThatIsRoutedAndDroppedIsMoved(t *testing.T) {
	set := parsed(t, `rules: [{name: away, types: [io.whence.behavior.recorded], route: acme.people, drop: true}]`)
	b := ran(t, set, structured(clicked))
	if _, _, dropped := b.Census(); dropped != 1 || len(b.Observations) != 0 {
		t.Errorf("%d dropped, stored %+v", dropped, b.Observations)
	}
	if diff := cmp.Diff([]string{"100 by away to acme.people"}, destinations(b)); diff != "" {
		t.Error(diff)
	}
}

func TestARecordIsRoutedAsItsRulesLeaveIt(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: copy, on: record, when: has(body.secret), route: acme.raw}
  - {name: hidden, on: record, redact: [body.secret]}
  - {name: moved, on: record, when: 'text.contains("gone")', route: acme.gone, drop: true}
`)
	b := ran(t, set, pipeline.Record{Key: []byte("k"), Value: []byte(`{"secret":"s3"}`)}, pipeline.Record{Value: []byte("gone")}, pipeline.Record{Value: []byte(`{"gone":true,"secret":"s4"}`)})
	want := []string{"101 by moved to acme.gone", "102 by copy to acme.raw", "102 by moved to acme.gone"} // the first is nothing that can be read
	if diff := cmp.Diff(want, destinations(b)); diff != "" {
		t.Fatal(diff)
	}
	if r := b.Alive()[1]; strings.Contains(string(r.Value), "s4") {
		t.Errorf("%s went out", r.Value)
	}
}

func TestADeadLetterIsNotRouted(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: all, route: acme.all}
  - {name: bad, types: [io.whence.behavior.recorded], when: event.id == "1", set: {event.data.name: '7'}}
  - {name: frozen, types: [com.acme.x], dead_letter: wait}
`)
	b := ran(t, set, structured(clicked), structured(strings.Replace(clicked, "io.whence.behavior.recorded", "com.acme.x", 1)),
		structured(strings.Replace(clicked, `"id":"1"`, `"id":"2"`, 1)))
	if len(b.Dead) != 2 {
		t.Fatalf("dead: %+v", b.Dead)
	}
	if diff := cmp.Diff([]string{"102 by all to acme.all"}, destinations(b)); diff != "" {
		t.Error(diff)
	}
}

func TestARouteNeedsATopicOfItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		"rules:\n  - {name: a, route: 'not a topic'}\n":         `own.yaml:2:22: rules[0].route: "not a topic" is no name for a topic`,
		"rules:\n  - {name: a, route: x, dead_letter: why}\n": "own.yaml:2:22: rules[0].route: a dead letter goes nowhere else",
	} {
		if _, err := rules.Parse("own.yaml", []byte(text), rules.Options{}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/processors/validate"
	"github.com/whencehq/whence/schemas/event"
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

// outlet refuses what is longer than it takes.
type outlet struct {
	takes int
	fails int // so often
	sent  []pipeline.Routed
}

func (o *outlet) Route(_ context.Context, routed []pipeline.Routed) (refused []int, err error) {
	if o.fails > 0 {
		o.fails--
		return nil, errors.New("away")
	}
	for i, r := range routed {
		if len(r.Value) > o.takes {
			refused = append(refused, i)
		}
	}
	o.sent = append(o.sent, routed...)
	return refused, nil
}

// sent takes records through the chain as a worker does.
func sent(t *testing.T, o *outlet, text string, records ...pipeline.Record) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{Topic: "whence.delivery", To: int64(len(records)), Records: records}
	for i := range b.Records {
		b.Records[i].Offset, b.Records[i].Timestamp = int64(i), event.MinTime
	}
	for _, stage := range parsed(t, text).Around(decode.New(decode.Config{}), validate.New(validate.Config{}), o) {
		if err := stage.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if stored, dead, dropped := b.Census(); stored+dead+dropped != len(records) {
		t.Fatalf("%d records: %d stored, %d dead, %d dropped", len(records), stored, dead, dropped)
	}
	return b
}

func TestNothingThatAnyRuleHidesIsRouted(t *testing.T) {
	hides := "  - {name: people, types: [\"io.whence.*\"], hash: [event.data.user], redact: [event.data.attributes.email]}\n"
	body := "  - {name: bodies, on: record, redact: [body.data.user, body.data.attributes.email, headers.x-user]}\n"
	click := structured(clicked)
	click.Headers = append(click.Headers, pipeline.Header{Key: "X-User", Value: []byte("ada@example.com")}, pipeline.Header{Key: "x-user"})
	for name, text := range map[string]string{
		"a record, by a rule on events":        "rules:\n  - {name: a, on: record, route: acme}\n" + hides + body,
		"a record, by a rule on records":       "rules:\n  - {name: a, on: record, route: acme}\n" + body,
		"an event that is dropped then":        "rules:\n  - {name: a, topics: [whence.delivery], route: acme, drop: true}\n" + hides,
		"an event that is mapped then":         "rules:\n  - {name: a, types: [io.whence.behavior.recorded], route: acme, map: [{type: com.acme.x}]}\n" + hides,
		"an event, by the rule that routes it": "rules:\n  - {name: a, hash: [event.data.user], redact: [event.data.attributes.email], route: acme}\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := &outlet{takes: 1 << 20}
			click.Headers = slices.Clone(click.Headers)
			sent(t, o, text, click)
			if len(o.sent) != 1 || len(o.sent[0].Value) == 0 {
				t.Fatalf("sent %+v", o.sent)
			}
			r := o.sent[0]
			if all := fmt.Sprintf("%s %s %s", r.Key, r.Value, r.Headers); name[:2] == "an" && strings.Contains(all, "ada@") || strings.Contains(string(r.Key)+string(r.Value), "ada@") {
				t.Errorf("it says %s", all)
			}
			if strings.Contains(text, "headers.x-user") && strings.Contains(fmt.Sprintf("%s", r.Headers), "ada@") {
				t.Errorf("headers say %s", r.Headers)
			}
		})
	}
}

func TestAConditionOnARecordsHeadersHoldsForCopiesOfItsEvents(t *testing.T) {
	click := structured(clicked)
	click.Headers = append(click.Headers, pipeline.Header{Key: "x-env", Value: []byte("prod")})
	o := &outlet{takes: 1 << 20}
	sent(t, o, `
rules:
  - {name: away, types: [io.whence.behavior.recorded], route: acme, drop: true}
  - {name: people, when: '"x-env" in headers', hash: [event.data.user], redact: [event.data.attributes.email]}
`, click)
	if len(o.sent) != 1 || strings.Contains(string(o.sent[0].Value), "ada@") || len(o.sent[0].Value) == 0 {
		t.Errorf("sent %s", o.sent[0].Value)
	}
}

func TestAFailureToSendLeavesTheBatchAsItWas(t *testing.T) {
	set := parsed(t, `rules: [{name: broken, on: record, when: 'text.startsWith("{\"user")', route: acme, redact: [body.user], drop: true}]`)
	b := &pipeline.Batch{Topic: "whence.delivery", To: 1, Records: []pipeline.Record{{Value: []byte(`{"user":"ada@example.com","x":`)}}}
	o := &outlet{takes: 1 << 20, fails: 1}
	for _, stage := range set.Around(decode.New(decode.Config{}), validate.New(validate.Config{}), o) {
		if err := stage.Process(t.Context(), b); err != nil {
			if err = stage.Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, dead, dropped := b.Census(); dead != 1 || dropped != 0 {
		t.Errorf("%d dead, %d dropped, sent %+v", dead, dropped, o.sent)
	}
}

func TestAnEventThatIsMovedAndCanNotGoTakesItsRecordAlong(t *testing.T) {
	b := sent(t, &outlet{takes: 100}, `
rules:
  - {name: two, types: [com.acme.x], map: [{type: com.acme.a}, {type: com.acme.b}]}
  - {name: away, types: [com.acme.a], route: acme, drop: true}
`, structured(strings.Replace(clicked, "io.whence.behavior.recorded", "com.acme.x", 1)))
	if len(b.Dead) != 1 || len(b.Others) != 0 {
		t.Errorf("dead %+v, stored %+v", b.Dead, b.Others)
	}
}

func TestACopyThatNobodyCanLookThroughGoesWithoutItsBytes(t *testing.T) {
	hook := pipeline.Record{
		Value: []byte(`{"action":"created","deployment":{"id":1,"sha":"abc","environment":"production"},"repository":{"name":"shop","full_name":"acme/shop","html_url":"https://git.example/acme/shop"},
			"deployment_status":{"id":2,"state":"success","created_at":"2026-03-12T10:00:00Z"}}`),
		Headers: []pipeline.Header{{Key: "x-github-event", Value: []byte("deployment_status")}},
	}
	o := &outlet{takes: 1 << 20}
	b := sent(t, o, `
rules:
  - {name: copies, on: record, route: acme}
  - {name: people, types: ["io.whence.*"], hash: [event.data.requested_by]}
`, hook)
	if len(o.sent) != 1 || o.sent[0].Value != nil || fmt.Sprintf("%s", o.sent[0].Headers) != "[{whence-withheld people}]" {
		t.Errorf("sent %s %s", o.sent[0].Value, o.sent[0].Headers)
	}
	if len(b.Dead) != 0 {
		t.Errorf("it is stored, and dead too: %+v", b.Dead)
	}
}

func TestWhatIsMovedAndCanNotGoWholeIsADeadLetter(t *testing.T) {
	o := &outlet{takes: 200}
	b := sent(t, o, `
rules:
  - {name: broken, on: record, when: 'text.startsWith("{\"user")', route: acme, redact: [body.user], drop: true}
  - {name: large, types: [io.whence.behavior.recorded], route: acme, drop: true}
  - {name: copied, types: [com.acme.x], route: acme}
`, pipeline.Record{Value: []byte(`{"user":"ada@example.com","x":`)}, structured(clicked), structured(strings.Replace(clicked, "io.whence.behavior.recorded", "com.acme.x", 1)))
	var dead []string
	for _, d := range b.Dead {
		dead = append(dead, fmt.Sprintf("%d %s %s %t", d.Offset, d.Reason, d.Detail, len(d.Value) > 0))
	}
	want := []string{
		"0 rule rule broken: route (the record's bytes are withheld by rule broken) false",
		"1 rule rule large: route: acme does not take it: it is too large, or has no key true",
	}
	if diff := cmp.Diff(want, dead); diff != "" {
		t.Error(diff)
	}
	if len(b.Others) != 1 || len(b.Dropped) != 0 {
		t.Errorf("stored %+v, dropped %+v", b.Others, b.Dropped)
	}
}

func TestARouteNeedsATopicOfItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		"rules:\n  - {name: a, route: 'not a topic'}\n":                    `own.yaml:2:22: rules[0].route: "not a topic" is no name for a topic`,
		"rules:\n  - {name: a, topics: [t], route: x, dead_letter: why}\n": "own.yaml:2:35: rules[0].route: a dead letter goes nowhere else",
	} {
		if _, err := rules.Parse("own.yaml", []byte(text), rules.Options{}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNothingLeavesBeforeARuleBehindHasHiddenInIt: a rule behind the one that ends a
// record's way may look at a header that another one behind it sets.
func TestNothingLeavesBeforeARuleBehindHasHiddenInIt(t *testing.T) {
	const marks = "  - {name: marks, on: record, set: {headers.team: '\"a\"', headers.x-of: '\"b\"'}}\n"
	const hidden = "  - {name: hidden, on: record, when: 'headers[\"team\"] == \"a\"', redact: [body.data.user, body.data.attributes.email, headers.x-user]}\n"
	const other = "  - {name: other, on: record, set: {headers.team: '\"b\"'}}\n" // the last to say whose it is
	const made = "type: com.acme.x, id: '\"1\"', source: '\"/x\"', time: '\"2026-03-12T10:00:00Z\"'"
	click := structured(clicked)
	click.Headers = append(click.Headers, pipeline.Header{Key: "X-User", Value: []byte("ada@example.com")})
	for name, first := range map[string]string{
		"a record that is moved":                      "{name: end, on: record, topics: [whence.delivery], route: acme, drop: true}",
		"a copy of one that is dropped":               "{name: copy, on: record, route: acme}\n  - {name: end, on: record, topics: [whence.delivery], drop: true}",
		"a copy of one that is mapped":                "{name: end, on: record, route: acme, map: [{" + made + "}]}",
		"a copy of one that is mapped by another":     "{name: copy, on: record, route: acme}\n  - {name: end, on: record, map: [{" + made + "}]}",
		"a letter of one that can't be mapped":        "{name: end, on: record, map: [{" + strings.Replace(made, `'"1"'`, "body.none", 1) + "}]}",
		"a letter of one that a type refuses":         "{name: end, on: record, map: [{" + strings.Replace(made, "com.acme.x", "io.whence.alert.fired", 1) + "}]}",
		"a letter of one of which an event is buried": "{name: end, on: record, map: [{" + made + "}]}\n  - {name: frozen, types: [com.acme.x], dead_letter: wait}",
		"a letter of one that is buried":              "{name: end, on: record, topics: [whence.delivery], dead_letter: wait}",
		"a letter of one that can't be moved":         "{name: end, on: record, route: small, topics: [whence.delivery], drop: true}",
	} {
		for order, text := range map[string]string{
			"marked behind":            "rules:\n  - " + first + "\n" + marks + hidden,
			"marked behind, and again": "rules:\n  - " + first + "\n" + marks + hidden + other,
			"marked before":            "rules:\n" + marks + "  - " + first + "\n" + hidden + other,
		} {
			t.Run(name+", "+order, func(t *testing.T) {
				o := &outlet{takes: 1 << 20}
				if strings.Contains(text, "route: small") {
					o.takes = 10
				}
				b := sent(t, o, text, click)
				r, letter := pipeline.Routed{}, strings.Contains(name, "letter")
				switch {
				case letter && len(b.Dead) == 1:
					r.Key, r.Value, r.Headers = b.Dead[0].Key, b.Dead[0].Value, b.Dead[0].Headers
				case !letter && len(o.sent) == 1:
					r = o.sent[0]
				default:
					t.Fatalf("sent %+v, dead %+v", o.sent, b.Dead)
				}
				if all := fmt.Sprintf("%s %s %s", r.Key, r.Value, r.Headers); strings.Contains(all, "ada@") || len(r.Value) == 0 {
					t.Errorf("it says %s", all)
				}
				want := "[{content-type application/cloudevents+json} {X-User [redacted]}"
				if order == "marked before" && !letter {
					want += " {team a} {x-of b}"
				}
				if got := fmt.Sprintf("%s", r.Headers); got != want+"]" {
					t.Errorf("headers %s, want %s]", got, want)
				}
			})
		}
	}
}

func TestRulesOnEventsHideInCopiesOfARecordByHeadersThatAreSetBehindItsEnd(t *testing.T) {
	click := structured(clicked)
	click.Headers = append(click.Headers, pipeline.Header{Key: "team", Value: []byte("none")})
	for name, end := range map[string]string{
		"dropped": "drop: true",
		"mapped":  "map: [{type: com.acme.x, id: '\"1\"', source: '\"/x\"', time: body.time}]",
	} {
		o := &outlet{takes: 1 << 20}
		sent(t, o, `
rules:
  - {name: end, on: record, topics: [whence.delivery], route: acme, `+end+`}
  - {name: marks, on: record, set: {headers.team: '"a"'}}
  - {name: hidden, types: [io.whence.behavior.recorded], when: 'headers["team"] == "a"', redact: [event.data.user, event.data.attributes.email]}
`, click)
		if len(o.sent) != 1 || strings.Contains(fmt.Sprintf("%s %s", o.sent[0].Key, o.sent[0].Value), "ada@") {
			t.Errorf("%s: sent %s %s", name, o.sent[0].Key, o.sent[0].Value)
		}
	}
}

// TestAMappedEventIsNoneOfTheRulesOnRecordsBehindTheMap: they hide in its record, and
// rules on events see the headers that the record had when it was mapped.
func TestAMappedEventIsNoneOfTheRulesOnRecordsBehindTheMap(t *testing.T) {
	click := structured(clicked)
	click.Headers = append(click.Headers, pipeline.Header{Key: "x-user", Value: []byte("ada")})
	b := sent(t, &outlet{takes: 1 << 20}, `
rules:
  - {name: end, on: record, route: acme, map: [{type: com.acme.x, id: '"1"', source: '"/x"', time: body.time, data: {user: body.data.user}}]}
  - {name: marks, on: record, set: {headers.team: '"a"'}}
  - {name: hidden, on: record, redact: [headers.x-user, body.data.user]}
  - {name: seen, when: '!("team" in headers) && headers["x-user"] == "ada"', set: {event.data.seen: 'true'}}
`, click)
	if len(b.Others) != 1 || b.Others[0].Data != `{"seen":true,"user":"ada@example.com"}` {
		t.Errorf("stored %+v, dead %+v", b.Others, b.Dead)
	}
}

// TestACopyOfAnEventIsHiddenInByWhatRulesBehindSet: those before have set in it what
// they set, once.
func TestACopyOfAnEventIsHiddenInByWhatRulesBehindSet(t *testing.T) {
	for name, end := range map[string]string{
		"where it is moved":          "{name: away, types: [io.whence.behavior.recorded], route: acme, drop: true}",
		"behind the rule that sends": "{name: copy, route: acme}\n  - {name: step, set: {event.data.attributes.step: '\"2\" + event.data.attributes.step'}}\n  - {name: away, types: [io.whence.behavior.recorded], drop: true}",
		"where it is mapped":         "{name: away, types: [io.whence.behavior.recorded], route: acme, map: [{type: com.acme.x}]}",
	} {
		o := &outlet{takes: 1 << 20}
		sent(t, o, `
rules:
  - {name: spelled, set: {event.data.environment: '"eu-" + event.data.environment', event.data.attributes.step: '"1" + event.data.attributes.step'}}
  - `+end+`
  - {name: marks, when: 'event.data.environment == "eu-production" && event.data.attributes.step in ["12", "212"]', set: {event.data.service: '"a"'}}
  - {name: hidden, when: event.data.service == "a", redact: [event.data.user, event.data.attributes.email]}
`, structured(clicked))
		if len(o.sent) != 1 || strings.Contains(fmt.Sprintf("%s %s", o.sent[0].Key, o.sent[0].Value), "ada@") || !strings.Contains(string(o.sent[0].Value), "eu-production") {
			t.Errorf("%s: sent %s %s", name, o.sent[0].Key, o.sent[0].Value)
		}
	}
}

func TestWhatARuleBehindTheEndCanNotReadGoesWithoutItsBytes(t *testing.T) {
	body := pipeline.Record{
		Key: []byte("ada"), Value: []byte(`{"secret":"ada","x":`), Headers: []pipeline.Header{{Key: "x-user", Value: []byte("ada")}},
	}
	want := map[string]string{
		"moved":    "dead  rule end: route (the record's bytes are withheld by rule hidden) ",
		"mapped":   "sent whence.delivery/0/0 [{whence-withheld hidden}] ",
		"buried":   "dead  rule end: wait (the record's bytes are withheld by rule hidden) ",
		"unmapped": "dead  rule end: map[0] (the record's bytes are withheld by rule hidden) ",
	}
	for name, end := range map[string]string{
		"moved":    "route: acme, drop: true",
		"mapped":   "route: acme, map: [{type: com.acme.x, id: '\"1\"', source: '\"/x\"', time: '\"2026-03-12T10:00:00Z\"'}]",
		"buried":   "dead_letter: wait",
		"unmapped": "map: [{type: com.acme.x, id: body.none, source: '\"/x\"', time: '\"2026-03-12T10:00:00Z\"'}]",
	} {
		o := &outlet{takes: 1 << 20}
		b := sent(t, o, `
rules:
  - {name: end, on: record, topics: [whence.delivery], `+end+`}
  - {name: marks, on: record, set: {headers.team: '"a"'}}
  - {name: hidden, on: record, when: 'headers["team"] == "a"', redact: [body.secret]}
  - {name: other, on: record, set: {headers.team: '"b"'}, redact: [headers.x-user]}
`, body)
		var all []string
		for _, r := range o.sent {
			all = append(all, fmt.Sprintf("sent %s %s %s", r.Key, r.Headers, r.Value))
		}
		for _, d := range b.Dead {
			all = append(all, fmt.Sprintf("dead %s %s %s", d.Key, d.Detail, d.Value))
		}
		if diff := cmp.Diff([]string{want[name]}, all); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestTheKeyOfACopyGoesWithWhatIsHiddenInIt also where the rule that hid is one no
// more by what another has set since.
func TestTheKeyOfACopyGoesWithWhatIsHiddenInIt(t *testing.T) {
	for _, end := range []string{"", ", drop: true"} {
		o := &outlet{takes: 1 << 20}
		sent(t, o, `
rules:
  - {name: hidden, on: record, when: '!("team" in headers)', redact: [body.data.user, body.data.attributes.email]}
  - {name: marks, on: record, set: {headers.team: '"a"'}}
  - {name: copies, on: record, topics: [whence.delivery], route: acme`+end+`}
`, structured(clicked))
		if len(o.sent) != 1 || string(o.sent[0].Key) != "whence.delivery/0/0" || strings.Contains(string(o.sent[0].Value), "ada@") {
			t.Errorf("sent %s %s", o.sent[0].Key, o.sent[0].Value)
		}
	}
}

func TestWhoAsksIsToldWhatALetterWouldNotSay(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: end, on: record, map: [{type: com.acme.x, id: '"1"', source: '"/x"', time: body.data.user}]}
  - {name: marks, on: record, set: {headers.team: '"a"'}}
  - {name: hidden, on: record, redact: [body.data.user, body.data.attributes.email]}
`)
	ask := func(chain []pipeline.Processor) string {
		b := &pipeline.Batch{Topic: "whence.delivery", To: 1, Records: []pipeline.Record{structured(clicked)}}
		for _, stage := range chain {
			if err := stage.Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		return b.Dead[0].Detail
	}
	if asked := ask(set.Asked(decode.New(decode.Config{}), validate.New(validate.Config{}))); !strings.Contains(asked, `"ada@example.com"`) {
		t.Errorf("asked: %s", asked)
	}
	want := "rule end: map[0] (what it says is hidden by rule hidden)"
	if letter := ask(set.Around(decode.New(decode.Config{}), validate.New(validate.Config{}), nil)); letter != want {
		t.Errorf("a letter: %s", letter)
	}
}

package rules_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/processors/validate"
	"github.com/whencehq/whence/schemas/event"
)

var key = []byte("a key of sixteen bytes and more")

func parsed(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("own.yaml", []byte(text), rules.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// ran is the records taken through the chain up to validate.
func ran(t testing.TB, set *rules.Set, records ...pipeline.Record) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{Topic: "whence.delivery", From: 100, To: 100 + int64(len(records))}
	for i, r := range records {
		r.Offset, r.Timestamp = b.From+int64(i), event.MinTime
		b.Records = append(b.Records, r)
	}
	for _, stage := range set.Around(decode.New(decode.Config{}), validate.New(validate.Config{}), nil) {
		if err := stage.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if stored, dead, dropped := b.Census(); stored+dead+dropped != len(records) {
		t.Fatalf("%d records: %d stored, %d dead, %d dropped", len(records), stored, dead, dropped)
	}
	return b
}

func structured(text string) pipeline.Record {
	return pipeline.Record{
		Key: []byte("ada@example.com"), Value: []byte(text),
		Headers: []pipeline.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
	}
}

const clicked = `{"specversion":"1.0","id":"1","source":"/web","type":"io.whence.behavior.recorded","time":"2026-03-12T10:00:00Z",
	"data":{"name":"checkout","service":"shop","environment":"production","user":"ada@example.com","attributes":{"email":"ada@example.com","step":"2"}}}`

func TestAPayloadOfOnesOwnBecomesAnEventAndIsKept(t *testing.T) {
	set := parsed(t, `
rules:
  - name: releases of our tool
    on: record
    when: headers["x-acme-kind"] == "release"
    map:
      - type: io.whence.deployment.finished
        id: '"release/" + string(body.release.number)'
        source: '"https://ci.acme.example"'
        time: body.finished
        data:
          deployment_id: '"acme/" + string(body.release.number)'
          service: body.app
          environment: 'body.?env.orValue("production")'
          version: body.release.tag
          outcome: 'body.ok ? "success" : "failure"'
    keep: com.acme.release
`)
	b := ran(t, set, pipeline.Record{
		Value:   []byte(`{"release":{"number":17,"tag":"v17"},"app":"shop","finished":"2026-03-12T10:00:00Z","ok":true}`),
		Headers: []pipeline.Header{{Key: "X-Acme-Kind", Value: []byte("release")}},
	})
	if len(b.Facts) != 1 || len(b.Others) != 1 {
		t.Fatalf("facts %+v, others %+v, dead %+v", b.Facts, b.Others, b.Dead)
	}
	f := b.Facts[0]
	if f.ID != "release/17" || f.EntityID != "acme/17" || f.Environment != "production" || f.Hash == 0 || f.Offset != 100 {
		t.Errorf("fact %+v", f)
	}
	if want := `{"deployment_id":"acme/17","environment":"production","outcome":"success","service":"shop","version":"v17"}`; f.Data != want {
		t.Errorf("data %s, want %s", f.Data, want)
	}
	if o := b.Others[0]; o.Type != "com.acme.release" || !strings.Contains(o.Data, `"number":17`) {
		t.Errorf("kept %+v", o)
	}
}

func TestAMappingThatATypesRulesRefuseIsADeadLetterThatNamesTheRule(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: half, on: record, map: [{type: io.whence.deployment.started, id: '"1"', source: '"/x"', time: '"2026-03-12T10:00:00Z"', data: {service: '"shop"'}}]}
`)
	b := ran(t, set, pipeline.Record{Key: []byte("k"), Value: []byte(`{"a":1}`)})
	if len(b.Dead) != 1 || b.Dead[0].Reason != pipeline.ReasonRule || string(b.Dead[0].Value) != `{"a":1}` {
		t.Fatalf("dead %+v", b.Dead)
	}
	if want := "rule half: map[0]: data.deployment_id: missing"; b.Dead[0].Detail != want {
		t.Errorf("detail %q, want %q", b.Dead[0].Detail, want)
	}
}

func TestWhatARuleDropsIsCountedByItsName(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: pings, on: record, when: text == "ping", drop: true}
  - {name: bots, types: [io.whence.behavior.recorded], when: event.data.user.startsWith("ada"), drop: true}
`)
	b := ran(t, set, pipeline.Record{Value: []byte("ping")}, structured(clicked), structured(strings.ReplaceAll(clicked, "ada", "bob")))
	if _, _, dropped := b.Census(); dropped != 2 || len(b.Observations) != 1 || len(b.Dead) != 0 {
		t.Fatalf("%d dropped, %d observations, dead %+v", dropped, len(b.Observations), b.Dead)
	}
	want := []pipeline.Drop{{Offset: 100, Rule: "pings"}, {Offset: 101, Rule: "bots"}}
	if diff := cmp.Diff(want, b.Dropped); diff != "" {
		t.Error(diff)
	}
}

func TestARecordOfWhichOneEventIsDroppedIsStored(t *testing.T) {
	set := parsed(t, `rules: [{name: no originals, types: ["com.github.*"], drop: true}]`)
	b := ran(t, set, pipeline.Record{
		Value: []byte(`{"action":"created","deployment":{"id":1,"sha":"abc","environment":"production"},"repository":{"name":"shop","full_name":"acme/shop","html_url":"https://git.example/acme/shop"},
			"deployment_status":{"id":2,"state":"success","created_at":"2026-03-12T10:00:00Z"}}`),
		Headers: []pipeline.Header{{Key: "x-github-event", Value: []byte("deployment_status")}},
	})
	stored, _, dropped := b.Census()
	if stored != 1 || dropped != 0 || len(b.Facts) == 0 || len(b.Others) != 0 || len(b.Dropped) != 1 {
		t.Fatalf("%d stored, %d dropped, facts %+v, others %+v, dead %+v", stored, dropped, b.Facts, b.Others, b.Dead)
	}
}

func TestFieldsAreRedactedAndHashedAndTheContentHashFollows(t *testing.T) {
	plain := ran(t, nil, structured(clicked)).Observations[0]
	set := parsed(t, `
rules:
  - name: people
    types: ["io.whence.*"]
    hash: [event.data.user]
    redact: [event.data.attributes.email]
`)
	for name, record := range map[string]pipeline.Record{"json": structured(clicked)} {
		o := ran(t, set, record).Observations[0]
		if !strings.HasPrefix(o.User, "hmac-sha256:") || len(o.User) != len("hmac-sha256:")+64 {
			t.Errorf("%s: user %q", name, o.User)
		}
		if want := []event.Pair{{Key: "email", Value: "[redacted]"}, {Key: "step", Value: "2"}}; !cmp.Equal(o.Attributes, want) {
			t.Errorf("%s: attributes %v", name, o.Attributes)
		}
		if o.Hash == plain.Hash || o.Hash == 0 {
			t.Errorf("%s: hash %x, plain %x", name, o.Hash, plain.Hash)
		}
	}
}

func TestWhatAnyEventMayCarryIsHiddenWhereverItStands(t *testing.T) {
	for _, field := range []string{"event.tenant", "event.data.tenant"} {
		set := parsed(t, `rules: [{name: tenants, hash: [`+field+`]}]`)
		opened := `{"specversion":"1.0","id":"1","source":"/x","type":"io.whence.incident.opened","time":"2026-03-12T10:00:00Z",TENANT
			"data":{"incident_id":"i","service":"s","environment":"e","tenant":"acme"}}`
		b := ran(t, set, structured(strings.Replace(clicked, `"name"`, `"tenant":"acme","name"`, 1)),
			structured(strings.Replace(opened, "TENANT", "", 1)), structured(strings.Replace(opened, "TENANT", `"tenant":"acme",`, 1)))
		if len(b.Observations) != 1 || len(b.Facts) != 2 {
			t.Fatalf("%s: %+v", field, b.Dead)
		}
		for _, said := range []string{b.Observations[0].Tenant, b.Facts[0].Tenant, b.Facts[1].Tenant, b.Facts[0].Data, b.Facts[1].Data} {
			if strings.Contains(said, "acme") || !strings.Contains(said, "hmac-sha256:") {
				t.Errorf("%s: %s", field, said)
			}
		}
	}
}

func TestHidingTwiceIsHidingOnce(t *testing.T) {
	set := parsed(t, `rules: [{name: people, on: record, hash: [body.data.user], redact: [body.data.attributes.*]}]`)
	once := ran(t, set, structured(clicked))
	again := ran(t, set, once.Records[0])
	if string(once.Records[0].Value) != string(again.Records[0].Value) || once.Observations[0].Hash != again.Observations[0].Hash {
		t.Errorf("once  %s\ntwice %s", once.Records[0].Value, again.Records[0].Value)
	}
}

func TestNothingThatIsHiddenIsInADeadLetter(t *testing.T) {
	const ada = "ada@example.com"
	onEvent := `rules: [{name: people, types: ["io.whence.*"], hash: [event.data.user, event.subject], redact: [event.data.attributes.email]}]`
	onRecord := `rules: [{name: people, on: record, hash: [body.data.user, body.who], redact: [body.data.attributes.email, headers.x-user]}]`
	for name, c := range map[string]struct {
		rules  string
		record pipeline.Record
		kept   bool // something of the bytes
	}{
		"a field is missing":        {onEvent, structured(strings.Replace(clicked, `"name":"checkout",`, "", 1)), true},
		"a field is wrong":          {onEvent, structured(strings.Replace(clicked, `"user":"ada@example.com"`, `"user":{"mail":"ada@example.com"}`, 1)), true},
		"no type":                   {onEvent, structured(strings.Replace(clicked, `"type":"io.whence.behavior.recorded",`, "", 1)), true},
		"a type nobody knows":       {onEvent, structured(strings.Replace(clicked, "behavior.recorded", "behaviour.recorded", 1)), true},
		"it breaks off":             {onEvent, structured(clicked[:len(clicked)-3]), false},
		"binary":                    {onEvent, pipeline.Record{Value: []byte(`{"name":"checkout","user":"ada@example.com"}`), Headers: []pipeline.Header{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("io.whence.behavior.recorded")}, {Key: "ce_source", Value: []byte("/web")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_subject", Value: []byte(ada)}, {Key: "ce_time", Value: []byte("2026-03-12T10:00:00Z")}}}, true},
		"of a tool":                 {onEvent, pipeline.Record{Value: []byte(`{"pusher":["ada@example.com"],"action":7}`), Headers: []pipeline.Header{{Key: "x-github-event", Value: []byte("deployment_status")}}}, false},
		"a record's body":           {onRecord, structured(strings.Replace(clicked, `"name":"checkout",`, "", 1)), true},
		"a record that breaks off":  {onRecord, structured(clicked[:len(clicked)-3]), false},
		"a record's header":         {onRecord, pipeline.Record{Value: []byte(`{"who":"ada@example.com"}`), Headers: []pipeline.Header{{Key: "X-User", Value: []byte(ada)}}}, true},
		"what another rule renames": {`rules: [{name: a, types: [com.acme.click], rename: io.whence.behavior.recorded}, {name: people, types: [io.whence.behavior.recorded], hash: [event.data.user], redact: [event.data.attributes.email]}]`, structured(strings.Replace(strings.Replace(clicked, "io.whence.behavior.recorded", "com.acme.click", 1), `"name":"checkout",`, "", 1)), true},
		"a CDEvent":                 {`rules: [{name: people, types: ["io.whence.*"], hash: [event.data.user]}]`, structured(`{"specversion":"1.0","id":"1","source":"/web","type":"dev.cdevents.service.deployed.0.2.0","data":{"subject":{"content":{"owner":"ada@example.com"}}}}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := ran(t, parsed(t, c.rules), c.record)
			if len(b.Dead) != 1 {
				t.Fatalf("%d dead: %+v", len(b.Dead), b)
			}
			d := b.Dead[0]
			all := string(d.Key) + string(d.Value) + d.Detail + d.Source + d.ID + d.Type
			for _, h := range d.Headers {
				all += h.Key + string(h.Value)
			}
			if strings.Contains(all, ada) {
				t.Errorf("the letter says who it was: %s, %s %v", d.Detail, d.Value, d.Headers)
			}
			if (len(d.Value) > 0) != c.kept {
				t.Errorf("value %q, kept must be %v", d.Value, c.kept)
			}
			if !strings.Contains(d.Detail, "rule people") {
				t.Errorf("the detail %q doesn't say why", d.Detail)
			}
		})
	}
}

// TestALetterOfSeveralEventsIsWithheldForEachOfThem: a webhook becomes facts and is
// kept besides. Whichever of them is at fault, its bytes are all of them.
func TestALetterOfSeveralEventsIsWithheldForEachOfThem(t *testing.T) {
	push := pipeline.Record{Headers: []pipeline.Header{{Key: "x-github-event", Value: []byte("push")}}, Value: []byte(pushed)}
	for _, text := range []string{
		`rules: [{name: people, types: ["com.github.*"], redact: [event.data.commits.*.author.username]}, {name: not yet, types: [io.whence.change.merged], dead_letter: wait}]`,
		`rules: [{name: people, types: ["io.whence.*"], redact: [event.data.author]}, {name: not yet, types: [com.github.push], dead_letter: wait}]`,
	} {
		b := ran(t, parsed(t, text), push)
		if len(b.Dead) != 1 || b.Dead[0].Value != nil || !rules.Withheld(b.Dead[0].Detail) {
			t.Errorf("%s: %d dead: %s %s", text, len(b.Dead), b.Dead[0].Detail, b.Dead[0].Value)
		}
	}
}

const pushed = `{"ref":"refs/heads/main","repository":{"full_name":"octo/shop","name":"shop","default_branch":"main","html_url":"https://github.com/octo/shop"},
	"commits":[{"id":"1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b","message":"m","timestamp":"2026-03-12T10:00:00Z","author":{"username":"ada@example.com"}}]}`

// TestABodyIsHiddenInWhateverItsContentTypeSays: decode reads a tool's words as
// JSON, also where a client of Kafka says that they are bytes.
func TestABodyIsHiddenInWhateverItsContentTypeSays(t *testing.T) {
	set := parsed(t, `rules: [{name: people, on: record, redact: [body.commits.*.author.username]}]`)
	for _, contentType := range []string{"application/json", "application/octet-stream", "application/x-protobuf", ""} {
		b := ran(t, set, pipeline.Record{Value: []byte(pushed), Headers: []pipeline.Header{
			{Key: "x-github-event", Value: []byte("push")}, {Key: "content-type", Value: []byte(contentType)},
		}})
		if len(b.Facts) != 1 || len(b.Others) != 1 || strings.Contains(b.Facts[0].Data+b.Others[0].Data, "ada@") {
			t.Errorf("%s: %+v %+v", contentType, b.Facts, b.Others)
		}
	}
}

// TestARecordDoesNotTalkItselfOutOfARule: errors quote values, and one that says
// "no such key" is not one of a key that isn't there.
func TestARecordDoesNotTalkItselfOutOfARule(t *testing.T) {
	set := parsed(t, `rules: [{name: people, when: 'timestamp(event.data.attributes.step) > timestamp("2026-01-01T00:00:00Z")', hash: [event.data.user]}]`)
	b := ran(t, set, structured(strings.Replace(clicked, `"step":"2"`, `"step":"no such key"`, 1)))
	if len(b.Observations) != 1 || strings.Contains(b.Observations[0].User, "ada@") {
		t.Errorf("%+v", b.Observations)
	}
}

// A typo in a rule is mended, and the letters it has made are replayed: they must
// be what the mended rule finds.
func TestALetterHasTheHeadersThatWereSentSoThatAMendedRuleFindsIt(t *testing.T) {
	const text = `rules: [{name: alerts, on: record, when: '!("whence-source" in headers)', set: {headers.whence-source: '"NAME"', headers.x-team: 'headers["x-team"] + "s"'}}]`
	sent := pipeline.Record{Value: []byte(fired), Headers: []pipeline.Header{{Key: "X-Team", Value: []byte("shop")}}}
	b := ran(t, parsed(t, strings.Replace(text, "NAME", "alertmanagr", 1)), sent)
	if len(b.Dead) != 1 {
		t.Fatalf("%+v", b)
	}
	if diff := cmp.Diff(sent.Headers, b.Dead[0].Headers); diff != "" || string(b.Dead[0].Value) != fired {
		t.Fatalf("%s%s", diff, b.Dead[0].Value)
	}
	b = ran(t, parsed(t, strings.Replace(text, "NAME", "alertmanager", 1)), pipeline.Record{Value: b.Dead[0].Value, Headers: b.Dead[0].Headers})
	if len(b.Dead) != 0 || len(b.Facts) != 1 {
		t.Errorf("it is dead still: %+v", b.Dead)
	}
}

const fired = `{"version":"4","status":"firing","groupKey":"g","alerts":[{"status":"firing","fingerprint":"f1","startsAt":"2026-03-12T10:00:00Z","labels":{"alertname":"down","service":"shop","environment":"production"}}]}`

// TestALetterIsHiddenInByRulesThatLookAtWhatOthersHaveSet: it has the headers that
// were sent, and conditions saw those that rules have made of them.
func TestALetterIsHiddenInByRulesThatLookAtWhatOthersHaveSet(t *testing.T) {
	bad := structured(strings.Replace(clicked, `"name":"checkout",`, "", 1))
	bad.Headers = append(bad.Headers, pipeline.Header{Key: "x-user", Value: []byte("ada@example.com")}, pipeline.Header{Key: "x-env", Value: []byte("prod")})
	const set = "rules:\n  - {name: marks, on: record, set: {headers.x-env: '\"eu-\" + headers[\"x-env\"]', headers.x-of: 'headers[\"x-user\"]'}}\n"
	const hide = "redact: [body.data.user, body.data.attributes.email, headers.x-user, headers.x-of]"
	for name, text := range map[string]string{
		"on a record":             set + "  - {name: people, on: record, when: 'headers[\"x-env\"] == \"eu-prod\"', " + hide + "}\n",
		"on an event":             set + "  - {name: users, on: record, redact: [headers.x-user]}\n  - {name: people, when: 'headers[\"x-env\"] == \"eu-prod\"', redact: [event.data.user, event.data.attributes.email]}\n",
		"before the set":          "rules:\n  - {name: people, on: record, when: 'headers[\"x-env\"] == \"prod\"', " + hide + "}\n" + set[7:],
		"behind one that buries":  "rules:\n  - {name: frozen, on: record, when: 'true', dead_letter: wait}\n" + set[7:] + "  - {name: people, on: record, when: 'headers[\"x-env\"] == \"eu-prod\"', " + hide + "}\n",
		"behind one that fails":   set + "  - {name: frozen, on: record, set: {headers.x-a: 'headers[\"x-b\"]'}}\n  - {name: people, on: record, when: 'headers[\"x-env\"] == \"eu-prod\"', " + hide + "}\n",
		"in the one that fails":   "rules:\n  - {name: people, on: record, set: {headers.x-a: 'headers[\"x-b\"]'}, " + hide + "}\n",
		"where it is given twice": set + "  - {name: people, on: record, " + hide + ", set: {headers.x-env: '\"us\"'}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := ran(t, parsed(t, text), bad)
			if len(b.Dead) != 1 {
				t.Fatalf("%+v", b)
			}
			d := b.Dead[0]
			if all := fmt.Sprintf("%s %s %s %s", d.Key, d.Value, d.Headers, d.Detail); strings.Contains(all, "ada@") || len(d.Value) == 0 {
				t.Errorf("it says %s", all)
			}
			want := "[{content-type application/cloudevents+json} {x-user [redacted]} {x-env prod}]"
			if got := fmt.Sprintf("%s", d.Headers); got != want {
				t.Errorf("headers %s, sent were %s", got, want)
			}
		})
	}
}

func TestALetterIsHiddenInByRulesThatLookAtFieldsThatOthersHaveSet(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: spelled, types: ["io.whence.*"], when: event.data.environment == "prod", set: {event.data.environment: '"production"'}}
  - {name: people, types: ["io.whence.*"], when: event.data.environment == "production", hash: [event.data.user], redact: [event.data.attributes.*]}
`)
	for _, environment := range []string{"prod", "production", "qa"} {
		bad := strings.NewReplacer(`"production"`, `"`+environment+`"`, `"name":"checkout",`, "").Replace(clicked)
		d := ran(t, set, structured(bad)).Dead[0]
		if hidden := !strings.Contains(string(d.Value), "ada@"); hidden != (environment != "qa") || !strings.Contains(string(d.Value), `"`+environment+`"`) {
			t.Errorf("%s: %s", environment, d.Value)
		}
	}
}

// TestRulesWriteToNothingThatTheyWereGiven: a batch's headers and bytes may be
// those of a fetch, or of a request that is sent on.
func TestRulesWriteToNothingThatTheyWereGiven(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: marks, on: record, set: {headers.content-type: '"application/json"', headers.x-a: '"1"'}, hash: [headers.x-user], redact: [body.data.attributes.*]}
  - {name: copies, on: record, route: acme}
  - {name: people, hash: [event.data.user, event.id], set: {event.data.region: '"eu"'}}
  - {name: frozen, when: event.data.name == "frozen", dead_letter: wait}
`)
	fresh := func() []pipeline.Record {
		var records []pipeline.Record
		for _, text := range []string{clicked, strings.Replace(clicked, "checkout", "frozen", 1), clicked[:90]} {
			r := structured(text)
			r.Headers = append(make([]pipeline.Header, 0, 8), append(r.Headers, pipeline.Header{Key: "X-User", Value: []byte("ada@example.com")})...)
			records = append(records, r)
		}
		return records
	}
	given := fresh()
	if b := ran(t, set, given...); len(b.Dead) != 2 || len(b.Observations) != 1 {
		t.Fatalf("%+v", b)
	}
	if diff := cmp.Diff(fresh(), given); diff != "" {
		t.Error(diff)
	}
	for i, r := range given { // what is behind them is nobody's either
		if diff := cmp.Diff(make([]pipeline.Header, 6), r.Headers[2:8]); diff != "" {
			t.Errorf("record %d: %s", i, diff)
		}
	}
}

// TestALetterIsHiddenInByTheRulesOfEveryTypeThatItsEventHasHad: a rule has renamed
// or mapped it before another has buried it, or would have.
func TestALetterIsHiddenInByTheRulesOfEveryTypeThatItsEventHasHad(t *testing.T) {
	click := strings.NewReplacer("io.whence.behavior.recorded", "com.acme.click", `"user"`, `"who"`, `"email":"ada@example.com",`, "").Replace(clicked)
	stray := structured(strings.Replace(clicked, `"name":"checkout",`, "", 1))
	stray.Headers = append(stray.Headers, pipeline.Header{Key: "ce_time", Value: []byte("x")})
	for name, c := range map[string]struct {
		rules  string
		record pipeline.Record
		kept   bool
	}{
		"renamed, then buried": {`
  - {name: people, types: [com.acme.click], hash: [event.data.who]}
  - {name: ours, types: [com.acme.click], rename: com.acme.seen}
  - {name: frozen, types: [com.acme.seen], dead_letter: wait}`, structured(click), true},
		"renamed twice, had it been read": {`
  - {name: ours, types: [com.acme.click], rename: com.acme.seen}
  - {name: more, types: [com.acme.seen], rename: com.acme.last}
  - {name: people, types: [com.acme.last], hash: [event.data.who]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), true},
		"renamed, had it been read, and filled under its old name": {`
  - {name: lower, types: [com.acme.click], set: {event.data.user: event.data.who.lowerAscii()}}
  - {name: ours, types: [com.acme.click], rename: com.acme.seen}
  - {name: people, types: [com.acme.seen], hash: [event.data.user]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), false},
		"renamed, had it been read, and filled under its new name": {`
  - {name: ours, types: [com.acme.click], rename: com.acme.seen}
  - {name: team, types: [com.acme.seen], set: {event.tenant: event.data.who}}
  - {name: people, types: [com.acme.seen], hash: [event.data.tenant]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), false},
		"renamed, had it been read, and filled with itself": {`
  - {name: ours, types: [com.acme.click], rename: com.acme.seen, set: {event.data.who: 'event.data.who.contains("@") ? event.data.who.lowerAscii() : "nobody"'}}
  - {name: people, types: [com.acme.seen], hash: [event.data.who]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), true},
		"filled by a mapping before it is renamed": {`
  - {name: ours, types: [com.acme.click], map: [{type: com.acme.seen, data: {user: event.data.who}}]}
  - {name: more, types: [com.acme.seen], map: [{type: com.acme.last, data: {user: event.data.user}}]}
  - {name: people, types: [com.acme.last], hash: [event.data.user]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), false},
		"kept under another name, had it been read": {`
  - {name: ours, types: [com.acme.click], map: [{type: com.acme.x, data: {a: '1'}}], keep: com.acme.kept}
  - {name: people, types: [com.acme.kept], hash: [event.data.who]}`, structured(strings.Replace(click, `"time":"2026-03-12T10:00:00Z",`, "", 1)), true},
		"mapped from a field of another name": {`
  - {name: ours, types: [com.acme.click], map: [{type: io.whence.behavior.recorded, data: {service: '"s"', environment: '"e"', user: event.data.who}}]}
  - {name: people, hash: [event.data.user]}`, structured(click), false},
		"mapped from a field of the same name": {`
  - {name: ours, types: [com.acme.click], map: [{type: io.whence.behavior.recorded, data: {service: '"s"', environment: '"e"', who: event.data.who}}]}
  - {name: people, hash: [event.data.who]}`, structured(click), true},
		"mapped as a record": {`
  - {name: ours, on: record, when: body.type == "com.acme.click", map: [{type: io.whence.behavior.recorded, id: body.id, source: '"/x"', time: body.time, data: {user: body.data.who}}]}
  - {name: people, types: [io.whence.behavior.recorded], hash: [event.data.user]}`, structured(click), false},
		"its id made of it": {`
  - {name: ours, types: [com.acme.click], rename: com.acme.seen, set: {event.id: event.data.who}}
  - {name: frozen, types: [com.acme.seen], dead_letter: wait}
  - {name: people, types: [com.acme.seen], hash: [event.id]}`, structured(click), false},
		"whole, with a header as of binary mode": {`
  - {name: people, types: ["io.whence.*"], hash: [event.data.user], redact: [event.data.attributes.email]}`, stray, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := ran(t, parsed(t, "rules:"+c.rules+"\n"), c.record)
			if len(b.Dead) != 1 {
				t.Fatalf("%+v", b)
			}
			d := b.Dead[0]
			if all := fmt.Sprintf("%s %s %s %s %s %s", d.Key, d.Value, d.Headers, d.Detail, d.ID, d.Source); strings.Contains(all, "ada@") {
				t.Errorf("it says %s", all)
			}
			if (len(d.Value) > 0) != c.kept {
				t.Errorf("value %q, kept must be %v: %s", d.Value, c.kept, d.Detail)
			}
		})
	}
}

// TestALetterIsHiddenInAsTheEventWouldHaveBeenOnceItWasRenamed: by the conditions
// that hold then, and as the fields of its type then want.
func TestALetterIsHiddenInAsTheEventWouldHaveBeenOnceItWasRenamed(t *testing.T) {
	const deployed = `{"specversion":"1.0","id":"1","source":"/ci","type":"com.acme.deploy","time":"2026-03-12T10:00:00Z",
	"data":{"deployment_id":"7","service":"shop","environment":"production","outcome":"success","attributes":{"by":"ada@example.com"}}}`
	for when, hidden := range map[string]bool{
		`event.type == "io.whence.deployment.finished"`: true,
		`event.type == "io.whence.deployment.started"`:  false,
		`event.data.environment == "prod"`:              true, // set on the way
		`event.data.environment == "qa"`:                false,
	} {
		b := ran(t, parsed(t, `
rules:
  - {name: spelled, types: [com.acme.deploy], set: {event.data.environment: '"prod"'}}
  - {name: ours, types: [com.acme.deploy], rename: io.whence.deployment.finished}
  - {name: people, types: ["io.whence.*"], when: '`+when+`', redact: [event.data.attributes.by, event.data.outcome]}
`), structured(deployed))
		if len(b.Dead) != 1 || b.Dead[0].Reason != pipeline.ReasonMissing || len(b.Dead[0].Value) == 0 {
			t.Fatalf("%s: %+v", when, b.Dead)
		}
		if is := !strings.Contains(string(b.Dead[0].Value), "ada@"); is != hidden {
			t.Errorf("%s: hidden %v, must be %v: %s", when, is, hidden, b.Dead[0].Value)
		}
		if is := !strings.Contains(string(b.Dead[0].Value), "outcome"); is != hidden {
			t.Errorf("%s: one of some words can't be redacted, and goes where the rule holds (%v): %s", when, hidden, b.Dead[0].Value)
		}
	}
}

func TestALetterOfARenamedEventWithNothingToHideIsAsItCame(t *testing.T) {
	const deployed = `{"specversion":"1.0","id":"1","source":"/ci","type":"com.acme.deploy","time":"2026-03-12T10:00:00Z","data":{"deployment_id":"7","service":"shop","environment":"production","version":"v7"}}`
	rules := `
rules:
  - {name: ours, types: [com.acme.deploy], rename: io.whence.deployment.finished}
  - {name: people, types: ["io.whence.*"], redact: [event.data.attributes.email]}
`
	d := ran(t, parsed(t, rules), structured(deployed)).Dead[0]
	if string(d.Value) != deployed || d.Detail != "data.outcome: missing, after the rules" {
		t.Fatalf("%s: %s", d.Detail, d.Value)
	}
	mended := parsed(t, strings.Replace(rules, "rename:", `set: {event.data.outcome: '"success"'}, rename:`, 1))
	if b := ran(t, mended, pipeline.Record{Value: d.Value, Headers: d.Headers}); len(b.Facts) != 1 || b.Facts[0].EntityID != "7" {
		t.Errorf("once the rule is mended: %+v", b.Dead)
	}
}

func TestADetailSaysThatAFieldIsMissingBesideWhatIsHidden(t *testing.T) {
	const people = "rules:\n  - {name: people, types: [io.whence.behavior.recorded], hash: [event.data.user]}\n"
	mapped := people + "  - {name: seen, types: [com.acme.seen], hash: [event.data.user]}\n" +
		"  - {name: ours, map: [{type: com.acme.seen, data: {user: event.data.attributes.email}}]}\n"
	for text, want := range map[string]string{
		people: "time: missing (what it says is hidden by rule people)",
		mapped: "time: missing (the record's bytes are withheld by rule seen)",
	} {
		d := ran(t, parsed(t, text), structured(strings.Replace(clicked, `"time":"2026-03-12T10:00:00Z",`, "", 1))).Dead[0]
		if d.Detail != want || rules.Withheld(d.Detail) != (len(d.Value) == 0) {
			t.Errorf("%s%q, want %q: %s", text, d.Detail, want, d.Value)
		}
	}
}

func TestALetterThatNoRuleHidesAnythingInIsAsItCame(t *testing.T) {
	set := parsed(t, `rules: [{name: people, types: [io.whence.user.identified], redact: [event.data.user]}]`)
	bad := strings.Replace(clicked, `"name":"checkout",`, "", 1)
	d := ran(t, set, structured(bad)).Dead[0]
	if string(d.Value) != bad || string(d.Key) != "ada@example.com" || d.Detail != "data.name: missing" {
		t.Errorf("%s %s %s", d.Key, d.Value, d.Detail)
	}
}

func TestALetterIsWithheldForARuleOnItsBodyAndNotForOneOnAHeaderItDoesNotHave(t *testing.T) {
	broken := pipeline.Record{Value: []byte(`{"who":"ada`)}
	for when, withheld := range map[string]bool{`body.kind == "click"`: true, `headers["x-kind"] == "click"`: false} {
		set := parsed(t, `rules: [{name: people, on: record, when: '`+when+`', hash: [body.who]}]`)
		if d := ran(t, set, broken).Dead[0]; (d.Value == nil) != withheld {
			t.Errorf("%s: %q, %s", when, d.Value, d.Detail)
		}
	}
}

func TestUnreadableBytesAreKeptWhereTheOperatorWantsThemTo(t *testing.T) {
	set := parsed(t, `{unreadable: keep, rules: [{name: people, redact: [event.data.user]}]}`)
	d := ran(t, set, structured(`{"data":{"user":`)).Dead[0]
	if string(d.Value) != `{"data":{"user":` {
		t.Errorf("value %q", d.Value)
	}
}

func TestAConditionThatCanNotBeComputedHidesAndDoesNothingElse(t *testing.T) {
	failed := map[string]int{}
	set, err := rules.Parse("own.yaml", []byte(`
rules:
  - {name: hides, when: 'event.data.name > 3', hash: [event.data.user], set: {event.subject: '"set"'}}
  - {name: drops, when: 'event.data.name > 3', drop: true}
`), rules.Options{Key: key, Failed: func(rule string) { failed[rule]++ }})
	if err != nil {
		t.Fatal(err)
	}
	o := ran(t, set, structured(clicked)).Observations
	if len(o) != 1 || !strings.HasPrefix(o[0].User, "hmac-sha256:") || o[0].Subject != "" {
		t.Fatalf("%+v", o)
	}
	if diff := cmp.Diff(map[string]int{"hides": 1, "drops": 1}, failed); diff != "" {
		t.Error(diff)
	}
}

func TestAConditionOnWhatIsNotThereIsNotMet(t *testing.T) {
	set, err := rules.Parse("own.yaml", []byte(`
rules:
  - {name: a header, on: record, when: 'headers["x-country"] == "DE"', drop: true, hash: [body.data.user]}
  - {name: a field of the body, on: record, when: 'body.country.code == "DE"', hash: [body.data.user], drop: true}
  - {name: a field, when: 'event.data.country.code == "DE"', hash: [event.data.user]}
  - {name: an extension, when: 'event.extensions["country"] == "DE"', hash: [event.data.user]}
`), rules.Options{Key: key, Failed: func(rule string) { t.Errorf("%s has failed", rule) }})
	if err != nil {
		t.Fatal(err)
	}
	b := ran(t, set, structured(clicked), pipeline.Record{Value: []byte("no JSON")}, structured(`{"specversion":"1.0","id":"1","source":"/x","type":"com.acme.x","time":"2026-03-12T10:00:00Z"}`))
	if len(b.Observations) != 1 || b.Observations[0].User != "ada@example.com" || len(b.Others) != 1 || len(b.Dropped) != 0 {
		t.Fatalf("%+v", b)
	}
}

func TestRulesFollowEachOtherAndARenamedEventMeetsThoseOfItsNewType(t *testing.T) {
	set := parsed(t, `
rules:
  - name: ours
    types: [com.acme.click]
    set:
      event.data.environment: event.data.?env.orValue("production")
      event.tenant: '"acme"'
      event.extensions.origin: event.type
    rename: io.whence.behavior.recorded
  - {name: not in time, types: [com.acme.click], drop: true}
  - {name: people, types: [io.whence.behavior.recorded], hash: [event.data.user]}
`)
	b := ran(t, set, structured(`{"specversion":"1.0","id":"1","source":"/web","type":"com.acme.click","time":"2026-03-12T10:00:00Z",
		"data":{"name":"checkout","service":"shop","env":"staging","user":"ada"}}`))
	if len(b.Observations) != 1 {
		t.Fatalf("%+v", b)
	}
	o := b.Observations[0]
	if o.Environment != "staging" || o.Tenant != "acme" || !strings.HasPrefix(o.User, "hmac-") || o.Extensions[0] != (event.Pair{Key: "origin", Value: "com.acme.click"}) {
		t.Errorf("%+v", o)
	}
}

func TestAnEventBecomesSeveral(t *testing.T) {
	set := parsed(t, `
rules:
  - name: a release train
    types: [com.acme.train]
    map:
      - type: io.whence.deployment.started
        id: event.id + "/started"
        data: '{"deployment_id": event.id, "service": event.data.app, "environment": "production", "version": event.data.tag}'
      - type: io.whence.deployment.finished
        id: event.id + "/finished"
        time: event.time + duration("90s")
        data:
          deployment_id: event.id
          service: event.data.app
          environment: '"production"'
          version: event.data.tag
          outcome: '"success"'
    keep: com.acme.train.kept
`)
	b := ran(t, set, structured(`{"specversion":"1.0","id":"t1","source":"/ci","type":"com.acme.train","time":"2026-03-12T10:00:00Z","data":{"app":"shop","tag":"v1"}}`))
	if len(b.Facts) != 2 || len(b.Others) != 1 || b.Others[0].Type != "com.acme.train.kept" {
		t.Fatalf("%+v", b)
	}
	if late := b.Facts[1].Time - b.Facts[0].Time; late != 90_000 {
		t.Errorf("finished %d ms later", late)
	}
}

func TestARuleCanBuryAndARecordsOtherEventsGoWithIt(t *testing.T) {
	set := parsed(t, `rules: [{name: frozen, types: [com.acme.x], dead_letter: wait for the new schema}]`)
	b := ran(t, set, structured(strings.Replace(clicked, "io.whence.behavior.recorded", "com.acme.x", 1)))
	if len(b.Dead) != 1 || b.Dead[0].Detail != "rule frozen: wait for the new schema" || b.Dead[0].ID != "1" || len(b.Others) != 0 {
		t.Fatalf("%+v", b)
	}
}

func TestAHeaderThatIsSetSaysWhoReadsTheRecord(t *testing.T) {
	set := parsed(t, `rules: [{name: pushed through a proxy, on: record, when: 'has(body.deployment_status)', set: {headers.x-github-event: '"deployment_status"', headers.whence-environment: '"qa"'}}]`)
	b := ran(t, set, pipeline.Record{Value: []byte(`{"deployment":{"id":1,"sha":"abc","environment":"production"},"repository":{"name":"shop","full_name":"acme/shop"},"deployment_status":{"id":2,"state":"success","created_at":"2026-03-12T10:00:00Z"}}`)})
	if len(b.Facts) == 0 {
		t.Fatalf("%+v", b)
	}
}

func TestAnExpensiveExpressionIsGivenUp(t *testing.T) {
	set := parsed(t, `rules: [{name: slow, when: 'event.data.l.all(a, event.data.l.all(b, event.data.l.all(c, a + b + c >= 0)))', drop: true}]`)
	list, err := json.Marshal(make([]int, 500))
	if err != nil {
		t.Fatal(err)
	}
	b := ran(t, set, structured(`{"specversion":"1.0","id":"1","source":"/web","type":"com.acme.x","time":"2026-03-12T10:00:00Z","data":{"l":`+string(list)+`}}`))
	if len(b.Others) != 1 {
		t.Fatal("it was dropped: a condition that was not computed is not met")
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a field nobody knows":   {"rules:\n  - name: a\n    when: event.tpye == \"x\"\n    drop: true\n", "own.yaml:3:11: rules[0].when: event has no tpye\nhint: did you mean type?"},
		"one on the second line": {"rules:\n  - name: a\n    when: |\n      event.id == \"ä\" &&\n      \"é\" != event.?tenat.orValue(\"\")\n    drop: true\n", "own.yaml:5:14: rules[0].when: event has no tenat\nhint: did you mean tenant?"},
		"event as a whole":       {"rules:\n  - name: a\n    when: event == 5\n    drop: true\n", "own.yaml:3:11: rules[0].when: undeclared reference to 'event' (in container '')"},
		"a block":                {"rules:\n  - name: a\n    when: |\n      true &&\n      nothing\n    drop: true\n", "own.yaml:5:7: rules[0].when: undeclared reference to 'nothing' (in container '')"},
		"quoted":                 {"rules:\n  - name: a\n    when: '1 == \"a\"'\n    drop: true\n", "own.yaml:3:14: rules[0].when: found no matching overload for '_==_' applied to '(int, string)'"},
		"no truth":               {"rules:\n  - name: a\n    when: event.id\n    drop: true\n", "own.yaml:3:11: rules[0].when: must give true or false, gives string"},
		"a key":                  {"rules:\n  - name: a\n    wehn: 'true'\n    drop: true\n", "own.yaml:3:5: rules[0].wehn: unknown key\nhint: did you mean when?"},
		"two ends":               {"rules:\n  - {name: a, topics: [x], drop: true, dead_letter: x}\n", "own.yaml:2:5: rules[0]: map, drop and dead_letter exclude each other"},
		"nothing":                {"rules:\n  - {name: a}\n", "own.yaml:2:5: rules[0]: the rule does nothing: want one of set, rename, redact, hash, map, route, drop, dead_letter"},
		"a type":                 {"rules:\n  - {name: a, rename: io.whence.deploy.finished}\n", "own.yaml:2:23: rules[0].rename: there is no type io.whence.deploy.finished: whence schema --list has them"},
		"a mistyped type":        {"rules:\n  - {name: a, types: [io.whence.behaviour.recorded], redact: [event.subject]}\n", "own.yaml:2:23: rules[0].types[0]: there is no type io.whence.behaviour.recorded: whence schema --list has them"},
		"a mistyped beginning":   {"rules:\n  - {name: a, types: ['io.whence.behaviour.*'], redact: [event.subject]}\n", "own.yaml:2:23: rules[0].types[0]: no type begins so: whence schema --list has them"},
		"everything":             {"rules:\n  - {name: a, drop: true}\n", "own.yaml:2:5: rules[0]: the rule leaves nothing of anything: say types, topics or when (types: [\"*\"] is all)"},
		"the identity":           {"rules:\n  - {name: a, redact: [event.id]}\n", "own.yaml:2:24: rules[0].redact[0]: event.id is what tells events apart: hash it"},
		"a name":                 {"rules:\n  - {topics: [x], drop: true}\n", "own.yaml:2:5: rules[0].name: a rule needs a name: metrics and dead letters have it"},
		"the clock":              {"rules:\n  - name: a\n    when: event.time < now()\n    drop: true\n", "own.yaml:3:27: rules[0].when: undeclared reference to 'now' (in container '')"},
		"what a record can't be": {"rules:\n  - {name: a, on: record, set: {body.x: '1'}}\n", "own.yaml:2:41: rules[0].set.body.x: of a record only headers.NAME can be set: map makes an event of it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules.Parse("own.yaml", []byte(c.text), rules.Options{Key: key})
			if err == nil || !config.IsProblem(err) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARuleForWhatIsNotThereIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		`{topics: [whence.behavoir], hash: [event.data.user]}`: "own.yaml:1:28: rules[0].topics[0]: whence.behavoir is no input topic of the configuration\nhint: did you mean whence.behavior?",
		`{types: ["io.whence.*"], hash: [event.data.user, event.data.usr]}`: "own.yaml:1:67: rules[0].hash[1]: none of the rule's types has event.data.usr\n" +
			"hint: did you mean user? If not: for a field that producers add, leave types out",
		`{types: [io.whence.change.merged], redact: [event.data.commits.author]}`: "own.yaml:1:62: rules[0].redact[0]: none of the rule's types has event.data.commits.author\n" +
			"hint: did you mean event.data.commits.*.author? If not: for a field that producers add, leave types out",
		`{types: [io.whence.change.merged], redact: [event.data.commits.*.autor]}`: "own.yaml:1:62: rules[0].redact[0]: none of the rule's types has event.data.commits.*.autor\n" +
			"hint: did you mean author? If not: for a field that producers add, leave types out",
		`{types: [io.whence.behavior.recorded], set: {event.data.enviroment: topic}}`: "own.yaml:1:86: rules[0].set.event.data.enviroment: none of the rule's types has event.data.enviroment\n" +
			"hint: did you mean environment? If not: for a field that producers add, leave types out",
		`{hash: [event.data.usr]}`:                                                                                                   "",
		`{types: ["io.whence.*", com.acme.x], hash: [event.data.usr]}`:                                                               "",
		`{types: ["io.*"], hash: [event.data.usr]}`:                                                                                  "",
		`{types: [com.acme.x], rename: io.whence.behavior.recorded, set: {event.data.usr: topic}}`:                                   "",
		`{types: [io.whence.behavior.recorded], rename: com.acme.x, set: {event.data.usr: topic}}`:                                   "",
		`{types: [io.whence.behavior.recorded], rename: io.whence.alert.fired, hash: [event.data.alert_id]}`:                         "",
		`{types: [io.whence.behavior.recorded], hash: [event.data.attributes.a.b, event.data.*, event.data.tenant]}`:                 "",
		`{types: [io.whence.change.merged], redact: [event.data.commits.*.author, event.data.commits.0.author, event.data.paths.*]}`: "",
		`{on: record, topics: [whence.behavior], hash: [body.usr]}`:                                                                  "",
	} {
		_, err := rules.Parse("own.yaml", []byte("rules: [{name: a, "+text[1:]+"]"), rules.Options{Key: key, Inputs: event.InputTopics()})
		if said := fmt.Sprint(err); said != want && (err != nil || want != "") {
			t.Errorf("%s:\n%s, want\n%s", text, said, want)
		}
	}
}

func TestTheRulesOfTheREADMEAreRight(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(after, "```")
	set, err := rules.Parse("README.md", []byte(example), rules.Options{Key: key, Inputs: event.InputTopics()})
	if err != nil || set.Len() != 3 {
		t.Errorf("%v: %s", err, example)
	}
}

func TestAFilterSaysWhatAnEventDoesNotHave(t *testing.T) {
	_, err := rules.NewFilter(rules.OnEvent, `topic != "" && event.typ == "x"`)
	if want := "column 16: event has no typ, did you mean type?"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestAKeyIsReadFromBesideTheRulesAndMustNotBeShort(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("own.yaml", "key_file: key\nrules: [{name: people, hash: [event.data.user]}]\n")
	write("own_test.yaml", "not rules")
	write("key", "short\n")
	if _, err := rules.Load([]string{filepath.Join(dir, "*.yaml")}, rules.Options{}); err == nil || !strings.Contains(err.Error(), "own.yaml:1:11: key_file: the key has 5 bytes, want 16 at least") {
		t.Fatalf("got %v", err)
	}
	write("key", "0123456789abcdef\n")
	set, err := rules.Load([]string{filepath.Join(dir, "*.yaml")}, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write("key", "another key, of more\n")
	other, err := rules.Load([]string{filepath.Join(dir, "*.yaml")}, rules.Options{})
	if err != nil || set.Digest() == other.Digest() {
		t.Errorf("%v, digests %s and %s", err, set.Digest(), other.Digest())
	}
	if _, err := rules.Load([]string{filepath.Join(dir, "none*.yaml")}, rules.Options{}); err == nil {
		t.Error("a pattern that fits no file is no error")
	}
}

// The same facts, the same answer: however records are cut into batches, and
// whichever of them are doubled.
func TestRulesMakeTheSameOfARecordWhateverIsAroundIt(t *testing.T) {
	set := parsed(t, `
rules:
  - {name: drop, when: event.data.user == "u1", drop: true}
  - {name: bury, when: event.data.user == "u2", dead_letter: no}
  - {name: hash, hash: [event.data.user], set: {event.data.region: '"eu"'}}
`)
	rapid.Check(t, func(t *rapid.T) {
		users := rapid.SliceOfN(rapid.SampledFrom([]string{"u1", "u2", "u3", "u4"}), 1, 8).Draw(t, "users")
		var records []pipeline.Record
		alone := map[string]uint64{}
		for _, u := range users {
			r := structured(strings.ReplaceAll(clicked, "ada@example.com", u))
			records = append(records, r)
			for _, o := range ranRapid(t, set, r).Observations {
				alone[o.User] = o.Hash
			}
		}
		for _, o := range ranRapid(t, set, records...).Observations {
			if alone[o.User] != o.Hash {
				t.Fatalf("%s: %x among others, %x alone", o.User, o.Hash, alone[o.User])
			}
		}
	})
}

func ranRapid(t *rapid.T, set *rules.Set, records ...pipeline.Record) *pipeline.Batch {
	b := &pipeline.Batch{Topic: "whence.behavior", From: 0, To: int64(len(records))}
	for i, r := range records {
		r.Offset = int64(i)
		b.Records = append(b.Records, r)
	}
	for _, stage := range set.Around(decode.New(decode.Config{}), validate.New(validate.Config{}), nil) {
		if err := stage.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if stored, dead, dropped := b.Census(); stored+dead+dropped != len(records) {
		t.Fatalf("%d records: %d stored, %d dead, %d dropped", len(records), stored, dead, dropped)
	}
	return b
}

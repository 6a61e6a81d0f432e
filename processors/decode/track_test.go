package decode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/schemas/event"
)

// trackedBy is what a body of product events becomes, a line each.
func trackedBy(t testing.TB, body string, headers ...string) []string {
	t.Helper()
	b := sent("track", []byte(body), headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	sound(t, b)
	var lines []string
	for _, o := range b.Observations {
		said := []string{o.Name, o.ID, o.Source, o.Time.Time().Format("15:04:05.000"), o.Service + "/" + o.Environment}
		for name, v := range map[string]string{"": o.User, "session=": o.Session, "version=": o.Version} {
			if v != "" {
				said = append(said, name+v)
			}
		}
		line := strings.Join(said[:5], " ")
		for _, v := range []string{o.User, o.Session, o.Version, o.AnonymousID, o.Experiment, o.Variant, o.UnitID} {
			if v != "" {
				line += " " + v
			}
		}
		if o.Value == o.Value {
			line += fmt.Sprintf(" value=%v", o.Value)
		}
		for _, a := range o.Attributes {
			line += " " + a.Key + "=" + a.Value
		}
		lines = append(lines, strings.TrimSpace(line+" "+o.Extra))
	}
	for _, o := range b.Others {
		line := "kept " + o.Type + " " + o.ID + " " + o.Data
		for _, x := range o.Extensions {
			line += " " + x.Key + "=" + x.Value
		}
		lines = append(lines, line)
	}
	for _, d := range b.Dead {
		lines = append(lines, fmt.Sprintf("dead %s %s", d.Reason, d.Detail))
	}
	return lines
}

func TestProductEventsAreWhatTheirMessagesSay(t *testing.T) {
	const when = `"timestamp":"2026-11-23T12:00:00.5Z"`
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"a track", `{"type":"track","messageId":"m1","event":"Order Completed","userId":"u1","anonymousId":"a1",` + when + `,"properties":{"revenue":12.5,"items":[1]},
			"context":{"app":{"name":"shop","version":"3.1"},"sessionId":7,"locale":"de"},"writeKey":"k"}`,
			[]string{`Order Completed m1 track/shop 12:00:00.500 shop/production u1 7 3.1 value=12.5 anonymous_id=a1 context.app={"name":"shop","version":"3.1"} context.locale=de context.sessionId=7 items=[1]`}},
		{"a track whose endpoint says what it is", `{"event":"Clicked","anonymousId":"a1","messageId":"m",` + when + `}`,
			[]string{`Clicked m track/unknown_service 12:00:00.500 unknown_service/production a1 anonymous_id=a1`}},
		{"a page", `{"type":"page","name":"Pricing","messageId":"m","userId":17,` + when + `,"context":{"page":{"url":"https://www.shop.example/pricing?x=1"}}}`,
			[]string{`page Pricing m track/www.shop.example 12:00:00.500 www.shop.example/production 17 context.page={"url":"https://www.shop.example/pricing?x=1"}`}},
		{"a screen without a name", `{"type":"screen","messageId":"m",` + when + `}`,
			[]string{`screen m track/unknown_service 12:00:00.500 unknown_service/production`}},
		{"a visitor who logs in", `{"type":"identify","messageId":"m","userId":"u1","anonymousId":"a1",` + when + `,"traits":{"plan":"pro"}}`,
			[]string{`user.identified m track/unknown_service 12:00:00.500 / u1 a1 {"attributes":{"anonymous_id":"a1","plan":"pro"}}`}},
		{"an alias", `{"type":"alias","messageId":"m","userId":"u1","previousId":"a1",` + when + `}`,
			[]string{`user.identified m track/unknown_service 12:00:00.500 / u1 a1`}},
		{"traits of a known user", `{"type":"identify","messageId":"m","userId":"u1",` + when + `}`,
			[]string{`kept com.segment.identify m {"messageId":"m","timestamp":"2026-11-23T12:00:00.5Z","type":"identify","userId":"u1"} unplaced=user.identified: data.anonymous_id: missing`}},
		{"a group", `{"type":"group","messageId":"m","groupId":"g",` + when + `}`,
			[]string{`kept com.segment.group m {"groupId":"g","messageId":"m","timestamp":"2026-11-23T12:00:00.5Z","type":"group"}`}},
		{"an exposure", `{"type":"track","event":"Experiment Viewed","messageId":"m","anonymousId":"a1",` + when + `,"properties":{"experiment_name":"checkout","variation_name":"b"}}`,
			[]string{`experiment.exposed m track/unknown_service 12:00:00.500 unknown_service/production checkout b a1 {"attributes":{"anonymous_id":"a1","experiment_name":"checkout","variation_name":"b"}}`}},
		{"a capture of PostHog", `{"api_key":"phc","event":"$pageview","distinct_id":"d1","uuid":"m",` + when + `,"properties":{"$current_url":"https://app.shop.example/","$session_id":"s1"}}`,
			[]string{`page m track/app.shop.example 12:00:00.500 app.shop.example/production d1 s1 $current_url=https://app.shop.example/ $session_id=s1`}},
		{"a flag of PostHog", `{"event":"$feature_flag_called","uuid":"m",` + when + `,"properties":{"distinct_id":"d1","$feature_flag":"f","$feature_flag_response":true}}`,
			[]string{`experiment.exposed m track/unknown_service 12:00:00.500 unknown_service/production f true d1 {"attributes":{"$feature_flag":"f","$feature_flag_response":true,"distinct_id":"d1"}}`}},
		{"a login in PostHog", `{"event":"$identify","distinct_id":"u1","uuid":"m",` + when + `,"properties":{"$anon_distinct_id":"a1"}}`,
			[]string{`user.identified m track/unknown_service 12:00:00.500 / u1 a1 {"attributes":{"$anon_distinct_id":"a1","anonymous_id":"a1"}}`}},
		{"an enriched event of Snowplow", `{"app_id":"shop","event_id":"m","event":"struct","se_category":"cart","se_action":"add","se_value":3,"collector_tstamp":"2026-11-23T12:00:09Z","derived_tstamp":"2026-11-23 12:00:00.500","domain_userid":"d1","domain_sessionid":"s1"}`,
			[]string{`add m track/shop 12:00:00.500 shop/production d1 s1 value=3 anonymous_id=d1 collector_tstamp=2026-11-23T12:00:09Z derived_tstamp=2026-11-23 12:00:00.500 domain_userid=d1 event=struct se_action=add se_category=cart`}},
		{"a batch with one that is none", `{"sentAt":"2026-11-23T12:00:00Z","writeKey":"k","batch":[{"type":"track","event":"A","messageId":"1"},5,{"type":"track","messageId":"3"},{"type":"track","event":"B","messageId":"4"}]}`,
			[]string{
				`A 1 track/unknown_service 12:00:00.000 unknown_service/production`,
				`B 4 track/unknown_service 12:00:00.000 unknown_service/production`,
				`kept com.segment.message ef2d127de37b942baad06145e54b0c61 5 unplaced=message: json: cannot unmarshal number into Go value of type map[string]json.RawMessage`,
				`kept com.segment.track 3 {"messageId":"3","type":"track"} unplaced=behavior.recorded: data.name: missing`,
			}},
		{"an empty batch", `{"batch":[]}`, []string{`kept com.segment.batch ` + digestOf([]byte(`{"batch":[]}`)) + ` {"batch":[]}`}},
		{"a list", `[{"type":"track","event":"A","messageId":"1",` + when + `}]`, []string{`A 1 track/unknown_service 12:00:00.500 unknown_service/production`}},
		{"a batch that is none", `{"batch":7}`, []string{`dead wrong_type : must be []json.RawMessage, is number`}},
		{"text", `hello`, []string{`dead malformed body: malformed: JSON: unexpected 'h' at byte 0`}},
	} {
		if d := cmp.Diff(c.want, trackedBy(t, c.body)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestHintsSayWhatAProductEventDoesNot(t *testing.T) {
	got := trackedBy(t, `{"type":"track","event":"A","messageId":"1","timestamp":"2026-11-23T12:00:00Z"}`, "whence-service", "web", "whence-environment", "staging", "whence-version", "9")
	if want := []string{`A 1 track/web 12:00:00.000 web/staging 9`}; !cmp.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestAProductEventHappenedWhenTheBodySaysHoweverOftenItComes(t *testing.T) {
	for _, c := range []struct{ times, want string }{
		{`"timestamp":"2026-11-23T12:00:00+01:00","originalTimestamp":"2020-01-01T00:00:00Z"`, "11:00:00"},
		{`"originalTimestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:05Z","receivedAt":"2026-11-23T12:00:00Z"`, "11:59:55"},
		{`"originalTimestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:05Z"`, "11:00:00"},
		{`"sentAt":"2026-11-23T11:00:05Z"`, "11:00:05"},
		{`"timestamp":1795428000`, "10:00:00"}, {`"timestamp":1795428000123`, "10:00:00"},
		{`"timestamp":"noon"`, "10:30:00"}, {`"timestamp":"2026-11-23 12:00:00"`, "12:00:00"},
	} {
		b := sent("track", []byte(`{"type":"track","event":"A","messageId":"1",`+c.times+`}`), "whence-received", "2026-11-23T10:30:00Z")
		if err := New(Config{}).Process(t.Context(), b); err != nil || len(b.Observations) != 1 {
			t.Fatalf("%s: %+v", c.times, b)
		}
		if got := b.Observations[0].Time.Time().Format(time.TimeOnly); got != c.want {
			t.Errorf("%s: %s, want %s", c.times, got, c.want)
		}
	}
}

func TestAProductEventOfNoTimeThatCanBeIsKept(t *testing.T) {
	got := trackedBy(t, `{"type":"track","event":"A","messageId":"1","timestamp":"1812-06-24T00:00:00Z"}`)
	if len(got) != 1 || !strings.HasPrefix(got[0], "kept com.segment.track 1") || !strings.Contains(got[0], "unplaced=behavior.recorded: time: 1812") {
		t.Errorf("%q", got)
	}
}

// TestAWriteKeyIsNotStored: the gateway may have it for its token.
func TestAWriteKeyIsNotStored(t *testing.T) {
	for _, body := range []string{
		`{"type":"track","event":"Clicked","userId":"u","messageId":"1","timestamp":"2026-03-12T10:00:00Z","writeKey":"SECRET"}`,
		`{"type":"group","groupId":"g","userId":"u","messageId":"1","timestamp":"2026-03-12T10:00:00Z","writeKey":"SECRET"}`,
		`{"event":"$create_alias","distinct_id":"u","api_key":"SECRET","properties":{"token":"SECRET","distinct_id":"u"},"timestamp":"2026-03-12T10:00:00Z"}`,
		`{"event":"e","api_key":"SECRET","properties":{"token":"SECRET","distinct_id":"u"},"timestamp":"2026-03-12T10:00:00Z"}`,
		`{"batch":[],"writeKey":"SECRET"}`,
		`{"batch":[{"type":"track","event":"e","userId":"u","writeKey":"SECRET"}],"writeKey":"SECRET"}`,
	} {
		b := sent("track", []byte(body))
		if err := New(Config{}).Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Observations)+len(b.Others) != 1 {
			t.Errorf("%s: %d observations, %d others", body, len(b.Observations), len(b.Others))
		}
		if all := fmt.Sprint(b.Observations, b.Others); strings.Contains(all, "SECRET") {
			t.Errorf("%s is stored as %s", body, all)
		}
	}
	if kept := trackedBy(t, `{"type":"track","event":"e","userId":"u","messageId":"1","timestamp":"2026-03-12T10:00:00Z","properties":{"token":"of the sender's own"}}`); !strings.Contains(strings.Join(kept, " "), "of the sender's own") {
		t.Errorf("%s", kept)
	}
}

func FuzzTrack(f *testing.F) {
	for _, body := range []string{
		`{"type":"track","event":"A","messageId":"1","timestamp":"2026-11-23T12:00:00Z","properties":{"revenue":"1e999"},"context":{"page":{"url":"%zz"}}}`,
		`{"batch":[{"event":"$identify","distinct_id":1,"properties":{"$anon_distinct_id":"a"}},null,[],{"type":"identify","userId":{},"traits":7}]}`,
		`[{"event_id":"1","collector_tstamp":"x","se_value":"y"}]`, `{"batch":null}`, `[]`, `""`, ` {"type":5,"context":[]}`,
	} {
		f.Add([]byte(body), "")
	}
	decoder := New(Config{})
	f.Fuzz(func(t *testing.T, body []byte, service string) {
		b := sent("track", body, "whence-service", service, "whence-received", event.MinTime.Time().Format(time.RFC3339))
		if err := decoder.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		sound(t, b)
	})
}

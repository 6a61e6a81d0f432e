package decode

import (
	"strings"
	"testing"
)

func ofSentry(resource, at, body string) message {
	return message{body: body, headers: []string{"sentry-hook-resource", resource, "sentry-hook-timestamp", at}}
}

func sentryIssueOf(action, lastSeen string) string {
	return `{"action":"` + action + `","installation":{"uuid":"a8e5"},"actor":{"type":"user","id":789,"name":"Maeve"},"data":{"issue":{
		"id":"1170820242","title":"TypeError: cart is undefined","level":"error","priority":"high","web_url":"https://shop.sentry.io/issues/1170820242/",
		"status":"unresolved","project":{"id":"1","slug":"checkout","name":"Checkout"},"firstSeen":"2026-03-12T10:00:30.679000+00:00","lastSeen":"` + lastSeen + `","count":"3"}}}`
}

const sentryEventBody = `{"event_id":"bb78c1407cea4519aa397afc059c793d","issue_id":"1170820242","datetime":"2026-03-12T10:01:00.391000Z","title":"TypeError: cart is undefined",
	"level":"fatal","release":"checkout@5.1.0","environment":"production","hashes":["07d2da329989f6cd310eb5f1c5e828a4"],
	"url":"https://sentry.io/api/0/projects/shop/checkout/events/bb78c1407cea4519aa397afc059c793d/","web_url":"https://shop.sentry.io/issues/1170820242/events/bb78/",
	"tags":[["server_name","checkout-7d9f"],["handled","no"],["level","fatal"]],"user":{"id":42,"email":"someone@example.com","ip_address":"192.0.2.1"},"contexts":{"trace":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}},
	"exception":{"values":[{"type":"TypeError","stacktrace":{"frames":[{"function":"main","filename":"app.js","lineno":1},{"function":"total","filename":"cart.js","lineno":17,"in_app":true}]}}]}}`

func sentryLife() []message {
	return []message{
		ofSentry("issue", "1773309631", sentryIssueOf("created", "2026-03-12T10:00:30Z")),
		ofSentry("event_alert", "1773309670", `{"action":"triggered","data":{"event":`+sentryEventBody+`,"triggered_rule":"Fatal in production"}}`),
		ofSentry("issue", "1773310000", sentryIssueOf("resolved", "2026-03-12T10:05:00Z")),
		ofSentry("issue", "1773310100", sentryIssueOf("assigned", "2026-03-12T10:05:00Z")),
	}
}

func TestAnIssueOfSentryIsOneAlertFromCreatedToResolved(t *testing.T) {
	playLife(t, life{source: "sentry", entity: "sentry/issue/1170820242", messages: sentryLife(), facts: []string{
		"alert.fired 10:00:30 issue/1170820242/created",
		"alert.fired 10:01:00 event/bb78c1407cea4519aa397afc059c793d/rule/Fatal in production",
		"alert.resolved 10:06:40 issue/1170820242/resolved/2026-03-12T10:06:40Z",
	}})
}

func TestAnIssueOfSentryThatIsResolvedTwiceWithoutAnEventBetweenIsResolvedAtLast(t *testing.T) {
	const lastSeen = "2026-03-12T10:05:00Z"
	playLife(t, life{source: "sentry", entity: "sentry/issue/1170820242",
		messages: []message{
			ofSentry("issue", "1773310000", sentryIssueOf("resolved", lastSeen)),
			ofSentry("issue", "1773310100", sentryIssueOf("unresolved", lastSeen)),
			ofSentry("issue", "1773310200", sentryIssueOf("resolved", lastSeen)),
		}, facts: []string{
			"alert.resolved 10:06:40 issue/1170820242/resolved/2026-03-12T10:06:40Z",
			"alert.fired 10:08:20 issue/1170820242/unresolved/2026-03-12T10:08:20Z",
			"alert.resolved 10:10:00 issue/1170820242/resolved/2026-03-12T10:10:00Z",
		}})
}

func TestAMetricAlertOfSentryIsOneAlertFromWarningToResolved(t *testing.T) {
	metric := func(action, closed string) message {
		return ofSentry("metric_alert", "1773310000", `{"action":"`+action+`","data":{"description_title":"Too many errors","web_url":"https://shop.sentry.io/alerts/4/","metric_alert":{"id":"4","projects":["checkout"],
			"alert_rule":{"name":"Too many errors","environment":"production"},"date_started":"2026-03-12T10:00:00.000000Z","date_closed":`+closed+`}}}`)
	}
	playLife(t, life{source: "sentry", entity: "sentry/metric_alert/4",
		messages: []message{metric("warning", "null"), metric("critical", "null"), metric("resolved", `"2026-03-12T10:06:00Z"`)}, facts: []string{
			"alert.fired 10:00:00 metric_alert/4/warning",
			"alert.fired 10:00:00 metric_alert/4/critical",
			"alert.resolved 10:06:00 metric_alert/4/resolved",
		}})
}

func TestAnErrorOfSentryIsAnObservationOfItsVersion(t *testing.T) {
	m := ofSentry("error", "1773309661", `{"action":"created","data":{"error":`+sentryEventBody+`}}`)
	b := sent("sentry", []byte(m.body), m.headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Observations) != 1 || len(b.Others) != 1 || len(b.Facts) != 0 {
		t.Fatalf("%+v", b)
	}
	o := b.Observations[0]
	if o.Service != "checkout" || o.Environment != "production" || o.Version != "5.1.0" || o.Instance != "checkout-7d9f" || o.User != "42" || o.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("%+v", o)
	}
}

func TestAResourceOfSentryThatNobodyMapsIsKeptWhateverItHolds(t *testing.T) {
	lines := saidBy(t, "sentry", []byte(`{"action":"created","data":{"issue":"1170820242","event":7,"comment":"on it"}}`), "sentry-hook-resource", "comment")
	if len(lines) != 1 || lines[0] != "kept io.sentry.comment.created" {
		t.Errorf("%q", lines)
	}
}

func TestTheTagsOfSentryAreReadAsPairsAndAsObjects(t *testing.T) {
	for _, written := range []string{`[["service","cart"],["a"],7]`, `[{"key":"service","value":"cart"},{}]`} {
		body := strings.Replace(sentryEventBody, `[["server_name","checkout-7d9f"],["handled","no"],["level","fatal"]]`, written, 1)
		if line := saidBy(t, "sentry", []byte(`{"action":"created","data":{"error":`+body+`}}`), "sentry-hook-resource", "error")[0]; !strings.HasSuffix(line, " cart/production") {
			t.Error(line)
		}
	}
}

func FuzzSentry(f *testing.F) { fuzzReader(f, "sentry", "sentry-hook-resource", sentryLife()) }

package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

// notified is a notification of Alertmanager about one alert, or of Grafana.
func notified(status, startsAt, endsAt, summary string) message {
	return message{body: fmt.Sprintf(`{"receiver":"whence","status":"%[1]s","alerts":[{"status":"%[1]s",
		"labels":{"alertname":"HighErrorRate","service":"checkout","job":"shop/checkout","environment":"production","severity":"page","cluster":"eu-1"},
		"annotations":{"summary":"%[4]s","runbook_url":"https://runbooks.example.com/errors"},
		"startsAt":"%[2]s","endsAt":"%[3]s","generatorURL":"http://prometheus:9090/graph?g0.expr=x","fingerprint":"6ab1c2d3e4f50718",
		"values":{"A":0.052},"dashboardURL":""}],
		"groupLabels":{"alertname":"HighErrorRate"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://alertmanager-0:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0,"orgId":1}`,
		status, startsAt, endsAt, summary)}
}

func alertLife() []message {
	const never = "0001-01-01T00:00:00Z"
	return []message{
		notified("firing", "2026-03-12T10:00:30.123456789Z", never, "5.2 % of requests fail"),
		notified("resolved", "2026-03-12T11:00:30.123456789+01:00", "2026-03-12T10:20:30.5Z", "0.1 % of requests fail"),
		notified("firing", "2026-03-13T02:00:00Z", never, "9 % of requests fail"),
	}
}

func TestAnAlertIsOneFromFiringToResolvedAndAnotherTheNextTime(t *testing.T) {
	for _, tool := range []string{"alertmanager", "grafana"} {
		playLife(t, life{source: tool, entity: tool + "/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z", messages: alertLife()[:2], facts: []string{
			"alert.fired 10:00:30 alert/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z/fired/ba537c89",
			"alert.resolved 10:20:30 alert/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z/resolved/c6ef6641",
		}})
		playLife(t, life{source: tool, entity: tool + "/6ab1c2d3e4f50718/2026-03-13T02:00:00Z", messages: alertLife()[2:], facts: []string{
			"alert.fired 02:00:00 alert/6ab1c2d3e4f50718/2026-03-13T02:00:00Z/fired/7cfaef35",
		}})
	}
}

func TestAnAlertSaysItsServiceEnvironmentSeverityAndSummary(t *testing.T) {
	lines := saidBy(t, "alertmanager", []byte(alertLife()[0].body))
	want := `alert.fired 2026-03-12T10:00:30Z alert/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z/fired/ba537c89 {"alert_id":"alertmanager/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z","cluster":"eu-1","environment":"production","fingerprint":"6ab1c2d3e4f50718","labels":{"alertname":"HighErrorRate","cluster":"eu-1","environment":"production","job":"shop/checkout","service":"checkout","severity":"page"},"service":"checkout","severity":"critical","summary":"5.2 % of requests fail"}`
	if len(lines) != 2 || lines[0] != want || lines[1] != "kept io.prometheus.alertmanager.firing" {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
}

// Each of a pair of Alertmanagers may send, and under its own address.
func TestAPairOfAlertmanagersSaysOneAlertOnce(t *testing.T) {
	one := alertLife()[0]
	other := message{body: strings.Replace(one.body, "alertmanager-0", "alertmanager-1", 1)}
	playLife(t, life{source: "alertmanager", entity: "alertmanager/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z", messages: []message{one, other}, facts: []string{
		"alert.fired 10:00:30 alert/6ab1c2d3e4f50718/2026-03-12T10:00:30.123Z/fired/ba537c89",
	}})
}

func TestAnAlertOfARepeatedNotificationMayBeWordedAnewAndStaysTheSameAlert(t *testing.T) {
	again := notified("firing", "2026-03-12T10:00:30.123Z", "0001-01-01T00:00:00Z", "6.1 % of requests fail")
	facts := factsOf(t, "alertmanager", []message{alertLife()[0], again})
	if len(facts) != 2 || facts[0].ID == facts[1].ID || entityOf(facts[0]) != entityOf(facts[1]) || facts[0].Time != facts[1].Time {
		t.Errorf("%+v", facts)
	}
}

func TestAnAlertIsOfTheFirstLabelThatNamesAServiceAndElseOfTheHint(t *testing.T) {
	alert := func(labels string) []byte {
		return []byte(`{"status":"firing","alerts":[{"status":"firing","labels":` + labels + `,"startsAt":"2026-03-12T10:00:00Z","fingerprint":"aa"}]}`)
	}
	for labels, want := range map[string]string{
		`{"app":"cart","job":"kube"}`:              `"service":"cart"`,
		`{"service_name":"cart","app":"x"}`:        `"service":"cart"`,
		`{"job":"cart","env":"staging"}`:           `"environment":"staging"`,
		`{"alertname":"DiskFull","instance":"n1"}`: `"service":"nodes"`,
	} {
		if line := saidBy(t, "alertmanager", alert(labels), source.HintPrefix+"service", "nodes")[0]; !strings.Contains(line, want) {
			t.Errorf("%s: %s", labels, line)
		}
	}
	lines := saidBy(t, "alertmanager", alert(`{"alertname":"Watchdog"}`))
	if len(lines) != 1 || !strings.Contains(lines[0], "unplaced=alert.fired: ") {
		t.Errorf("%q", lines)
	}
}

func TestWhatGrafanaOnCallSendsIsKept(t *testing.T) {
	lines := saidBy(t, "grafana", []byte(`{"event":{"type":"escalation"},"alert_group":{"id":"I1","state":"firing"},"integration":{"type":"alertmanager"}}`))
	if len(lines) != 1 || lines[0] != "kept com.grafana.alerting.webhook" {
		t.Errorf("%q", lines)
	}
}

func FuzzAlertmanager(f *testing.F) { fuzzReader(f, "alertmanager", "whence-service", alertLife()) }
func FuzzGrafana(f *testing.F)      { fuzzReader(f, "grafana", "whence-service", alertLife()) }

// genied is a webhook of Opsgenie about one alert; updated is in nanoseconds.
func genied(action, updated string) message {
	return message{body: fmt.Sprintf(`{"action":"%s","alert":{"alertId":"3c1f","message":"checkout is slow","tags":["env:production","service:checkout","urgent"],
		"tinyId":"17","alias":"checkout-latency","entity":"checkout-7d9f","createdAt":1773309630000,"updatedAt":%s,"username":"maeve@example.com","priority":"P2",
		"details":{"region":"eu-1","count":3},"responders":[{"id":"t1","type":"team"}],"teams":[]},
		"source":{"name":"","type":"web"},"integrationName":"Whence","integrationId":"i1","integrationType":"Webhook"}`, action, updated)}
}

func opsgenieLife() []message {
	return []message{genied("Create", "1773309630000000000"), genied("Acknowledge", "1773309720000000000"), genied("AddNote", "1773309730000000000"), genied("Close", "1773310000250000000")}
}

func TestAnAlertOfOpsgenieIsOneFromCreateToClose(t *testing.T) {
	playLife(t, life{source: "opsgenie", entity: "opsgenie/3c1f", messages: opsgenieLife(), facts: []string{
		"alert.fired 10:00:30 alert/3c1f/fired",
		"alert.resolved 10:06:40 alert/3c1f/closed",
	}})
	line := saidBy(t, "opsgenie", []byte(opsgenieLife()[0].body))[0]
	for _, want := range []string{`"service":"checkout"`, `"environment":"production"`, `"severity":"high"`, `"count":"3"`, `"fingerprint":"checkout-latency"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
}

func TestAnIncidentOfOpsgenieIsOneFromCreateToResolve(t *testing.T) {
	incident := func(action, updated string) message {
		return message{body: fmt.Sprintf(`{"action":"%s","incident":{"incidentId":"i-9","message":"Checkout down","priority":"P1","impactedServices":["checkout","cart"],"createdAt":1773309630000,"updatedAt":%s}}`, action, updated)}
	}
	playLife(t, life{source: "opsgenie", entity: "opsgenie/i-9", messages: []message{incident("CreateIncident", "1773309630000"), incident("ResolveIncident", "1773310000000")}, facts: []string{
		"incident.opened 10:00:30 incident/i-9/opened",
		"incident.resolved 10:06:40 incident/i-9/resolved/2026-03-12T10:06:40Z",
	}})
}

func FuzzOpsgenie(f *testing.F) { fuzzReader(f, "opsgenie", "whence-service", opsgenieLife()) }

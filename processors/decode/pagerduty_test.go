package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

// paged is an event of PagerDuty about incident Q1CHECKOUT.
func paged(kind, at, incident string) message {
	return message{body: fmt.Sprintf(`{"event":{"id":"01%s%s","event_type":"incident.%s","resource_type":"incident","occurred_at":"%s",
		"agent":{"id":"PMAEVE","type":"user_reference","summary":"Maeve","html_url":"https://shop.pagerduty.com/users/PMAEVE"},"client":{"name":"PagerDuty"},"data":%s}}`,
		kind, at, kind, at, incident)}
}

func incidentOfPagerDuty(more string) string {
	return `{"id":"Q1CHECKOUT","type":"incident","html_url":"https://shop.pagerduty.com/incidents/Q1CHECKOUT","number":1207,"status":"triggered",
		"created_at":"2026-03-12T10:00:30Z","title":"Checkout answers 503","urgency":"high","incident_key":null,
		"service":{"id":"PCHK","type":"service_reference","summary":"Checkout API","html_url":"https://shop.pagerduty.com/services/PCHK"},
		"escalation_policy":{"id":"PESC","type":"escalation_policy_reference","summary":"Default"},"teams":[],"assignees":[]` + more + `}`
}

func pagerdutyLife() []message {
	p1 := `,"priority":{"id":"PP1","type":"priority_reference","summary":"P1"}`
	return []message{
		paged("triggered", "2026-03-12T10:00:30.412Z", incidentOfPagerDuty(`,"priority":null,"resolve_reason":null`)),
		paged("acknowledged", "2026-03-12T10:02:11.087Z", incidentOfPagerDuty("")),
		paged("priority_updated", "2026-03-12T10:03:00Z", incidentOfPagerDuty(p1)),
		paged("escalated", "2026-03-12T10:05:00Z", incidentOfPagerDuty(p1)),
		paged("resolved", "2026-03-12T10:31:09.9Z", incidentOfPagerDuty(p1)),
		paged("reopened", "2026-03-12T10:40:00Z", incidentOfPagerDuty(p1)),
		paged("resolved", "2026-03-12T10:55:00Z", incidentOfPagerDuty(p1)),
	}
}

func TestAnIncidentOfPagerDutyIsOneFromTriggeredToResolved(t *testing.T) {
	playLife(t, life{source: "pagerduty", entity: "pagerduty/Q1CHECKOUT", messages: pagerdutyLife(), facts: []string{
		"incident.opened 10:00:30 incident/Q1CHECKOUT/opened",
		"incident.updated 10:00:30 incident/Q1CHECKOUT/rated",
		"incident.acknowledged 10:02:11 incident/Q1CHECKOUT/acknowledged/2026-03-12T10:02:11Z",
		"incident.updated 10:03:00 incident/Q1CHECKOUT/priority_updated/2026-03-12T10:03:00Z",
		"incident.updated 10:05:00 incident/Q1CHECKOUT/escalated/2026-03-12T10:05:00Z",
		"incident.resolved 10:31:09 incident/Q1CHECKOUT/resolved/2026-03-12T10:31:09Z",
		"incident.updated 10:31:09 incident/Q1CHECKOUT/rated/2026-03-12T10:31:09Z",
		"incident.reopened 10:40:00 incident/Q1CHECKOUT/reopened/2026-03-12T10:40:00Z",
		"incident.resolved 10:55:00 incident/Q1CHECKOUT/resolved/2026-03-12T10:55:00Z",
		"incident.updated 10:55:00 incident/Q1CHECKOUT/rated/2026-03-12T10:55:00Z",
	}})
}

func TestAnIncidentOfPagerDutySaysWhatItWasWhenItWasSaid(t *testing.T) {
	lines := saidBy(t, "pagerduty", []byte(pagerdutyLife()[0].body))
	want := []string{
		`incident.opened 2026-03-12T10:00:30Z incident/Q1CHECKOUT/opened {"by":"Maeve","environment":"production","incident_id":"pagerduty/Q1CHECKOUT","service":"Checkout API","started_at":"2026-03-12T10:00:30Z","title":"Checkout answers 503"}`,
		`incident.updated 2026-03-12T10:00:30Z incident/Q1CHECKOUT/rated {"by":"Maeve","environment":"production","incident_id":"pagerduty/Q1CHECKOUT","service":"Checkout API","severity":"high"}`,
		`kept com.pagerduty.incident.triggered`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if line := saidBy(t, "pagerduty", []byte(pagerdutyLife()[2].body))[0]; !strings.Contains(line, `"priority":"P1"`) || !strings.Contains(line, `"severity":"critical"`) {
		t.Error(line)
	}
}

// The log entries of the API have no milliseconds, and its incident is as it
// stands today: resolved, its priority another one, which the back-fill leaves
// out of what was before it.
func TestABackfilledIncidentOfPagerDutyIsTheOneTheWebhooksTold(t *testing.T) {
	const today = `,"status":"resolved","incident_number":1207,"resolved_at":"2026-03-12T10:55:00Z","last_status_change_at":"2026-03-12T10:55:00Z"`
	unknown := strings.Replace(incidentOfPagerDuty(today), `"urgency":"high",`, "", 1)
	p1 := incidentOfPagerDuty(today + `,"priority":{"id":"PP1","type":"priority","summary":"P1","name":"P1"}`)
	filled := []message{
		paged("triggered", "2026-03-12T10:00:30Z", unknown), paged("acknowledged", "2026-03-12T10:02:11Z", unknown),
		paged("priority_updated", "2026-03-12T10:03:00Z", p1), paged("escalated", "2026-03-12T10:05:00Z", p1),
		paged("resolved", "2026-03-12T10:31:09Z", p1), paged("reopened", "2026-03-12T10:40:00Z", p1), paged("resolved", "2026-03-12T10:55:00Z", p1),
	}
	for i := range filled {
		filled[i].headers = []string{source.Backfill, "true"}
	}
	told := map[string]uint64{}
	for _, f := range factsOf(t, "pagerduty", pagerdutyLife()) {
		told[f.Source+" "+f.Type+" "+f.ID] = f.Hash
	}
	facts := factsOf(t, "pagerduty", filled)
	if want := len(told) - 1; len(facts) != want { // all but how it was rated at first
		t.Errorf("%d facts, want %d", len(facts), want)
	}
	for _, f := range facts {
		if hash, ok := told[f.Source+" "+f.Type+" "+f.ID]; !ok || hash != f.Hash {
			t.Errorf("the back-fill's %s is not what the webhooks told", f.ID)
		}
	}
}

func TestAMergedIncidentOfPagerDutySaysWhichOneItIsPartOf(t *testing.T) {
	merged := incidentOfPagerDuty(`,"resolve_reason":{"type":"merge_resolve_reason","incident":{"id":"Q0PAYMENTS","type":"incident_reference"}}`)
	line := saidBy(t, "pagerduty", []byte(paged("resolved", "2026-03-12T10:10:00Z", merged).body))[0]
	if !strings.HasPrefix(line, "incident.merged ") || !strings.Contains(line, `"merged_into":"pagerduty/Q0PAYMENTS"`) {
		t.Error(line)
	}
}

func TestANoteOfPagerDutyIsAnUpdateWhereTheServiceIsKnown(t *testing.T) {
	note := paged("annotated", "2026-03-12T10:06:00Z", `{"id":"PN","type":"incident_note","content":"rolled back","incident":{"id":"Q1CHECKOUT","type":"incident_reference","html_url":"https://shop.pagerduty.com/incidents/Q1CHECKOUT"}}`)
	lines := saidBy(t, "pagerduty", []byte(note.body))
	if len(lines) != 1 || !strings.Contains(lines[0], "kept com.pagerduty.incident.annotated unplaced=incident.updated: ") {
		t.Errorf("%q", lines)
	}
	lines = saidBy(t, "pagerduty", []byte(note.body), source.HintPrefix+"service", "checkout")
	if len(lines) != 2 || !strings.Contains(lines[0], `"incident_id":"pagerduty/Q1CHECKOUT"`) {
		t.Errorf("%q", lines)
	}
}

func FuzzPagerDuty(f *testing.F) { fuzzReader(f, "pagerduty", source.Backfill, pagerdutyLife()) }

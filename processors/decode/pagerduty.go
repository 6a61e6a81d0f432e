package decode

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"
)

// pagerdutyMessage is a webhook of PagerDuty, version 3. Of its envelope
// go-pagerduty has only the signature, so that is read here (PagerDuty's
// developer documentation, "Webhooks Overview", section "Webhook Payload");
// the incident is the one of the REST API.
type pagerdutyMessage struct {
	*payload
	event    pagerdutyEvent
	incident pagerduty.Incident // only its reference, where the event is about a part of it
}

type pagerdutyEvent struct {
	ID         string              `json:"id"`
	Type       string              `json:"event_type"`
	OccurredAt string              `json:"occurred_at"`
	Agent      pagerduty.APIObject `json:"agent"`
	Data       json.RawMessage     `json:"data"`
}

func pagerdutyReader() reader {
	rules := pagerdutyRules()
	read := func(p *payload, s *said) error {
		var body struct {
			Event pagerdutyEvent `json:"event"`
		}
		if err := json.Unmarshal(p.body, &body); err != nil {
			return malformed(err)
		}
		if body.Event.Type == "" {
			return unkind("event.event_type")
		}
		m := pagerdutyMessage{payload: p, event: body.Event}
		if err := m.readIncident(); err != nil {
			return malformed(err)
		}
		origin := siteOf("https://www.pagerduty.com", m.incident.HTMLURL, m.event.Agent.HTMLURL)
		apply(s, rules, m.event.Type, origin, m)
		return s.original(kindOf("com.pagerduty", m.event.Type), origin, m.event.ID, m.at())
	}
	return reader{source: "pagerduty", read: read, rows: rows(rules)}
}

// readIncident reads the incident an event is about, or the reference to it
// where the event is about a note, a status update, a responder.
func (m *pagerdutyMessage) readIncident() error {
	if !strings.HasPrefix(m.event.Type, "incident.") || len(m.event.Data) == 0 {
		return nil
	}
	var data struct {
		Type     string              `json:"type"`
		Incident pagerduty.APIObject `json:"incident"`
	}
	if err := json.Unmarshal(m.event.Data, &data); err != nil {
		return err
	}
	if data.Type == "incident" || data.Type == "incident_reference" {
		return json.Unmarshal(m.event.Data, &m.incident)
	}
	m.incident.APIObject = data.Incident
	return nil
}

// at is when it happened, to the second: webhooks have milliseconds, the log
// entries that a back-fill reads do not, and both must say the same.
func (m pagerdutyMessage) at() time.Time { return rfc3339(m.event.OccurredAt).Truncate(time.Second) }

// merged is the incident it was resolved into, empty where it was just resolved.
func (m pagerdutyMessage) merged() string {
	if reason := m.incident.ResolveReason; reason.Type == "merge_resolve_reason" {
		return reason.Incident.ID
	}
	return ""
}

func (m pagerdutyMessage) priority() string {
	if m.incident.Priority == nil {
		return ""
	}
	return cmp.Or(m.incident.Priority.Summary, m.incident.Priority.Name)
}

// severity is the priority's, else the urgency's: high or low.
func (m pagerdutyMessage) severity() string {
	return severityOf(cmp.Or(m.priority(), m.incident.Urgency))
}

func pagerdutyIncident(id string) string {
	if id == "" {
		return ""
	}
	return "pagerduty/" + id
}

func pagerdutyRules() []rule[pagerdutyMessage] {
	type m = pagerdutyMessage
	about := []field[m]{
		{"incident_id", "pagerduty/`data.id`", func(m m) any { return pagerdutyIncident(m.incident.ID) }},
		{"service", "`data.service.summary`, else the hint", func(m m) any { return m.service(m.incident.Service.Summary) }},
		{"environment", "the hint, else the default", func(m m) any { return m.environment() }},
		{"by", "`agent.summary`, where that is a user", func(m m) any {
			if strings.HasPrefix(m.event.Agent.Type, "user") {
				return m.event.Agent.Summary
			}
			return ""
		}},
	}
	rated := []field[m]{
		{"priority", "`data.priority.summary`", func(m m) any { return m.priority() }},
		{"severity", "of `data.priority.summary`, else of `data.urgency`: " + severityDoc, func(m m) any { return m.severity() }},
	}
	const isRated = "`data.priority` or `data.urgency` is stated"
	isRatedNow := func(m m) bool { return m.severity() != "" }
	whole := func(m m) bool { return m.incident.Service.Summary != "" }
	at := field[m]{doc: "`occurred_at`, to the second", from: func(m m) any { return m.at() }}
	created := field[m]{doc: "`data.created_at`", from: func(m m) any { return rfc3339(m.incident.CreatedAt) }}
	once := func(what string) field[m] {
		return field[m]{doc: "incident/`data.id`/" + what, from: func(m m) any { return "incident/" + m.incident.ID + "/" + what }}
	}
	each := func(what string) field[m] {
		return field[m]{doc: "incident/`data.id`/" + what + "/`occurred_at`", from: func(m m) any {
			return "incident/" + m.incident.ID + "/" + what + "/" + stamp(m.at())
		}}
	}
	rules := []rule[m]{
		{from: "incident.triggered", to: "incident.opened", id: once("opened"), time: created, fields: with(about,
			field[m]{"title", "`data.title`", func(m m) any { return m.incident.Title }},
			field[m]{"started_at", "`data.created_at`", func(m m) any { return rfc3339(m.incident.CreatedAt).UTC() }})},
		// Priority and urgency change, and a back-fill doesn't always know what they
		// were: they are facts of their own, which it leaves out then.
		{from: "incident.triggered", when: isRated, is: isRatedNow, to: "incident.updated", id: once("rated"), time: created, fields: with(about, rated...)},
		{from: "incident.priority_updated", to: "incident.updated", id: each("priority_updated"), time: at, fields: with(about, rated...)},
		{from: "incident.acknowledged", to: "incident.acknowledged", id: each("acknowledged"), time: at, fields: about},
		{from: "incident.reopened", to: "incident.reopened", id: each("reopened"), time: at, fields: about},
		{from: "incident.resolved", when: "not by a merge", is: func(m m) bool { return m.merged() == "" }, to: "incident.resolved",
			id: each("resolved"), time: at, fields: about},
		{from: "incident.resolved", when: "not by a merge, " + isRated, is: func(m m) bool { return m.merged() == "" && isRatedNow(m) },
			to: "incident.updated", id: each("rated"), time: at, fields: with(about, rated...)},
		{from: "incident.resolved", when: "`data.resolve_reason.type` is `merge_resolve_reason`", is: func(m m) bool { return m.merged() != "" },
			to: "incident.merged", id: each("merged"), time: at, fields: with(about,
				field[m]{"merged_into", "pagerduty/`data.resolve_reason.incident.id`", func(m m) any { return pagerdutyIncident(m.merged()) }})},
	}
	for _, what := range []string{"unacknowledged", "reassigned", "escalated", "delegated", "service_updated"} {
		rules = append(rules, rule[m]{from: "incident." + what, when: "of a whole incident", is: whole, to: "incident.updated", id: each(what), time: at, fields: about})
	}
	for _, what := range []string{"annotated", "status_update_published", "responder.added", "responder.replied"} {
		part := each(what)
		rules = append(rules, rule[m]{from: "incident." + what, to: "incident.updated",
			id: field[m]{doc: strings.Replace(part.doc, "`data.id`", "`data.incident.id`", 1), from: part.from}, time: at, fields: about})
	}
	return rules
}

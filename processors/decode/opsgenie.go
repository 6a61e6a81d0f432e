package decode

import (
	"encoding/json"
	"strings"
	"time"
)

// opsgenieMessage is what Opsgenie's webhook integration sends. No Go library
// has it (opsgenie-go-sdk-v2 speaks to the API, with other names), so these are
// the fields used, of "Webhook Integration" in Opsgenie's documentation and,
// for incidents, "Incident Webhook".
type opsgenieMessage struct {
	*payload
	opsgenieBody
}

type opsgenieBody struct {
	Action   string           `json:"action"`
	Alert    opsgenieAlert    `json:"alert"`
	Incident opsgenieIncident `json:"incident"`
}

type opsgenieAlert struct {
	ID        string            `json:"alertId"`
	Message   string            `json:"message"`
	Alias     string            `json:"alias"`
	Entity    string            `json:"entity"`
	Tags      []string          `json:"tags"`
	Details   map[string]detail `json:"details"`
	Priority  string            `json:"priority"`
	CreatedAt int64             `json:"createdAt"` // ms
	UpdatedAt int64             `json:"updatedAt"` // ms or ns
}

type opsgenieIncident struct {
	ID        string   `json:"incidentId"`
	Message   string   `json:"message"`
	Priority  string   `json:"priority"`
	Services  []string `json:"impactedServices"`
	CreatedAt int64    `json:"createdAt"`
	UpdatedAt int64    `json:"updatedAt"`
}

// detail is a value of details, which is text in the interface and anything in
// the API. What is no text is as its JSON.
type detail string

// UnmarshalJSON never fails on what is JSON.
func (d *detail) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*d = detail(text)
	} else {
		*d = detail(raw)
	}
	return nil
}

func opsgenieReader() reader {
	rules := opsgenieRules()
	read := func(p *payload, s *said) error {
		m := opsgenieMessage{payload: p}
		if err := json.Unmarshal(p.body, &m.opsgenieBody); err != nil {
			return malformed(err)
		}
		if m.Action == "" {
			return unkind("action")
		}
		const origin = "https://www.opsgenie.com"
		apply(s, rules, m.Action, origin, m)
		at := latest(epoch(m.Alert.UpdatedAt), epoch(m.Alert.CreatedAt), epoch(m.Incident.UpdatedAt), epoch(m.Incident.CreatedAt))
		return s.original(kindOf("com.opsgenie", m.Action), origin, "", at)
	}
	return reader{source: "opsgenie", read: read, rows: rows(rules)}
}

// labels are the alert's details, and its tags of the form name:value.
func (m opsgenieMessage) labels() map[string]string {
	labels := map[string]string{}
	for _, tag := range m.Alert.Tags {
		if name, value, ok := strings.Cut(tag, ":"); ok {
			labels[name] = value
		}
	}
	for name, value := range m.Alert.Details {
		labels[name] = string(value)
	}
	return labels
}

func opsgenieRules() []rule[opsgenieMessage] {
	type m = opsgenieMessage
	alert := []field[m]{
		{"alert_id", "opsgenie/`alert.alertId`", func(m m) any { return "opsgenie/" + m.Alert.ID }},
		{"fingerprint", "`alert.alias`", func(m m) any { return m.Alert.Alias }},
		{"service", "the first of " + orderOf(alertService) + " in `alert.details` and in `alert.tags` of the form name:value, else `alert.entity`, else the hint",
			func(m m) any { return m.service(labelled(alertService, m.labels()), m.Alert.Entity) }},
		{"environment", "the first of " + orderOf(environmentNames) + " there, else the hint, else the default",
			func(m m) any { return m.environment(labelled(environmentNames, m.labels())) }},
		{"severity", "of `alert.priority`: " + severityDoc, func(m m) any { return severityOf(m.Alert.Priority) }},
		{"summary", "`alert.message`", func(m m) any { return m.Alert.Message }},
		{"labels", "`alert.details` and `alert.tags` of the form name:value", func(m m) any { return m.labels() }},
	}
	incident := []field[m]{
		{"incident_id", "opsgenie/`incident.incidentId`", func(m m) any { return "opsgenie/" + m.Incident.ID }},
		{"service", "the first of `incident.impactedServices`, else the hint", func(m m) any { return m.service(m.Incident.Services...) }},
		{"services", "`incident.impactedServices`", func(m m) any { return m.Incident.Services }},
		{"environment", "the hint, else the default", func(m m) any { return m.environment() }},
		{"priority", "`incident.priority`", func(m m) any { return m.Incident.Priority }},
		{"severity", "of `incident.priority`: " + severityDoc, func(m m) any { return severityOf(m.Incident.Priority) }},
		{"title", "`incident.message`", func(m m) any { return m.Incident.Message }},
	}
	ofAlert := func(action, to, what string, at func(m) time.Time, atDoc string) rule[m] {
		return rule[m]{from: action, to: to, is: func(m m) bool { return m.Alert.ID != "" }, fields: alert,
			id:   field[m]{doc: "alert/`alert.alertId`/" + what, from: func(m m) any { return "alert/" + m.Alert.ID + "/" + what }},
			time: field[m]{doc: atDoc, from: func(m m) any { return at(m) }}}
	}
	ofIncident := func(action, to, what string) rule[m] {
		return rule[m]{from: action, to: to, is: func(m m) bool { return m.Incident.ID != "" }, fields: incident,
			id: field[m]{doc: "incident/`incident.incidentId`/" + what + "/`incident.updatedAt`", from: func(m m) any {
				return "incident/" + m.Incident.ID + "/" + what + "/" + stamp(m.changed())
			}},
			time: field[m]{doc: "`incident.updatedAt`, else `incident.createdAt`", from: func(m m) any { return m.changed() }}}
	}
	opened := ofIncident("CreateIncident", "incident.opened", "opened")
	opened.id = field[m]{doc: "incident/`incident.incidentId`/opened", from: func(m m) any { return "incident/" + m.Incident.ID + "/opened" }}
	opened.time = field[m]{doc: "`incident.createdAt`", from: func(m m) any { return epoch(m.Incident.CreatedAt) }}
	opened.fields = with(incident, field[m]{"started_at", "`incident.createdAt`", func(m m) any { return epoch(m.Incident.CreatedAt).UTC() }})
	updated := func(m m) time.Time { return epoch(m.Alert.UpdatedAt) }
	return []rule[m]{
		// An alert of Opsgenie never comes back: after its close the same alias makes another.
		ofAlert("Create", "alert.fired", "fired", func(m m) time.Time { return epoch(m.Alert.CreatedAt) }, "`alert.createdAt`"),
		ofAlert("Close", "alert.resolved", "closed", updated, "`alert.updatedAt`"),
		ofAlert("Delete", "alert.resolved", "deleted", updated, "`alert.updatedAt`"),
		opened,
		ofIncident("ResolveIncident", "incident.resolved", "resolved"),
		ofIncident("CloseIncident", "incident.resolved", "closed"),
		ofIncident("ReopenIncident", "incident.reopened", "reopened"),
		ofIncident("UpdateIncidentPriority", "incident.updated", "priority"),
	}
}

// changed is when the incident came to be as it is.
func (m opsgenieMessage) changed() time.Time {
	return latest(epoch(m.Incident.UpdatedAt), epoch(m.Incident.CreatedAt))
}

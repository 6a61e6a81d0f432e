package decode

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/prometheus/alertmanager/template"
)

// alertMessage is one alert of a notification: Alertmanager's webhook, version
// 4, and Grafana's, which adds to it.
type alertMessage struct {
	*payload
	template.Alert
}

// alertmanagerReader reads notify/webhook.Message of Alertmanager, whose alerts
// are its template.Data.
func alertmanagerReader() reader {
	rules := alertRules("alertmanager")
	read := func(p *payload, s *said) error {
		return readAlerts(p, s, rules, "alertmanager", "io.prometheus.alertmanager")
	}
	return reader{source: "alertmanager", read: read, rows: rows(rules)}
}

// readAlerts says each alert of a notification in the name of tool. That is the
// facts' source whichever of several Alertmanagers sends: they send the same
// alerts, each under its own external URL.
func readAlerts(p *payload, s *said, rules []rule[alertMessage], tool, kind string) error {
	var group struct {
		template.Data
		State  string          `json:"state"`       // Grafana's: "ok" of a test notification and the like
		OnCall json.RawMessage `json:"alert_group"` // Grafana OnCall's
	}
	if err := json.Unmarshal(p.body, &group); err != nil {
		return malformed(err)
	}
	if group.Status == "" && group.State == "" && group.Alerts == nil && group.OnCall == nil {
		return unkind("status")
	}
	var last time.Time
	for _, alert := range group.Alerts {
		apply(s, rules, alert.Status, tool, alertMessage{p, alert})
		last = latest(last, alert.StartsAt, alert.EndsAt)
	}
	return s.original(kindOf(kind, cmp.Or(group.Status, group.State, "webhook")), cmp.Or(group.ExternalURL, tool), "", last)
}

// episode names one time that an alert fired, from firing to resolved: the
// fingerprint is of its labels alone, so it is the same the next time.
func (m alertMessage) episode() string {
	if m.Fingerprint == "" || m.StartsAt.IsZero() {
		return ""
	}
	return m.Fingerprint + "/" + stamp(m.StartsAt)
}

func (m alertMessage) summary() string {
	return cmp.Or(m.Annotations["summary"], m.Annotations["message"], m.Annotations["title"], m.Annotations["description"], m.Labels["alertname"])
}

// wording is a name for what the summary says. Templates of annotations mostly
// have the value in them, so that a repeated notification says 5.2 % where the
// first said 4.9 %: that is another thing said of one alert, not one thing said
// in two ways.
func (m alertMessage) wording() string {
	sum := sha256.Sum256([]byte(m.summary()))
	return hex.EncodeToString(sum[:4])
}

func (m alertMessage) severity() string {
	return severityOf(labelled([]string{"severity", "priority", "level"}, m.Labels))
}

func alertRules(tool string) []rule[alertMessage] {
	type m = alertMessage
	fields := []field[m]{
		{"alert_id", tool + "/`fingerprint`/`startsAt`", func(m m) any {
			if m.episode() == "" {
				return ""
			}
			return tool + "/" + m.episode()
		}},
		{"fingerprint", "`fingerprint`", func(m m) any { return m.Fingerprint }},
		{"service", "the first of " + orderOf(alertService) + " in `labels`, else the hint", func(m m) any { return m.service(labelled(alertService, m.Labels)) }},
		{"environment", "the first of " + orderOf(environmentNames) + " in `labels`, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.Labels))
		}},
		{"severity", "of the first of `severity`, `priority`, `level` in `labels`: " + severityDoc, func(m m) any { return m.severity() }},
		{"summary", "the first of `summary`, `message`, `title`, `description` in `annotations`, else `labels.alertname`", func(m m) any { return m.summary() }},
		{"labels", "`labels`", func(m m) any { return m.Labels }},
		{"cluster", "`labels.cluster`", func(m m) any { return m.Labels["cluster"] }},
		{"region", "`labels.region`", func(m m) any { return m.Labels["region"] }},
	}
	id := func(what string) field[m] {
		return field[m]{doc: "alert/`fingerprint`/`startsAt`/" + what + "/ and 8 hex digits of SHA-256 over the summary", from: func(m m) any {
			return "alert/" + m.episode() + "/" + what + "/" + m.wording()
		}}
	}
	return []rule[m]{
		{from: "firing", to: "alert.fired", id: id("fired"), fields: fields,
			time: field[m]{doc: "`startsAt`", from: func(m m) any { return m.StartsAt }}},
		{from: "resolved", to: "alert.resolved", id: id("resolved"), fields: fields,
			time: field[m]{doc: "`endsAt`", from: func(m m) any { return m.EndsAt }}},
	}
}

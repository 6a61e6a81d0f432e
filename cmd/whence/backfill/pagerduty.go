package backfill

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"
)

// pagerDuty reads incidents and what happened to each, through go-pagerduty.
type pagerDuty struct {
	Options
	client *pagerduty.Client
}

// PagerDuty is the plan of a back-fill of an account. Names are ids of services;
// none: all.
func PagerDuty(_ context.Context, o Options) (Plan, error) {
	var options []pagerduty.ClientOptions
	if o.URL != "" {
		options = append(options, pagerduty.WithAPIEndpoint(strings.TrimSuffix(o.URL, "/")))
	}
	client := pagerduty.NewClient(o.Token, options...)
	client.HTTPClient = o.Client
	return Plan{{"incidents", (&pagerDuty{o, client}).incidents}}, nil
}

// pagerDutyEvents says which webhook tells of a log entry (PagerDuty's developer
// documentation, "Log Entries" and "Webhooks Overview").
var pagerDutyEvents = map[string]string{
	"trigger_log_entry":         "incident.triggered",
	"acknowledge_log_entry":     "incident.acknowledged",
	"unacknowledge_log_entry":   "incident.unacknowledged",
	"resolve_log_entry":         "incident.resolved",
	"reopen_log_entry":          "incident.reopened",
	"escalate_log_entry":        "incident.escalated",
	"delegate_log_entry":        "incident.delegated",
	"priority_change_log_entry": "incident.priority_updated",
}

// longest is how long an incident may go on and be found though it began before
// the time in question: the API finds incidents by when they were created alone.
const longest = 5 * week

const week = 7 * 24 * time.Hour

// incidents reads them by the week that they were created in: of one question
// the API lists no more than ten thousand.
func (d *pagerDuty) incidents(ctx context.Context, cursor string, turn func(Page) error) error {
	from := d.From.UTC().Add(-longest)
	if cursor != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, cursor); err != nil {
			return err
		}
	}
	for from.Before(d.Until) {
		to := minTime(from.Add(week), d.Until.UTC())
		options := pagerduty.ListIncidentsOptions{
			Limit: 100, Since: from.Format(time.RFC3339), Until: to.Format(time.RFC3339), SortBy: "created_at:asc", TimeZone: "UTC", ServiceIDs: d.Names,
		}
		for more := true; more; options.Offset += options.Limit {
			answer, err := d.client.ListIncidentsWithContext(ctx, options)
			if err != nil {
				return pagerDutyError(err)
			}
			var p page
			for i := range answer.Incidents {
				if d.over(&answer.Incidents[i]) {
					continue
				}
				if err := d.incident(ctx, &answer.Incidents[i], &p); err != nil {
					return err
				}
			}
			next := from
			if more = answer.More; !more {
				next = to
			}
			if err := p.turn(next.Format(time.RFC3339), turn); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// over tells whether an incident had ended before the time in question.
func (d *pagerDuty) over(incident *pagerduty.Incident) bool {
	ended, err := time.Parse(time.RFC3339, incident.LastStatusChangeAt)
	return err == nil && incident.Status == "resolved" && ended.Before(d.From)
}

// incident adds what its log tells.
func (d *pagerDuty) incident(ctx context.Context, incident *pagerduty.Incident, p *page) error {
	var entries []pagerduty.LogEntry
	options := pagerduty.ListIncidentLogEntriesOptions{Limit: 100, TimeZone: "UTC"}
	for more := true; more; options.Offset += options.Limit {
		answer, err := d.client.ListIncidentLogEntriesWithContext(ctx, incident.ID, options)
		if err != nil {
			return pagerDutyError(err)
		}
		entries, more = append(entries, answer.LogEntries...), answer.More
	}
	last := "" // the log has the latest first: of several resolutions only that is by a merge
	for i := range entries {
		entry := &entries[i]
		event := pagerDutyEvents[entry.Type]
		if event == "" {
			continue
		}
		about := *incident
		about.Type = "incident"
		if event == "incident.resolved" {
			if last != "" {
				about.ResolveReason = pagerduty.ResolveReason{}
			}
			last = entry.ID
		}
		p.add("pagerduty", map[string]any{"event": map[string]any{
			"id": entry.ID, "event_type": event, "resource_type": "incident", "occurred_at": entry.CreatedAt, "agent": pagerduty.APIObject(entry.Agent), "data": about,
		}})
	}
	return nil
}

func pagerDutyError(err error) error {
	var said pagerduty.APIError
	if errors.As(err, &said) && said.StatusCode != http.StatusTooManyRequests {
		return asMissing(said.StatusCode, err)
	}
	return err
}

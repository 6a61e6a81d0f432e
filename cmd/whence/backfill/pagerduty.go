package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
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
	"trigger_log_entry":       "incident.triggered",
	"acknowledge_log_entry":   "incident.acknowledged",
	"assign_log_entry":        "incident.reassigned",
	"unacknowledge_log_entry": "incident.unacknowledged",
	"resolve_log_entry":       "incident.resolved",
	"reopen_log_entry":        "incident.reopened",
	"escalate_log_entry":      "incident.escalated",
	"delegate_log_entry":      "incident.delegated",
	priorityChange:            "incident.priority_updated",
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
	ratings := ratingsOf(incident, entries)
	resolved := "" // the log has the latest first: of several resolutions only that is by a merge
	for i := range entries {
		entry := &entries[i]
		event := pagerDutyEvents[entry.Type]
		if event == "" || entry.Type == "assign_log_entry" && partOfAnother(entries, i) {
			continue
		}
		about := *incident
		about.Type = "incident"
		about.Priority, about.Urgency = ratings[i].priority, ratings[i].urgency
		switch event {
		case "incident.triggered":
			if ratedAtOnce(entries, i) {
				about.Priority, about.Urgency = nil, ""
			}
		case "incident.priority_updated":
			if !ratings[i].known() {
				continue
			}
		case "incident.resolved":
			if resolved != "" {
				about.ResolveReason = pagerduty.ResolveReason{}
			}
			resolved = entry.ID
		}
		p.add("pagerduty", map[string]any{"event": map[string]any{
			"id": entry.ID, "event_type": event, "resource_type": "incident", "occurred_at": entry.CreatedAt, "agent": pagerduty.APIObject(entry.Agent), "data": about,
		}})
	}
	return nil
}

const (
	priorityChange = "priority_change_log_entry"
	urgencyChange  = "urgency_change_log_entry"
)

// rating is an incident's priority and urgency as a webhook stated them after an
// entry of its log. Neither is stated where it isn't known what they were.
type rating struct {
	priority *pagerduty.Priority // nil: none
	urgency  string
}

// known says whether it states anything.
func (r rating) known() bool { return r.priority != nil || r.urgency != "" }

// ratingsOf says how the incident was rated after each of its log entries, the
// latest of which is the first. The incident is as it is today. Its log has with
// each change of the priority what it was before and after (channel.old_priority
// and .new_priority); where these are missing, and of the urgency, only what
// has been since the last change is known.
func ratingsOf(incident *pagerduty.Incident, entries []pagerduty.LogEntry) []rating {
	ratings := make([]rating, len(entries))
	now, known := rating{incident.Priority, incident.Urgency}, true // of the priority
	for i := range entries {
		changes := entries[i].Type == priorityChange
		if changes {
			if after, stated := priorityIn(entries[i].Channel, "new_priority"); stated {
				now.priority, known = after, true
			}
		}
		if known {
			ratings[i] = now
		}
		if changes {
			now.priority, known = priorityIn(entries[i].Channel, "old_priority")
		}
		if entries[i].Type == urgencyChange {
			now.urgency = ""
		}
	}
	return ratings
}

// priorityIn is the priority of that name in the channel of a log entry, nil
// where it says that there was none.
func priorityIn(channel pagerduty.Channel, name string) (priority *pagerduty.Priority, stated bool) {
	said, stated := channel.Raw[name]
	if said == nil {
		return nil, stated
	}
	text, err := json.Marshal(said)
	if err != nil || json.Unmarshal(text, &priority) != nil || priority.Summary == "" && priority.Name == "" {
		return nil, false
	}
	return priority, true
}

// ratedAtOnce says whether an incident's priority was changed in the minute after
// entry i triggered it, as rules of an account do it: nobody can tell whether the
// webhook had it already. The change is a fact of its own in any case.
func ratedAtOnce(entries []pagerduty.LogEntry, i int) bool {
	triggered, err := time.Parse(time.RFC3339, entries[i].CreatedAt)
	return err == nil && slices.ContainsFunc(entries[:i], func(e pagerduty.LogEntry) bool {
		at, err := time.Parse(time.RFC3339, e.CreatedAt)
		return e.Type == priorityChange && err == nil && at.Sub(triggered) < time.Minute
	})
}

// partOfAnother says whether an assignment, entry i, is how an incident was
// triggered or escalated: of these the webhook says that alone.
func partOfAnother(entries []pagerduty.LogEntry, i int) bool {
	const together = 5 * time.Second
	assigned, err := time.Parse(time.RFC3339, entries[i].CreatedAt)
	return err != nil || slices.ContainsFunc(entries, func(e pagerduty.LogEntry) bool {
		switch e.Type {
		case "trigger_log_entry", "escalate_log_entry", "delegate_log_entry", "reopen_log_entry":
			at, err := time.Parse(time.RFC3339, e.CreatedAt)
			return err == nil && assigned.Sub(at).Abs() <= together
		}
		return false
	})
}

func pagerDutyError(err error) error {
	var said pagerduty.APIError
	if errors.As(err, &said) && said.StatusCode != http.StatusTooManyRequests {
		return asMissing(said.StatusCode, err)
	}
	return err
}

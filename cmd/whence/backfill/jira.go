package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jira reads issues with their histories (Jira Cloud REST API v3, "Issue
// search"; Jira Data Center REST API v2, the same). No small Go library can be
// had for it, so there are structs with the fields that are used.
type jira struct {
	Options
	*rest
	done map[string]bool // names of statuses whose category is done
}

// Jira is the plan of a back-fill of projects, by their keys; none: all that the
// token may see.
func Jira(_ context.Context, o Options) (Plan, error) {
	if o.URL == "" {
		return nil, errors.New("the site's URL is missing, such as https://acme.atlassian.net")
	}
	return Plan{{"issues", (&jira{Options: o, rest: newREST(o)}).issues}}, nil
}

type jiraStatus struct {
	Name     string       `json:"name"`
	Category jiraCategory `json:"statusCategory"`
}

type jiraCategory struct {
	Key string `json:"key"`
}

type jiraIssue struct {
	Self      string                     `json:"self"`
	ID        string                     `json:"id"`
	Key       string                     `json:"key"`
	Fields    map[string]json.RawMessage `json:"fields"`
	Changelog struct {
		Total     int           `json:"total"`
		Histories []jiraHistory `json:"histories"`
	} `json:"changelog"`
}

type jiraHistory struct {
	ID      string          `json:"id"`
	Author  json.RawMessage `json:"author"`
	Created string          `json:"created"`
	Items   []jiraItem      `json:"items"`
}

type jiraItem struct {
	Field      string `json:"field"`
	FieldID    string `json:"fieldId,omitempty"`
	FieldType  string `json:"fieldtype,omitempty"`
	From       string `json:"from"`
	FromString string `json:"fromString"`
	To         string `json:"to"`
	ToString   string `json:"toString"`
}

// jiraFields are those that are asked for: what readers of webhooks use.
const jiraFields = "issuetype,summary,priority,components,labels,created,updated,resolutiondate,statuscategorychangedate,project,status,resolution"

// issues reads those that have changed since the beginning, and those that are
// open however old they are: what is open now was then. They come by the time of
// their last change: what changes meanwhile comes again at the end. The cursor is
// a minute, as JQL knows no less.
func (j *jira) issues(ctx context.Context, cursor string, turn func(Page) error) error {
	if err := j.statuses(ctx); err != nil {
		return err
	}
	var from time.Time // zero: from the first on
	if cursor != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, cursor); err != nil {
			return err
		}
	}
	path, query := "/rest/api/3/search/jql", url.Values{"fields": {jiraFields}, "expand": {"changelog"}, "maxResults": {"100"}}
	seen := map[string]string{} // key → last change
	for start := 0; ; {
		query.Set("jql", j.jql(from))
		if start > 0 {
			query.Set("startAt", strconv.Itoa(start))
		}
		var answer struct {
			Issues []jiraIssue `json:"issues"`
			Next   string      `json:"nextPageToken"` // Cloud
			Total  int         `json:"total"`         // Data Center
		}
		err := j.get(ctx, path, query, &answer)
		if isMissing(err) && strings.HasPrefix(path, "/rest/api/3") && len(seen) == 0 {
			path = "/rest/api/2/search"
			continue
		}
		if err != nil {
			return err
		}
		var p page
		last := from
		for i := range answer.Issues {
			issue := &answer.Issues[i]
			updated := issue.text("updated")
			if at := jiraTime(updated); !at.IsZero() {
				last = at.UTC().Truncate(time.Minute)
			}
			if seen[issue.Key] == updated {
				continue
			}
			seen[issue.Key] = updated
			if err := j.issue(ctx, issue, &p); err != nil {
				return err
			}
		}
		if err := p.turn(last.Format(time.RFC3339), turn); err != nil {
			return err
		}
		switch n := len(answer.Issues); {
		case n == 0 || answer.Next == "" && start+n >= answer.Total:
			return nil
		case answer.Next != "":
			query.Set("nextPageToken", answer.Next)
		case last.After(from):
			from, start = last, 0 // an issue that changes moves, and a place in the list with it
			query.Del("startAt")
		default:
			start += n
		}
	}
}

// jql asks for what is left from a minute on. Times are in milliseconds since
// 1970: dates in words are of the time zone of whose token it is.
func (j *jira) jql(from time.Time) string {
	jql := fmt.Sprintf("(updated >= %d OR statusCategory != Done)", j.From.UnixMilli())
	if !from.IsZero() {
		jql += fmt.Sprintf(" AND updated >= %d", from.UnixMilli())
	}
	if len(j.Names) > 0 {
		quoted := make([]string, len(j.Names))
		for i, name := range j.Names {
			quoted[i] = strconv.Quote(name)
		}
		jql += " AND project in (" + strings.Join(quoted, ", ") + ")"
	}
	return jql + " ORDER BY updated ASC"
}

// statuses reads which are done: a history names statuses, but not what they are.
func (j *jira) statuses(ctx context.Context) error {
	var all []jiraStatus
	if err := j.get(ctx, "/rest/api/2/status", nil, &all); err != nil && !isMissing(err) {
		return err
	}
	j.done = map[string]bool{}
	for _, s := range all {
		j.done[s.Name] = s.Category.Key == "done"
	}
	return nil
}

func jiraTime(text string) time.Time {
	for _, layout := range [...]string{"2006-01-02T15:04:05.999-0700", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

func (i *jiraIssue) text(field string) string {
	var text string
	_ = json.Unmarshal(i.Fields[field], &text) // null and what else is no string are empty
	return text
}

func (i *jiraIssue) set(field string, value any) {
	text, _ := json.Marshal(value) // strings, lists and maps of them
	i.Fields[field] = text
}

// open says whether the issue is not done as it stands.
func (i *jiraIssue) open() bool {
	var status jiraStatus
	_ = json.Unmarshal(i.Fields["status"], &status)
	return status.Category.Key != "" && status.Category.Key != "done"
}

// issue adds that an issue was created and every change of it, each with the
// issue as it was then: a webhook shows it after the change. So the history is
// undone change by change, from the last one. Of one that is open what was before
// the beginning is told too, where it says how the issue has come to stand as
// it does.
func (j *jira) issue(ctx context.Context, i *jiraIssue, p *page) error {
	open := i.open()
	histories, err := j.histories(ctx, i)
	if err != nil {
		return err
	}
	slices.SortStableFunc(histories, func(a, b jiraHistory) int { return jiraTime(b.Created).Compare(jiraTime(a.Created)) })
	var events []map[string]any // the last first
	event := func(name string, body map[string]any) {
		shown := jiraIssue{Self: i.Self, ID: i.ID, Key: i.Key, Fields: map[string]json.RawMessage{}}
		for field, value := range i.Fields {
			shown.Fields[field] = value
		}
		body["webhookEvent"] = name
		body["issue"] = map[string]any{"self": i.Self, "id": i.ID, "key": i.Key, "fields": shown.Fields}
		events = append(events, body)
	}
	for _, h := range histories {
		if at := jiraTime(h.Created); j.within(at) || open && at.Before(j.From) && h.tells() {
			i.set("updated", h.Created)
			event("jira:issue_updated", map[string]any{"user": h.Author, "timestamp": at.UnixMilli(), "changelog": map[string]any{"id": h.ID, "items": h.Items}})
		}
		j.undo(i, &h, histories)
	}
	created := i.text("created")
	if at := jiraTime(created); j.within(at) || open && at.Before(j.From) || len(events) > 0 { // what changes has to have begun
		i.set("updated", created)
		event("jira:issue_created", map[string]any{"timestamp": jiraTime(created).UnixMilli()})
	}
	slices.Reverse(events)
	for _, body := range events {
		p.add("jira", body)
	}
	return nil
}

// histories are all changes of an issue: a search has the last hundred of each.
func (j *jira) histories(ctx context.Context, i *jiraIssue) ([]jiraHistory, error) {
	if i.Changelog.Total <= len(i.Changelog.Histories) {
		return i.Changelog.Histories, nil
	}
	var all []jiraHistory
	for {
		var answer struct {
			Values []jiraHistory `json:"values"`
			IsLast bool          `json:"isLast"`
		}
		err := j.get(ctx, "/rest/api/3/issue/"+url.PathEscape(i.ID)+"/changelog", url.Values{"startAt": {strconv.Itoa(len(all))}, "maxResults": {"100"}}, &answer)
		if isMissing(err) && len(all) == 0 {
			return i.Changelog.Histories, nil // Data Center has them all in the search
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, answer.Values...); answer.IsLast || len(answer.Values) == 0 {
			return all, nil
		}
	}
}

// tells says whether h has changed any of the fields that readers of webhooks use.
func (h *jiraHistory) tells() bool {
	return slices.ContainsFunc(h.Items, func(i jiraItem) bool {
		switch strings.ToLower(i.Field) {
		case "summary", "priority", "issuetype", "labels", "component", "components", "status", "resolution":
			return true
		}
		return false
	})
}

// undo takes a change back. h is one of the histories, the last first.
func (j *jira) undo(i *jiraIssue, h *jiraHistory, histories []jiraHistory) {
	for n := range h.Items {
		item := &h.Items[n]
		switch strings.ToLower(item.Field) {
		case "summary":
			i.set("summary", item.FromString)
		case "priority", "issuetype":
			i.set(strings.ToLower(item.Field), map[string]string{"name": item.FromString})
		case "labels":
			i.set("labels", strings.Fields(item.FromString))
		case "component", "components":
			i.undoComponent(item)
		case "status":
			category := "indeterminate"
			if j.done[item.FromString] {
				category = "done"
			}
			i.set("status", map[string]any{"name": item.FromString, "statusCategory": map[string]string{"key": category}})
			i.Fields["statuscategorychangedate"] = lastChange(histories, h, "status")
		case "resolution":
			if item.FromString == "" {
				i.Fields["resolution"], i.Fields["resolutiondate"] = json.RawMessage("null"), json.RawMessage("null")
			} else {
				i.set("resolution", map[string]string{"name": item.FromString})
				i.Fields["resolutiondate"] = lastChange(histories, h, "resolution")
			}
		}
	}
}

// lastChange is when a field was changed before h, null if it was not.
func lastChange(histories []jiraHistory, h *jiraHistory, field string) json.RawMessage {
	at := jiraTime(h.Created)
	for n := range histories {
		other := &histories[n]
		if jiraTime(other.Created).Before(at) && slices.ContainsFunc(other.Items, func(i jiraItem) bool { return strings.EqualFold(i.Field, field) }) {
			text, _ := json.Marshal(other.Created)
			return text
		}
	}
	return json.RawMessage("null")
}

// undoComponent takes back that a component was added (to) or removed (from).
func (i *jiraIssue) undoComponent(item *jiraItem) {
	var components []map[string]any
	_ = json.Unmarshal(i.Fields["components"], &components)
	if item.ToString != "" {
		components = slices.DeleteFunc(components, func(c map[string]any) bool { return c["name"] == item.ToString })
	}
	if item.FromString != "" {
		components = append(components, map[string]any{"name": item.FromString})
	}
	i.set("components", components)
}

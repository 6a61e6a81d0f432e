package decode

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The webhooks of Jira (Webhooks of its developer documentation): an issue and
// what has changed of it. There is no small Go library for them, so the structs
// have only the fields that rules use. Remote deployments, sprints, worklogs
// and the rest are kept as they are.

func jiraReader() reader {
	all := kinds{ofKind("jira:issue_created", jiraRules()...), ofKind("jira:issue_updated", jiraRules()...)}
	read := func(p *payload, s *said) error {
		var envelope struct {
			Event string `json:"webhookEvent"`
			Issue struct {
				Self   string `json:"self"`
				Key    string `json:"key"`
				Fields struct {
					Updated string `json:"updated"`
				} `json:"fields"`
			} `json:"issue"`
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		if envelope.Event == "" && envelope.Issue.Key == "" {
			return unkind("webhookEvent")
		}
		project, _, _ := strings.Cut(envelope.Issue.Key, "-")
		from := place{"jira", jiraSite(envelope.Issue.Self), project, project}
		name := cmp.Or(envelope.Event, "unnamed")
		if err := all.say(s, name, from); err != nil {
			return err
		}
		name = strings.TrimPrefix(strings.ReplaceAll(name, ":", "."), "jira.")
		return s.original("com.atlassian.jira."+name, from.origin, "", jiraTime(envelope.Issue.Fields.Updated))
	}
	return reader{source: "jira", read: read, rows: all.rows()}
}

// jiraSite is what an issue's URL begins with, before /rest/.
func jiraSite(self string) string {
	if site, _, ok := strings.Cut(self, "/rest/"); ok && site != "" {
		return site
	}
	return "jira"
}

// jiraTime is a time as Jira writes it, to the second, zero where it is none:
// the issue and its changelog have one change some milliseconds apart.
func jiraTime(texts ...string) time.Time {
	text := cmp.Or(texts...)
	for _, layout := range [...]string{"2006-01-02T15:04:05.999-0700", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Truncate(time.Second)
		}
	}
	return time.Time{}
}

type jiraName struct {
	Name string `json:"name"`
}

// jiraMessage is an issue that something happened to.
type jiraMessage struct {
	Event string `json:"webhookEvent"`
	Issue struct {
		Key    string `json:"key"`
		Fields struct {
			Type       jiraName   `json:"issuetype"`
			Summary    string     `json:"summary"`
			Priority   jiraName   `json:"priority"`
			Components []jiraName `json:"components"`
			Labels     []string   `json:"labels"`
			Created    string     `json:"created"`
			Updated    string     `json:"updated"`
			Resolved   string     `json:"resolutiondate"`
			Moved      string     `json:"statuscategorychangedate"` // Cloud
			Project    jiraName   `json:"project"`
			Status     struct {
				Category struct {
					Key string `json:"key"` // new, indeterminate, done
				} `json:"statusCategory"`
			} `json:"status"`
		} `json:"fields"`
	} `json:"issue"`
	User struct {
		Name        string `json:"name"` // Data Center
		DisplayName string `json:"displayName"`
	} `json:"user"`
	Changes struct {
		Items []jiraChange `json:"items"`
	} `json:"changelog"`
}

type jiraChange struct {
	Field string `json:"field"`
	From  string `json:"fromString"`
	To    string `json:"toString"`
}

func (j *jiraMessage) changed(fields ...string) bool {
	return slices.ContainsFunc(j.Changes.Items, func(c jiraChange) bool { return has(fields, strings.ToLower(c.Field)) })
}

// resolution tells whether the issue was resolved, or taken up again, in this
// change: by its resolution, or, in a workflow that sets none, by its status.
func (j *jiraMessage) resolution() (resolved, reopened bool) {
	done := j.Issue.Fields.Status.Category.Key == "done"
	for _, c := range j.Changes.Items {
		switch strings.ToLower(c.Field) {
		case "resolution":
			return c.To != "" && c.From == "", c.To == "" && c.From != ""
		case "status":
			wasDone := has(jiraDone, strings.ToLower(c.From))
			resolved, reopened = done && !wasDone, !done && wasDone
		}
	}
	return resolved, reopened
}

// jiraDone are the usual statuses of what is done: a change names the status
// before it, but not of what category that was.
var jiraDone = []string{"done", "closed", "resolved", "completed", "canceled", "cancelled", "fixed"}

func jiraRules() []rule[hook[jiraMessage]] {
	type m = hook[jiraMessage]
	fieldsOf := func(i m) []string {
		return append(i.said.Issue.Fields.Labels[:len(i.said.Issue.Fields.Labels):len(i.said.Issue.Fields.Labels)], i.said.Issue.Fields.Type.Name)
	}
	incident := func(i m) bool { return i.isIncident(fieldsOf(i)...) }
	// turned: its type or a label has made it an incident just now.
	turned := func(i m) bool {
		return incident(i) && slices.ContainsFunc(i.said.Changes.Items, func(c jiraChange) bool {
			return has([]string{"issuetype", "labels"}, strings.ToLower(c.Field)) &&
				i.isIncident(append(strings.Fields(c.To), c.To)...) && !i.isIncident(append(strings.Fields(c.From), c.From)...)
		})
	}
	created := func(i m) bool { return i.said.Event == "jira:issue_created" }
	at := func(doc string, of func(m) time.Time) field[m] {
		return field[m]{doc: doc, from: func(i m) any { return of(i) }}
	}
	id := func(what string, moment field[m]) field[m] {
		return field[m]{doc: "issue/`issue.key`/" + what + "/" + moment.doc, from: func(i m) any { return named("issue", i.said.Issue.Key, what, moment.from(i)) }}
	}
	opened := at("`issue.fields.created`", func(i m) time.Time { return jiraTime(i.said.Issue.Fields.Created) })
	updated := at("`issue.fields.updated`", func(i m) time.Time { return jiraTime(i.said.Issue.Fields.Updated) })
	resolved := at("`issue.fields.resolutiondate`, `.statuscategorychangedate`, `.updated`", func(i m) time.Time {
		f := &i.said.Issue.Fields
		return jiraTime(f.Resolved, f.Moved, f.Updated)
	})
	reopened := at("`issue.fields.statuscategorychangedate`, `.updated`", func(i m) time.Time {
		return jiraTime(i.said.Issue.Fields.Moved, i.said.Issue.Fields.Updated)
	})
	components := func(i m) []string {
		var names []string
		for _, c := range i.said.Issue.Fields.Components {
			if c.Name != "" {
				names = append(names, c.Name)
			}
		}
		return names
	}
	fields := []field[m]{
		{"incident_id", "jira/`issue.key`", func(i m) any { return named("jira", i.said.Issue.Key) }},
		{"service", "the first of `issue.fields.components`, x of a label service:x, the hint, `issue.fields.project.name`, the project's key", func(i m) any {
			return cmp.Or(i.service(cmp.Or(components(i)...), scopedLabel("service", i.said.Issue.Fields.Labels)), i.said.Issue.Fields.Project.Name, i.name)
		}},
		{"services", "the other components", func(i m) any {
			if c := components(i); len(c) > 1 {
				return c[1:]
			}
			return nil
		}},
		{"environment", "x of a label environment:x or env:x", func(i m) any {
			return i.environment(scopedLabel("environment", i.said.Issue.Fields.Labels), scopedLabel("env", i.said.Issue.Fields.Labels))
		}},
		{"severity", "`issue.fields.priority.name`: critical of Highest, Critical, Blocker, P0, P1; high of High, Major, P2; medium of Medium, P3; low of Low, Lowest, Minor, Trivial, P4", func(i m) any {
			return hostSeverity(i.said.Issue.Fields.Priority.Name)
		}},
		{"priority", "`issue.fields.priority.name`", func(i m) any { return i.said.Issue.Fields.Priority.Name }},
		{"title", "`issue.fields.summary`", func(i m) any { return i.said.Issue.Fields.Summary }},
	}
	const isOne = "`issue.fields.issuetype.name` or a label is one of `incidents` in the configuration"
	is := func(also func(m) bool) func(m) bool { return func(i m) bool { return incident(i) && also(i) } }
	return []rule[m]{
		{when: isOne + "; `jira:issue_created`, or a change of the type or labels that makes it one", to: "incident.opened", time: opened, fields: fields,
			id: field[m]{doc: "issue/`issue.key`/opened", from: func(i m) any { return named("issue", i.said.Issue.Key, "opened") }},
			is: is(func(i m) bool { return created(i) || turned(i) })},
		{when: isOne + "; `changelog` has a change of priority, components or summary", to: "incident.updated", id: id("updated", updated), time: updated, fields: fields,
			is: is(func(i m) bool { return !turned(i) && i.said.changed("priority", "components", "component", "summary") })},
		{when: isOne + "; `changelog` sets the resolution, or the status to one that is done", to: "incident.resolved", id: id("resolved", resolved), time: resolved, fields: fields,
			is: is(func(i m) bool { resolved, _ := i.said.resolution(); return resolved })},
		{when: isOne + "; `changelog` clears the resolution, or the status is done no more", to: "incident.reopened", id: id("reopened", reopened), time: reopened, fields: fields,
			is: is(func(i m) bool { _, reopened := i.said.resolution(); return reopened })},
	}
}

package decode

import (
	"strings"
	"testing"
)

func jiraHook(event, typ, category, changes string) string {
	return `{"timestamp":1772359205286,"webhookEvent":"` + event + `","issue":{"self":"https://octo.atlassian.net/rest/api/2/issue/10","key":"OPS-4","fields":{"issuetype":{"name":"` + typ + `"},"summary":"Checkout is down",
		"priority":{"name":"Highest"},"components":[{"name":"checkout"},{"name":"payments"}],"labels":["env:staging"],"created":"2026-03-01T11:00:00.123+0100","updated":"2026-03-01T11:30:00.000+0100",
		"resolutiondate":"2026-03-01T11:29:00.000+0100","project":{"name":"Operations"},"status":{"statusCategory":{"key":"` + category + `"}}}},"changelog":{"items":[` + changes + `]}}`
}

func jiraItem(field, from, to string) string {
	return `{"field":"` + field + `","fromString":` + from + `,"toString":` + to + `}`
}

func TestAnIncidentOfJiraIsOneFromCreatedToReopened(t *testing.T) {
	const data = ` {"environment":"staging","incident_id":"jira/OPS-4","priority":"Highest","service":"checkout","services":["payments"],"severity":"critical","title":"Checkout is down"}`
	const opened = "incident.opened 2026-03-01T10:00:00Z issue/OPS-4/opened" + data
	const resolved = "incident.resolved 2026-03-01T10:29:00Z issue/OPS-4/resolved/2026-03-01T10:29:00.000Z" + data
	const reopened = "incident.reopened 2026-03-01T10:30:00Z issue/OPS-4/reopened/2026-03-01T10:30:00.000Z" + data
	for name, c := range map[string]struct{ body, want string }{
		"created":                       {jiraHook("jira:issue_created", "[System] Incident", "new", ""), opened},
		"turned into one":               {jiraHook("jira:issue_updated", "Outage", "new", jiraItem("issuetype", `"Task"`, `"Outage"`)), opened},
		"another priority":              {jiraHook("jira:issue_updated", "Incident", "new", jiraItem("priority", `"Low"`, `"Highest"`)), "incident.updated 2026-03-01T10:30:00Z issue/OPS-4/updated/2026-03-01T10:30:00.000Z" + data},
		"resolved, and closed with it":  {jiraHook("jira:issue_updated", "Incident", "done", jiraItem("resolution", `null`, `"Fixed"`)+","+jiraItem("status", `"Open"`, `"Closed"`)), resolved},
		"done, without a resolution":    {jiraHook("jira:issue_updated", "Incident", "done", jiraItem("status", `"In progress"`, `"Done"`)), resolved},
		"resolution cleared":            {jiraHook("jira:issue_updated", "Incident", "indeterminate", jiraItem("resolution", `"Fixed"`, `null`)), reopened},
		"done no more":                  {jiraHook("jira:issue_updated", "Incident", "indeterminate", jiraItem("status", `"Done"`, `"In progress"`)), reopened},
		"only assigned":                 {jiraHook("jira:issue_updated", "Incident", "new", jiraItem("assignee", `null`, `"Ada"`)), ""},
		"moved on, from done to closed": {jiraHook("jira:issue_updated", "Incident", "done", jiraItem("status", `"Resolved"`, `"Closed"`)), ""},
		"no incident":                   {jiraHook("jira:issue_created", "Bug", "new", ""), ""},
	} {
		facts, original := hooked(t, "jira", c.body)
		if got := strings.Join(facts, "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
		if !strings.HasPrefix(original, "kept com.atlassian.jira.issue_") {
			t.Errorf("%s: %s", name, original)
		}
	}
}

func TestWhatJiraSaysBesidesIsKept(t *testing.T) {
	if facts, original := hooked(t, "jira", `{"webhookEvent":"sprint_created","sprint":{"id":1}}`); len(facts) > 0 || original != "kept com.atlassian.jira.sprint_created" {
		t.Errorf("%q %s", facts, original)
	}
}

func FuzzJira(f *testing.F) {
	fuzzHook(f, "jira", "", [2]string{"", jiraHook("jira:issue_updated", "Incident", "done", jiraItem("resolution", `null`, `"Fixed"`))},
		[2]string{"", `{"webhookEvent":"jira:issue_created","issue":{"fields":{"issuetype":{"name":"incident"},"components":[null],"labels":[""]}}}`},
		[2]string{"", `{"webhookEvent":"jira:issue_updated","issue":{"key":"-"},"changelog":{"items":[null]}}`})
}

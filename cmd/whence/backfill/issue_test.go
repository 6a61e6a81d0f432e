package backfill

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/schemas/event"
)

// course is what is known of incidents on checkout and shop, every half day.
func course(facts []event.Fact) (lines []string) {
	m := model.New(facts)
	for half := -80; half < 180; half++ {
		at := from.Add(time.Duration(half)*12*time.Hour + time.Hour)
		for _, service := range []string{"checkout", "shop"} {
			e := m.Answer(event.Observation{Event: event.Event{Time: event.MillisOf(at)}, Service: service, Environment: "production"})
			if len(e.IncidentIDs) > 0 {
				lines = append(lines, fmt.Sprintf("%g %s %v %s", float64(half)/2, service, e.IncidentIDs, e.IncidentSeverity))
			}
		}
	}
	return lines
}

// sameCourse holds that webhooks alone, a back-fill alone, and both in any order
// tell of the same incidents, and that no fact has two contents.
func sameCourse(t *testing.T, webhooks, backfilled []Record) []string {
	t.Helper()
	hooks, filled := decoded(t, webhooks).Facts, decoded(t, backfilled).Facts
	want := course(hooks)
	contents := map[string]uint64{}
	for _, f := range slices.Concat(hooks, filled) {
		id := f.Type + " " + f.ID
		if other, known := contents[id]; known && other != f.Hash {
			t.Errorf("two contents of %s", id)
		}
		contents[id] = f.Hash
	}
	for name, facts := range map[string][]event.Fact{"a back-fill": filled, "webhooks, then a back-fill": slices.Concat(hooks, filled), "a back-fill, then webhooks": slices.Concat(filled, hooks)} {
		if d := cmp.Diff(want, course(facts)); d != "" {
			t.Errorf("webhooks and %s: %s", name, d)
		}
	}
	return want
}

// soonAfter is a second after a moment of inJSON.
func soonAfter(days float64) string {
	return from.Add(time.Duration(days*24*float64(time.Hour)) + time.Second).Format(time.RFC3339)
}

func TestAnIncidentOfGitHubHasOneCourseWhetherWebhooksABackfillOrBothTellIt(t *testing.T) {
	const repository = `{"name":"shop","full_name":"acme/shop","html_url":"https://github.com/acme/shop","default_branch":"main"}`
	shown := func(number int, created, updated, closed, title string, labels ...string) string {
		var list []string
		for _, label := range labels {
			list = append(list, `{"name":"`+label+`"}`)
		}
		return inJSON(fmt.Sprintf(`{"id":%d,"number":%[1]d,"title":%q,"user":{"login":"bob"},"created_at":%q,"updated_at":%q,"closed_at":%s,"labels":[%s]}`, number, title, created, updated, closed, strings.Join(list, ",")))
	}
	hook := func(action, label, issue string) Record {
		return sent("github", `{"action":"`+action+`","label":{"name":"`+label+`"},"issue":`+issue+`,"repository":`+repository+`}`, "x-github-event", "issues")
	}
	happened := func(what, who, when, more string) string {
		return inJSON(`{"event":"` + what + `","actor":{"login":"` + who + `"},"created_at":"` + when + `"` + more + `}`)
	}
	labelled := func(what, who, when, label string) string {
		return happened(what, who, when, `,"label":{"name":"`+label+`"}`)
	}
	webhooks := []Record{
		// with labels from the beginning, rated later, closed, back and closed again
		hook("opened", "", shown(8, "@1", "@1", "null", "Pay", "incident", "service:checkout")),
		hook("labeled", "incident", shown(8, "@1", "@1", "null", "Pay", "incident", "service:checkout")),
		hook("labeled", "sev3", shown(8, "@1", "@2", "null", "Pay", "incident", "service:checkout", "sev3")),
		hook("labeled", "sev1", shown(8, "@1", "@3", "null", "Nobody can pay", "incident", "sev1", "service:checkout")),
		hook("unlabeled", "sev3", shown(8, "@1", "@3", "null", "Nobody can pay", "incident", "sev1", "service:checkout")),
		hook("closed", "", shown(8, "@1", "@4", `"@4"`, "Nobody can pay", "incident", "sev1", "service:checkout")),
		hook("reopened", "", shown(8, "@1", "@5", "null", "Nobody can pay", "incident", "sev1", "service:checkout")),
		hook("closed", "", shown(8, "@1", "@6", `"@6"`, "Nobody can pay", "incident", "sev1", "service:checkout")),
		// one that became an incident long after it was opened, and before the beginning, and is still open
		hook("opened", "", shown(9, "@-30", "@-30", "null", "Slow")),
		hook("labeled", "incident", shown(9, "@-30", "@-20", "null", "Slow", "incident", "sev2")),
		hook("labeled", "sev2", shown(9, "@-30", "@-20", "null", "Slow", "incident", "sev2")),
	}
	lists := map[string]string{
		"/repos/acme/shop": repository,
		"/repos/acme/shop/issues/8/events": `[` + strings.Join([]string{
			labelled("labeled", "bob", soonAfter(1), "incident"), labelled("labeled", "bob", soonAfter(1), "service:checkout"),
			labelled("labeled", "eve", "@2", "sev3"), happened("assigned", "eve", "@2", ""), happened("renamed", "eve", "@2.5", `,"rename":{"from":"Pay","to":"Nobody can pay"}`),
			labelled("labeled", "eve", "@3", "sev1"), labelled("unlabeled", "eve", "@3", "sev3"), happened("closed", "eve", "@4", ""),
			happened("reopened", "eve", "@5", ""), happened("closed", "eve", "@6", ""), happened("renamed", "eve", "@7", `,"rename":{"from":"Nobody can pay","to":"Outage of 3 May"}`),
			labelled("labeled", "eve", "@7", "postmortem"),
		}, ",") + `]`,
		"/repos/acme/shop/issues/9/events": `[` + labelled("labeled", "eve", "@-20", "incident") + `,` + labelled("labeled", "eve", "@-20", "sev2") + `]`,
	}
	answers := served(t, lists)
	p := &player{handler: func(r *http.Request) (any, http.Header) {
		switch query := r.URL.Query(); {
		case r.URL.Path != "/repos/acme/shop/issues":
			return answers(r)
		case query.Get("state") == "open":
			return parsed(t, `[`+shown(9, "@-30", "@-20", "null", "Slow", "incident", "sev2")+`]`), nil
		case query.Get("since") != at(0):
			t.Errorf("asked for %s", query)
		}
		return parsed(t, `[`+shown(8, "@1", "@7", `"@6"`, "Outage of 3 May", "incident", "postmortem", "service:checkout", "sev1")+`]`), nil
	}}
	backfilled := all(t, only(planOf(t, GitHub, p.play(t)), "changes and issues"))
	// Its labels were set a second after the issue.
	same(t, webhooks, backfilled, nil, nil)
	got := strings.Join(sameCourse(t, webhooks, backfilled), "\n")
	for _, want := range []string{"-30 shop [github/acme/shop/issue/9] high", "1 checkout [github/acme/shop/issue/8] medium", "3 checkout [github/acme/shop/issue/8] critical", "5.5 checkout [github/acme/shop/issue/8]", "89.5 shop [github/acme/shop/issue/9]"} {
		if !strings.Contains(got, "\n"+want) && !strings.HasPrefix(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, "4.5 checkout") || strings.Contains(got, "6.5 checkout") || strings.Contains(got, "shop [github/acme/shop/issue/8]") {
		t.Error(got)
	}
	// A webhook and the list may have one change on two sides of a second.
	for i, r := range webhooks {
		body := string(r.Body)
		for _, day := range []float64{2, 3, 5, -20} {
			body = strings.Replace(body, `"updated_at":"`+at(day)+`"`, `"updated_at":"`+soonAfter(day)+`"`, 1)
		}
		webhooks[i].Body = []byte(body)
	}
	if d := cmp.Diff(got, strings.Join(sameCourse(t, webhooks, backfilled), "\n")); d != "" {
		t.Error(d)
	}
}

func TestAnIncidentOfGitLabHasOneCourseWhetherWebhooksABackfillOrBothTellIt(t *testing.T) {
	const project = `{"id":1,"name":"shop","path_with_namespace":"acme/shop","web_url":"https://gitlab.com/acme/shop","default_branch":"main"}`
	hook := func(iid int, action, typ, severity, title, created, updated, closed, labels, changes string) Record {
		return sent("gitlab", inJSON(fmt.Sprintf(`{"object_kind":"issue","labels":%s,"object_attributes":{"iid":%d,"action":%q,"type":%q,"severity":%q,"title":%q,"created_at":%q,"updated_at":%q,"closed_at":%s},"changes":{%s},"project":%s}`,
			titled(labels), iid, action, typ, severity, title, created, updated, closed, changes, project)), "x-gitlab-event", "Issue Hook")
	}
	relabelled := func(before, after string) string {
		return `"labels":{"previous":` + titled(before) + `,"current":` + titled(after) + `}`
	}
	webhooks := []Record{
		// an incident whose severity is set later
		hook(8, "open", "Incident", "unknown", "Pay", "@1", "@1", "null", "service::checkout", ""),
		hook(8, "update", "Incident", "high", "Pay", "@1", "@2", "null", "service::checkout", `"severity":{"previous":"unknown","current":"high"}`),
		hook(8, "update", "Incident", "critical", "Nobody can pay", "@1", "@3", "null", "service::checkout db", `"severity":{"previous":"high","current":"critical"},`+relabelled("service::checkout", "service::checkout db")),
		hook(8, "close", "Incident", "critical", "Nobody can pay", "@1", "@4", `"@4"`, "service::checkout db", ""),
		hook(8, "reopen", "Incident", "critical", "Nobody can pay", "@1", "@5", "null", "service::checkout db", ""),
		hook(8, "close", "Incident", "critical", "Nobody can pay", "@1", "@6", `"@6"`, "service::checkout db", ""),
		// one that a label has made one, before the beginning, and is still open
		hook(9, "open", "Issue", "unknown", "Slow", "@-30", "@-30", "null", "", ""),
		hook(9, "update", "Issue", "unknown", "Slow", "@-30", "@-20", "null", "incident sev3", relabelled("", "incident sev3")),
		hook(9, "update", "Issue", "unknown", "Slow", "@-30", "@-10", "null", "incident sev1", relabelled("incident sev3", "incident sev1")),
	}
	const path = "/api/v4/projects/acme%2Fshop"
	label := func(action, who, when, name string) string {
		return inJSON(`{"action":"` + action + `","user":{"username":"` + who + `"},"created_at":"` + when + `","label":{"name":"` + name + `"}}`)
	}
	state := func(state, when string) string {
		return inJSON(`{"state":"` + state + `","user":{"username":"eve"},"created_at":"` + when + `"}`)
	}
	note := func(when, body string) string {
		return inJSON(`{"system":true,"author":{"username":"eve"},"created_at":"` + when + `","body":"` + body + `"}`)
	}
	answers := served(t, map[string]string{
		path:                                     project,
		path + "/issues/8/resource_label_events": `[` + label("add", "bob", soonAfter(1), "service::checkout") + `,` + label("add", "eve", "@3", "db") + `,` + label("add", "eve", "@7", "postmortem") + `]`,
		path + "/issues/8/resource_state_events": `[` + state("closed", "@4") + `,` + state("reopened", "@5") + `,` + state("closed", soonAfter(6)) + `]`,
		path + "/issues/8/notes": `[` + note("@7", "changed title from **{-Nobody can pay-}** to **{+Outage of 3 May+}**") + `,` + note("@3", "changed the severity to **Critical - S1**") + `,` +
			note("@2.5", "changed title from **Pay** to **{+Nobody can pay+}**") + `,` + note("@2", "changed the severity to **High - S2**") + `,
			{"system":false,"created_at":"` + at(2) + `","body":"changed the severity to **Low - S4**"}]`,
		path + "/issues/9/resource_label_events": `[` + strings.Join([]string{label("add", "eve", "@-20", "incident"), label("add", "eve", "@-20", "sev3"), label("add", "eve", "@-10", "sev1"), label("remove", "eve", "@-10", "sev3")}, ",") + `]`,
	})
	p := &player{handler: func(r *http.Request) (any, http.Header) {
		switch query := r.URL.Query(); {
		case r.URL.EscapedPath() != path+"/issues":
			return answers(r)
		case query.Get("state") == "opened":
			if query.Get("updated_before") != at(0) {
				t.Errorf("asked for %s", query)
			}
			return parsed(t, `[{"id":90,"iid":9,"title":"Slow","type":"ISSUE","severity":"UNKNOWN","labels":["incident","sev1"],"author":{"username":"bob"},"created_at":"@-30","updated_at":"@-10"}]`), nil
		}
		return parsed(t, `[{"id":80,"iid":8,"title":"Outage of 3 May","type":"INCIDENT","severity":"CRITICAL","labels":["db","postmortem","service::checkout"],"author":{"username":"bob"},"created_at":"@1","updated_at":"@7","closed_at":"@6"}]`), nil
	}}
	o := p.play(t)
	o.Names = []string{"acme/shop"}
	plan, err := GitLab(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	backfilled := all(t, only(plan, "issues"))
	// Any label is told of by webhooks, those of a retrospective too, which were not played above.
	later := "issue/8/updated/" + from.Add(7*24*time.Hour).Format("2006-01-02T15:04:05.000Z")
	same(t, webhooks, backfilled, nil, []string{"incident.updated " + later})
	got := strings.Join(sameCourse(t, webhooks, backfilled), "\n")
	for _, want := range []string{"-30 shop [gitlab/acme/shop/issue/9] medium", "-10 shop [gitlab/acme/shop/issue/9] critical", "1 checkout [gitlab/acme/shop/issue/8] high", "3 checkout [gitlab/acme/shop/issue/8] critical", "5.5 checkout [gitlab/acme/shop/issue/8]", "89.5 shop [gitlab/acme/shop/issue/9]"} {
		if !strings.Contains(got, "\n"+want) && !strings.HasPrefix(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, "4.5 checkout") || strings.Contains(got, "6.5 checkout") || strings.Contains(got, "shop [gitlab/acme/shop/issue/8]") {
		t.Error(got)
	}
}

// titled are labels as GitLab's webhooks have them.
func titled(labels string) string {
	var list []string
	for _, label := range strings.Fields(labels) {
		list = append(list, `{"title":"`+label+`"}`)
	}
	return `[` + strings.Join(list, ",") + `]`
}

func TestWhatASeverityWasInTheBeginningIsNotGuessed(t *testing.T) {
	i := issue{severity: "critical"}
	moments := i.life(from, "bob", unrated([]issueChange{{at: from.Add(48 * time.Hour), what: "rated", before: "critical"}, {at: from.Add(24 * time.Hour), what: "rated", before: "low"}}))
	var got []string
	for _, m := range moments {
		got = append(got, m.after.severity)
	}
	if d := cmp.Diff([]string{"", "low", "critical"}, got); d != "" {
		t.Error(d)
	}
}

package backfill

import (
	gocmp "cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// decoded are records as a worker decodes them.
func decoded(t *testing.T, records []Record) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{}
	for i, r := range records {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Value: r.Body, Headers: r.Headers, Timestamp: event.MillisOf(until)})
	}
	if err := decode.New(decode.DefaultConfig()).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// facts are what records become: identity → time, hash and data.
func facts(t *testing.T, records []Record) map[string]string {
	t.Helper()
	b := decoded(t, records)
	said := map[string]string{}
	for _, f := range b.Facts {
		said[strings.TrimPrefix(f.Type, event.Prefix)+" "+f.ID] = fmt.Sprintf("%s %s %d %s", f.Source, f.Time.Time().Format(time.RFC3339Nano), f.Hash, f.Data)
	}
	for _, o := range b.Others {
		if slices.ContainsFunc(o.Extensions, func(p event.Pair) bool { return p.Key == "unplaced" }) {
			said["unplaced "+o.Type] = fmt.Sprint(o.Extensions)
		}
	}
	for _, d := range b.Dead {
		t.Errorf("dead: %s %s", d.Reason, d.Detail)
	}
	return said
}

// sent is a webhook as the gateway keeps it.
func sent(from, body string, headers ...string) Record {
	r := Record{Source: from, Body: []byte(body), Headers: []pipeline.Header{
		{Key: source.Header, Value: []byte(from)}, {Key: "content-type", Value: []byte("application/json")},
		{Key: source.Received, Value: []byte("2026-11-26T05:00:00Z")},
	}}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, pipeline.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// same holds a back-fill to what webhooks said: each of their facts is there with
// the same content, but those that a back-fill can't know; and besides there
// are only those that it alone knows.
func same(t *testing.T, webhooks, backfilled []Record, hooksAlone, backfillAlone []string) {
	t.Helper()
	hooks, filled := facts(t, webhooks), facts(t, backfilled)
	var without, more []string
	for id, said := range hooks {
		switch {
		case filled[id] == "":
			without = append(without, id)
		case filled[id] != said:
			t.Errorf("%s\nwebhook   %s\nback-fill %s", id, said, filled[id])
		}
	}
	for id := range filled {
		if hooks[id] == "" {
			more = append(more, id)
		}
	}
	slices.Sort(without)
	slices.Sort(more)
	if d := cmp.Diff(hooksAlone, without); d != "" {
		t.Errorf("only the webhooks say: %s", d)
	}
	if d := cmp.Diff(backfillAlone, more); d != "" {
		t.Errorf("only the back-fill says: %s", d)
		for _, id := range more {
			t.Log(filled[id])
		}
	}
	if len(hooks)-len(without) < 3 {
		t.Errorf("only %d facts were compared", len(hooks)-len(without))
	}
}

// inJSON fills a template with times: @1.5 is a day and a half after the beginning.
func inJSON(text string) string {
	return moments.ReplaceAllStringFunc(text, func(moment string) string {
		days, _ := strconv.ParseFloat(moment[1:len(moment)-1], 64) // the expression takes nothing else
		return at(days) + `"`
	})
}

var moments = regexp.MustCompile(`@-?[0-9]+([.]5)?"`)

func parsed(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(inJSON(text)), &value); err != nil {
		t.Fatalf("%v in %s", err, inJSON(text))
	}
	return value
}

// served answers by path, with what is listed there; an empty list for a list
// that is not.
func served(t *testing.T, paths map[string]string) func(r *http.Request) (any, http.Header) {
	return func(r *http.Request) (any, http.Header) {
		text, found := paths[r.URL.EscapedPath()]
		if !found {
			return http.StatusNotFound, nil
		}
		return parsed(t, text), nil
	}
}

func TestGitHubsPastIsWhatItsWebhooksSaid(t *testing.T) {
	const (
		repository = `{"id":1,"name":"shop","full_name":"acme/shop","private":true,"html_url":"https://github.com/acme/shop","default_branch":"main","owner":{"login":"acme"}}`
		pull       = `{"id":11,"number":7,"state":"closed","title":"Pay by card","body":"Reverts acme/shop#3","user":{"login":"ada"},"merged":true,"created_at":"@1","updated_at":"@2","closed_at":"@2","merged_at":"@2","merge_commit_sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","head":{"ref":"card","sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"base":{"ref":"main"},"additions":10,"deletions":2}`
		issue      = `{"id":12,"number":8,"state":"closed","title":"Nobody can pay","user":{"login":"bob"},"labels":[{"name":"incident"},{"name":"sev2"},{"name":"service:checkout"}],"created_at":"@4","updated_at":"@5","closed_at":"@5"`
		deployment = `{"id":42,"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","ref":"main","task":"deploy","payload":{"version":"1.2.3"},"original_environment":"production","environment":"production","description":"by hand","creator":{"login":"ada"},"created_at":"@2.5","updated_at":"@3"}`
		running    = `{"id":420,"state":"in_progress","environment":"production","creator":{"login":"ada"},"created_at":"@2.5"}`
		success    = `{"id":421,"state":"success","environment":"production","creator":{"login":"ada"},"created_at":"@3"}`
		run        = `{"id":77,"name":"CI","path":".github/workflows/ci.yml","head_sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","run_attempt":1,"check_suite_id":770,"status":"completed","conclusion":"success","created_at":"@2","run_started_at":"@2","updated_at":"@2.5"}`
		alert      = `{"number":5,"state":"fixed","html_url":"https://github.com/acme/shop/security/dependabot/5","dependency":{"package":{"ecosystem":"npm","name":"left-pad"}},"security_advisory":{"ghsa_id":"GHSA-x","cve_id":"CVE-2026-1","severity":"high"},"security_vulnerability":{"severity":"high"},"created_at":"@6","updated_at":"@7","fixed_at":"@7"}`
		release    = `{"id":9,"tag_name":"v1.2.3","target_commitish":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","draft":false,"created_at":"@8","published_at":"@8"}`
		review     = `{"id":15,"user":{"login":"eve"},"state":"approved","submitted_at":"@1.5"}`
	)
	commit := func(sha, when, message, modified, added, removed string) string {
		return fmt.Sprintf(`{"id":"%s","message":%q,"timestamp":"%s","author":{"name":"Ada","email":"ada@acme.test","username":"ada"},"modified":%s,"added":%s,"removed":%s,"distinct":true}`, sha, message, when, modified, added, removed)
	}
	committed := func(sha, when, message, files string) string {
		return fmt.Sprintf(`{"sha":"%s","commit":{"message":%q,"author":{"name":"Ada"},"committer":{"date":"%s"}},"author":{"login":"ada"},"files":%s}`, sha, message, when, files)
	}
	hook := func(kind, body string) Record {
		return sent("github", inJSON(`{`+body+`,"repository":`+repository+`,"sender":{"login":"ada"},"installation":{"id":3}}`), "x-github-event", kind, "x-github-delivery", "d1")
	}
	webhooks := []Record{
		hook("pull_request", `"action":"closed","number":7,"pull_request":`+pull),
		hook("pull_request_review", `"action":"submitted","review":`+review+`,"pull_request":{"number":7}`),
		hook("deployment", `"action":"created","deployment":`+deployment), hook("deployment_status", `"action":"created","deployment":`+deployment+`,"deployment_status":`+running),
		hook("deployment_status", `"action":"created","deployment":`+deployment+`,"deployment_status":`+success),
		hook("workflow_run", `"action":"completed","workflow_run":`+run),
		hook("issues", `"action":"opened","issue":`+strings.Replace(issue, `"closed","title"`, `"open","title"`, 1)+`}`),
		hook("issues", `"action":"closed","issue":`+issue+`}`),
		hook("dependabot_alert", `"action":"created","alert":`+alert), hook("dependabot_alert", `"action":"fixed","alert":`+alert),
		hook("release", `"action":"published","release":`+release),
		hook("workflow_run", `"action":"completed","workflow_run":`+strings.Replace(run, `"run_attempt":1`, `"run_attempt":2`, 1)),
		hook("push", `"ref":"refs/heads/main","before":"000d","after":"eeee","commits":[`+commit("dddd", "@9", "Mend", `["a.go"]`, `["new.go"]`, `["old.go"]`)+`,`+commit("eeee", "@9.5", "Mend more", `["a.go"]`, `[]`, `[]`)+`]`),
	}
	p := &player{handler: served(t, map[string]string{
		"/repos/acme/shop":                            repository,
		"/repos/acme/shop/issues":                     `[{"id":11,"number":7,"created_at":"@1","updated_at":"@2","closed_at":"@2","pull_request":{"merged_at":"@2"}},` + issue + `,"closed_by":{"login":"zoe"}}]`,
		"/repos/acme/shop/pulls/7":                    pull,
		"/repos/acme/shop/pulls/7/commits":            `[{"sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","commit":{"author":{"name":"Ada"},"committer":{"date":"@1"}},"author":{"login":"ada"}}]`,
		"/repos/acme/shop/pulls/7/files":              `[{"filename":"pay/card.go","status":"added"}]`,
		"/repos/acme/shop/pulls/7/reviews":            `[` + review + `]`,
		"/repos/acme/shop/deployments":                `[` + deployment + `]`,
		"/repos/acme/shop/deployments/42/statuses":    `[` + success + `,` + running + `]`,
		"/repos/acme/shop/actions/runs":               `{"total_count":1,"workflow_runs":[` + strings.Replace(run, `"run_attempt":1`, `"run_attempt":2`, 1) + `]}`,
		"/repos/acme/shop/actions/runs/77/attempts/1": run,
		"/repos/acme/shop/activity":                   `[{"before":"0","after":"m","ref":"refs/heads/main","timestamp":"@10","activity_type":"pr_merge"},{"before":"000d","after":"eeee","ref":"refs/heads/main","timestamp":"@9.5","activity_type":"push"}]`,
		"/repos/acme/shop/compare/000d...eeee":        `{"commits":[{"sha":"dddd"},{"sha":"eeee"}]}`,
		"/repos/acme/shop/commits/dddd":               committed("dddd", "@9", "Mend", `[{"filename":"a.go","status":"modified"},{"filename":"new.go","status":"renamed","previous_filename":"old.go"}]`),
		"/repos/acme/shop/commits/eeee":               committed("eeee", "@9.5", "Mend more", `[{"filename":"a.go","status":"modified"}]`),
		"/repos/acme/shop/releases":                   `[` + release + `]`,
		"/repos/acme/shop/dependabot/alerts":          `[` + alert + `]`,
	})}
	same(t, webhooks, all(t, planOf(t, GitHub, p.play(t))), nil, []string{"change.merged pull/7/commits", "change.merged pull/7/files"})
}

// The recorded webhooks of GitHub, whose objects the API has too.
func TestRecordedWebhooksOfGitHubAreWhatABackfillOfTheirObjectsSays(t *testing.T) {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "shared")
	}
	type webhook struct {
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		Pull       json.RawMessage `json:"pull_request"`
		Deployment json.RawMessage `json:"deployment"`
		Status     json.RawMessage `json:"deployment_status"`
		Run        json.RawMessage `json:"workflow_run"`
		Alert      json.RawMessage `json:"alert"`
	}
	compared := 0
	for file, kind := range map[string]string{
		"pull_request.closed": "pull_request", "deployment": "deployment", "deployment_status": "deployment_status",
		"workflow_run.completed": "workflow_run", "dependabot_alert.created": "dependabot_alert", "code_scanning_alert.created": "code_scanning_alert",
	} {
		text, err := os.ReadFile(filepath.Join(shared, "data", "github", file+".json"))
		if err != nil {
			continue
		}
		var w webhook
		var whole struct {
			Action     string          `json:"action"`
			Repository json.RawMessage `json:"repository"`
		}
		if json.Unmarshal(text, &w) != nil || json.Unmarshal(text, &whole) != nil {
			t.Fatal(file)
		}
		var r gitHubRepository
		if err := json.Unmarshal(whole.Repository, &r); err != nil {
			t.Fatal(err)
		}
		body := object{"action": whole.Action}
		for name, raw := range map[string]json.RawMessage{"pull_request": w.Pull, "deployment": w.Deployment, "deployment_status": w.Status, "workflow_run": w.Run, "alert": w.Alert} {
			if len(raw) > 0 && string(raw) != "null" {
				body[name] = raw
			}
		}
		var p page
		p.github(kind, &r, body)
		hooks, filled := facts(t, []Record{sent("github", string(text), "x-github-event", kind)}), facts(t, p.Records)
		if d := cmp.Diff(hooks, filled); d != "" {
			t.Errorf("%s: %s", file, d)
		}
		compared += len(hooks)
	}
	t.Logf("%d facts compared", compared)
}

func TestGitLabsPastIsWhatItsWebhooksSaid(t *testing.T) {
	const (
		a, b    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		project = `{"id":1,"name":"shop","path_with_namespace":"acme/shop","web_url":"https://gitlab.com/acme/shop","default_branch":"main"}`
	)
	hook := func(body string) Record {
		return sent("gitlab", inJSON(`{`+body+`,"project":`+project+`}`), "x-gitlab-event", "Some Hook")
	}
	webhooks := []Record{
		hook(`"object_kind":"merge_request","user":{"username":"zoe"},"object_attributes":{"iid":7,"action":"merge","state":"merged","title":"Pay by card","description":"","merge_commit_sha":"` + a + `","last_commit":{"id":"` + b + `"},"updated_at":"@2"}`),
		hook(`"object_kind":"deployment","status":"running","status_changed_at":"@2","deployment_id":42,"environment":"production","short_sha":"aaaaaaaa","user":{"username":"ada"},"commit_url":"https://gitlab.com/acme/shop/-/commit/` + a + `","ref":"main"`),
		hook(`"object_kind":"deployment","status":"success","status_changed_at":"@2.5","deployment_id":42,"environment":"production","short_sha":"aaaaaaaa","user":{"username":"ada"},"commit_url":"https://gitlab.com/acme/shop/-/commit/` + a + `","ref":"main"`),
		hook(`"object_kind":"pipeline","object_attributes":{"id":31,"ref":"main","sha":"` + a + `","status":"success","finished_at":"@2.5","duration":63}`),
		hook(`"object_kind":"pipeline","object_attributes":{"id":32,"ref":"main","name":"e2e tests","sha":"` + a + `","status":"failed","finished_at":"@2.5","duration":63}`),
		hook(`"object_kind":"build","build_id":99,"build_name":"unit-tests","build_status":"failed","sha":"` + b + `","build_started_at":"@1","build_finished_at":"@1.5","repository":{"homepage":"https://gitlab.com/acme/shop"}`),
		hook(`"object_kind":"release","action":"create","tag":"v1.2.3","name":"1.2.3","created_at":"@3","released_at":"@3","commit":{"id":"` + a + `"}`),
		hook(`"object_kind":"issue","labels":[{"title":"service::checkout"}],"object_attributes":{"iid":8,"action":"open","type":"Incident","severity":"high","title":"Nobody can pay","created_at":"@4","updated_at":"@4"}`),
		hook(`"object_kind":"issue","labels":[{"title":"service::checkout"}],"object_attributes":{"iid":8,"action":"close","type":"Incident","severity":"high","title":"Nobody can pay","created_at":"@4","updated_at":"@5","closed_at":"@5"}`),
	}
	at := "/api/v4/projects/acme%2Fshop"
	p := &player{handler: served(t, map[string]string{
		at:                     project,
		at + "/merge_requests": `[{"id":70,"iid":7,"title":"Pay by card","description":"","state":"merged","sha":"` + b + `","merge_commit_sha":"` + a + `","squash_commit_sha":null,"merged_at":"@2","updated_at":"@3","author":{"username":"ada"}}]`,
		at + "/deployments":    `[{"id":42,"iid":2,"ref":"main","sha":"` + a + `","status":"success","created_at":"@1.5","updated_at":"@3","user":{"username":"ada"},"environment":{"name":"production"},"deployable":{"started_at":"@2","finished_at":"@2.5"}}]`,
		at + "/pipelines":      `[{"id":31,"updated_at":"@3"},{"id":32,"name":"e2e tests","updated_at":"@3"}]`,
		at + "/pipelines/32":   `{"id":32,"ref":"main","name":"e2e tests","sha":"` + a + `","status":"failed","finished_at":"@2.5","duration":63}`,
		at + "/pipelines/31":   `{"id":31,"ref":"main","name":null,"sha":"` + a + `","status":"success","finished_at":"@2.5","duration":63}`,
		at + "/jobs":           `[{"id":99,"name":"unit-tests","status":"failed","created_at":"@1","started_at":"@1","finished_at":"@1.5","commit":{"id":"` + b + `"}}]`,
		at + "/releases":       `[{"tag_name":"v1.2.3","name":"1.2.3","created_at":"@3","released_at":"@3","commit":{"id":"` + a + `"}}]`,
		at + "/issues":         `[{"id":80,"iid":8,"title":"Nobody can pay","type":"INCIDENT","severity":"HIGH","labels":["service::checkout"],"created_at":"@4","updated_at":"@6","closed_at":"@5"}]`,
	})}
	o := p.play(t)
	o.Names = []string{"acme/shop"}
	plan, err := GitLab(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	same(t, webhooks, all(t, plan), nil, []string{"change.merged merge_request/7/author"})
}

const (
	pagerDutyIncident = `{"id":"Q1","type":"incident","self":"https://api.pagerduty.com/incidents/Q1","html_url":"https://acme.pagerduty.com/incidents/Q1","title":"Nobody can pay","created_at":"@1","service":{"id":"PABC","type":"service_reference","summary":"Checkout API"}`
	pagerDutyAgent    = `{"id":"U1","type":"user_reference","summary":"Ines","html_url":"https://acme.pagerduty.com/users/U1"}`

	notRated = `,"urgency":"high","priority":null`
	first    = `,"urgency":"high","priority":{"id":"PA","summary":"P1"}`
	third    = `,"urgency":"high","priority":{"id":"PC","summary":"P3"}`
	merged   = `,"resolve_reason":{"type":"merge_resolve_reason","incident":{"id":"Q2"}}`
)

// paged is a webhook about the incident, more is what of it changes.
func paged(kind, when, more string) Record {
	return sent("pagerduty", inJSON(`{"event":{"id":"E-`+kind+`","event_type":"incident.`+kind+`","resource_type":"incident","occurred_at":"`+when+`","agent":`+pagerDutyAgent+`,"data":`+pagerDutyIncident+more+`}}}`), "x-webhook-id", "w")
}

// logged is an entry of the incident's log; channel is more of its channel.
func logged(kind, when, channel string) string {
	return `{"id":"R` + when + `","type":"` + kind + `_log_entry","created_at":"` + when + `","agent":` + pagerDutyAgent + `,"channel":{"type":"web"` + channel + `}}`
}

// rerated is how a log entry tells of a change of the priority.
func rerated(before, after string) string {
	priority := func(name string) string {
		if name == "" {
			return "null"
		}
		return `{"id":"P","type":"priority_reference","summary":"` + name + `"}`
	}
	return `,"old_priority":` + priority(before) + `,"new_priority":` + priority(after)
}

// pagerDutyPast is what a back-fill of the incidents publishes, which were
// created in the week that is asked for first. The log is of Q1, the latest
// entry first.
func pagerDutyPast(t *testing.T, incidents []string, log ...string) (records []Record, asked []string) {
	t.Helper()
	first := true
	p := &player{}
	answers := served(t, map[string]string{
		"/incidents":                `{"incidents":[` + strings.Join(incidents, ",") + `],"more":false}`,
		"/incidents/Q1/log_entries": `{"more":false,"log_entries":[` + strings.Join(log, ",") + `]}`,
	})
	p.handler = func(r *http.Request) (any, http.Header) {
		if r.Header.Get("Authorization") != "Token token=secret" {
			return http.StatusUnauthorized, nil
		}
		if r.URL.Path == "/incidents" && !first {
			return object{"incidents": []object{}, "more": false}, nil
		}
		first = first && r.URL.Path != "/incidents"
		return answers(r)
	}
	plan, err := PagerDuty(t.Context(), p.play(t))
	if err != nil {
		t.Fatal(err)
	}
	return all(t, plan), p.asked
}

func TestPagerDutysPastIsWhatItsWebhooksSaid(t *testing.T) {
	webhooks := []Record{
		paged("triggered", "@1", notRated+`,"status":"triggered"`), paged("acknowledged", "@1.5", notRated+`,"status":"acknowledged"`),
		paged("escalated", "@2", notRated), paged("priority_updated", "@2.5", first), paged("reassigned", "@2.5", first),
		paged("resolved", "@3", first+`,"status":"resolved"`), paged("reopened", "@4", first+`,"status":"triggered"`), paged("priority_updated", "@4.5", third),
		paged("resolved", "@5", third+`,"status":"resolved"`+merged),
	}
	over := strings.NewReplacer("Q1", "Q0", "@1", "@-3").Replace(pagerDutyIncident) + first + `,"status":"resolved","last_status_change_at":"@-2"}` // nobody asks for its log
	records, asked := pagerDutyPast(t, []string{over, pagerDutyIncident + third + `,"status":"resolved"` + merged + `}`},
		logged("resolve", "@5", ""), logged("priority_change", "@4.5", rerated("P1", "P3")), logged("reopen", "@4", ""), logged("resolve", "@3", ""), logged("notify", "@3", ""),
		logged("assign", "@2.5", ""), logged("priority_change", "@2.5", rerated("", "P1")), logged("escalate", "@2", ""), logged("assign", "@2", ""),
		logged("acknowledge", "@1.5", ""), logged("assign", "@1", ""), logged("trigger", "@1", ""))
	same(t, webhooks, records, nil, nil)
	weeks := slices.DeleteFunc(asked, func(path string) bool { return strings.Contains(path, "log_entries") })
	if len(weeks) != 18 {
		t.Errorf("90 days and five weeks before were read in %d parts", len(weeks))
	}
}

// The API has an incident's priority and urgency as they are today.
func TestAnIncidentOfPagerDutyWhosePriorityHasChangedIsOneWhoeverTellsOfItInAnyOrder(t *testing.T) {
	triggered := func(more string) Record { return paged("triggered", "@1", more) }
	changed := func(when, more string) Record { return paged("priority_updated", when, more) }
	low := strings.Replace(notRated, "high", "low", 1)
	for _, c := range []struct {
		name     string
		webhooks []Record
		today    string
		log      []string // the latest first
		alone    []string // what the webhooks alone say
	}{
		{name: "twice, and resolved", today: third + `,"status":"resolved"`,
			webhooks: []Record{triggered(notRated), changed("@2", first), changed("@3", third), paged("resolved", "@4", third)},
			log:      []string{logged("resolve", "@4", ""), logged("priority_change", "@3", rerated("P1", "P3")), logged("priority_change", "@2", rerated("", "P1")), logged("trigger", "@1", "")}},
		{name: "twice, and still open", today: third,
			webhooks: []Record{triggered(first), changed("@2", notRated), changed("@3", third), paged("acknowledged", "@4", third)},
			log:      []string{logged("acknowledge", "@4", ""), logged("priority_change", "@3", rerated("", "P3")), logged("priority_change", "@2", rerated("P1", "")), logged("trigger", "@1", "")}},
		{name: "between two resolutions", today: third,
			webhooks: []Record{triggered(first), paged("resolved", "@2", first), paged("reopened", "@3", first), changed("@4", third), paged("resolved", "@5", third)},
			log:      []string{logged("resolve", "@5", ""), logged("priority_change", "@4", rerated("P1", "P3")), logged("reopen", "@3", ""), logged("resolve", "@2", ""), logged("trigger", "@1", "")}},
		{name: "never, and still open", today: first,
			webhooks: []Record{triggered(first), paged("acknowledged", "@2", first), paged("escalated", "@3", first)},
			log:      []string{logged("escalate", "@3", ""), logged("acknowledge", "@2", ""), logged("trigger", "@1", "")}},
		{name: "never, and there is none", today: notRated,
			webhooks: []Record{triggered(notRated), paged("acknowledged", "@2", notRated), paged("escalated", "@3", notRated)},
			log:      []string{logged("escalate", "@3", ""), logged("acknowledge", "@2", ""), logged("trigger", "@1", "")}},
		{name: "twice, in a log that doesn't say to what", today: third,
			webhooks: []Record{triggered(notRated), changed("@2", first), changed("@3", third), paged("resolved", "@4", third)},
			log:      []string{logged("resolve", "@4", ""), logged("priority_change", "@3", ""), logged("priority_change", "@2", ""), logged("trigger", "@1", "")},
			alone:    []string{"incident.updated incident/Q1/priority_updated/@2", "incident.updated incident/Q1/rated"}},
		{name: "as soon as it was triggered, when the webhook may have had it already", today: first,
			webhooks: []Record{triggered(first), changed("@1", first), paged("acknowledged", "@2", first), paged("escalated", "@3", first)},
			log:      []string{logged("escalate", "@3", ""), logged("acknowledge", "@2", ""), logged("priority_change", "@1", rerated("", "P1")), logged("trigger", "@1", "")},
			alone:    []string{"incident.updated incident/Q1/rated"}},
		{name: "not, but the urgency has, and there is no priority", today: low,
			webhooks: []Record{triggered(notRated), paged("acknowledged", "@2", notRated), paged("resolved", "@4", low)},
			log:      []string{logged("resolve", "@4", ""), logged("urgency_change", "@3", ""), logged("acknowledge", "@2", ""), logged("trigger", "@1", "")},
			alone:    []string{"incident.updated incident/Q1/rated"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, _ := pagerDutyPast(t, []string{pagerDutyIncident + c.today + `}`}, c.log...)
			for i := range c.alone {
				c.alone[i] = strings.TrimSuffix(inJSON(c.alone[i]+`"`), `"`)
			}
			same(t, c.webhooks, records, c.alone, nil)
			want := lastRating(t, c.webhooks)
			if got := lastRating(t, records); got != want {
				t.Errorf("the back-fill ends with %s, the webhooks with %s", got, want)
			}
			for range 20 {
				both := slices.Concat(c.webhooks, records, c.webhooks)
				rand.Shuffle(len(both), func(i, j int) { both[i], both[j] = both[j], both[i] })
				if got := lastRating(t, both); got != want {
					t.Errorf("both end with %s, the webhooks with %s", got, want)
				}
			}
		})
	}
}

// lastRating is how an incident is rated at last, whatever the order of records:
// the severity and the priority that were stated last.
func lastRating(t *testing.T, records []Record) string {
	t.Helper()
	said := decoded(t, records).Facts
	slices.SortFunc(said, func(a, b event.Fact) int { // as the timeline sorts them; of two contents the greater counts
		return gocmp.Or(gocmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID), gocmp.Compare(a.Hash, b.Hash))
	})
	var last struct{ Severity, Priority string }
	for _, f := range said { // what isn't stated stays as it was
		if err := json.Unmarshal([]byte(f.Data), &last); err != nil {
			t.Fatal(err)
		}
	}
	return last.Severity + " " + last.Priority
}

func TestJirasPastIsWhatItsWebhooksSaidWithTheIssueAsItWasThen(t *testing.T) {
	const fixed = `"issuetype":{"name":"Incident"},"project":{"name":"Shop"},"created":"@1"`
	hook := func(name, when, fields, items string) Record {
		return sent("jira", inJSON(`{"timestamp":1,"webhookEvent":"`+name+`","user":{"displayName":"Ines"},"issue":{"id":"1","self":"https://acme.atlassian.net/rest/api/2/issue/1","key":"OPS-1","fields":{`+fixed+`,"updated":"`+when+`",`+fields+`}}`+items+`}`))
	}
	open := `"status":{"name":"Open","statusCategory":{"key":"new"}},"resolutiondate":null`
	webhooks := []Record{
		hook("jira:issue_created", "@1", `"summary":"Pay","priority":{"name":"Low"},"components":[],"labels":["env:staging"],`+open, ``),
		hook("jira:issue_updated", "@2", `"summary":"Nobody can pay","priority":{"name":"High"},"components":[],"labels":["env:staging"],`+open,
			`,"changelog":{"id":"1","items":[{"field":"summary","fromString":"Pay","toString":"Nobody can pay"},{"field":"priority","fromString":"Low","toString":"High"}]}`),
		hook("jira:issue_updated", "@3", `"summary":"Nobody can pay","priority":{"name":"High"},"components":[{"name":"checkout"}],"labels":["env:staging"],`+open,
			`,"changelog":{"id":"2","items":[{"field":"Component","fromString":null,"toString":"checkout"}]}`),
		hook("jira:issue_updated", "@4", `"summary":"Nobody can pay","priority":{"name":"High"},"components":[{"name":"checkout"}],"labels":["env:staging"],"status":{"name":"Done","statusCategory":{"key":"done"}},"resolutiondate":"@4"`,
			`,"changelog":{"id":"3","items":[{"field":"resolution","fromString":null,"toString":"Fixed"},{"field":"status","fromString":"Open","toString":"Done"}]}`),
		hook("jira:issue_updated", "@5", `"summary":"Nobody can pay","priority":{"name":"High"},"components":[{"name":"checkout"}],"labels":["env:staging"],"statuscategorychangedate":"@5",`+open,
			`,"changelog":{"id":"4","items":[{"field":"resolution","fromString":"Fixed","toString":null},{"field":"status","fromString":"Done","toString":"Open"}]}`),
		hook("jira:issue_updated", "@6", `"summary":"Nobody can pay","priority":{"name":"High"},"components":[{"name":"checkout"}],"labels":["env:production"],"statuscategorychangedate":"@5",`+open,
			`,"changelog":{"id":"5","items":[{"field":"labels","fromString":"env:staging","toString":"env:production"},{"field":"priority","fromString":"High","toString":"High"}]}`),
	}
	histories := `[{"id":"1","author":{"displayName":"Ines"},"created":"@2","items":[{"field":"summary","fromString":"Pay","toString":"Nobody can pay"},{"field":"priority","fromString":"Low","toString":"High"}]},
		{"id":"2","created":"@3","items":[{"field":"Component","fromString":null,"toString":"checkout"}]},
		{"id":"3","created":"@4","items":[{"field":"resolution","fromString":null,"toString":"Fixed"},{"field":"status","fromString":"Open","toString":"Done"}]},
		{"id":"4","created":"@5","items":[{"field":"resolution","fromString":"Fixed","toString":null},{"field":"status","fromString":"Done","toString":"Open"}]},
		{"id":"5","created":"@6","items":[{"field":"labels","fromString":"env:staging","toString":"env:production"},{"field":"priority","fromString":"High","toString":"High"}]}]`
	issue := `{"id":"1","self":"https://acme.atlassian.net/rest/api/2/issue/1","key":"OPS-1","fields":{` + fixed + `,"updated":"@6","summary":"Nobody can pay","priority":{"name":"High"},"components":[{"name":"checkout"}],"labels":["env:production"],"statuscategorychangedate":"@5",` + open + `},"changelog":{"total":5,"histories":` + histories + `}}`
	for site, paths := range map[string]map[string]string{
		"Cloud":       {"/rest/api/3/search/jql": `{"issues":[` + issue + `]}`},
		"Data Center": {"/rest/api/2/search": `{"startAt":0,"total":1,"issues":[` + issue + `]}`},
		"Cloud, of an issue with a long history": {
			"/rest/api/3/search/jql":        `{"issues":[` + strings.Replace(strings.Replace(issue, histories, "[]", 1), `"total":5`, `"total":5`, 1) + `]}`,
			"/rest/api/3/issue/1/changelog": `{"isLast":true,"values":` + histories + `}`,
		},
	} {
		t.Run(site, func(t *testing.T) {
			paths["/rest/api/2/status"] = `[{"name":"Open","statusCategory":{"key":"new"}},{"name":"Done","statusCategory":{"key":"done"}}]`
			p := &player{handler: served(t, paths)}
			o := p.play(t)
			o.Login, o.Names = "ines@acme.test", []string{"OPS"}
			plan, err := Jira(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			same(t, webhooks, all(t, plan), nil, nil)
		})
	}
}

func TestAnIncidentOfJiraThatIsStillOpenIsReadFromItsBeginningHoweverOldItIs(t *testing.T) {
	issue := func(key, status, created, updated, histories string) string {
		return `{"id":"` + key + `","self":"https://acme.atlassian.net/rest/api/2/issue/1","key":"` + key + `","fields":{"issuetype":{"name":"Incident"},"project":{"name":"Shop"},"summary":"Nobody can pay",
			"priority":{"name":"High"},"created":"` + created + `","updated":"` + updated + `","status":{"name":"S","statusCategory":{"key":"` + status + `"}}},"changelog":{"histories":[` + histories + `]}}`
	}
	change := func(when, field, before, after string) string {
		return `{"created":"` + when + `","items":[{"field":"` + field + `","fromString":"` + before + `","toString":"` + after + `"}]}`
	}
	p := &player{handler: served(t, map[string]string{
		"/rest/api/3/search/jql": `{"issues":[` + strings.Join([]string{
			issue("OPS-1", "indeterminate", "@-300", "@-100", change("@-200", "priority", "Low", "High")+","+change("@-100", "assignee", "", "ines")),
			issue("OPS-2", "done", "@-300", "@2", change("@-200", "priority", "Low", "High")+","+change("@2", "description", "a", "b")),
			issue("OPS-3", "new", "@200", "@200", ""), // after the end
		}, ",") + `]}`,
		"/rest/api/2/status": `[]`,
	})}
	o := p.play(t)
	o.Names = []string{"OPS"}
	plan, err := Jira(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	records := all(t, plan)
	want := []string{"OPS-1 jira:issue_created Low", "OPS-1 jira:issue_updated High", "OPS-2 jira:issue_created Low", "OPS-2 jira:issue_updated High"}
	if d := cmp.Diff(want, lines(t, records, "issue.key", "webhookEvent", "issue.fields.priority.name")); d != "" {
		t.Error(d)
	}
	var said []string
	for id, of := range facts(t, records[:2]) {
		said = append(said, id+" "+strings.Fields(of)[1])
	}
	slices.Sort(said)
	if d := cmp.Diff([]string{"incident.opened issue/OPS-1/opened " + at(-300), "incident.updated issue/OPS-1/updated/" + strings.Replace(at(-200), "Z", ".000Z", 1) + " " + at(-200)}, said); d != "" {
		t.Error(d)
	}
	asked, err := url.QueryUnescape(p.asked[1])
	if jql := fmt.Sprintf("jql=(updated >= %d OR statusCategory != Done) AND project in (\"OPS\") ORDER BY updated ASC", from.UnixMilli()); err != nil || !strings.Contains(asked, jql) {
		t.Errorf("%s is asked for, want %s (%v)", asked, jql, err)
	}
	if got, want := (&jira{Options: Options{From: from}}).jql(until), fmt.Sprintf("(updated >= %d OR statusCategory != Done) AND updated >= %d ORDER BY updated ASC", from.UnixMilli(), until.UnixMilli()); got != want {
		t.Errorf("going on asks for %s, want %s", got, want)
	}
}

func TestJenkinsPastIsWhatItsWebhooksSaid(t *testing.T) {
	start := from.Add(24 * time.Hour).UnixMilli()
	build := func(number int, phase, more string, at int64) Record {
		return sent("jenkins", fmt.Sprintf(`{"name":"deploy","url":"job/shop/job/deploy/","build":{"full_url":"https://ci.acme.test/job/shop/job/deploy/%[1]d/","number":%[1]d,"queue_id":3,"phase":%[2]q,"timestamp":%[3]d,"url":"job/shop/job/deploy/%[1]d/",
			"scm":{"url":"git@github.com:acme/shop.git","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","branch":"main"}%[4]s,"notes":"","artifacts":{}}}`, number, phase, at, more))
	}
	const parameters = `,"parameters":{"ENVIRONMENT":"production","VERSION":"1.2.3"}`
	webhooks := []Record{
		build(1, "COMPLETED", `,"status":"SUCCESS","duration":60000,"test_summary":{"total":3,"failed":1,"passed":2}`, start+60_000),
		build(2, "STARTED", parameters, start+100_000), build(2, "COMPLETED", `,"status":"FAILURE","duration":5000`+parameters, start+105_000),
	}
	scm := `{"_class":"hudson.plugins.git.util.BuildData","lastBuiltRevision":{"SHA1":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"remoteUrls":["git@github.com:acme/shop.git"]}`
	p := &player{handler: served(t, map[string]string{
		"/api/json":          `{"_class":"hudson.model.Hudson","jobs":[{"name":"shop"}]}`,
		"/job/shop/api/json": `{"_class":"com.cloudbees.hudson.plugins.folder.Folder","jobs":[{"name":"deploy"}]}`,
		"/job/shop/job/deploy/api/json": fmt.Sprintf(`{"_class":"WorkflowJob","buildable":true,"allBuilds":[
			{"number":2,"url":"https://ci.acme.test/job/shop/job/deploy/2/","result":"FAILURE","timestamp":%d,"duration":5000,"actions":[{"parameters":[{"name":"ENVIRONMENT","value":"production"},{"name":"VERSION","value":"1.2.3"}]},{},%s]},
			{"number":1,"url":"https://ci.acme.test/job/shop/job/deploy/1/","result":"SUCCESS","timestamp":%d,"duration":60000,"actions":[%[2]s,{"totalCount":3,"failCount":1}]},
			{"number":0,"url":"https://ci.acme.test/job/shop/job/deploy/0/","result":"SUCCESS","timestamp":%[4]d,"duration":60000,"actions":[]}]}`, start+100_000, scm, start, from.UnixMilli()-100_000),
	})}
	plan, err := Jenkins(t.Context(), p.play(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan) != 1 || plan[0].Name != "shop/deploy" {
		t.Fatalf("%+v", plan)
	}
	same(t, webhooks, all(t, plan), nil, nil)
}

func TestOfJenkinsTheDeploymentIsReadThatTheFirstOneWithinHasReplaced(t *testing.T) {
	build := func(number int, environment, version, result string, days float64) string {
		return fmt.Sprintf(`{"number":%[1]d,"url":"https://ci.acme.test/job/deploy/%[1]d/","result":%[2]q,"timestamp":%[3]d,"duration":60000,"actions":[{"parameters":[{"name":"env","value":%[4]q},{"name":"VERSION","value":%[5]q}]}]}`,
			number, result, from.Add(time.Duration(days*24*float64(time.Hour))).UnixMilli(), environment, version)
	}
	answer := func(builds ...string) string {
		return `{"_class":"WorkflowJob","buildable":true,"allBuilds":[` + strings.Join(builds, ",") + `]}`
	}
	p := &player{handler: served(t, map[string]string{
		"/api/json": `{"_class":"hudson.model.Hudson","jobs":[{"name":"deploy"}]}`,
		"/job/deploy/api/json": answer(
			build(9, "production", "9", "SUCCESS", 2), build(8, "staging", "8", "FAILURE", 1),
			build(7, "production", "7", "SUCCESS", -0.0003), // over within
			build(6, "production", "6", "FAILURE", -1), build(5, "qa", "5", "SUCCESS", -2), build(4, "production", "4", "SUCCESS", -3),
			build(3, "production", "3", "SUCCESS", -4), build(2, "staging", "2", "SUCCESS", -5)),
	})}
	plan, err := Jenkins(t.Context(), p.play(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"9 STARTED", "9 COMPLETED", "8 STARTED", "8 COMPLETED", "7 STARTED", "7 COMPLETED", "4 STARTED", "4 COMPLETED", "2 STARTED", "2 COMPLETED"}
	if d := cmp.Diff(want, lines(t, all(t, plan), "build.number", "build.phase")); d != "" {
		t.Error(d)
	}
}

func TestOfJenkinsNoMoreIsReadFromBeforeThanTheDeploymentsTakeThatAreReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		parameters string
		pages      int
	}{
		"no deployments":                      {`[]`, 1},
		"one that never was there before":     {`[{"name":"ENV","value":"%d"},{"name":"TAG","value":"1"}]`, 2},
		"all of one environment, found there": {`[{"name":"ENV","value":"x"},{"name":"TAG","value":"%d"}]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := &player{}
			p.handler = func(r *http.Request) (any, http.Header) {
				tree := r.URL.Query().Get("tree")
				if !strings.Contains(tree, "allBuilds") {
					return parsed(t, `{"buildable":true}`), nil
				}
				var start int
				if _, err := fmt.Sscanf(tree[strings.Index(tree, "{"):], "{%d,", &start); err != nil {
					t.Error(err)
				}
				var builds []string
				for n := start; n < start+buildsAtOnce; n++ { // fifty are within, and there is no end of those before
					builds = append(builds, fmt.Sprintf(`{"number":%d,"result":"SUCCESS","timestamp":%d,"actions":[{"parameters":%s}]}`, 100000-n,
						from.Add(time.Duration(50-n)*time.Hour-time.Minute).UnixMilli(), strings.ReplaceAll(c.parameters, "%d", strconv.Itoa(n))))
				}
				return parsed(t, `{"allBuilds":[`+strings.Join(builds, ",")+`]}`), nil
			}
			o := p.play(t)
			o.Names = []string{"deploy"}
			plan, err := Jenkins(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			all(t, plan)
			if pages := len(p.asked) - 1; pages != c.pages {
				t.Errorf("%d pages of builds were read, want %d", pages, c.pages)
			}
		})
	}
}

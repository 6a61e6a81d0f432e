package decode

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

const gitlabProject = `"project":{"name":"The Shop","path_with_namespace":"octo/web/shop","web_url":"https://gitlab.example/octo/web/shop","default_branch":"main"}`

func gitlabMergeBody(more string) string {
	return `{"object_kind":"merge_request","user":{"username":"bob"},` + gitlabProject + `,"object_attributes":{"iid":7,"state":"merged","action":"merge","title":"Round half to even",
		"description":"This reverts merge request !5","updated_at":"2026-03-01 10:00:05 UTC","last_commit":{"id":"` + shaB + `"}` + more + `}}`
}

func TestAMergedMergeRequestIsAChange(t *testing.T) {
	facts, original := hooked(t, "gitlab", gitlabMergeBody(`,"merge_commit_sha":"`+shaC+`"`), "x-gitlab-event", "Merge Request Hook")
	becomes(t, facts,
		`change.merged 2026-03-01T10:00:05Z merge_request/7/merged {"change_id":"gitlab/octo/web/shop/merge_request/7","commits":[{"revision":"`+shaB+`"}],"merged_at":"2026-03-01T10:00:05Z","repository":"octo/web/shop","reverts":"gitlab/octo/web/shop/merge_request/5","revision":"`+shaC+`","title":"Round half to even"}`,
		`fact.retracted 2026-03-01T10:00:05Z merge_request/7/push {"reason":"the push merges a pull request","retracts":{"id":"push/`+shaC+`","source":"https://gitlab.example/octo/web/shop"}}`)
	if original != "kept com.gitlab.merge_request.merge" {
		t.Error(original)
	}
	for _, action := range []string{"open", "update", "close"} {
		if facts, _ := hooked(t, "gitlab", strings.Replace(gitlabMergeBody(""), `"merge",`, `"`+action+`",`, 1)); len(facts) > 0 {
			t.Errorf("%s: %q", action, facts)
		}
	}
}

// The API states milliseconds, and more than the webhook does.
func TestABackfilledMergeRequestSaysWhatItsWebhookSaidAndMore(t *testing.T) {
	webhook, _ := hooked(t, "gitlab", gitlabMergeBody(`,"merge_commit_sha":"`+shaC+`"`), "x-gitlab-event", "Merge Request Hook")
	facts, original := hooked(t, "gitlab", gitlabMergeBody(`,"merge_commit_sha":"`+shaC+`","merged_at":"2026-03-01T10:00:05.812Z","author":{"username":"ada"},"squash_commit_sha":"`+shaA+`"`), source.Backfill, "1")
	if len(facts) != 5 || facts[0] != webhook[0] || facts[3] != webhook[1] || original != "" {
		t.Fatalf("%q %s, the webhook: %q", facts, original, webhook)
	}
	for i, want := range map[int]string{1: `"author":"ada"`, 2: `"revision":"` + shaA + `"`, 4: `"id":"push/` + shaA + `"`} {
		if !strings.Contains(facts[i], want) {
			t.Errorf("%s has no %s", facts[i], want)
		}
	}
}

func gitlabPush(message string) string {
	return `{"object_kind":"push","ref":"refs/heads/main",` + gitlabProject + `,"commits":[
		{"id":"` + shaA + `","message":"Tidy","timestamp":"2026-03-01T10:00:00+01:00","author":{"name":"Ada"},"added":["b.go"],"modified":[],"removed":["c.go"]},
		{"id":"` + shaC + `","message":"` + message + `","timestamp":"2026-03-01T11:00:00+01:00","author":{"name":"Bob"},"added":[],"modified":["a.go"],"removed":[]}]}`
}

func TestAPushToGitLabIsAChangeOfItsOwnOrTheMergeRequests(t *testing.T) {
	facts, _ := hooked(t, "gitlab", gitlabPush("Cache rates"), "x-gitlab-event", "Push Hook")
	becomes(t, facts, `change.merged 2026-03-01T10:00:00Z push/`+shaC+` {"author":"Bob","change_id":"gitlab/octo/web/shop/push/`+shaC+`","commits":[{"author":"Ada","authored_at":"2026-03-01T09:00:00Z","revision":"`+shaA+`"},{"author":"Bob","authored_at":"2026-03-01T10:00:00Z","revision":"`+shaC+`"}],"merged_at":"2026-03-01T10:00:00Z","paths":["a.go","b.go","c.go"],"repository":"octo/web/shop","revision":"`+shaC+`","title":"Cache rates"}`)
	facts, _ = hooked(t, "gitlab", gitlabPush(`Merge branch 'rates' into 'main'\n\nCache rates\n\nSee merge request octo/web/shop!7`), "x-gitlab-event", "Push Hook")
	if len(facts) != 1 || !strings.Contains(facts[0], " push/"+shaC+"/merge_request/7 ") || !strings.Contains(facts[0], `"change_id":"gitlab/octo/web/shop/merge_request/7"`) ||
		!strings.Contains(facts[0], `"title":"Cache rates"`) || strings.Contains(facts[0], `"author":"Bob","change_id"`) {
		t.Errorf("%q", facts)
	}
	if facts, original := hooked(t, "gitlab", gitlabPush("Cache rates"), "x-gitlab-event", "System Hook"); len(facts) > 0 || original != "kept com.gitlab.system.push" {
		t.Errorf("%q %s", facts, original)
	}
}

func TestAPipelineAndItsJobsAreBuildsAndTests(t *testing.T) {
	pipeline := func(status string) []string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"pipeline",`+gitlabProject+`,"object_attributes":{"id":31,"sha":"`+shaC+`","status":"`+status+`","finished_at":"2026-03-01 10:05:00 UTC","duration":63}}`)
		return facts
	}
	becomes(t, pipeline("canceled"), `build.finished 2026-03-01T10:05:00Z pipeline/31/2026-03-01T10:05:00.000Z {"build_id":"gitlab/octo/web/shop/pipeline/31","duration_ms":63000,"outcome":"cancelled","repository":"octo/web/shop","revision":"`+shaC+`"}`)
	for _, status := range []string{"created", "running", "skipped"} {
		if facts := pipeline(status); len(facts) > 0 {
			t.Errorf("%s: %q", status, facts)
		}
	}
	job := func(name string) []string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"build","build_id":77,"build_name":"`+name+`","build_stage":"test","build_status":"failed","sha":"`+shaC+`","build_started_at":"2026-03-01 10:00:00 UTC","build_finished_at":"2026-03-01 10:01:30 UTC",
			"repository":{"homepage":"https://gitlab.example/octo/web/shop"}}`)
		return facts
	}
	becomes(t, job("compile"), `build.finished 2026-03-01T10:01:30Z job/77 {"build_id":"gitlab/octo/web/shop/job/77","duration_ms":90000,"outcome":"failure","repository":"octo/web/shop","revision":"`+shaC+`","started_at":"2026-03-01T10:00:00Z"}`)
	becomes(t, job("rspec"), `test.finished 2026-03-01T10:01:30Z job/77 {"duration_ms":90000,"outcome":"failure","revision":"`+shaC+`","run_id":"gitlab/octo/web/shop/job/77","suite":"rspec"}`)
}

func TestADeploymentOfGitLabIsOneFromRunningToItsEnd(t *testing.T) {
	deployed := func(status string) []string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"deployment","status":"`+status+`","status_changed_at":"2026-03-01 11:05:00 +0100","deployment_id":15,"environment":"production","ref":"v1.2.3",
			"short_sha":"33333333","commit_url":"https://gitlab.example/octo/web/shop/-/commit/`+shaC+`","user":{"username":"ada"},`+gitlabProject+`}`)
		return facts
	}
	data := func(outcome string) string {
		return `{"deployment_id":"gitlab/octo/web/shop/deployment/15","environment":"production",` + outcome + `"requested_by":"ada","revisions":["` + shaC + `"],"service":"shop","version":"v1.2.3"}`
	}
	const at = "/2026-03-01T10:05:00.000Z "
	becomes(t, deployed("running"), `deployment.started 2026-03-01T10:05:00Z deployment/15/running`+at+data(""))
	becomes(t, deployed("success"), `deployment.finished 2026-03-01T10:05:00Z deployment/15/success`+at+data(`"outcome":"success",`))
	becomes(t, deployed("failed"), `deployment.finished 2026-03-01T10:05:00Z deployment/15/failed`+at+data(`"outcome":"failure",`))
	becomes(t, deployed("canceled"), `deployment.finished 2026-03-01T10:05:00Z deployment/15/canceled`+at+data(`"outcome":"cancelled",`))
	if facts := deployed("created"); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
}

func TestAReleaseOfGitLabIsAnArtifact(t *testing.T) {
	facts, original := hooked(t, "gitlab", `{"object_kind":"release","action":"create","tag":"v1.2.3","released_at":"2026-03-01 10:00:00 UTC","commit":{"id":"`+shaC+`"},`+gitlabProject+`}`)
	becomes(t, facts, `artifact.published 2026-03-01T10:00:00Z release/v1.2.3 {"artifact":"pkg:gitlab/octo/web/shop@v1.2.3","revision":"`+shaC+`"}`)
	if original != "kept com.gitlab.release.create" {
		t.Error(original)
	}
}

func TestAFlagOfGitLabIsOnOrOffAndEverySwitchingIsItsOwn(t *testing.T) {
	flag := func(active, key string) string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"feature_flag","user":{"username":"ada"},`+gitlabProject+`,"object_attributes":{"id":6,"name":"new-checkout","active":`+active+`}}`,
			"x-gitlab-event", "Feature Flag Hook", "idempotency-key", key, source.Received, "2026-03-01T10:00:00Z", "whence-environment", "staging")
		return strings.Join(facts, "\n")
	}
	if got, want := flag("true", "k1"), `flag.changed 2026-03-01T10:00:00Z feature_flag/6/k1 {"changed_by":"ada","environment":"staging","flag":"new-checkout","rules":{"on":100},"services":["shop"]}`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := flag("false", "k2"); !strings.Contains(got, `feature_flag/6/k2`) || !strings.Contains(got, `"rules":{"off":100}`) {
		t.Error(got)
	}
}

func TestAnIncidentOfGitLabIsOneFromOpenToReopened(t *testing.T) {
	issue := func(action, typ, labels, changes string) []string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"issue",`+gitlabProject+`,"labels":[`+labels+`],"object_attributes":{"iid":4,"title":"Checkout is down","type":"`+typ+`","severity":"critical","action":"`+action+`",
			"created_at":"2026-03-01 10:00:00 UTC","updated_at":"2026-03-01 10:30:00 UTC","closed_at":"2026-03-01T10:29:00Z"},"changes":{`+changes+`}}`)
		return facts
	}
	const data = `{"environment":"production","incident_id":"gitlab/octo/web/shop/issue/4","service":"checkout","severity":"critical","title":"Checkout is down"}`
	const service = `{"title":"service::checkout"}`
	opened := "incident.opened 2026-03-01T10:00:00Z issue/4/opened " + strings.Replace(data, `"severity":"critical",`, "", 1)
	const updated = "incident.updated 2026-03-01T10:30:00Z issue/4/updated/2026-03-01T10:30:00.000Z " + data
	becomes(t, issue("open", "Incident", service, ""), opened, "incident.updated 2026-03-01T10:00:00Z issue/4/updated/2026-03-01T10:00:00.000Z "+data)
	becomes(t, issue("update", "Issue", service+`,{"title":"incident"}`, `"labels":{"previous":[],"current":[]}`), opened, updated)
	becomes(t, issue("update", "Incident", service, `"severity":{"previous":"low","current":"critical"}`), updated)
	becomes(t, issue("close", "Incident", service, ""), "incident.resolved 2026-03-01T10:29:00Z issue/4/closed/2026-03-01T10:29:00.000Z "+data)
	becomes(t, issue("reopen", "Incident", service, ""), "incident.reopened 2026-03-01T10:30:00Z issue/4/reopened/2026-03-01T10:30:00.000Z "+data)
	for _, none := range [][]string{issue("open", "Issue", service, ""), issue("update", "Incident", service, `"title":{}`)} {
		if len(none) > 0 {
			t.Errorf("%q", none)
		}
	}
}

func TestAVulnerabilityOfGitLabIsOneFindingFromDetectedToResolved(t *testing.T) {
	for state, want := range map[string]string{
		"detected":  "finding.opened 2026-03-01T10:00:00Z vulnerability/2/opened/2026-03-01T10:00:00.000Z ",
		"resolved":  "finding.remediated 2026-03-01T11:00:00Z vulnerability/2/remediated/2026-03-01T11:00:00.000Z ",
		"dismissed": "finding.accepted 2026-03-01T12:00:00Z vulnerability/2/accepted/2026-03-01T12:00:00.000Z ",
	} {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"vulnerability","object_attributes":{"id":2,"url":"https://gitlab.example/octo/web/shop/-/security/vulnerabilities/2","state":"`+state+`","severity":"high","report_type":"sast",
			"identifiers":[{"name":"Gosec G201","external_id":"G201","external_type":"gosec"},{"name":"CVE-2026-1","external_id":"CVE-2026-1","external_type":"cve"}],
			"created_at":"2026-03-01T10:00:00Z","resolved_at":"2026-03-01T11:00:00Z","dismissed_at":"2026-03-01T12:00:00Z"}}`)
		becomes(t, facts, want+`{"evidence_url":"https://gitlab.example/octo/web/shop/-/security/vulnerabilities/2","finding_id":"gitlab/vulnerability/2","first_seen":"2026-03-01T10:00:00Z","kind":"vulnerability","repository":"octo/web/shop","rule":"CVE-2026-1","severity":"high"}`)
	}
}

func TestAVulnerabilityOfGitLabThatIsReopenedIsOpenAgain(t *testing.T) {
	said := func(state, more string) []string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"vulnerability","object_attributes":{"id":2,"state":"`+state+`","severity":"high","identifiers":[{"name":"G201"}],"created_at":"2026-03-01T10:00:00.100Z",`+more+`}}`)
		return facts
	}
	const data = ` {"finding_id":"gitlab/vulnerability/2","first_seen":"2026-03-01T10:00:00Z","kind":"vulnerability","rule":"G201","severity":"high"}`
	const opened = "finding.opened 2026-03-01T10:00:00Z vulnerability/2/opened/2026-03-01T10:00:00.000Z" + data
	becomes(t, said("detected", `"updated_at":"2026-03-01T10:00:00.900Z"`), opened)
	becomes(t, said("dismissed", `"dismissed_at":"2026-03-02T10:00:00Z","updated_at":"2026-03-02T10:00:00Z"`), "finding.accepted 2026-03-02T10:00:00Z vulnerability/2/accepted/2026-03-02T10:00:00.000Z"+data)
	becomes(t, said("detected", `"updated_at":"2026-03-03T10:00:00Z"`), opened, "finding.opened 2026-03-03T10:00:00Z vulnerability/2/reopened/2026-03-03T10:00:00.000Z"+data)
	if facts := said("resolved", `"resolved_at":"2026-03-04T10:00:00Z","updated_at":"2026-03-04T10:00:00Z"`); typesOf(facts) != "finding.remediated" {
		t.Errorf("%q", facts)
	}
}

func FuzzGitLab(f *testing.F) {
	fuzzHook(f, "gitlab", "x-gitlab-event",
		[2]string{"Merge Request Hook", gitlabMergeBody(`,"squash_commit_sha":"` + shaA + `"`)}, [2]string{"Push Hook", gitlabPush("Tidy\\n\\nSee merge request !7")},
		[2]string{"Push Hook", `{"object_kind":"push","ref":"refs/heads/main","project":{"default_branch":"main"},"commits":[null]}`},
		[2]string{"Issue Hook", `{"object_kind":"issue","labels":[null],"object_attributes":{"action":"update","labels":[null]},"changes":{"labels":{}}}`},
		[2]string{"Deployment Hook", `{"object_kind":"deployment","status":"success"}`}, [2]string{"Feature Flag Hook", `{"object_kind":"feature_flag"}`},
		[2]string{"System Hook", `{"event_name":"project_create"}`}, [2]string{"", `{"object_kind":"vulnerability","object_attributes":{"state":"resolved"}}`})
}

// TestAFlagOfGitLabThatIsOnAgainIsAnotherChange: its message has no time, and where
// nothing of the sender's comes with it, the words of the first time.
func TestAFlagOfGitLabThatIsOnAgainIsAnotherChange(t *testing.T) {
	on := func(taken string) string {
		facts, _ := hooked(t, "gitlab", `{"object_kind":"feature_flag",`+gitlabProject+`,"object_attributes":{"id":6,"name":"new-checkout","active":true}}`,
			"x-gitlab-event", "Feature Flag Hook", "whence-received", taken)
		return strings.Join(facts, "\n")
	}
	first, again := on("2026-03-01T10:00:00Z"), on("2026-03-01T11:00:00Z")
	if first != on("2026-03-01T10:00:00Z") {
		t.Error("the same record is another change")
	}
	if a, b := strings.Fields(first), strings.Fields(again); len(a) < 3 || len(b) < 3 || a[2] == b[2] {
		t.Errorf("one id for two changes:\n%s\n%s", first, again)
	}
}

package decode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

const githubRepository = `"repository":{"full_name":"octo/shop","name":"shop","html_url":"https://github.com/octo/shop","default_branch":"main"}`

const (
	shaA = "1111111111111111111111111111111111111111"
	shaB = "2222222222222222222222222222222222222222"
	shaC = "3333333333333333333333333333333333333333"
)

const githubMerged = `{"action":"closed","number":7,"pull_request":{"number":7,"state":"closed","title":"Round half to even","body":"Banks do.",
	"merged_at":"2026-03-01T10:00:05Z","updated_at":"2026-03-01T10:00:06Z","merge_commit_sha":"` + shaC + `","user":{"login":"ada"},"head":{"sha":"` + shaB + `"}` // open

func TestAMergedPullRequestIsAChangeWithItsCommits(t *testing.T) {
	facts, original := hooked(t, "github", githubMerged+`,"additions":12,"deletions":3},`+githubRepository+`}`, "x-github-event", "pull_request")
	becomes(t, facts,
		`change.merged 2026-03-01T10:00:05Z pull/7/merged {"author":"ada","change_id":"github/octo/shop/pull/7","commits":[{"revision":"`+shaB+`"}],"merged_at":"2026-03-01T10:00:05Z","repository":"octo/shop","revision":"`+shaC+`","title":"Round half to even"}`,
		`change.merged 2026-03-01T10:00:05Z pull/7/size {"change_id":"github/octo/shop/pull/7","merged_at":"2026-03-01T10:00:05Z","repository":"octo/shop","revision":"`+shaC+`","size":15}`,
		`fact.retracted 2026-03-01T10:00:05Z pull/7/push {"reason":"the push merges a pull request","retracts":{"id":"push/`+shaC+`","source":"https://github.com/octo/shop"}}`)
	if original != "kept com.github.pull_request.closed" {
		t.Error(original)
	}
}

func TestABackfilledPullRequestSaysWhatItsWebhookSaidAndKeepsNoOriginal(t *testing.T) {
	webhook, _ := hooked(t, "github", githubMerged+`,"additions":12,"deletions":3},`+githubRepository+`}`, "x-github-event", "pull_request")
	// The list of pull requests states no size; the back-fill has read the files.
	listed, original := hooked(t, "github", githubMerged+`},"files":[{"filename":"pricing/round.go","status":"renamed","previous_filename":"round.go"}],
		"commits":[{"sha":"`+shaB+`","author":{"login":"ada"},"commit":{"committer":{"date":"2026-03-01T11:00:00+02:00"}}}],`+githubRepository+`}`,
		"x-github-event", "pull_request", source.Backfill, "1")
	becomes(t, listed, webhook[0],
		`change.merged 2026-03-01T10:00:05Z pull/7/commits {"change_id":"github/octo/shop/pull/7","commits":[{"author":"ada","authored_at":"2026-03-01T09:00:00Z","revision":"`+shaB+`"}],"merged_at":"2026-03-01T10:00:05Z","repository":"octo/shop","revision":"`+shaC+`"}`,
		`change.merged 2026-03-01T10:00:05Z pull/7/files {"change_id":"github/octo/shop/pull/7","merged_at":"2026-03-01T10:00:05Z","paths":["pricing/round.go","round.go"],"repository":"octo/shop","revision":"`+shaC+`"}`,
		webhook[2])
	if original != "" {
		t.Error(original)
	}
}

func githubPush(commits string) string {
	return `{"ref":"refs/heads/main","after":"` + shaC + `","commits":[` + commits + `],"repository":{"full_name":"octo/shop","name":"shop","html_url":"https://github.com/octo/shop","default_branch":"main","organization":"octo","created_at":1556838000,"pushed_at":1772359206}}`
}

func githubCommit(sha, message, path string) string {
	return `{"id":"` + sha + `","message":"` + message + `","timestamp":"2026-03-01T11:00:00+01:00","author":{"name":"Ada","username":"ada"},"added":[],"removed":[],"modified":["` + path + `"]}`
}

func TestWhatIsPushedToTheDefaultBranchIsOneChange(t *testing.T) {
	facts, original := hooked(t, "github", githubPush(githubCommit(shaA, "Tidy", "b.go")+","+githubCommit(shaC, `Revert \"Cache rates (#6)\"\n\nNobody asked.`, "a.go")), "x-github-event", "push")
	becomes(t, facts, `change.merged 2026-03-01T10:00:00Z push/`+shaC+` {"author":"ada","change_id":"github/octo/shop/push/`+shaC+`","commits":[{"author":"ada","authored_at":"2026-03-01T10:00:00Z","revision":"`+shaA+`"},{"author":"ada","authored_at":"2026-03-01T10:00:00Z","revision":"`+shaC+`"}],"merged_at":"2026-03-01T10:00:00Z","paths":["a.go","b.go"],"repository":"octo/shop","reverts":"github/octo/shop/pull/6","revision":"`+shaC+`","title":"Revert \"Cache rates (#6)\""}`)
	if original != "kept com.github.push" {
		t.Error(original)
	}
}

func TestThePushOfAPullRequestSpeaksOfThePullRequest(t *testing.T) {
	for message, title := range map[string]string{
		`Merge pull request #7 from ada/rounding\n\nRound half to even`: "Round half to even",
		`Round half to even (#7)\n\nBanks do.`:                          "Round half to even",
	} {
		facts, _ := hooked(t, "github", githubPush(githubCommit(shaC, message, "a.go")), "x-github-event", "push")
		if len(facts) != 1 || !strings.Contains(facts[0], ` push/`+shaC+`/pull/7 `) ||
			!strings.Contains(facts[0], `"change_id":"github/octo/shop/pull/7"`) || !strings.Contains(facts[0], `"title":"`+title+`"`) {
			t.Errorf("%s: %q", message, facts)
		}
	}
}

// A rebase leaves no number in a message: the pull request takes back the push.
func TestARebasedPullRequestIsOneChangeWithItsPush(t *testing.T) {
	push, _ := hooked(t, "github", githubPush(githubCommit(shaC, "Round half to even", "a.go")), "x-github-event", "push")
	pull, _ := hooked(t, "github", githubMerged+`},`+githubRepository+`}`, "x-github-event", "pull_request")
	id := strings.Fields(push[0])[2]
	if id != "push/"+shaC || !strings.Contains(pull[1], `"retracts":{"id":"`+id+`","source":"https://github.com/octo/shop"}`) {
		t.Errorf("%q does not take back %q", pull, push)
	}
}

func TestAPushElsewhereIsKept(t *testing.T) {
	for _, ref := range []string{"refs/heads/topic", "refs/tags/v1.2.3"} {
		body := strings.Replace(githubPush(githubCommit(shaC, "Tidy", "a.go")), "refs/heads/main", ref, 1)
		if facts, original := hooked(t, "github", body, "x-github-event", "push"); len(facts) > 0 || original != "kept com.github.push" {
			t.Errorf("%s: %q %s", ref, facts, original)
		}
	}
}

func TestARevertSaysWhatItReverts(t *testing.T) {
	from := place{tool: "github", repository: "octo/shop"}
	for text, want := range map[string]string{
		"Revert \"Cache rates\"\nReverts octo/shop#12":                            "github/octo/shop/pull/12",
		"Revert \"Cache rates\"\n\nReverts #12":                                   "github/octo/shop/pull/12",
		"Revert \"Cache rates (#12)\" (#15)":                                      "github/octo/shop/pull/12",
		"Revert \"Cache rates\"\n\nThis reverts commit " + shaA + ".":             shaA,
		"Revert \"Cache (#1)\"\nThis reverts commit 1a2b3c4.\nReverts octo/web#9": "github/octo/web/pull/9",
		"Revert \"Cache rates\"":                                                  "",
		"Cache rates (#12)":                                                       "",
	} {
		if got := githubReverts(from, text); got != want {
			t.Errorf("%q reverts %q, want %q", text, got, want)
		}
	}
}

func githubDeployed(state, payload string) string {
	return `{"action":"created","deployment_status":{"id":90,"state":"` + state + `","environment":"production","description":"by hand","created_at":"2026-03-01T10:05:00Z"},
		"deployment":{"id":9,"sha":"` + shaC + `","ref":"main","task":"deploy","environment":"production","original_environment":"staging","created_at":"2026-03-01T10:01:00Z",
		"updated_at":"2026-03-01T10:05:00Z","creator":{"login":"ada"},"payload":` + payload + `},` + githubRepository + `}`
}

func TestADeploymentIsOneThroughItsStatuses(t *testing.T) {
	const all = `"deployment_id":"github/octo/shop/deployment/9","environment":`
	const rest = `"requested_by":"ada","revisions":["` + shaC + `"],"service":"shop","version":"` + shaC + `"}`
	started := `deployment.started 2026-03-01T10:01:00Z deployment/9 {` + all + `"staging",` + rest
	facts, _ := hooked(t, "github", strings.Replace(githubDeployed("", "{}"), "deployment_status", "unused", 1), "x-github-event", "deployment")
	becomes(t, facts, started)
	for state, want := range map[string]string{
		"in_progress": `deployment.progressed 2026-03-01T10:05:00Z deployment/9/status/90 {` + all + `"production","reason":"by hand",` + rest,
		"success":     `deployment.finished 2026-03-01T10:05:00Z deployment/9/status/90 {` + all + `"production","outcome":"success","reason":"by hand",` + rest,
		"error":       `deployment.finished 2026-03-01T10:05:00Z deployment/9/status/90 {` + all + `"production","outcome":"failure","reason":"by hand",` + rest,
	} {
		facts, _ := hooked(t, "github", githubDeployed(state, `""`), "x-github-event", "deployment_status")
		becomes(t, facts, started, want)
	}
	// What GitHub makes of the environment's older deployments is no end of them.
	if facts, original := hooked(t, "github", githubDeployed("inactive", "null"), "x-github-event", "deployment_status"); len(facts) > 0 || original != "kept com.github.deployment_status.created" {
		t.Errorf("%q %s", facts, original)
	}
}

func TestThePayloadOfADeploymentSaysMore(t *testing.T) {
	const want = `"artifact":"pkg:oci/shop@sha256:aa","deployment_id":"github/octo/shop/deployment/9","environment":"production","outcome":"success","previous_version":"1.0","reason":"by hand","requested_by":"ada","revisions":["` + shaC + `"],"rollback_of":"github/octo/shop/deployment/8","service":"checkout","strategy":"canary","version":"1.1"}`
	const object = `{"service":"checkout","version":"1.1","previous_version":"1.0","artifact":"pkg:oci/shop@sha256:aa","strategy":"canary","rollback_of":8}`
	for _, payload := range []string{object, `"` + strings.ReplaceAll(object, `"`, `\"`) + `"`} {
		facts, _ := hooked(t, "github", githubDeployed("success", payload), "x-github-event", "deployment_status", "whence-service", "unheard")
		if !strings.HasSuffix(facts[1], want) {
			t.Errorf("%s: %s", payload, facts[1])
		}
	}
	for _, payload := range []string{`7`, `[]`, `"free text"`, `{"service":7,"rollback_of":{"a":[]}}`} {
		facts, _ := hooked(t, "github", githubDeployed("success", payload), "x-github-event", "deployment_status", "whence-service", "hinted")
		if len(facts) != 2 || !strings.Contains(facts[1], `"service":"hinted"`) || strings.Contains(facts[1], "rollback") {
			t.Errorf("%s: %q", payload, facts)
		}
	}
}

func TestWhatRanIsABuildOrByItsNameATest(t *testing.T) {
	run := func(name, conclusion string) string {
		return `{"action":"completed","workflow_run":{"id":5,"name":"` + name + `","path":".github/workflows/ci.yml","head_sha":"` + shaC + `","conclusion":"` + conclusion + `","run_attempt":2,
			"check_suite_id":55,"run_started_at":"2026-03-01T10:00:00Z","updated_at":"2026-03-01T10:02:00Z"},` + githubRepository + `}`
	}
	facts, _ := hooked(t, "github", run("CI", "timed_out"), "x-github-event", "workflow_run")
	becomes(t, facts, `build.finished 2026-03-01T10:02:00Z run/5/attempt/2 {"build_id":"github/octo/shop/check-suite/55","duration_ms":120000,"outcome":"failure","repository":"octo/shop","revision":"`+shaC+`","started_at":"2026-03-01T10:00:00Z"}`)
	facts, _ = hooked(t, "github", run("Unit tests", "success"), "x-github-event", "workflow_run")
	becomes(t, facts, `test.finished 2026-03-01T10:02:00Z run/5/attempt/2 {"duration_ms":120000,"outcome":"success","revision":"`+shaC+`","run_id":"github/octo/shop/check-suite/55","suite":"Unit tests"}`)
	if facts, _ = hooked(t, "github", run("CI", "skipped"), "x-github-event", "workflow_run"); len(facts) > 0 {
		t.Errorf("nothing ran, but %q", facts)
	}
}

func TestAJobAndItsCheckRunAreOneFact(t *testing.T) {
	const is = `"id":61,"name":"lint","head_sha":"` + shaC + `","conclusion":"cancelled","started_at":"2026-03-01T10:00:00Z","completed_at":"2026-03-01T10:00:30Z"}`
	job, _ := hooked(t, "github", `{"action":"completed","workflow_job":{"run_id":5,`+is+`,`+githubRepository+`}`, "x-github-event", "workflow_job")
	check, _ := hooked(t, "github", `{"action":"completed","check_run":{"app":{"slug":"github-actions"},`+is+`,`+githubRepository+`}`, "x-github-event", "check_run")
	becomes(t, job, `build.finished 2026-03-01T10:00:30Z check-run/61 {"build_id":"github/octo/shop/check-run/61","duration_ms":30000,"outcome":"cancelled","repository":"octo/shop","revision":"`+shaC+`","started_at":"2026-03-01T10:00:00Z"}`)
	becomes(t, check, job...)
}

func TestASuiteAndAStatusOfAnotherCIAreBuilds(t *testing.T) {
	suite := func(app string) []string {
		facts, _ := hooked(t, "github", `{"action":"completed","check_suite":{"id":55,"head_sha":"`+shaC+`","conclusion":"success","updated_at":"2026-03-01T10:02:00Z","app":{"slug":"`+app+`","name":"`+app+`"}},`+githubRepository+`}`, "x-github-event", "check_suite")
		return facts
	}
	becomes(t, suite("buildkite"), `build.finished 2026-03-01T10:02:00Z check-suite/55/2026-03-01T10:02:00.000Z {"build_id":"github/octo/shop/check-suite/55","outcome":"success","repository":"octo/shop","revision":"`+shaC+`"}`)
	if facts := suite("github-actions"); len(facts) > 0 {
		t.Errorf("its workflow run says it, but %q", facts)
	}
	status := func(state string) []string {
		facts, _ := hooked(t, "github", `{"id":71,"sha":"`+shaC+`","context":"ci/jenkins","state":"`+state+`","created_at":"2026-03-01T10:02:00Z","updated_at":"2026-03-01T10:02:00Z",`+githubRepository+`}`, "x-github-event", "status")
		return facts
	}
	becomes(t, status("error"), `build.finished 2026-03-01T10:02:00Z status/71 {"build_id":"github/octo/shop/status/`+shaC+`/ci/jenkins","outcome":"failure","repository":"octo/shop","revision":"`+shaC+`"}`)
	if facts := status("pending"); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
}

func TestAReleaseOfACommitIsAnArtifact(t *testing.T) {
	release := func(action, target string) ([]string, string) {
		return hooked(t, "github", `{"action":"`+action+`","release":{"id":3,"tag_name":"v1.2.3","target_commitish":"`+target+`","published_at":"2026-03-01T10:02:00Z"},`+githubRepository+`}`, "x-github-event", "release")
	}
	facts, _ := release("published", shaC)
	becomes(t, facts, `artifact.published 2026-03-01T10:02:00Z release/3 {"artifact":"pkg:github/octo/shop@v1.2.3","revision":"`+shaC+`"}`)
	again, _ := release("released", shaC)
	becomes(t, again, facts...)
	if facts, original := release("released", "main"); len(facts) > 0 || original != "kept com.github.release.released unplaced=artifact.published: data.revision: missing" {
		t.Errorf("%q %s", facts, original)
	}
	if facts, _ := release("deleted", shaC); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
}

func TestAReviewIsAnApprovalOrARefusal(t *testing.T) {
	for state, want := range map[string]string{"approved": "approval.granted", "CHANGES_REQUESTED": "approval.refused", "commented": ""} {
		facts, _ := hooked(t, "github", `{"action":"submitted","review":{"id":8,"state":"`+state+`","submitted_at":"2026-03-01T09:00:00Z","user":{"login":"bob"}},"pull_request":{"number":7},`+githubRepository+`}`, "x-github-event", "pull_request_review")
		if typesOf(facts) != want {
			t.Errorf("%s: %q", state, facts)
		}
		if want != "" && !strings.HasSuffix(facts[0], ` review/8 {"approval_id":"github/octo/shop/review/8","by":"bob","subject_id":"github/octo/shop/pull/7","subject_kind":"change"}`) {
			t.Error(facts[0])
		}
	}
}

func githubIssueOf(action, label, labels, more string) string {
	return `{"action":"` + action + `","label":{"name":"` + label + `"},"issue":{"number":4,"title":"Checkout is down","created_at":"2026-03-01T10:00:00Z","updated_at":"2026-03-01T10:30:00Z"` + more + `,"labels":[` + labels + `]},` + githubRepository + `}`
}

func TestAnIssueWithTheLabelIsAnIncidentFromOpenedToReopened(t *testing.T) {
	const labels = `{"name":"Incident"},{"name":"severity:high"},{"name":"service:checkout"},{"name":"env: staging"}`
	const data = `{"environment":"staging","incident_id":"github/octo/shop/issue/4","service":"checkout","severity":"high","title":"Checkout is down"}`
	opened := "incident.opened 2026-03-01T10:00:00Z issue/4/opened " + strings.Replace(data, `"severity":"high",`, "", 1)
	labelled := "incident.updated 2026-03-01T10:30:00Z issue/4/labeled/2026-03-01T10:30:00.000Z " + data
	for _, c := range []struct {
		action, label, more string
		want                []string
	}{
		{"opened", "", "", []string{opened, "incident.updated 2026-03-01T10:00:00Z issue/4/labeled/2026-03-01T10:00:00.000Z " + data}},
		{"labeled", "incident", "", []string{opened, labelled}},
		{"labeled", "severity:high", "", []string{labelled}},
		{"unlabeled", "sev3", "", []string{labelled}},
		{"unlabeled", "bug", "", []string{}},
		{"closed", "", `,"closed_at":"2026-03-01T10:29:00Z"`, []string{"incident.resolved 2026-03-01T10:29:00Z issue/4/closed/2026-03-01T10:29:00.000Z " + data}},
		{"reopened", "", "", []string{"incident.reopened 2026-03-01T10:30:00Z issue/4/reopened/2026-03-01T10:30:00.000Z " + data}},
	} {
		facts, _ := hooked(t, "github", githubIssueOf(c.action, c.label, labels, c.more), "x-github-event", "issues")
		becomes(t, facts, c.want...)
	}
	for _, action := range []string{"opened", "closed", "reopened", "labeled", "assigned"} {
		if facts, _ := hooked(t, "github", githubIssueOf(action, "bug", `{"name":"bug"}`, ""), "x-github-event", "issues"); len(facts) > 0 {
			t.Errorf("%s: %q", action, facts)
		}
	}
}

func TestOfSeveralLabelsTheWorstSeverityCountsInWhateverOrderTheyAreListed(t *testing.T) {
	for _, labels := range []string{`{"name":"incident"},{"name":"sev3"},{"name":"severity: major"}`, `{"name":"severity: major"},{"name":"sev3"},{"name":"incident"}`} {
		facts, _ := hooked(t, "github", githubIssueOf("closed", "", labels, `,"closed_at":"2026-03-01T10:29:00Z"`), "x-github-event", "issues")
		if len(facts) != 1 || !strings.Contains(facts[0], `"severity":"high"`) {
			t.Errorf("%s: %q", labels, facts)
		}
	}
}

// A finding keeps its name whatever happens to it.
func TestAnAlertIsOneFindingFromOpenedToReopened(t *testing.T) {
	const times = `"number":3,"created_at":"2026-03-01T10:00:00Z","updated_at":"2026-03-01T12:00:00Z","fixed_at":"2026-03-01T11:00:00Z","dismissed_at":"2026-03-01T11:30:00Z","resolved_at":"2026-03-01T11:40:00Z","html_url":"https://github.com/octo/shop/alert"`
	dependabot := `{` + times + `,"dependency":{"package":{"ecosystem":"npm","name":"semver"}},"security_advisory":{"ghsa_id":"GHSA-c2qf","cve_id":"CVE-2022-25883","severity":"low"},"security_vulnerability":{"severity":"high"}}`
	scanned := `{` + times + `,"rule":{"id":"go/sql-injection","severity":"error","security_severity_level":"critical"}}`
	secret := func(resolution string) string {
		return `{` + times + `,"secret_type":"aws_key","resolution":"` + resolution + `"}`
	}
	const reopened = "reopened/2026-03-01T12:00:00.000Z"
	for _, c := range []struct{ kind, action, alert, typ, id, is string }{
		{"dependabot_alert", "created", dependabot, "opened", "dependabot/3/opened", `"severity":"high"`},
		{"dependabot_alert", "fixed", dependabot, "remediated", "dependabot/3/remediated/2026-03-01T11:00:00.000Z", `"rule":"CVE-2022-25883"`},
		{"dependabot_alert", "dismissed", dependabot, "accepted", "dependabot/3/accepted/2026-03-01T11:30:00.000Z", `"artifact":"pkg:npm/semver"`},
		{"dependabot_alert", "auto_reopened", dependabot, "opened", "dependabot/3/" + reopened, `"first_seen":"2026-03-01T10:00:00Z"`},
		{"code_scanning_alert", "created", scanned, "opened", "code-scanning/3/opened", `"severity":"critical"`},
		{"code_scanning_alert", "fixed", scanned, "remediated", "code-scanning/3/remediated/2026-03-01T11:00:00.000Z", `"rule":"go/sql-injection"`},
		{"code_scanning_alert", "closed_by_user", scanned, "accepted", "code-scanning/3/accepted/2026-03-01T11:30:00.000Z", `"kind":"vulnerability"`},
		{"code_scanning_alert", "reopened", scanned, "opened", "code-scanning/3/" + reopened, `"evidence_url":"https://github.com/octo/shop/alert"`},
		{"secret_scanning_alert", "created", secret(""), "opened", "secret-scanning/3/opened", `"kind":"secret"`},
		{"secret_scanning_alert", "resolved", secret("revoked"), "remediated", "secret-scanning/3/remediated/2026-03-01T11:40:00.000Z", `"rule":"aws_key"`},
		{"secret_scanning_alert", "resolved", secret("wont_fix"), "accepted", "secret-scanning/3/accepted/2026-03-01T11:40:00.000Z", `"severity":"high"`},
		{"repository_vulnerability_alert", "resolve", `{` + times + `,"id":99,"external_identifier":"CVE-2022-25883","severity":"moderate"}`, "remediated", "vulnerability-alert/3/remediated/2026-03-01T11:00:00.000Z", `"severity":"medium"`},
	} {
		facts, _ := hooked(t, "github", `{"action":"`+c.action+`","alert":`+c.alert+`,`+githubRepository+`}`, "x-github-event", c.kind)
		path, _, _ := strings.Cut(c.id, "/")
		if path == "vulnerability-alert" { // another hook for the same alerts
			path = "dependabot"
		}
		if len(facts) != 1 || !strings.HasPrefix(facts[0], "finding."+c.typ+" ") || !strings.Contains(facts[0], " "+c.id+" ") ||
			!strings.Contains(facts[0], c.is) || !strings.Contains(facts[0], `"finding_id":"github/octo/shop/`+path+`/3"`) {
			t.Errorf("%s %s: %q", c.kind, c.action, facts)
		}
	}
	for _, kind := range []string{"dependabot_alert", "code_scanning_alert"} {
		if facts, original := hooked(t, "github", `{"action":"appeared_in_branch","alert":`+scanned+`,`+githubRepository+`}`, "x-github-event", kind); len(facts) > 0 {
			t.Errorf("%q %s", facts, original)
		}
	}
}

func TestAWebhookOfGitHubThatNothingIsMadeOfIsKeptUnderItsOwnType(t *testing.T) {
	for kind, body := range map[string]string{
		"star": `{"action":"created"}`, "security_advisory": `{"action":"published","security_advisory":{"ghsa_id":"GHSA-c2qf"}}`, "future_thing": `{"x":[1]}`,
	} {
		facts, original := hooked(t, "github", body, "x-github-event", kind)
		if len(facts) > 0 || !strings.HasPrefix(original, "kept com.github."+kind) {
			t.Errorf("%s: %q %s", kind, facts, original)
		}
	}
	if _, original := hooked(t, "github", `{"action":7}`, "x-github-event", "push"); !strings.HasPrefix(original, "dead wrong_type action") {
		t.Error(original)
	}
}

func TestTheRecordedWebhooksOfGitHubAllBecomeWhatTheyAre(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(sharedData("github"), "*.json"))
	if len(files) == 0 {
		t.Skip("the recorded webhooks are not here")
	}
	want := map[string]string{
		"check_run.completed": "build.finished", "code_scanning_alert.created": "finding.opened", "code_scanning_alert.fixed": "finding.remediated",
		"dependabot_alert.created": "finding.opened", "deployment": "deployment.started", "deployment_status": "deployment.started deployment.finished",
		"repository_vulnerability_alert.create": "finding.opened", "workflow_run.completed": "test.finished",
		// Its label is bug, these are not merged, a tag was deleted, and a release of a branch names no commit.
		"issues.labeled": "", "pull_request.closed": "", "pull_request.opened": "", "push": "", "release.released": "",
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		kind, _, _ := strings.Cut(name, ".")
		facts, original := hooked(t, "github", string(body), "x-github-event", kind)
		types, known := want[name]
		if !known || typesOf(facts) != types || !strings.HasPrefix(original, "kept com.github."+kind) {
			t.Errorf("%s became %q, %s", name, facts, original)
		}
	}
}

func FuzzGitHub(f *testing.F) {
	fuzzHook(f, "github", "x-github-event",
		[2]string{"pull_request", githubMerged + `},` + githubRepository + `}`},
		[2]string{"push", githubPush(githubCommit(shaC, "Tidy (#7)", "a.go"))},
		[2]string{"deployment_status", githubDeployed("success", `"{}"`)},
		[2]string{"issues", githubIssueOf("closed", "", `{"name":"incident"}`, "")},
		[2]string{"issues", `{"action":"opened","issue":{"labels":[null]}}`},
		[2]string{"push", `{"ref":"refs/heads/main","commits":[null],"repository":{"default_branch":"main"}}`},
		[2]string{"pull_request", `{"action":"closed","commits":[null],"files":[null],"pull_request":{"merged_at":"2026-03-01T10:00:00Z"}}`},
		[2]string{"workflow_run", `{"action":"completed"}`}, [2]string{"status", `{"state":"success"}`},
		[2]string{"secret_scanning_alert", `{"action":"resolved"}`}, [2]string{"release", `{"action":"published"}`})
}

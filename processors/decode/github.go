package decode

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
)

// The webhooks of GitHub (Webhook events and payloads of its documentation),
// read into the objects of go-github. Rules use only what the REST API's object
// has too, so that a back-fill says the same facts.

func githubReader() reader {
	all := slices.Concat(githubDelivery(), githubRuns(), githubFindings())
	read := func(p *payload, s *said) error {
		var envelope struct {
			Action     string `json:"action"`
			Repository struct {
				FullName string `json:"full_name"`
				Name     string `json:"name"`
				URL      string `json:"html_url"`
			} `json:"repository"`
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		from := place{"github", cmp.Or(envelope.Repository.URL, "https://github.com"), envelope.Repository.FullName, envelope.Repository.Name}
		name := p.header("x-github-event")
		if name == "" {
			return unkind("x-github-event")
		}
		if err := all.say(s, name, from); err != nil {
			return err
		}
		typ := "com.github." + name
		if envelope.Action != "" {
			typ += "." + envelope.Action
		}
		var at time.Time
		if s.latest == 0 { // no fact tells the time
			at = githubTime(name, p.body)
		}
		return s.original(typ, from.origin, "", at)
	}
	return reader{source: "github", read: read, rows: all.rows(), plain: []string{"added", "removed", "modified"}}
}

// githubTime is when what a message is about was last changed, zero where it
// doesn't say.
func githubTime(name string, body []byte) time.Time {
	object := name
	switch name {
	case "push": // what deletes a tag has no commit to tell the time
		return githubPushedAt(body)
	case "issues":
		object = "issue"
	case "pull_request_review":
		object = "review"
	case "status":
		return objectTime(body, "updated_at", "created_at")
	}
	if strings.HasSuffix(name, "_alert") {
		object = "alert"
	}
	var objects map[string]json.RawMessage
	if json.Unmarshal(body, &objects) != nil {
		return time.Time{}
	}
	return objectTime(objects[object], "updated_at", "submitted_at", "completed_at", "published_at", "created_at")
}

// githubPushedAt is when the repository of a message was last pushed to, zero
// where it doesn't say. In a push it is a number.
func githubPushedAt(body []byte) time.Time {
	var m struct {
		Repository struct {
			PushedAt github.Timestamp `json:"pushed_at"`
		} `json:"repository"`
	}
	if json.Unmarshal(body, &m) != nil {
		return time.Time{}
	}
	return m.Repository.PushedAt.Time
}

func githubDelivery() kinds {
	return kinds{
		ofKindEach("push", githubWorks, githubPushes()),
		ofKind("pull_request", githubPullRules()...),
		ofKind("pull_request_review", githubReviewRules()...),
		ofKind("deployment", githubStarted()),
		ofKind("deployment_status", githubStatusRules()...),
		ofKind("release", githubReleaseRules()...),
		ofKind("issues", githubIssueRules()...),
	}
}

// githubWorks are the changes that a push brings to the default branch.
func githubWorks(m hook[github.PushEvent]) []pushed {
	push := &m.said
	branch := cmp.Or(push.GetRepo().GetDefaultBranch(), push.GetRepo().GetMasterBranch())
	if branch == "" || push.GetRef() != "refs/heads/"+branch || push.GetDeleted() {
		return nil
	}
	listed := push.Commits
	if len(listed) == 0 {
		listed = []*github.HeadCommit{push.HeadCommit}
	}
	var commits []commit
	for _, c := range listed {
		if c.GetID() == "" {
			continue
		}
		one := commit{revision: c.GetID(), message: c.GetMessage(), author: cmp.Or(c.GetAuthor().GetLogin(), c.GetAuthor().GetName()), at: c.GetTimestamp().Time}
		for _, list := range [...][]string{c.Added, c.Modified, c.Removed} {
			one.paths = append(one.paths, list...)
		}
		commits = append(commits, one)
	}
	return pushesOf(m.place, commits, githubMergeOf)
}

var githubMerge = regexp.MustCompile(`^Merge pull request #(\d+) from `)

// githubMergeOf reads the messages GitHub proposes for merges and squashes.
func githubMergeOf(message string) (m merge) {
	subject, title := subjectAndTitle(message)
	if found := githubMerge.FindStringSubmatch(subject); found != nil {
		m.number, _ = strconv.Atoi(found[1])
		m.brings, m.title = true, title
		return m
	}
	if found := numbered.FindStringSubmatch(subject); found != nil {
		m.number, _ = strconv.Atoi(found[1])
		m.title = numbered.ReplaceAllString(subject, "")
	}
	return m
}

func githubPushes() rule[pushed] {
	return pushes{
		tool: "github", repository: "`repository.full_name`", request: "pull",
		when:     "to the default branch: the commits of each pull request, told by `Merge pull request #7 from` and `(#7)` in their messages, and those of none",
		revision: "`id`", at: "`timestamp`", author: "`author.username` or `author.name`", paths: "`added`, `modified`, `removed`",
		title:   "the first line of the last commit's message without `(#7)`, of a merge commit's body",
		reverts: func(from place, message string) string { return githubReverts(from, message) },
	}.rule()
}

// GitHub's button writes `Reverts octo/shop#7` into the new pull request.
var (
	githubRevertsPull  = regexp.MustCompile(`(?im)^\s*reverts\s+([\w.-]+/[\w.-]+)?#(\d+)\b`)
	githubRevertsTitle = regexp.MustCompile(`^Revert ".*\(#(\d+)\)"`)
)

// githubReverts is the change or revision that texts say they revert, empty
// where they say none: the title of what is reverted alone doesn't name it.
func githubReverts(from place, texts ...string) string {
	text := strings.Join(texts, "\n")
	if m := githubRevertsPull.FindStringSubmatch(text); m != nil {
		return "github/" + cmp.Or(m[1], from.repository) + "/pull/" + m[2]
	}
	if revision := revertedCommit(text); revision != "" {
		return revision
	}
	if m := githubRevertsTitle.FindStringSubmatch(text); m != nil {
		return from.entity("pull", m[1])
	}
	return ""
}

// githubPull is a pull request that something happened to.
type githubPull struct {
	Action      string              `json:"action"`
	PullRequest *github.PullRequest `json:"pull_request"`
	// Not in a webhook: the pull request's lists of the REST API, where a
	// back-fill has read them.
	Commits []*github.RepositoryCommit `json:"commits"`
	Files   []*github.CommitFile       `json:"files"`
}

func githubPullRules() []rule[hook[githubPull]] {
	type m = hook[githubPull]
	merged := func(p m) bool {
		return p.said.Action == "closed" && !p.said.PullRequest.GetMergedAt().IsZero()
	}
	id := func(what string) field[m] {
		return field[m]{doc: "pull/`number`/" + what, from: func(p m) any { return named("pull", p.said.PullRequest.GetNumber(), what) }}
	}
	mergedAt := field[m]{"merged_at", "`pull_request.merged_at`", func(p m) any { return p.said.PullRequest.GetMergedAt().Time }}
	change := func(more ...field[m]) []field[m] {
		return append([]field[m]{
			{"change_id", "github/`repository.full_name`/pull/`number`", func(p m) any { return p.entity("pull", p.said.PullRequest.GetNumber()) }},
			{"repository", "`repository.full_name`", func(p m) any { return p.repository }},
			{"revision", "`pull_request.merge_commit_sha`", func(p m) any { return p.said.PullRequest.GetMergeCommitSHA() }},
			mergedAt,
		}, more...)
	}
	const when = "`action` is `closed` and `pull_request.merged_at` is stated"
	return []rule[m]{
		{when: when, is: merged, to: "change.merged", id: id("merged"), time: mergedAt, fields: change(
			field[m]{"commits", "`pull_request.head.sha`", func(p m) any { return tip(p.said.PullRequest.GetHead().GetSHA()) }},
			field[m]{"author", "`pull_request.user.login`", func(p m) any { return p.said.PullRequest.GetUser().GetLogin() }},
			field[m]{"title", "`pull_request.title`", func(p m) any { return p.said.PullRequest.GetTitle() }},
			field[m]{"reverts", "what `body` and `title` say: `Reverts octo/shop#7`, `This reverts commit 1a2b...`, `Revert \"... (#7)\"`", func(p m) any {
				return githubReverts(p.place, p.said.PullRequest.GetTitle(), p.said.PullRequest.GetBody())
			}},
		)},
		{when: when + ", and `additions`", to: "change.merged", id: id("size"), time: mergedAt,
			is: func(p m) bool { return merged(p) && p.said.PullRequest.Additions != nil },
			fields: change(field[m]{"size", "`pull_request.additions` + `pull_request.deletions`", func(p m) any {
				return p.said.PullRequest.GetAdditions() + p.said.PullRequest.GetDeletions()
			}})},
		{when: when + ", and `commits` (a back-fill's)", to: "change.merged", id: id("commits"), time: mergedAt,
			is: func(p m) bool { return merged(p) && len(p.said.Commits) > 0 },
			fields: change(field[m]{"commits", "`sha`, `commit.committer.date`, `author.login` or `commit.author.name` of each", func(p m) any {
				return githubCommits(p.said.Commits).data()
			}})},
		{when: when + ", and `files` (a back-fill's)", to: "change.merged", id: id("files"), time: mergedAt,
			is:     func(p m) bool { return merged(p) && len(p.said.Files) > 0 },
			fields: change(field[m]{"paths", "`filename` and `previous_filename` of each", func(p m) any { return githubPaths(p.said.Files) }})},
		{ // A rebase, or a message of somebody's own, says nothing of a pull request.
			when: when + ": the push that merged it is no change of its own", is: merged, to: "fact.retracted", id: id("push"), time: mergedAt,
			fields: unsays("`pull_request.merge_commit_sha`", func(p m) string { return p.said.PullRequest.GetMergeCommitSHA() })},
	}
}

func githubCommits(list []*github.RepositoryCommit) work {
	var w work
	for _, c := range list {
		if c.GetSHA() == "" {
			continue
		}
		w.commits = append(w.commits, commit{
			revision: c.GetSHA(), author: cmp.Or(c.GetAuthor().GetLogin(), c.GetCommit().GetAuthor().GetName()), at: c.GetCommit().GetCommitter().GetDate().Time,
		})
	}
	return w
}

func githubPaths(files []*github.CommitFile) []string {
	var c commit
	for _, f := range files {
		for _, path := range [...]string{f.GetFilename(), f.GetPreviousFilename()} {
			if path != "" {
				c.paths = append(c.paths, path)
			}
		}
	}
	return work{commits: []commit{c}}.paths()
}

func githubReviewRules() []rule[hook[github.PullRequestReviewEvent]] {
	type m = hook[github.PullRequestReviewEvent]
	decided := func(state, to string) rule[m] {
		submitted := field[m]{doc: "`review.submitted_at`", from: func(r m) any { return r.said.GetReview().GetSubmittedAt().Time }}
		return rule[m]{
			when: "`action` is `submitted`, `review.state` is `" + state + "`", to: to, time: submitted,
			is: func(r m) bool {
				return r.said.GetAction() == "submitted" && strings.EqualFold(r.said.GetReview().GetState(), state)
			},
			id: field[m]{doc: "review/`review.id`", from: func(r m) any { return named("review", r.said.GetReview().GetID()) }},
			fields: []field[m]{
				{"approval_id", "github/`repository.full_name`/review/`review.id`", func(r m) any { return r.entity("review", r.said.GetReview().GetID()) }},
				fixed[m]("subject_kind", "change"),
				{"subject_id", "github/`repository.full_name`/pull/`pull_request.number`", func(r m) any { return r.entity("pull", r.said.GetPullRequest().GetNumber()) }},
				{"by", "`review.user.login`", func(r m) any { return r.said.GetReview().GetUser().GetLogin() }},
			},
		}
	}
	return []rule[m]{decided("approved", "approval.granted"), decided("changes_requested", "approval.refused")}
}

// githubDeployment is a deployment, and a status of it.
type githubDeployment struct {
	Deployment struct {
		github.Deployment
		// OriginalEnvironment stays, a status may change the other one.
		OriginalEnvironment string `json:"original_environment"`
	} `json:"deployment"`
	Status github.DeploymentStatus `json:"deployment_status"`
}

// deploymentPayload is what those who deploy may say in the payload, which
// GitHub leaves to them: an object, or a string that holds one.
type deploymentPayload struct {
	Service         string          `json:"service"`
	App             string          `json:"app"`
	Name            string          `json:"name"` // of the app: hubot-deploy
	Version         string          `json:"version"`
	PreviousVersion string          `json:"previous_version"`
	Artifact        string          `json:"artifact"`
	Strategy        string          `json:"strategy"`
	RollbackOf      json.RawMessage `json:"rollback_of"` // the number or the id of a deployment
}

func readDeploymentPayload(raw json.RawMessage) (p deploymentPayload) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	// Anything may be in it. What is there of the fields, whole or not, is used.
	_ = json.Unmarshal(raw, &p)
	return p
}

// rollbackOf is the deployment it takes back: its id, a number being one of
// the same repository.
func (p deploymentPayload) rollbackOf(from place) string {
	var id string
	if json.Unmarshal(p.RollbackOf, &id) != nil {
		id = string(p.RollbackOf)
	}
	if _, err := strconv.ParseInt(id, 10, 64); err == nil {
		return from.entity("deployment", id)
	}
	if strings.ContainsAny(id, "{}[]") || id == "null" {
		return ""
	}
	return id
}

// githubTaskService is the service of a task such as deploy:checkout, which
// GitHub leaves to those who deploy; its own example of something else is
// deploy:migrations.
func githubTaskService(task string) string {
	service, ok := strings.CutPrefix(task, "deploy:")
	if !ok || service == "migrations" {
		return ""
	}
	return service
}

// githubDeploymentFields are those that all stages have. The environment is a
// stage's own.
func githubDeploymentFields(more ...field[hook[githubDeployment]]) []field[hook[githubDeployment]] {
	type m = hook[githubDeployment]
	said := func(d m) deploymentPayload { return readDeploymentPayload(d.said.Deployment.Payload) }
	return append([]field[m]{
		{"deployment_id", "github/`repository.full_name`/deployment/`deployment.id`", func(d m) any { return d.entity("deployment", d.said.Deployment.GetID()) }},
		{"service", "`deployment.payload.service`, `.app` or `.name`, the hint, x of a `deployment.task` deploy:x, `repository.name`", func(d m) any {
			p := said(d)
			return cmp.Or(d.service(p.Service, p.App, p.Name), githubTaskService(d.said.Deployment.GetTask()), d.name)
		}},
		{"version", "`deployment.payload.version`, `deployment.ref` where it is a tag or ends like 1.2.3, `deployment.sha`", func(d m) any {
			return cmp.Or(said(d).Version, versionOfRef(d.said.Deployment.GetRef()), d.said.Deployment.GetSHA())
		}},
		{"previous_version", "`deployment.payload.previous_version`", func(d m) any { return said(d).PreviousVersion }},
		{"revisions", "`deployment.sha`", func(d m) any {
			if sha := d.said.Deployment.GetSHA(); sha != "" {
				return []string{sha}
			}
			return nil
		}},
		{"artifact", "`deployment.payload.artifact`", func(d m) any { return said(d).Artifact }},
		{"strategy", "`deployment.payload.strategy`", func(d m) any { return said(d).Strategy }},
		{"rollback_of", "`deployment.payload.rollback_of`", func(d m) any { return said(d).rollbackOf(d.place) }},
		{"requested_by", "`deployment.creator.login`", func(d m) any { return d.said.Deployment.GetCreator().GetLogin() }},
	}, more...)
}

func githubStarted() rule[hook[githubDeployment]] {
	type m = hook[githubDeployment]
	return rule[m]{
		to:   "deployment.started",
		id:   field[m]{doc: "deployment/`deployment.id`", from: func(d m) any { return named("deployment", d.said.Deployment.GetID()) }},
		time: field[m]{doc: "`deployment.created_at`", from: func(d m) any { return d.said.Deployment.GetCreatedAt().Time }},
		fields: githubDeploymentFields(
			field[m]{"environment", "`deployment.original_environment`, `deployment.environment`", func(d m) any {
				return d.environment(d.said.Deployment.OriginalEnvironment, d.said.Deployment.GetEnvironment())
			}},
			field[m]{"reason", "`deployment.description`", func(d m) any { return d.said.Deployment.GetDescription() }},
		),
	}
}

func githubStatusRules() []rule[hook[githubDeployment]] {
	type m = hook[githubDeployment]
	stage := func(to string, outcome string, states ...string) rule[m] {
		r := rule[m]{
			when: "`deployment_status.state` is `" + strings.Join(states, "`, `") + "`", to: to,
			is: func(d m) bool { return has(states, d.said.Status.GetState()) },
			id: field[m]{doc: "deployment/`deployment.id`/status/`deployment_status.id`", from: func(d m) any {
				return named("deployment", d.said.Deployment.GetID(), "status", d.said.Status.GetID())
			}},
			time: field[m]{doc: "`deployment_status.created_at`", from: func(d m) any { return d.said.Status.GetCreatedAt().Time }},
			fields: githubDeploymentFields(
				field[m]{"environment", "`deployment_status.environment`, `deployment.environment`", func(d m) any {
					return d.environment(d.said.Status.GetEnvironment(), d.said.Deployment.GetEnvironment())
				}},
				field[m]{"reason", "`deployment_status.description`", func(d m) any { return d.said.Status.GetDescription() }},
			),
		}
		if outcome != "" {
			r.fields = append(r.fields, fixed[m]("outcome", outcome))
		}
		return r
	}
	// inactive is no stage: it is what GitHub makes of an environment's older
	// deployments when a new one succeeds.
	started := githubStarted()
	started.when, started.is = "`deployment_status.state` is not `inactive`", func(d m) bool { return d.said.Status.GetState() != "inactive" }
	return []rule[m]{
		started,
		stage("deployment.progressed", "", "in_progress", "queued", "pending", "waiting"),
		stage("deployment.finished", "success", "success"),
		stage("deployment.finished", "failure", "failure", "error"),
	}
}

// githubOutcomes are those of conclusions and states that mean that something
// has run to an end. skipped, stale, action_required and pending don't.
var githubOutcomes = map[string]string{
	"success": "success", "failure": "failure", "error": "failure", "timed_out": "failure", "startup_failure": "failure",
	"cancelled": "cancelled", "neutral": "neutral",
}

// githubOutcome is that of a conclusion, empty where the action says that it
// isn't the last word.
func githubOutcome(action, conclusion string) string {
	if action != "completed" {
		return ""
	}
	return githubOutcomes[conclusion]
}

const (
	githubOutcomeDoc = ": `success`, `neutral`, `cancelled`; failure of `failure`, `error`, `timed_out`, `startup_failure`"
	githubCompleted  = "`action` is `completed`"
	githubIn         = "github/`repository.full_name`/"
)

func githubRuns() kinds {
	return kinds{
		ofRuns("workflow_run", runs{
			when: githubCompleted, id: "run/`workflow_run.id`/attempt/`workflow_run.run_attempt`", entity: githubIn + "check-suite/`workflow_run.check_suite_id`",
			name: "`workflow_run.name`, the name of the file in `workflow_run.path`", revision: "`workflow_run.head_sha`", repository: "`repository.full_name`",
			outcome: "`workflow_run.conclusion`" + githubOutcomeDoc, started: "`workflow_run.run_started_at`", ended: "`workflow_run.updated_at`",
		}, func(m hook[github.WorkflowRunEvent]) run {
			w := m.said.GetWorkflowRun()
			return run{
				id:     named("run", w.GetID(), "attempt", max(w.GetRunAttempt(), 1)),
				entity: cmp.Or(m.entity("check-suite", w.GetCheckSuiteID()), m.entity("run", w.GetID())),
				name:   cmp.Or(w.GetName(), githubFile(w.GetPath())), revision: w.GetHeadSHA(), repository: m.repository,
				outcome: githubOutcome(m.said.GetAction(), w.GetConclusion()), started: w.GetRunStartedAt().Time, ended: w.GetUpdatedAt().Time,
			}
		}),
		// A job of a workflow is a check run of the same number, name and times:
		// hooks for both say one fact.
		ofRuns("workflow_job", githubCheck("workflow_job"), func(m hook[github.WorkflowJobEvent]) run {
			j := m.said.GetWorkflowJob()
			return run{
				id: named("check-run", j.GetID()), entity: m.entity("check-run", j.GetID()), name: j.GetName(), revision: j.GetHeadSHA(), repository: m.repository,
				outcome: githubOutcome(m.said.GetAction(), j.GetConclusion()), started: j.GetStartedAt().Time, ended: j.GetCompletedAt().Time,
			}
		}),
		ofRuns("check_run", githubCheck("check_run"), func(m hook[github.CheckRunEvent]) run {
			c := m.said.GetCheckRun()
			return run{
				id: named("check-run", c.GetID()), entity: m.entity("check-run", c.GetID()), name: c.GetName(), revision: c.GetHeadSHA(), repository: m.repository,
				outcome: githubOutcome(m.said.GetAction(), c.GetConclusion()), started: c.GetStartedAt().Time, ended: c.GetCompletedAt().Time,
			}
		}),
		ofRuns("check_suite", runs{
			when: githubCompleted + ", `check_suite.app.slug` is not `github-actions` (workflow_run is the same with its times)",
			id:   "check-suite/`check_suite.id`/`check_suite.updated_at`", entity: githubIn + "check-suite/`check_suite.id`",
			name: "`check_suite.app.name`", revision: "`check_suite.head_sha`", repository: "`repository.full_name`",
			outcome: "`check_suite.conclusion`" + githubOutcomeDoc, ended: "`check_suite.updated_at`",
		}, func(m hook[github.CheckSuiteEvent]) run {
			c := m.said.GetCheckSuite()
			r := run{
				id: named("check-suite", c.GetID(), c.GetUpdatedAt().Time), entity: m.entity("check-suite", c.GetID()), name: c.GetApp().GetName(),
				revision: c.GetHeadSHA(), repository: m.repository, ended: c.GetUpdatedAt().Time,
			}
			if c.GetApp().GetSlug() != "github-actions" {
				r.outcome = githubOutcome(m.said.GetAction(), c.GetConclusion())
			}
			return r
		}),
		ofRuns("status", runs{
			when: "`state` is not `pending`", id: "status/`id`", entity: githubIn + "status/`sha`/`context`", name: "`context`", revision: "`sha`",
			repository: "`repository.full_name`", outcome: "`state`" + githubOutcomeDoc, ended: "`updated_at`",
		}, func(m hook[github.StatusEvent]) run {
			return run{
				id: named("status", m.said.GetID()), entity: m.entity("status", m.said.GetSHA(), m.said.GetContext()), name: m.said.GetContext(),
				revision: m.said.GetSHA(), repository: m.repository, outcome: githubOutcomes[m.said.GetState()], ended: m.said.GetUpdatedAt().Time,
			}
		}),
	}
}

// githubFile is the name of a workflow's file, which names a workflow that has
// no name.
func githubFile(path string) string {
	base, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
	return base
}

// githubCheck are the fields that jobs and check runs have alike.
func githubCheck(object string) runs {
	return runs{
		when: githubCompleted, id: "check-run/`" + object + ".id`", entity: githubIn + "check-run/`" + object + ".id`",
		name: "`" + object + ".name`", revision: "`" + object + ".head_sha`", repository: "`repository.full_name`",
		outcome: "`" + object + ".conclusion`" + githubOutcomeDoc, started: "`" + object + ".started_at`", ended: "`" + object + ".completed_at`",
	}
}

func githubReleaseRules() []rule[hook[github.ReleaseEvent]] {
	type m = hook[github.ReleaseEvent]
	actions := []string{"published", "released", "prereleased"}
	return []rule[m]{{
		when: "`action` is `published`, `released` or `prereleased`", to: "artifact.published",
		is:   func(r m) bool { return has(actions, r.said.GetAction()) && !r.said.GetRelease().GetDraft() },
		id:   field[m]{doc: "release/`release.id`", from: func(r m) any { return named("release", r.said.GetRelease().GetID()) }},
		time: field[m]{doc: "`release.published_at`", from: func(r m) any { return r.said.GetRelease().GetPublishedAt().Time }},
		fields: []field[m]{
			{"artifact", "pkg:github/`repository.full_name`@`release.tag_name`", func(r m) any {
				return packageURL("github", strings.ToLower(r.repository), r.said.GetRelease().GetTagName())
			}},
			{"revision", "`release.target_commitish` where it is a commit and no branch", func(r m) any {
				if target := r.said.GetRelease().GetTargetCommitish(); isGitHash(target) {
					return target
				}
				return nil
			}},
		},
	}}
}

// githubIssue is an issue that something happened to.
type githubIssue struct {
	Action string        `json:"action"`
	Issue  *github.Issue `json:"issue"`
	Label  *github.Label `json:"label"`
}

func githubLabels(i hook[githubIssue]) []string {
	var names []string
	for _, l := range i.said.Issue.Labels {
		names = append(names, l.GetName())
	}
	return names
}

func githubIssueRules() []rule[hook[githubIssue]] {
	type m = hook[githubIssue]
	incident := func(actions ...string) func(m) bool {
		return func(i m) bool {
			issue := i.said.Issue
			return issue != nil && has(actions, i.said.Action) && i.isIncident(append(githubLabels(i), issue.GetType().GetName())...)
		}
	}
	labelled := func(i m) bool { return incident("labeled")(i) && i.isIncident(i.said.Label.GetName()) }
	at := func(doc string, of func(*github.Issue) github.Timestamp) field[m] {
		return field[m]{doc: "`issue." + doc + "`", from: func(i m) any { return of(i.said.Issue).Time }}
	}
	id := func(what string, moment field[m]) field[m] {
		return field[m]{doc: "issue/`issue.number`/" + what + "/" + moment.doc, from: func(i m) any {
			return named("issue", i.said.Issue.GetNumber(), what, moment.from(i))
		}}
	}
	severity := field[m]{"severity", severityLabelDoc, func(i m) any { return labelledSeverity(githubLabels(i)) }}
	fields := func(more ...field[m]) []field[m] {
		return append([]field[m]{
			{"incident_id", "github/`repository.full_name`/issue/`issue.number`", func(i m) any { return i.entity("issue", i.said.Issue.GetNumber()) }},
			{"service", "x of a label service:x, the hint, `repository.name`", func(i m) any {
				return cmp.Or(i.service(scopedLabel("service", githubLabels(i))), i.name)
			}},
			{"environment", "x of a label environment:x or env:x", func(i m) any {
				return i.environment(scopedLabel("environment", githubLabels(i)), scopedLabel("env", githubLabels(i)))
			}},
			{"title", "`issue.title`", func(i m) any { return i.said.Issue.GetTitle() }},
		}, more...)
	}
	created, closed := at("created_at", (*github.Issue).GetCreatedAt), at("closed_at", (*github.Issue).GetClosedAt)
	updated := at("updated_at", (*github.Issue).GetUpdatedAt)
	rated := field[m]{doc: "`issue.created_at` of `opened`, else `issue.updated_at`", from: func(i m) any {
		if i.said.Action == "opened" {
			return created.from(i)
		}
		return updated.from(i)
	}}
	relabelled := func(i m) bool {
		return incident("opened")(i) || labelled(i) || incident("labeled", "unlabeled")(i) && labelledSeverity([]string{i.said.Label.GetName()}) != ""
	}
	const isOne = "a label or the type is one of `incidents` in the configuration"
	opened := field[m]{doc: "issue/`issue.number`/opened", from: func(i m) any { return named("issue", i.said.Issue.GetNumber(), "opened") }}
	return []rule[m]{
		// Labels change. So the opening, which has one id whenever it is told of, says no
		// severity: that is a fact of the moment at which it was so.
		{when: "`action` is `opened` or, with the label that makes it one, `labeled`; " + isOne, to: "incident.opened", id: opened, time: created, fields: fields(),
			is: func(i m) bool { return incident("opened")(i) || labelled(i) }},
		{when: "the same, or `action` is `labeled` or `unlabeled` with a severity; labels state one; " + isOne, to: "incident.updated", id: id("labeled", rated), time: rated, fields: fields(severity),
			is: func(i m) bool { return relabelled(i) && !empty(severity.from(i)) }},
		{when: "`action` is `closed`, or `issue.closed_at` is stated when it is labelled; " + isOne, to: "incident.resolved", id: id("closed", closed), time: closed,
			is:     func(i m) bool { return incident("closed")(i) || labelled(i) && !i.said.Issue.GetClosedAt().IsZero() },
			fields: fields(severity, field[m]{"by", "`issue.closed_by.login`", func(i m) any { return i.said.Issue.GetClosedBy().GetLogin() }})},
		{when: "`action` is `reopened`; " + isOne, to: "incident.reopened", id: id("reopened", updated), time: updated, fields: fields(severity), is: incident("reopened")},
	}
}

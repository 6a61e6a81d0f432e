package decode

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
)

// The webhooks of GitLab (Webhook events of its documentation), read into the
// types of GitLab's own client. What a message is about is its object_kind, the
// same in the header's words.
//
// Webhooks state seconds where the API states milliseconds: all times are whole
// seconds here.

func gitlabReader() reader {
	all := gitlabKinds()
	read := func(p *payload, s *said) error {
		var envelope struct {
			Kind    string `json:"object_kind"`
			Event   string `json:"event_name"` // of system hooks
			Project struct {
				Path string `json:"path_with_namespace"`
				URL  string `json:"web_url"`
			} `json:"project"`
			Repository struct {
				Homepage string `json:"homepage"` // jobs of old versions state no project
			} `json:"repository"`
			Object json.RawMessage `json:"object_attributes"`
			Action string          `json:"action"` // of a release
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		url := cmp.Or(envelope.Project.URL, envelope.Repository.Homepage)
		from := place{tool: "gitlab", origin: cmp.Or(url, "https://gitlab.com"), repository: cmp.Or(envelope.Project.Path, pathOf(url))}
		from.name = from.repository[strings.LastIndexByte(from.repository, '/')+1:]
		name := cmp.Or(envelope.Kind, envelope.Event, "unnamed")
		if name == "unnamed" && p.header("x-gitlab-event") == "" {
			return unkind("object_kind")
		}
		typ := "com.gitlab." + name
		if p.header("x-gitlab-event") == string(gitlab.EventTypeSystemHook) {
			typ = "com.gitlab.system." + cmp.Or(envelope.Event, envelope.Kind, "unnamed")
		} else if err := all.say(s, name, from); err != nil {
			return err
		}
		var object struct {
			Action  string `json:"action"`
			Updated string `json:"updated_at"`
		}
		_ = json.Unmarshal(envelope.Object, &object) // of some kinds it is none of this
		if action := cmp.Or(object.Action, envelope.Action); action != "" {
			typ += "." + action
		}
		return s.original(typ, from.origin, "", gitlabTime(object.Updated))
	}
	return reader{source: "gitlab", read: read, rows: all.rows(), plain: []string{"added", "removed", "modified"}}
}

// pathOf a URL, without the slash before it.
func pathOf(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	_, path, _ := strings.Cut(rest, "/")
	return strings.TrimSuffix(path, "/")
}

// gitlabTime reads the three ways in which GitLab writes times, zero where it
// is none of them.
func gitlabTime(texts ...string) time.Time {
	text := cmp.Or(texts...)
	for _, layout := range [...]string{time.RFC3339, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Second)
		}
	}
	return time.Time{}
}

func gitlabKinds() kinds {
	return kinds{
		ofKindEach("push", gitlabWorks, gitlabPushes()),
		ofKind("merge_request", gitlabMergeRules()...),
		gitlabPipelines(),
		gitlabJobs(),
		ofKind("deployment", gitlabDeploymentRules()...),
		ofKind("release", gitlabReleaseRules()...),
		ofKind("feature_flag", gitlabFlagRules()...),
		ofKind("issue", gitlabIssueRules()...),
		ofKind("vulnerability", gitlabVulnerabilityRules()...),
	}
}

func gitlabWorks(m hook[gitlab.PushEvent]) []pushed {
	branch := m.said.Project.DefaultBranch
	if branch == "" || m.said.Ref != "refs/heads/"+branch {
		return nil
	}
	var commits []commit
	for _, c := range m.said.Commits {
		if c == nil || c.ID == "" {
			continue
		}
		one := commit{revision: c.ID, message: c.Message, author: c.Author.Name, paths: slices.Concat(c.Added, c.Modified, c.Removed)}
		if c.Timestamp != nil {
			one.at = c.Timestamp.UTC().Truncate(time.Second)
		}
		commits = append(commits, one)
	}
	return pushesOf(m.place, commits, gitlabMergeOf)
}

var gitlabSee = regexp.MustCompile(`(?m)^See merge request [\w./-]*!(\d+)\s*$`)

// gitlabMergeOf reads the message of GitLab's template for merge commits.
func gitlabMergeOf(message string) (m merge) {
	found := gitlabSee.FindStringSubmatch(message)
	if found == nil {
		return m
	}
	m.number, _ = strconv.Atoi(found[1])
	subject, title := subjectAndTitle(message)
	if m.brings = strings.HasPrefix(subject, "Merge "); m.brings {
		m.title = title
	} else {
		m.title = subject
	}
	return m
}

func gitlabPushes() rule[pushed] {
	return pushes{
		tool: "gitlab", repository: "`project.path_with_namespace`", request: "merge_request",
		when:     "to the default branch: the commits of each merge request, told by `See merge request shop!7` in their messages, and those of none",
		revision: "`id`", at: "`timestamp`", author: "`author.name`", paths: "`added`, `modified`, `removed`",
		title: "the first line of the last commit's message, of a merge commit's body", reverts: gitlabReverts,
	}.rule()
}

// GitLab's button writes `This reverts merge request !7`.
var gitlabRevertsMerge = regexp.MustCompile(`(?i)\bthis reverts merge request ([\w./-]+)?!(\d+)`)

func gitlabReverts(from place, text string) string {
	if m := gitlabRevertsMerge.FindStringSubmatch(text); m != nil {
		return "gitlab/" + cmp.Or(m[1], from.repository) + "/merge_request/" + m[2]
	}
	return revertedCommit(text)
}

// gitlabMerge is a merge request, with what only the API says of one: a
// back-fill adds it.
type gitlabMerge struct {
	gitlab.MergeEvent
	ObjectAttributes struct {
		gitlab.MergeEventObjectAttributes
		MergedAt        string `json:"merged_at"`
		SquashCommitSHA string `json:"squash_commit_sha"`
		Author          struct {
			Username string `json:"username"`
		} `json:"author"`
	} `json:"object_attributes"`
}

func gitlabMergeRules() []rule[hook[gitlabMerge]] {
	type m = hook[gitlabMerge]
	merged := func(r m) bool {
		return r.said.ObjectAttributes.Action == "merge" && r.said.ObjectAttributes.State == "merged"
	}
	id := func(what string) field[m] {
		return field[m]{doc: "merge_request/`object_attributes.iid`/" + what, from: func(r m) any { return named("merge_request", r.said.ObjectAttributes.IID, what) }}
	}
	revision := func(r m) string {
		return cmp.Or(r.said.ObjectAttributes.MergeCommitSHA, r.said.ObjectAttributes.LastCommit.ID)
	}
	mergedAt := field[m]{"merged_at", "`object_attributes.merged_at`, `.updated_at`", func(r m) any {
		return gitlabTime(r.said.ObjectAttributes.MergedAt, r.said.ObjectAttributes.UpdatedAt)
	}}
	change := func(revised field[m], more ...field[m]) []field[m] {
		return append([]field[m]{
			{"change_id", "gitlab/`project.path_with_namespace`/merge_request/`object_attributes.iid`", func(r m) any { return r.entity("merge_request", r.said.ObjectAttributes.IID) }},
			{"repository", "`project.path_with_namespace`", func(r m) any { return r.repository }},
			revised, mergedAt,
		}, more...)
	}
	last := field[m]{"revision", "`object_attributes.merge_commit_sha`, `object_attributes.last_commit.id`", func(r m) any { return revision(r) }}
	squash := field[m]{"revision", "`object_attributes.squash_commit_sha`", func(r m) any { return r.said.ObjectAttributes.SquashCommitSHA }}
	const when = "`object_attributes.action` is `merge`"
	squashed := func(r m) bool { return merged(r) && r.said.ObjectAttributes.SquashCommitSHA != "" }
	return []rule[m]{
		{when: when, is: merged, to: "change.merged", id: id("merged"), time: mergedAt, fields: change(last,
			field[m]{"commits", "`object_attributes.last_commit.id`", func(r m) any { return tip(r.said.ObjectAttributes.LastCommit.ID) }},
			field[m]{"title", "`object_attributes.title`", func(r m) any { return r.said.ObjectAttributes.Title }},
			field[m]{"reverts", "what `object_attributes.description` says: `This reverts merge request !7`, `This reverts commit 1a2b...`", func(r m) any {
				return gitlabReverts(r.place, r.said.ObjectAttributes.Description)
			}},
		)},
		{when: when + ", and `author` is stated (a back-fill's; a webhook has only who merged)", to: "change.merged", id: id("author"), time: mergedAt,
			is: func(r m) bool { return merged(r) && r.said.ObjectAttributes.Author.Username != "" },
			fields: change(last, field[m]{"author", "`object_attributes.author.username`", func(r m) any {
				return r.said.ObjectAttributes.Author.Username
			}})},
		{when: when + ", and `squash_commit_sha` is stated", is: squashed, to: "change.merged", id: id("squash"), time: mergedAt, fields: change(squash)},
		// A fast-forward says nothing of a merge request.
		{when: when + ": the push that merged it is no change of its own", is: merged, to: "fact.retracted", id: id("push"), time: mergedAt,
			fields: unsays("`object_attributes.merge_commit_sha` or `last_commit.id`", revision)},
		{when: when + ", and `squash_commit_sha` is stated: nor is the push of that", is: squashed, to: "fact.retracted", id: id("squash-push"), time: mergedAt,
			fields: unsays("`object_attributes.squash_commit_sha`", func(r m) string { return r.said.ObjectAttributes.SquashCommitSHA })},
	}
}

// gitlabOutcomes are those of what has run to an end. skipped and manual have
// not run.
var gitlabOutcomes = map[string]string{"success": "success", "failed": "failure", "canceled": "cancelled"}

const gitlabOutcomeDoc = ": `success`, failure of `failed`, cancelled of `canceled`"

func gitlabPipelines() kind {
	return ofRuns("pipeline", runs{
		when: "`object_attributes.status` is `success`, `failed` or `canceled`", id: "pipeline/`object_attributes.id`/`object_attributes.finished_at`",
		entity: "gitlab/`project.path_with_namespace`/pipeline/`object_attributes.id`", name: "`object_attributes.name`", revision: "`object_attributes.sha`",
		repository: "`project.path_with_namespace`", outcome: "`object_attributes.status`" + gitlabOutcomeDoc, ended: "`object_attributes.finished_at`",
		duration: "`object_attributes.duration` seconds",
	}, func(m hook[gitlab.PipelineEvent]) run {
		p := &m.said.ObjectAttributes
		finished := gitlabTime(p.FinishedAt)
		return run{
			id: named("pipeline", p.ID, finished), entity: m.entity("pipeline", p.ID), name: p.Name, revision: p.SHA, repository: m.repository,
			outcome: gitlabOutcomes[p.Status], ended: finished, duration: time.Duration(p.Duration) * time.Second,
		}
	})
}

func gitlabJobs() kind {
	return ofRuns("build", runs{
		when: "`build_status` is `success`, `failed` or `canceled`", id: "job/`build_id`", entity: "gitlab/`project.path_with_namespace`/job/`build_id`",
		name: "`build_name`", revision: "`sha`", repository: "`project.path_with_namespace`, the path of `repository.homepage`",
		outcome: "`build_status`" + gitlabOutcomeDoc, started: "`build_started_at`", ended: "`build_finished_at`",
	}, func(m hook[gitlab.JobEvent]) run {
		j := &m.said
		return run{
			id: named("job", j.BuildID), entity: m.entity("job", j.BuildID), name: j.BuildName, revision: j.SHA, repository: m.repository,
			outcome: gitlabOutcomes[j.BuildStatus], started: gitlabTime(j.BuildStartedAt), ended: gitlabTime(j.BuildFinishedAt),
		}
	})
}

func gitlabDeploymentRules() []rule[hook[gitlab.DeploymentEvent]] {
	type m = hook[gitlab.DeploymentEvent]
	sha := func(d m) string {
		url := d.said.CommitURL
		if last := url[strings.LastIndexByte(url, '/')+1:]; isGitHash(last) {
			return last
		}
		return ""
	}
	changed := field[m]{doc: "`status_changed_at`", from: func(d m) any { return gitlabTime(d.said.StatusChangedAt) }}
	fields := []field[m]{
		{"deployment_id", "gitlab/`project.path_with_namespace`/deployment/`deployment_id`", func(d m) any { return d.entity("deployment", d.said.DeploymentID) }},
		{"service", "the hint, the last part of `project.path_with_namespace`", func(d m) any { return cmp.Or(d.service(), d.name) }},
		{"environment", "`environment`", func(d m) any { return d.environment(d.said.Environment) }},
		{"version", "`ref` where it ends like 1.2.3, the commit in `commit_url`, `short_sha`", func(d m) any {
			return cmp.Or(versionOfRef(d.said.Ref), sha(d), d.said.ShortSHA)
		}},
		{"revisions", "the commit in `commit_url`", func(d m) any {
			if sha := sha(d); sha != "" {
				return []string{sha}
			}
			return nil
		}},
		{"requested_by", "`user.username`", func(d m) any {
			if d.said.User == nil {
				return nil
			}
			return d.said.User.Username
		}},
	}
	stage := func(status, to string, more ...field[m]) rule[m] {
		return rule[m]{
			when: "`status` is `" + status + "`", is: func(d m) bool { return d.said.Status == status }, to: to, time: changed,
			id: field[m]{doc: "deployment/`deployment_id`/`status`/`status_changed_at`", from: func(d m) any {
				return named("deployment", d.said.DeploymentID, status, changed.from(d))
			}},
			fields: slices.Concat(fields, more),
		}
	}
	return []rule[m]{
		stage("running", "deployment.started"),
		stage("success", "deployment.finished", fixed[m]("outcome", "success")),
		stage("failed", "deployment.finished", fixed[m]("outcome", "failure")),
		stage("canceled", "deployment.finished", fixed[m]("outcome", "cancelled")),
	}
}

func gitlabReleaseRules() []rule[hook[gitlab.ReleaseEvent]] {
	type m = hook[gitlab.ReleaseEvent]
	return []rule[m]{{
		when: "`action` is `create` or `update`", is: func(r m) bool { return r.said.Action == "create" || r.said.Action == "update" },
		to:   "artifact.published",
		id:   field[m]{doc: "release/`tag`", from: func(r m) any { return named("release", r.said.Tag) }},
		time: field[m]{doc: "`released_at`, `created_at`", from: func(r m) any { return gitlabTime(r.said.ReleasedAt, r.said.CreatedAt) }},
		fields: []field[m]{
			{"artifact", "pkg:gitlab/`project.path_with_namespace`@`tag`", func(r m) any { return packageURL("gitlab", strings.ToLower(r.repository), r.said.Tag) }},
			{"revision", "`commit.id`", func(r m) any { return r.said.Commit.ID }},
		},
	}}
}

// A feature flag's message has no time and nothing that tells one switching on
// from the next: the sender's own id of the message has to.
func gitlabFlagRules() []rule[hook[gitlab.FeatureFlagEvent]] {
	type m = hook[gitlab.FeatureFlagEvent]
	return []rule[m]{{
		to: "flag.changed",
		id: field[m]{doc: "feature_flag/`object_attributes.id`/the header idempotency-key or x-gitlab-event-uuid, else a digest of the body and when it was taken", from: func(f m) any {
			if message := cmp.Or(f.header("idempotency-key"), f.header("x-gitlab-event-uuid")); message != "" {
				return named("feature_flag", f.said.ObjectAttributes.ID, message)
			}
			// On again after off has the words of the first time.
			return named("feature_flag", f.said.ObjectAttributes.ID, f.digest(), f.received.Time())
		}},
		time: field[m]{doc: "when it was taken: none is stated", from: func(f m) any { return f.received.Time() }},
		fields: []field[m]{
			{"flag", "`object_attributes.name`", func(f m) any { return f.said.ObjectAttributes.Name }},
			{"environment", "the hint, the default", func(f m) any { return f.environment() }},
			{"services", "the hint, the last part of `project.path_with_namespace`", func(f m) any {
				if name := cmp.Or(f.service(), f.name); name != "" {
					return []string{name}
				}
				return nil
			}},
			{"rules", "`{\"on\": 100}` where `object_attributes.active`, else `{\"off\": 100}`: the strategies are not sent", func(f m) any {
				if f.said.ObjectAttributes.Active {
					return map[string]int{"on": 100}
				}
				return map[string]int{"off": 100}
			}},
			{"changed_by", "`user.username`", func(f m) any {
				if f.said.User == nil {
					return nil
				}
				return f.said.User.Username
			}},
		},
	}}
}

// gitlabIssue is an issue that something happened to.
type gitlabIssue struct {
	gitlab.IssueEvent
	ObjectAttributes struct {
		gitlab.IssueEventObjectAttributes
		Type     string `json:"type"` // Issue, Incident
		ClosedAt string `json:"closed_at"`
	} `json:"object_attributes"`
	Changes struct {
		Labels *struct {
			Previous []gitlab.EventLabel `json:"previous"`
		} `json:"labels"`
		Severity json.RawMessage `json:"severity"`
	} `json:"changes"`
}

func (i *gitlabIssue) labels() []string {
	var titles []string
	for _, list := range [...][]*gitlab.EventLabel{i.Labels, i.ObjectAttributes.Labels} {
		for _, l := range list {
			if l != nil {
				titles = append(titles, l.Title)
			}
		}
	}
	return titles
}

func gitlabIssueRules() []rule[hook[gitlabIssue]] {
	type m = hook[gitlabIssue]
	incident := func(i m) bool { return i.isIncident(append(i.said.labels(), i.said.ObjectAttributes.Type)...) }
	action := func(i m) string { return i.said.ObjectAttributes.Action }
	// turned: a label has made it an incident just now.
	turned := func(i m) bool {
		if action(i) != "update" || !incident(i) || i.said.Changes.Labels == nil || i.isIncident(i.said.ObjectAttributes.Type) {
			return false
		}
		return !slices.ContainsFunc(i.said.Changes.Labels.Previous, func(l gitlab.EventLabel) bool { return i.isIncident(l.Title) })
	}
	at := func(doc string, of func(m) time.Time) field[m] {
		return field[m]{doc: doc, from: func(i m) any { return of(i) }}
	}
	created := at("`object_attributes.created_at`", func(i m) time.Time { return gitlabTime(i.said.ObjectAttributes.CreatedAt) })
	updated := at("`object_attributes.updated_at`", func(i m) time.Time { return gitlabTime(i.said.ObjectAttributes.UpdatedAt) })
	closed := at("`object_attributes.closed_at`, `.updated_at`", func(i m) time.Time {
		return gitlabTime(i.said.ObjectAttributes.ClosedAt, i.said.ObjectAttributes.UpdatedAt)
	})
	rated := at("`object_attributes.created_at` of `open`, else `.updated_at`", func(i m) time.Time {
		if action(i) == "open" {
			return gitlabTime(i.said.ObjectAttributes.CreatedAt)
		}
		return gitlabTime(i.said.ObjectAttributes.UpdatedAt)
	})
	id := func(what string, moment field[m]) field[m] {
		return field[m]{doc: "issue/`object_attributes.iid`/" + what + "/" + moment.doc, from: func(i m) any {
			return named("issue", i.said.ObjectAttributes.IID, what, moment.from(i))
		}}
	}
	opened := field[m]{doc: "issue/`object_attributes.iid`/opened", from: func(i m) any { return named("issue", i.said.ObjectAttributes.IID, "opened") }}
	fields := []field[m]{
		{"incident_id", "gitlab/`project.path_with_namespace`/issue/`object_attributes.iid`", func(i m) any { return i.entity("issue", i.said.ObjectAttributes.IID) }},
		{"service", "x of a label service:x or service::x, the hint, the last part of `project.path_with_namespace`", func(i m) any {
			return cmp.Or(i.service(scopedLabel("service", i.said.labels())), i.name)
		}},
		{"environment", "x of a label environment:x or env:x", func(i m) any {
			return i.environment(scopedLabel("environment", i.said.labels()), scopedLabel("env", i.said.labels()))
		}},
		{"title", "`object_attributes.title`", func(i m) any { return i.said.ObjectAttributes.Title }},
	}
	severity := field[m]{"severity", "`object_attributes.severity` where it is known, " + severityLabelDoc, func(i m) any {
		return cmp.Or(hostSeverity(i.said.ObjectAttributes.Severity), labelledSeverity(i.said.labels()))
	}}
	does := func(what string) func(m) bool { return func(i m) bool { return action(i) == what && incident(i) } }
	const isOne = "; a label or `object_attributes.type` is one of `incidents` in the configuration"
	return []rule[m]{
		// Labels and severity change. So the opening, which has one id whenever it is
		// told of, says no severity: that is a fact of the moment at which it was so.
		{when: "`object_attributes.action` is `open`, or `update` with the label that makes it one" + isOne, to: "incident.opened", id: opened, time: created, fields: fields,
			is: func(i m) bool { return does("open")(i) || turned(i) }},
		{when: "`object_attributes.action` is `open` and there is a severity, or `update` with `changes` of severity or labels" + isOne, to: "incident.updated",
			id: id("updated", rated), time: rated, fields: with(fields, severity),
			is: func(i m) bool {
				return does("open")(i) && !empty(severity.from(i)) || does("update")(i) && (i.said.Changes.Labels != nil || len(i.said.Changes.Severity) > 0)
			}},
		{when: "`object_attributes.action` is `close`" + isOne, is: does("close"), to: "incident.resolved", id: id("closed", closed), time: closed, fields: with(fields, severity)},
		{when: "`object_attributes.action` is `reopen`" + isOne, is: does("reopen"), to: "incident.reopened", id: id("reopened", updated), time: updated, fields: with(fields, severity)},
	}
}

func gitlabVulnerabilityRules() []rule[hook[gitlab.VulnerabilityEvent]] {
	type m = hook[gitlab.VulnerabilityEvent]
	fields := []field[m]{
		{"finding_id", "gitlab/vulnerability/`object_attributes.id`", func(v m) any { return named("gitlab", "vulnerability", v.said.ObjectAttributes.ID) }},
		{"kind", "secret where `object_attributes.report_type` is `secret_detection`, else vulnerability", func(v m) any {
			if v.said.ObjectAttributes.ReportType == "secret_detection" {
				return "secret"
			}
			return "vulnerability"
		}},
		{"rule", "`object_attributes.identifiers`: the CVE, else the first", func(v m) any { return gitlabIdentifier(v.said.ObjectAttributes.Identifiers) }},
		{"severity", "`object_attributes.severity`; info where it is unknown", func(v m) any { return cmp.Or(hostSeverity(v.said.ObjectAttributes.Severity), "info") }},
		{"repository", "the path in `object_attributes.url` before /-/", func(v m) any {
			path, _, _ := strings.Cut(pathOf(v.said.ObjectAttributes.URL), "/-/")
			return path
		}},
		{"first_seen", "`object_attributes.created_at`", func(v m) any { return gitlabTime(v.said.ObjectAttributes.CreatedAt) }},
		{"evidence_url", "`object_attributes.url`", func(v m) any { return v.said.ObjectAttributes.URL }},
	}
	open := []string{"detected", "confirmed"}
	stage := func(to, what, doc string, of func(m) string, states ...string) rule[m] {
		return rule[m]{
			when: "`object_attributes.state` is `" + strings.Join(states, "` or `") + "`", to: to, fields: fields,
			is: func(v m) bool { return has(states, strings.ToLower(v.said.ObjectAttributes.State)) },
			id: field[m]{doc: "vulnerability/`object_attributes.id`/" + what + "/`object_attributes." + doc + "`", from: func(v m) any {
				return named("vulnerability", v.said.ObjectAttributes.ID, what, gitlabTime(of(v)))
			}},
			time: field[m]{doc: "`object_attributes." + doc + "`", from: func(v m) any { return gitlabTime(of(v)) }},
		}
	}
	// One that is open again after it was resolved or dismissed has the state of the
	// first time. Whatever else has changed it says no more than that it is still open.
	reopened := stage("finding.opened", "reopened", "updated_at", func(v m) string { return v.said.ObjectAttributes.UpdatedAt }, open...)
	isOpen := reopened.is
	reopened.when += ", and `.updated_at` is later than `.created_at`"
	reopened.is = func(v m) bool {
		return isOpen(v) && gitlabTime(v.said.ObjectAttributes.UpdatedAt).After(gitlabTime(v.said.ObjectAttributes.CreatedAt))
	}
	return []rule[m]{
		stage("finding.opened", "opened", "created_at", func(v m) string { return v.said.ObjectAttributes.CreatedAt }, open...),
		reopened,
		stage("finding.remediated", "remediated", "resolved_at", func(v m) string { return v.said.ObjectAttributes.ResolvedAt }, "resolved"),
		stage("finding.accepted", "accepted", "dismissed_at", func(v m) string { return v.said.ObjectAttributes.DismissedAt }, "dismissed"),
	}
}

func gitlabIdentifier(all []gitlab.VulnerabilityEventIdentifier) string {
	for _, i := range all {
		if strings.EqualFold(i.ExternalType, "cve") {
			return cmp.Or(i.ExternalID, i.Name)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return cmp.Or(all[0].ExternalID, all[0].Name)
}

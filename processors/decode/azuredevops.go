package decode

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The service hooks of Azure DevOps (Service hooks events of its
// documentation). The structs have only the fields that rules use: those of
// go-playground/webhooks, the library there is, refuse a time that is null and
// know builds of version 1.0 only, without a result and a source version.

func azureReader() reader {
	all := kinds{
		ofKindEach("git.push", azureWorks, azurePushes()),
		ofKind("git.pullrequest.updated", azurePullRules()...),
		ofKind("git.pullrequest.merged", azurePullRules()...),
		azureBuilds(),
		ofKind("ms.vss-release.deployment-started-event", azureStage("deployment.started", "started")),
		ofKind("ms.vss-release.deployment-completed-event", azureStage("deployment.finished", "completed")),
	}
	read := func(p *payload, s *said) error {
		var envelope struct {
			Type     string    `json:"eventType"`
			Created  azureTime `json:"createdDate"`
			Resource struct {
				Repository azureRepository `json:"repository"`
				Project    azureProject    `json:"project"`
				URL        string          `json:"url"`
			} `json:"resource"`
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		name := envelope.Type
		if name == "" {
			return unkind("eventType")
		}
		in := &envelope.Resource
		project := cmp.Or(in.Repository.Project.Name, in.Project.Name)
		from := place{"azure-devops", azureOrganization(cmp.Or(in.Repository.URL, in.URL)), project, project}
		if in.Repository.Name != "" && !strings.Contains(in.Repository.Name, "/") {
			from.repository, from.name = named(project, in.Repository.Name), in.Repository.Name
		}
		if err := all.say(s, name, from); err != nil {
			return err
		}
		return s.original("com.microsoft.azure-devops."+name, from.origin, "", envelope.Created.Time)
	}
	return reader{source: "azure-devops", read: read, rows: all.rows()}
}

// azureTime is a time as the hooks write it; anything else, null too, is zero.
type azureTime struct{ time.Time }

func (t *azureTime) UnmarshalJSON(raw []byte) error {
	t.Time, _ = time.Parse(`"`+time.RFC3339+`"`, string(raw))
	return nil
}

// azureOrganization is the address of the organisation, which every URL of its
// API begins with: https://dev.azure.com/name, or https://name.visualstudio.com.
func azureOrganization(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return "https://dev.azure.com"
	}
	host, path, _ := strings.Cut(rest, "/")
	if host != "dev.azure.com" {
		return scheme + "://" + host
	}
	name, _, _ := strings.Cut(path, "/")
	return scheme + "://" + host + "/" + name
}

type azureProject struct {
	Name string `json:"name"`
}

type azureRepository struct {
	Name          string       `json:"name"`
	URL           string       `json:"url"`
	DefaultBranch string       `json:"defaultBranch"` // refs/heads/main
	Project       azureProject `json:"project"`
}

type azureCommit struct {
	ID string `json:"commitId"`
}

type azureUser struct {
	UniqueName  string `json:"uniqueName"`
	DisplayName string `json:"displayName"`
}

func (u azureUser) name() string { return cmp.Or(u.UniqueName, u.DisplayName) }

type azurePush struct {
	Resource struct {
		Repository azureRepository `json:"repository"`
		Updates    []struct {
			Name string `json:"name"`
			New  string `json:"newObjectId"`
		} `json:"refUpdates"`
		Commits []struct { // the newest first
			azureCommit
			Comment string `json:"comment"`
			Author  struct {
				Name string `json:"name"`
			} `json:"author"`
			Committer struct {
				Date azureTime `json:"date"`
			} `json:"committer"`
		} `json:"commits"`
	} `json:"resource"`
}

func azureWorks(m hook[azurePush]) []pushed {
	push := &m.said.Resource
	if len(push.Updates) != 1 || push.Repository.DefaultBranch == "" || push.Updates[0].Name != push.Repository.DefaultBranch {
		return nil
	}
	var commits []commit
	for _, c := range slices.Backward(push.Commits) {
		if c.ID != "" {
			commits = append(commits, commit{revision: c.ID, message: c.Comment, author: c.Author.Name, at: c.Committer.Date.Time})
		}
	}
	return pushesOf(m.place, commits, azureMergeOf)
}

var (
	azureMerge   = regexp.MustCompile(`^Merged PR (\d+): ?(.*)$`)
	azureReverts = regexp.MustCompile(`(?i)\breverts !(\d+)`)
)

// azureMergeOf reads the message Azure DevOps proposes. It is the same for a
// merge commit, which brings what comes before it, and a squash, before which
// nothing comes.
func azureMergeOf(message string) (m merge) {
	subject, _ := subjectAndTitle(message)
	if found := azureMerge.FindStringSubmatch(subject); found != nil {
		m.number, _ = strconv.Atoi(found[1])
		m.brings, m.title = true, found[2]
	}
	return m
}

// azureReverted is what a text says is reverted: Azure DevOps writes `Reverts !7`.
func azureReverted(from place, text string) string {
	if m := azureReverts.FindStringSubmatch(text); m != nil {
		return from.entity("pull", m[1])
	}
	return revertedCommit(text)
}

func azurePushes() rule[pushed] {
	return pushes{
		tool: "azure-devops", repository: "`repository.project.name`/`repository.name`", request: "pull",
		when:     "to `repository.defaultBranch`: the commits of each pull request, told by `Merged PR 7:` in their messages, and those of none",
		revision: "`commitId`", at: "`committer.date`", author: "`author.name`",
		title: "the first line of the last commit's message without `Merged PR 7:`", reverts: azureReverted,
	}.rule()
}

type azurePull struct {
	Resource struct {
		ID          int64       `json:"pullRequestId"`
		Status      string      `json:"status"`
		Title       string      `json:"title"`
		Description string      `json:"description"`
		CreatedBy   azureUser   `json:"createdBy"`
		Closed      azureTime   `json:"closedDate"`
		Source      azureCommit `json:"lastMergeSourceCommit"`
		Merge       azureCommit `json:"lastMergeCommit"`
	} `json:"resource"`
}

func azurePullRules() []rule[hook[azurePull]] {
	type m = hook[azurePull]
	// merged is sent for an attempt to merge too.
	completed := func(p m) bool { return p.said.Resource.Status == "completed" }
	closed := field[m]{"merged_at", "`resource.closedDate`", func(p m) any { return p.said.Resource.Closed.Time }}
	id := func(what string) field[m] {
		return field[m]{doc: "pull/`resource.pullRequestId`/" + what, from: func(p m) any { return named("pull", p.said.Resource.ID, what) }}
	}
	const when = "`resource.status` is `completed`"
	return []rule[m]{
		{when: when, is: completed, to: "change.merged", id: id("merged"), time: closed, fields: []field[m]{
			{"change_id", "azure-devops/`project.name`/`repository.name`/pull/`resource.pullRequestId`", func(p m) any { return p.entity("pull", p.said.Resource.ID) }},
			{"repository", "`repository.project.name`/`repository.name`", func(p m) any { return p.repository }},
			{"revision", "`resource.lastMergeCommit.commitId`", func(p m) any { return p.said.Resource.Merge.ID }},
			{"commits", "`resource.lastMergeSourceCommit.commitId`", func(p m) any { return tip(p.said.Resource.Source.ID) }},
			{"author", "`resource.createdBy.uniqueName`, `.displayName`", func(p m) any { return p.said.Resource.CreatedBy.name() }},
			closed,
			{"title", "`resource.title`", func(p m) any { return p.said.Resource.Title }},
			{"reverts", "what `resource.description` says: `Reverts !7`, `This reverts commit 1a2b...`", func(p m) any {
				return azureReverted(p.place, p.said.Resource.Description)
			}},
		}},
		{when: when + ": the push that merged it is no change of its own", is: completed, to: "fact.retracted", id: id("push"), time: closed,
			fields: unsays("`resource.lastMergeCommit.commitId`", func(p m) string { return p.said.Resource.Merge.ID })},
	}
}

type azureBuild struct {
	Resource struct {
		ID         int64     `json:"id"`
		Status     string    `json:"status"` // completed; in version 1.0 the result
		Result     string    `json:"result"`
		Start      azureTime `json:"startTime"`
		Finish     azureTime `json:"finishTime"`
		Version    string    `json:"sourceVersion"`
		Get        string    `json:"sourceGetVersion"` // in version 1.0: LG:refs/heads/main:1a2b...
		Definition struct {
			Name string `json:"name"`
		} `json:"definition"`
		Project    azureProject `json:"project"`
		Repository struct {
			ID   string `json:"id"` // of GitHub: owner/name
			Name string `json:"name"`
		} `json:"repository"`
	} `json:"resource"`
}

func (b *azureBuild) revision() string {
	return cmp.Or(b.Resource.Version, b.Resource.Get[strings.LastIndexByte(b.Resource.Get, ':')+1:])
}

var azureOutcomes = map[string]string{
	"succeeded": "success", "partiallySucceeded": "failure", "failed": "failure", "canceled": "cancelled", "stopped": "cancelled",
}

func azureBuilds() kind {
	return ofRuns("build.complete", runs{
		when: "it has ended", id: "build/`resource.id`", entity: "the organisation's URL/build/`resource.id`", name: "`resource.definition.name`",
		revision:   "`resource.sourceVersion`, the commit in `resource.sourceGetVersion`",
		repository: "`resource.repository.id` where it is owner/name, else `project.name`/`resource.repository.name`",
		outcome:    "`resource.result`, `resource.status`: success of `succeeded`, failure of `failed` and `partiallySucceeded`, cancelled of `canceled` and `stopped`",
		started:    "`resource.startTime`", ended: "`resource.finishTime`",
	}, func(m hook[azureBuild]) run {
		b := &m.said.Resource
		r := run{
			// The organisation numbers its builds; old hooks name no project.
			id: named("build", b.ID), entity: named(m.origin, "build", b.ID), name: b.Definition.Name, revision: m.said.revision(),
			outcome: azureOutcomes[cmp.Or(b.Result, b.Status)], started: b.Start.Time, ended: b.Finish.Time,
		}
		if r.repository = b.Repository.ID; !strings.Contains(r.repository, "/") {
			r.repository = named(b.Project.Name, b.Repository.Name)
		}
		return r
	})
}

// azureRelease is one release, in as many places as the hooks have it.
type azureRelease struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	Definition struct {
		Name string `json:"name"`
	} `json:"releaseDefinition"`
	Artifacts []struct {
		Reference map[string]struct {
			ID string `json:"id"`
		} `json:"definitionReference"`
	} `json:"artifacts"`
}

// azureDeployment is a stage of a release (classic release pipelines).
type azureDeployment struct {
	Created  azureTime `json:"createdDate"`
	Resource struct {
		Stage       string       `json:"stageName"`
		Attempt     int64        `json:"attemptId"`
		Release     azureRelease `json:"release"`
		Environment struct {
			Name      string       `json:"name"`
			Status    string       `json:"status"`
			ReleaseID int64        `json:"releaseId"`
			Release   azureRelease `json:"release"`
			// Definition of the pipeline.
			Definition struct {
				Name string `json:"name"`
			} `json:"releaseDefinition"`
		} `json:"environment"`
		Deployment struct {
			Attempt     int64        `json:"attempt"`
			Status      string       `json:"deploymentStatus"`
			Started     azureTime    `json:"startedOn"`
			Completed   azureTime    `json:"completedOn"`
			Release     azureRelease `json:"release"`
			RequestedBy azureUser    `json:"requestedBy"`
		} `json:"deployment"`
	} `json:"resource"`
}

func (d *azureDeployment) releases() []azureRelease {
	return []azureRelease{d.Resource.Release, d.Resource.Deployment.Release, d.Resource.Environment.Release}
}

// release is the number of the release, and its name.
func (d *azureDeployment) release() (id int64, name string) {
	id = d.Resource.Environment.ReleaseID
	for _, r := range d.releases() {
		if id == 0 {
			id = r.ID
		}
		name = cmp.Or(name, r.Name)
	}
	return id, name
}

func (d *azureDeployment) pipeline() string {
	name := d.Resource.Environment.Definition.Name
	for _, r := range d.releases() {
		name = cmp.Or(name, r.Definition.Name)
	}
	return name
}

func (d *azureDeployment) revisions() []string {
	var all []string
	for _, r := range d.releases() {
		for _, a := range r.Artifacts {
			if sha := a.Reference["sourceVersion"].ID; sha != "" {
				all = append(all, sha)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d *azureDeployment) stage() string {
	return cmp.Or(d.Resource.Environment.Name, d.Resource.Stage)
}

func (d *azureDeployment) attempt() int64 {
	return max(d.Resource.Attempt, d.Resource.Deployment.Attempt, 1)
}

func azureStage(to, what string) rule[hook[azureDeployment]] {
	type m = hook[azureDeployment]
	at := field[m]{doc: "`resource.deployment.startedOn`, `createdDate`", from: func(d m) any {
		if started := d.said.Resource.Deployment.Started.Time; !started.IsZero() {
			return started
		}
		return d.said.Created.Time
	}}
	r := rule[m]{
		to: to,
		id: field[m]{doc: "release/the number/the stage/the attempt/" + what, from: func(d m) any {
			number, _ := d.said.release()
			return named("release", number, d.said.stage(), d.said.attempt(), what)
		}},
		fields: []field[m]{
			{"deployment_id", "azure-devops/`resource.project.name`/release/the number/`resource.environment.name`/`resource.attemptId`", func(d m) any {
				number, _ := d.said.release()
				return d.entity("release", number, d.said.stage(), d.said.attempt())
			}},
			{"service", "the hint, the name of the release pipeline, `resource.project.name`", func(d m) any {
				return cmp.Or(d.service(), d.said.pipeline(), d.name)
			}},
			{"environment", "`resource.environment.name`, `resource.stageName`", func(d m) any { return d.environment(d.said.stage()) }},
			{"version", "the name of the release", func(d m) any { _, name := d.said.release(); return name }},
			{"revisions", "`definitionReference.sourceVersion.id` of the release's artifacts", func(d m) any { return d.said.revisions() }},
			{"requested_by", "`resource.deployment.requestedBy.uniqueName`", func(d m) any { return d.said.Resource.Deployment.RequestedBy.name() }},
		},
	}
	if what == "completed" {
		outcome := func(d m) string {
			return azureStageOutcomes[cmp.Or(d.said.Resource.Deployment.Status, d.said.Resource.Environment.Status)]
		}
		at = field[m]{doc: "`resource.deployment.completedOn`, `createdDate`", from: func(d m) any {
			if completed := d.said.Resource.Deployment.Completed.Time; !completed.IsZero() {
				return completed
			}
			return d.said.Created.Time
		}}
		r.fields = append(r.fields, field[m]{"outcome", "`resource.deployment.deploymentStatus`, `resource.environment.status`: success of `succeeded`, failure of `failed`, `partiallySucceeded` and `rejected`, cancelled of `canceled`", func(d m) any { return outcome(d) }})
	}
	r.time = at
	return r
}

var azureStageOutcomes = map[string]string{
	"succeeded": "success", "partiallySucceeded": "failure", "failed": "failure", "rejected": "failure", "canceled": "cancelled", "notDeployed": "cancelled",
}

package backfill

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
)

// gitLab reads through GitLab's own client; objects are kept as they came.
type gitLab struct {
	Options
	client *gitlab.Client
}

// GitLab is the plan of a back-fill of projects, by their path; group/* is all
// of a group's, those of its subgroups too.
func GitLab(ctx context.Context, o Options) (Plan, error) {
	options := []gitlab.ClientOptionFunc{
		gitlab.WithHTTPClient(o.Client), gitlab.WithoutRetries(), gitlab.WithCustomLimiter(unlimited{}), // Limits waits and tries again
	}
	if o.URL != "" {
		options = append(options, gitlab.WithBaseURL(o.URL))
	}
	client, err := gitlab.NewClient(o.Token, options...)
	if err != nil {
		return nil, err
	}
	g := &gitLab{o, client}
	names, err := g.projects(ctx)
	if err != nil {
		return nil, err
	}
	var plan Plan
	for _, name := range names {
		plan = append(plan, g.sections(name)...)
	}
	return plan, nil
}

type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

// gitLabList is a question for a list.
type gitLabList struct {
	PerPage       int      `url:"per_page,omitempty"`
	Page          int      `url:"page,omitempty"`
	OrderBy       string   `url:"order_by,omitempty"`
	Sort          string   `url:"sort,omitempty"`
	State         string   `url:"state,omitempty"`
	Status        string   `url:"status,omitempty"`
	Scope         string   `url:"scope,omitempty"`
	Scopes        []string `url:"scope,omitempty,brackets"`
	Environment   string   `url:"environment,omitempty"`
	UpdatedAfter  string   `url:"updated_after,omitempty"`
	UpdatedBefore string   `url:"updated_before,omitempty"`
	Subgroups     bool     `url:"include_subgroups,omitempty"`
}

// get reads an object of the API. A path is escaped already.
func (g *gitLab) get(ctx context.Context, path string, query *gitLabList, into any) error {
	var options any
	if query != nil {
		options = query
	}
	request, err := g.client.NewRequest(http.MethodGet, path, options, []gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
	if err != nil {
		return err
	}
	reply, err := g.client.Do(request, into)
	if err != nil && reply != nil && reply.Response != nil {
		return asMissing(reply.StatusCode, err)
	}
	return err
}

// all is a whole list.
func (g *gitLab) all(ctx context.Context, path string) (all raws, err error) {
	for number := 1; ; number++ {
		var some raws
		if err := g.get(ctx, path, &gitLabList{PerPage: 100, Page: number}, &some); err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < 100 {
			return all, nil
		}
	}
}

func (g *gitLab) projects(ctx context.Context) (names []string, err error) {
	for _, name := range g.Names {
		group, all := strings.CutSuffix(name, "/*")
		if !all && strings.Contains(name, "/") {
			names = append(names, name)
			continue
		}
		if !all || group == "" {
			return nil, fmt.Errorf("want GROUP/PROJECT, or GROUP/* for all of a group's, have %q", name)
		}
		for number := 1; ; number++ {
			var page []struct {
				Path string `json:"path_with_namespace"`
			}
			if err := g.get(ctx, "groups/"+url.PathEscape(group)+"/projects", &gitLabList{PerPage: 100, Page: number, Subgroups: true}, &page); err != nil {
				return nil, err
			}
			for _, p := range page {
				names = append(names, p.Path)
			}
			if len(page) < 100 {
				break
			}
		}
	}
	return names, nil
}

// gitLabProject is what webhooks say of one.
type gitLabProject struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	Path          string `json:"path_with_namespace"`
	WebURL        string `json:"web_url"`
	DefaultBranch string `json:"default_branch"`
}

func (g *gitLab) sections(name string) Plan {
	at := "projects/" + url.PathEscape(name)
	var known *gitLabProject
	section := func(what string, read func(context.Context, *gitLabProject, string, string, func(Page) error) error) Section {
		return Section{name + " " + what, func(ctx context.Context, cursor string, turn func(Page) error) error {
			if known == nil {
				var p gitLabProject
				if err := g.get(ctx, at, nil, &p); err != nil {
					return err
				}
				known = &p
			}
			return read(ctx, known, at, cursor, turn)
		}}
	}
	return Plan{
		section("deployments", g.deployments), section("merge requests", g.merges), section("pipelines", g.pipelines),
		section("jobs", g.jobs), section("releases", g.releases), section("issues", g.issues),
	}
}

func (p *page) gitlab(event string, project *gitLabProject, body map[string]any) {
	body["project"] = project
	p.add("gitlab", body, "x-gitlab-event", event)
}

// updated reads a list by the time of the last change: what changes meanwhile
// comes again at the end.
func (g *gitLab) updated(ctx context.Context, at string, query gitLabList, cursor string, turn func(Page) error, add func(json.RawMessage, *page) error) error {
	query.OrderBy, query.Sort, query.PerPage = "updated_at", "asc", 100
	query.UpdatedAfter = cmp.Or(cursor, query.UpdatedAfter, g.From.UTC().Format(time.RFC3339Nano))
	seen := map[int64]string{} // id → last change
	for query.Page = 1; ; {
		var all raws
		if err := g.get(ctx, at, &query, &all); err != nil {
			return err
		}
		var p page
		last := query.UpdatedAfter
		for _, raw := range all {
			var object struct {
				ID      int64  `json:"id"`
				Updated string `json:"updated_at"`
			}
			if err := json.Unmarshal(raw, &object); err != nil {
				return err
			}
			if last = cmp.Or(object.Updated, last); seen[object.ID] == object.Updated {
				continue
			}
			seen[object.ID] = object.Updated
			if err := add(raw, &p); err != nil {
				return err
			}
		}
		if err := p.turn(last, turn); err != nil || len(all) < 100 {
			return err
		}
		if query.Page++; last != query.UpdatedAfter {
			query.UpdatedAfter, query.Page = last, 1
		}
	}
}

func (g *gitLab) merges(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	return g.updated(ctx, at+"/merge_requests", gitLabList{State: "merged", Scope: "all"}, cursor, turn, func(raw json.RawMessage, p *page) error {
		var m struct {
			gitLabUser
			IID         int64     `json:"iid"`
			Title       string    `json:"title"`
			Description string    `json:"description"`
			SHA         string    `json:"sha"`
			Merge       string    `json:"merge_commit_sha"`
			Squash      string    `json:"squash_commit_sha"`
			Target      string    `json:"target_branch"`
			MergedAt    time.Time `json:"merged_at"`
			Author      struct {
				Username string `json:"username"`
			} `json:"author"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		if g.within(m.MergedAt) {
			p.gitlab("Merge Request Hook", project, map[string]any{"object_kind": "merge_request", "object_attributes": map[string]any{
				"iid": m.IID, "action": "merge", "state": "merged", "title": m.Title, "description": m.Description, "target_branch": m.Target,
				"merge_commit_sha": m.Merge, "squash_commit_sha": m.Squash, "last_commit": map[string]string{"id": m.SHA},
				"merged_at": m.MergedAt, "updated_at": m.MergedAt, "author": m.Author,
			}})
		}
		return nil
	})
}

// gitLabUser is who did something.
type gitLabUser struct {
	User *struct {
		Username string `json:"username"`
		Name     string `json:"name"`
	} `json:"user"`
}

type gitLabDeployment struct {
	gitLabUser
	ID          int64     `json:"id"`
	Ref         string    `json:"ref"`
	SHA         string    `json:"sha"`
	Status      string    `json:"status"`
	Created     time.Time `json:"created_at"`
	Updated     time.Time `json:"updated_at"`
	Environment struct {
		Name string `json:"name"`
	} `json:"environment"`
	Deployable *struct {
		Started  time.Time `json:"started_at"`
		Finished time.Time `json:"finished_at"`
	} `json:"deployable"`
}

// add puts the stages of a deployment on a page: that it runs, and how it ended.
func (d *gitLabDeployment) add(p *page, project *gitLabProject) {
	started, ended := d.Created, d.Updated
	if d.Deployable != nil {
		if !d.Deployable.Started.IsZero() {
			started = d.Deployable.Started
		}
		if !d.Deployable.Finished.IsZero() {
			ended = d.Deployable.Finished
		}
	}
	stage := func(status string, at time.Time) {
		p.gitlab("Deployment Hook", project, map[string]any{
			"object_kind": "deployment", "deployment_id": d.ID, "status": status, "status_changed_at": at, "environment": d.Environment.Name,
			"ref": d.Ref, "short_sha": d.SHA[:min(8, len(d.SHA))], "commit_url": project.WebURL + "/-/commit/" + d.SHA, "user": d.User,
		})
	}
	switch d.Status {
	case "success", "failed", "canceled":
		stage("running", started)
		stage(d.Status, ended)
	case "running":
		stage("running", started)
	}
}

// gitLabDeployments is where the reading of deployments is: its cursor, and which
// environments there are; once all are read, of which of them the last before the
// beginning is still to find.
type gitLabDeployments struct {
	Cursor       string
	Environments map[string]bool
	Before       bool
}

// turn hands a page over with this place in the list.
func (d *gitLabDeployments) turn(p Page, turn func(Page) error) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	p.Cursor = string(text)
	return turn(p)
}

// deployments reads them by their last change, and of each environment the last
// that succeeded before the beginning.
func (g *gitLab) deployments(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	where := gitLabDeployments{Environments: map[string]bool{}}
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &where); err != nil {
			return err
		}
	}
	if !where.Before {
		keep := func(p Page) error {
			where.Cursor = p.Cursor
			return where.turn(p, turn)
		}
		err := g.updated(ctx, at+"/deployments", gitLabList{}, where.Cursor, keep, func(raw json.RawMessage, p *page) error {
			var d gitLabDeployment
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			if name := d.Environment.Name; name != "" {
				where.Environments[name] = true
			}
			if d.Updated.Before(g.Until) {
				d.add(p, project)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := g.environments(ctx, at, where.Environments); err != nil {
			return err
		}
		where.Before = true
	}
	for _, name := range slices.Sorted(maps.Keys(where.Environments)) {
		var p page
		if err := g.before(ctx, project, at, name, &p); err != nil {
			return err
		}
		if p.err != nil {
			return p.err
		}
		delete(where.Environments, name)
		if err := where.turn(p.Page, turn); err != nil {
			return err
		}
	}
	return nil
}

// environments finds those that nothing was deployed to of late too.
func (g *gitLab) environments(ctx context.Context, at string, names map[string]bool) error {
	all, err := g.all(ctx, at+"/environments")
	if err != nil && !isMissing(err) {
		return err
	}
	for _, raw := range all {
		var e struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		names[e.Name] = true
	}
	return nil
}

// before finds the last deployment in an environment that succeeded before the
// beginning.
func (g *gitLab) before(ctx context.Context, project *gitLabProject, at, environment string, p *page) error {
	var before []gitLabDeployment
	query := &gitLabList{PerPage: 1, OrderBy: "updated_at", Sort: "desc", Status: "success", Environment: environment, UpdatedBefore: g.From.UTC().Format(time.RFC3339Nano)}
	if err := g.get(ctx, at+"/deployments", query, &before); err != nil {
		return err
	}
	for i := range before {
		before[i].add(p, project)
	}
	return nil
}

func (g *gitLab) pipelines(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	return g.updated(ctx, at+"/pipelines", gitLabList{Scope: "finished"}, cursor, turn, func(raw json.RawMessage, p *page) error {
		var listed struct {
			ID int64 `json:"id"`
		}
		if err := json.Unmarshal(raw, &listed); err != nil {
			return err
		}
		var one struct {
			ID       int64     `json:"id"`
			Name     string    `json:"name"` // of the workflow; it may have none
			SHA      string    `json:"sha"`
			Ref      string    `json:"ref"`
			Status   string    `json:"status"`
			Duration int64     `json:"duration"`
			Finished time.Time `json:"finished_at"`
		}
		if err := g.get(ctx, at+"/pipelines/"+strconv.FormatInt(listed.ID, 10), nil, &one); err != nil {
			if isGone(err) { // deleted since it was listed
				return nil
			}
			return err
		}
		if g.within(one.Finished) {
			p.gitlab("Pipeline Hook", project, map[string]any{"object_kind": "pipeline", "object_attributes": map[string]any{
				"id": one.ID, "name": one.Name, "sha": one.SHA, "ref": one.Ref, "status": one.Status, "duration": one.Duration, "finished_at": one.Finished,
			}})
		}
		return nil
	})
}

// jobs reads them by the page, the latest first.
func (g *gitLab) jobs(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	query := gitLabList{PerPage: 100, Page: 1, Scopes: []string{"success", "failed", "canceled"}}
	return g.paged(ctx, at+"/jobs", query, cursor, turn, func(raw json.RawMessage, p *page) (bool, error) {
		var j struct {
			ID       int64     `json:"id"`
			Name     string    `json:"name"`
			Status   string    `json:"status"`
			Created  time.Time `json:"created_at"`
			Started  time.Time `json:"started_at"`
			Finished time.Time `json:"finished_at"`
			Commit   struct {
				ID string `json:"id"`
			} `json:"commit"`
		}
		if err := json.Unmarshal(raw, &j); err != nil {
			return false, err
		}
		if g.within(j.Finished) {
			body := map[string]any{
				"object_kind": "build", "build_id": j.ID, "build_name": j.Name, "build_status": j.Status, "sha": j.Commit.ID,
				"build_finished_at": j.Finished, "repository": map[string]string{"homepage": project.WebURL},
			}
			if !j.Started.IsZero() {
				body["build_started_at"] = j.Started
			}
			p.gitlab("Job Hook", project, body)
		}
		return !j.Created.Before(g.From), nil
	})
}

// releases reads them by the page, the latest first.
func (g *gitLab) releases(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	query := gitLabList{PerPage: 100, Page: 1, OrderBy: "released_at", Sort: "desc"}
	return g.paged(ctx, at+"/releases", query, cursor, turn, func(raw json.RawMessage, p *page) (bool, error) {
		var r struct {
			Tag      string    `json:"tag_name"`
			Name     string    `json:"name"`
			Created  time.Time `json:"created_at"`
			Released time.Time `json:"released_at"`
			Commit   struct {
				ID string `json:"id"`
			} `json:"commit"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return false, err
		}
		if g.within(r.Released) {
			p.gitlab("Release Hook", project, map[string]any{
				"object_kind": "release", "action": "create", "tag": r.Tag, "name": r.Name, "created_at": r.Created, "released_at": r.Released, "commit": r.Commit,
			})
		}
		return !r.Released.Before(g.From), nil
	})
}

// paged reads a list page by page, whose cursor is the number of the next.
func (g *gitLab) paged(ctx context.Context, at string, query gitLabList, cursor string, turn func(Page) error, add func(json.RawMessage, *page) (bool, error)) error {
	if cursor != "" {
		var err error
		if query.Page, err = strconv.Atoi(cursor); err != nil {
			return err
		}
	}
	for more := true; more; {
		var all raws
		if err := g.get(ctx, at, &query, &all); err != nil {
			return err
		}
		var p page
		for _, raw := range all {
			var err error
			if more, err = add(raw, &p); err != nil {
				return err
			}
			if !more {
				break
			}
		}
		query.Page++
		if err := p.turn(strconv.Itoa(query.Page), turn); err != nil {
			return err
		}
		more = more && len(all) == query.PerPage
	}
	return nil
}

// issues reads them by their last change. Of those that have not changed since the
// beginning only what is still open is read.
func (g *gitLab) issues(ctx context.Context, project *gitLabProject, at, cursor string, turn func(Page) error) error {
	add := func(raw json.RawMessage, p *page) error { return g.issue(ctx, project, at, raw, p) }
	if last, err := time.Parse(time.RFC3339, cursor); err != nil || last.Before(g.From) {
		open := gitLabList{Scope: "all", State: "opened", UpdatedAfter: time.Unix(0, 0).UTC().Format(time.RFC3339), UpdatedBefore: g.From.UTC().Format(time.RFC3339Nano)}
		if err := g.updated(ctx, at+"/issues", open, cursor, turn, add); err != nil {
			return err
		}
		cursor = ""
	}
	return g.updated(ctx, at+"/issues", gitLabList{Scope: "all"}, cursor, turn, add)
}

type gitLabIssue struct {
	IID      int64     `json:"iid"`
	Title    string    `json:"title"`
	Type     string    `json:"type"` // ISSUE, INCIDENT
	Severity string    `json:"severity"`
	Labels   []string  `json:"labels"`
	Author   gitLabWho `json:"author"`
	Created  time.Time `json:"created_at"`
	Closed   time.Time `json:"closed_at"`
}

type gitLabWho struct {
	Username string `json:"username"`
}

// issue adds that an issue was opened and what happened to it, each with the issue
// as it was then.
func (g *gitLab) issue(ctx context.Context, project *gitLabProject, at string, raw json.RawMessage, p *page) error {
	var i gitLabIssue
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	if len(i.Labels) == 0 && !strings.EqualFold(i.Type, "incident") {
		return nil // nothing says that it is an incident
	}
	now := issue{labels: i.Labels, title: i.Title, severity: strings.ToLower(i.Severity), closed: i.Closed}
	if now.over(g.From) || !i.Created.Before(g.Until) {
		return nil
	}
	changes, err := g.changes(ctx, at+"/issues/"+strconv.FormatInt(i.IID, 10))
	if err != nil {
		return err
	}
	for n, moment := range now.life(i.Created, i.Author.Username, changes) {
		if n == 0 {
			p.gitlabIssue(project, &i, "open", moment.at, moment.after, nil)
		} else if moment.at.Before(g.Until) {
			p.gitlabMoment(project, &i, &moment)
		}
	}
	return nil
}

// gitlabMoment adds what webhooks say of a moment: one tells of all fields that
// were changed at once.
func (p *page) gitlabMoment(project *gitLabProject, i *gitLabIssue, m *issueMoment) {
	changed := map[string]any{}
	for _, c := range m.changes {
		switch c.what {
		case "labeled", "unlabeled":
			changed["labels"] = map[string]any{"previous": gitLabTitles(m.before.labels), "current": gitLabTitles(m.after.labels)}
		case "rated":
			changed["severity"] = map[string]string{"previous": m.before.severity, "current": m.after.severity}
		}
	}
	if len(changed) > 0 {
		p.gitlabIssue(project, i, "update", m.at, m.after, changed)
	}
	for _, c := range m.changes {
		then := m.after
		switch c.what {
		case "closed":
			then.closed = c.at
			p.gitlabIssue(project, i, "close", c.at, then, nil)
		case "reopened":
			p.gitlabIssue(project, i, "reopen", c.at, then, nil)
		}
	}
}

// gitlabIssue puts on a page what happened to an issue, which is shown as it was then.
func (p *page) gitlabIssue(project *gitLabProject, i *gitLabIssue, action string, at time.Time, then issue, changes map[string]any) {
	attributes := map[string]any{
		"iid": i.IID, "action": action, "title": then.title, "type": capital(i.Type), "severity": then.severity, "created_at": i.Created, "updated_at": at,
	}
	if !then.closed.IsZero() {
		attributes["closed_at"] = then.closed
	}
	p.gitlab("Issue Hook", project, map[string]any{
		"object_kind": "issue", "object_attributes": attributes, "labels": gitLabTitles(then.labels), "changes": changes,
	})
}

// gitLabTitles are labels as webhooks have them.
func gitLabTitles(labels []string) []map[string]string {
	titles := make([]map[string]string, len(labels))
	for n, label := range labels {
		titles[n] = map[string]string{"title": label}
	}
	return titles
}

// changes are those of an issue that its webhooks tell of, or show. GitLab has the
// labels and states in lists of their own (Resource label events, Resource state
// events of its documentation), titles and severities only in notes, in words.
// What a server doesn't have is left out.
func (g *gitLab) changes(ctx context.Context, at string) (changes []issueChange, err error) {
	var rated []issueChange
	what := map[string]string{"add": "labeled", "remove": "unlabeled", "closed": "closed", "reopened": "reopened"}
	for _, list := range [...]string{"resource_label_events", "resource_state_events", "notes"} {
		all, err := g.all(ctx, at+"/"+list)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		for _, raw := range all {
			var e struct {
				gitLabUser
				Author  gitLabWho `json:"author"` // of a note
				Action  string    `json:"action"`
				State   string    `json:"state"`
				System  bool      `json:"system"`
				Body    string    `json:"body"`
				Created time.Time `json:"created_at"`
				Label   *struct { // null: it was deleted
					Name string `json:"name"`
				} `json:"label"`
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				return nil, err
			}
			c := issueChange{at: e.Created, by: e.Author.Username, what: what[cmp.Or(e.Action, e.State)]}
			if e.User != nil {
				c.by = e.User.Username
			}
			if e.Label != nil {
				c.label = e.Label.Name
			}
			if e.System {
				c.noted(e.Body)
			}
			switch c.what {
			case "":
			case "rated":
				rated = append(rated, c)
			default:
				changes = append(changes, c)
			}
		}
	}
	return append(changes, unrated(rated)...), nil
}

var (
	gitLabRated   = regexp.MustCompile(`^changed the severity to \*\*(\w+)`)
	gitLabRenamed = regexp.MustCompile(`^changed title from \*\*(.*)\*\* to \*\*.*\*\*$`)
	gitLabMarks   = strings.NewReplacer("{-", "", "-}", "", "{+", "", "+}", "") // of what differs
)

// noted reads a system note (SystemNotes::IncidentService and ::IssuablesService
// of GitLab): of a severity it has the one after the change, of a title both.
func (c *issueChange) noted(body string) {
	if m := gitLabRated.FindStringSubmatch(body); m != nil {
		c.what, c.before = "rated", strings.ToLower(m[1])
	} else if m := gitLabRenamed.FindStringSubmatch(body); m != nil {
		c.what, c.before = "renamed", gitLabMarks.Replace(m[1])
	}
}

// unrated gives each change of severity the one before it, which notes don't have.
// What it was in the beginning nothing says.
func unrated(changes []issueChange) []issueChange {
	slices.SortStableFunc(changes, func(a, b issueChange) int { return a.at.Compare(b.at) })
	before := ""
	for n := range changes {
		changes[n].before, before = before, changes[n].before
	}
	return changes
}

// capital writes INCIDENT as webhooks do: Incident.
func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
}

package backfill

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
)

// raws is a list of objects as the API has them.
type raws = []json.RawMessage

// gitHub reads through go-github: it knows the API's address, versions and
// errors. Objects are kept as they came, since its types leave fields out.
type gitHub struct {
	Options
	client *github.Client
}

// GitHub is the plan of a back-fill of repositories, owner/name; owner/* is all
// of an owner's.
func GitHub(ctx context.Context, o Options) (Plan, error) {
	options := []github.ClientOptionsFunc{github.WithHTTPClient(o.Client), github.WithDisableRateLimitCheck()} // Limits waits
	if o.Token != "" {
		options = append(options, github.WithAuthToken(o.Token))
	}
	if o.URL != "" {
		base := strings.TrimSuffix(o.URL, "/") + "/"
		options = append(options, github.WithURLs(&base, nil))
	}
	client, err := github.NewClient(options...)
	if err != nil {
		return nil, err
	}
	g := &gitHub{o, client}
	names, err := g.repositories(ctx)
	if err != nil {
		return nil, err
	}
	var plan Plan
	for _, name := range names {
		plan = append(plan, g.sections(name)...)
	}
	return plan, nil
}

// get reads an object of the API, and the query of the page after it.
func (g *gitHub) get(ctx context.Context, path string, query url.Values, into any) (next url.Values, err error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	request, err := g.client.NewRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	reply, err := g.client.Do(request, into)
	if err != nil {
		switch {
		case reply == nil || reply.Response == nil || ctx.Err() != nil:
		case reply.StatusCode == http.StatusOK:
			err = fmt.Errorf("%s does not answer as GitHub does: %w", request.URL, err)
		default:
			err = asMissing(reply.StatusCode, err)
		}
		return nil, err
	}
	return nextQuery(reply.Header.Get("Link")), nil
}

// nextQuery is the query of the link to the next page (RFC 8288), nil on the
// last. Its host is not looked at: the token goes to nobody else.
func nextQuery(link string) url.Values {
	for part := range strings.SplitSeq(link, ",") {
		address, parameters, _ := strings.Cut(part, ";")
		if !strings.Contains(parameters, `rel="next"`) {
			continue
		}
		if u, err := url.Parse(strings.Trim(strings.TrimSpace(address), "<>")); err == nil {
			return u.Query()
		}
	}
	return nil
}

// each hands over every object of a list. do says whether to go on.
func (g *gitHub) each(ctx context.Context, path string, query url.Values, do func(raw json.RawMessage) (bool, error)) error {
	for query != nil {
		var all raws
		next, err := g.get(ctx, path, query, &all)
		if err != nil {
			return err
		}
		for _, raw := range all {
			if more, err := do(raw); err != nil || !more {
				return err
			}
		}
		query = next
	}
	return nil
}

func (g *gitHub) all(ctx context.Context, path string) (all raws, err error) {
	err = g.each(ctx, path, url.Values{"per_page": {"100"}}, func(raw json.RawMessage) (bool, error) {
		all = append(all, raw)
		return true, nil
	})
	return all, err
}

func (g *gitHub) repositories(ctx context.Context) (names []string, err error) {
	for _, name := range g.Names {
		owner, repository, found := strings.Cut(name, "/")
		if !found || owner == "" || repository == "" || strings.Contains(repository, "/") {
			return nil, fmt.Errorf("want OWNER/NAME, or OWNER/* for all of an owner's, have %q", name)
		}
		if repository != "*" {
			names = append(names, name)
			continue
		}
		all, err := g.all(ctx, "orgs/"+url.PathEscape(owner)+"/repos")
		if isMissing(err) { // a person's
			all, err = g.all(ctx, "users/"+url.PathEscape(owner)+"/repos")
		}
		if err != nil {
			return nil, err
		}
		for _, raw := range all {
			var one struct {
				FullName string `json:"full_name"`
			}
			if err := json.Unmarshal(raw, &one); err != nil {
				return nil, err
			}
			names = append(names, one.FullName)
		}
	}
	return names, nil
}

// gitHubRepository is what webhooks and their readers need to know of one.
type gitHubRepository struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	FullName      string `json:"full_name"`
	HTMLURL       string `json:"html_url"`
	DefaultBranch string `json:"default_branch"`
}

func (g *gitHub) sections(name string) Plan {
	owner, repository, _ := strings.Cut(name, "/")
	at := "repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repository)
	var known *gitHubRepository // read once, by whichever section comes first
	section := func(what string, read func(context.Context, *gitHubRepository, string, string, func(Page) error) error) Section {
		return Section{name + " " + what, func(ctx context.Context, cursor string, turn func(Page) error) error {
			if known == nil {
				var r gitHubRepository
				if _, err := g.get(ctx, at, nil, &r); err != nil {
					return err
				}
				known = &r
			}
			return read(ctx, known, at, cursor, turn)
		}}
	}
	plan := Plan{
		section("deployments", g.deployments), section("changes and issues", g.issues),
		section("pushes", g.pushes), section("workflow runs", g.runs), section("releases", g.releases),
	}
	for _, kind := range []string{"code-scanning", "dependabot", "secret-scanning"} {
		plan = append(plan, section(kind+" alerts", g.alerts(kind)))
	}
	return plan
}

// add puts an event of GitHub on a page.
func (p *page) github(event string, r *gitHubRepository, body map[string]any) {
	body["repository"] = r
	p.add("github", body, "x-github-event", event)
}

// issues reads pull requests and issues, which are one list, by the time of
// their last change: what changes meanwhile comes again at the end. Of those that
// have not changed since the beginning only what is still open is read.
func (g *gitHub) issues(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
	begin := g.From.UTC().Format(time.RFC3339)
	cursor = cmp.Or(cursor, time.Unix(0, 0).UTC().Format(time.RFC3339))
	seen := map[int64]string{} // of the moment of the cursor: id → last change
	for number := 1; ; {
		state := "all"
		if cursor < begin {
			state = "open"
		}
		var all raws
		query := url.Values{"state": {state}, "sort": {"updated"}, "direction": {"asc"}, "since": {cursor}, "per_page": {"100"}, "page": {strconv.Itoa(number)}}
		if _, err := g.get(ctx, at+"/issues", query, &all); err != nil {
			return err
		}
		var p page
		last, more := cursor, len(all) == 100
		for _, raw := range all {
			var issue gitHubIssue
			if err := json.Unmarshal(raw, &issue); err != nil {
				return err
			}
			if state == "open" && issue.Updated >= begin {
				more = false
				break
			}
			if last = issue.Updated; seen[issue.ID] == issue.Updated {
				continue
			}
			seen[issue.ID] = issue.Updated
			if err := g.issue(ctx, r, at, raw, &issue, &p); err != nil {
				return err
			}
		}
		if !more && state == "open" {
			last, more = begin, true
		}
		if err := p.turn(last, turn); err != nil || !more {
			return err
		}
		if last == cursor { // a page of one moment
			number++
			continue
		}
		cursor, number = last, 1
		for id, updated := range seen {
			if updated != last {
				delete(seen, id)
			}
		}
	}
}

type gitHubIssue struct {
	ID      int64     `json:"id"`
	Number  int       `json:"number"`
	Title   string    `json:"title"`
	User    gitHubWho `json:"user"`
	Created time.Time `json:"created_at"`
	Updated string    `json:"updated_at"`
	Closed  time.Time `json:"closed_at"`
	Pull    *struct {
		Merged time.Time `json:"merged_at"`
	} `json:"pull_request"`
	Labels []gitHubLabel   `json:"labels"`
	Type   json.RawMessage `json:"type"`
}

type gitHubWho struct {
	Login string `json:"login"`
}

type gitHubLabel struct {
	Name string `json:"name"`
}

func (g *gitHub) issue(ctx context.Context, r *gitHubRepository, at string, raw json.RawMessage, i *gitHubIssue, p *page) error {
	if i.Pull != nil {
		if !g.within(i.Pull.Merged) {
			return nil
		}
		return g.pull(ctx, r, at+"/pulls/"+strconv.Itoa(i.Number), p)
	}
	if len(i.Labels) == 0 && (len(i.Type) == 0 || string(i.Type) == "null") {
		return nil // nothing says that it is an incident
	}
	now := issue{title: i.Title, closed: i.Closed}
	for _, label := range i.Labels {
		now.labels = append(now.labels, label.Name)
	}
	if now.over(g.From) || !i.Created.Before(g.Until) {
		return nil
	}
	changes, err := g.changes(ctx, at+"/issues/"+strconv.Itoa(i.Number)+"/events")
	if err != nil {
		return err
	}
	for n, moment := range now.life(i.Created, i.User.Login, changes) {
		if n == 0 {
			if err := p.githubIssue(r, "opened", "", raw, moment.at, moment.after); err != nil {
				return err
			}
		}
		for _, c := range moment.changes {
			if c.what == "renamed" || !c.at.Before(g.Until) {
				continue
			}
			shown := moment.after
			if c.what == "closed" {
				shown.closed = c.at
			}
			if err := p.githubIssue(r, c.what, c.label, raw, c.at, shown); err != nil {
				return err
			}
		}
	}
	return nil
}

// changes are those of an issue that its webhooks tell of, or show. None where a
// server has no such list.
func (g *gitHub) changes(ctx context.Context, at string) ([]issueChange, error) {
	all, err := g.all(ctx, at)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var changes []issueChange
	for _, raw := range all {
		var e struct {
			Event   string      `json:"event"`
			Created time.Time   `json:"created_at"`
			Actor   gitHubWho   `json:"actor"`
			Label   gitHubLabel `json:"label"`
			Rename  struct {
				From string `json:"from"`
			} `json:"rename"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		if slices.Contains([]string{"labeled", "unlabeled", "renamed", "closed", "reopened"}, e.Event) {
			changes = append(changes, issueChange{at: e.Created, by: e.Actor.Login, what: e.Event, label: e.Label.Name, before: e.Rename.From})
		}
	}
	return changes, nil
}

// githubIssue puts on a page what happened to an issue, which is shown as it was then.
func (p *page) githubIssue(r *gitHubRepository, action, label string, raw json.RawMessage, at time.Time, then issue) error {
	var now map[string]json.RawMessage
	if err := json.Unmarshal(raw, &now); err != nil {
		return err
	}
	delete(now, "closed_by") // a webhook doesn't say it
	fields := map[string]any{}
	for name, value := range now {
		fields[name] = value
	}
	labels := []gitHubLabel{}
	for _, name := range then.labels {
		labels = append(labels, gitHubLabel{name})
	}
	fields["labels"], fields["title"], fields["updated_at"] = labels, then.title, at
	fields["state"], fields["closed_at"] = "open", nil
	if !then.closed.IsZero() {
		fields["state"], fields["closed_at"] = "closed", then.closed
	}
	body := map[string]any{"action": action, "issue": fields}
	if label != "" {
		body["label"] = gitHubLabel{label}
	}
	p.github("issues", r, body)
	return nil
}

// without is an object without a field.
func without(raw json.RawMessage, field string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	delete(fields, field)
	return json.Marshal(fields)
}

// pull reads a merged pull request, with its commits, paths and reviews.
func (g *gitHub) pull(ctx context.Context, r *gitHubRepository, at string, p *page) error {
	var pull json.RawMessage
	if _, err := g.get(ctx, at, nil, &pull); err != nil {
		if isGone(err) {
			return nil
		}
		return err
	}
	commits, err := g.all(ctx, at+"/commits")
	if err != nil {
		return err
	}
	files, err := g.all(ctx, at+"/files")
	if err != nil {
		return err
	}
	reviews, err := g.all(ctx, at+"/reviews")
	if err != nil {
		return err
	}
	paths, err := slim[struct {
		Filename string `json:"filename"`
		Previous string `json:"previous_filename,omitempty"`
	}](files) // without patches: they may be megabytes
	if err != nil {
		return err
	}
	p.github("pull_request", r, map[string]any{"action": "closed", "pull_request": pull, "commits": commits, "files": paths})
	for _, review := range reviews {
		p.github("pull_request_review", r, map[string]any{"action": "submitted", "review": review, "pull_request": pull})
	}
	return nil
}

func slim[T any](all raws) ([]T, error) {
	out := make([]T, len(all))
	for i, raw := range all {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type gitHubDeployment struct {
	ID          int64     `json:"id"`
	Environment string    `json:"environment"`
	Created     time.Time `json:"created_at"`
}

// deploymentsCursor is a page, and which environments pages before it had; once
// all are read, of which of them the last before the beginning is still to find.
type deploymentsCursor struct {
	Page         int      `json:"page"`
	Environments []string `json:"environments"`
	Before       bool     `json:"before,omitempty"`
}

// turn hands a page over with this place in the list.
func (c *deploymentsCursor) turn(p *page, turn func(Page) error) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return p.turn(string(text), turn)
}

func (c *deploymentsCursor) add(environment string) {
	if environment != "" && !slices.Contains(c.Environments, environment) {
		c.Environments = append(c.Environments, environment)
	}
}

// deployments reads deployments with their statuses, the latest first, and of
// each environment the last that succeeded before the beginning.
func (g *gitHub) deployments(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
	where := deploymentsCursor{Page: 1}
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &where); err != nil {
			return err
		}
	}
	for more := !where.Before; more; {
		var all raws
		if _, err := g.get(ctx, at+"/deployments", url.Values{"per_page": {"100"}, "page": {strconv.Itoa(where.Page)}}, &all); err != nil {
			return err
		}
		more = len(all) == 100
		var p page
		for _, raw := range all {
			var d gitHubDeployment
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			if d.Created.Before(g.From) {
				more = false
				break
			}
			where.add(d.Environment)
			if d.Created.Before(g.Until) {
				if _, err := g.deployment(ctx, r, at, raw, &d, false, &p); err != nil {
					return err
				}
			}
		}
		if more {
			where.Page++
		} else {
			if err := g.environments(ctx, at, where.add); err != nil {
				return err
			}
			where.Before = true
		}
		if err := where.turn(&p, turn); err != nil {
			return err
		}
	}
	for len(where.Environments) > 0 {
		var p page
		if err := g.before(ctx, r, at, where.Environments[0], &p); err != nil {
			return err
		}
		where.Environments = where.Environments[1:]
		if err := where.turn(&p, turn); err != nil {
			return err
		}
	}
	return nil
}

// environments finds those that nothing was deployed to of late too: GitHub lists
// them, but not of every repository; then its deployments name them.
func (g *gitHub) environments(ctx context.Context, at string, add func(string)) error {
	query := url.Values{"per_page": {"100"}}
	for query != nil {
		var answer struct {
			Environments []struct {
				Name string `json:"name"`
			} `json:"environments"`
		}
		next, err := g.get(ctx, at+"/environments", query, &answer)
		if isMissing(err) {
			break
		}
		if err != nil {
			return err
		}
		for _, e := range answer.Environments {
			add(e.Name)
		}
		if query = next; query == nil {
			return nil
		}
	}
	return g.each(ctx, at+"/deployments", url.Values{"per_page": {"100"}}, func(raw json.RawMessage) (bool, error) {
		var d gitHubDeployment
		err := json.Unmarshal(raw, &d)
		add(d.Environment)
		return true, err
	})
}

// before finds the last deployment in an environment that succeeded before the
// beginning, among the hundred before it.
func (g *gitHub) before(ctx context.Context, r *gitHubRepository, at, environment string, p *page) error {
	looked := 0
	return g.each(ctx, at+"/deployments", url.Values{"environment": {environment}, "per_page": {"100"}}, func(raw json.RawMessage) (bool, error) {
		var d gitHubDeployment
		if err := json.Unmarshal(raw, &d); err != nil {
			return false, err
		}
		if !d.Created.Before(g.From) {
			return true, nil
		}
		looked++
		found, err := g.deployment(ctx, r, at, raw, &d, true, p)
		return !found && looked < 100, err
	})
}

// deployment adds a deployment and its statuses, the oldest first; if it has to
// have succeeded, only where it has.
func (g *gitHub) deployment(ctx context.Context, r *gitHubRepository, at string, raw json.RawMessage, d *gitHubDeployment, succeeded bool, p *page) (bool, error) {
	statuses, err := g.all(ctx, at+"/deployments/"+strconv.FormatInt(d.ID, 10)+"/statuses")
	if isGone(err) { // deleted since it was listed
		return false, nil
	}
	if err != nil {
		return false, err
	}
	read, err := slim[struct {
		State string `json:"state"`
	}](statuses)
	if err != nil {
		return false, err
	}
	if succeeded && !slices.ContainsFunc(read, func(s struct {
		State string `json:"state"`
	}) bool {
		return s.State == "success"
	}) {
		return false, nil
	}
	p.github("deployment", r, map[string]any{"action": "created", "deployment": raw})
	slices.Reverse(statuses) // the API has the latest first
	for _, status := range statuses {
		p.github("deployment_status", r, map[string]any{"action": "created", "deployment": raw, "deployment_status": status})
	}
	return true, nil
}

// runs reads workflow runs by the day that they began: of one question the API
// lists no more than a thousand, so a day of more is asked for in parts.
func (g *gitHub) runs(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
	from := g.From.UTC().Truncate(time.Second)
	if cursor != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, cursor); err != nil {
			return err
		}
	}
	for span := 24 * time.Hour; from.Before(g.Until); {
		to := minTime(from.Add(span), g.Until)
		query := url.Values{"created": {from.Format(time.RFC3339) + ".." + to.Add(-time.Second).UTC().Format(time.RFC3339)}, "status": {"completed"}, "per_page": {"100"}}
		var p page
		tooMany := false
		for query != nil {
			var answer struct {
				Total int  `json:"total_count"`
				Runs  raws `json:"workflow_runs"`
			}
			next, err := g.get(ctx, at+"/actions/runs", query, &answer)
			if err != nil {
				return err
			}
			if tooMany = answer.Total >= 1000 && span > time.Minute; tooMany {
				break
			}
			for _, run := range answer.Runs {
				if err := g.run(ctx, r, at, run, &p); err != nil {
					return err
				}
			}
			query = next
		}
		if tooMany {
			span /= 4
			continue
		}
		if err := p.turn(to.UTC().Format(time.RFC3339), turn); err != nil {
			return err
		}
		from, span = to, min(span*2, 24*time.Hour)
	}
	return nil
}

// run adds every attempt of a run; the list has the last.
func (g *gitHub) run(ctx context.Context, r *gitHubRepository, at string, raw json.RawMessage, p *page) error {
	var run struct {
		ID      int64 `json:"id"`
		Attempt int   `json:"run_attempt"`
	}
	if err := json.Unmarshal(raw, &run); err != nil {
		return err
	}
	for attempt := 1; attempt < run.Attempt; attempt++ {
		var earlier json.RawMessage
		_, err := g.get(ctx, fmt.Sprintf("%s/actions/runs/%d/attempts/%d", at, run.ID, attempt), nil, &earlier)
		if isMissing(err) { // older than the logs are kept
			continue
		}
		if err != nil {
			return err
		}
		p.github("workflow_run", r, map[string]any{"action": "completed", "workflow_run": earlier})
	}
	p.github("workflow_run", r, map[string]any{"action": "completed", "workflow_run": raw})
	return nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// releases reads them by the page, the latest first.
func (g *gitHub) releases(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
	return g.paged(ctx, at+"/releases", url.Values{"per_page": {"100"}}, cursor, turn, func(raw json.RawMessage, p *page) (bool, error) {
		var release struct {
			Created   time.Time `json:"created_at"`
			Published time.Time `json:"published_at"`
			Pre       bool      `json:"prerelease"`
		}
		if err := json.Unmarshal(raw, &release); err != nil {
			return false, err
		}
		if g.within(release.Published) {
			p.github("release", r, map[string]any{"action": "published", "release": raw})
		}
		// They are in the order of their tags' commits, and may be published later.
		return release.Created.After(g.From.Add(-90 * 24 * time.Hour)), nil
	})
}

// paged reads a list page by page, whose cursor is the query of the next.
func (g *gitHub) paged(ctx context.Context, at string, query url.Values, cursor string, turn func(Page) error, add func(json.RawMessage, *page) (bool, error)) error {
	if cursor != "" {
		var err error
		if query, err = url.ParseQuery(cursor); err != nil {
			return err
		}
	}
	for more := true; more && query != nil; {
		var all raws
		next, err := g.get(ctx, at, query, &all)
		if err != nil {
			return err
		}
		var p page
		for _, raw := range all {
			if more, err = add(raw, &p); err != nil {
				return err
			}
			if !more {
				break
			}
		}
		if err := p.turn(next.Encode(), turn); err != nil {
			return err
		}
		query = next
	}
	return nil
}

// gitHubAlert is when something happened to an alert.
type gitHubAlert struct {
	Number        int64     `json:"number"`
	State         string    `json:"state"`
	Created       time.Time `json:"created_at"`
	Updated       time.Time `json:"updated_at"`
	Fixed         time.Time `json:"fixed_at"`
	Dismissed     time.Time `json:"dismissed_at"`
	AutoDismissed time.Time `json:"auto_dismissed_at"`
	Resolved      time.Time `json:"resolved_at"`
}

// alertsCursor is where the reading of alerts is.
type alertsCursor struct {
	Query string    `json:"query"` // of the next page
	Since time.Time `json:"since"` // to whose last change it goes
	Top   time.Time `json:"top"`   // the last change of the first that it has read
}

// alerts reads those of a scanner, by their last change, the latest first: there
// is no asking for those that have changed since. One that changes meanwhile moves
// to the top, maybe before it was read, so what has changed since is read again
// from there, until nothing has. Of those that have not changed since the
// beginning only what is still open counts, so the first time goes to the end.
func (g *gitHub) alerts(kind string) func(context.Context, *gitHubRepository, string, string, func(Page) error) error {
	event := strings.ReplaceAll(kind, "-", "_") + "_alert"
	return func(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
		first := url.Values{"sort": {"updated"}, "direction": {"desc"}, "per_page": {"100"}}
		if kind == "secret-scanning" {
			first.Set("hide_secret", "true")
		}
		where := alertsCursor{Query: first.Encode(), Since: g.From}
		if cursor != "" {
			if err := json.Unmarshal([]byte(cursor), &where); err != nil {
				return err
			}
		}
		seen := map[int64]time.Time{} // number → last change
		for {
			query, err := url.ParseQuery(where.Query)
			if err != nil {
				return err
			}
			var all raws
			next, err := g.get(ctx, at+"/"+kind+"/alerts", query, &all)
			if err != nil {
				return err
			}
			var p page
			more := next != nil
			for _, raw := range all {
				raw, err := without(raw, "secret") // whatever a server makes of hide_secret
				if err != nil {
					return err
				}
				var a gitHubAlert
				if err := json.Unmarshal(raw, &a); err != nil {
					return err
				}
				if where.Top.IsZero() {
					where.Top = a.Updated
				}
				if a.Updated.Before(where.Since) && !a.Updated.IsZero() {
					if !where.Since.Equal(g.From) {
						more = false
						break
					}
					if a.State != "open" {
						continue
					}
				}
				if then, known := seen[a.Number]; !known || !then.Equal(a.Updated) {
					seen[a.Number] = a.Updated
					g.alert(event, r, raw, &a, &p)
				}
			}
			done := false
			switch {
			case more:
				where.Query = next.Encode()
			case where.Top.After(where.Since):
				where = alertsCursor{Query: first.Encode(), Since: where.Top}
			default:
				done = true
			}
			text, err := json.Marshal(where)
			if err != nil {
				return err
			}
			if err := p.turn(string(text), turn); err != nil || done {
				return err
			}
		}
	}
}

// alert adds what happened to an alert in the time that is asked for.
func (g *gitHub) alert(event string, r *gitHubRepository, raw json.RawMessage, a *gitHubAlert, p *page) {
	add := func(action string, at time.Time) {
		if g.within(at) {
			p.github(event, r, map[string]any{"action": action, "alert": raw})
		}
	}
	dismissed := "dismissed"
	if event == "code_scanning_alert" {
		dismissed = "closed_by_user"
	}
	if a.Created.Before(g.From) && (a.State == "open" || a.ends(g)) { // what is open, or ends, has to have begun
		p.github(event, r, map[string]any{"action": "created", "alert": raw})
	}
	add("created", a.Created)
	add("fixed", a.Fixed)
	add(dismissed, a.Dismissed)
	add("auto_dismissed", a.AutoDismissed)
	add("resolved", a.Resolved)
}

// ends tells whether an alert was open at the beginning and is not any more.
func (a *gitHubAlert) ends(g *gitHub) bool {
	return slices.ContainsFunc([]time.Time{a.Fixed, a.Dismissed, a.AutoDismissed, a.Resolved}, func(at time.Time) bool {
		return !at.IsZero() && !at.Before(g.From)
	})
}

// pushes reads those to the default branch that merged no pull request, from the
// repository's activity: the same pushes that webhooks told of, with the same
// commits. GitHub keeps activity for a year at most.
func (g *gitHub) pushes(ctx context.Context, r *gitHubRepository, at, cursor string, turn func(Page) error) error {
	period := "year"
	if g.Until.Sub(g.From) < 89*24*time.Hour {
		period = "quarter"
	}
	query := url.Values{"ref": {"refs/heads/" + r.DefaultBranch}, "time_period": {period}, "direction": {"desc"}, "per_page": {"100"}}
	return g.paged(ctx, at+"/activity", query, cursor, turn, func(raw json.RawMessage, p *page) (bool, error) {
		var push struct {
			Before    string    `json:"before"`
			After     string    `json:"after"`
			Ref       string    `json:"ref"`
			Timestamp time.Time `json:"timestamp"`
			Type      string    `json:"activity_type"`
		}
		if err := json.Unmarshal(raw, &push); err != nil {
			return false, err
		}
		if push.Timestamp.Before(g.From) {
			return false, nil
		}
		if !g.within(push.Timestamp) || push.Type != "push" && push.Type != "force_push" {
			return true, nil
		}
		commits, err := g.compared(ctx, at, push.Before, push.After)
		if err != nil || len(commits) == 0 {
			return true, err
		}
		p.github("push", r, map[string]any{"ref": push.Ref, "before": push.Before, "after": push.After, "commits": commits, "head_commit": commits[len(commits)-1]})
		return true, nil
	})
}

// compared are the commits that a push brought, as a webhook has them, the oldest
// first. Of a history that was thrown away since there are none.
func (g *gitHub) compared(ctx context.Context, at, before, after string) ([]any, error) {
	var commits []any
	query := url.Values{"per_page": {"100"}}
	for query != nil {
		var answer struct {
			Commits []github.RepositoryCommit `json:"commits"`
		}
		next, err := g.get(ctx, at+"/compare/"+before+"..."+after, query, &answer)
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range answer.Commits {
			commit, err := g.commit(ctx, at, answer.Commits[i].GetSHA())
			if err != nil {
				return nil, err
			}
			commits = append(commits, commit)
		}
		query = next
	}
	return commits, nil
}

func (g *gitHub) commit(ctx context.Context, at, sha string) (any, error) {
	var c github.RepositoryCommit
	if _, err := g.get(ctx, at+"/commits/"+sha, nil, &c); err != nil {
		return nil, err
	}
	lists := map[string][]string{}
	for _, f := range c.Files {
		switch f.GetStatus() {
		case "renamed":
			lists["removed"] = append(lists["removed"], f.GetPreviousFilename())
			lists["added"] = append(lists["added"], f.GetFilename())
		case "added", "removed":
			lists[f.GetStatus()] = append(lists[f.GetStatus()], f.GetFilename())
		default:
			lists["modified"] = append(lists["modified"], f.GetFilename())
		}
	}
	return map[string]any{
		"id": c.GetSHA(), "message": c.GetCommit().GetMessage(), "timestamp": c.GetCommit().GetCommitter().GetDate().Format(time.RFC3339),
		"author": map[string]string{"name": c.GetCommit().GetAuthor().GetName(), "username": c.GetAuthor().GetLogin()},
		"added":  lists["added"], "modified": lists["modified"], "removed": lists["removed"],
	}, nil
}

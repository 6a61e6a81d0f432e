package backfill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gitHubWorld is a repository, acme/shop, in the shape of the REST API.
type gitHubWorld struct {
	open         []object // by their last change, before the beginning
	issues       []object // by their last change
	deployments  []object // the latest first
	environments []object // nil: it has no list of them
	runs         []object
}

func newGitHubWorld() *gitHubWorld {
	w := &gitHubWorld{}
	for i := range 230 { // changed a third of a day apart, the first 10 before the beginning
		day := float64(i-10) / 3
		issue := object{"id": i + 1, "number": i + 1, "created_at": at(day - 5), "updated_at": at(day), "closed_at": at(day - 0.1), "labels": []object{}}
		switch {
		case i%10 == 0:
			issue["labels"] = []object{{"name": "incident"}}
		case i%10 == 5: // closed, not merged
			issue["pull_request"] = object{"merged_at": nil}
		default:
			issue["pull_request"] = object{"merged_at": at(day - 0.1)}
		}
		w.issues = append(w.issues, issue)
	}
	for i := range 250 { // an hour apart
		day := -30 + float64(i)/24
		w.open = append(w.open, object{"id": 1001 + i, "number": 1001 + i, "created_at": at(day - 5), "updated_at": at(day), "closed_at": nil, "labels": []object{{"name": "incident"}}})
	}
	for i := range 150 {
		day := 89.5 - float64(i)*0.75 // the last 30 before the beginning
		w.deployments = append(w.deployments, object{
			"id": 1000 - i, "sha": fmt.Sprintf("%040x", i), "environment": []string{"production", "staging"}[i%2], "original_environment": "kept",
			"created_at": at(day), "updated_at": at(day),
		})
	}
	for i := range 3 { // 700 has failed
		w.deployments = append(w.deployments, object{"id": 700 - i, "sha": fmt.Sprintf("%040x", i), "environment": "archive", "created_at": at(-40 - float64(i))})
	}
	for i := range 120 { // nothing was ever deployed to most
		w.environments = append(w.environments, object{"name": fmt.Sprint("review-", i)})
	}
	w.environments = append(w.environments, object{"name": "production"}, object{"name": "archive"})
	for i := range 1500 { // in the first two days, nine an hour apart from each other
		w.runs = append(w.runs, object{"id": 5000 + i, "name": "CI", "status": "completed", "conclusion": "success", "created_at": from.Add(time.Duration(i) * 100 * time.Second).Format(time.RFC3339)})
	}
	return w
}

func (w *gitHubWorld) answer(r *http.Request) (any, http.Header) {
	if r.Header.Get("Authorization") != "Bearer secret" {
		return http.StatusUnauthorized, nil
	}
	query := r.URL.Query()
	path := strings.TrimPrefix(r.URL.Path, "/repos/acme/shop")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "":
		return object{"id": 1, "name": "shop", "full_name": "acme/shop", "html_url": "https://github.com/acme/shop", "default_branch": "main"}, nil
	case path == "/issues":
		since := slices.DeleteFunc(slices.Concat(w.open, w.issues), func(o object) bool {
			return o["updated_at"].(string) < query.Get("since") || query.Get("state") == "open" && o["closed_at"] != nil
		})
		return part(r, since)
	case parts[0] == "pulls" && len(parts) == 2:
		number, _ := strconv.Atoi(parts[1])
		return object{"number": number, "merged_at": w.issues[number-1]["pull_request"].(object)["merged_at"], "merge_commit_sha": "m" + parts[1], "title": "one"}, nil
	case parts[0] == "pulls" && parts[2] == "commits":
		return part(r, []object{{"sha": "c" + parts[1]}})
	case parts[0] == "pulls" && parts[2] == "files":
		return part(r, []object{{"filename": "services/x.go", "patch": strings.Repeat("+", 10_000)}})
	case parts[0] == "pulls" && parts[2] == "reviews":
		return part(r, []object{})
	case path == "/deployments":
		some := slices.DeleteFunc(slices.Clone(w.deployments), func(o object) bool {
			return query.Get("environment") != "" && o["environment"] != query.Get("environment")
		})
		return part(r, some)
	case parts[0] == "deployments" && parts[2] == "statuses":
		id, _ := strconv.Atoi(parts[1])
		last := "success"
		if id%5 == 0 {
			last = "failure"
		}
		return part(r, []object{{"id": id*10 + 1, "state": last}, {"id": id * 10, "state": "in_progress"}})
	case path == "/environments" && w.environments != nil:
		page, h := part(r, w.environments)
		return object{"total_count": len(w.environments), "environments": page}, h
	case path == "/actions/runs":
		begin, end, _ := strings.Cut(query.Get("created"), "..")
		some := slices.DeleteFunc(slices.Clone(w.runs), func(o object) bool { return o["created_at"].(string) < begin || o["created_at"].(string) > end })
		total := min(len(some), 1000) // of one question
		some, h := some[:total], http.Header(nil)
		var page any
		page, h = part(r, some)
		return object{"total_count": total, "workflow_runs": page}, h
	case path == "/activity":
		return part(r, []object{})
	case path == "/releases":
		return part(r, []object{{"id": 7, "tag_name": "v1", "created_at": at(3), "published_at": at(4)}, {"id": 6, "tag_name": "v0", "created_at": at(-3), "published_at": at(-3)}})
	case path == "/dependabot/alerts":
		return part(r, []object{
			{"number": 2, "created_at": at(10), "updated_at": at(20), "fixed_at": at(20)},
			{"number": 1, "created_at": at(-10), "updated_at": at(15), "dismissed_at": at(15)},
			{"number": 5, "state": "fixed", "created_at": at(-30), "updated_at": at(-20), "fixed_at": at(-20)},
			{"number": 4, "state": "open", "created_at": at(-200), "updated_at": at(-100)},
			{"number": 3, "state": "dismissed", "created_at": at(-200), "updated_at": at(-150), "dismissed_at": at(-150)},
		})
	case path == "/code-scanning/alerts":
		return http.StatusNotFound, nil
	case path == "/secret-scanning/alerts":
		return http.StatusForbidden, nil
	}
	return http.StatusNotFound, nil
}

// planOf is what a tool's plan is for one repository.
func planOf(t *testing.T, of func(context.Context, Options) (Plan, error), o Options) Plan {
	t.Helper()
	o.Names = []string{"acme/shop"}
	plan, err := of(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func only(plan Plan, section string) Plan {
	return slices.DeleteFunc(slices.Clone(plan), func(s Section) bool { return !strings.HasSuffix(s.Name, section) })
}

func TestGitHubsPullRequestsAndIncidentsOfTheTimeAreReadOnceEach(t *testing.T) {
	p := &player{handler: newGitHubWorld().answer}
	records := all(t, only(planOf(t, GitHub, p.play(t)), "changes and issues"))
	seen := map[string]int{}
	for _, line := range lines(t, records, "action", "pull_request.number", "issue.number") {
		seen[line]++
		if seen[line] > 1 {
			t.Errorf("%s twice", line)
		}
	}
	merged := 0
	for i := 11; i < 230; i++ { // number i+1; the 10th was merged before the beginning, and changed after it
		if i%10 != 0 && i%10 != 5 {
			merged++
			if seen[fmt.Sprintf("pull_request closed %d", i+1)] != 1 {
				t.Errorf("pull request %d is missing", i+1)
			}
		}
	}
	if seen["issues opened 41"] != 1 || seen["issues closed 41"] != 1 || seen["issues opened 2"] != 0 {
		t.Errorf("issues: %v", seen)
	}
	if len(records) < merged || strings.Contains(string(records[250].Body), "++++") {
		t.Errorf("%d records of %d pull requests, %.300s", len(records), merged, records[250].Body)
	}
	for i := range 250 {
		if number := 1001 + i; seen[fmt.Sprintf("issues opened %d", number)] != 1 {
			t.Errorf("the open incident %d is missing", number)
		}
	}
	got := told(t, records[250], "repository.full_name", "pull_request.merge_commit_sha", "commits", "files")
	if want := "pull_request acme/shop m12 [map[sha:c12]] [map[filename:services/x.go]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGitHubsDeploymentsReachBackToWhatTheFirstReplaced(t *testing.T) {
	listed := newGitHubWorld()
	unlisted := newGitHubWorld()
	unlisted.environments = nil
	for name, w := range map[string]*gitHubWorld{"with a list of environments": listed, "without": unlisted} {
		t.Run(name, func(t *testing.T) {
			p := &player{handler: w.answer}
			records := all(t, only(planOf(t, GitHub, p.play(t)), "deployments"))
			inside, before := 0, []string{}
			for _, line := range lines(t, records, "deployment.id", "deployment.created_at", "deployment.environment", "deployment_status.state") {
				if strings.Fields(line)[2] >= at(0) {
					inside++
				} else {
					before = append(before, line)
				}
			}
			// 120 within, each with two statuses; 880 has failed, so production's is 878.
			if inside != 120*3 {
				t.Errorf("%d events of deployments within, want 360", inside)
			}
			var want []string
			for _, d := range []string{"878 " + at(89.5-122*0.75) + " production", "879 " + at(89.5-121*0.75) + " staging", "699 " + at(-41) + " archive"} {
				want = append(want, "deployment "+d, "deployment_status "+d+" in_progress", "deployment_status "+d+" success")
			}
			slices.Sort(before)
			slices.Sort(want)
			if d := cmp.Diff(want, before); d != "" {
				t.Error(d)
			}
			if !strings.Contains(string(records[0].Body), `"original_environment":"kept"`) {
				t.Errorf("a field that go-github does not know is lost: %s", records[0].Body)
			}
		})
	}
}

func TestGitHubsRunsBeyondAThousandADayAreAllRead(t *testing.T) {
	w := newGitHubWorld()
	p := &player{handler: w.answer}
	records := all(t, only(planOf(t, GitHub, p.play(t)), "workflow runs"))
	ids := lines(t, records, "workflow_run.id")
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != len(w.runs) || len(records) != len(w.runs) {
		t.Errorf("%d of %d runs, %d records", got, len(w.runs), len(records))
	}
}

func TestGitHubsAlertsBeginAndEndAndWhatIsSwitchedOffIsLeftOut(t *testing.T) {
	p := &player{handler: newGitHubWorld().answer}
	plan := only(planOf(t, GitHub, p.play(t)), "alerts")
	state, _ := OpenState("", "", from, until)
	var records []Record
	run := &Run{Plan: plan, State: state, Publish: func(_ context.Context, some []Record) error { records = append(records, some...); return nil }}
	if err := run.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"dependabot_alert created 2", "dependabot_alert fixed 2", "dependabot_alert created 1", "dependabot_alert dismissed 1", "dependabot_alert created 4"}
	if d := cmp.Diff(want, lines(t, records, "action", "alert.number")); d != "" {
		t.Error(d)
	}
	for _, kind := range []string{"code-scanning", "secret-scanning"} {
		if p := state.Sections["acme/shop "+kind+" alerts"]; !p.Done || p.Missing == "" {
			t.Errorf("%s: %+v", kind, p)
		}
	}
}

func TestLimitsAndFailuresOfAnAPIChangeNothingOfWhatIsRead(t *testing.T) {
	calm := &player{handler: newGitHubWorld().answer}
	want := all(t, planOf(t, GitHub, calm.play(t)))
	rough := &player{handler: newGitHubWorld().answer}
	o := rough.play(t)
	for range 5 {
		rough.troubles = append(rough.troubles, everyTrouble(rough.clock.now)...)
	}
	got := all(t, planOf(t, GitHub, o))
	if d := cmp.Diff(lines(t, want, "action", "deployment", "pull_request", "issue", "workflow_run.id"), lines(t, got, "action", "deployment", "pull_request", "issue", "workflow_run.id")); d != "" {
		t.Error(d)
	}
	if len(rough.troubles) > 0 || rough.clock.total() < 5*20*time.Minute {
		t.Errorf("%d troubles left, slept %s", len(rough.troubles), rough.clock.total())
	}
}

func TestAStoppedBackfillGoesOnWhereItWasAndMissesNothing(t *testing.T) {
	calm := &player{handler: newGitHubWorld().answer}
	want := map[string]bool{}
	for _, r := range all(t, planOf(t, GitHub, calm.play(t))) {
		want[string(r.Body)] = true
	}
	p := &player{handler: newGitHubWorld().answer}
	o := p.play(t)
	path := filepath.Join(t.TempDir(), "deep", "state.json")
	got, starts := map[string]int{}, 0
	for done := false; !done; starts++ {
		if starts > 100 {
			t.Fatal("it does not end")
		}
		state, err := OpenState(path, "test", from, until.Add(time.Duration(starts)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if !state.Until.Equal(until) {
			t.Fatalf("begun until %s, goes on until %s", until, state.Until)
		}
		ctx, cancel := context.WithCancel(t.Context())
		pages := 0
		run := &Run{Plan: planOf(t, GitHub, o), State: state, Publish: func(_ context.Context, some []Record) error {
			for _, r := range some {
				got[string(r.Body)]++
			}
			if pages++; pages == 4 {
				cancel() // after what was sent, before the state says so
				return ctx.Err()
			}
			return nil
		}}
		err = run.Do(ctx)
		if done = err == nil; !done && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
	}
	if starts < 10 {
		t.Errorf("stopped only %d times", starts-1)
	}
	for body := range want {
		if got[body] == 0 {
			t.Errorf("missing: %.120s", body)
		}
	}
	for body := range got {
		if !want[body] {
			t.Errorf("too much: %.120s", body)
		}
	}
	if _, err := OpenState(path, "another", from, until); err == nil || !strings.Contains(err.Error(), "is the state of another back-fill: test") {
		t.Errorf("another's state: %v", err)
	}
}

func TestNoSecretIsPublished(t *testing.T) {
	p := &player{handler: func(r *http.Request) (any, http.Header) {
		switch r.URL.Path {
		case "/repos/acme/shop":
			return object{"full_name": "acme/shop"}, nil
		case "/repos/acme/shop/secret-scanning/alerts":
			if r.URL.Query().Get("hide_secret") == "" {
				t.Error("the secret is asked for")
			}
			return part(r, []object{{"number": 1, "secret_type": "token", "secret": "hunter2", "created_at": at(1), "updated_at": at(1)}})
		}
		return http.StatusNotFound, nil
	}}
	records := all(t, only(planOf(t, GitHub, p.play(t)), "secret-scanning alerts"))
	if len(records) != 1 || strings.Contains(string(records[0].Body), "hunter2") {
		t.Errorf("%q", records)
	}
}

func TestAllRepositoriesOfAnOwnerAndNobodyElsesToken(t *testing.T) {
	p := &player{handler: func(r *http.Request) (any, http.Header) {
		switch r.URL.Path {
		case "/users/ada/repos":
			return part(r, []object{{"full_name": "ada/a"}, {"full_name": "ada/b"}})
		}
		return http.StatusNotFound, nil
	}}
	o := p.play(t)
	o.Names = []string{"ada/*", "acme/shop"}
	plan, err := GitHub(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range plan {
		if name, found := strings.CutSuffix(s.Name, " releases"); found {
			names = append(names, name)
		}
	}
	if d := cmp.Diff([]string{"ada/a", "ada/b", "acme/shop"}, names); d != "" {
		t.Error(d)
	}
	o.Names = []string{"shop"}
	if _, err := GitHub(t.Context(), o); err == nil {
		t.Error("a name without its owner is taken")
	}
}

func TestAnAlertThatChangesWhileAlertsAreReadIsNotMissed(t *testing.T) {
	var alerts []object // the latest change first
	for i := range 250 {
		alerts = append(alerts, object{"number": i, "created_at": at(80 - float64(i)/5), "updated_at": at(80 - float64(i)/5)})
	}
	pages := 0
	p := &player{handler: func(r *http.Request) (any, http.Header) {
		switch r.URL.Path {
		case "/repos/acme/shop":
			return object{"full_name": "acme/shop"}, nil
		case "/repos/acme/shop/dependabot/alerts":
			answer, h := part(r, alerts)
			if pages++; pages <= 2 { // the last one is changed
				last := len(alerts) - 1
				changed := object{"number": alerts[last]["number"], "created_at": alerts[last]["created_at"], "updated_at": at(81 + float64(pages))}
				alerts = append([]object{changed}, alerts[:last]...)
			}
			return answer, h
		}
		return http.StatusNotFound, nil
	}}
	seen := map[string]int{}
	for _, line := range lines(t, all(t, only(planOf(t, GitHub, p.play(t)), "dependabot alerts")), "action", "alert.number") {
		seen[line]++
	}
	for i := range 250 {
		if line := fmt.Sprint("dependabot_alert created ", i); seen[line] != 1 {
			t.Errorf("%s: %d times", line, seen[line])
		}
	}
}

func TestWhatIsGoneHidesNothingThatIsThere(t *testing.T) {
	w := newGitHubWorld()
	count := func(gone string) (records int, err error) {
		p := &player{handler: func(r *http.Request) (any, http.Header) {
			if r.URL.Path == "/repos/acme/shop"+gone || gone == "a page" && r.URL.Query().Get("page") == "2" {
				return http.StatusNotFound, nil
			}
			return w.answer(r)
		}}
		state, _ := OpenState("", "", from, until)
		run := &Run{Plan: only(planOf(t, GitHub, p.play(t)), "deployments"), State: state, Publish: func(_ context.Context, some []Record) error {
			records += len(some)
			return nil
		}}
		err = run.Do(t.Context())
		return records, err
	}
	whole, err := count("nothing")
	if err != nil {
		t.Fatal(err)
	}
	if some, err := count("/deployments/995/statuses"); err != nil || some != whole-3 {
		t.Errorf("without a deployment: %d of %d, %v", some, whole, err)
	}
	if some, err := count("a page"); err == nil {
		t.Errorf("a page that can't be read is passed over: %d of %d", some, whole)
	}
}

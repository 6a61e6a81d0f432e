package backfill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gitLabWorld is a project, acme/shop, in the shape of the REST API: it has 150
// environments, one of which something was deployed to of late, and 250 incidents
// that were open long before.
func gitLabWorld(r *http.Request) (any, http.Header) {
	query := r.URL.Query()
	switch path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4/projects/acme%2Fshop"); path {
	case "":
		return object{"id": 1, "name": "shop", "path_with_namespace": "acme/shop", "web_url": "https://gitlab.com/acme/shop", "default_branch": "main"}, nil
	case "/environments":
		var all []object
		for i := range 150 {
			all = append(all, object{"id": i, "name": fmt.Sprint("site-", i)})
		}
		return part(r, all)
	case "/deployments":
		deployed := func(id int, site string, day float64) object {
			return object{"id": id, "ref": "main", "sha": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "status": "success", "created_at": at(day), "updated_at": at(day), "environment": object{"name": site}}
		}
		switch site := query.Get("environment"); {
		case site == "":
			return part(r, []object{deployed(1, "site-0", 1)})
		case query.Get("status") != "success" || query.Get("updated_before") != at(0):
			return http.StatusBadRequest, nil
		case strings.HasSuffix(site, "7"):
			return part(r, []object{deployed(100, site, -50)})
		}
		return part(r, nil)
	case "/issues":
		var all []object
		for i := range 250 {
			all = append(all, object{"id": 1000 + i, "iid": i + 1, "type": "INCIDENT", "created_at": at(-100), "updated_at": at(-50 + float64(i)/24)})
		}
		all = slices.DeleteFunc(all, func(o object) bool {
			updated := o["updated_at"].(string)
			return updated < query.Get("updated_after") || query.Get("updated_before") != "" && updated > query.Get("updated_before")
		})
		return part(r, all)
	}
	return http.StatusNotFound, nil
}

func TestGitLabsEnvironmentsWithoutADeploymentOfLateHaveTheLastBefore(t *testing.T) {
	p := &player{handler: gitLabWorld}
	got := lines(t, all(t, only(planOf(t, GitLab, p.play(t)), "deployments")), "environment", "status")
	want := []string{"Deployment Hook site-0 running", "Deployment Hook site-0 success"}
	for i := range 150 {
		if i%10 == 7 {
			want = append(want, fmt.Sprintf("Deployment Hook site-%d running", i), fmt.Sprintf("Deployment Hook site-%d success", i))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAStoppedBackfillOfGitLabGoesOnThroughLimitsAndMissesNothing(t *testing.T) {
	calm := &player{handler: gitLabWorld}
	want := map[string]bool{}
	for _, r := range all(t, planOf(t, GitLab, calm.play(t))) {
		want[string(r.Body)] = true
	}
	if len(want) < 250+2*16 {
		t.Fatalf("only %d records", len(want))
	}
	p := &player{handler: gitLabWorld}
	o := p.play(t)
	p.troubles = everyTrouble(p.clock.now)
	path := filepath.Join(t.TempDir(), "state.json")
	got := map[string]bool{}
	for starts := 0; ; starts++ {
		state, err := OpenState(path, "test", from, until)
		if err != nil || starts > 100 {
			t.Fatal(err)
		}
		pages := 0
		run := &Run{Plan: planOf(t, GitLab, o), State: state, Publish: func(_ context.Context, some []Record) error {
			for _, r := range some {
				got[string(r.Body)] = true
			}
			if pages++; pages == 4 {
				return context.Canceled // after what was sent, before the state says so
			}
			return nil
		}}
		if err = run.Do(t.Context()); err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

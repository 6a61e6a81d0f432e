package decode

import (
	"strings"
	"testing"
)

const bitbucketShop = `"repository":{"full_name":"octo/shop","mainbranch":{"name":"trunk"},"links":{"html":{"href":"https://bitbucket.org/octo/shop"}}}`

func bitbucketPushed(branch, message string) string {
	return `{` + bitbucketShop + `,"push":{"changes":[{"new":null,"old":{}},{"new":{"type":"branch","name":"` + branch + `","target":{"hash":"` + shaC + `","message":"` + message + `","date":"2026-03-01T11:00:00+01:00","author":{"raw":"Ada <ada@octo.example>"}}},
		"commits":[{"hash":"` + shaC + `","message":"` + message + `","author":{"raw":"Ada <ada@octo.example>"}},{"hash":"` + shaB + `","message":"Tidy","date":"2026-03-01T09:00:00+00:00","author":{"user":{"nickname":"bob"}}}]}]}}`
}

func TestAPushToBitbucketIsAChangeWithItsCommitsOldestFirst(t *testing.T) {
	facts, original := hooked(t, "bitbucket", bitbucketPushed("trunk", "Cache rates"), "x-event-key", "repo:push")
	becomes(t, facts, `change.merged 2026-03-01T10:00:00Z push/333333333333 {"author":"Ada","change_id":"bitbucket/octo/shop/push/`+shaC+`","commits":[{"author":"bob","authored_at":"2026-03-01T09:00:00Z","revision":"`+shaB+`"},{"author":"Ada","authored_at":"2026-03-01T10:00:00Z","revision":"`+shaC+`"}],"merged_at":"2026-03-01T10:00:00Z","repository":"octo/shop","revision":"`+shaC+`","title":"Cache rates"}`)
	if original != "kept com.bitbucket.repo.push" {
		t.Error(original)
	}
	if facts, _ := hooked(t, "bitbucket", bitbucketPushed("topic", "Cache rates"), "x-event-key", "repo:push"); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
	facts, _ = hooked(t, "bitbucket", bitbucketPushed("trunk", `Merged in rates (pull request #7)\n\nCache rates`), "x-event-key", "repo:push")
	if len(facts) != 1 || !strings.Contains(facts[0], `"change_id":"bitbucket/octo/shop/pull/7"`) || !strings.Contains(facts[0], `"title":"Cache rates"`) {
		t.Errorf("%q", facts)
	}
}

// The webhook names the merge commit by 12 digits, so pushes are named by as many.
func TestAFulfilledPullRequestIsAChangeAndItsPushIsNone(t *testing.T) {
	facts, _ := hooked(t, "bitbucket", `{`+bitbucketShop+`,"pullrequest":{"id":7,"title":"Cache rates","description":"","updated_on":"2026-03-01T10:00:02.205705+00:00","author":{"nickname":"ada"},"merge_commit":{"hash":"333333333333"},"source":{"commit":{"hash":"222222222222"}}}}`, "x-event-key", "pullrequest:fulfilled")
	becomes(t, facts,
		`change.merged 2026-03-01T10:00:02Z pull/7/merged {"author":"ada","change_id":"bitbucket/octo/shop/pull/7","commits":[{"revision":"222222222222"}],"merged_at":"2026-03-01T10:00:02.205Z","repository":"octo/shop","revision":"333333333333","title":"Cache rates"}`,
		`fact.retracted 2026-03-01T10:00:02Z pull/7/push {"reason":"the push merges a pull request","retracts":{"id":"push/333333333333","source":"https://bitbucket.org/octo/shop"}}`)
}

func TestAStatusOfBitbucketIsABuildOrATestOnceItHasEnded(t *testing.T) {
	status := func(state, name string) []string {
		facts, _ := hooked(t, "bitbucket", `{`+bitbucketShop+`,"commit_status":{"name":"`+name+`","key":"ci","state":"`+state+`","created_on":"2026-03-01T10:00:00+00:00","updated_on":"2026-03-01T10:01:00+00:00","links":{"commit":{"href":"https://api.bitbucket.org/2.0/repositories/octo/shop/commit/`+shaC+`"}}}}`, "x-event-key", "repo:commit_status_updated")
		return facts
	}
	const id = "status/" + shaC + "/ci"
	becomes(t, status("STOPPED", "Pipeline"), `build.finished 2026-03-01T10:01:00Z `+id+`/2026-03-01T10:01:00.000Z {"build_id":"bitbucket/octo/shop/`+id+`","duration_ms":60000,"outcome":"cancelled","repository":"octo/shop","revision":"`+shaC+`","started_at":"2026-03-01T10:00:00Z"}`)
	becomes(t, status("SUCCESSFUL", "Unit tests"), `test.finished 2026-03-01T10:01:00Z `+id+`/2026-03-01T10:01:00.000Z {"duration_ms":60000,"outcome":"success","revision":"`+shaC+`","run_id":"bitbucket/octo/shop/`+id+`","suite":"Unit tests"}`)
	if facts := status("INPROGRESS", "Pipeline"); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
}

func TestAMergedPullRequestOfDataCenterIsAChange(t *testing.T) {
	facts, original := hooked(t, "bitbucket", `{"eventKey":"pr:merged","pullRequest":{"id":7,"title":"Cache rates","closedDate":1772359205286,"fromRef":{"latestCommit":"`+shaB+`"},"toRef":{"repository":{"slug":"shop","project":{"key":"OCTO"}}},
		"author":{"user":{"name":"ada"}},"properties":{"mergeCommit":{"id":"`+shaC+`"}}}}`, "x-event-key", "pr:merged")
	becomes(t, facts, `change.merged 2026-03-01T10:00:05Z pull/7/merged {"author":"ada","change_id":"bitbucket/OCTO/shop/pull/7","commits":[{"revision":"`+shaB+`"}],"merged_at":"2026-03-01T10:00:05.286Z","repository":"OCTO/shop","revision":"`+shaC+`","title":"Cache rates"}`)
	if original != "kept com.bitbucket.pr.merged" {
		t.Error(original)
	}
}

func FuzzBitbucket(f *testing.F) {
	fuzzHook(f, "bitbucket", "x-event-key", [2]string{"repo:push", bitbucketPushed("trunk", "Tidy (pull request #7)")},
		[2]string{"pullrequest:fulfilled", `{"pullrequest":{"id":7,"updated_on":"2026-03-01T10:00:00Z","source":{}}}`},
		[2]string{"repo:commit_status_created", `{"commit_status":{"state":"FAILED"}}`}, [2]string{"pr:merged", `{"pullRequest":{"closedDate":1}}`})
}

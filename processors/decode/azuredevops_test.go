package decode

import (
	"strings"
	"testing"
)

const azureShop = `"repository":{"name":"shop","url":"https://dev.azure.com/octo/_apis/git/repositories/1","defaultBranch":"refs/heads/main","project":{"name":"Web"}}`

func TestACompletedPullRequestIsAChangeWhicheverHookTellsOfIt(t *testing.T) {
	pull := func(event, status string) []string {
		facts, _ := hooked(t, "azure-devops", `{"id":"1","eventType":"`+event+`","createdDate":"2026-03-01T10:00:09Z","resource":{`+azureShop+`,"pullRequestId":7,"status":"`+status+`","title":"Cache rates","description":"Reverts !5","createdBy":{"uniqueName":"ada@octo.example"},
			"closedDate":"2026-03-01T10:00:05.3660573Z","lastMergeSourceCommit":{"commitId":"`+shaB+`"},"lastMergeCommit":{"commitId":"`+shaC+`"}}}`)
		return facts
	}
	want := []string{
		`change.merged 2026-03-01T10:00:05Z pull/7/merged {"author":"ada@octo.example","change_id":"azure-devops/Web/shop/pull/7","commits":[{"revision":"` + shaB + `"}],"merged_at":"2026-03-01T10:00:05.366Z","repository":"Web/shop","reverts":"azure-devops/Web/shop/pull/5","revision":"` + shaC + `","title":"Cache rates"}`,
		`fact.retracted 2026-03-01T10:00:05Z pull/7/push {"reason":"the push merges a pull request","retracts":{"id":"push/` + shaC + `","source":"https://dev.azure.com/octo"}}`,
	}
	becomes(t, pull("git.pullrequest.merged", "completed"), want...)
	becomes(t, pull("git.pullrequest.updated", "completed"), want...)
	if facts := pull("git.pullrequest.merged", "active"); len(facts) > 0 {
		t.Errorf("only tried: %q", facts)
	}
}

func TestAPushToAzureReposIsAChangeWithItsCommitsOldestFirst(t *testing.T) {
	push := func(comment string) []string {
		facts, _ := hooked(t, "azure-devops", `{"eventType":"git.push","resource":{`+azureShop+`,"refUpdates":[{"name":"refs/heads/main","newObjectId":"`+shaC+`"}],"commits":[
			{"commitId":"`+shaC+`","comment":"`+comment+`","author":{"name":"Ada"},"committer":{"date":"2026-03-01T10:00:00Z"}},{"commitId":"`+shaB+`","comment":"Tidy","author":{"name":"Bob"},"committer":{"date":null}}]}}`)
		return facts
	}
	becomes(t, push("Cache rates"), `change.merged 2026-03-01T10:00:00Z push/`+shaC+` {"author":"Ada","change_id":"azure-devops/Web/shop/push/`+shaC+`","commits":[{"author":"Bob","revision":"`+shaB+`"},{"author":"Ada","authored_at":"2026-03-01T10:00:00Z","revision":"`+shaC+`"}],"merged_at":"2026-03-01T10:00:00Z","repository":"Web/shop","revision":"`+shaC+`","title":"Cache rates"}`)
	if facts := push("Merged PR 7: Cache rates"); len(facts) != 1 || !strings.Contains(facts[0], `"change_id":"azure-devops/Web/shop/pull/7"`) || !strings.Contains(facts[0], `"title":"Cache rates"`) {
		t.Errorf("%q", facts)
	}
}

func TestABuildOfAzurePipelinesIsReadInBothVersions(t *testing.T) {
	const rest = `"id":2,"startTime":"2026-03-01T10:00:00Z","finishTime":"2026-03-01T10:02:00Z","url":"https://dev.azure.com/octo/web/_apis/build/Builds/2"`
	first, _ := hooked(t, "azure-devops", `{"eventType":"build.complete","resource":{`+rest+`,"status":"stopped","sourceGetVersion":"LG:refs/heads/main:`+shaC+`","definition":{"name":"shop"}}}`)
	becomes(t, first, `build.finished 2026-03-01T10:02:00Z build/2 {"build_id":"https://dev.azure.com/octo/build/2","duration_ms":120000,"outcome":"cancelled","revision":"`+shaC+`","started_at":"2026-03-01T10:00:00Z"}`)
	second, original := hooked(t, "azure-devops", `{"eventType":"build.complete","resource":{`+rest+`,"status":"completed","result":"succeeded","sourceVersion":"`+shaC+`","definition":{"name":"shop tests"},"project":{"name":"Web"},"repository":{"id":"octo/shop","type":"GitHub"}}}`)
	becomes(t, second, `test.finished 2026-03-01T10:02:00Z build/2 {"duration_ms":120000,"outcome":"success","revision":"`+shaC+`","run_id":"https://dev.azure.com/octo/build/2","suite":"shop tests"}`)
	if original != "kept com.microsoft.azure-devops.build.complete" {
		t.Error(original)
	}
}

func TestAStageOfAReleaseIsOneDeployment(t *testing.T) {
	const release = `"release":{"id":12,"name":"Release-12","releaseDefinition":{"name":"shop"},"artifacts":[{"definitionReference":{"sourceVersion":{"id":"` + shaC + `"}}}]}`
	const data = `"deployment_id":"azure-devops/Web/release/12/Production/1","environment":"Production",`
	started, _ := hooked(t, "azure-devops", `{"eventType":"ms.vss-release.deployment-started-event","createdDate":"2026-03-01T10:00:00Z","resource":{"environment":{"name":"Production","releaseId":12},`+release+`,"project":{"name":"Web"}}}`)
	becomes(t, started, `deployment.started 2026-03-01T10:00:00Z release/12/Production/1/started {`+data+`"revisions":["`+shaC+`"],"service":"shop","version":"Release-12"}`)
	finished, _ := hooked(t, "azure-devops", `{"eventType":"ms.vss-release.deployment-completed-event","createdDate":"2026-03-01T10:09:00Z","resource":{"stageName":"Production","attemptId":1,"environment":{"name":"Production","status":"rejected"},
		"deployment":{"attempt":1,"deploymentStatus":"failed","completedOn":"2026-03-01T10:08:00Z","requestedBy":{"uniqueName":"ada@octo.example"},`+release+`},"project":{"name":"Web"}}}`)
	becomes(t, finished, `deployment.finished 2026-03-01T10:08:00Z release/12/Production/1/completed {`+data+`"outcome":"failure","requested_by":"ada@octo.example","revisions":["`+shaC+`"],"service":"shop","version":"Release-12"}`)
}

func TestAWorkItemIsKept(t *testing.T) {
	if facts, original := hooked(t, "azure-devops", `{"eventType":"workitem.created","resource":{"id":5,"url":"https://octo.visualstudio.com/_apis/wit/workItems/5"}}`); len(facts) > 0 || original != "kept com.microsoft.azure-devops.workitem.created" {
		t.Errorf("%q %s", facts, original)
	}
}

func FuzzAzureDevOps(f *testing.F) {
	fuzzHook(f, "azure-devops", "",
		[2]string{"", `{"eventType":"git.push","resource":{"repository":{"defaultBranch":"refs/heads/main"},"refUpdates":[{"name":"refs/heads/main"}],"commits":[null,{"commitId":"1","comment":"Merged PR 7: x"}]}}`},
		[2]string{"", `{"eventType":"git.pullrequest.merged","resource":{"status":"completed"}}`}, [2]string{"", `{"eventType":"build.complete","resource":{"status":"succeeded"}}`},
		[2]string{"", `{"eventType":"ms.vss-release.deployment-completed-event","createdDate":"2026-03-01T10:00:00Z","resource":{"release":{"id":1,"artifacts":[null]}}}`})
}

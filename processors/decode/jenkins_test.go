package decode

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

func jenkinsNotified(job, phase, status, more string) string {
	return `{"name":"` + job + `","url":"job/` + job + `/","build":{"full_url":"https://ci.example/jenkins/job/octo/job/` + job + `/18/","number":18,"phase":"` + phase + `","status":"` + status + `","timestamp":1772359205286,"duration":61000,
		"scm":{"url":"git@github.com:octo/shop.git","branch":"origin/main","commit":"` + shaC + `"}` + more + `}}`
}

func TestABuildOfJenkinsIsABuildOnceItHasEnded(t *testing.T) {
	facts, original := hooked(t, "jenkins", jenkinsNotified("shop", "COMPLETED", "UNSTABLE", ""))
	becomes(t, facts, `build.finished 2026-03-01T10:00:05Z build/18/completed {"build_id":"jenkins/octo/shop/18","duration_ms":61000,"outcome":"failure","repository":"octo/shop","revision":"`+shaC+`"}`)
	if original != "kept io.jenkins.build.completed" {
		t.Error(original)
	}
	facts, _ = hooked(t, "jenkins", jenkinsNotified("shop-tests", "FINALIZED", "SUCCESS", ""))
	becomes(t, facts, `test.finished 2026-03-01T10:00:05Z build/18/finalized {"duration_ms":61000,"outcome":"success","revision":"`+shaC+`","run_id":"jenkins/octo/shop-tests/18","suite":"octo/shop-tests"}`)
	for _, phase := range []string{"QUEUED", "STARTED"} {
		if facts, _ := hooked(t, "jenkins", jenkinsNotified("shop", phase, "SUCCESS", "")); len(facts) > 0 {
			t.Errorf("%s: %q", phase, facts)
		}
	}
	if facts, _ := hooked(t, "jenkins", jenkinsNotified("shop", "COMPLETED", "NOT_BUILT", "")); len(facts) > 0 {
		t.Errorf("%q", facts)
	}
}

func TestTheTestsOfABuildOfJenkinsAreARunOfTheirOwn(t *testing.T) {
	facts, _ := hooked(t, "jenkins", jenkinsNotified("shop", "COMPLETED", "UNSTABLE", `,"test_summary":{"total":90,"failed":2}`))
	if typesOf(facts) != "build.finished test.finished" || !strings.HasSuffix(facts[1], ` tests/18/completed {"outcome":"failure","revision":"`+shaC+`","run_id":"jenkins/octo/shop/18/tests","suite":"octo/shop"}`) {
		t.Errorf("%q", facts)
	}
}

func TestABuildOfJenkinsWithAnEnvironmentAndAVersionIsADeployment(t *testing.T) {
	const parameters = `,"parameters":{"ENVIRONMENT":"staging","version":"1.4.2","SERVICE":"checkout","dry_run":false}`
	const data = `{"deployment_id":"jenkins/octo/deploy/18","environment":"staging",`
	const rest = `"service":"checkout","version":"1.4.2"}`
	facts, _ := hooked(t, "jenkins", jenkinsNotified("deploy", "STARTED", "", parameters))
	becomes(t, facts, `deployment.started 2026-03-01T10:00:05Z deployment/18/started `+data+rest)
	facts, _ = hooked(t, "jenkins", jenkinsNotified("deploy", "COMPLETED", "ABORTED", parameters))
	becomes(t, facts, `deployment.finished 2026-03-01T10:00:05Z deployment/18/completed `+data+`"outcome":"cancelled",`+rest)
}

// The three plugins tell of one build in three shapes.
func TestOneBuildOfJenkinsIsOneEntityWhicheverPluginTellsOfIt(t *testing.T) {
	for name, body := range map[string]string{
		"CloudEvents": `{"specversion":"1.0","type":"org.jenkinsci.job.completed","id":"1","source":"jenkins","data":{"name":"shop","build":{"fullUrl":"https://ci.example/jenkins/job/octo/job/shop/18/","number":18,"phase":"COMPLETED","status":"SUCCESS","scmState":{"url":"https://github.com/octo/shop.git","commit":"` + shaC + `"}}}}`,
		"Outbound":    `{"projectName":"shop","buildName":"#18","buildUrl":"https://ci.example/jenkins/job/octo/job/shop/18/","event":"success","buildVars":"{\"GIT_COMMIT\":\"` + shaC + `\",\"GIT_URL\":\"https://github.com/octo/shop\"}"}`,
	} {
		facts, _ := hooked(t, "jenkins", body, source.Received, "2026-03-01T10:00:07Z")
		becomes(t, facts, `build.finished 2026-03-01T10:00:07Z build/18/completed {"build_id":"jenkins/octo/shop/18","outcome":"success","repository":"octo/shop","revision":"`+shaC+`"}`)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestAJobOfJenkinsIsNamedByItsFolders(t *testing.T) {
	for url, want := range map[string]string{
		"https://ci.example/job/shop/18/": "shop", "https://ci.example/jenkins/job/octo/job/shop/job/main/18/": "octo/shop/main", "job/shop/18/": "shop", "": "", "https://ci.example/": "",
	} {
		if got := jenkinsJobPath(url); got != want {
			t.Errorf("%q is %q, want %q", url, got, want)
		}
	}
	for url, want := range map[string]string{"git@github.com:octo/shop.git": "octo/shop", "https://github.com/octo/shop.git": "octo/shop", "ssh://git@host:7999/octo/shop.git": "octo/shop", "": ""} {
		if got := repositoryOf(url); got != want {
			t.Errorf("%q is %q, want %q", url, got, want)
		}
	}
}

func FuzzJenkins(f *testing.F) {
	fuzzHook(f, "jenkins", "", [2]string{"", jenkinsNotified("shop", "COMPLETED", "SUCCESS", `,"parameters":[{"name":"ENV","value":"x"},{"name":"TAG","value":7}]`)},
		[2]string{"", `{"build":{"phase":"STARTED","parameters":{"ENV":"x","TAG":null},"number":"#"}}`}, [2]string{"", `{"projectName":"a","event":"failure","buildVars":[null]}`},
		[2]string{"", `{"specversion":"1.0","data":"x"}`}, [2]string{"", `{"build":{"timestamp":9223372036854775807,"phase":"COMPLETED","status":"SUCCESS","url":"/job/"}}`})
}

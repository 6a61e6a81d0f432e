package decode

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listOf is n elements of a JSON list; %d in one of them is its number.
func listOf(n int, one string) string {
	var all []string
	for i := range n {
		all = append(all, strings.ReplaceAll(one, "%d", fmt.Sprint(i)))
	}
	return strings.Join(all, ",")
}

// TestOneLongThingIsNotRepeatedInThousandsOfEvents: what stands once in a body
// stands in each of its events. A record of 200 KB took 400 MB, and one of a
// megabyte would have taken twenty gigabytes.
func TestOneLongThingIsNotRepeatedInThousandsOfEvents(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	span := `{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","kind":2,"startTimeUnixNano":"1770000000000000000"}`
	resource := func(key string) string {
		return `{"attributes":[{"key":"` + key + `","value":{"stringValue":"` + long + `"}}]}`
	}
	for _, c := range []struct {
		name, from, body string
		headers          []string
		dead             bool
	}{
		{name: "the context of a batch", from: "track", dead: true,
			body: `{"context":{"a":"` + long + `"},"batch":[` + listOf(2000, `{"type":"track","event":"e","userId":"u"}`) + `]}`},
		{name: "the repository of a push", from: "github", headers: []string{"x-github-event", "push"}, dead: true,
			body: `{"ref":"refs/heads/main","repository":{"default_branch":"main","full_name":"` + long + `"},"commits":[` +
				listOf(2000, `{"id":"a%d","message":"m (#1)","timestamp":"2026-03-12T10:00:00Z"}`) + `]}`},
		{name: "the resource of spans", from: "otlp-traces", dead: true,
			body: `{"resourceSpans":[{"resource":` + resource("service.name") + `,"scopeSpans":[{"spans":[` + listOf(2000, span) + `]}]}]}`},
		{name: "the resource of points", from: "otlp-metrics", dead: true,
			body: `{"resourceMetrics":[{"resource":` + resource("service.instance.id") + `,"scopeMetrics":[{"metrics":[{"name":"http.server.request.duration","histogram":{"aggregationTemporality":1,"dataPoints":[` +
				listOf(2000, `{"timeUnixNano":"1770000000000000000"}`) + `]}}]}]}]}`},
		{name: "the name of a tool", from: "sarif",
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"` + long + `"}},"results":[` + listOf(2000, `{"ruleId":"a%d"}`) + `]}]}`},
		{name: "the address of a file", from: "sarif",
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"artifacts":[{"location":{"uri":"` + long + `"}}],"results":[` +
				listOf(2000, `{"ruleId":"a","locations":[{"physicalLocation":{"artifactLocation":{"index":0}}}]}`) + `]}]}`},
		{name: "the id of a rule", from: "sarif", dead: true,
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"` + long + `"}]}},"results":[` + listOf(5000, `{"ruleIndex":0}`) + `]}]}`},
		{name: "the tags of a rule", from: "sarif", dead: true,
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"a","properties":{"tags":[` + listOf(20000, `"x"`) + `]}}]}},"results":[` + listOf(5000, `{"ruleId":"a"}`) + `]}]}`},
		{name: "a rule's id of parts", from: "sarif",
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"ruleId":"` + strings.Repeat("a/", 200_000) + `"}]}]}`},
		{name: "the package URL of a component", from: "cyclonedx",
			body: `{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"bom-ref":"a","name":"n","type":"library","purl":"pkg:npm/` + long + `@1"}],"vulnerabilities":[` +
				listOf(2000, `{"id":"a%d","affects":[{"ref":"a"}]}`) + `]}`},
		{name: "one attribute of a resource, again and again", from: "otlp-traces",
			body: `{"resourceSpans":[{"resource":{"attributes":[` + listOf(4000, `{"key":"k8s.pod.name","value":{"stringValue":"p%d"}}`) + `]},"scopeSpans":[{"spans":[` + listOf(4000, span) + `]}]}]}`},
		{name: "many findings", from: "sarif",
			body: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[` + listOf(40000, `{"ruleId":"a%d"}`) + `]}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := sent(c.from, []byte(c.body), c.headers...)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			begun := computed(t)
			if err := New(Config{}).Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			took := computed(t) - begun
			runtime.GC()
			runtime.ReadMemStats(&after)
			if held := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; held > 64 {
				t.Errorf("%d KB have become %d MB of events", len(c.body)>>10, held)
			}
			if took > 20*time.Second { // minutes, when it was not bounded
				t.Errorf("took %v", took)
			}
			if c.dead != (len(b.Dead) == 1) {
				t.Errorf("%d dead letters", len(b.Dead))
			}
			if c.dead && len(b.Facts)+len(b.Observations)+len(b.Others) > 0 {
				t.Errorf("a dead letter has left %d facts, %d observations and %d others", len(b.Facts), len(b.Observations), len(b.Others))
			}
			for i := range b.Facts {
				if len(b.Facts[i].Data) > mostFact {
					t.Errorf("a fact of %d bytes fits no record of the context log", len(b.Facts[i].Data))
				}
			}
		})
	}
}

// computed is the processor time that this program has taken: other programs
// don't count.
func computed(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestAFactFitsARecordOfTheContextLog: one that doesn't would stop its
// partition for good.
func TestAFactFitsARecordOfTheContextLog(t *testing.T) {
	revision := strings.Repeat("a", 1000)
	body := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"versionControlProvenance":[{"repositoryUri":"r","revisionId":"` + revision + `"}],"results":[` +
		listOf(18_000, `{"ruleId":"a%d","baselineState":"new"}`) + `]}]}`
	b := sent("sarif", []byte(body))
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Dead) != 1 || b.Dead[0].Reason != "too_large" || len(b.Facts) != 0 {
		t.Errorf("%d facts, dead: %v", len(b.Facts), b.Dead)
	}
}

// TestASmallReportMayHaveALongRule: what a rule may be long was a share of the
// report, so that a small one with one rule was refused.
func TestASmallReportMayHaveALongRule(t *testing.T) {
	facts := saidBy(t, "sarif", []byte(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"a","shortDescription":{"text":"`+strings.Repeat("x", 6000)+`"}}]}},"results":[{"ruleId":"a"}]}]}`))
	if got := typesOf(facts[:1]); got != "scan.completed" {
		t.Errorf("got %q", facts)
	}
}

func TestAnOrdinaryBatchMayRepeatItsContext(t *testing.T) {
	body := `{"context":{"app":{"name":"shop"},"page":{"title":"` + strings.Repeat("x", 1000) + `"}},"batch":[` +
		listOf(2000, `{"type":"track","event":"e","userId":"u","messageId":"m%d","properties":{"step":2}}`) + `]}`
	b := sent("track", []byte(body))
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Observations) != 2000 || len(b.Dead) > 0 {
		t.Errorf("%d observations, dead: %v", len(b.Observations), b.Dead)
	}
}

// TestABombOfElementsIsADeadLetterForTheMemoryOfItsBytes: a record of a megabyte of
// `[0,0,...]` was read into a structure for each, four gigabytes in SARIF's runs. In
// OTLP it took 290 MB, which was refused over HTTP and not from Kafka.
func TestABombOfElementsIsADeadLetterForTheMemoryOfItsBytes(t *testing.T) {
	const size = 256<<10 - 1000 // a fourth of a record, and what it may allocate
	p := New(Config{})
	for _, bomb := range []struct {
		from, around string
		most         uint64 // kilobytes: what is parsed has a tape of 16 times its bytes, in room that doubled until it fit
		headers      []string
	}{
		{from: "otlp-traces", around: `{"resourceSpans":%s}`, most: 512},
		{from: "otlp-traces", around: `{"resourceSpans":[{"scopeSpans":[{"spans":%s}]}]}`, most: 512},
		{from: "otlp-traces", around: `{"resource_spans":[{"scope_spans":[{"spans":[{"attributes":%s}]}]}]}`, most: 512},
		{from: "otlp-metrics", around: `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":%s}}]}]}]}`, most: 512},
		{from: "otlp-logs", around: `{"resourceLogs":[{"scopeLogs":[{"logRecords":%s}]}]}`, most: 512},
		{from: "otlp-traces", around: `{"resourceSpans":[{"resource":{"entityRefs":%s}}]}`, most: 512},
		{from: "sarif", around: `{"version":"2.1.0","runs":%s}`, most: 24 << 10},
		{from: "sarif", around: `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":%s}]}`, most: 24 << 10},
		{from: "cyclonedx", around: `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":{"components":%s}}}`, most: 24 << 10},
		{from: "ocsf", around: `{"class_uid":2002,"resources":%s}`, most: 24 << 10},
		{from: "track", around: `%s`, most: 24 << 10},
		{from: "track", around: `{"batch":%s}`, most: 24 << 10},
		{from: "sentry", around: `{"action":"triggered","data":{"event":{"tags":%s}}}`, most: 24 << 10, headers: []string{"sentry-hook-resource", "event_alert"}},
		{from: "github", around: `{"action":"completed","check_run":{"pull_requests":%s}}`, most: 24 << 10, headers: []string{"x-github-event", "check_run"}},
		{from: "launchdarkly", around: `{"kind":"flag","currentVersion":{"environments":{"p":{"rules":%s}}}}`, most: 24 << 10},
		{from: "kubernetes", around: `{"type":"ADDED","object":{"kind":"Deployment","status":{"conditions":%s}}}`, most: 24 << 10},
		{from: "grype", around: `{"source":{},"matches":%s}`, most: 24 << 10},
		{from: "pagerduty", around: `{"event":{"event_type":"incident.triggered","data":{"teams":%s}}}`, most: 24 << 10},
	} {
		for _, one := range []string{"0", "null", "{}", "[]"} {
			list := strings.Repeat(one+",", size/(len(one)+1)) + one
			b := sent(bomb.from, fmt.Appendf(nil, bomb.around, "["+list+"]"), bomb.headers...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := p.Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if len(b.Dead) != 1 || b.Dead[0].Reason != "too_large" {
				t.Errorf("%s %s of %s: %d dead letters, %d facts, %d others", bomb.from, bomb.around, one, len(b.Dead), len(b.Facts), len(b.Others))
				for _, dead := range b.Dead {
					t.Errorf("%s: %s", dead.Reason, dead.Detail)
				}
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 10; took > bomb.most {
				t.Errorf("%s %s of %s: %d kB were allocated", bomb.from, bomb.around, one, took)
			}
		}
	}
}

// TestAListOfIdsMayFillABody: 3,000 accounts in a flag's clause were more elements
// than its webhook might have, and it became a dead letter.
func TestAListOfIdsMayFillABody(t *testing.T) {
	p := New(Config{})
	clause := func(ids string) string {
		return `"rules":[{"variation":1,"clauses":[{"attribute":"account","op":"in","values":[` + ids + `]}]}]`
	}
	flag := func(ids string) string {
		return targeting(`{"on":true,"targets":[{"variation":2,"values":[` + ids + `]}],` + clause(ids) + `}`)
	}
	strategy := func(ids string) string {
		return `{"name":"flexibleRollout","parameters":{"rollout":"100"},"segments":[1,2],"constraints":[{"contextName":"userId","operator":"IN","values":` + ids + `}]}`
	}
	push := `{"ref":"refs/heads/main","repository":{"full_name":"o/r","default_branch":"main","path_with_namespace":"o/r"},"commits":[{"id":"a1","message":"m (#1)","timestamp":"2026-03-12T10:00:00Z","added":%s,"modified":%[1]s}]`
	few, many := listOf(5000, `"1%d"`), listOf(10_000, `"%d"`)
	for _, c := range []struct {
		name, from, body string
		headers          []string
		facts            int
	}{
		{name: "the clauses and targets of LaunchDarkly", from: "launchdarkly", facts: 1, body: audited("65f0a1", 1773309600000, `,"previousVersion":`+flag(few)+`,"currentVersion":`+flag(few)).body},
		{name: "a clause of a quarter of a record", from: "launchdarkly", facts: 1, body: audited("65f0a1", 1773309600000, `,"currentVersion":`+targeting(`{"on":true,`+clause(strings.Repeat("7,", 120_000)+"7")+`}`)).body},
		{name: "a segment of LaunchDarkly", from: "launchdarkly", body: strings.Replace(audited("65f0a1", 1773309600000, `,"currentVersion":{"included":[`+many+`],"excluded":[]}`).body, `"kind":"flag"`, `"kind":"segment"`, 1)},
		{name: "the constraints of Unleash", from: "unleash", facts: 1, body: unleashed(7, "feature-strategy-update", "2026-03-12T10:00:00Z", `,"data":`+strategy("["+few+"]")+`,"preData":`+strategy("["+few+"]")).body},
		{name: "constraints of a quarter of a record", from: "unleash", facts: 1, body: unleashed(7, "feature-strategy-add", "2026-03-12T10:00:00Z", `,"data":`+strategy("["+strings.Repeat(`"7",`, 60_000)+`"7"`+"]")).body},
		{name: "targets of a quarter of a record", from: "launchdarkly", facts: 1, body: audited("65f0a1", 1773309600000, `,"currentVersion":`+targeting(`{"on":true,"targets":[{"variation":2,"values":[`+strings.Repeat(`"7",`, 60_000)+`"7"`+`]}]}`)).body},
		{name: "the files of a push to GitHub", from: "github", headers: []string{"x-github-event", "push"}, body: fmt.Sprintf(push, "["+few+"]") + "}"},
		{name: "the files of a push to GitLab", from: "gitlab", headers: []string{"x-gitlab-event", "Push Hook"}, body: fmt.Sprintf(push, "["+few+"]") + `,"object_kind":"push"}`},
		{name: "the references of an inventory", from: "cyclonedx", body: `{"bomFormat":"CycloneDX","specVersion":"1.5","dependencies":[{"ref":"0","dependsOn":[` + many + `]}],"vulnerabilities":[{"id":"CVE-1","affects":[{"ref":"0"}]}]}`},
		{name: "the variables of a frame", from: "sentry", headers: []string{"sentry-hook-resource", "event_alert"}, body: `{"action":"triggered","data":{"event":{"event_id":"a","exception":{"values":[{"stacktrace":{"frames":[{"vars":{"ids":[` + many + `]}}]}}]}}}}`},
		{name: "the changes of a build", from: "jenkins", body: `{"name":"shop","url":"job/shop/","build":{"full_url":"https://ci/job/shop/1/","number":1,"phase":"COMPLETED","scm":{"changes":[` + many + `]}}}`},
		{name: "the files of a package", from: "trivy", body: `{"SchemaVersion":2,"CreatedAt":"2026-03-12T10:00:00Z","ArtifactName":"a","ArtifactType":"container_image","Results":[{"Packages":[{"InstalledFiles":[` + many + `]}]}]}`},
		{name: "what OCSF has no place for", from: "ocsf", body: `{"class_uid":2004,"time":1773309600000,"finding_info":{"uid":"a","title":"t"},"unmapped":{"ports":[` + many + `]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := sent(c.from, []byte(c.body), c.headers...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := p.Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			for _, dead := range b.Dead {
				t.Errorf("%d kB: %s: %s", len(c.body)>>10, dead.Reason, dead.Detail)
			}
			if len(b.Facts) < c.facts {
				t.Errorf("%d facts", len(b.Facts))
			}
			// A body that is taken is on a tape twice: as it came, and as the original.
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 40 {
				t.Errorf("%d kB: %d MB were allocated", len(c.body)>>10, took)
			}
		})
	}
}

func TestATrackedEventMayHaveLongListsOfNumbers(t *testing.T) {
	b := sent("track", []byte(`{"type":"track","event":"Drawn","userId":"u","messageId":"m","properties":{"path":[`+strings.Repeat("7,", 200_000)+`7]}}`))
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Observations) != 1 || len(b.Dead) > 0 {
		t.Errorf("%d observations, %d dead letters", len(b.Observations), len(b.Dead))
	}
}

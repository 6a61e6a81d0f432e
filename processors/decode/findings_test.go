package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/scan"
)

// scanOf is what the one scan of a payload says, a line of what is common and a
// line a finding: id, and what is stated.
func scanOf(t testing.TB, from, body string, headers ...string) []string {
	t.Helper()
	b := sent(from, []byte(body), headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, d := range b.Dead {
		t.Fatalf("dead: %s %s", d.Reason, d.Detail)
	}
	var lines []string
	for _, f := range b.Facts {
		var data map[string]any
		if err := json.Unmarshal([]byte(f.Data), &data); err != nil {
			t.Fatal(err)
		}
		findings, _ := data["findings"].([]any)
		delete(data, "findings")
		delete(data, "part")
		lines = append(lines, fmt.Sprintf("%s %s", f.Time.Time().Format("2006-01-02T15:04Z"), wordsOf(data)))
		for _, of := range findings {
			lines = append(lines, "  "+wordsOf(of.(map[string]any)))
		}
	}
	for _, o := range b.Others {
		for _, x := range o.Extensions {
			lines = append(lines, x.Key+": "+x.Value)
		}
	}
	return lines
}

func wordsOf(data map[string]any) string {
	var words []string
	for key, v := range data {
		words = append(words, fmt.Sprintf("%s=%v", key, v))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// ids are the ids of the findings of a scan.
func ids(t testing.TB, from, body string, headers ...string) []string {
	t.Helper()
	b := sent(from, []byte(body), headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range b.Facts {
		for _, of := range f.Payload.(*event.Scan).Findings {
			all = append(all, of.FindingID)
		}
	}
	return all
}

const sarifReport = `{"version":"2.1.0","runs":[{
	"tool":{"driver":{"name":"Sift","rules":[
		{"id":"sift/injection","helpUri":"https://sift.example/injection","properties":{"security-severity":"8.8","tags":["security"]}},
		{"id":"sift/style","defaultConfiguration":{"level":"note"}},
		{"id":"sift/key","properties":{"tags":["secret"]}}]}},
	"automationDetails":{"id":"nightly/2026-11-20","guid":"7f3c"},
	"versionControlProvenance":[{"repositoryUri":"https://git.example/shop/cart","revisionId":"0a1b2c"}],
	"invocations":[{"executionSuccessful":true,"endTimeUtc":"2026-11-20T02:10:00Z"}],
	"results":[
		{"ruleIndex":0,"partialFingerprints":{"primaryLocationLineHash":"aa:1"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"cart/sql.go"},"region":{"startLine":10}}}],"baselineState":"new","hostedViewerUri":"https://sift.example/7"},
		{"ruleId":"sift/style/naming","ruleIndex":1,"message":{"text":"line 10 is long"}},
		{"ruleId":"sift/key","level":"error","suppressions":[{"kind":"external","status":"accepted"}],"fingerprints":{"v1":"k"}},
		{"ruleId":"sift/key","baselineState":"absent","fingerprints":{"v1":"old","v2":"o"}},
		{"ruleId":"sift/style","kind":"pass"},
		{"ruleId":"sift/unknown","suppressions":[{"kind":"inSource","status":"rejected"}],"correlationGuid":"c"}]}]}`

func TestASARIFRunIsAScanOfWhatItFound(t *testing.T) {
	want := []string{
		"2026-11-20T02:10Z parts=1 repository=https://git.example/shop/cart revision=0a1b2c scan_id=7f3c~7 service=cart target=https://git.example/shop/cart nightly/ tool=Sift",
		"  evidence_url=https://sift.example/7 finding_id=Sift/sift/injection/5 kind=vulnerability revision_introduced=0a1b2c rule=sift/injection severity=high",
		"  finding_id=Sift/sift/style/naming/5 kind=audit rule=sift/style/naming severity=low",
		"  finding_id=Sift/sift/key/5 kind=secret rule=sift/key severity=high status=accepted",
		"  finding_id=Sift/sift/key/5 kind=secret rule=sift/key severity=medium status=remediated",
		"  finding_id=Sift/sift/unknown/5 kind=audit rule=sift/unknown severity=medium",
	}
	if diff := cmp.Diff(want, withoutDigests(scanOf(t, "sarif", sarifReport, "whence-service", "cart"))); diff != "" {
		t.Error(diff)
	}
}

// withoutDigests has a 5 for 20 hex digits at the end of an id, and a 7 for
// those of hints.
func withoutDigests(lines []string) []string {
	all := slices.Clone(lines)
	for i, line := range all {
		words := strings.Split(line, " ")
		for j, w := range words {
			if id, is := strings.CutPrefix(w, "finding_id="); is {
				words[j] = "finding_id=" + id[:len(id)-20] + "5"
			}
			if id, is := strings.CutPrefix(w, "scan_id="); is && strings.Contains(id, "~") {
				words[j] = "scan_id=" + id[:len(id)-20] + "7"
			}
		}
		all[i] = strings.Join(words, " ")
	}
	return all
}

func TestAResultThatMovesToAnotherLineIsTheSameFinding(t *testing.T) {
	report := func(result string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift"}},"results":[{"ruleId":"r",` + result + `}]}]}`
	}
	place := func(line int, more string) string {
		return fmt.Sprintf(`"locations":[{"physicalLocation":{"artifactLocation":{"uri":"./a.py"},"region":{"startLine":%d%s}}}]`, line, more)
	}
	for _, c := range []struct {
		name, before, after string
		same                bool
	}{
		{"by its fingerprint", place(1, "") + `,"partialFingerprints":{"primaryLocationLineHash":"f:1"}`, place(9, "") + `,"partialFingerprints":{"primaryLocationLineHash":"f:1"}`, true},
		{"by its snippet", place(1, `,"snippet":{"text":"eval(x)"}`), place(9, `,"snippet":{"text":"  eval(x)\n"}`), true},
		{"another snippet", place(1, `,"snippet":{"text":"eval(x)"}`), place(1, `,"snippet":{"text":"eval(y)"}`), false},
		{"by its message", place(1, "") + `,"message":{"text":"unused x, line 1"}`, place(9, "") + `,"message":{"text":"unused x, line 9"}`, true},
		{"by a newer fingerprint beside the old", `"fingerprints":{"v2":"b"}`, `"fingerprints":{"v1":"a","v2":"b"}`, true},
		{"another message", place(1, "") + `,"message":{"text":"unused x"}`, place(1, "") + `,"message":{"text":"unused y"}`, false},
	} {
		hints := []string{"whence-repository", "git.example/shop"}
		before, after := ids(t, "sarif", report(c.before), hints...), ids(t, "sarif", report(c.after), hints...)
		if len(before) != 1 || slices.Equal(before, after) != c.same {
			t.Errorf("%s: %v, then %v", c.name, before, after)
		}
		if other := ids(t, "sarif", report(c.before), "whence-repository", "git.example/other"); slices.Equal(before, other) {
			t.Errorf("%s: the same in another repository", c.name)
		}
	}
}

// gosec is a file of runs of gosec, one a module, each over at its minute after
// the day's third hour and with a result for each of its files.
func gosec(day int, modules ...[]string) string {
	var runs []string
	for minute, files := range modules {
		results := make([]string, len(files))
		for i, file := range files {
			results[i] = `{"ruleId":"G101","locations":[{"physicalLocation":{"artifactLocation":{"uri":"` + file + `"}}}]}`
		}
		runs = append(runs, fmt.Sprintf(`{"tool":{"driver":{"name":"gosec"}},"invocations":[{"executionSuccessful":true,"endTimeUtc":"2026-11-%02dT03:%02d:00Z"}],"results":[%s]}`,
			day, minute, strings.Join(results, ",")))
	}
	return `{"version":"2.1.0","runs":[` + strings.Join(runs, ",") + `]}`
}

func TestARunLeavesOpenWhatAnotherRunOfItsFileHasFoundAndALaterFileRemediatesWhatItLeavesOut(t *testing.T) {
	const one, two, three = "cart/a.go", "cart/b.go", "pay/c.go"
	hints := []string{"whence-repository", "git.example/shop", "whence-service", "shop"}
	stated := strings.ReplaceAll(gosec(20, []string{one, two}, []string{three}), `"results"`, `"versionControlProvenance":[{"repositoryUri":"git.example/shop"}],"results"`)
	for _, c := range []struct {
		name          string
		first, second string
		before, after int // findings open before the second file, and after it
	}{
		{"all are found again", gosec(20, []string{one, two}, []string{three}), gosec(21, []string{one, two}, []string{three}), 3, 3},
		{"the first run leaves one out", gosec(20, []string{one, two}, []string{three}), gosec(21, []string{two}, []string{three}), 3, 2},
		{"the last run leaves all out", gosec(20, []string{one, two}, []string{three}), gosec(21, []string{one, two}, nil), 3, 2},
		{"another number of runs", gosec(20, []string{one, two}, []string{three}), gosec(21, nil, []string{two}, nil, nil), 3, 1},
		{"the same in one run", gosec(20, []string{one, two}, []string{three}), gosec(21, []string{one, two, three}), 3, 3},
		{"a run that failed", gosec(20, []string{one, two}, []string{three}), strings.Replace(gosec(21, []string{two}, nil), "true", "false", 1), 3, 3},
		{"runs that say where they were", stated, strings.ReplaceAll(stated, "2026-11-20", "2026-11-21"), 3, 3},
		{"one run that says where it was, as the hint does", gosec(20, []string{one, two}, []string{three}), strings.Replace(strings.ReplaceAll(stated, "2026-11-20", "2026-11-21"), "versionControlProvenance", "left", 1), 3, 3},
		{"runs without times", strings.ReplaceAll(gosec(20, []string{one, two}, []string{three}), "endTimeUtc", "left"), strings.ReplaceAll(gosec(21, []string{one}, []string{three}), "endTimeUtc", "left"), 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := sent("sarif", []byte(c.first), append(hints, "whence-time", "2026-11-20T03:00:00Z")...)
			second := sent("sarif", []byte(c.second), append(hints, "whence-time", "2026-11-21T03:00:00Z")...)
			for _, order := range [][]*pipeline.Batch{{first, second}, {second, first}} {
				tl := timeline.New()
				for _, b := range order {
					b.Facts = nil
					if err := New(Config{}).Process(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					if len(b.Dead) > 0 {
						t.Fatal(b.Dead[0].Detail)
					}
					tl.Apply(b.Facts)
				}
				asked := make([]event.Observation, 2)
				for i, at := range []string{"2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z"} {
					asked[i].Service, asked[i].Environment, asked[i].Time = "shop", "production", event.MillisOf(rfc3339(at))
				}
				open := make([]event.Enrichment, 2)
				tl.Enrich(asked, open)
				if got := []int{len(open[0].FindingIDs), len(open[1].FindingIDs)}; !slices.Equal(got, []int{c.before, c.after}) {
					t.Errorf("open are %v, want %d and %d", got, c.before, c.after)
				}
			}
		})
	}
}

func TestAScanThatDoesNotKnowAllSaysSo(t *testing.T) {
	run := func(more string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift"}}` + more + `}]}`
	}
	for _, c := range []struct {
		name, body string
		hint       string
		complete   bool
	}{
		{"found nothing", run(`,"results":[]`), "", true},
		{"looked for nothing", run(``), "", false},
		{"failed", run(`,"results":[],"invocations":[{"executionSuccessful":false}]`), "", false},
		{"said not to be", run(`,"results":[]`), "false", false},
		{"said to be", run(``), "true", true},
	} {
		lines := scanOf(t, "sarif", c.body, "whence-repository", "r", "whence-complete", c.hint)
		if len(lines) != 1 || strings.Contains(lines[0], "complete=false") == c.complete {
			t.Errorf("%s: %v", c.name, lines)
		}
	}
}

func TestAScanOfWhoKnowsWhatIsAloneWithItsTarget(t *testing.T) {
	body := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift"}},"results":[]}]}`
	at := func(time string) string { return scanOf(t, "sarif", body, "whence-time", time)[0] }
	one, other := at("2026-11-20T02:00:00Z"), at("2026-11-21T02:00:00Z")
	if !strings.Contains(one, "target=scan ") || one[17:] == other[17:] {
		t.Errorf("%s\n%s", one, other)
	}
}

func TestAReportMeansTheSameWhicheverWayItComes(t *testing.T) {
	var results []string
	for i := range 400 {
		results = append(results, fmt.Sprintf(`{"ruleIndex":%d,"partialFingerprints":{"h":"%d"},"message":{"text":%q}}`, i%3, i, strings.Repeat("x", 100)))
	}
	report := strings.Replace(sarifReport, `"results":[`, `"results":[`+strings.Join(results, ",")+`,`, 1)
	whole := ids(t, "sarif", report)
	var parts []string
	known := map[int]bool{}
	of := 0
	err := scan.Split("sarif", strings.NewReader(report), scan.LeastLimit, func(chunk []byte, headers map[string]string) error {
		b := sent("sarif", chunk, scan.Header, headers[scan.Header], scan.HeaderPart, headers[scan.HeaderPart])
		if err := New(Config{}).Process(t.Context(), b); err != nil {
			return err
		}
		for _, f := range b.Facts {
			s := f.Payload.(*event.Scan)
			known[s.Part], of = true, max(of, s.Parts)
			if s.ScanID != "7f3c" {
				t.Errorf("part %d is of scan %s", s.Part, s.ScanID)
			}
			for _, found := range s.Findings {
				parts = append(parts, found.FindingID)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole, parts) || len(whole) != 405 || len(known) < 3 || of != len(known) {
		t.Errorf("%d findings whole, %d in parts %v of %d", len(whole), len(parts), known, of)
	}
}

func TestReportsOfScannersAreScans(t *testing.T) {
	for _, c := range []struct {
		name, from, body string
		headers          []string
		want             []string
	}{
		{
			"Trivy of an image", "trivy", `{"SchemaVersion":2,"CreatedAt":"2026-11-20T02:00:00.5+01:00","ArtifactName":"registry.example/shop/cart:1.7","ArtifactType":"container_image",
			"Metadata":{"RepoDigests":["registry.example/shop/cart@sha256:ab12"]},"Results":[
			{"Target":"registry.example/shop/cart:1.7 (debian 13.1)","Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","PkgName":"openssl","InstalledVersion":"3.0","Severity":"HIGH","PrimaryURL":"https://avd.example/1"}],
			 "ExperimentalModifiedFindings":[{"Type":"vulnerability","Status":"not_affected","Finding":{"VulnerabilityID":"CVE-2026-2","PkgName":"bash","Severity":"NEGLIGIBLE"}}]},
			{"Target":"Dockerfile","Class":"config","Misconfigurations":[{"ID":"DS002","Severity":"MEDIUM","Status":"FAIL"},{"ID":"DS003","Severity":"LOW","Status":"PASS"}]},
			{"Target":"/etc/key.pem","Class":"secret","Secrets":[{"RuleID":"private-key","Severity":"HIGH","Match":"-----BEGIN ***"}]},
			{"Target":"lib","Class":"license","Licenses":[{"Name":"AGPL-3.0","PkgName":"x","Severity":"UNKNOWN"}]}]}`, nil,
			[]string{
				"2026-11-20T01:00Z artifact=pkg:oci/cart@sha256%3Aab12?repository_url=registry.example%2Fshop%2Fcart parts=1 scan_id=S service=cart target=registry.example/shop/cart container_image tool=trivy",
				"  evidence_url=https://avd.example/1 finding_id=trivy/CVE-2026-1/5 kind=vulnerability rule=CVE-2026-1 severity=high",
				"  finding_id=trivy/CVE-2026-2/5 kind=vulnerability rule=CVE-2026-2 severity=info status=accepted",
				"  finding_id=trivy/DS002/5 kind=misconfiguration rule=DS002 severity=medium",
				"  finding_id=trivy/private-key/5 kind=secret rule=private-key severity=high",
				"  finding_id=trivy/license/AGPL-3.0/5 kind=audit rule=license/AGPL-3.0 severity=unknown",
			},
		},
		{
			"Trivy of a file system, whose name says nothing", "trivy", `{"SchemaVersion":2,"CreatedAt":"2026-11-20T02:00:00Z","ArtifactName":".","ArtifactType":"filesystem"}`,
			[]string{"whence-repository", "git.example/shop", "whence-branch", "main", "whence-revision", "0a"},
			[]string{"2026-11-20T02:00Z parts=1 repository=git.example/shop revision=0a scan_id=S~7 target=git.example/shop filesystem main tool=trivy"},
		},
		{
			"Grype of an image", "grype", `{"matches":[{"vulnerability":{"id":"GHSA-1","severity":"Critical","dataSource":"https://ghsa.example/1"},"artifact":{"name":"lodash","version":"4.0","type":"npm","locations":[{"path":"/app/package-lock.json"}]}}],
			"ignoredMatches":[{"vulnerability":{"id":"CVE-2026-3","severity":"Low"},"artifact":{"name":"libc","type":"deb"}}],
			"source":{"type":"image","target":{"userInput":"registry.example:5000/shop/cart","repoDigests":["registry.example:5000/shop/cart@sha256:ab"]}},"descriptor":{"name":"grype","timestamp":"2026-11-20T02:00:00Z"}}`,
			[]string{"whence-service", "basket"},
			[]string{
				"2026-11-20T02:00Z artifact=pkg:oci/cart@sha256%3Aab?repository_url=registry.example%3A5000%2Fshop%2Fcart parts=1 scan_id=S~7 service=basket target=registry.example:5000/shop/cart image tool=grype",
				"  evidence_url=https://ghsa.example/1 finding_id=grype/GHSA-1/5 kind=vulnerability rule=GHSA-1 severity=critical",
				"  finding_id=grype/CVE-2026-3/5 kind=vulnerability rule=CVE-2026-3 severity=low status=accepted",
			},
		},
		{
			"CycloneDX of an inventory", "cyclonedx", `{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:3e67","version":2,
			"metadata":{"timestamp":"2026-11-20T02:00:00Z","tools":{"components":[{"type":"application","name":"sift"}]},
			 "component":{"type":"container","name":"cart","purl":"pkg:oci/cart@sha256%3Aab?repository_url=registry.example/cart","externalReferences":[{"type":"vcs","url":"https://git.example/cart"}]}},
			"components":[{"type":"library","bom-ref":"7","name":"lodash","purl":"pkg:npm/lodash@4.0.1"}],
			"vulnerabilities":[
			 {"id":"CVE-1","ratings":[{"severity":"medium"},{"score":9.1}],"source":{"url":"https://nvd.example/1"},"affects":[{"ref":"7"}],"analysis":{"state":"exploitable"}},
			 {"id":"CVE-2","affects":[{"ref":"pkg:npm/%40a/b@1"},{"ref":"urn:cdx:x"}],"analysis":{"state":"not_affected"}},
			 {"id":"CVE-3","ratings":[{"severity":"low"}],"analysis":{"state":"resolved"}}]}`, nil,
			[]string{
				"2026-11-20T02:00Z artifact=pkg:oci/cart@sha256%3Aab?repository_url=registry.example/cart parts=1 repository=https://git.example/cart scan_id=urn:uuid:3e67/2 service=cart target=pkg:oci/cart?repository_url=registry.example/cart tool=sift",
				"  artifact=pkg:npm/lodash@4.0.1 evidence_url=https://nvd.example/1 finding_id=sift/CVE-1/5 kind=vulnerability rule=CVE-1 severity=critical",
				"  artifact=pkg:npm/%40a/b@1 finding_id=sift/CVE-2/5 kind=vulnerability rule=CVE-2 severity=unknown status=accepted",
				"  finding_id=sift/CVE-2/5 kind=vulnerability rule=CVE-2 severity=unknown status=accepted",
				"  finding_id=sift/CVE-3/5 kind=vulnerability rule=CVE-3 severity=low status=remediated",
			},
		},
		{
			"a VEX", "cyclonedx", `{"bomFormat":"CycloneDX","specVersion":"1.4","metadata":{"timestamp":"2026-11-20T02:00:00Z","component":{"type":"application","group":"com.shop","name":"cart","version":"1"}},
			"vulnerabilities":[{"id":"CVE-1","affects":[{"ref":"x"}],"analysis":{"state":"in_triage"}}]}`, nil,
			[]string{
				"2026-11-20T02:00Z complete=false parts=1 scan_id=S service=cart target=com.shop/cart tool=cyclonedx",
				"  finding_id=cyclonedx/CVE-1/5 kind=vulnerability rule=CVE-1 severity=unknown",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := withoutDigests(scanOf(t, c.from, c.body, c.headers...))
			for i, line := range lines {
				if _, behind, found := strings.Cut(line, "scan_id="); found {
					id, _, _ := strings.Cut(behind, " ")
					if id, _, _ = strings.Cut(id, "~"); len(id) == 32 {
						lines[i] = strings.Replace(line, id, "S", 1)
					}
				}
			}
			if diff := cmp.Diff(c.want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPackageIsTheSameFindingInTheNextVersionOfAnImage(t *testing.T) {
	image := func(tag, debian, version string) string {
		return `{"SchemaVersion":2,"ArtifactName":"shop/cart:` + tag + `","ArtifactType":"container_image","Results":[{"Target":"shop/cart:` + tag + ` (debian ` + debian + `)","Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"openssl","InstalledVersion":"` + version + `"}]}]}`
	}
	if one, other := ids(t, "trivy", image("1.0", "12", "3.0.1")), ids(t, "trivy", image("1.1", "13", "3.0.2")); len(one) != 1 || !slices.Equal(one, other) {
		t.Errorf("%v, then %v", one, other)
	}
}

func TestAnOCSFFindingLivesThroughItsEvents(t *testing.T) {
	event := func(class int, more string) string {
		return fmt.Sprintf(`{"class_uid":%d,"time":1763604000000,"severity_id":4,"finding_info":{"uid":"f-1","title":"Open port","created_time":1763600000000,"analytic":{"uid":"rule-7"}},"metadata":{"product":{"name":"Eye"}},"resources":[{"name":"cart","uid":"arn:1"}]%s}`, class, more)
	}
	const finding = `"finding_id":"f-1","first_seen":"2025-11-20T00:53:20Z"`
	for _, c := range []struct{ name, body, want string }{
		{"new", event(2003, `,"compliance":{"control":"CIS 1.1","status_id":3}`), `finding.opened 2025-11-20T02:00:00Z f-1/opened/2025-11-20T02:00:00.000Z {"control":"CIS 1.1",` + finding + `,"kind":"audit","rule":"CIS 1.1","service":"cart","severity":"high"}`},
		{"passed", event(2003, `,"compliance":{"control":"CIS 1.1","status_id":1}`), `finding.remediated 2025-11-20T02:00:00Z f-1/remediated/2025-11-20T02:00:00.000Z {"control":"CIS 1.1",` + finding + `,"kind":"audit","rule":"CIS 1.1","service":"cart","severity":"high"}`},
		{"suppressed", event(2002, `,"status":"Suppressed","vulnerabilities":[{"cve":{"uid":"CVE-1"}}]`), `finding.accepted 2025-11-20T02:00:00Z f-1/accepted/2025-11-20T02:00:00.000Z {` + finding + `,"kind":"vulnerability","rule":"CVE-1","service":"cart","severity":"high"}`},
		{"closed", event(2004, `,"activity_id":3`), `finding.remediated 2025-11-20T02:00:00Z f-1/remediated/2025-11-20T02:00:00.000Z {` + finding + `,"kind":"audit","rule":"rule-7","service":"cart","severity":"high"}`},
		{"a breach", event(2004, `,"verdict_id":2`), `breach.detected 2025-11-20T02:00:00Z f-1/detected/2025-11-20T02:00:00.000Z {"breach_id":"f-1","environment":"production","service":"cart","severity":"high","started_at":"2025-11-20T00:53:20Z"}`},
		{"a breach that is over", event(2004, `,"verdict_id":2,"status_id":4`), `breach.contained 2025-11-20T02:00:00Z f-1/contained/2025-11-20T02:00:00.000Z {"breach_id":"f-1","environment":"production","service":"cart","severity":"high","started_at":"2025-11-20T00:53:20Z"}`},
		{"of another class", event(6003, ``), ""},
	} {
		lines := saidBy(t, "ocsf", []byte(c.body))
		kept := lines[len(lines)-1]
		if lines = lines[:len(lines)-1]; strings.Join(lines, "\n") != c.want || !strings.HasPrefix(kept, "kept io.ocsf.") {
			t.Errorf("%s:\ngot  %v, %s\nwant %s", c.name, lines, kept, c.want)
		}
	}
}

func TestOneReportWithOtherHintsIsAnotherScan(t *testing.T) {
	timeless := strings.Replace(sarifReport, `"invocations":[{"executionSuccessful":true,"endTimeUtc":"2026-11-20T02:10:00Z"}],`, "", 1)
	for _, c := range []struct{ name, from, body string }{
		{"SARIF", "sarif", sarifReport},
		{"SARIF that states no time", "sarif", timeless},
		{"Trivy", "trivy", `{"SchemaVersion":2,"CreatedAt":"2026-11-20T02:00:00Z","ArtifactName":".","ArtifactType":"filesystem"}`},
		{"Grype", "grype", `{"matches":[],"source":{"type":"directory","target":"."},"descriptor":{"name":"grype","timestamp":"2026-11-20T02:00:00Z"}}`},
		{"CycloneDX", "cyclonedx", `{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:3e67","version":2,"metadata":{"timestamp":"2026-11-20T02:00:00Z"},"components":[],"vulnerabilities":[]}`},
		{"OCSF", "ocsf", `{"class_uid":2003,"time":1763604000000,"severity_id":4,"finding_info":{"uid":"f-1","title":"Open port"}}`},
	} {
		fact := func(hints ...string) string {
			t.Helper()
			events := factIDs(t, c.from, []byte(c.body), append(hints, "whence-received", "2026-11-20T03:00:00Z")...)
			if len(events) == 0 {
				t.Fatalf("%s: no fact", c.name)
			}
			return events[0]
		}
		known := map[string]string{}
		for _, hints := range [][]string{
			{}, {"whence-service", "cart"}, {"whence-service", "basket"}, {"whence-environment", "staging"}, {"whence-repository", "cart"},
			{"whence-revision", "0a"}, {"whence-artifact", "cart"}, {"whence-branch", "main"}, {"whence-complete", "false"}, {"whence-service", "cart", "whence-environment", "staging"},
		} {
			id := fact(hints...)
			if other, twice := known[id]; twice {
				t.Errorf("%s: %v is the scan of %s: %s", c.name, hints, other, id)
			}
			if again := fact(hints...); again != id {
				t.Errorf("%s: %v again is %s, not %s", c.name, hints, again, id)
			}
			known[id] = fmt.Sprint(hints)
		}
	}
}

func TestAllPartsOfAReportAreOfTheScanItsHintsMakeOfIt(t *testing.T) {
	var results []string
	for i := range 400 {
		results = append(results, fmt.Sprintf(`{"ruleId":"r","message":{"text":"%s"},"fingerprints":{"v1":"%d"}}`, strings.Repeat("x", 200), i))
	}
	report := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift"}},"results":[` + strings.Join(results, ",") + `]}]}`
	hints := []string{"whence-service", "cart", "whence-received", "2026-11-20T03:00:00Z"}
	whole := factIDs(t, "sarif", []byte(report), hints...)[0]
	parts, last := 0, false
	err := scan.Split("sarif", strings.NewReader(report), scan.LeastLimit, func(chunk []byte, headers map[string]string) error {
		parts++
		own := slices.Clone(hints)
		for name, text := range headers {
			own = append(own, name, text)
		}
		if parts > 1 && strings.Contains(headers[scan.HeaderPart], "/") {
			last = true
		}
		if got, want := factIDs(t, "sarif", chunk, own...)[0], strings.TrimSuffix(whole, "/1")+fmt.Sprintf("/%d", parts); got != want {
			t.Errorf("part %d is %s, want %s", parts, got, want)
		}
		return nil
	})
	if err != nil || !last {
		t.Errorf("%d parts, %v", parts, err)
	}
}

// factIDs are the ids of the facts in a payload.
func factIDs(t *testing.T, from string, body []byte, headers ...string) (ids []string) {
	t.Helper()
	b := sent(from, body, headers...)
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i := range b.Facts {
		ids = append(ids, b.Facts[i].ID)
	}
	return ids
}

func TestOCSFComesOneByOneInListsAndInLines(t *testing.T) {
	one := func(uid string) string {
		return `{"class_uid":2003,"time":1763604000000,"severity":"Low","status":"New","finding_info":{"uid":"` + uid + `","title":"t"}}`
	}
	for _, body := range []string{one("a") + "\n" + one("b"), "[" + one("a") + "," + one("b") + "]", one("a") + "[" + one("b") + "]"} {
		lines := saidBy(t, "ocsf", []byte(body))
		if len(lines) != 4 || !strings.Contains(lines[0], `"a"`) || !strings.Contains(lines[1], `"b"`) {
			t.Errorf("%s: %v", body, lines)
		}
	}
}

func TestWhatAFindingLacksIsSaidWithWhatIsKept(t *testing.T) {
	lines := saidBy(t, "ocsf", []byte(`{"class_uid":2004,"time":1763604000000,"severity":"High","verdict_id":2,"finding_info":{"uid":"f"}}`))
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "kept io.ocsf.detection_finding unplaced=breach.detected: ") {
		t.Error(lines)
	}
}

func TestTheRecordedOCSFFindingsAreOpen(t *testing.T) {
	for name, want := range map[string]string{
		"compliance_finding.json":    `finding.opened 2023-07-21T18:11:53Z `,
		"vulnerability_finding.json": `finding.opened 2024-01-26T22:19:14Z `,
	} {
		body, err := os.ReadFile(sharedData("ocsf", name))
		if err != nil {
			t.Skip(err)
		}
		lines := saidBy(t, "ocsf", body)
		if len(lines) != 2 || !strings.HasPrefix(lines[0], want) || strings.Contains(lines[1], "unplaced") {
			t.Errorf("%s: %v", name, lines)
		}
	}
}

func TestWhatIsNoReportIsADeadLetter(t *testing.T) {
	for _, c := range [][2]string{
		{"sarif", `{"error":"not found"}`}, {"sarif", `[]`}, {"sarif", `{"runs":[{"results":[1]}]}`},
		{"trivy", `{}`}, {"grype", `{"matches":{}}`}, {"cyclonedx", `{"bomFormat":"SPDX"}`}, {"ocsf", `"x"`}, {"ocsf", `{"class_uid":"x"}`}, {"ocsf", ` `},
	} {
		if lines := saidBy(t, c[0], []byte(c[1])); len(lines) != 1 || !strings.HasPrefix(lines[0], "dead malformed") && !strings.HasPrefix(lines[0], "dead wrong_type") {
			t.Errorf("%s %s: %v", c[0], c[1], lines)
		}
	}
}

// fuzzFindings: any body is events or a dead letter, the same each time.
func fuzzFindings(f *testing.F, from string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "1/1")
	}
	p := New(Config{})
	f.Fuzz(func(t *testing.T, body []byte, part string) {
		var before []byte
		for range 2 {
			b := sent(from, bytes.Clone(body), scan.Header, "s", scan.HeaderPart, part)
			if err := p.Process(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if len(b.Facts)+len(b.Observations)+len(b.Others) == 0 == (len(b.Dead) == 0) {
				t.Fatalf("%d facts, %d kept, %d dead", len(b.Facts), len(b.Others), len(b.Dead))
			}
			if len(b.Dead) > 0 && strings.Contains(b.Dead[0].Detail, "which is a bug") {
				t.Fatal(b.Dead[0].Detail)
			}
			hashes := []byte{}
			for _, fact := range b.Facts {
				hashes = fmt.Appendf(hashes, "%s %x\n", fact.ID, fact.Hash)
			}
			if before != nil && !bytes.Equal(before, hashes) {
				t.Fatalf("%s, then %s", before, hashes)
			}
			before = hashes
		}
	})
}

func FuzzSARIF(f *testing.F) { fuzzFindings(f, "sarif", sarifReport, `{"runs":[{}]}`) }
func FuzzTrivy(f *testing.F) {
	fuzzFindings(f, "trivy", `{"SchemaVersion":2,"ArtifactName":"a:1","ArtifactType":"container_image","Metadata":{"RepoDigests":["a@sha256:1"]},"Results":[{"Target":"t","Vulnerabilities":[{"VulnerabilityID":"C","PkgName":"p"}],"ExperimentalModifiedFindings":[{"Type":"secret","Finding":{"RuleID":"r"}}]}]}`)
}
func FuzzGrype(f *testing.F) {
	fuzzFindings(f, "grype", `{"matches":[{"vulnerability":{"id":"C"},"artifact":{"name":"p","type":"npm","locations":[{"path":"x"}]}}],"source":{"type":"image","target":{"userInput":"a:1"}}}`)
}
func FuzzCycloneDX(f *testing.F) {
	fuzzFindings(f, "cyclonedx", `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":[{"name":"t"}],"component":{"name":"c","purl":"pkg:a/b@1?x#y"}},"components":[{"bom-ref":"1","name":"n"}],"vulnerabilities":[{"id":"C","affects":[{"ref":"1"}],"ratings":[{"score":1}],"analysis":{"state":"resolved"}}]}`)
}
func FuzzOCSF(f *testing.F) {
	fuzzFindings(f, "ocsf", `{"class_uid":2002,"time":1763604000000,"finding_info":{"uid":"f","types":["Breach"]},"vulnerabilities":[{"cve":{"uid":"C"}}]}`, `[{"class_uid":2004}]`)
}

func TestAReportOfWindowsSaysWhatAnyOtherDoes(t *testing.T) {
	report := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"ruleId":"a"}]}]}`
	plain, marked := saidBy(t, "sarif", []byte(report)), saidBy(t, "sarif", []byte("\xef\xbb\xbf"+report))
	if diff := cmp.Diff(plain, marked); diff != "" || len(plain) != 2 {
		t.Errorf("plain, marked: %s\n%q", diff, plain)
	}
}

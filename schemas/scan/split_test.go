package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// part is one chunk.
type part struct {
	body    []byte
	headers map[string]string
}

func split(t testing.TB, kind, report string, limit int) []part {
	t.Helper()
	var parts []part
	if err := Split(kind, strings.NewReader(report), limit, func(chunk []byte, headers map[string]string) error {
		parts = append(parts, part{chunk, headers})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if len(p.body) > limit {
			t.Errorf("part %d has %d bytes of %d", i, len(p.body), limit)
		}
		if !json.Valid(p.body) {
			t.Errorf("part %d is no JSON: %.300s", i, p.body)
		}
	}
	return parts
}

// at follows a path of names and places into a chunk.
func at(t testing.TB, p part, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(p.body, &v); err != nil {
		t.Fatal(err)
	}
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

// sarifReport has that many results of as many rules, two runs' worth of what
// tools write, and its results before its tool.
func sarifReport(results, rules, words int) string {
	var b strings.Builder
	b.WriteString(`{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"results":[`)
	for i := range results {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"ruleIndex":%d,"level":"warning","message":{"text":%q},"locations":[{"physicalLocation":{"artifactLocation":{"index":%d},"region":{"startLine":%d}}}],"partialFingerprints":{"primaryLocationLineHash":"%016x:1"}}`,
			i%rules, strings.Repeat("tainted ", words), i%7, i, i)
	}
	b.WriteString(`],"tool":{"driver":{"name":"Sift","version":"3.1","rules":[`)
	for i := range rules {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"sift/%d","help":{"markdown":%q},"properties":{"security-severity":"8.1","tags":["security"]}}`, i, strings.Repeat("Do not. ", 200))
	}
	b.WriteString(`]}},"artifacts":[`)
	for i := range 7 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"location":{"uri":"src/file%d.go"},"contents":{"text":%q}}`, i, strings.Repeat("x", 1000))
	}
	b.WriteString(`],"versionControlProvenance":[{"repositoryUri":"https://git.example/shop/cart","revisionId":"0a1b"}]}]}`)
	return b.String()
}

func TestEachResultIsInOneChunkWithItsToolAndItsRule(t *testing.T) {
	parts := split(t, "sarif", sarifReport(1000, 50, 10), 32<<10)
	next := 0
	for i, p := range parts {
		rules := map[string]bool{}
		for _, r := range at(t, p, "runs", 0, "tool", "driver", "rules").([]any) {
			rules[r.(map[string]any)["id"].(string)] = true
		}
		if got := at(t, p, "runs", 0, "tool", "driver", "name"); got != "Sift" {
			t.Errorf("part %d is of the tool %v", i, got)
		}
		if got := at(t, p, "runs", 0, "versionControlProvenance", 0, "revisionId"); got != "0a1b" {
			t.Errorf("part %d is of revision %v", i, got)
		}
		for _, r := range at(t, p, "runs", 0, "results").([]any) {
			r := r.(map[string]any)
			if want := fmt.Sprintf("%016x:1", next); r["partialFingerprints"].(map[string]any)["primaryLocationLineHash"] != want {
				t.Fatalf("result %v instead of %s", r["partialFingerprints"], want)
			}
			if want := fmt.Sprintf("sift/%d", next%50); r["ruleId"] != want || !rules[want] || r["ruleIndex"] != nil {
				t.Fatalf("result %d is of rule %v %v", next, r["ruleId"], r["ruleIndex"])
			}
			file := r["locations"].([]any)[0].(map[string]any)["physicalLocation"].(map[string]any)["artifactLocation"].(map[string]any)["uri"]
			if want := fmt.Sprintf("src/file%d.go", next%7); file != want {
				t.Fatalf("result %d is in %v", next, file)
			}
			next++
		}
	}
	if next != 1000 {
		t.Errorf("%d results", next)
	}
	for i, p := range parts {
		want := fmt.Sprint(i + 1)
		if i == len(parts)-1 {
			want = fmt.Sprintf("%d/%d", i+1, i+1)
		}
		if p.headers[HeaderPart] != want || p.headers[Header] != parts[0].headers[Header] || len(p.headers[Header]) != 32 {
			t.Errorf("part %d: %v", i, p.headers)
		}
	}
}

func TestTheSameReportIsTheSameScanAndTheSameChunks(t *testing.T) {
	report := sarifReport(300, 5, 10)
	first, second := split(t, "sarif", report, 20<<10), split(t, "sarif", report, 20<<10)
	for i := range first {
		if !bytes.Equal(first[i].body, second[i].body) || first[i].headers[Header] != second[i].headers[Header] {
			t.Errorf("part %d differs", i)
		}
	}
	if other := split(t, "sarif", report+" ", 20<<10); other[0].headers[Header] == first[0].headers[Header] {
		t.Error("other bytes are the same scan")
	}
}

func TestReportsOfEachFormatAreCut(t *testing.T) {
	for _, c := range []struct {
		name, kind, report string
		want               []string // scan or nothing, part, body
	}{
		{
			"a run that says its guid and found nothing", "sarif",
			`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift"}},"automationDetails":{"id":"cart/","guid":"6c1d"},"results":[]}]}`,
			[]string{`6c1d 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift","rules":[]}},"automationDetails":{"id":"cart/"},"results":[]}]}`},
		},
		{
			"two runs are two scans", "sarif", "\xef\xbb\xbf" +
				`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A"},"extensions":[{"name":"E","rules":[{"id":"E1"}]}]},"results":[{"rule":{"index":0,"toolComponent":{"name":"E"}}}]},{"tool":{"driver":{"name":"B"}},"results":[]}]}`,
			[]string{
				`- 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[{"id":"E1"}]}},"results":[{"ruleId":"E1"}]}]}`,
				`-/1 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"B","rules":[]}},"results":[]}]}`,
			},
		},
		{
			"runs of one tool and target are one scan, whatever is between them", "sarif",
			`{"runs":[{"tool":{"driver":{"name":"A"}},"automationDetails":{"id":"all/1"},"results":[{"ruleId":"1"}]},{"tool":{"driver":{"name":"B"}},"results":[]},
				{"tool":{"driver":{"name":"A"}},"automationDetails":{"id":"all/2"},"results":[]},{"tool":{"driver":{"name":"A"}},"automationDetails":{"id":"more/"},"results":[]}]}`,
			[]string{
				`- 1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}},"automationDetails":{"id":"all/1"},"results":[{"ruleId":"1"}]}]}`,
				`-/1 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"B","rules":[]}},"results":[]}]}`,
				`- 2/2 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}},"automationDetails":{"id":"all/2"},"results":[]}]}`,
				`-/2 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}},"automationDetails":{"id":"more/"},"results":[]}]}`,
			},
		},
		{
			"runs that a hint might make one scan don't say that they name all there is", "sarif",
			`{"runs":[{"tool":{"driver":{"name":"A"}},"versionControlProvenance":[{"repositoryUri":"r"}],"results":[]},{"tool":{"driver":{"name":"A"}},"results":[]},
				{"tool":{"driver":{"name":"B"}},"results":[]}]}`,
			[]string{
				`- 1/1 partial {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}},"versionControlProvenance":[{"repositoryUri":"r"}],"results":[]}]}`,
				`-/1 1/1 partial {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}},"results":[]}]}`,
				`-/2 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"B","rules":[]}},"results":[]}]}`,
			},
		},
		{
			"a run that has not looked for anything", "sarif", `{"runs":[{"tool":{"driver":{"name":"A"}}}]}`,
			[]string{`- 1/1 {"version":"2.1.0","runs":[{"tool":{"driver":{"name":"A","rules":[]}}}]}`},
		},
		{
			"an image", "trivy",
			`{"SchemaVersion":2,"ReportID":"r-1","ArtifactName":"cart:1.2","ArtifactType":"container_image","Metadata":{"ImageID":"sha256:aa","ImageConfig":{"history":[1,2]}},"Results":[{"Target":"cart:1.2 (debian)","Class":"os-pkgs","Packages":[{"Name":"bash"}],"Vulnerabilities":[{"VulnerabilityID":"CVE-2024-1"}]},{"Target":"empty"},{"Class":"secret","Secrets":[{"RuleID":"aws"}],"Target":"/etc/key"}]}`,
			[]string{`r-1 1/1 {"SchemaVersion":2,"ReportID":"r-1","ArtifactName":"cart:1.2","ArtifactType":"container_image","Metadata":{"ImageID":"sha256:aa"},"Results":[{"Target":"cart:1.2 (debian)","Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-2024-1"}]},{"Class":"secret","Target":"/etc/key","Secrets":[{"RuleID":"aws"}]}]}`},
		},
		{
			"an image without findings", "trivy", `{"SchemaVersion":2,"ArtifactName":"cart:1.2"}`,
			[]string{`- 1/1 {"SchemaVersion":2,"ArtifactName":"cart:1.2","Results":[]}`},
		},
		{
			"matches and what was ignored of them", "grype",
			`{"ignoredMatches":[{"vulnerability":{"id":"CVE-2"}}],"matches":[{"vulnerability":{"id":"CVE-1"}}],"source":{"type":"image","target":{"userInput":"cart:1.2","config":"aGk="}},"descriptor":{"name":"grype","db":{"built":1}}}`,
			[]string{`- 1/1 {"source":{"type":"image","target":{"userInput":"cart:1.2"}},"descriptor":{"name":"grype"},"ignoredMatches":[{"vulnerability":{"id":"CVE-2"}}],"matches":[{"vulnerability":{"id":"CVE-1"}}]}`},
		},
		{
			"vulnerabilities with the components that they affect", "cyclonedx",
			`{"vulnerabilities":[{"id":"CVE-1","affects":[{"ref":"b"}]}],"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:1","version":3,"components":[{"bom-ref":"a","name":"a","components":[{"bom-ref":"b","name":"b","licenses":[]}]}]}`,
			[]string{`urn:uuid:1/3 1/1 {"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:1","version":3,"components":[{"bom-ref":"b","name":"b"}],"vulnerabilities":[{"id":"CVE-1","affects":[{"ref":"b"}]}]}`},
		},
		{
			"a statement that is no scan", "cyclonedx", `{"bomFormat":"CycloneDX","vulnerabilities":[{"id":"CVE-1"}]}`,
			[]string{`- 1/1 partial {"bomFormat":"CycloneDX","vulnerabilities":[{"id":"CVE-1"}]}`},
		},
		{"lines of events", "ocsf", "{\"class_uid\":2002}\n{\"class_uid\":2003}\n", []string{`- 1/1 [{"class_uid":2002},{"class_uid":2003}]`}},
		{"a list of events", "ocsf", `[{"class_uid":2002}, {"class_uid":2003}]`, []string{`- 1/1 [{"class_uid":2002},{"class_uid":2003}]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := split(t, c.kind, c.report, LeastLimit)
			var got []string
			for _, p := range parts {
				id, suffix, cut := strings.Cut(p.headers[Header], "/")
				if len(id) == 32 {
					id = "-"
				}
				if cut {
					id += "/" + suffix
				}
				partial := ""
				if p.headers[HeaderPartial] != "" {
					partial = "partial "
				}
				got = append(got, fmt.Sprintf("%s %s %s%s", id, p.headers[HeaderPart], partial, p.body))
			}
			if a, b := strings.Join(got, "\n"), strings.Join(c.want, "\n"); a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
		})
	}
}

func TestATrivyReportIsCutWithinAndBetweenItsTargets(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"SchemaVersion":2,"ArtifactName":"repo","Results":[`)
	for target := range 20 {
		if target > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"Target":"t%d","Vulnerabilities":[`, target)
		for v := range target * 3 {
			if v > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"VulnerabilityID":"CVE-%d-%d","Description":%q}`, target, v, strings.Repeat("bad ", 300))
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	seen := map[string]int{}
	for _, p := range split(t, "trivy", b.String(), LeastLimit) {
		for _, r := range at(t, p, "Results").([]any) {
			r := r.(map[string]any)
			for _, v := range r["Vulnerabilities"].([]any) {
				seen[r["Target"].(string)]++
				_ = v
			}
		}
	}
	for target := 1; target < 20; target++ {
		if got := seen[fmt.Sprintf("t%d", target)]; got != target*3 {
			t.Errorf("target %d has %d findings", target, got)
		}
	}
}

func TestAResultThatIsTooLargeLosesItsCodeFlowsFirst(t *testing.T) {
	flows := strings.Repeat(`{"threadFlows":[]},`, 2000)
	parts := split(t, "sarif", `{"runs":[{"tool":{"driver":{"name":"A"}},"results":[{"ruleId":"r","codeFlows":[`+strings.TrimSuffix(flows, ",")+`],"message":{"text":"m"}}]}]}`, LeastLimit)
	result := at(t, parts[0], "runs", 0, "results", 0).(map[string]any)
	if result["codeFlows"] != nil || result["ruleId"] != "r" || result["message"] == nil {
		t.Errorf("%v", result)
	}
}

func TestWhatIsNoReportIsRefusedWithItsPlace(t *testing.T) {
	long := strings.Repeat("x", 20*LeastLimit)
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct{ name, kind, report, want string }{
		{"nothing", "sarif", ``, "the report ends here"},
		{"a page", "sarif", `<html>`, "invalid character '<'"},
		{"another object", "sarif", `{"error":"not found"}`, "no runs: not what sarif writes"},
		{"a list", "trivy", `[]`, "must be an object"},
		{"another object", "trivy", `{"message":"ok"}`, "no SchemaVersion"},
		{"another object", "grype", `{"matches":null}`, "no matches"},
		{"another object", "cyclonedx", `{"bomFormat":"SPDX"}`, "no bomFormat CycloneDX"},
		{"no events", "ocsf", ` [] `, "no events"},
		{"cut off", "sarif", `{"runs":[{"results":[{"a":1},{"b"`, "runs[0].results[1]"},
		{"two reports", "grype", `{"matches":[]} {"matches":[]}`, "something follows the report"},
		{"a giant string in a result", "sarif", `{"runs":[{"results":[{},{"message":{"text":"` + long + `"}}]}]}`, "runs[0].results[1] (at byte"},
		{"a giant string anywhere", "grype", `{"source":{"x":"` + long + `"},"matches":[]}`, "source.x (at byte"},
		{"a giant name", "grype", `{"` + long + `":1}`, "a value is longer"},
		{"a giant number", "grype", `{"matches":[],"x":1` + strings.Repeat("0", 20*LeastLimit) + `}`, "a value is longer"},
		{"a gap", "grype", `{"matches":[],"x":` + strings.Repeat(" ", 20*LeastLimit) + `1}`, "a value is longer"},
		{"depth in a result", "trivy", `{"SchemaVersion":2,"Results":[{"Secrets":[` + deep + `]}]}`, "Results[0].Secrets"},
		{"depth anywhere", "trivy", `{"SchemaVersion":2,"x":` + deep + `}`, "x (at byte"},
		{"a result that is none", "sarif", `{"runs":[{"results":[7]}]}`, "runs[0].results[0] (at byte 22): must be an object"},
		{"a result larger than a chunk", "trivy", `{"SchemaVersion":2,"Results":[{"Secrets":[{"a":"` + strings.Repeat("x", LeastLimit) + `"}]}]}`, "doesn't fit a chunk"},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			err := Split(c.kind, strings.NewReader(c.report), LeastLimit, func([]byte, map[string]string) error { return nil })
			var wrong *Error
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.300v", err)
			}
		})
	}
	if err := Split("junit", strings.NewReader("{}"), LeastLimit, nil); err == nil {
		t.Error("a format that isn't there")
	}
}

func TestAnErrorOfTheReceiverEndsIt(t *testing.T) {
	full := errors.New("full")
	if err := Split("sarif", strings.NewReader(sarifReport(10, 1, 1)), LeastLimit, func([]byte, map[string]string) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
}

func FuzzSplit(f *testing.F) {
	for kind := range formats {
		f.Add(kind, []byte(sarifReport(20, 3, 1)))
		f.Add(kind, []byte(`{"SchemaVersion":2,"bomFormat":"CycloneDX","matches":[{}],"runs":[{}],"Results":[{"Secrets":[{}]}],"vulnerabilities":[{"affects":[{"ref":"a"}]}],"components":[{"bom-ref":"a"}]}`))
		f.Add(kind, []byte("{}\n[1]"))
	}
	f.Fuzz(func(t *testing.T, kind string, report []byte) {
		last := ""
		err := Split(kind, bytes.NewReader(report), LeastLimit, func(chunk []byte, headers map[string]string) error {
			if len(chunk) > LeastLimit || !json.Valid(chunk) {
				t.Fatalf("%d bytes: %.200s", len(chunk), chunk)
			}
			last = headers[HeaderPart]
			return nil
		})
		if err == nil && !strings.Contains(last, "/") {
			t.Fatalf("the last part is %q", last)
		}
	})
}

// large is a report that is written as it is read, so that it takes no memory.
type large struct {
	at, size int64
}

const largeHead = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Sift","rules":[{"id":"r1","properties":{"security-severity":"7.5"}}]}},"results":[`

var largeResult = []byte(`{"ruleId":"r1","ruleIndex":0,"level":"error","message":{"text":"` + strings.Repeat("a tainted value reaches a query; ", 20) +
	`"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/orders/repository.go"},"region":{"startLine":120}}}],"partialFingerprints":{"primaryLocationLineHash":"39fa2ee980eb94b0:1"}},`)

const largeTail = `{"ruleId":"r1"}]}]}`

func (l *large) Seek(int64, int) (int64, error) { l.at = 0; return 0, nil }

func (l *large) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && l.at < l.size {
		results := (l.size - int64(len(largeHead)+len(largeTail))) / int64(len(largeResult)) * int64(len(largeResult))
		switch at := l.at - int64(len(largeHead)); {
		case at < 0:
			p[n] = largeHead[l.at]
			n, l.at = n+1, l.at+1
		case at < results:
			copied := copy(p[n:], largeResult[at%int64(len(largeResult)):])
			n, l.at = n+copied, l.at+int64(copied)
		case at < results+int64(len(largeTail)):
			p[n] = largeTail[at-results]
			n, l.at = n+1, l.at+1
		default:
			l.at = l.size
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// BenchmarkSplit reads 50 MB of SARIF and says how much memory was in use at
// most, as the runtime has it from the system (heap-MB), sampled each
// millisecond.
func BenchmarkSplit(b *testing.B) {
	const size = 50 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			case <-done:
				tick.Stop()
				peak <- most
				return
			}
		}
	}()
	chunks := 0
	for b.Loop() {
		chunks = 0
		if err := Split("sarif", &large{size: size}, 1<<20, func([]byte, map[string]string) error { chunks++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	close(done)
	b.ReportMetric(float64(<-peak)/(1<<20), "heap-MB")
	b.ReportMetric(float64(chunks), "chunks")
}

// TestAResultThatIsNoObjectIsAnError: [0] was a scan that found nothing.
func TestAResultThatIsNoObjectIsAnError(t *testing.T) {
	for kind, report := range map[string]string{
		"trivy": `{"SchemaVersion":2,"Results":[0]}`,
		"sarif": `{"version":"2.1.0","runs":[null]}`,
	} {
		err := Split(kind, strings.NewReader(report), 1<<20, func([]byte, map[string]string) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "[0]") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

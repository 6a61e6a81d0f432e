package decode

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/whencehq/whence/schemas/scan"
)

// sarifReader reads SARIF 2.1.0 (OASIS); section numbers are of that standard.
// Most scanners write it: CodeQL, Semgrep, Trivy, Bandit, gosec, Checkov.
func sarifReader() reader {
	rules := scanRules(scanDocs{
		from: "sarif", when: "each run, each part of it",
		tool: "`tool.driver.name`",
		target: "`versionControlProvenance[0].repositoryUri`, else the hints `repository`, `artifact`, `service`; " +
			"`automationDetails.id` up to its last /; `versionControlProvenance[0].branch`",
		time:       "the latest `invocations[].endTimeUtc`",
		service:    "the hint",
		repository: "`versionControlProvenance[0].repositoryUri`, else the hint",
		revision:   "`versionControlProvenance[0].revisionId`, else the hint",
		artifact:   "the hint",
		complete:   "false without `results`, where an invocation wasn't `executionSuccessful`, or where a hint may make one target of runs that state two",
		findings: "results whose `kind` is fail, open or review. `status`: accepted with a `suppressions` that is not under review or rejected; remediated where `baselineState` is absent. " +
			"`severity`: the rule's `security-severity` (9 critical, 7 high, 4 medium), else `level`: error is high, warning medium, note low. " +
			"`kind`: by the tool, the rule and its tags. `revision_introduced`: the revision, where `baselineState` is new. `evidence_url`: `hostedViewerUri`, else the rule's `helpUri`.",
		finding: "`correlationGuid`, else one of `fingerprints`, else rule, file and `partialFingerprints`, else rule, file and the words of the snippet, the logical location or the message without its numbers; never a line",
	})
	return reader{source: "sarif", read: chunked("sarif", "org.oasis-open.sarif", rules, readSARIF), rows: rows(rules)}
}

func readSARIF(p *payload, chunk []byte) (*scanned, error) {
	var report struct{ Runs []*sarif.Run }
	if err := json.Unmarshal(chunk, &report); err != nil {
		return nil, malformed(err)
	}
	if len(report.Runs) == 0 || report.Runs[0] == nil {
		return &scanned{origin: "sarif", partial: true}, nil
	}
	run := report.Runs[0]
	x := &scanned{tool: "sarif", partial: run.Results == nil}
	r := sarifRun{scanned: x, rules: map[string]*sarif.ReportingDescriptor{}, words: map[*sarif.ReportingDescriptor]sarifWords{}}
	if run.Tool != nil && run.Tool.Driver != nil {
		x.tool = cmp.Or(brief(stated(run.Tool.Driver.Name)), x.tool)
		for _, rule := range run.Tool.Driver.Rules {
			if rule != nil {
				r.rules[stated(rule.ID)] = rule
			}
		}
	}
	x.origin = "sarif/" + x.tool
	r.provenance(p, run)
	for _, i := range run.Invocations {
		if i == nil {
			continue
		}
		if at := moment(stated(i.EndTimeUtc)); at.After(x.own) {
			x.own = at
		}
		x.partial = x.partial || i.ExecutionSuccessful != nil && !*i.ExecutionSuccessful
	}
	for _, result := range run.Results {
		if result != nil {
			r.result(result)
		}
	}
	return x, nil
}

// stated is what p points to, or nothing.
func stated[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

type sarifRun struct {
	*scanned
	rules map[string]*sarif.ReportingDescriptor
	words map[*sarif.ReportingDescriptor]sarifWords // of those that a result was of
}

func (r sarifRun) provenance(p *payload, run *sarif.Run) {
	branch := ""
	for _, v := range run.VersionControlProvenance {
		if v != nil {
			r.repository, r.revision, branch = stated(v.RepositoryURI), stated(v.RevisionID), stated(v.Branch)
			break
		}
	}
	r.subject = cmp.Or(r.repository, p.hint("repository"), p.hint("artifact"), p.service())
	if run.AutomationDetails != nil {
		r.analysis = scan.Analysis(stated(run.AutomationDetails.ID))
	}
	if branch != "" && p.hint("branch") == "" {
		r.analysis = strings.TrimPrefix(r.analysis+" "+branch, " ")
	}
}

func (r sarifRun) result(result *sarif.Result) {
	switch result.Kind { // §3.27.9; absent: fail
	case "", "fail", "open", "review":
	default:
		return
	}
	f := found{Rule: cmp.Or(stated(result.RuleID), "unnamed")}
	rule := r.rule(f.Rule)
	if rule == nil {
		rule = &sarif.ReportingDescriptor{}
	}
	f.Severity = sarifSeverity(result, rule)
	f.Kind = sarifKind(r.tool, f.Rule, r.wordsOf(rule))
	f.Evidence = cmp.Or(stated(result.HostedViewerURI), stated(rule.HelpURI))
	switch stated(result.BaselineState) { // §3.27.24
	case "absent":
		f.Status = remediated
	case "new":
		f.RevisionIntroduced = r.revision
	}
	for _, s := range result.Suppressions { // §3.35
		if s == nil || f.Status != "" {
			continue
		}
		if status := stated(s.Status); status != "underReview" && status != "rejected" {
			f.Status = accepted
		}
	}
	r.add(f, sarifIdentity(f.Rule, result)...)
}

// rule is the one called id, or the one that id is a part of (§3.5.4).
func (r sarifRun) rule(id string) *sarif.ReportingDescriptor {
	for len(id) <= mostHint {
		if rule := r.rules[id]; rule != nil {
			return rule
		}
		cut := strings.LastIndexByte(id, '/')
		if cut < 0 {
			return nil
		}
		id = id[:cut]
	}
	return nil
}

// sarifIdentity is what makes a result the same one in the next scan (§3.27.16,
// §3.27.17). Of several fingerprints the one with the greatest name counts: they
// are named with versions.
func sarifIdentity(rule string, result *sarif.Result) []string {
	if guid := stated(result.CorrelationGuID); guid != "" {
		return []string{"guid", guid}
	}
	if names := slices.Sorted(maps.Keys(result.Fingerprints)); len(names) > 0 {
		return []string{"fingerprint", result.Fingerprints[names[len(names)-1]]}
	}
	file, logical, snippet := sarifPlace(result)
	words := []string{"place", rule, file}
	const lineHash = "primaryLocationLineHash" // GitHub's own, which its uploads add
	if hash := result.PartialFingerprints[lineHash]; hash != "" {
		return append(words, hash)
	}
	if names := slices.Sorted(maps.Keys(result.PartialFingerprints)); len(names) > 0 {
		for _, name := range names {
			words = append(words, name, result.PartialFingerprints[name])
		}
		return words
	}
	switch {
	case snippet != "":
		return append(words, "snippet", strings.Join(strings.Fields(snippet), " "))
	case logical != "":
		return append(words, "logical", logical)
	case result.Message != nil:
		return append(words, "message", numbers.ReplaceAllString(stated(result.Message.Text), "0"))
	}
	return words
}

var numbers = regexp.MustCompile(`[0-9]+`)

func sarifPlace(result *sarif.Result) (file, logical, snippet string) {
	for _, l := range result.Locations {
		if l == nil {
			continue
		}
		for _, name := range l.LogicalLocations {
			if name != nil && logical == "" {
				logical = cmp.Or(stated(name.FullyQualifiedName), stated(name.Name))
			}
		}
		if where := l.PhysicalLocation; where != nil {
			if where.ArtifactLocation != nil {
				file = strings.TrimPrefix(strings.TrimPrefix(stated(where.ArtifactLocation.URI), "file://"), "./")
			}
			if where.Region != nil && where.Region.Snippet != nil {
				snippet = stated(where.Region.Snippet.Text)
			}
		}
		break // the first is where it is; others are where it must be changed too (§3.27.12)
	}
	return file, logical, snippet
}

// sarifSeverity: security-severity is a property that GitHub has introduced and
// scanners have taken up; level is §3.27.10.
func sarifSeverity(result *sarif.Result, rule *sarif.ReportingDescriptor) string {
	for _, bag := range []*sarif.PropertyBag{result.Properties, rule.Properties} {
		if bag == nil {
			continue
		}
		switch score := bag.Properties["security-severity"].(type) {
		case string:
			if n, err := strconv.ParseFloat(score, 64); err == nil {
				return severityOfScore(n)
			}
		case float64:
			return severityOfScore(score)
		}
	}
	level := result.Level
	if level == "" && rule.DefaultConfiguration != nil {
		level = rule.DefaultConfiguration.Level
	}
	switch level {
	case "error":
		return "high"
	case "note":
		return "low"
	case "none":
		return "info"
	}
	return "medium" // warning, which is what absent means
}

var (
	secretTools = []string{"gitleaks", "trufflehog", "detect-secrets", "ggshield", "gitguardian", "secretlint", "noseyparker"}
	configTools = []string{"checkov", "tfsec", "terrascan", "kics", "kubescape", "kube-linter", "hadolint", "cfn-lint", "kube-score", "conftest"}
	advisory    = regexp.MustCompile(`(?i)^(CVE|GHSA|GO|RUSTSEC|PYSEC|OSV|SNYK|ALAS|DSA|USN|RHSA)-`)
	configRule  = regexp.MustCompile(`^(AVD-|CKV|KSV|DS[0-9]|AWS-|AZU-|GCP-)`)
)

// sarifWords is what a rule's tags say of what it finds: looked at once, for a
// rule may have thousands of them, and of results.
type sarifWords struct{ secret, configuration, vulnerability bool }

func (r sarifRun) wordsOf(rule *sarif.ReportingDescriptor) sarifWords {
	words, known := r.words[rule]
	if known || rule.Properties == nil {
		return words
	}
	tagged := func(words ...string) bool {
		return slices.ContainsFunc(rule.Properties.Tags, func(tag string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(tag), w) })
		})
	}
	words = sarifWords{
		secret: tagged("secret", "cwe-798"), configuration: tagged("misconfiguration", "iac"),
		vulnerability: rule.Properties.Properties["security-severity"] != nil || tagged("vulnerability", "security", "cwe"),
	}
	r.words[rule] = words
	return words
}

// sarifKind: SARIF has no word for it.
func sarifKind(tool, id string, words sarifWords) string {
	named := func(tools []string) bool {
		return slices.ContainsFunc(tools, func(t string) bool { return strings.Contains(strings.ToLower(tool), t) })
	}
	switch {
	case words.secret || named(secretTools):
		return secret
	case words.configuration || named(configTools) || configRule.MatchString(id):
		return misconfiguration
	case words.vulnerability || advisory.MatchString(id):
		return vulnerability
	}
	return audit
}

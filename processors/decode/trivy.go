package decode

import (
	"cmp"
	"encoding/json"
	"strings"
)

// trivyReader reads `trivy --format json`, schema version 2. Trivy's own types
// are in a module that brings all of Trivy; these are the fields that are used.
func trivyReader() reader {
	rules := scanRules(scanDocs{
		from: "trivy", when: "each report, each part of it", tool: "\"trivy\"",
		target:     "the image without its tag, else `Metadata.RepoURL`, the hints `repository` and `service`; with the kind of `ArtifactType`",
		time:       "`CreatedAt`",
		service:    "the hint, else the last name of the image",
		repository: "`Metadata.RepoURL`, else the hint",
		revision:   "`Metadata.Commit`, else the hint",
		artifact:   "pkg:oci/ of `Metadata.RepoDigests[0]`, else the hint",
		complete:   "true",
		findings: "`Vulnerabilities`, `Secrets`, `Licenses` (audit), `Misconfigurations` that are no PASS (EXCEPTION: accepted), and what an ignore file or a VEX took out, as accepted. " +
			"`severity`: `Severity`. `evidence_url`: `PrimaryURL`.",
		finding: "class, target (not of the packages of an operating system), and the package and its path, the words of the secret, or the resource; never a version",
	})
	return reader{source: "trivy", read: chunked("trivy", "dev.trivy.report", rules, readTrivy), rows: rows(rules), plain: []string{"DependsOn", "InstalledFiles"}}
}

type trivyReport struct {
	CreatedAt, ArtifactName, ArtifactType string
	Metadata                              struct {
		RepoDigests     []string
		RepoURL, Commit string
	}
	Results []trivyResult
}

type trivyResult struct {
	Target, Class, Type          string
	Vulnerabilities              []trivyVulnerability
	Misconfigurations            []trivyMisconfiguration
	Secrets                      []trivySecret
	Licenses                     []trivyLicense
	ExperimentalModifiedFindings []struct {
		Type    string
		Finding json.RawMessage
	}
}

type trivyVulnerability struct {
	VulnerabilityID, PkgName, PkgPath, Severity, PrimaryURL string
}

type trivyMisconfiguration struct {
	ID, AVDID, Severity, Status, PrimaryURL string
	CauseMetadata                           struct{ Resource string }
}

type trivySecret struct {
	RuleID, Severity, Match string
}

type trivyLicense struct {
	Name, PkgName, FilePath, Severity, Link string
}

func readTrivy(p *payload, chunk []byte) (*scanned, error) {
	var report trivyReport
	if err := json.Unmarshal(chunk, &report); err != nil {
		return nil, malformed(err)
	}
	x := &scanned{
		origin: "trivy", tool: "trivy", own: moment(report.CreatedAt),
		repository: report.Metadata.RepoURL, revision: report.Metadata.Commit,
	}
	if report.ArtifactType == "container_image" {
		x.ofImage(report.ArtifactName, report.Metadata.RepoDigests)
	}
	x.subject = cmp.Or(x.subject, x.repository, p.hint("repository"), p.service())
	x.analysis = report.ArtifactType
	for _, r := range report.Results {
		r.say(x)
	}
	return x, nil
}

// ofImage says that x is of an image, known by its name and its digests with
// names.
func (x *scanned) ofImage(name string, digests []string) {
	var sum string
	x.subject, sum = imageName(name)
	for _, d := range digests {
		if stated, digest := imageName(d); sum == "" && digest != "" {
			x.artifact = imageURL(stated, digest)
			break
		}
	}
	if sum != "" {
		x.artifact = imageURL(x.subject, sum)
	}
	x.service = last(x.subject)
}

func (r *trivyResult) say(x *scanned) {
	target := r.Target
	if r.Class == "os-pkgs" { // the image's tag and the distribution's version are in it
		target = ""
	}
	for _, v := range r.Vulnerabilities {
		v.say(x, "", r.Class, target)
	}
	for _, m := range r.Misconfigurations {
		m.say(x, "", target)
	}
	for _, s := range r.Secrets {
		s.say(x, "", target)
	}
	for _, l := range r.Licenses {
		x.add(found{Kind: audit, Rule: "license/" + l.Name, Severity: severityOfWord(l.Severity), Evidence: l.Link}, "license", target, l.PkgName, l.FilePath)
	}
	for _, m := range r.ExperimentalModifiedFindings {
		switch m.Type {
		case "vulnerability":
			var v trivyVulnerability
			_ = json.Unmarshal(m.Finding, &v)
			v.say(x, accepted, r.Class, target)
		case "misconfiguration":
			var c trivyMisconfiguration
			_ = json.Unmarshal(m.Finding, &c)
			c.say(x, accepted, target)
		case "secret":
			var s trivySecret
			_ = json.Unmarshal(m.Finding, &s)
			s.say(x, accepted, target)
		}
	}
}

func (v *trivyVulnerability) say(x *scanned, status, class, target string) {
	if v.VulnerabilityID == "" {
		return
	}
	x.add(found{Status: status, Kind: vulnerability, Rule: v.VulnerabilityID, Severity: severityOfWord(v.Severity), Evidence: v.PrimaryURL},
		"vulnerability", class, target, v.PkgName, v.PkgPath)
}

func (m *trivyMisconfiguration) say(x *scanned, status, target string) {
	switch {
	case m.Status == "PASS":
		return
	case m.Status == "EXCEPTION":
		status = accepted
	}
	rule := cmp.Or(m.ID, m.AVDID)
	if rule == "" {
		return
	}
	x.add(found{Status: status, Kind: misconfiguration, Rule: rule, Severity: severityOfWord(m.Severity), Evidence: m.PrimaryURL},
		"misconfiguration", target, m.CauseMetadata.Resource)
}

func (s *trivySecret) say(x *scanned, status, target string) {
	if s.RuleID == "" {
		return
	}
	x.add(found{Status: status, Kind: secret, Rule: s.RuleID, Severity: severityOfWord(s.Severity)},
		"secret", target, strings.Join(strings.Fields(s.Match), " "))
}

package decode

import (
	"cmp"
	"encoding/json"
)

// grypeReader reads `grype --output json`. Grype's own types are in a module
// that brings all of Grype; these are the fields that are used.
func grypeReader() reader {
	rules := scanRules(scanDocs{
		from: "grype", when: "each report, each part of it", tool: "`descriptor.name`",
		target:     "the image without its tag, else the hints `repository` and `service`; with `source.type`",
		time:       "`descriptor.timestamp`",
		service:    "the hint, else the last name of the image",
		repository: "the hint", revision: "the hint",
		artifact: "pkg:oci/ of `source.target.repoDigests[0]`, else the hint",
		complete: "true",
		findings: "`matches`, and `ignoredMatches` as accepted; all are vulnerabilities. `severity`: `vulnerability.severity`. `evidence_url`: `vulnerability.dataSource`.",
		finding:  "`artifact.type`, `artifact.name` and, of what no package manager of the system has installed, the path; never a version",
	})
	return reader{source: "grype", read: chunked("grype", "dev.grype.report", rules, readGrype), rows: rows(rules)}
}

type grypeReport struct {
	Matches, IgnoredMatches []grypeMatch
	Source                  struct {
		Type   string
		Target json.RawMessage // of an image an object, of a directory its path
	}
	Descriptor struct{ Name, Timestamp string }
}

type grypeMatch struct {
	Vulnerability struct{ ID, Severity, DataSource string }
	Artifact      struct {
		Name, Type string
		Locations  []struct{ Path string }
	}
}

// grypeSystem are the types of packages that a system has one of each of,
// whichever file the package manager lists them in.
var grypeSystem = map[string]bool{"deb": true, "rpm": true, "apk": true, "alpm": true, "portage": true, "msrc-kb": true}

func readGrype(p *payload, chunk []byte) (*scanned, error) {
	var report grypeReport
	if err := json.Unmarshal(chunk, &report); err != nil {
		return nil, malformed(err)
	}
	x := &scanned{origin: "grype", tool: cmp.Or(brief(report.Descriptor.Name), "grype"), own: moment(report.Descriptor.Timestamp), analysis: report.Source.Type}
	if report.Source.Type == "image" {
		var of struct {
			UserInput   string
			RepoDigests []string
		}
		if err := json.Unmarshal(report.Source.Target, &of); err != nil {
			return nil, malformed(err)
		}
		x.ofImage(of.UserInput, of.RepoDigests)
	}
	x.subject = cmp.Or(x.subject, p.hint("repository"), p.service())
	for _, m := range report.Matches {
		m.say(x, "")
	}
	for _, m := range report.IgnoredMatches {
		m.say(x, accepted)
	}
	return x, nil
}

func (m *grypeMatch) say(x *scanned, status string) {
	if m.Vulnerability.ID == "" {
		return
	}
	path := ""
	if !grypeSystem[m.Artifact.Type] && len(m.Artifact.Locations) > 0 {
		path = m.Artifact.Locations[0].Path
	}
	x.add(found{
		Status: status, Kind: vulnerability, Rule: m.Vulnerability.ID,
		Severity: severityOfWord(m.Vulnerability.Severity), Evidence: m.Vulnerability.DataSource,
	}, m.Artifact.Type, m.Artifact.Name, path)
}

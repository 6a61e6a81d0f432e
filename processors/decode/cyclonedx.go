package decode

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// cyclonedxReader reads CycloneDX documents with vulnerabilities, in JSON: what
// a scanner has found in an inventory, or what a vendor says of some
// vulnerabilities (VEX).
func cyclonedxReader() reader {
	rules := scanRules(scanDocs{
		from: "cyclonedx", when: "each document with `vulnerabilities`, each part of it",
		tool:       "the first of `metadata.tools`, else \"cyclonedx\"",
		target:     "`metadata.component.purl` without its version, else its group and name, else the hints `repository`, `artifact`, `service`",
		time:       "`metadata.timestamp`",
		service:    "the hint, else `metadata.component.name` of an application or a container",
		repository: "`metadata.component.externalReferences` of type vcs, else the hint",
		revision:   "the hint",
		artifact:   "`metadata.component.purl`, else the hint",
		complete:   "false without `components`: a VEX, of which what it doesn't mention isn't gone",
		findings: "each vulnerability in each component that it `affects`. `status`: accepted where `analysis.state` is false_positive or not_affected, remediated where it is resolved. " +
			"`severity`: the worst of `ratings`. `evidence_url`: `source.url`.",
		finding: "the component's package URL without its version, else its group and name, else the `ref`",
	})
	return reader{source: "cyclonedx", read: chunked("cyclonedx", "org.cyclonedx.bom", rules, readCycloneDX), rows: rows(rules), plain: []string{"dependsOn", "provides", "assemblies"}}
}

func readCycloneDX(p *payload, chunk []byte) (*scanned, error) {
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(chunk), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return nil, malformed(err)
	}
	x := &scanned{origin: "cyclonedx", tool: "cyclonedx"}
	if bom.Metadata != nil {
		x.ofBOM(bom.Metadata)
	}
	x.subject = cmp.Or(x.subject, p.hint("repository"), p.hint("artifact"), p.service())
	components := map[string]*cyclonedx.Component{}
	for i := range stated(bom.Components) {
		c := &(*bom.Components)[i]
		components[c.BOMRef] = c
	}
	x.partial = bom.Vulnerabilities == nil
	for _, v := range stated(bom.Vulnerabilities) {
		x.vulnerable(v, components)
	}
	return x, nil
}

func (x *scanned) ofBOM(m *cyclonedx.Metadata) {
	x.own = moment(m.Timestamp)
	if m.Tools != nil {
		if tools := stated(m.Tools.Components); len(tools) > 0 {
			x.tool = cmp.Or(brief(tools[0].Name), x.tool)
		} else if tools := stated(m.Tools.Tools); len(tools) > 0 { // before 1.5 there was nothing else
			x.tool = cmp.Or(brief(tools[0].Name), x.tool)
		}
	}
	c := m.Component
	if c == nil {
		return
	}
	x.subject, x.artifact = componentName(c), c.PackageURL
	if c.Type == cyclonedx.ComponentTypeApplication || c.Type == cyclonedx.ComponentTypeContainer {
		name, _ := imageName(c.Name)
		x.service = last(name)
	}
	for _, r := range stated(c.ExternalReferences) {
		if r.Type == cyclonedx.ERTypeVCS {
			x.repository = r.URL
		}
	}
}

// componentName is a component without its version.
func componentName(c *cyclonedx.Component) string {
	if c.PackageURL != "" {
		return withoutVersion(c.PackageURL)
	}
	if c.Group != "" {
		return c.Group + "/" + c.Name
	}
	name, _ := imageName(c.Name)
	return name
}

// withoutVersion is a package URL without @version; qualifiers (an
// architecture, a repository) stay.
func withoutVersion(url string) string {
	end := len(url)
	if at := strings.IndexAny(url, "?#"); at >= 0 {
		end = at
	}
	if at := strings.LastIndexByte(url[:end], '@'); at > strings.LastIndexByte(url[:end], '/') {
		return url[:at] + url[end:]
	}
	return url
}

func (x *scanned) vulnerable(v cyclonedx.Vulnerability, components map[string]*cyclonedx.Component) {
	if v.ID == "" {
		return
	}
	f := found{Kind: vulnerability, Rule: v.ID, Severity: worstRating(stated(v.Ratings))}
	if v.Source != nil {
		f.Evidence = v.Source.URL
	}
	if v.Analysis != nil {
		switch v.Analysis.State {
		case cyclonedx.IASResolved, cyclonedx.IASResolvedWithPedigree:
			f.Status = remediated
		case cyclonedx.IASFalsePositive, cyclonedx.IASNotAffected:
			f.Status = accepted
		}
	}
	affected := stated(v.Affects)
	if len(affected) == 0 {
		x.add(f, v.ID)
	}
	for _, a := range affected {
		of, name := f, a.Ref
		if c := components[a.Ref]; c != nil {
			name, of.Artifact = componentName(c), c.PackageURL
		} else if strings.HasPrefix(a.Ref, "pkg:") {
			name, of.Artifact = withoutVersion(a.Ref), a.Ref
		}
		x.add(of, v.ID, name)
	}
}

func worstRating(ratings []cyclonedx.VulnerabilityRating) string {
	scale := []string{"unknown", "info", "low", "medium", "high", "critical"}
	worst := 0
	for _, r := range ratings {
		severity := severityOfWord(string(r.Severity))
		if r.Severity == "" && r.Score != nil {
			severity = severityOfScore(*r.Score)
		}
		worst = max(worst, slices.Index(scale, severity))
	}
	return scale[worst]
}

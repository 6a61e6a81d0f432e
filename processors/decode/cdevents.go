package decode

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/go-faster/jx"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// mapping says which fact a CDEvent becomes. The README's table is made from
// these, so what is not said here is said nowhere.
type mapping struct {
	from string // subject.predicate, the version left out
	when string // content.decision has this value; empty: always
	to   string // our type without its prefix
	// mark is put behind the id, after a #. Where several CDEvents become one
	// type of ours, all but the first have one, since source, id and our type
	// are the fact's identity: a deployed and an upgraded of one id, two events
	// until here (the specification's own examples are), would be two contents
	// of one fact, and the lesser lost.
	mark string
	// fields of the fact's data. One that comes out empty is left out; without
	// a required one there is no fact.
	fields []fieldMapping
}

// fieldMapping fills one field.
type fieldMapping struct {
	name string
	doc  string // for the table
	from func(cdevent value.Value) string
}

func mappings() []mapping {
	deployment := func(reason string) []fieldMapping {
		return []fieldMapping{
			derived("deployment_id", "service/environment/ and 16 hex digits of SHA-256 over subject.source, subject.id, environment, artifactId, whether it is a rollback, and context.chainId (without one: context.source and context.id)", deploymentID),
			path("service", "subject.id"), path("environment", "subject.content.environment.id"),
			derived("version", "the version of the package URL in subject.content.artifactId, else all of it", func(e value.Value) string {
				return packageVersion(at(e, "subject.content.artifactId"))
			}),
			path("artifact", "subject.content.artifactId"), constant("outcome", "success"), constant("reason", reason),
		}
	}
	incident := []fieldMapping{
		path("incident_id", "subject.id"), path("service", "subject.content.service.id"),
		path("environment", "subject.content.environment.id"), path("title", "subject.content.description"),
	}
	approval := []fieldMapping{
		path("approval_id", "subject.id"), constant("subject_kind", "resource"), path("subject_id", "subject.content.resourceTargetUrl"),
		path("by", "subject.content.responder"),
	}
	test := []fieldMapping{
		path("run_id", "subject.id"), path("outcome", "subject.content.outcome"), path("revision", "subject.content.revision"),
	}
	return []mapping{
		{from: "service.deployed", to: "deployment.finished", fields: deployment("deployed")},
		{from: "service.upgraded", to: "deployment.finished", mark: "upgraded", fields: deployment("upgraded")},
		// A rollback is the deployment of the version it goes back to; which
		// deployment it takes back, the event doesn't say.
		{from: "service.rolledback", to: "deployment.finished", mark: "rolledback", fields: deployment("rolled back")},
		{from: "change.merged", to: "change.merged", fields: []fieldMapping{
			path("change_id", "subject.id"), path("repository", "subject.content.repository.id"),
			derived("revision", "subject.content.revision, else subject.id where it is a git hash", changeRevision),
			path("merged_at", "context.timestamp"), path("title", "subject.content.description"),
		}},
		{from: "build.finished", to: "build.finished", fields: []fieldMapping{
			path("build_id", "subject.id"), path("revision", "subject.content.revision"), path("outcome", "subject.content.outcome"),
			path("artifact", "subject.content.artifactId"),
		}},
		{from: "testsuiterun.finished", to: "test.finished", fields: append([]fieldMapping{
			path("suite", "subject.content.testSuite.name")}, test...)},
		{from: "testcaserun.finished", to: "test.finished", mark: "testcaserun", fields: append([]fieldMapping{
			path("suite", "subject.content.testSuiteRun.id"), path("case", "subject.content.testCase.name")}, test...)},
		{from: "artifact.published", to: "artifact.published", fields: []fieldMapping{
			path("artifact", "subject.id"),
			derived("revision", "the commit in the package URL's vcs_url", func(e value.Value) string { return packageCommit(at(e, "subject.id")) }),
		}},
		{from: "incident.reported", to: "incident.opened", fields: incident},
		{from: "incident.detected", to: "incident.opened", mark: "detected", fields: append([]fieldMapping{
			path("detected_at", "context.timestamp")}, incident...)},
		{from: "incident.resolved", to: "incident.resolved", fields: incident},
		{from: "approval.closed", when: "approved", to: "approval.granted", fields: approval},
		{from: "approval.closed", when: "rejected", to: "approval.refused", fields: approval},
	}
}

func path(name, from string) fieldMapping {
	return fieldMapping{name, "`" + from + "`", func(e value.Value) string { return at(e, from) }}
}

func constant(name, text string) fieldMapping {
	return fieldMapping{name, "\"" + text + "\"", func(value.Value) string { return text }}
}

func derived(name, doc string, from func(value.Value) string) fieldMapping {
	return fieldMapping{name, doc, from}
}

// at returns the string at a dotted path, empty where there is none.
func at(e value.Value, dotted string) string {
	s, _ := e.At(strings.Split(dotted, ".")...).Text()
	return s
}

// deploymentID names a deployment that has no name of its own. The chain tells
// one deployment of a version from the next; without a chain the event has to,
// or going back to v1 would be the first deployment of v1 again. For the same
// reason a rollback is never the deployment it goes back to, chain or not.
func deploymentID(e value.Value) string {
	service, environment := at(e, "subject.id"), at(e, "subject.content.environment.id")
	if service == "" || environment == "" {
		return ""
	}
	kind := "forward"
	if subjectAndPredicate(at(e, "context.type")) == "service.rolledback" {
		kind = "rollback"
	}
	parts := []string{at(e, "subject.source"), service, environment, at(e, "subject.content.artifactId"), kind}
	if chain := at(e, "context.chainId"); chain != "" {
		parts = append(parts, "chain", chain)
	} else {
		parts = append(parts, "event", at(e, "context.source"), at(e, "context.id"))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return service + "/" + environment + "/" + hex.EncodeToString(sum[:8])
}

// packageVersion is the version of a package URL (package-url/purl-spec,
// scheme:type/namespace/name@version?qualifiers#subpath), all of it where it
// has none or is no package URL.
func packageVersion(purl string) string {
	rest, _, _ := strings.Cut(purl, "#")
	rest, _, _ = strings.Cut(rest, "?")
	i := strings.LastIndexByte(rest, '@')
	if !strings.HasPrefix(rest, "pkg:") || i < 0 {
		return purl
	}
	version, err := url.PathUnescape(rest[i+1:])
	if err != nil || version == "" {
		return purl
	}
	return version
}

// packageCommit is the commit that a package URL's vcs_url qualifier names
// (SPDX form: git+https://host/repository@commit), empty without one.
func packageCommit(purl string) string {
	rest, _, _ := strings.Cut(purl, "#")
	_, query, _ := strings.Cut(rest, "?")
	qualifiers, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	i := strings.LastIndexByte(qualifiers.Get("vcs_url"), '@')
	if i < 0 {
		return ""
	}
	return qualifiers.Get("vcs_url")[i+1:]
}

func changeRevision(e value.Value) string {
	if revision := at(e, "subject.content.revision"); revision != "" {
		return revision
	}
	if id := at(e, "subject.id"); isGitHash(id) {
		return id
	}
	return ""
}

// isGitHash tells whether s is a whole SHA-1 or SHA-256 in hexadecimal.
func isGitHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && (len(s) == 40 || len(s) == 64)
}

// mapper makes facts of CDEvents.
type mapper struct {
	mappings map[string][]mapping
	doc      value.Doc
	decoder  codec.Decoder
}

func newMapper(maxDepth int) mapper {
	m := mapper{mappings: map[string][]mapping{}, doc: value.Doc{MaxDepth: maxDepth}, decoder: codec.Decoder{MaxDepth: maxDepth}}
	for _, rule := range mappings() {
		m.mappings[rule.from] = append(m.mappings[rule.from], rule)
	}
	return m
}

// fact is the fact that a CDEvent states; false where no type of ours fits, or
// the event doesn't say all that the type requires. Its identity is the
// CDEvent's with our type (and the mapping's mark), and its data has the
// CDEvent whole as `cdevent`.
func (m *mapper) fact(other *event.Other) (event.Fact, bool) {
	rules := m.mappings[subjectAndPredicate(other.Type)]
	if len(rules) == 0 || m.doc.ParseJSON([]byte(other.Data)) != nil {
		return event.Fact{}, false
	}
	cdevent := m.doc.Root()
	for i := range rules {
		if rules[i].when != "" && rules[i].when != at(cdevent, "subject.content.decision") {
			continue
		}
		envelope := other.Event
		envelope.Type = event.Prefix + rules[i].to
		if rules[i].mark != "" {
			envelope.ID += "#" + rules[i].mark
		}
		fact, err := m.decoder.NewFact(envelope, rules[i].data(cdevent, other.Data))
		fact.Provenance = other.Provenance
		return fact, err == nil
	}
	return event.Fact{}, false
}

// subjectAndPredicate of dev.cdevents.service.deployed.0.3.0 is service.deployed.
func subjectAndPredicate(name string) string {
	parts := strings.SplitN(strings.TrimPrefix(name, codec.CDEventsPrefix), ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return strings.ToLower(parts[0] + "." + parts[1])
}

func (r *mapping) data(cdevent value.Value, raw string) []byte {
	var w jx.Writer
	w.ObjStart()
	for _, field := range r.fields {
		if text := field.from(cdevent); text != "" {
			w.FieldStart(field.name)
			w.Str(text)
			w.Comma()
		}
	}
	w.FieldStart("cdevent")
	w.RawStr(raw)
	w.ObjEnd()
	return w.Buf
}

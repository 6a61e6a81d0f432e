package decode

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/scan"
)

// scanned is what a part of a report says, whichever scanner wrote it: all that
// is in scan.completed.
type scanned struct {
	*payload
	origin string // the event's source
	tool   string
	// subject is what was looked at, without its version: a repository, an image.
	// Findings of one subject and rule are told apart within it. analysis is which
	// of several analyses of the subject this is, where there are such.
	subject, analysis             string
	service, repository, revision string
	artifact                      string
	own                           time.Time // the report's own
	partial                       bool      // it doesn't say that it names all there is
	findings                      []found
	places                        map[string]int // of the findings, by their ids

	id          string // the scan's, as schemas/scan has it
	part, parts int
}

// found is one finding, with scan.completed's names.
type found struct {
	ID                 string `json:"finding_id"`
	Status             string `json:"status,omitempty"` // empty: open
	Kind               string `json:"kind,omitempty"`
	Rule               string `json:"rule,omitempty"`
	Severity           string `json:"severity,omitempty"`
	Artifact           string `json:"artifact,omitempty"`
	RevisionIntroduced string `json:"revision_introduced,omitempty"`
	Evidence           string `json:"evidence_url,omitempty"`
}

// The statuses and kinds of findings, as scan.completed has them.
const (
	accepted   = "accepted"
	remediated = "remediated"

	vulnerability    = "vulnerability"
	audit            = "audit"
	secret           = "secret"
	misconfiguration = "misconfiguration"
)

// chunked reads a report: as it is where schemas/scan has cut it, else cut here,
// so that a report means the same whichever way it came. read says what one
// chunk says; s keeps the chunk.
func chunked(kind, name string, rules []rule[*scanned], read func(*payload, []byte) (*scanned, error)) func(*payload, *said) error {
	one := func(p *payload, s *said, chunk []byte, headers map[string]string) error {
		x, err := read(p, chunk)
		if err != nil {
			return err
		}
		x.payload, x.id = p, headers[scan.Header]
		x.part, x.parts = parts(headers[scan.HeaderPart])
		x.partial = x.partial || headers[scan.HeaderPartial] != ""
		unplaced := len(s.unplaced)
		apply(s, rules, kind, x.origin, x)
		defer func() { s.unplaced = s.unplaced[:unplaced] }()
		return s.keep(name, x.origin, x.eventID(), x.at(), chunk)
	}
	return func(p *payload, s *said) error {
		if id := p.header(scan.Header); id != "" && p.header(scan.HeaderPart) != "" {
			return one(p, s, p.body, map[string]string{scan.Header: id, scan.HeaderPart: p.header(scan.HeaderPart), scan.HeaderPartial: p.header(scan.HeaderPartial)})
		}
		// Nothing has to be cut, and nothing refused for being long beside the rest.
		err := scan.Split(kind, bytes.NewReader(p.body), 8*len(p.body)+scan.LeastLimit, func(chunk []byte, headers map[string]string) error {
			return one(p, s, chunk, headers)
		})
		var wrong *scan.Error
		if errors.As(err, &wrong) {
			return &codec.Fault{Reason: codec.Malformed, Detail: wrong.Error()}
		}
		return err
	}
}

// parts reads whence-scan-part: 3, or 12/12.
func parts(text string) (part, parts int) {
	first, last, _ := strings.Cut(text, "/")
	part, _ = strconv.Atoi(first)
	parts, _ = strconv.Atoi(last)
	if part < 1 || part > math.MaxInt32 || parts < 0 || parts > math.MaxInt32 {
		return 1, 0 // a part that is no part: the scan is never known whole
	}
	return part, parts
}

// at is when the scan was over: what the report says, the hint, or when it came.
func (x *scanned) at() time.Time {
	if at := x.stated(); !at.IsZero() {
		return at
	}
	return x.received.Time()
}

func (x *scanned) stated() time.Time {
	if !x.own.IsZero() {
		return x.own
	}
	return moment(x.hint("time"))
}

// moment is an RFC 3339 time of the years that events may have, or none.
func moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return within(at)
}

func within(at time.Time) time.Time {
	if ms := event.MillisOf(at); ms < event.MinTime || ms >= event.MaxTime {
		return time.Time{}
	}
	return at.UTC()
}

// scanID: the same words on another day are another scan, so where the report
// has no time of its own, the time is a part of it. And the same words with
// other hints say something else: of two contents under one id, chance would
// decide which one counts. Every part of one upload has its hints.
func (x *scanned) scanID() string {
	id := x.id
	if hints := x.hinted(); hints != "" {
		id += "~" + hints
	}
	if !x.own.IsZero() {
		return id
	}
	return id + "@" + x.at().Format("2006-01-02T15:04:05.000Z")
}

// hinted is a digest of the hints that reports of scanners have a use for, empty
// where there are none. The hint time counts only where the report has
// none of its own, and is in the id then.
func (p *payload) hinted() string {
	given := false
	var words []string
	for _, name := range []string{"service", "environment", "repository", "revision", "artifact", "branch", "complete"} {
		said := p.hint(name)
		if name == "complete" {
			said = completeness(said)
		}
		given = given || said != ""
		words = append(words, said)
	}
	if !given {
		return ""
	}
	return digest(words...)
}

// completeness is the hint complete: true, false, or nothing that can be read.
func completeness(hint string) string {
	switch hint {
	case "true", "1", "yes":
		return "true"
	case "false", "0", "no":
		return "false"
	}
	return ""
}

func (x *scanned) eventID() string { return x.scanID() + "/" + strconv.Itoa(x.part) }

// target is subject and analysis, and the branch where one is stated: what one
// branch's scan doesn't find may well be on another. A scan of who knows what
// is the only one of its target, so that it closes nothing.
func (x *scanned) target() string {
	if x.subject == "" {
		return "scan " + x.scanID()
	}
	target := x.subject
	for _, more := range []string{x.analysis, x.hint("branch")} {
		if more != "" {
			target += " " + more
		}
	}
	return target
}

// complete is nil where it is: that is what scan.completed takes it for.
func (x *scanned) complete() any {
	switch completeness(x.hint("complete")) {
	case "true":
		return nil
	case "false":
		return false
	}
	if x.partial {
		return false
	}
	return nil
}

// add adds a finding whose identity is in words, and in the subject. Of two
// that are one, as of one weakness in two places of a file that nothing tells
// apart, an open one counts.
//
// A report may say something long once that each finding has then: what is
// longer than names and links are stays in what is kept of the report.
func (x *scanned) add(f found, words ...string) {
	subject := x.subject
	if len(subject) > mostHint {
		subject = digestOf([]byte(subject))
	}
	if len(f.Rule) > mostHint {
		f.Rule = brief(f.Rule) + digestOf([]byte(f.Rule))
	}
	for _, field := range []*string{&f.Artifact, &f.RevisionIntroduced, &f.Evidence} {
		if len(*field) > mostHint {
			*field = ""
		}
	}
	f.ID = x.tool + "/" + f.Rule + "/" + digest(append([]string{subject}, words...)...)
	if i, known := x.places[f.ID]; known {
		if x.findings[i].Status != "" && f.Status == "" {
			x.findings[i] = f
		}
		return
	}
	if x.places == nil {
		x.places = map[string]int{}
	}
	x.places[f.ID] = len(x.findings)
	x.findings = append(x.findings, f)
}

// digest is 20 hex digits of SHA-256 over words, each with its length.
func digest(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write(strconv.AppendInt(nil, int64(len(w)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(w))
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// severityOfScore is CVSS's own scale (CVSS 3.1 specification, section 5), which
// GitHub has for security-severity too.
func severityOfScore(score float64) string {
	switch {
	case score >= 9:
		return "critical"
	case score >= 7:
		return "high"
	case score >= 4:
		return "medium"
	case score > 0:
		return "low"
	}
	return "info"
}

// severityOfWord is a scanner's word for it, in ours.
func severityOfWord(word string) string {
	switch word = strings.ToLower(word); word {
	case "critical", "high", "medium", "low", "info":
		return word
	case "fatal":
		return "critical"
	case "moderate":
		return "medium"
	case "negligible", "none", "informational", "note":
		return "info"
	}
	return "unknown"
}

// imageName is a reference without its tag, and its digest, sha256:…, if any.
func imageName(reference string) (name, digest string) {
	i := parseImage(reference)
	if i.registry != "" {
		return i.registry + "/" + i.repository, i.digest
	}
	return i.repository, i.digest
}

// imageURL is the package URL of an image; empty without a digest, for a tag is
// no image.
func imageURL(name, digest string) string {
	if digest == "" {
		return ""
	}
	return parseImage(name + "@" + digest).purl()
}

// last is the last name of a path.
func last(path string) string {
	path = strings.TrimSuffix(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// scanDocs says where a source's fields are, for the table.
type scanDocs struct {
	from, when                                      string
	tool, target, time, service, repository         string
	revision, artifact, complete, finding, findings string
}

// scanRules is the one rule that all reports of scanners have.
func scanRules(d scanDocs) []rule[*scanned] {
	type x = *scanned
	fields := []field[x]{
		{"scan_id", "the report's own id, else a digest of it; with ~ and a digest of the hints (but `time`) behind it where there are any, with @ and the time where it states no time", func(x x) any { return x.scanID() }},
		{"tool", d.tool, func(x x) any { return x.tool }},
		{"target", d.target + "; and the hint `branch`", func(x x) any { return x.target() }},
		{"part", "as the report was cut (schemas/scan)", func(x x) any { return x.part }},
		{"parts", "on the last part", func(x x) any {
			if x.parts == 0 {
				return nil
			}
			return x.parts
		}},
		{"complete", "the hint, else " + d.complete, func(x x) any { return x.complete() }},
		{"service", d.service, func(x x) any { return cmp.Or(x.hint("service"), x.service) }},
		{"environment", "the hint", func(x x) any { return x.hint("environment") }},
		{"repository", d.repository, func(x x) any { return cmp.Or(x.repository, x.hint("repository")) }},
		{"revision", d.revision, func(x x) any { return cmp.Or(x.revision, x.hint("revision")) }},
		{"artifact", d.artifact, func(x x) any { return cmp.Or(x.artifact, x.hint("artifact")) }},
		{"findings", d.findings + " `finding_id`: tool/rule/ and 20 hex digits of SHA-256 over the target and " + d.finding, func(x x) any { return x.findings }},
	}
	return []rule[*scanned]{{
		from: d.from, when: d.when, to: "scan.completed",
		id:     field[x]{doc: "`scan_id`/`part`", from: func(x x) any { return x.eventID() }},
		time:   field[x]{doc: d.time + ", else the hint, else when it was received", from: func(x x) any { return x.at() }},
		fields: fields,
	}}
}

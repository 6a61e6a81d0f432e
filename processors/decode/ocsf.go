package decode

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// ocsfReader reads OCSF events (schema.ocsf.io), of category Findings: one
// event, a list of them, or lines. There is no Go library of the schema; these
// are the fields that are used, which 1.0 to 1.6 have alike.
func ocsfReader() reader {
	rules := ocsfRules()
	read := func(p *payload, s *said) error {
		return ocsfEvents(p, func(body []byte) error { return readOCSF(p, s, rules, body) })
	}
	return reader{source: "ocsf", read: read, rows: rows(rules), binary: true}
}

// ocsfEvents calls each with the events of a body, which is a JSON value or
// several.
func ocsfEvents(p *payload, each func([]byte) error) error {
	dec := json.NewDecoder(bytes.NewReader(p.body))
	for {
		var body json.RawMessage
		if err := dec.Decode(&body); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return malformed(err)
		}
		one := *p
		one.body = body
		doc := value.Doc{}
		if err := one.checked(&doc); err != nil {
			return err
		}
		if err := one.light(&doc, []string{"unmapped"}); err != nil {
			return err
		}
		if body[0] != '[' {
			if err := each(body); err != nil {
				return err
			}
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(body, &list); err != nil {
			return malformed(err)
		}
		for _, body := range list {
			if err := each(body); err != nil {
				return err
			}
		}
	}
}

// ocsfEvent is a finding of OCSF. Times are milliseconds since 1970, and of
// profile datetime RFC 3339 beside them.
type ocsfEvent struct {
	*payload      `json:"-"`
	Stated        *int        `json:"class_uid"`
	Class         int         `json:"-"`
	Activity      int         `json:"activity_id"`
	StatusID      int         `json:"status_id"`
	Status        string      `json:"status"`
	SeverityID    int         `json:"severity_id"`
	Severity      string      `json:"severity"`
	VerdictID     int         `json:"verdict_id"`
	Time          json.Number `json:"time"`
	TimeDT        string      `json:"time_dt"`
	Info          ocsfInfo    `json:"finding_info"`
	Old           ocsfInfo    `json:"finding"` // of class 2001
	Compliance    ocsfControl `json:"compliance"`
	Vulnerability []ocsfFlaw  `json:"vulnerabilities"`
	Resource      ocsfThing   `json:"resource"`
	Resources     []ocsfThing `json:"resources"`
	Metadata      struct {
		Product struct{ Name string }
	} `json:"metadata"`
	Cloud struct{ Region string } `json:"cloud"`
}

type ocsfInfo struct {
	UID         string      `json:"uid"`
	Title       string      `json:"title"`
	Types       []string    `json:"types"`
	URL         string      `json:"src_url"`
	FirstSeen   json.Number `json:"first_seen_time"`
	FirstSeenDT string      `json:"first_seen_time_dt"`
	Created     json.Number `json:"created_time"`
	CreatedDT   string      `json:"created_time_dt"`
	Analytic    struct{ Name, UID string }
}

type ocsfControl struct {
	Control  string `json:"control"`
	StatusID int    `json:"status_id"`
	Status   string `json:"status"`
}

type ocsfFlaw struct {
	CVE      struct{ UID string } `json:"cve"`
	Advisory struct{ UID string } `json:"advisory"`
	Title    string               `json:"title"`
}

type ocsfThing struct {
	Name  string `json:"name"`
	UID   string `json:"uid"`
	Group struct {
		Name string `json:"name"`
	} `json:"group"`
}

// The classes of findings.
const (
	ocsfSecurity      = 2001 // until 1.1
	ocsfVulnerability = 2002
	ocsfCompliance    = 2003
	ocsfDetection     = 2004
)

var ocsfClasses = map[int]string{ocsfSecurity: "security_finding", ocsfVulnerability: "vulnerability_finding", ocsfCompliance: "compliance_finding", ocsfDetection: "detection_finding"}

func readOCSF(p *payload, s *said, rules []rule[*ocsfEvent], body []byte) error {
	e := &ocsfEvent{payload: p}
	if err := json.Unmarshal(body, e); err != nil {
		return malformed(err)
	}
	if e.Stated == nil {
		return unkind("class_uid")
	}
	e.Class = *e.Stated
	if e.Class == ocsfSecurity && e.Info.UID == "" {
		e.Info = e.Old
	}
	origin := "ocsf"
	if e.Metadata.Product.Name != "" {
		origin += "/" + e.Metadata.Product.Name
	}
	unplaced := len(s.unplaced)
	defer func() { s.unplaced = s.unplaced[:unplaced] }()
	class, ours := ocsfClasses[e.Class]
	if ours {
		apply(s, rules, class, origin, e)
	} else {
		class = fmt.Sprintf("class_%d", e.Class)
	}
	return s.keep("io.ocsf."+class, origin, "", e.at(), body)
}

// millis reads a time that OCSF states in two ways.
func millis(since json.Number, text string) time.Time {
	if at := moment(text); !at.IsZero() {
		return at
	}
	if n, err := since.Int64(); err == nil && n > 0 {
		return within(event.Millis(n).Time())
	}
	return time.Time{}
}

func (e *ocsfEvent) at() time.Time {
	if at := millis(e.Time, e.TimeDT); !at.IsZero() {
		return at
	}
	return e.received.Time()
}

func (e *ocsfEvent) firstSeen() time.Time {
	if at := millis(e.Info.FirstSeen, e.Info.FirstSeenDT); !at.IsZero() {
		return at
	}
	return millis(e.Info.Created, e.Info.CreatedDT)
}

// stage: activity_id 3 is Close; status_id 3 Suppressed, 4 Resolved, 5 Archived;
// compliance.status_id 1 Pass. What says it in words alone is read too.
func (e *ocsfEvent) stage() string {
	said := func(word string) bool { return strings.EqualFold(e.Status, word) }
	switch {
	case e.StatusID == 3 || said("suppressed") || e.StatusID == 5 || said("archived"):
		return accepted
	case e.StatusID == 4 || said("resolved") || e.Activity == 3 || e.Compliance.StatusID == 1 || strings.EqualFold(e.Compliance.Status, "pass") || strings.EqualFold(e.Compliance.Status, "passed"):
		return remediated
	}
	return "opened"
}

// breach: a detection that somebody has judged to be true, or whose type says
// that data is gone. Others are findings: most detections are no breach.
func (e *ocsfEvent) breach() bool {
	if e.Class != ocsfDetection {
		return false
	}
	const truePositive = 2
	for _, t := range e.Info.Types {
		if t = strings.ToLower(t); strings.Contains(t, "breach") || strings.Contains(t, "exfiltration") {
			return true
		}
	}
	return e.VerdictID == truePositive
}

func (e *ocsfEvent) severity() string {
	if scale := []string{"", "info", "low", "medium", "high", "critical", "critical"}; e.SeverityID > 0 && e.SeverityID < len(scale) {
		return scale[e.SeverityID]
	}
	return severityOfWord(e.Severity)
}

func (e *ocsfEvent) kind() string {
	for _, t := range e.Info.Types {
		if strings.Contains(strings.ToLower(t), "sensitive data") || strings.Contains(strings.ToLower(t), "secret") {
			return secret
		}
	}
	if e.Class == ocsfVulnerability || len(e.Vulnerability) > 0 {
		return vulnerability
	}
	return audit
}

func (e *ocsfEvent) rule() string {
	for _, v := range e.Vulnerability {
		if id := cmp.Or(v.CVE.UID, v.Advisory.UID); id != "" {
			return id
		}
	}
	return cmp.Or(e.Compliance.Control, e.Info.Analytic.UID, e.Info.Analytic.Name, e.Info.Title)
}

// service is of the resource, where that has a name people gave it.
func (e *ocsfEvent) service() string {
	for _, r := range append([]ocsfThing{e.Resource}, e.Resources...) {
		if name := cmp.Or(r.Name, r.Group.Name); name != "" {
			return e.payload.service(name)
		}
	}
	return e.payload.service()
}

func ocsfRules() []rule[*ocsfEvent] {
	type x = *ocsfEvent
	var all []rule[*ocsfEvent]
	const pass = "`status` Resolved, `activity_id` 3 (Close), or `compliance.status` Pass"
	for _, class := range []int{ocsfVulnerability, ocsfCompliance, ocsfDetection, ocsfSecurity} {
		for _, stage := range []struct{ name, when string }{
			{"opened", "else"}, {remediated, pass}, {accepted, "`status` Suppressed or Archived"},
		} {
			when := stage.when
			if class == ocsfDetection {
				when += "; no breach"
			}
			all = append(all, rule[*ocsfEvent]{
				from: ocsfClasses[class], when: when, to: "finding." + stage.name,
				is:     func(e x) bool { return !e.breach() && e.stage() == stage.name },
				id:     ocsfID(stage.name),
				time:   field[x]{doc: "`time`", from: func(e x) any { return e.at() }},
				fields: ocsfFindingFields(),
			})
		}
	}
	for _, stage := range []struct{ name, when string }{{"detected", ""}, {"contained", " and " + pass}} {
		all = append(all, rule[*ocsfEvent]{
			from: ocsfClasses[ocsfDetection], when: "a breach: `verdict_id` 2 (True Positive), or a type that names a breach or exfiltration" + stage.when, to: "breach." + stage.name,
			is:   func(e x) bool { return e.breach() && (e.stage() == "opened") == (stage.name == "detected") },
			id:   ocsfID(stage.name),
			time: field[x]{doc: "`time`", from: func(e x) any { return e.at() }},
			fields: []field[x]{
				{"breach_id", "`finding_info.uid`", func(e x) any { return e.Info.UID }},
				{"service", "the resource's name, else the hint", func(e x) any { return e.service() }},
				{"environment", "the hint, else the default", func(e x) any { return e.environment() }},
				{"severity", "`severity_id`, else `severity`", func(e x) any { return e.severity() }},
				{"started_at", "`finding_info.first_seen_time`, else `created_time`", func(e x) any { return e.firstSeen() }},
			},
		})
	}
	return all
}

// ocsfID: one event with other hints says something else, so it is another one.
func ocsfID(stage string) field[*ocsfEvent] {
	doc := "`finding_info.uid`/" + stage + "/time; with ~ and a digest of the hints behind it where there are any"
	return field[*ocsfEvent]{doc: doc, from: func(e *ocsfEvent) any {
		id := e.Info.UID + "/" + stage + "/" + e.at().Format("2006-01-02T15:04:05.000Z")
		if hints := e.hinted(); hints != "" {
			id += "~" + hints
		}
		return id
	}}
}

func ocsfFindingFields() []field[*ocsfEvent] {
	type x = *ocsfEvent
	return []field[x]{
		{"finding_id", "`finding_info.uid`", func(e x) any { return e.Info.UID }},
		{"kind", "vulnerability; secret where a type names sensitive data; else audit", func(e x) any { return e.kind() }},
		{"rule", "the CVE or advisory, else `compliance.control`, else the analytic, else the title", func(e x) any { return e.rule() }},
		{"severity", "`severity_id`, else `severity`", func(e x) any { return e.severity() }},
		{"service", "the name of the resource, else the hint", func(e x) any { return e.service() }},
		{"artifact", "the hint", func(e x) any { return e.hint("artifact") }},
		{"repository", "the hint", func(e x) any { return e.hint("repository") }},
		{"control", "`compliance.control`", func(e x) any { return e.Compliance.Control }},
		{"first_seen", "`finding_info.first_seen_time`, else `created_time`", func(e x) any { return e.firstSeen() }},
		{"evidence_url", "`finding_info.src_url`", func(e x) any { return e.Info.URL }},
	}
}

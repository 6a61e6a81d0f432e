package codec

import (
	"math"
	"strings"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// newFact makes the fact that data says, under an envelope that has its hash.
// It is lenient: what a field holds wrongly is left out here, and found by Check.
func newFact(e event.Event, t *event.Type, data value.Value) event.Fact {
	f := event.Fact{Event: e, Kind: t.EntityKind, Data: data.JSON()}
	p := payloadOf(e.Type)
	for key, v := range data.Members() {
		switch {
		case key == "service":
			f.Service, _ = v.Text()
		case key == "environment":
			f.Environment, _ = v.Text()
		case key == "retracts" && t.IDField == key:
			f.EntityID = textOf(v.Field("source")) + "|" + textOf(v.Field("id"))
		}
		if key == t.IDField && f.EntityID == "" {
			f.EntityID, _ = v.Text()
		}
		if key == t.IDField && t.EntityKind == "scan" { // two tools see two things in one target
			f.EntityID = textOf(data.Field("tool")) + "|" + f.EntityID
		}
		if p != nil {
			p.read(key, v)
		}
	}
	if p != nil {
		f.Payload = p.payload()
	}
	return f
}

// NewFact makes a fact of an own type from its envelope and its data as JSON,
// for sources that are mapped to one. It sets the hash, and Check has been
// asked: the error is a *Fault.
func (d *Decoder) NewFact(e event.Event, data []byte) (event.Fact, error) {
	t := event.Lookup(e.Type)
	if t == nil || t.Observation {
		return event.Fact{}, fault(UnknownType, "type: %s is no fact", quote(e.Type))
	}
	d.doc.MaxDepth = d.depth() + 1 // what it was mapped from is in its data
	if err := d.doc.ParseJSON(data); err != nil {
		return event.Fact{}, unreadable("data", err)
	}
	if err := Check(t, d.doc.Root()); err != nil {
		return event.Fact{}, err
	}
	e.Hash = hashEvent(&e, d.doc.Root())
	return newFact(e, t, d.doc.Root()), nil
}

// reader reads members of data into one of event's payloads.
type reader interface {
	read(key string, v value.Value)
	payload() any
	reset() // to what payloadOf made
}

// payloadOf returns the reader for a type, nil for types the timeline does
// not fold.
func payloadOf(name string) reader {
	entity, stage, _ := strings.Cut(strings.TrimPrefix(name, event.Prefix), ".")
	switch entity {
	case "service":
		return &declaration{}
	case "identity":
		return &identity{}
	case "change", "configuration", "migration", "infrastructure":
		return &change{}
	case "deployment":
		return &deployment{Stage: deploymentStages[stage], Percent: event.Unknown}
	case "flag":
		return &flagChange{}
	case "incident":
		return &incident{Stage: incidentStages[stage]}
	case "alert":
		return &alert{Resolved: stage == "resolved"}
	case "finding":
		return &finding{Stage: findingStages[stage]}
	case "scan":
		return &scan{}
	case "experiment":
		return &experiment{Stopped: stage == "stopped"}
	case "fact":
		return &retraction{}
	}
	return nil
}

var (
	deploymentStages = map[string]event.Stage{"started": event.Started, "progressed": event.Progressed, "finished": event.Finished}
	incidentStages   = map[string]event.IncidentStage{
		"opened": event.IncidentOpened, "acknowledged": event.IncidentAcknowledged, "updated": event.IncidentUpdated,
		"merged": event.IncidentMerged, "resolved": event.IncidentResolved, "reopened": event.IncidentReopened,
	}
	findingStages = map[string]event.FindingStage{
		"opened": event.FindingOpened, "remediated": event.FindingRemediated, "accepted": event.FindingAccepted,
	}
)

// Each type is event's own, with the reading on it; converting a pointer
// back costs nothing.
type (
	declaration event.Declaration
	identity    event.Identity
	change      event.Change
	deployment  event.Deployment
	flagChange  event.Flag
	incident    event.Incident
	alert       event.Alert
	finding     event.Finding
	experiment  event.Experiment
	retraction  event.Retraction
	scan        struct {
		event.Scan
		common finding // what is stated of all findings
	}
)

func (p *declaration) payload() any { return (*event.Declaration)(p) }
func (p *identity) payload() any    { return (*event.Identity)(p) }
func (p *change) payload() any      { return (*event.Change)(p) }
func (p *deployment) payload() any  { return (*event.Deployment)(p) }
func (p *flagChange) payload() any  { return (*event.Flag)(p) }
func (p *incident) payload() any    { return (*event.Incident)(p) }
func (p *alert) payload() any       { return (*event.Alert)(p) }
func (p *finding) payload() any     { return (*event.Finding)(p) }
func (p *experiment) payload() any  { return (*event.Experiment)(p) }
func (p *retraction) payload() any  { return (*event.Retraction)(p) }

func (p *scan) payload() any {
	if p.Part == 0 {
		p.Part = 1
		p.Parts = max(p.Parts, 1)
	}
	for i := range p.Findings {
		f := &p.Findings[i]
		for _, field := range [...]struct{ own, common *string }{
			{&f.Service, &p.common.Service}, {&f.Environment, &p.common.Environment},
			{&f.Repository, &p.common.Repository}, {&f.Artifact, &p.common.Artifact},
		} {
			if *field.own == "" {
				*field.own = *field.common
			}
		}
	}
	return &p.Scan
}

func (p *declaration) reset() { *p = declaration{} }
func (p *identity) reset()    { *p = identity{} }
func (p *change) reset()      { *p = change{} }
func (p *deployment) reset()  { *p = deployment{Stage: p.Stage, Percent: event.Unknown} }
func (p *flagChange) reset()  { *p = flagChange{} }
func (p *incident) reset()    { *p = incident{Stage: p.Stage} }
func (p *alert) reset()       { *p = alert{Resolved: p.Resolved} }
func (p *finding) reset()     { *p = finding{Stage: p.Stage} }
func (p *experiment) reset()  { *p = experiment{Stopped: p.Stopped} }
func (p *retraction) reset()  { *p = retraction{} }
func (p *scan) reset()        { *p = scan{} }

func (p *declaration) read(key string, v value.Value) {
	switch key {
	case "service":
		p.Service = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "owner":
		p.Owner = textOf(v)
	case "tier":
		p.Tier = textOf(v)
	case "depends_on":
		p.DependsOn, p.StatesDependsOn = textsOf(v), true
	case "repositories":
		p.Repositories = textsOf(v)
	case "paths":
		p.Paths = textsOf(v)
	case "aliases":
		p.Aliases = textsOf(v)
	}
}

func (p *identity) read(key string, v value.Value) {
	switch key {
	case "kind":
		p.Kind = textOf(v)
	case "canonical":
		p.Canonical = textOf(v)
	case "alias":
		p.Alias = textOf(v)
	case "source":
		p.AliasSource = textOf(v)
	}
}

func (p *change) read(key string, v value.Value) {
	switch key {
	case "change_id":
		p.ChangeID = textOf(v)
	case "repository":
		p.Repository = textOf(v)
	case "revision":
		p.Revision = textOf(v)
	case "title":
		p.Title = textOf(v)
	case "author":
		p.Author = textOf(v)
	case "reverts":
		p.Reverts = textOf(v)
	case "merged_at":
		p.MergedAt = millisOf(v)
	case "commits":
		p.Commits = make([]string, 0, v.Len())
		for commit := range v.Elements() {
			if revision := textOf(commit.Field("revision")); revision != "" {
				p.Commits = append(p.Commits, revision)
			}
		}
	case "services":
		p.Services = textsOf(v)
	case "service":
		p.Service = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "summary":
		p.Summary = textOf(v)
	}
}

func (p *deployment) read(key string, v value.Value) {
	switch key {
	case "deployment_id":
		p.DeploymentID = textOf(v)
	case "service":
		p.Service = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "version":
		p.Version = textOf(v)
	case "previous_version":
		p.PreviousVersion = textOf(v)
	case "revisions":
		p.Revisions = textsOf(v)
	case "phase":
		p.Phase = textOf(v)
	case "strategy":
		p.Strategy = textOf(v)
	case "artifact":
		p.Artifact = textOf(v)
	case "percent":
		if n, ok := v.Number(); ok {
			p.Percent = n
		}
	case "instances_added":
		p.InstancesAdded = textsOf(v)
	case "instances_removed":
		p.InstancesRemoved = textsOf(v)
	case "outcome":
		p.Outcome = textOf(v)
	case "rollback_of":
		p.RollbackOf = textOf(v)
	}
}

func (p *flagChange) read(key string, v value.Value) {
	switch key {
	case "flag":
		p.Flag = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "services":
		p.Services = textsOf(v)
	case "rules":
		p.Rules = v.JSON()
	}
}

func (p *incident) read(key string, v value.Value) {
	switch key {
	case "incident_id":
		p.IncidentID = textOf(v)
	case "service":
		p.Service = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "severity":
		p.Severity = textOf(v)
	case "services":
		p.Services = textsOf(v)
	case "started_at":
		p.StartedAt = millisOf(v)
	case "detected_at":
		p.DetectedAt = millisOf(v)
	case "ended_at":
		p.EndedAt = millisOf(v)
	case "merged_into":
		p.MergedInto = textOf(v)
	}
}

func (p *alert) read(key string, v value.Value) {
	switch key {
	case "alert_id":
		p.AlertID = textOf(v)
	case "fingerprint":
		p.Fingerprint = textOf(v)
	case "incident_id":
		p.IncidentID = textOf(v)
	case "service":
		p.Service = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "severity":
		p.Severity = textOf(v)
	}
}

func (p *finding) read(key string, v value.Value) {
	switch key {
	case "finding_id":
		p.FindingID = textOf(v)
	case "severity":
		p.Severity = textOf(v)
	case "service":
		p.Service = textOf(v)
	case "artifact":
		p.Artifact = textOf(v)
	case "environment":
		p.Environment = textOf(v)
	case "repository":
		p.Repository = textOf(v)
	case "revision_introduced":
		p.RevisionIntroduced = textOf(v)
	case "revision_fixed":
		p.RevisionFixed = textOf(v)
	case "first_seen":
		p.FirstSeen = millisOf(v)
	}
}

func (p *scan) read(key string, v value.Value) {
	switch key {
	case "scan_id":
		p.ScanID = textOf(v)
	case "tool":
		p.Tool = textOf(v)
	case "target":
		p.Target = textOf(v)
	case "part":
		p.Part = countOf(v)
	case "parts":
		p.Parts = countOf(v)
	case "complete":
		complete, stated := v.Bool()
		p.Partial = stated && !complete
	case "findings":
		p.Findings = make([]event.Finding, 0, v.Len())
		for element := range v.Elements() {
			p.Findings = append(p.Findings, listed(element))
		}
	default:
		p.common.read(key, v)
	}
}

// listed is a finding as a scan lists it: a stage of it, as if it were a fact.
func listed(v value.Value) event.Finding {
	f := finding{Stage: event.FindingOpened}
	for key, member := range v.Members() {
		if key == "status" {
			if stage := findingStages[textOf(member)]; stage != 0 {
				f.Stage = stage
			}
		}
		f.read(key, member)
	}
	return event.Finding(f)
}

// countOf is a number of parts: 0 where it is none.
func countOf(v value.Value) int {
	n, ok := v.Int()
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

func (p *experiment) read(key string, v value.Value) {
	switch key {
	case "experiment":
		p.Experiment = textOf(v)
	case "services":
		p.Services = textsOf(v)
	}
}

func (p *retraction) read(key string, v value.Value) {
	if key == "retracts" {
		p.Source, p.ID = textOf(v.Field("source")), textOf(v.Field("id"))
	}
}

func textOf(v value.Value) string {
	s, _ := v.Text()
	return s
}

func textsOf(v value.Value) []string {
	n := v.Len()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for element := range v.Elements() {
		if s, ok := element.Text(); ok {
			list = append(list, s)
		}
	}
	return list
}

// millisOf is a time in data, 0 (unstated) where it is none that Check lets pass.
func millisOf(v value.Value) event.Millis {
	t, ok := parseTime(textOf(v))
	if !ok || !within(t) {
		return 0
	}
	return t
}

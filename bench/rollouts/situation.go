package rollouts

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Situation is what is known of the case's incident after its last line, read
// from the lines alone. It shares no memory with them.
func Situation(c Case) (*correlate.Situation, error) {
	r := reader{
		candidates: map[string]*correlate.Candidate{}, calls: map[string]map[string]bool{}, names: map[string]string{},
	}
	for i, line := range c.Lines {
		if err := r.read(line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", c.Name, i+1, err)
		}
	}
	if r.effect.ID == "" {
		return nil, fmt.Errorf("%s: %w", c.Name, errNoIncident)
	}
	return r.situation(), nil
}

const week = 7 * 24 * 3600_000

var errNoIncident = errors.New("no incident was opened")

// reader gathers a situation, event by event.
type reader struct {
	decoder    codec.Decoder
	events     codec.Events
	effect     correlate.Effect
	candidates map[string]*correlate.Candidate
	calls      map[string]map[string]bool // caller -> callees
	rows       []correlate.Measurement
	facts      uint64
	digest     uint64
	names      map[string]string // strings that outlive their line, each once
}

func (r *reader) read(line []byte) error {
	r.events.Facts, r.events.Observations = r.events.Facts[:0], r.events.Observations[:0]
	if err := r.decoder.Decode(&r.events, event.Provenance{}, line, nil); err != nil {
		return err
	}
	for i := range r.events.Observations {
		r.measured(&r.events.Observations[i])
	}
	for i := range r.events.Facts {
		if err := r.fact(&r.events.Facts[i]); err != nil {
			return err
		}
	}
	return nil
}

// own is a copy of a name, one for all its uses.
func (r *reader) own(name string) string {
	if kept, ok := r.names[name]; ok {
		return kept
	}
	kept := strings.Clone(name)
	r.names[kept] = kept
	return kept
}

func (r *reader) measured(o *event.Observation) {
	if o.Name != "service.measured" {
		return
	}
	r.digest += o.Hash
	m := correlate.Measurement{
		At: o.Time, Interval: o.IntervalMS, Source: r.own(o.Source),
		Service: r.own(o.Service), Instance: r.own(o.Instance), Version: r.own(event.VersionKey(o.Version)),
		Caller: r.own(o.Caller), Callee: r.own(o.Callee), Requests: o.Requests, Errors: o.Errors,
		Success: o.SuccessRatio, Latency: o.LatencyMS, P99: o.LatencyP99MS, CPU: o.CPURatio, Memory: o.MemoryRatio,
	}
	if m.Interval != m.Interval {
		m.Interval = 0
	}
	if m.Caller != "" && m.Callee != "" {
		r.call(m.Caller, m.Callee)
	}
	r.rows = append(r.rows, m)
}

func (r *reader) call(caller, callee string) {
	if r.calls[caller] == nil {
		r.calls[caller] = map[string]bool{}
	}
	r.calls[caller][callee] = true
}

// said is what the data of any of the facts may hold.
type said struct {
	Service         string
	Services        []string
	DependsOn       []string `json:"depends_on"`
	IncidentID      string   `json:"incident_id"`
	Title, Severity string
	StartedAt       string `json:"started_at"`
	DetectedAt      string `json:"detected_at"`

	DeploymentID    string `json:"deployment_id"`
	Version         string
	PreviousVersion string `json:"previous_version"`
	Outcome         string
	Percent         *float64
	Added           []string `json:"instances_added"`
	Removed         []string `json:"instances_removed"`
	Revisions       []string
	RollbackOf      string `json:"rollback_of"`

	Flag, Provider string
	Rules          json.RawMessage
	ChangeID       string `json:"change_id"`
	Summary        string
}

// fact takes in what one fact says, told apart by its type.
func (r *reader) fact(f *event.Fact) error {
	var d said
	if err := json.Unmarshal([]byte(f.Data), &d); err != nil {
		return err
	}
	r.facts++
	r.digest += f.Hash
	switch name := strings.TrimPrefix(f.Type, event.Prefix); name {
	case "service.declared":
		for _, callee := range d.DependsOn {
			r.call(d.Service, callee)
		}
	case "incident.opened":
		r.opened(f, d)
	case "deployment.started", "deployment.progressed", "deployment.finished":
		r.deployed(f, d)
	case "flag.changed":
		c := r.candidate(correlate.Flag, d.Flag, f.Time)
		c.Began, c.Services, c.Summary = f.Time, d.Services, string(d.Rules)
	case "configuration.changed", "migration.applied", "infrastructure.changed":
		kind, _, _ := strings.Cut(name, ".")
		c := r.candidate(kind, d.ChangeID, f.Time)
		c.Service, c.Summary = d.Service, d.Summary
	case "provider.degraded":
		c := r.candidate(correlate.Provider, d.Provider, f.Time)
		c.Ended, c.Summary = 0, d.Severity
	case "provider.recovered":
		r.candidate(correlate.Provider, d.Provider, f.Time).Ended = f.Time
	}
	return nil
}

func (r *reader) opened(f *event.Fact, d said) {
	in, _ := f.Payload.(*event.Incident)
	detected := cmp.Or(in.DetectedAt, f.Time)
	r.effect = correlate.Effect{
		Kind: correlate.Incident, ID: d.IncidentID, Service: d.Service, Environment: strings.Clone(f.Environment),
		Services: d.Services, Title: d.Title, Severity: d.Severity, Onset: cmp.Or(in.StartedAt, detected), Detected: detected,
	}
}

func (r *reader) candidate(kind, id string, began event.Millis) *correlate.Candidate {
	key := kind + "/" + id
	if r.candidates[key] == nil {
		r.candidates[key] = &correlate.Candidate{Kind: kind, ID: id, Began: began}
	}
	return r.candidates[key]
}

func (r *reader) deployed(f *event.Fact, d said) {
	c := r.candidate(correlate.Deployment, d.DeploymentID, f.Time)
	c.Began = min(c.Began, f.Time)
	c.Service, c.Version = d.Service, cmp.Or(d.Version, c.Version)
	c.PreviousVersion = cmp.Or(d.PreviousVersion, c.PreviousVersion)
	c.RollbackOf = cmp.Or(d.RollbackOf, c.RollbackOf)
	c.Revisions = append(c.Revisions, d.Revisions...)
	if d.Percent != nil || len(d.Added)+len(d.Removed) > 0 {
		stage := correlate.Stage{At: f.Time, Percent: event.Unknown, Added: d.Added, Removed: d.Removed}
		if d.Percent != nil {
			stage.Percent = *d.Percent
		}
		c.Stages = append(c.Stages, stage)
	}
	if d.Outcome != "" {
		c.Ended, c.Outcome = f.Time, d.Outcome
	}
}

func (r *reader) situation() *correlate.Situation {
	e := r.effect
	s := &correlate.Situation{
		Effect: e, DependsOn: map[string][]string{}, From: e.Onset - correlate.Before, To: e.Detected + correlate.After,
		Revision: r.facts, Digest: r.digest,
	}
	for caller, callees := range r.calls {
		for callee := range callees {
			s.DependsOn[caller] = append(s.DependsOn[caller], callee)
		}
		slices.Sort(s.DependsOn[caller])
	}
	known := r.known()
	for _, c := range r.candidates {
		if c.Kind == correlate.Provider && known[c.ID] {
			c.Service = c.ID // a dependency that is declared under its provider's name
		}
		if c.Began < s.To && (c.Ended == 0 || c.Ended >= e.Onset-correlate.Lookback) {
			s.Candidates = append(s.Candidates, *c)
		}
	}
	slices.SortFunc(s.Candidates, func(a, b correlate.Candidate) int {
		return cmp.Or(cmp.Compare(a.Began, b.Began), strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	near := r.near(s.DependsOn)
	own := append([]string{e.Service}, e.Services...)
	for _, m := range r.rows {
		switch {
		case m.At >= s.From && m.At < s.To && near[m.Service]:
			s.Measurements = append(s.Measurements, m)
		case m.At >= s.From-week && m.At < s.To-week && slices.Contains(own, m.Service):
			s.WeekBefore = append(s.WeekBefore, m)
		}
	}
	return s
}

// known are the names at either end of a call.
func (r *reader) known() map[string]bool {
	known := map[string]bool{}
	for caller, callees := range r.calls {
		known[caller] = true
		for callee := range callees {
			known[callee] = true
		}
	}
	return known
}

// near are the services that the effect's can reach, and those that can reach
// them.
func (r *reader) near(down map[string][]string) map[string]bool {
	up := map[string][]string{}
	for caller, callees := range down {
		for _, callee := range callees {
			up[callee] = append(up[callee], caller)
		}
	}
	own := append([]string{r.effect.Service}, r.effect.Services...)
	near := map[string]bool{}
	for _, edges := range []map[string][]string{down, up} {
		seen := map[string]bool{}
		for todo := slices.Clone(own); len(todo) > 0; {
			next := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !seen[next] {
				seen[next], near[next] = true, true
				todo = append(todo, edges[next]...)
			}
		}
	}
	return near
}

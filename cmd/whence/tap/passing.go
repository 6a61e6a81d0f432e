package tap

import (
	"cmp"
	"slices"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Kinds of what passes.
const (
	Record      = "record" // not decoded yet
	Fact        = "fact"
	Observation = "observation"
	Other       = "other"
	Dead        = "dead"
	Dropped     = "dropped"
)

// Passing is one thing that passes.
type Passing struct {
	rules.Passing
	event.Provenance
	Detail string // why it is dead
}

// Records are the records of a batch that nothing has been done to.
func Records(b *pipeline.Batch) []Passing {
	all := make([]Passing, len(b.Records))
	for i := range b.Records {
		all[i] = Passing{Passing: rules.Passing{Topic: b.Topic, Record: &b.Records[i], Kind: Record}, Provenance: b.Provenance(i)}
	}
	return all
}

// Events are what a batch holds once it is decoded, in the order of its records.
func Events(b *pipeline.Batch) []Passing {
	var all []Passing
	add := func(kind string, from event.Provenance, e *event.Event, data func() string) *Passing {
		i, _ := slices.BinarySearchFunc(b.Records, from.Offset, func(r pipeline.Record, at int64) int { return cmp.Compare(r.Offset, at) })
		all = append(all, Passing{
			Passing: rules.Passing{Topic: b.Topic, Record: &b.Records[i], Event: e, Data: data, Kind: kind}, Provenance: b.Provenance(i),
		})
		return &all[len(all)-1]
	}
	for i := range b.Facts {
		f := &b.Facts[i]
		add(Fact, f.Provenance, &f.Event, func() string { return f.Data })
	}
	for i := range b.Observations {
		o := &b.Observations[i]
		p := add(Observation, o.Provenance, &o.Event, func() string { return codec.DataOf(o) })
		if i < len(b.Enrichments) {
			p.Context = context(&b.Enrichments[i])
		}
	}
	for i := range b.Others {
		o := &b.Others[i]
		add(Other, o.Provenance, &o.Event, func() string { return o.Data })
	}
	nothing := func() string { return "" }
	for i := range b.Dead {
		d := &b.Dead[i]
		p := add(Dead, d.Provenance, &event.Event{Source: d.Source, ID: d.ID, Type: d.Type, Time: d.Time}, nothing)
		p.Reason, p.Detail = string(d.Reason), d.Detail
	}
	for i := range b.Dropped {
		p := add(Dropped, event.Provenance{Offset: b.Dropped[i].Offset}, &event.Event{}, nothing)
		p.Rule = b.Dropped[i].Rule
	}
	slices.SortStableFunc(all, func(a, b Passing) int { return cmp.Compare(a.Offset, b.Offset) })
	return all
}

// context is what enrichment has said, by the names of the columns; what it knows
// nothing of is left out.
func context(e *event.Enrichment) map[string]any {
	all := map[string]any{}
	text := func(name, s string) {
		if s != "" {
			all[name] = s
		}
	}
	list := func(name string, ids []string) {
		if len(ids) > 0 {
			all[name] = ids
		}
	}
	pairs := func(name string, entries []event.Pair) {
		if len(entries) > 0 {
			m := map[string]any{}
			for _, p := range entries {
				m[p.Key] = p.Value
			}
			all[name] = m
		}
	}
	text("deployment_id", e.DeploymentID)
	text("deployed_version", e.DeployedVersion)
	text("previous_version", e.PreviousVersion)
	if e.DeploymentAgeMS != event.NoAge {
		all["deployment_age_ms"] = e.DeploymentAgeMS
	}
	list("rollout_ids", e.RolloutIDs)
	if len(e.RolloutIDs) > 0 {
		all["rollout_percent"] = e.RolloutPercent
	}
	list("change_ids", e.ChangeIDs)
	pairs("flags", e.Flags)
	list("incident_ids", e.IncidentIDs)
	text("incident_severity", e.IncidentSeverity)
	list("finding_ids", e.FindingIDs)
	text("owner", e.Owner)
	text("tier", e.Tier)
	text("canonical_service", e.CanonicalService)
	pairs("experiments", e.Experiments)
	return all
}

package clickhouse

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// told is what a fact tells about its entity.
type told struct {
	kind, id, typ, source, event string
	at                           event.Millis
	hash                         uint64
	data                         telling
}

// telling is the fields of a fact's data that candidates are made of. A field of
// another kind than its type's is impossible, and left empty.
type telling struct {
	Service, Environment                string
	Services                            []string
	Version                             string
	PreviousVersion                     string `json:"previous_version"`
	Revisions                           []string
	Percent                             *float64
	InstancesAdded                      []string `json:"instances_added"`
	InstancesRemoved                    []string `json:"instances_removed"`
	Outcome                             string
	RollbackOf                          string `json:"rollback_of"`
	Reason, Strategy                    string
	Revision                            string
	Commits                             []struct{ Revision string }
	MergedAt                            string `json:"merged_at"`
	Title, Summary, Component, Severity string
	Size                                *float64
	Repository                          string
	Paths                               []string
	Rules                               json.RawMessage
}

// candidates reads what may be to blame for an effect. They are folded here,
// from the facts up to the end of the window: what was said later, such as how
// a deployment ended an hour after, is no evidence, and must not make the
// ranking another one when it comes.
func (r *Situations) candidates(ctx context.Context, s *EffectState) ([]Candidate, error) {
	entities := map[tables.EffectKey][]told{}
	err := r.client.rows(ctx, tables.CandidateFacts(s.window, s.effect.Revision), func(scan func(...any) error) error {
		var f told
		var at int64
		var data string
		if err := scan(&f.kind, &f.id, &f.typ, &at, &f.source, &f.event, &f.hash, &data); err != nil {
			return err
		}
		_ = json.Unmarshal([]byte(data), &f.data)
		f.at, f.typ = event.Millis(at), strings.TrimPrefix(f.typ, event.Prefix)
		key := tables.EffectKey{Kind: f.kind, ID: f.id}
		entities[key] = append(entities[key], f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	fold := folding{state: s, catalog: s.neighbourhood.catalog}
	for _, facts := range entities {
		slices.SortFunc(facts, func(a, b told) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.source, b.source), cmp.Compare(a.event, b.event), cmp.Compare(a.hash, b.hash))
		})
		fold.entity(facts)
	}
	return fold.finish(s.history), nil
}

// folding makes candidates of facts.
type folding struct {
	state      *EffectState
	catalog    *catalog
	candidates []Candidate
	changes    []change
}

// change is one that may be carried by deployments.
type change struct {
	candidate Candidate
	inWindow  bool // and may be to blame itself
}

func (f *folding) entity(facts []told) {
	switch facts[0].kind {
	case "deployment":
		f.deployment(facts)
	case "change":
		f.change(facts)
	case "flag":
		f.flag(facts)
	case "provider":
		f.provider(facts)
	}
}

// here says whether an environment is the effect's.
func (f *folding) here(environment string) bool {
	return environment == "" || f.state.window.Environment == "" || environment == f.state.window.Environment
}

var stages = []string{"deployment.started", "deployment.progressed", "deployment.finished"}

// deployment folds a deployment as R8 to R12 have it.
func (f *folding) deployment(facts []told) {
	c := Candidate{Kind: "deployment", Began: facts[0].at}
	c.ID = facts[0].id
	for _, fact := range facts {
		if c.Stages = append(c.Stages, fact.stage()); fact.typ == "deployment.finished" && c.Ended == 0 {
			c.Ended = fact.at
		}
		c.Revisions = append(c.Revisions, fact.data.Revisions...)
	}
	var environment, reason string
	slices.SortStableFunc(facts, func(a, b told) int { return cmp.Compare(slices.Index(stages, a.typ), slices.Index(stages, b.typ)) })
	for _, fact := range facts {
		last(&c.Service, fact.data.Service)
		last(&environment, fact.data.Environment)
		last(&c.Version, fact.data.Version)
		last(&c.PreviousVersion, fact.data.PreviousVersion)
		last(&c.RollbackOf, fact.data.RollbackOf)
		last(&reason, fact.data.Reason)
		if fact.typ == "deployment.finished" {
			last(&c.Outcome, fact.data.Outcome)
		}
	}
	c.Service, c.Revisions, c.Summary = f.catalog.canonical(c.Service), distinctTexts(c.Revisions), reason
	if f.here(environment) {
		f.candidates = append(f.candidates, c)
	}
}

func (t told) stage() Stage {
	s := Stage{At: t.at, Percent: event.Unknown, Added: t.data.InstancesAdded, Removed: t.data.InstancesRemoved}
	if t.data.Percent != nil {
		s.Percent = *t.data.Percent
	}
	return s
}

func last(to *string, said string) {
	if said != "" {
		*to = said
	}
}

// change folds merged code, configuration, a migration or infrastructure.
func (f *folding) change(facts []told) {
	if !f.blamed(facts) {
		facts = slices.DeleteFunc(facts, func(t told) bool { return t.at < f.state.window.Changes })
	}
	if len(facts) == 0 {
		return
	}
	latest := facts[len(facts)-1]
	kind, _, _ := strings.Cut(latest.typ, ".")
	c := Candidate{Kind: kind, ID: latest.id, Began: facts[0].at}
	var environment, repository string
	var services, paths []string
	for _, fact := range facts {
		d := &fact.data
		last(&repository, d.Repository)
		if len(d.Paths) > 0 {
			paths = d.Paths
		}
		last(&c.Service, d.Service)
		last(&environment, d.Environment)
		if last(&c.Summary, d.Summary); d.Title != "" {
			c.Summary = d.Title
		}
		if len(d.Services) > 0 {
			services = d.Services
		}
		if d.Size != nil {
			c.Size = *d.Size
		}
		c.Revisions = append(c.Revisions, d.Revision)
		for _, commit := range d.Commits {
			c.Revisions = append(c.Revisions, commit.Revision)
		}
		if merged, err := time.Parse(time.RFC3339, strings.ToUpper(d.MergedAt)); err == nil {
			c.Began = event.MillisOf(merged)
		}
	}
	c.Ended = c.Began // it is done at once
	c.Revisions = distinctTexts(c.Revisions)
	if kind == "change" {
		services = append(slices.Clone(services), f.catalog.claims.of(repository, paths)...)
	}
	c.Service, c.Services = f.catalog.canonical(c.Service), f.catalog.distinct(services)
	if c.Service == "" && len(c.Services) > 0 {
		c.Service, c.Services = c.Services[0], c.Services[1:]
	}
	if f.here(environment) {
		inWindow := facts[len(facts)-1].at >= f.state.window.Since && facts[0].at < f.state.window.Until
		f.changes = append(f.changes, change{c, inWindow})
	}
}

// blamed says whether the effect itself names a revision of the change.
func (f *folding) blamed(facts []told) bool {
	return f.state.effect.Revision != "" && slices.ContainsFunc(facts, func(t told) bool {
		return t.data.Revision == f.state.effect.Revision || slices.ContainsFunc(t.data.Commits, func(c struct{ Revision string }) bool {
			return c.Revision == f.state.effect.Revision
		})
	})
}

// flag is the last change of a flag before the onset, or the first after it.
func (f *folding) flag(facts []told) {
	w := f.state.window
	facts = slices.DeleteFunc(facts, func(t told) bool { return !f.here(t.data.Environment) || t.at < w.Since })
	if len(facts) == 0 {
		return
	}
	chosen := facts[0]
	for _, fact := range facts {
		if fact.at <= f.state.effect.Onset {
			chosen = fact
		}
	}
	var rules bytes.Buffer
	_ = json.Compact(&rules, chosen.data.Rules)
	services := f.catalog.distinct(chosen.data.Services)
	c := Candidate{Kind: "flag", ID: chosen.id, Services: services, Began: chosen.at, Ended: chosen.at, Summary: rules.String()}
	if len(services) > 0 {
		c.Service, c.Services = services[0], services[1:]
	}
	f.candidates = append(f.candidates, c)
}

// provider is the last trouble of a provider that began within the window, until
// it was well again.
func (f *folding) provider(facts []told) {
	var c Candidate
	for _, fact := range facts {
		switch {
		case !f.here(fact.data.Environment) || fact.at < f.state.window.Since:
		case fact.typ == "provider.degraded" && (c.Kind == "" || c.Ended != 0):
			c = Candidate{Kind: "provider", ID: fact.id, Began: fact.at, Summary: strings.TrimSpace(fact.data.Component + " " + fact.data.Severity)}
		case fact.typ == "provider.recovered" && c.Kind != "" && c.Ended == 0:
			c.Ended = fact.at
		}
	}
	if c.Service = f.state.neighbourhood.serviceOf(c.ID); c.Kind != "" {
		f.candidates = append(f.candidates, c)
	}
}

// finish tells deployments what they carry, adds the changes that nothing
// carries, and what is known of all services from earlier effects.
func (f *folding) finish(history []confirmation) []Candidate {
	carriers := map[string][]int{}
	for i := range f.candidates {
		for _, revision := range f.candidates[i].Revisions {
			carriers[revision] = append(carriers[revision], i)
		}
	}
	// In an order of their own, as sums of sizes depend on it.
	slices.SortFunc(f.changes, func(a, b change) int { return cmp.Compare(a.candidate.ID, b.candidate.ID) })
	for _, k := range f.changes {
		carrying := map[int]bool{}
		for _, revision := range k.candidate.Revisions {
			for _, i := range carriers[revision] {
				carrying[i] = true
			}
		}
		for i := range carrying {
			f.candidates[i].carry(&k.candidate)
		}
		blamed := f.state.effect.Revision != "" && slices.Contains(k.candidate.Revisions, f.state.effect.Revision)
		if blamed || k.inWindow && len(carrying) == 0 && (k.candidate.Kind != "change" || k.candidate.Service != "") {
			f.candidates = append(f.candidates, k.candidate)
		}
	}
	confirmed, refuted := record(history, f.state.effect.Onset)
	for i := range f.candidates {
		c := &f.candidates[i]
		c.Confirmed, c.Refuted = confirmed[c.Service], refuted[c.Service]
	}
	slices.SortFunc(f.candidates, func(a, b Candidate) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return f.candidates
}

// carry adds a change to what a deployment brings.
func (c *Candidate) carry(k *Candidate) {
	c.Changes = append(c.Changes, k.ID)
	c.Size += k.Size
	if c.Summary == "" {
		c.Summary = k.Summary
	}
}

func distinctTexts(all []string) []string {
	set := map[string]bool{}
	for _, s := range all {
		if s != "" {
			set[s] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

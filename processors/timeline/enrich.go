package timeline

import (
	"strings"
	"sync"

	"github.com/whencehq/whence/schemas/event"
)

// Enrich fills out[i] with what was true for obs[i] at its time, by the rules
// R5 to R31, all from one state, and returns that state's revision. out must be
// at least as long as obs. DeployedVersion and CanonicalService may be strings
// of the observation itself; slices are shared and must not be changed.
func (t *Timeline) Enrich(obs []event.Observation, out []event.Enrichment) (revision uint64) {
	revision, _ = t.enrich(obs, out)
	return revision
}

// enrich also returns what the answers lack, nil for nothing: else some of them
// are worth nothing.
func (t *Timeline) enrich(obs []event.Observation, out []event.Enrichment) (revision uint64, lacking *lacking) {
	t.mu.RLock()
	r := reader{timeline: t}
	for i := range obs {
		r.enrich(&obs[i], &out[i])
	}
	revision = t.revision
	t.mu.RUnlock()
	t.open(r.unopened)
	return revision, r.lacking
}

// reader answers the observations of one batch. Neighbours mostly ask of the
// same scope and context, so it remembers the last.
type reader struct {
	timeline             *Timeline
	service, environment string
	scope                *scope // nil: nothing asked yet
	canonical            string
	context              *constants
	unopened             []*scope
	lacking              *lacking // nil: nothing so far
}

func (r *reader) enrich(o *event.Observation, e *event.Enrichment) {
	t := r.timeline
	if r.scope == nil || o.Service != r.service || o.Environment != r.environment {
		r.turn(o.Service, o.Environment)
	}
	if sv := r.scope.service; sv.partial && o.Time < sv.since {
		r.lacks(sv)
		return
	}
	if c := r.context; c == nil || o.Time < c.from || c.to <= o.Time {
		r.context = t.constants(r.scope, o.Time)
	}
	c := r.context
	d := r.cardFor(c, o)
	*e = event.Enrichment{
		DeploymentID:     d.id,
		DeployedVersion:  d.version,
		PreviousVersion:  d.previous,
		DeploymentAgeMS:  event.NoAge,
		RolloutIDs:       c.rollouts,
		RolloutPercent:   c.percent,
		ChangeIDs:        d.changes,
		Flags:            c.flags,
		IncidentIDs:      c.incidents,
		IncidentSeverity: c.severity,
		FindingIDs:       c.findings,
		Owner:            c.owner,
		Tier:             c.tier,
		CanonicalService: r.canonical,
		Revision:         t.revision,
	}
	if d != &nothing {
		e.DeploymentAgeMS = int64(o.Time - d.start)
	} else {
		e.DeployedVersion = o.Version
	}
	if o.Experiment != "" {
		e.Experiments = t.variants.of(o.Experiment, o.Variant)
	}
}

func (r *reader) lacks(sv *service) {
	if r.lacking == nil {
		r.lacking = &lacking{timeline: r.timeline}
	}
	r.lacking.service(sv)
}

// cardFor is the choice between R13, R14 and R15.
func (r *reader) cardFor(c *constants, o *event.Observation) *card {
	t, sc := r.timeline, r.scope
	if o.Version != "" {
		for _, k := range c.likely {
			if k.version == o.Version {
				return k
			}
		}
		key := event.VersionKey(o.Version)
		if t.doubtful(sc, keyVersion, key) {
			r.lacks(sc.service)
		}
		if d := sc.versions.at(key, o.Time); d != nil {
			return t.cardOf(d)
		}
		return &nothing
	}
	if o.Instance != "" {
		if t.doubtful(sc, keyInstance, o.Instance) {
			r.lacks(sc.service)
		}
		if d := sc.instances.at(o.Instance, o.Time); d != nil {
			return t.cardOf(d)
		}
	}
	return c.last
}

// doubtful: deployments that serve that word, or the one before them, were let
// go of.
func (t *Timeline) doubtful(sc *scope, kind keyKind, word string) bool {
	return sc.partial && t.forgotten.has(key{kind, sc.service.name, sc.environment.name, word})
}

// turn finds the scope of a service and an environment as stated. Of a service
// or an environment that no fact names, only what the other says holds.
func (r *reader) turn(service, environment string) {
	t := r.timeline
	r.service, r.environment, r.context = service, environment, nil
	n, e := t.names[service], t.environments[environment]
	r.canonical = service
	if n != nil {
		r.canonical = n.service.name
	}
	switch {
	case n == nil && e == nil:
		r.scope = t.nowhere
	case n == nil:
		r.scope = e.anyone
	case e == nil:
		r.scope = n.service.elsewhere
	default:
		if r.scope = n.service.scopes[e]; r.scope == nil {
			r.scope = &scope{service: n.service, environment: e}
			r.unopened = append(r.unopened, r.scope)
		}
	}
}

// open keeps scopes that readers met and no fact has made, so that their
// contexts are cached from now on. There are at most as many as services times
// environments that facts name: no observation can make more.
func (t *Timeline) open(unopened []*scope) {
	if len(unopened) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sc := range unopened {
		t.scope(sc.service, sc.environment)
	}
}

// variants keeps the one-pair lists of experiments, so that an exposure costs
// no allocation. It is bounded: beyond that a list is made for each row.
type variants struct {
	mu    sync.RWMutex
	lists map[event.Pair][]event.Pair
}

const variantsKept = 4096

func (v *variants) of(experiment, variant string) []event.Pair {
	p := event.Pair{Key: experiment, Value: variant}
	v.mu.RLock()
	list, known := v.lists[p]
	full := len(v.lists) >= variantsKept
	v.mu.RUnlock()
	switch {
	case known:
		return list
	case full:
		return []event.Pair{p}
	}
	p = event.Pair{Key: strings.Clone(experiment), Value: strings.Clone(variant)}
	list = []event.Pair{p}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lists == nil {
		v.lists = map[event.Pair][]event.Pair{}
	}
	v.lists[p] = list
	return list
}

package timeline

import (
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// Contexts lists all that Enrich would say of the stale observations, from
// moment to moment, as of one revision: the contexts of their services and
// environments, and the deployments behind the versions and instances that
// they state, each of which has a Serving at First at the latest. ok is false
// where that is more than limit entries: ask for a shorter time.
func (t *Timeline) Contexts(stale []event.Stale, limit int) (contexts []event.Context, servings []event.Serving, revision uint64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r := reader{timeline: t}
	for i := range stale {
		s := &stale[i]
		r.turn(s.Service, s.Environment)
		for at := s.First; at <= s.Last; {
			c := t.constantsAt(r.scope, at)
			contexts = append(contexts, c.said(s, at, r.canonical))
			at = c.to
			if len(contexts)+len(servings) > limit {
				return nil, nil, 0, false
			}
		}
		for _, v := range s.Versions {
			t.servings(s, r.scope.versions, v, func(sv event.Serving) { sv.Version = v; servings = append(servings, sv) })
		}
		for _, v := range s.Instances {
			t.servings(s, r.scope.instances, v, func(sv event.Serving) { sv.Instance = v; servings = append(servings, sv) })
		}
	}
	return contexts, servings, t.revision, len(contexts)+len(servings) <= limit
}

func (c *constants) said(s *event.Stale, since event.Millis, canonical string) event.Context {
	return event.Context{
		Service: s.Service, Environment: s.Environment, Since: since, Until: s.Last, StartedAt: c.last.start,
		Enrichment: event.Enrichment{
			DeploymentID:     c.last.id,
			DeployedVersion:  c.last.version,
			PreviousVersion:  c.last.previous,
			RolloutIDs:       c.rollouts,
			RolloutPercent:   c.percent,
			ChangeIDs:        c.last.changes,
			Flags:            c.flags,
			IncidentIDs:      c.incidents,
			IncidentSeverity: c.severity,
			FindingIDs:       c.findings,
			Owner:            c.owner,
			Tier:             c.tier,
			CanonicalService: canonical,
		},
	}
}

// servings calls yield with the deployments behind a word, one after the
// other.
func (t *Timeline) servings(s *event.Stale, by lineups, word string, yield func(event.Serving)) {
	turns := []event.Millis{s.First}
	for _, d := range by[word] {
		for _, at := range [...]event.Millis{d.start.time, d.failed} {
			if s.First < at && at <= s.Last {
				turns = append(turns, at)
			}
		}
	}
	slices.Sort(turns)
	var before *deployment
	for i, at := range turns {
		d := by.at(word, at)
		if i > 0 && d == before {
			continue
		}
		before = d
		sv := event.Serving{Service: s.Service, Environment: s.Environment, Since: at}
		if d != nil {
			c := t.cardOf(d)
			sv.DeploymentID, sv.DeployedVersion, sv.PreviousVersion = c.id, c.version, c.previous
			sv.StartedAt, sv.ChangeIDs = c.start, c.changes
		}
		yield(sv)
	}
}

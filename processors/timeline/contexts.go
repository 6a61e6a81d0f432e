package timeline

import (
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// Contexts lists all that Enrich would say of the stale observations, from
// moment to moment, as of one revision: the contexts of their services and
// environments, and the deployments behind the versions and instances that
// they state, each of which has a Serving at First at the latest. ok is false
// where that is more than limit entries, those of their lists counted too: ask
// for less.
func (t *Timeline) Contexts(stale []event.Stale, limit int) (contexts []event.Context, servings []event.Serving, revision uint64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.contexts(stale, limit)
}

// lacksContexts is what [Timeline.Contexts] needs that is not in memory, nil for
// nothing.
func (t *Timeline) lacksContexts(stale []event.Stale) *lacking {
	r := reader{timeline: t}
	for i := range stale {
		s := &stale[i]
		r.turn(s.Service, s.Environment)
		sv := r.scope.service
		doubtful := sv.partial && s.First < sv.since
		for _, v := range s.Versions {
			doubtful = doubtful || t.doubtful(r.scope, keyVersion, event.VersionKey(v))
		}
		for _, v := range s.Instances {
			doubtful = doubtful || t.doubtful(r.scope, keyInstance, v)
		}
		if doubtful {
			r.lacks(sv)
		}
	}
	return r.lacking
}

func (t *Timeline) contexts(stale []event.Stale, limit int) (contexts []event.Context, servings []event.Serving, revision uint64, ok bool) {
	r := reader{timeline: t}
	size := 0
	for i := range stale {
		s := &stale[i]
		r.turn(s.Service, s.Environment)
		for at := s.First; at <= s.Last; {
			c := t.constantsAt(r.scope, at)
			contexts = append(contexts, c.said(s, at, r.canonical))
			at = c.to
			if size += c.size(); size > limit {
				return nil, nil, 0, false
			}
		}
		serve := func(sv event.Serving) {
			servings = append(servings, sv)
			size += 1 + len(sv.ChangeIDs)
		}
		for _, v := range s.Versions {
			t.servings(s, r.scope.versions, event.VersionKey(v), func(sv event.Serving) { sv.Version = v; serve(sv) })
		}
		for _, v := range s.Instances {
			t.servings(s, r.scope.instances, v, func(sv event.Serving) { sv.Instance = v; serve(sv) })
		}
	}
	return contexts, servings, t.revision, size <= limit
}

// size is how many entries c needs; a flag with long rules is several.
func (c *constants) size() int {
	n := 1 + len(c.last.changes) + len(c.rollouts) + len(c.incidents) + len(c.findings) + len(c.flags)
	for i := range c.flags {
		n += len(c.flags[i].Value) >> 10
	}
	return n
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
		sv := event.Serving{Service: s.Service, Environment: s.Environment, Since: at, Until: s.Last}
		if d != nil {
			c := t.cardOf(d)
			sv.DeploymentID, sv.DeployedVersion, sv.PreviousVersion = c.id, c.version, c.previous
			sv.StartedAt, sv.ChangeIDs = c.start, c.changes
		}
		yield(sv)
	}
}

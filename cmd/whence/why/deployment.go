package why

import (
	"context"

	"github.com/whencehq/whence/pipeline/display"
)

// deployment tells what was rolled out, and what blames it.
func (r *reader) deployment(ctx context.Context, s *Story) error {
	statement := with(r.asKnown("deployment", `
SELECT deployment_id AS id, service, environment, version, previous_version, state, percent,
    toUnixTimestamp64Milli(started_at) AS started_at, toUnixTimestamp64Milli(ended_at) AS ended_at, rollback_of, requested_by
FROM whence.deployments FINAL WHERE deployment_id = {id}`, r.ID), "id", r.ID)
	found, err := Rows[Deployment](ctx, r.ask, statement)
	if err != nil {
		return err
	}
	if len(found) == 0 && r.AsOf != 0 {
		return r.notKnown(ctx, "deployment")
	}
	if len(found) == 0 {
		return r.unknown(ctx)
	}
	d := &found[0]
	d.SQL = statement
	s.Deployment = d
	if d.Changes, err = Rows[Change](ctx, r.ask, with(`
SELECT change_id, title, author, repository FROM whence.what_shipped WHERE deployment_id = {id} ORDER BY merged_at, change_id`, "id", r.ID)); err != nil {
		return err
	}
	if s.Blamed, err = r.blamed(ctx); err != nil {
		return err
	}
	marks := []Mark{{At: d.StartedAt, Sign: "!", Words: "begins"}}
	if d.EndedAt != 0 {
		marks = append(marks, Mark{At: d.EndedAt, Sign: "x", Words: "ends"})
	}
	if s.Signal, err = r.signal(ctx, d.Service, d.Environment, d.StartedAt, 0, marks, s.reproach()); err != nil {
		return err
	}
	for _, b := range s.Blamed {
		if b.Rank == 1 {
			s.Next = append(s.Next, Action{display.Command("whence why", b.ID), "the whole story of the " + b.Kind + " it is blamed for"})
		}
	}
	return nil
}

// reproach is what the strongest evidence against the deployment is seen by, of the
// effect that most likely is its doing. Empty: none is seen by anything.
func (s *Story) reproach() string {
	for _, b := range s.Blamed {
		if what := shows[b.Term]; what != "" {
			return what
		}
	}
	return ""
}

// blamed reads the effects that have the deployment among their hypotheses, as
// they were ranked last.
func (r *reader) blamed(ctx context.Context) ([]Blame, error) {
	links, current := "whence.links", ""
	if r.AsOf != 0 {
		links = "whence.links_history"
		current = with(` AND links.computed_at <= {until} AND (effect_kind, effect_id, ranking) IN
    (SELECT effect_kind, effect_id, max(ranking) FROM whence.links_history WHERE computed_at <= {until} GROUP BY effect_kind, effect_id)`,
			"until", r.AsOf)
	}
	return Rows[Blame](ctx, r.ask, with(`
SELECT toString(effect_kind) AS effect_kind, effect_id, toString(service) AS service, toUnixTimestamp64Milli(onset) AS onset, rank, probability,
    toUnixTimestamp64Milli(computed_at) AS computed_at,
    arraySort(term -> -JSONExtractFloat(term, 'value') * JSONExtractFloat(term, 'weight'), JSONExtractArrayRaw(evidence))[1] AS strongest,
    if(JSONExtractFloat(strongest, 'value') * JSONExtractFloat(strongest, 'weight') > 0, JSONExtractString(strongest, 'term'), '') AS term, JSONExtractString(strongest, 'words') AS words
FROM `+links+` AS links
WHERE cause_kind = 'deployment' AND cause_id = {id}`+current+`
ORDER BY probability DESC, effect_kind, effect_id
LIMIT 100`, "id", r.ID))
}

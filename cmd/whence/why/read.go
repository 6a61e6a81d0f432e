package why

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/display"
	tables "github.com/whencehq/whence/schemas/clickhouse"
)

// Question is what a story is told of.
type Question struct {
	ID   string
	Kind string // empty: whatever has that id
	// AsOf tells what was said at that moment; 0: now.
	AsOf Moment
	// Now is the time, for what goes on.
	Now Moment
	// Minutes is how many minutes the signal shows.
	Minutes int
	// All reads the evidence of every hypothesis, and not only of the first
	// ones: an effect may have thousands, each with its statements.
	All bool
}

// Kinds are the kinds that a story can be told of.
func Kinds() []string { return []string{"incident", "alert", "finding", "breach", "deployment"} }

// AmbiguousError is in the chain where more than one thing has the id.
type AmbiguousError struct {
	ID    string
	Kinds []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s is the id of more than one thing (%s): say which with --kind", e.ID, strings.Join(e.Kinds, ", "))
}

// reader reads one story.
type reader struct {
	ask Ask
	Question
}

// Read puts a story together. Where nothing has the id, the error has a hint of
// those that have a similar one.
func Read(ctx context.Context, ask Ask, q Question) (*Story, error) {
	r := &reader{ask, q}
	if r.Minutes == 0 {
		r.Minutes = 72
	}
	kind, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	s := &Story{Schema: Schema, AsOf: q.AsOf, Hypotheses: []Hypothesis{}, History: []Said{}, Late: []LateFact{},
		Confirmed: []Confirmed{}, Blamed: []Blame{}, Next: []Action{}}
	if kind == "deployment" {
		err = r.deployment(ctx, s)
	} else {
		err = r.effect(ctx, s, kind)
	}
	return s, err
}

// until is the end of what happens in the story.
func (r *reader) until() Moment { return cmp.Or(r.AsOf, r.Now) }

// known is until when something must have been said to be told. Without AsOf that
// is any time: the clock of who said it need not agree with this one.
func (r *reader) known() Moment { return cmp.Or(r.AsOf, 7_258_118_400_000) } // the year 2200

// find says what has the id.
func (r *reader) find(ctx context.Context) (string, error) {
	kinds, err := Rows[struct{ Kind string }](ctx, r.ask, with(`
SELECT DISTINCT kind FROM
(
    SELECT 'incident' AS kind FROM whence.incidents FINAL WHERE incident_id = {id}
    UNION ALL SELECT 'alert' FROM whence.alerts FINAL WHERE alert_id = {id}
    UNION ALL SELECT 'finding' FROM whence.findings FINAL WHERE finding_id = {id}
    UNION ALL SELECT 'breach' FROM whence.breaches FINAL WHERE breach_id = {id}
    UNION ALL SELECT 'deployment' FROM whence.deployments FINAL WHERE deployment_id = {id}
    UNION ALL SELECT toString(effect_kind) FROM whence.links WHERE effect_id = {id}
)
WHERE {kind} IN ('', kind)
ORDER BY kind`, "id", r.ID, "kind", r.Kind))
	if err != nil {
		return "", err
	}
	switch len(kinds) {
	case 0:
		return "", r.unknown(ctx)
	case 1:
		return kinds[0].Kind, nil
	}
	ambiguous := &AmbiguousError{ID: r.ID}
	for _, k := range kinds {
		ambiguous.Kinds = append(ambiguous.Kinds, k.Kind)
	}
	return "", ambiguous
}

// unknown is the error of an id that nothing has.
func (r *reader) unknown(ctx context.Context) error {
	what := "incident, alert, finding, breach or deployment"
	if r.Kind != "" {
		what = r.Kind
	}
	err := &pipeline.Error{Err: fmt.Errorf("no %s has the id %s", what, r.ID),
		Hint: "a fact is known about a second after it is published; whence query \"SELECT incident_id FROM incidents FINAL\" lists incidents"}
	if near := Similar(ctx, r.ask, r.ID, r.Kind); len(near) > 0 {
		err.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return err
}

// Similar are ids that id may have been meant to be, each with its kind; none
// where nothing is near, or could be read.
func Similar(ctx context.Context, ask Ask, id, kind string) []string {
	near, err := Rows[struct{ Kind, ID string }](ctx, ask, with(`
SELECT kind, id FROM
(
    SELECT 'incident' AS kind, incident_id AS id, started_at AS at FROM whence.incidents FINAL
    UNION ALL SELECT 'alert', alert_id, ifNull(fired_at, time) FROM whence.alerts FINAL
    UNION ALL SELECT 'finding', finding_id, ifNull(opened_at, time) FROM whence.findings FINAL
    UNION ALL SELECT 'breach', breach_id, started_at FROM whence.breaches FINAL
    UNION ALL SELECT 'deployment', deployment_id, started_at FROM whence.deployments FINAL
)
WHERE {kind} IN ('', kind) AND (positionCaseInsensitive(id, {id}) > 0
    OR damerauLevenshteinDistance(lower(substring(id, 1, 200)), lower({id})) <= greatest(1, intDiv(length({id}), 4)))
ORDER BY damerauLevenshteinDistance(lower(substring(id, 1, 200)), lower({id})), at DESC
LIMIT 3`, "id", id[:min(len(id), 200)], "kind", kind))
	if err != nil {
		return nil
	}
	names := make([]string, len(near))
	for i, n := range near {
		names[i] = n.Kind + " " + n.ID
	}
	return names
}

// effect tells of an incident, an alert, a finding or a breach.
func (r *reader) effect(ctx context.Context, s *Story, kind string) error {
	var err error
	known := false
	if s.Effect, known, err = r.described(ctx, kind); err != nil {
		return err
	}
	if err := r.history(ctx, s); err != nil {
		return err
	}
	if !known && r.AsOf != 0 && s.Ranking == nil {
		return r.notKnown(ctx, kind)
	}
	if err := r.hypotheses(ctx, s); err != nil {
		return err
	}
	if err := r.called(ctx, s.Effect); err != nil {
		return err
	}
	// A person waits: what doesn't need each other is asked for together.
	together, asking := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context, *Story) error{r.marked, r.late, r.confirmed, r.hit} {
		together.Go(func() error { return part(asking, s) })
	}
	if err := together.Wait(); err != nil {
		return err
	}
	s.Next = s.next()
	return nil
}

// marked reads what the hypotheses are and the signal, on which they are marked.
func (r *reader) marked(ctx context.Context, s *Story) error {
	if err := r.candidates(ctx, s); err != nil {
		return err
	}
	return r.effectSignal(ctx, s)
}

// descriptions read what is known of an effect, one row or none.
var descriptions = map[string]string{
	"incident": `
SELECT title, service, arrayDistinct(arrayConcat([toString(service)], services)) AS services, environment, severity, state,
    toUnixTimestamp64Milli(started_at) AS onset, toUnixTimestamp64Milli(coalesce(detected_at, opened_at)) AS detected,
    toUnixTimestamp64Milli(coalesce(ended_at, resolved_at)) AS ended, merged_into AS incident
FROM whence.incidents FINAL WHERE incident_id = {id}`,
	"alert": `
SELECT summary AS title, service, [toString(service)] AS services, environment, severity,
    if(resolved_at IS NULL, 'firing', 'resolved') AS state,
    toUnixTimestamp64Milli(coalesce(fired_at, time)) AS onset, onset AS detected, toUnixTimestamp64Milli(resolved_at) AS ended,
    incident_id AS incident, if(fired_at IS NULL, 'nothing says when it fired', '') AS unranked
FROM whence.alerts FINAL WHERE alert_id = {id}`,
	"finding": `
SELECT concat(kind, ': ', rule) AS title, service, [toString(service)] AS services, environment, severity, state,
    toUnixTimestamp64Milli(coalesce(first_seen, opened_at, time)) AS onset, toUnixTimestamp64Milli(opened_at) AS detected,
    toUnixTimestamp64Milli(closed_at) AS ended, '' AS incident,
    if(facts <= sightings AND revision_introduced = '', 'only scans list it, and none names the revision that brought it', '') AS unranked
FROM whence.findings FINAL WHERE finding_id = {id}`,
	"breach": `
SELECT concat('a breach', if(actor = '', '', concat(' by ', actor))) AS title, service, [toString(service)] AS services, environment, severity,
    state, toUnixTimestamp64Milli(started_at) AS onset, toUnixTimestamp64Milli(detected_at) AS detected,
    toUnixTimestamp64Milli(contained_at) AS ended, '' AS incident
FROM whence.breaches FINAL WHERE breach_id = {id}`,
}

// described is what is known of the effect; by its id alone, if it is ranked and
// all that was said of it was taken back. known is false if there is nothing.
func (r *reader) described(ctx context.Context, kind string) (e *Effect, known bool, err error) {
	statement := with(r.asKnown(kind, descriptions[kind], r.ID), "id", r.ID)
	found, err := Rows[Effect](ctx, r.ask, statement)
	if err != nil {
		return nil, false, err
	}
	e = &Effect{Services: []string{}, Canonical: []string{}, Names: []string{}}
	if len(found) > 0 {
		e = &found[0]
	}
	e.Kind, e.ID, e.SQL = kind, r.ID, statement
	e.Services = slices.DeleteFunc(e.Services, func(s string) bool { return s == "" })
	return e, len(found) > 0, nil
}

// asKnown has a statement read entities of a kind as they were known as of the
// moment in question, and not as they are.
func (r *reader) asKnown(kind, statement string, ids ...string) string {
	if r.AsOf == 0 {
		return statement
	}
	return strings.Replace(statement, "whence."+tables.EntityKinds()[kind]+" FINAL", "("+tables.EntitiesKnown(kind, r.moment(), ids)+")", 1)
}

// moment is that of the question as the tables take it.
func (r *reader) moment() string { return r.AsOf.Time().Format("2006-01-02T15:04:05.000Z") }

// notKnown is the error of an id that something has now, and nothing had then.
func (r *reader) notKnown(ctx context.Context, kind string) error {
	err := &pipeline.Error{Err: fmt.Errorf("%s %s was not known by then", kind, r.ID), Hint: "leave --as-of out to see what is known now"}
	first, failed := Rows[struct{ At Moment }](ctx, r.ask, with(
		"SELECT toUnixTimestamp64Milli(min(ifNull(known_at, received_at))) AS at FROM whence.facts_history(kind = {kind}, entity = {id}) HAVING count() > 0",
		"kind", kind, "id", r.ID))
	if failed == nil && len(first) > 0 {
		err.Hint = "the first that was heard of it came at " + first[0].At.Time().Format("2006-01-02 15:04:05 UTC") + "; " + err.Hint
	}
	return err
}

// called reads what the effect's services mean, and by which names they go.
func (r *reader) called(ctx context.Context, e *Effect) error {
	var err error
	stated := e.Services
	if len(stated) == 0 && e.Service != "" {
		stated = []string{e.Service}
	}
	e.Canonical, e.Names, err = r.names(ctx, stated)
	return err
}

// names reads what services mean, aliases resolved, and all names that mean the same.
func (r *reader) names(ctx context.Context, services []string) (canonical, names []string, err error) {
	rows, err := Rows[struct {
		Name, Canonical string
		Names           []string
	}](ctx, r.ask, with("SELECT name, canonical, names FROM whence.service_names WHERE name IN {services}", "services", services))
	if err != nil {
		return nil, nil, err
	}
	canonical, names = []string{}, []string{}
	for _, service := range services {
		means, all := service, []string{service}
		for _, row := range rows {
			if row.Name == service {
				means, all = row.Canonical, row.Names
			}
		}
		if !slices.Contains(canonical, means) {
			canonical, names = append(canonical, means), append(names, all...)
		}
	}
	return canonical, names, nil
}

// history reads who led each ranking.
func (r *reader) history(ctx context.Context, s *Story) error {
	var err error
	s.History, err = Rows[Said](ctx, r.ask, with(`
SELECT ranking, toUnixTimestamp64Milli(computed_at) AS computed_at, toString(model) AS model, revision,
    toString(cause_kind) AS cause_kind, cause_id, toString(cause_service) AS service, probability
FROM whence.links_history AS l
WHERE effect_kind = {kind} AND effect_id = {id} AND rank = 1 AND l.computed_at <= {until}
ORDER BY ranking`, "kind", s.Effect.Kind, "id", s.Effect.ID, "until", r.known()))
	if err != nil || len(s.History) == 0 {
		return err
	}
	for i := range s.History {
		said := &s.History[i]
		said.Changed = i == 0 || said.Kind != s.History[i-1].Kind || said.ID != s.History[i-1].ID
	}
	last := s.History[len(s.History)-1].Ranking
	s.Ranking = &last
	return nil
}

// link is a row of whence.links_history.
type link struct {
	Onset       Moment
	Effect      string
	Environment string
	Hypothesis
	Evidence string `json:"terms"`
}

// hypotheses reads the ranking that counts.
func (r *reader) hypotheses(ctx context.Context, s *Story) error {
	if s.Ranking == nil {
		return nil
	}
	links, err := Rows[link](ctx, r.ask, with(`
SELECT toUnixTimestamp64Milli(onset) AS onset, toString(service) AS effect, toString(environment) AS environment,
    rank, toString(cause_kind) AS cause_kind, cause_id, toString(cause_service) AS service, probability, log_odds,
    if({all} OR rank <= {close} OR cause_kind = 'none', evidence, '[]') AS terms
FROM whence.links_history
WHERE effect_kind = {kind} AND effect_id = {id} AND ranking = {number}
ORDER BY rank`, "kind", s.Effect.Kind, "id", s.Effect.ID, "number", s.Ranking.Number, "all", r.All, "close", telling))
	if err != nil {
		return err
	}
	for _, l := range links {
		s.Effect.Onset = cmp.Or(s.Effect.Onset, l.Onset)
		s.Effect.Service = cmp.Or(s.Effect.Service, l.Effect)
		s.Effect.Environment = cmp.Or(s.Effect.Environment, l.Environment)
		h, err := l.hypothesis()
		if err != nil {
			return err
		}
		s.Hypotheses = append(s.Hypotheses, h)
	}
	return nil
}

func (l *link) hypothesis() (Hypothesis, error) {
	h := l.Hypothesis
	h.Evidence = []Term{}
	if err := json.Unmarshal([]byte(cmp.Or(l.Evidence, "[]")), &h.Evidence); err != nil {
		return h, fmt.Errorf("the evidence about %s can't be read: %w", h.Name(), err)
	}
	for i := range h.Evidence {
		term := &h.Evidence[i]
		term.Contribution = term.Value * term.Weight
		h.Sum += term.Contribution
	}
	return h, nil
}

// candidate is what a hypothesis is, beside its name.
type candidate struct {
	Kind, ID, What, State string
	Started, Ended        Moment
}

// candidates reads what the hypotheses are, beside their names.
func (r *reader) candidates(ctx context.Context, s *Story) error {
	named := []string{}
	for _, h := range s.Hypotheses[:min(describing, len(s.Hypotheses))] {
		if h.ID != "" && h.Kind != "undeclared" {
			named = append(named, "("+Quote(h.Kind)+", "+Quote(h.ID)+")")
		}
	}
	if len(named) == 0 {
		return nil
	}
	// A flag is changed more than once: the change that is meant is the last one
	// before the onset, or a little after it, as onsets are estimates.
	rows, err := Rows[candidate](ctx, r.ask, with(`
SELECT kind, id, what, state, toUnixTimestamp64Milli(began) AS started, toUnixTimestamp64Milli(finished) AS ended
FROM
(
    SELECT kind, change_id AS id, title AS what, state, started_at AS began, ended_at AS finished FROM whence.what_changed
    UNION ALL
    SELECT 'change', change_id, title, 'done', changed_at, NULL FROM whence.changes FINAL WHERE kind = 'change.merged'
)
WHERE (kind, id) IN (`+strings.Join(named, ", ")+`) AND (kind != 'deployment' OR NOT {past})
ORDER BY began <= {onset} + INTERVAL 10 MINUTE, began`, "onset", s.Effect.Onset, "past", r.AsOf != 0))
	if err != nil {
		return err
	}
	known, err := r.deploymentsKnown(ctx, s)
	for _, c := range append(rows, known...) { // the last one stays
		for i := range s.Hypotheses {
			if h := &s.Hypotheses[i]; h.Kind == c.Kind && h.ID == c.ID {
				h.What, h.State, h.StartedAt, h.EndedAt = c.What, c.State, c.Started, c.Ended
			}
		}
	}
	return err
}

// deploymentsKnown reads what was known of the deployments among the hypotheses that
// are told as of the moment in question: how they ended may have come later.
func (r *reader) deploymentsKnown(ctx context.Context, s *Story) ([]candidate, error) {
	told := telling
	if r.All {
		told = describing
	}
	ids := []string{}
	for _, h := range s.Hypotheses[:min(told, len(s.Hypotheses))] {
		if h.Kind == "deployment" {
			ids = append(ids, h.ID)
		}
	}
	if r.AsOf == 0 {
		return nil, nil
	}
	var known []candidate
	for some := range slices.Chunk(ids, atOnce) {
		rows, err := Rows[candidate](ctx, r.ask, r.asKnown("deployment", `
SELECT 'deployment' AS kind, deployment_id AS id, concat(version, if(previous_version = '', '', concat(', before it ', previous_version))) AS what, state,
    toUnixTimestamp64Milli(started_at) AS started, toUnixTimestamp64Milli(ended_at) AS ended
FROM whence.deployments FINAL`, some...))
		if err != nil {
			return known, err
		}
		known = append(known, rows...)
	}
	return known, nil
}

// atOnce is of how many deployments one statement asks what was known: for each it
// has the history of its facts, half a kilobyte of text and a tenth of a second.
const atOnce = 20

// describing is how many hypotheses are described: their ids are in a statement.
const describing = 500

// telling is how many hypotheses are looked at closely.
const telling = 5

// late reads the facts about the effect and its first hypotheses that came, or
// were retracted, after it was ranked.
func (r *reader) late(ctx context.Context, s *Story) error {
	if len(s.History) == 0 {
		return nil
	}
	parts := []string{factsOf(s.Effect.Kind, s.Effect.ID)}
	for i := range min(telling, len(s.Hypotheses)) {
		h := &s.Hypotheses[i] // the rest of it is read meanwhile, see effect
		if kind := entityOf(h.Kind); kind != "" {
			parts = append(parts, factsOf(kind, h.ID))
		}
	}
	first := s.History[0].ComputedAt
	var err error
	s.Late, err = Rows[LateFact](ctx, r.ask, with(`
SELECT DISTINCT toUnixTimestamp64Milli(heard.1) AS known_at, toUnixTimestamp64Milli(time) AS time, type, entity_kind, entity_id, source, heard.2 AS retracted
FROM (`+strings.Join(parts, " UNION ALL ")+`) AS said
ARRAY JOIN [(ifNull(said.known_at, received_at), false), (ifNull(until_at, received_at), true)] AS heard
WHERE since IS NOT NULL AND if(retracted, ended_by = 'retracted', said.time < {first}) AND heard.1 > {first} AND heard.1 <= {until}
ORDER BY known_at, time, retracted
LIMIT 50`, "first", first, "until", r.known()))
	return err
}

func factsOf(kind, id string) string {
	return with("SELECT * FROM whence.facts_history(kind = {kind}, entity = {id})", "kind", kind, "id", id)
}

// entityOf is the kind of facts that speak of a cause; empty: none do.
func entityOf(cause string) string {
	switch cause {
	case "none", "undeclared":
		return ""
	case "configuration", "migration", "infrastructure":
		return "change"
	}
	return cause
}

// confirmed reads what people said it was.
func (r *reader) confirmed(ctx context.Context, s *Story) error {
	incident := s.Effect.ID
	if s.Effect.Kind != "incident" {
		if incident = s.Effect.Incident; incident == "" {
			return nil
		}
	}
	var err error
	s.Confirmed, err = Rows[Confirmed](ctx, r.ask, with(`
SELECT toUnixTimestamp64Milli(time) AS at, JSONExtractString(data, 'cause_kind') AS cause_kind, JSONExtractString(data, 'cause_id') AS cause_id,
    JSONExtractString(data, 'by') AS by, JSONExtractInt(data, 'rank_shown') AS rank_shown
FROM whence.facts_history(kind = 'cause', entity = {id})
WHERE `+r.counts()+`
ORDER BY at`, "id", incident))
	return err
}

// counts is the condition that a row of facts_history counts, or did then.
func (r *reader) counts() string {
	if r.AsOf == 0 {
		return "counts"
	}
	return tables.KnownAt(r.moment())
}

// next is what a person can do with the story.
func (s *Story) next() []Action {
	next := []Action{}
	incident := s.Effect.ID
	if s.Effect.Kind != "incident" {
		incident = s.Effect.Incident
	}
	if s.Ranking == nil || len(s.Hypotheses) == 0 {
		return next
	}
	leader := &s.Hypotheses[0]
	if incident != "" && len(s.Confirmed) == 0 {
		for i := range s.Hypotheses {
			// The first, the first that is a change, and that none is to blame.
			if h := &s.Hypotheses[i]; i == 0 || h.Kind == "none" || i == 1 && leader.Kind == "none" {
				next = append(next, Action{display.Command("whence confirm", incident, h.Cause()), h.condition()})
			}
		}
	}
	if leader.Kind == "deployment" {
		next = append(next, Action{display.Command("whence why", leader.ID), "what the deployment changed, and what else blames it"})
	}
	return next
}

func (h *Hypothesis) condition() string {
	if h.Kind == "none" {
		return "if no change caused it"
	}
	return "if it was " + h.Name()
}

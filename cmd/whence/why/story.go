// Package why puts together what is known of an effect (an incident, an alert,
// a finding, a breach) and of what it is blamed on, or of a deployment and the
// effects that blame it, and tells it to a terminal.
//
//	story, err := why.Read(ctx, ask, why.Question{ID: "inc-310"})
//	err = story.Tell(os.Stdout, why.Look{Width: 100})
//
// Everything is read with SQL from the database whence, so a user who may only
// read can ask. Each figure is told with its statement, for those who doubt it.
package why

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"
)

// Schema is the shape of a Story as JSON. It changes when a field is taken away
// or means something else.
const Schema = "whence.why/1"

// Story is everything that is told. Of Effect and Deployment one is set. Lists
// are never null in JSON.
type Story struct {
	Schema string `json:"schema"`
	// AsOf is the moment whose knowledge is told; null: now.
	AsOf Moment `json:"as_of"`

	Effect *Effect `json:"effect,omitempty"`
	Hit    *Hit    `json:"hit,omitempty"` // null for what hits no traffic
	// Ranking is what was said last; null: the effect is not ranked (yet).
	Ranking    *Ranking     `json:"ranking,omitempty"`
	Hypotheses []Hypothesis `json:"hypotheses"` // by rank; probabilities sum to one
	History    []Said       `json:"history"`    // the leader of every ranking up to AsOf, the first one first
	Late       []LateFact   `json:"late"`       // what was only known after the first ranking, though it had happened, and what was retracted since
	Confirmed  []Confirmed  `json:"confirmed"`  // what people said it was

	Deployment *Deployment `json:"deployment,omitempty"`
	Blamed     []Blame     `json:"blamed_for"` // effects that have the deployment among their hypotheses

	Signal *Signal  `json:"signal,omitempty"`
	Next   []Action `json:"next"`
}

// Effect is what a cause is looked for.
type Effect struct {
	Kind     string   `json:"kind"`
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Service  string   `json:"service"`
	Services []string `json:"services"` // that one first
	// Canonical is what Services mean, aliases resolved; Names are all names that
	// mean the same, which observations may state.
	Canonical   []string `json:"canonical_services"`
	Names       []string `json:"names"`
	Environment string   `json:"environment"`
	Severity    string   `json:"severity"`
	State       string   `json:"state"` // open, resolved, merged, firing, remediated, accepted, contained; empty: unknown
	Onset       Moment   `json:"onset"`
	Detected    Moment   `json:"detected"` // null: not stated
	Ended       Moment   `json:"ended"`    // null: goes on
	Incident    string   `json:"incident"` // that an alert belongs to, or that an incident was merged into
	// Unranked is why no cause is looked for; empty: one is.
	Unranked string `json:"unranked,omitempty"`
	SQL      string `json:"sql"`
}

// Hit is who was hit from the onset on.
type Hit struct {
	From  Moment `json:"from"`
	To    Moment `json:"to"`
	Users uint64 `json:"users"` // distinct users of the effect's services
	// Failed of them met a failure there.
	Failed   uint64       `json:"users_failed"`
	Services []ServiceHit `json:"services"` // the effect's, and others that fail more than before; canonical
	// Unobserved are the services of the effect that no observation ever named,
	// by whatever name: nothing is measured of them.
	Unobserved []string `json:"unobserved"`
	// Lost is, of an incident, how many conversions of a kind there were fewer
	// than forecast from the onset until LostUntil, see the view
	// incident_conversions; not told as of a moment.
	Lost      map[string]float64 `json:"conversions_lost"`
	LostUntil Moment             `json:"conversions_until"`
	SQL       []string           `json:"sql"`
}

// ServiceHit is a service during the effect, and in as long a time before.
type ServiceHit struct {
	Service  string  `json:"service"`
	Named    bool    `json:"named"` // by the effect
	Requests float64 `json:"requests"`
	// ErrorRate is 0 to 1; null: nothing states it.
	ErrorRate *float64 `json:"error_rate"`
	Before    *float64 `json:"error_rate_before"`
}

// Ranking is one time that the hypotheses were ranked.
type Ranking struct {
	Number     uint64 `json:"ranking"` // from 1, of this effect
	ComputedAt Moment `json:"computed_at"`
	Model      string `json:"model"`
	Revision   uint64 `json:"revision"` // of the facts it knew
	// Due says that what it was computed from is another now, so that a new one is
	// to come. It is set by who asks for the story, see clickhouse.Situations.
	Due bool `json:"due,omitempty"`
}

// Hypothesis is one thing that may have caused the effect.
type Hypothesis struct {
	Rank        int     `json:"rank"`
	Kind        string  `json:"cause_kind"` // none: no known change
	ID          string  `json:"cause_id"`
	Service     string  `json:"service"`
	What        string  `json:"what"`       // a version, a title
	State       string  `json:"state"`      // in_progress, or how it ended
	StartedAt   Moment  `json:"started_at"` // null: unknown
	EndedAt     Moment  `json:"ended_at"`
	Probability float64 `json:"probability"`
	LogOdds     float64 `json:"log_odds"`
	Sum         float64 `json:"sum"`      // of the contributions: equals log_odds
	Evidence    []Term  `json:"evidence"` // of all hypotheses if Question.All, else of the first ones
}

// Term is a piece of evidence.
type Term struct {
	Name         string  `json:"term"`
	Value        float64 `json:"value"`
	Weight       float64 `json:"weight"`
	Contribution float64 `json:"contribution"` // to the log odds: value times weight
	Words        string  `json:"words"`
	SQL          string  `json:"sql,omitempty"` // returns the value; empty for a constant of the model
}

// Said is what one ranking put first.
type Said struct {
	Ranking
	Kind        string  `json:"cause_kind"`
	ID          string  `json:"cause_id"`
	Service     string  `json:"service"`
	Probability float64 `json:"probability"`
	Changed     bool    `json:"changed"` // another than in the ranking before
}

// LateFact is a fact that was not known when the effect was first ranked, or one
// that was retracted since, and when that was known.
type LateFact struct {
	KnownAt    Moment `json:"known_at"`
	Time       Moment `json:"time"`
	Type       string `json:"type"`
	EntityKind string `json:"entity_kind"`
	EntityID   string `json:"entity_id"`
	Source     string `json:"source"`
	Retracted  bool   `json:"retracted"`
}

// Confirmed is what somebody said the cause was.
type Confirmed struct {
	At        Moment `json:"at"`
	Kind      string `json:"cause_kind"`
	ID        string `json:"cause_id"`
	By        string `json:"by"`
	RankShown int    `json:"rank_shown"` // 0: it was not among the hypotheses
}

// Deployment is what was rolled out.
type Deployment struct {
	ID              string   `json:"id"`
	Service         string   `json:"service"`
	Environment     string   `json:"environment"`
	Version         string   `json:"version"`
	PreviousVersion string   `json:"previous_version"`
	State           string   `json:"state"`
	Percent         *float64 `json:"percent"`
	StartedAt       Moment   `json:"started_at"`
	EndedAt         Moment   `json:"ended_at"`
	RollbackOf      string   `json:"rollback_of"`
	RequestedBy     string   `json:"requested_by"`
	Changes         []Change `json:"changes"`
	SQL             string   `json:"sql"`
}

// Change is what a deployment carries.
type Change struct {
	ID         string `json:"change_id"`
	Title      string `json:"title"`
	Author     string `json:"author"`
	Repository string `json:"repository"`
}

// Blame is an effect that has a deployment among its hypotheses.
type Blame struct {
	Kind        string  `json:"effect_kind"`
	ID          string  `json:"effect_id"`
	Service     string  `json:"service"`
	Onset       Moment  `json:"onset"`
	Rank        int     `json:"rank"`
	Probability float64 `json:"probability"`
	ComputedAt  Moment  `json:"computed_at"`
	Term        string  `json:"term"` // the strongest evidence for it; empty: none speaks for it
	Words       string  `json:"words"`
}

// Signal is what the service showed around the onset, a value a minute.
type Signal struct {
	What        string     `json:"what"` // errors, shortfall: shares from 0 to 1; latency: milliseconds
	Service     string     `json:"service"`
	Environment string     `json:"environment"`
	From        Moment     `json:"from"`
	Step        int        `json:"step_seconds"`
	Values      []*float64 `json:"values"` // null: nothing was seen
	Marks       []Mark     `json:"marks"`
	SQL         string     `json:"sql"`
}

// Mark is a moment on the time axis: the onset, or the beginning of a change.
type Mark struct {
	At    Moment `json:"at"`
	Sign  string `json:"sign"` // ! for the onset, a hypothesis' rank
	Words string `json:"words"`
}

// Action is a command that comes next, and when to take it.
type Action struct {
	Command string `json:"command"`
	When    string `json:"when"`
}

// Moment is a time in milliseconds since 1970; 0: none. It is read as that
// number and written in RFC 3339, or null.
type Moment int64

// Time is the moment in UTC.
func (m Moment) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// MarshalJSON writes RFC 3339.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(m.Time().Format("2006-01-02T15:04:05.000Z"))
}

// UnmarshalJSON reads milliseconds, as the statements here give them, or what
// MarshalJSON writes.
func (m *Moment) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*m = 0
		return nil
	}
	if text[0] == '"' {
		var at time.Time
		err := json.Unmarshal(text, &at)
		*m = Moment(at.UnixMilli())
		return err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	*m = Moment(n)
	return err
}

// Name is the hypothesis as a person says it.
func (h *Hypothesis) Name() string { return causeName(h.Kind, h.ID, h.Service) }

// Cause is the hypothesis as `whence confirm` takes it.
func (h *Hypothesis) Cause() string { return Cause(h.Kind, h.ID) }

// Cause is a cause as `whence confirm` takes it: kind:id, or none.
func Cause(kind, id string) string {
	if id == "" {
		return kind
	}
	return kind + ":" + id
}

func causeName(kind, id, service string) string {
	switch kind {
	case "none":
		return "no known change"
	case "undeclared":
		return "a change of " + cmp.Or(id, service) + " that nothing announced"
	}
	name := kind + " " + id
	if service != "" {
		name += " of " + service
	}
	return name
}

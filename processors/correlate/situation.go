package correlate

import "github.com/whencehq/whence/schemas/event"

// The kinds of effects that are ranked.
const (
	Incident = "incident"
	Alert    = "alert"
	Breach   = "breach"
	Finding  = "finding"
)

// The kinds of causes. Change, Deployment and Flag name an entity;
// Configuration, Migration and Infrastructure are changes of their own types;
// Provider is a degradation at someone else's; Undeclared is a change that
// nothing announced, and names the service; None names nothing.
const (
	Deployment     = "deployment"
	Change         = "change"
	Flag           = "flag"
	Configuration  = "configuration"
	Migration      = "migration"
	Infrastructure = "infrastructure"
	Provider       = "provider"
	Undeclared     = "undeclared"
	None           = "none"
)

// Effect is what a cause is looked for.
type Effect struct {
	Kind, ID             string
	Service, Environment string
	Services             []string // further services it names
	Title, Severity      string
	// Onset is when it began, as far as that is known; Detected is when somebody
	// or something noticed. Onset <= Detected.
	Onset, Detected event.Millis
	// Introduced is the revision or finding that the effect itself blames: a
	// finding's revision_introduced, a breach's finding_id. Empty: none. Revision
	// is the finding's in both cases.
	Introduced  string
	Revision    string
	Repository  string // a finding's
	FindingKind string // a finding's: vulnerability, audit, secret, misconfiguration
}

// Candidate is a change that may be to blame: live or in progress near the
// onset, or carrying the revision that the effect names.
type Candidate struct {
	Kind, ID                 string
	Service                  string   // canonical; empty: named services only, or all
	Services                 []string // further services it touches
	Version, PreviousVersion string
	// Began is when it began to have an effect; Ended when it could have no new
	// one (finished, failed, recovered), 0: not ended.
	Began, Ended event.Millis
	Outcome      string // of what ended
	Stages       []Stage
	Revisions    []string // that it carries
	Changes      []string // ids of the changes that it carries
	Size         float64  // lines changed, 0: unknown
	RollbackOf   string
	Summary      string // a title or what it says of itself
	// Confirmed and Refuted are how often a change of its service was confirmed,
	// and how often another cause was, before the effect's onset.
	Confirmed, Refuted int
}

// versionKey is Version as measurements state it.
func (c *Candidate) versionKey() string { return event.VersionKey(c.Version) }

// Stage is one step of a deployment.
type Stage struct {
	At             event.Millis
	Percent        float64  // event.Unknown where unstated
	Added, Removed []string // instances
}

// Measurement is one service.measured: one interval of one instance on one
// edge. A ratio that is not stated is NaN.
type Measurement struct {
	At                         event.Millis // the end of the interval
	Interval                   float64      // milliseconds, 0: unstated
	Source                     string       // who measured
	Service, Instance, Version string       // Instance empty: the edge as one of its ends sees it; Version is its key
	Caller, Callee             string
	Requests, Errors           float64
	Success                    float64 // 0 to 1
	Latency, P99               float64 // milliseconds
	CPU, Memory                float64 // 1 is all it may use
}

// Situation is everything that is known about an effect at a revision: what
// Rank ranks by. Lists are in no particular order.
type Situation struct {
	Effect     Effect
	Candidates []Candidate
	// DependsOn are the calls of each service: declared, and seen in traffic.
	DependsOn map[string][]string
	// Measurements of the window [From, To) around the effect, of the services
	// that the effect's can reach and that can reach it.
	Measurements []Measurement
	// WeekBefore are those of the same window a week earlier, of the effect's
	// own services.
	WeekBefore []Measurement
	From, To   event.Millis
	Revision   uint64 // of the facts
	Digest     uint64 // of everything that was read: equal digests, equal situations
}

// The window of an effect.
const (
	// Before is how far back measurements are read: some scrapes that are surely
	// before the trouble, to compare with.
	Before = 25 * 60_000
	// After is how long after its detection evidence still counts.
	After = 5*60_000 + 30_000
	// Lookback is how long before the onset a change may have ended and still be
	// a candidate.
	Lookback = 6 * 3600_000
)

// Term is one piece of evidence about a hypothesis.
type Term struct {
	Name   string  `json:"term"`
	Value  float64 `json:"value"`  // what was measured, mostly in [0, 1]
	Weight float64 `json:"weight"` // of the model
	// Words say it to people, with the measured figures.
	Words string `json:"words"`
	// SQL returns Value, one row of one column. Empty for what no table holds
	// (a constant of the model).
	SQL string `json:"sql,omitempty"`
}

// Log is what the term adds to the log odds.
func (t Term) Log() float64 { return t.Value * t.Weight }

// Link is one hypothesis about an effect, ranked.
type Link struct {
	CauseKind   string  `json:"cause_kind"`
	CauseID     string  `json:"cause_id"`
	Service     string  `json:"service"` // of the cause, for readers
	Rank        int     `json:"rank"`    // from 1
	Probability float64 `json:"probability"`
	LogOdds     float64 `json:"log_odds"` // the sum of the terms: log odds against a hypothesis of which nothing is known
	Evidence    []Term  `json:"evidence"`
}

// Ranking is what Rank says of an effect: probabilities sum to one, and one
// link is of kind None.
type Ranking struct {
	Effect   Effect
	Links    []Link
	Model    string // name and version of the weights
	Revision uint64
	Digest   uint64
}

package event

import "math"

// The ends of time, for intervals without one.
const (
	Always  Millis = math.MinInt64
	Forever Millis = math.MaxInt64
)

// Region is observations whose enrichment may have to be computed anew: those
// with a time in [From, To) that match all the rest.
type Region struct {
	Services       []string // as observations state them; nil: any
	Environment    string
	AnyEnvironment bool
	From, To       Millis // Always and Forever are no bounds
	// VersionKey and Instance narrow it to observations that state such a
	// version, in any spelling, or this instance and no version; empty: any.
	VersionKey, Instance string
}

// Stale is observations of one service and environment, as they state them, on
// one day, that were enriched before something was known which may concern
// them.
type Stale struct {
	Service, Environment string
	First, Last          Millis   // the times of the first and the last
	Rows                 uint64   // at most so many: superseded ones count too
	Among                uint64   // about so many rows, of any revision, are read to find these; 0: not known
	Versions, Instances  []string // that they state; an instance counts where no version is stated
}

// Context is what holds for the observations of a service, as they state it,
// in an environment from Since on, until the next Context of the two:
// Enrichment's fields that don't depend on what the observation says.
// DeploymentID and what goes with it is for those that state no version and no
// instance that any deployment has added.
type Context struct {
	Service, Environment string
	Since, Until         Millis // Until, inclusive, is the end of what was asked
	Enrichment
	StartedAt Millis // of the deployment; 0: there is none
}

// Serving is the deployment that the observations belong to which state a
// version, or else an instance, from Since on until the next Serving of the
// same. An empty DeploymentID: none.
type Serving struct {
	Service, Environment, Version, Instance        string
	Since, Until                                   Millis // Until, inclusive, is the end of what was asked
	DeploymentID, DeployedVersion, PreviousVersion string
	StartedAt                                      Millis // 0: there is none
	ChangeIDs                                      []string
}

package event

// Fact is an event that changes context. Its identity is (Source, ID, Type);
// of two contents under one identity the greater Hash wins.
type Fact struct {
	Event
	Provenance // of the record that brought it in, not of the context log

	// Revision is the fact's place in the context log: epoch << 40 | offset.
	// Zero until it has one.
	Revision uint64

	// Kind and EntityID name the entity the fact speaks of: "deployment" and
	// its deployment_id, "service" and its name, "flag" and its name...
	Kind, EntityID string
	// Service and Environment as stated, empty where the type has none.
	Service, Environment string
	// Data is the canonical JSON of data, unknown fields included.
	Data string

	// Payload is the typed reading of Data for the types that the timeline
	// folds: one of the pointer types below, nil for the rest.
	Payload any
}

// Declaration is service.declared. Each field that Stated* leaves false was
// not in the event: absent differs from empty for the last-stated rule.
type Declaration struct {
	Service, Environment string // Environment empty: all environments
	Owner, Tier          string // empty: not stated
	DependsOn            []string
	StatesDependsOn      bool
	Repositories         []string
	Paths                []string
	Aliases              []string
}

// Identity is identity.declared: Alias is another name for Canonical.
type Identity struct {
	Kind             string // service, person, repository, user
	Canonical, Alias string
	AliasSource      string // the field "source": the tool that uses the alias, empty: any
}

// Change is change.merged, or a configuration, migration or infrastructure
// change. The latter have no revision in their type's table; where a source
// states one it is kept, and counts as that of any change.
type Change struct {
	ChangeID, Repository, Revision, Title, Author, Reverts string
	MergedAt                                               Millis
	Commits                                                []string // their revisions
	Services                                               []string
	Service, Environment, Summary                          string
}

// Stage says which of a deployment's three events a fact is.
type Stage uint8

// The stages, in the order a deployment goes through them.
const (
	Started Stage = iota + 1
	Progressed
	Finished
)

// Deployment is one stage of a deployment.
type Deployment struct {
	Stage                              Stage
	DeploymentID, Service, Environment string
	Version, PreviousVersion           string
	Revisions                          []string
	Phase, Strategy, Artifact          string
	Percent                            float64 // 0 to 100, Unknown where unstated
	InstancesAdded, InstancesRemoved   []string
	Outcome                            string // Finished: success, failure, cancelled, rolled_back
	RollbackOf                         string
}

// Flag is flag.changed.
type Flag struct {
	Flag, Environment string
	Services          []string // empty: every service
	Rules             string   // canonical JSON
}

// IncidentStage says which of an incident's events a fact is.
type IncidentStage uint8

// The stages of an incident.
const (
	IncidentOpened IncidentStage = iota + 1
	IncidentAcknowledged
	IncidentUpdated
	IncidentMerged
	IncidentResolved
	IncidentReopened
)

// Incident is one stage of an incident.
type Incident struct {
	Stage                                      IncidentStage
	IncidentID, Service, Environment, Severity string
	Services                                   []string // besides Service
	StartedAt, DetectedAt, EndedAt             Millis   // 0: unstated
	MergedInto                                 string
}

// Alert is alert.fired or .resolved.
type Alert struct {
	AlertID, Fingerprint, IncidentID, Service, Environment, Severity string
	Resolved                                                         bool
}

// FindingStage says which of a finding's events a fact is.
type FindingStage uint8

// The stages of a finding.
const (
	FindingOpened FindingStage = iota + 1
	FindingRemediated
	FindingAccepted
)

// Finding is one stage of a finding.
type Finding struct {
	Stage                                  FindingStage
	FindingID, Severity, Service, Artifact string
	Environment                            string // not in the type's table, kept where a source states it; empty: every environment
	Repository                             string
	RevisionIntroduced, RevisionFixed      string
	FirstSeen                              Millis // 0: unstated
}

// Scan is scan.completed: a part of what a tool has found in a target.
type Scan struct {
	ScanID, Tool, Target string
	Part, Parts          int  // from 1; Parts 0: not stated
	Partial              bool // what isn't listed may be there all the same
	// Findings in the order they are listed, each with what the scan states of
	// all where it states nothing itself.
	Findings []Finding
}

// Experiment is experiment.started or .stopped.
type Experiment struct {
	Experiment string
	Services   []string
	Stopped    bool
}

// Retraction is fact.retracted: every fact of that source and id is unsaid.
type Retraction struct{ Source, ID string }

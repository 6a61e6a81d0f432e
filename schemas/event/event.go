// Package event holds what Whence understands of a published event: the
// CloudEvents 1.0 envelope, the typed payloads of facts, and observations.
//
// The types are plain data. Codecs (package codec) make them from bytes,
// processors read them, and package clickhouse (schemas/clickhouse) lays them
// out in columns. Nothing here knows Kafka, ClickHouse or the clock.
package event

import (
	"math"
	"time"
)

// Millis is a moment: milliseconds since 1970-01-01T00:00:00Z. Every time in
// Whence has this resolution, so that a comparison gives the same answer in
// Go and in SQL (DateTime64(3, 'UTC')).
type Millis int64

// Time returns m as a time in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// MillisOf truncates t to milliseconds.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// The earliest and the first too late event time (events.md: before 2000 or
// after 2100 is a dead letter).
var (
	MinTime = MillisOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	MaxTime = MillisOf(time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC))
)

// Event is the envelope that facts, observations and others share.
type Event struct {
	ID, Source, Type, Subject string
	Time                      Millis
	// What every event may carry, from an extension attribute or from data.
	Tenant, Region, Cluster, Cell, TraceID, Sequence string
	// Extensions are the other CloudEvents extension attributes, sorted by key.
	Extensions []Pair
	// Hash is the content hash: over the canonical form of the envelope and
	// data, so that JSON and msgpack of one event are equal. Of two contents
	// under one identity the greater hash wins.
	Hash uint64
}

// SharedField is where e keeps what any event may carry, by its name in data
// (see Shared); nil for other names.
func (e *Event) SharedField(name string) *string {
	switch name {
	case "tenant":
		return &e.Tenant
	case "region":
		return &e.Region
	case "cluster":
		return &e.Cluster
	case "cell":
		return &e.Cell
	case "trace_id":
		return &e.TraceID
	case "sequence":
		return &e.Sequence
	}
	return nil
}

// Provenance says where a record came from. It is left out of every
// comparison of results (law 1).
type Provenance struct {
	ReceivedAt Millis // the record's timestamp: log-append time
	Topic      string
	Partition  int32
	Offset     int64
}

// Pair is one entry of a map, kept as sorted slices for stable order and
// because a Go map an observation would cost allocations.
type Pair struct{ Key, Value string }

// Unknown is a number that an event did not state. JSON can't carry NaN, and
// the codecs refuse it in msgpack, so the two never mix.
var Unknown = math.NaN()

// Truth is a boolean that may be unstated.
type Truth int8

// The three truths.
const (
	Unstated Truth = iota
	False
	True
)

// Observation is an event about behaviour: a user action, an exposure, an
// error, a measurement. Its identity is (Source, ID, Service, Environment,
// Time, Name): a producer that reuses an id for another moment has said two
// things. Strings may alias the record's bytes, which live as long as the
// batch does.
type Observation struct {
	Event
	Provenance

	// Name is behavior.recorded's name; for the other types it is the type
	// without "io.whence." (service.measured, experiment.exposed, ...).
	Name, Service, Environment       string
	User, Session, Version, Instance string
	OK                               Truth
	DurationMS, Value, Weight        float64 // Unknown where unstated
	Attributes                       []Pair  // sorted by key, keys unique

	Experiment, Variant, UnitID  string   // experiment.assigned, .exposed
	AnonymousID                  string   // user.identified
	Fingerprint, Message         string   // error.occurred
	Frames                       []string // error.occurred: a frame each, objects as canonical JSON
	Caller, Callee               string   // service.measured
	IntervalMS, Requests, Errors float64
	SuccessRatio                 float64
	LatencyMS, LatencyP99MS      float64
	CPURatio, MemoryRatio        float64

	// Extra is the canonical JSON object of the data fields that the type
	// does not name ("unknown fields are kept"); empty where there are none.
	Extra string
}

// Enrichment is what the timeline says of an observation: the columns of
// "What an enriched row says". Slices are shared between rows: never change
// one in place.
type Enrichment struct {
	DeploymentID, DeployedVersion, PreviousVersion string
	DeploymentAgeMS                                int64 // NoAge where there is no deployment
	RolloutIDs                                     []string
	RolloutPercent                                 float64
	ChangeIDs                                      []string
	Flags                                          []Pair // flag -> rules in force (canonical JSON), sorted
	IncidentIDs                                    []string
	IncidentSeverity                               string
	FindingIDs                                     []string
	Owner, Tier, CanonicalService                  string
	Experiments                                    []Pair // experiment -> variant, sorted
	// Revision is the last context revision folded in when this was computed.
	Revision uint64
}

// NoAge stands for the null of deployment_age_ms.
const NoAge int64 = math.MinInt64

// Other is an event that is accepted and has no place of its own yet: any
// type outside io.whence. that no mapping takes.
type Other struct {
	Event
	Provenance
	Data string // canonical JSON; empty where the event has no data
	// Kept: its source sent it without an envelope, so that its content is its data.
	Kept bool
}

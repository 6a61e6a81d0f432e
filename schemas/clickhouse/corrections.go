package tables

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// serving is the columns that say which deployment served an observation.
type serving struct {
	deploymentID, deployedVersion, previousVersion text
	startedAt                                      optional
	changeIDs                                      list
}

func (c *serving) columns() []named {
	c.startedAt = optionally(moments())
	return []named{
		{"deployment_id", &c.deploymentID}, {"deployed_version", &c.deployedVersion},
		{"previous_version", &c.previousVersion}, {"started_at", &c.startedAt}, {"change_ids", &c.changeIDs},
	}
}

func (c *serving) append(id, version, previous string, started event.Millis, changes []string) {
	c.deploymentID.Append(id)
	c.deployedVersion.Append(version)
	c.previousVersion.Append(previous)
	c.startedAt.AppendUnless(int64(started), 0)
	c.changeIDs.Append(changes)
}

// Contexts is rows of whence_state.contexts, of one run.
type Contexts struct {
	block
	run, since, until           fixed
	service, environment        text
	serving                     serving
	rolloutIDs                  list
	rolloutPercent              fixed
	flags                       pairs
	incidentIDs                 list
	incidentSeverity            text
	findingIDs                  list
	owner, tier, canonicalNames text
}

// NewContexts makes an empty block.
func NewContexts() *Contexts {
	c := &Contexts{run: unsigned(), since: moments(), until: moments(), rolloutPercent: fractions()}
	c.table = "whence_state.contexts"
	c.columns = append([]named{
		{"run", &c.run}, {"service", &c.service}, {"environment", &c.environment},
		{"since", &c.since}, {"until", &c.until},
		{"rollout_ids", &c.rolloutIDs}, {"rollout_percent", &c.rolloutPercent}, {"flags", &c.flags},
		{"incident_ids", &c.incidentIDs}, {"incident_severity", &c.incidentSeverity}, {"finding_ids", &c.findingIDs},
		{"owner", &c.owner}, {"tier", &c.tier}, {"canonical_service", &c.canonicalNames},
	}, c.serving.columns()...)
	return c
}

// Append adds a context to a run.
func (c *Contexts) Append(run uint64, k *event.Context) {
	c.rows++
	c.run.Append64(run)
	c.service.Append(k.Service)
	c.environment.Append(k.Environment)
	c.since.AppendTime(k.Since)
	c.until.AppendTime(k.Until)
	c.serving.append(k.DeploymentID, k.DeployedVersion, k.PreviousVersion, k.StartedAt, k.ChangeIDs)
	c.rolloutIDs.Append(k.RolloutIDs)
	c.rolloutPercent.AppendFloat(k.RolloutPercent)
	c.flags.Append(k.Flags)
	c.incidentIDs.Append(k.IncidentIDs)
	c.incidentSeverity.Append(k.IncidentSeverity)
	c.findingIDs.Append(k.FindingIDs)
	c.owner.Append(k.Owner)
	c.tier.Append(k.Tier)
	c.canonicalNames.Append(k.CanonicalService)
}

// Servings is rows of whence_state.servings, of one run.
type Servings struct {
	block
	run, since, until                       fixed
	service, environment, version, instance text
	serving                                 serving
}

// NewServings makes an empty block.
func NewServings() *Servings {
	c := &Servings{run: unsigned(), since: moments(), until: moments()}
	c.table = "whence_state.servings"
	c.columns = append([]named{
		{"run", &c.run}, {"service", &c.service}, {"environment", &c.environment},
		{"version", &c.version}, {"instance", &c.instance}, {"since", &c.since}, {"until", &c.until},
	}, c.serving.columns()...)
	return c
}

// Append adds a serving to a run.
func (c *Servings) Append(run uint64, s *event.Serving) {
	c.rows++
	c.run.Append64(run)
	c.service.Append(s.Service)
	c.environment.Append(s.Environment)
	c.version.Append(s.Version)
	c.instance.Append(s.Instance)
	c.since.AppendTime(s.Since)
	c.until.AppendTime(s.Until)
	c.serving.append(s.DeploymentID, s.DeployedVersion, s.PreviousVersion, s.StartedAt, s.ChangeIDs)
}

// Correction is observations that a run computes anew: those of the stale
// ones' services, environments and times, enriched before Below.
type Correction struct {
	Run     uint64
	Regions []event.Region // that hold all of them; none: no narrower
	Stale   []event.Stale
	Below   uint64
	// Doubt: those enriched before it are written anew also where they are right.
	Doubt uint64
	// Revision that the run's contexts are of.
	Revision uint64
}

// StaleObservations is the question which observations of the regions were
// enriched before a revision: one row a day, service and environment, with the
// first and last time, the number, the versions and the instances.
func StaleObservations(regions []event.Region, below uint64) string {
	return fmt.Sprintf(`SELECT
    toString(service), toString(environment),
    toUnixTimestamp64Milli(min(time)) AS first, toUnixTimestamp64Milli(max(time)), count(),
    groupUniqArrayIf(toString(version), version != ''), groupUniqArrayIf(toString(instance), version = '' AND instance != '')
FROM whence.observations
WHERE revision < %d AND (%s)
GROUP BY toDate(time), service, environment
ORDER BY toDate(time), first`, below, InRegions(regions))
}

// ObservationsAmong is the question how many rows a correction of the stale ones
// reads: one row a day, service and environment, with one of its times.
func ObservationsAmong(regions []event.Region, stale []event.Stale) string {
	return fmt.Sprintf(`SELECT toString(service), toString(environment), toUnixTimestamp64Milli(min(time)), count()
FROM whence.observations
WHERE (%s) AND (%s)
GROUP BY toDate(time), service, environment`, within(regions), inStale(stale))
}

// within is the condition that regions narrow a correction by.
func within(regions []event.Region) string {
	if len(regions) == 0 {
		return "1"
	}
	return InRegions(regions)
}

// enriched says for each column of the context what a run computes for it, of
// an observation o, its context c and its serving s. An observation that
// states a version belongs to what serves that version, or to nothing but what
// it states (R13);
// one that states an instance falls to the context where nothing serves it.
var enriched = func() [][2]string {
	own := "(o.version != '' OR s.deployment_id != '')"
	served := func(column string) [2]string {
		return [2]string{column, "if(" + own + ", s." + column + ", c." + column + ")"}
	}
	of := func(column string) [2]string { return [2]string{column, "c." + column} }
	return [][2]string{
		served("deployment_id"),
		{"deployed_version", "multiIf(s.deployment_id != '', s.deployed_version, o.version != '', toString(o.version), c.deployed_version)"},
		served("previous_version"),
		{"deployment_age_ms", "toUnixTimestamp64Milli(o.time) - toUnixTimestamp64Milli(if(" + own + ", s.started_at, c.started_at))"},
		of("rollout_ids"), of("rollout_percent"), served("change_ids"), of("flags"),
		of("incident_ids"), of("incident_severity"), of("finding_ids"), of("owner"), of("tier"), of("canonical_service"),
	}
}()

// from is the observations of a correction that its run says something else
// of, or that are in doubt, joined with what it says, and of them those for which narrower holds too.
// FINAL picks the row that counts before its
// revision is looked at: a superseded one is nobody's business.
func (c *Correction) from(narrower string) string {
	var differs []string
	if c.Doubt > 0 {
		differs = append(differs, fmt.Sprintf("o.revision < %d", c.Doubt))
	}
	for _, e := range enriched {
		differs = append(differs, fmt.Sprintf("NOT (o.%s <=> %s)", e[0], e[1]))
	}
	return fmt.Sprintf(`
FROM (SELECT * FROM whence.observations FINAL WHERE revision < %[1]d AND (%[2]s) AND (%[3]s)%[6]s) AS o
ASOF INNER JOIN (SELECT * FROM whence_state.contexts WHERE run = %[4]d) AS c
    ON c.service = o.service AND c.environment = o.environment AND c.since <= o.time
ASOF LEFT JOIN (SELECT * FROM whence_state.servings WHERE run = %[4]d) AS s
    ON s.service = o.service AND s.environment = o.environment
    AND s.version = o.version AND s.instance = if(o.version = '', o.instance, '') AND s.since <= o.time
WHERE o.time <= c.until AND (o.version = '' AND o.instance = '' OR s.run = %[4]d AND o.time <= s.until)
    AND (%[5]s)`, c.Below, within(c.Regions), inStale(c.Stale), c.Run, strings.Join(differs, " OR "), narrower)
}

// KeepHistory is the statement that copies what the correction will supersede, as
// superseded at a moment of the server's clock.
func (c *Correction) KeepHistory(at event.Millis) string { return keep(moment(at), c.from("")) }

// Keep is the statement that copies what is stored of observations.
func Keep(observations []event.Observation) string {
	return keep("now64(3, 'UTC')", "\nFROM whence.observations AS o FINAL\nWHERE "+among(observations))
}

// StoredContents is the question which contents are stored of observations:
// one row an identity, those of other observations among them, with the
// greatest hash.
func StoredContents(observations []event.Observation) string {
	return contents(among(observations))
}

// StoredRecords is the same question for the contents that came with the same
// records, all of one partition. It is the cheaper one, by far, but a content
// that came with another record is not in its answer.
func StoredRecords(observations []event.Observation) string {
	first, last := observations[0].Offset, observations[0].Offset
	for i := range observations {
		first, last = min(first, observations[i].Offset), max(last, observations[i].Offset)
	}
	return contents(fmt.Sprintf("%s AND topic = %s AND partition = %d AND offset >= %d AND offset <= %d",
		about(observations), quote(observations[0].Topic), observations[0].Partition, first, last))
}

func contents(where string) string {
	return `SELECT toString(service), toString(environment), toString(name), toUnixTimestamp64Milli(time), toString(source), id, max(content_hash)
FROM whence.observations
WHERE ` + where + `
GROUP BY service, environment, name, time, source, id`
}

// among is a condition that holds for all rows of observations, and for few
// others.
func among(observations []event.Observation) string {
	return about(observations) + " AND (source, id) IN (" + join(observations, func(b *strings.Builder, o event.Observation) {
		b.WriteString("(" + quote(o.Source) + ", " + quote(o.ID) + ")")
	}) + ")"
}

// about is the services and times of observations.
func about(observations []event.Observation) string {
	var e extent
	for i := range observations {
		o := &observations[i]
		e.include(o.Service, o.Environment, o.Time, o.Time)
	}
	return e.holds()
}

// extent is services, and the times from a first to a last on some days: for one
// observation of the year 2100 not all days before it are read, each of which is a
// part of the table at least.
type extent struct {
	places      map[place]bool
	first, last event.Millis
	days        map[event.Millis]bool // by their beginning
}

type place struct{ service, environment string }

// include widens the extent to what is of one day.
func (e *extent) include(service, environment string, first, last event.Millis) {
	if e.days == nil {
		*e = extent{map[place]bool{}, first, last, map[event.Millis]bool{}}
	}
	e.places[place{service, environment}] = true
	e.first, e.last = min(e.first, first), max(e.last, last)
	e.days[first-first%millisPerDay] = true
}

// holds is the condition on a table of observations.
func (e *extent) holds() string {
	return fmt.Sprintf("(service, environment) IN (%s) AND time >= %s AND time <= %s AND toDate(time) IN (%s)",
		join(slices.Collect(maps.Keys(e.places)), func(b *strings.Builder, p place) {
			b.WriteString("(" + quote(p.service) + ", " + quote(p.environment) + ")")
		}),
		moment(e.first), moment(e.last),
		join(slices.Sorted(maps.Keys(e.days)), func(b *strings.Builder, day event.Millis) {
			b.WriteString(quote(day.Time().Format(time.DateOnly)))
		}))
}

const millisPerDay = event.Millis(24 * 60 * 60 * 1000)

func keep(at, from string) string {
	columns := []string{"source", "id", "time", "name", "service", "environment", "content_hash", "experiments", "revision"}
	for _, e := range enriched {
		columns = append(columns, e[0])
	}
	return "INSERT INTO whence.observations_history (" + strings.Join(columns, ", ") + ", superseded_at)\nSELECT o." +
		strings.Join(columns, ", o.") + ", " + at + from
}

// Rewrite is the statement that writes the rows anew.
func (c *Correction) Rewrite() string { return c.rewrite("") }

// RewriteKept is the same statement, and looks only where KeepHistory has found
// something at that moment: by far the less where most rows are right.
func (c *Correction) RewriteKept(at event.Millis) string {
	return c.rewrite(`
    AND (service, environment, toStartOfMinute(time), name) IN
        (SELECT service, environment, toStartOfMinute(time), name` + c.kept(at) + ")")
}

// CountKept asks how many copies of that moment there are: fewer than were made
// where others have copied the same rows since.
func (c *Correction) CountKept(at event.Millis) string { return "SELECT count()" + c.kept(at) }

func (c *Correction) kept(at event.Millis) string {
	return fmt.Sprintf(" FROM whence.observations_history WHERE superseded_at = %s AND (%s)", moment(at), inStale(c.Stale))
}

func (c *Correction) rewrite(narrower string) string {
	columns := slices.Clone(stated)
	values := make([]string, len(columns))
	for i, column := range columns {
		values[i] = "o." + column
	}
	for _, e := range enriched {
		columns, values = append(columns, e[0]), append(values, e[1]+" AS new_"+e[0])
	}
	return fmt.Sprintf("INSERT INTO whence.observations (%s, revision, rewritten)\nSELECT %s, %d, 1%s",
		strings.Join(columns, ", "), strings.Join(values, ", "), c.Revision, c.from(narrower))
}

// stated is the columns of observations that no correction changes.
var stated = func() []string {
	var columns []string
	for _, c := range NewObservations().columns {
		known := func(e [2]string) bool { return e[0] == c.name }
		if c.name != "revision" && c.name != "rewritten" && !slices.ContainsFunc(enriched, known) {
			columns = append(columns, c.name)
		}
	}
	return columns
}()

// InRegions is the condition on whence.observations that one of the regions
// holds a row.
func InRegions(regions []event.Region) string {
	return either(regions, func(r event.Region) string {
		var all []string
		if r.Services != nil {
			all = append(all, "service IN ("+QuotedList(r.Services)+")")
		}
		if !r.AnyEnvironment {
			all = append(all, "environment = "+quote(r.Environment))
		}
		if r.From != event.Always {
			all = append(all, "time >= "+moment(r.From))
		}
		if r.To != event.Forever {
			all = append(all, "time < "+moment(r.To))
		}
		if r.VersionKey != "" {
			all = append(all, versionIs(r.VersionKey))
		}
		if r.Instance != "" {
			all = append(all, "version = '' AND instance = "+quote(r.Instance))
		}
		if len(all) == 0 {
			return "1"
		}
		return strings.Join(all, " AND ")
	})
}

// versionIs holds for all spellings of a version, and where its key may be that
// of a commit for what else begins like it: whoever asks looks at each row.
func versionIs(key string) string {
	spelled := "version IN (" + QuotedList([]string{key, "v" + key, "V" + key}) + ")"
	if event.IsCommitKey(key) {
		for _, tag := range append([]string{"", "v", "V"}, event.CommitTags[:]...) {
			spelled += " OR startsWith(version, " + quote(tag+key) + ")"
		}
		return "(" + spelled + ")"
	}
	return spelled
}

// inStale is wider than the stale observations where these are of several
// services: the join with the contexts, each of its service and time, cuts it
// down. A condition for each of thousands would cost more than the join.
func inStale(stale []event.Stale) string {
	var e extent
	for _, s := range stale {
		e.include(s.Service, s.Environment, s.First, s.Last)
	}
	return e.holds()
}

func either[T any](values []T, condition func(T) string) string {
	if len(values) == 0 {
		return "0"
	}
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = "(" + condition(v) + ")"
	}
	return strings.Join(all, " OR ")
}

// QuotedList is strings as what stands between IN's brackets.
func QuotedList(values []string) string {
	return join(values, func(b *strings.Builder, v string) { b.WriteString(quote(v)) })
}

func moment(t event.Millis) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", t) }

package tables

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/schemas/event"
)

// Ranking is a row of whence_state.rankings.
type Ranking struct {
	EffectKind, EffectID string
	Number               uint64 // 1, 2, ... of this effect
	Service, Environment string
	Onset, Detected      event.Millis
	Digest               uint64
	Model                string
	Revision             uint64
	ComputedAt           event.Millis
	Links                []Link
}

// Link is one hypothesis of a ranking.
type Link struct {
	CauseKind, CauseID, Service string
	Rank                        int // from 1
	Probability, LogOdds        float64
	Evidence                    string // a JSON array
}

// Finite says whether every number of the ranking is one: a row with another
// could not be published.
func (r *Ranking) Finite() bool {
	return !slices.ContainsFunc(r.Links, func(l Link) bool {
		return math.IsNaN(l.Probability+l.LogOdds) || math.IsInf(l.Probability+l.LogOdds, 0)
	})
}

// Rankings is rows of whence_state.rankings.
type Rankings struct {
	block
	effectKind, environment, model          words
	effectID, service                       text
	number, digest, revision                fixed
	onset, detected, computedAt             fixed
	causeKinds, causeIDs, causes, evidences list
	ranks                                   numbers[uint16]
	probabilities, odds                     numbers[float64]
}

// NewRankings makes an empty block.
func NewRankings() *Rankings {
	c := &Rankings{
		number: unsigned(), digest: unsigned(), revision: unsigned(), onset: moments(), detected: moments(), computedAt: moments(),
		ranks: numbers[uint16]{proto.NewArrUInt16()}, probabilities: numbers[float64]{proto.NewArrFloat64()}, odds: numbers[float64]{proto.NewArrFloat64()},
	}
	c.table = "whence_state.rankings"
	c.columns = []named{
		{"effect_kind", &c.effectKind}, {"effect_id", &c.effectID}, {"number", &c.number}, {"service", &c.service},
		{"environment", &c.environment}, {"onset", &c.onset}, {"detected", &c.detected}, {"digest", &c.digest}, {"model", &c.model},
		{"revision", &c.revision}, {"computed_at", &c.computedAt},
		{"links.cause_kind", &c.causeKinds}, {"links.cause_id", &c.causeIDs}, {"links.service", &c.causes}, {"links.rank", &c.ranks},
		{"links.probability", &c.probabilities}, {"links.log_odds", &c.odds}, {"links.evidence", &c.evidences},
	}
	return c
}

// Append adds a ranking.
func (c *Rankings) Append(r *Ranking) {
	c.rows++
	c.effectKind.Append(r.EffectKind)
	c.effectID.Append(r.EffectID)
	c.number.Append64(r.Number)
	c.service.Append(r.Service)
	c.environment.Append(r.Environment)
	c.onset.AppendTime(r.Onset)
	c.detected.AppendTime(r.Detected)
	c.digest.Append64(r.Digest)
	c.model.Append(r.Model)
	c.revision.Append64(r.Revision)
	c.computedAt.AppendTime(r.ComputedAt)
	c.causeKinds.Append(of(r.Links, func(l Link) string { return l.CauseKind }))
	c.causeIDs.Append(of(r.Links, func(l Link) string { return l.CauseID }))
	c.causes.Append(of(r.Links, func(l Link) string { return l.Service }))
	c.ranks.Append(of(r.Links, func(l Link) uint16 { return uint16(min(l.Rank, math.MaxUint16)) }))
	c.probabilities.Append(of(r.Links, func(l Link) float64 { return l.Probability }))
	c.odds.Append(of(r.Links, func(l Link) float64 { return l.LogOdds }))
	c.evidences.Append(of(r.Links, func(l Link) string { return l.Evidence }))
}

func of[T any](links []Link, field func(Link) T) []T {
	all := make([]T, len(links))
	for i, l := range links {
		all[i] = field(l)
	}
	return all
}

// numbers is an array of numbers a row, for blocks of few rows.
type numbers[T any] struct{ *proto.ColArr[T] }

// blank is false: all parts of a Nested have to be there.
func (numbers[T]) blank() bool { return false }

// Published is the statement that says that a ranking is on the topic.
func Published(kind, id string, number uint64) string {
	return fmt.Sprintf("INSERT INTO whence_state.published (effect_kind, effect_id, number) VALUES (%s, %s, %d)", quote(kind), quote(id), number)
}

// EffectKey names an effect.
type EffectKey struct{ Kind, ID string }

// EffectScope is effects that may have to be ranked anew: those that were
// detected after Since, those that are named, and those that blame one of the
// revisions or findings.
type EffectScope struct {
	Since   event.Millis // event.Always: every effect
	Effects []EffectKey
	Blamed  []string
	// Before, where its kind is not empty, goes on after an earlier page, whose
	// last effect it is.
	Before         EffectKey
	BeforeDetected event.Millis
}

// Question is the question for them, those detected last first, at most limit.
func (s *EffectScope) Question(limit int) string {
	which := []string{"1"}
	if s.Since != event.Always {
		which = []string{"detected > " + moment(s.Since)}
		if len(s.Effects) > 0 {
			which = append(which, "(kind, id) IN ("+keys(s.Effects)+")")
		}
		if len(s.Blamed) > 0 {
			which = append(which, "revision_introduced IN ("+QuotedList(s.Blamed)+") OR introduced IN ("+QuotedList(s.Blamed)+")")
		}
	}
	where := "(" + strings.Join(which, " OR ") + ")"
	if s.Before.Kind != "" {
		where += fmt.Sprintf(" AND (detected, kind, id) < (%s, %s, %s)", moment(s.BeforeDetected), quote(s.Before.Kind), quote(s.Before.ID))
	}
	return effectColumns + fmt.Sprintf(" WHERE %s ORDER BY detected DESC, kind DESC, id DESC LIMIT %d", where, limit)
}

// NamedEffects is the question for these effects alone.
func NamedEffects(of []EffectKey) string {
	return effectColumns + " WHERE (kind, id) IN (" + keys(of) + ")"
}

const effectColumns = `SELECT kind, id, service, services, environment, toUnixTimestamp64Milli(onset) AS onset_ms,
toUnixTimestamp64Milli(detected) AS detected_ms, title, severity, introduced, revision_introduced, repository, finding_kind,
toUnixTimestamp64Milli(known_at) AS known_ms
FROM whence_state.effects`

func keys(of []EffectKey) string {
	return each(of, func(k EffectKey) string { return "(" + quote(k.Kind) + ", " + quote(k.ID) + ")" })
}

// CurrentRankings is the question for the last ranking of each of the effects:
// its number, digest, number of links and model.
func CurrentRankings(of []EffectKey) string {
	return `SELECT toString(effect_kind), effect_id, max(r.number), argMax(digest, r.number), toUInt64(argMax(length(links.rank), r.number)), toString(argMax(model, r.number))
FROM whence_state.rankings AS r FINAL WHERE (effect_kind, effect_id) IN (` + keys(of) + `) GROUP BY effect_kind, effect_id`
}

// VanishedEffects is the question for the effects that have links and are none
// any more.
func VanishedEffects(limit int) string {
	return fmt.Sprintf(`SELECT toString(effect_kind) AS kind, effect_id AS id, max(r.number) AS last
FROM whence_state.rankings AS r
GROUP BY kind, id
HAVING argMax(length(links.rank), r.number) > 0 AND (kind, id) NOT IN (SELECT kind, id FROM whence_state.effects)
ORDER BY kind, id LIMIT %d`, limit)
}

// UnpublishedRankings is the question for the current rankings that nobody has
// said to be on the topic.
func UnpublishedRankings(limit int) string {
	return fmt.Sprintf(`SELECT toString(effect_kind), effect_id, r.number, toString(r.service), toString(environment),
toUnixTimestamp64Milli(onset) AS onset_ms, toUnixTimestamp64Milli(detected) AS detected_ms, digest, toString(model), revision,
toUnixTimestamp64Milli(computed_at) AS computed_ms,
CAST(links.cause_kind, 'Array(String)'), links.cause_id, CAST(links.service, 'Array(String)'), links.rank, links.probability, links.log_odds, links.evidence
FROM whence_state.rankings AS r FINAL
WHERE (effect_kind, effect_id, r.number) IN
(
    SELECT effect_kind, effect_id, last
    FROM (SELECT effect_kind, effect_id, max(number) AS last FROM whence_state.rankings GROUP BY effect_kind, effect_id)
    WHERE (effect_kind, effect_id, last) NOT IN (SELECT effect_kind, effect_id, max(number) FROM whence_state.published GROUP BY effect_kind, effect_id)
)
ORDER BY computed_at LIMIT %d`, limit)
}

// Window is what of the facts and measurements concerns an effect.
type Window struct {
	Environment string // empty: every environment
	// Facts of [Since, Until), merged changes of [Changes, Until), deployments in
	// progress that began after Oldest; measurements of [From, To), and of the
	// same a week earlier.
	Since, Until, Changes, Oldest, From, To event.Millis
}

// Week is how much earlier the same minutes are looked at again.
const Week = event.Millis(7 * 24 * 3600_000)

// windows is a list of them, numbered: (i, environment, since, until, changes,
// oldest).
func windows(all []Window) string {
	i := -1
	return "CAST([" + each(all, func(w Window) string {
		i++
		return fmt.Sprintf("(%d,%s,%d,%d,%d,%d)", i, quote(w.Environment), w.Since, w.Until, w.Changes, w.Oldest)
	}) + "], 'Array(Tuple(UInt32, String, Int64, Int64, Int64, Int64))')"
}

const counted = `(source, id, type, content_hash) NOT IN (SELECT source, id, type, lost_hash FROM whence.conflicts)
AND (source, id) NOT IN (SELECT source, id FROM whence_state.unsaid FINAL)`

// environments is the condition that a row is of one of the windows'.
func environments(all []Window) string {
	names := []string{""}
	for _, w := range all {
		if w.Environment == "" {
			return "1"
		}
		names = append(names, w.Environment)
	}
	slices.Sort(names)
	return "environment IN (" + QuotedList(slices.Compact(names)) + ")"
}

// FactDigests is the question what facts are in each of the windows: number,
// sum of the facts' hashes, names of services in them, names of providers, how
// many are of changes.
func FactDigests(all []Window) string {
	from, to := event.Forever, event.Always
	for _, w := range all {
		from, to = min(from, w.Since, w.Changes), max(to, w.Until)
	}
	return fmt.Sprintf(`WITH %s AS windows
SELECT w.1 AS i, sumWithOverflow(hash), groupUniqArrayArray(names), groupUniqArrayIf(entity_id, kind = 'provider'), countIf(kind = 'change')
FROM
(
    SELECT
        toUnixTimestamp64Milli(time) AS at, cityHash64(toString(source), id, toString(type), content_hash, entity_id) AS hash,
        CAST(services, 'Array(String)') AS names, entity_id, toString(entity_kind) AS kind,
        arrayJoin(arrayFilter(
            w -> (environment = '' OR w.2 IN ('', environment)) AND at < w.4 AND at >= if(entity_kind = 'change', w.5, w.3), windows)) AS w
    FROM whence_state.fact_times FINAL
    WHERE %s AND entity_kind IN ('deployment', 'change', 'flag', 'provider') AND time >= %s AND time < %s
        AND %s
)
GROUP BY i`, windows(all), environments(all), moment(from), moment(to), counted)
}

// ProgressDigests is the same, without providers, of the facts before each window of the
// deployments that were in progress when it begins.
func ProgressDigests(all []Window) string {
	oldest, to := event.Forever, event.Always
	for _, w := range all {
		oldest, to = min(oldest, w.Oldest), max(to, w.Since)
	}
	return fmt.Sprintf(`WITH %s AS windows
SELECT w.1 AS i, sumWithOverflow(arraySum(arrayFilter((hash, at) -> toUnixTimestamp64Milli(at) < w.3, fact_hashes, fact_times))), groupUniqArray(name)
FROM
(
    SELECT
        toString(service) AS name, fact_hashes, fact_times,
        arrayJoin(arrayFilter(
            w -> w.2 IN ('', environment) AND toUnixTimestamp64Milli(started_at) < w.3 AND toUnixTimestamp64Milli(started_at) >= w.6
                AND (ended_at IS NULL OR toUnixTimestamp64Milli(assumeNotNull(ended_at)) >= w.3), windows)) AS w
    FROM whence.deployments FINAL
    WHERE %s AND started_at >= %s AND started_at < %s
)
GROUP BY i`, windows(all), environments(all), moment(oldest), moment(to))
}

// IntroducedDigests is the question what is known of the changes and
// deployments that have one of the revisions: revision, sum of hashes, names of
// services in them.
func IntroducedDigests(revisions []string) string {
	list := "[" + QuotedList(revisions) + "]"
	return fmt.Sprintf(`SELECT revision, sumWithOverflow(hash), groupUniqArrayArray(names) FROM
(
    SELECT arrayJoin(arrayIntersect(revisions, %[1]s)) AS revision, arraySum(fact_hashes) AS hash, [toString(service)] AS names
    FROM whence.deployments FINAL WHERE hasAny(revisions, %[1]s)
    UNION ALL
    SELECT arrayJoin(arrayIntersect(revisions, %[1]s)) AS revision,
        cityHash64(change_id, toString(kind), toString(repository), revisions, title, services, ifNull(toString(size), ''), changed_at, facts, source, id) AS hash,
        CAST(services, 'Array(String)') AS names
    FROM whence.changes FINAL WHERE hasAny(revisions, %[1]s)
)
GROUP BY revision`, list)
}

// Measured is services whose measurements an effect reads.
type Measured struct {
	Environment string
	From, To    event.Millis
	Services    []string // as stated
	// Own are those of them that are read a week earlier too.
	Own []string
}

// MeasurementDigests is the question what touched the minutes of each of these:
// number, sum of touches.
func MeasurementDigests(all []Measured) string {
	var places, services, spoken []string
	hours := map[event.Millis]bool{}
	for i, m := range all {
		minute := func(t event.Millis) int64 { return int64(t / 1000) }
		from, to := MinuteOf(m.From), MinuteOf(m.To+59_999)
		first := from - 60_000 // what users did counts when its minute ends
		places = append(places, fmt.Sprintf("(%d,%s,%d,%d,[%s])", i, quote(m.Environment), minute(first), minute(to), QuotedList(m.Services)),
			fmt.Sprintf("(%d,%s,%d,%d,[%s])", i, quote(m.Environment), minute(from-Week), minute(to-Week), QuotedList(m.Own)))
		for h := HourOf(first); h < to; h += 3_600_000 {
			hours[h], hours[h-HourOf(Week)] = true, true
		}
		services, spoken = append(services, m.Services...), append(spoken, m.Environment)
	}
	slices.Sort(services)
	slices.Sort(spoken)
	var starts []event.Millis
	for h := range hours {
		starts = append(starts, h)
	}
	slices.Sort(starts)
	return fmt.Sprintf(`SELECT p.i, sumWithOverflow(t.touch)
FROM
(
    SELECT toString(service) AS service, toString(environment) AS environment, toInt64(toUnixTimestamp(minute)) AS at, sumWithOverflow(touch) AS touch
    FROM whence_state.touches
    WHERE service != '' AND toStartOfHour(minute) IN (%s) AND service IN (%s) AND environment IN (%s)
    GROUP BY service, environment, at
) AS t
INNER JOIN
(
    SELECT p.1 AS i, p.2 AS environment, p.3 AS since, p.4 AS until, arrayJoin(p.5) AS service
    FROM (SELECT arrayJoin(CAST([%s], 'Array(Tuple(UInt32, String, Int64, Int64, Array(String)))')) AS p)
) AS p ON p.service = t.service AND p.environment = t.environment
WHERE t.at >= p.since AND t.at < p.until
GROUP BY p.i`, each(starts, func(h event.Millis) string { return fmt.Sprintf("toDateTime(%d, 'UTC')", h/1000) }),
		QuotedList(slices.Compact(services)), QuotedList(slices.Compact(spoken)), strings.Join(places, ","))
}

// CandidateFacts is the question for the facts of everything that may be to
// blame within a window, or carries the revision (empty: none). Those of the
// window are the facts before its end, as nothing later is known then.
func CandidateFacts(w Window, revision string) string {
	here, carrying := "environment IN ('', "+quote(w.Environment)+")", ""
	if w.Environment == "" {
		here = "1"
	}
	if revision != "" {
		carrying = fmt.Sprintf(` OR (entity_kind, entity_id) IN (
    SELECT 'deployment', deployment_id FROM whence.deployments FINAL WHERE has(revisions, %[1]s)
    UNION ALL SELECT 'change', change_id FROM whence.changes FINAL WHERE has(revisions, %[1]s))`, quote(revision))
	}
	return fmt.Sprintf(`SELECT toString(entity_kind), entity_id, type, toUnixTimestamp64Milli(time) AS at, source, id, content_hash, data
FROM whence_state.entity_facts
WHERE live AND entity_kind IN ('deployment', 'change', 'flag', 'provider') AND (time < %[2]s AND (entity_kind, entity_id) IN (
    SELECT 'deployment', deployment_id FROM whence.deployments FINAL
    WHERE %[1]s AND started_at < %[2]s AND started_at >= %[3]s AND (ended_at IS NULL OR ended_at >= %[4]s)
    UNION ALL
    SELECT toString(entity_kind), entity_id FROM whence_state.fact_times
    WHERE %[1]s AND entity_kind IN ('flag', 'provider') AND time >= %[4]s AND time < %[2]s
    UNION ALL
    SELECT toString(entity_kind), entity_id FROM whence_state.fact_times
    WHERE %[1]s AND entity_kind = 'change' AND time >= %[5]s AND time < %[2]s)%[6]s)`,
		here, moment(w.Until), moment(w.Oldest), moment(w.Since), moment(w.Changes), carrying)
}

// Edges is the question who called whom, as measured in an environment in the
// hours of [from, to).
func Edges(environment string, from, to event.Millis) string {
	return fmt.Sprintf(`SELECT DISTINCT caller, callee, service FROM whence_state.edges
WHERE environment = %s AND hour >= %s AND hour <= %s`, quote(environment), moment(HourOf(from)), moment(HourOf(to-1)))
}

// Measurements is the question for what services measured in [from, to).
func Measurements(environment string, services []string, from, to event.Millis) string {
	return fmt.Sprintf(`SELECT
    toUnixTimestamp64Milli(time) AS at, ifNull(interval_ms, 0) AS span, source, service, instance, version_key AS version, caller, callee,
    ifNull(requests, nan) AS n, ifNull(errors, nan) AS failed, ifNull(success_ratio, nan) AS good,
    ifNull(latency_ms, nan) AS mean, ifNull(latency_p99_ms, nan) AS p99, ifNull(cpu_ratio, nan) AS cpu, ifNull(memory_ratio, nan) AS memory
%s
UNION ALL
%s`, measuredRows(environment, services, from, to), behaviourMinutes(environment, services, from, to))
}

// behaviourMinutes are the rows of what users did as the view signals has them:
// a row's time is the end of its minute, so the first began before from. Sums
// are the same in whatever order parts are read.
func behaviourMinutes(environment string, services []string, from, to event.Millis) string {
	return fmt.Sprintf(`SELECT
    toInt64(toUnixTimestamp(toStartOfMinute(o.time)) + 60) * 1000 AS at, toFloat64(60000) AS span, CAST('', 'LowCardinality(String)') AS source, o.service AS service,
    CAST(if(o.instance = '', concat('version ', o.version_key), toString(o.instance)), 'LowCardinality(String)') AS instance, o.version_key AS version,
    CAST('(users)', 'LowCardinality(String)') AS caller, o.service AS callee,
    sumKahan(ifNull(o.weight, 1)) AS n, sumKahanIf(ifNull(o.weight, 1), NOT o.ok) AS failed, nan AS good,
    if(count(o.duration_ms) = 0, nan, sumKahan(ifNull(o.duration_ms, 0)) / count(o.duration_ms)) AS mean, nan AS p99, nan AS cpu, nan AS memory
FROM whence.observations AS o FINAL
PREWHERE service IN (%[1]s) AND environment = %[2]s AND toStartOfMinute(time) >= toStartOfMinute(%[3]s - INTERVAL 1 MINUTE) AND toStartOfMinute(time) <= toStartOfMinute(%[4]s)
WHERE o.type = 'io.whence.behavior.recorded' AND o.ok IS NOT NULL
GROUP BY at, service, instance, version
HAVING at >= %[5]d AND at < %[6]d`, QuotedList(services), quote(environment), moment(from), moment(to), from, to)
}

// MeasuredMinutes is the same put together: one row an edge, as one service
// sees it, and minute. Its time is the end of the minute.
func MeasuredMinutes(environment string, services []string, from, to event.Millis) string {
	mean := func(column string) string {
		return fmt.Sprintf("if(count(%[1]s) = 0, nan, sumKahanIf(assumeNotNull(%[1]s) * ifNull(o.requests, 1), %[1]s IS NOT NULL) / sumKahanIf(ifNull(o.requests, 1), %[1]s IS NOT NULL))", "o."+column)
	}
	total := func(column string) string {
		return fmt.Sprintf("if(count(%[1]s) = 0, nan, sumKahan(ifNull(%[1]s, 0)))", "o."+column)
	}
	most := func(column string) string { return fmt.Sprintf("ifNull(max(%s), nan)", "o."+column) }
	return fmt.Sprintf(`SELECT
    toInt64(toUnixTimestamp(toStartOfMinute(time)) + 60) * 1000 AS at, toFloat64(60000) AS span, CAST('', 'LowCardinality(String)') AS source, o.service,
    CAST('', 'LowCardinality(String)') AS instance, CAST('', 'LowCardinality(String)') AS version, o.caller, o.callee,
    %s AS n, %s AS failed, %s AS good, %s AS mean, %s AS p99, %s AS cpu, %s AS memory
%s
GROUP BY at, o.service, o.caller, o.callee`, total("requests"), total("errors"), mean("success_ratio"), mean("latency_ms"),
		most("latency_p99_ms"), mean("cpu_ratio"), mean("memory_ratio"), measuredRows(environment, services, from, to))
}

// SignalMinutes is the question for what Measurements has, put together likewise:
// of measurements and of what users did.
func SignalMinutes(environment string, services []string, from, to event.Millis) string {
	return MeasuredMinutes(environment, services, from, to) + "\nUNION ALL\n" + behaviourMinutes(environment, services, from, to)
}

func measuredRows(environment string, services []string, from, to event.Millis) string {
	return fmt.Sprintf(`FROM whence.observations AS o FINAL
PREWHERE service IN (%s) AND environment = %s AND name = 'service.measured'
    AND toStartOfMinute(time) >= toStartOfMinute(%[3]s) AND toStartOfMinute(time) <= toStartOfMinute(%[4]s) AND time >= %[3]s AND time < %[4]s`,
		QuotedList(services), quote(environment), moment(from), moment(to))
}

// Confirmations is the question what people confirmed, in order: of which
// incident, when, which cause, its services and those of the incident, both as
// stated.
const Confirmations = `SELECT c.incident, c.at, c.kind, c.cause, cause_services, arrayFilter(s -> s != '', arrayPushBack(i.services, toString(i.service)))
FROM
(
    SELECT entity_id AS incident, toUnixTimestamp64Milli(time) AS at, ord,
        JSONExtractString(data, 'cause_kind') AS kind, JSONExtractString(data, 'cause_id') AS cause
    FROM whence_state.entity_facts WHERE entity_kind = 'cause' AND live
) AS c
LEFT JOIN
(
    SELECT kind, cause, arraySort(groupUniqArrayArray(services)) AS cause_services FROM
    (
        SELECT 'deployment' AS kind, deployment_id AS cause, [toString(service)] AS services FROM whence.deployments FINAL
        WHERE deployment_id IN (SELECT JSONExtractString(data, 'cause_id') FROM whence_state.entity_facts WHERE entity_kind = 'cause' AND live)
        UNION ALL
        SELECT arrayJoin(['change', 'configuration', 'migration', 'infrastructure']), change_id, services FROM whence.changes FINAL
        WHERE change_id IN (SELECT JSONExtractString(data, 'cause_id') FROM whence_state.entity_facts WHERE entity_kind = 'cause' AND live)
        UNION ALL
        SELECT 'flag', flag, services FROM whence.flags FINAL
        WHERE flag IN (SELECT JSONExtractString(data, 'cause_id') FROM whence_state.entity_facts WHERE entity_kind = 'cause' AND live)
        UNION ALL
        SELECT 'undeclared', JSONExtractString(data, 'cause_id'), [JSONExtractString(data, 'cause_id')] FROM whence_state.entity_facts
        WHERE entity_kind = 'cause' AND live
    )
    GROUP BY kind, cause
) AS s ON s.kind = c.kind AND s.cause = c.cause
LEFT JOIN (SELECT incident_id, service, services FROM whence.incidents FINAL) AS i ON i.incident_id = c.incident
ORDER BY c.ord`

// Declared is the question for every service that says something of its
// neighbours or its repositories.
const Declared = `SELECT service, toString(environment), depends_on, repositories FROM whence.services FINAL
WHERE notEmpty(depends_on) OR notEmpty(repositories)`

// Aliases is the question what names of services mean, chains followed (R5, R6).
const Aliases = `SELECT alias, name FROM whence_state.aliases`

// RepositoryAliases is the same of repositories.
const RepositoryAliases = `SELECT alias, canonical FROM whence_state.meanings WHERE kind = 'repository'`

// PathOwners is the question which services claim which paths of which
// repositories: both canonical, the path, the expression that matches it, how
// many segments it has.
const PathOwners = `SELECT repository, service, path, expression, length FROM whence_state.path_owners ORDER BY ALL`

// conflictsSum is a sum that changes with what is in conflict: a content may take
// the place of another, and their count stay the same.
const conflictsSum = `sumWithOverflow(cityHash64(toString(source), id, toString(type), kept_hash, lost_hash)) FROM whence.conflicts FINAL`

// LinkSigns is the question whether any observation was stored, and whether a
// fact was said in another way.
const LinkSigns = `SELECT sumWithOverflow(touch), (SELECT ` + conflictsSum + `) FROM whence_state.touches WHERE service = ''`

// Knowledge is the question whether Declared, Aliases and PathOwners may have other
// answers, and whether Confirmations may.
const Knowledge = `WITH
    (SELECT (count(), max(revision)) FROM whence_state.fact_contents WHERE entity_kind = 'cause') AS causes,
    (SELECT ` + conflictsSum + `) AS conflicts, (SELECT max(revision) FROM whence_state.unsaid) AS unsaid
SELECT
cityHash64(
    (SELECT (count(), max(revision)) FROM whence_state.fact_contents WHERE entity_kind IN ('service', 'identity')),
    (SELECT (count(), max(revision)) FROM whence.services), conflicts, unsaid),
cityHash64(causes, conflicts, unsaid, if(causes.1 = 0, (0, 0, 0, 0), (
    (SELECT max(revision) FROM whence.incidents), (SELECT max(revision) FROM whence.deployments),
    (SELECT max(revision) FROM whence.changes), (SELECT max(revision) FROM whence.flags))))`

func each[T any](values []T, write func(T) string) string {
	return join(values, func(b *strings.Builder, v T) { b.WriteString(write(v)) })
}

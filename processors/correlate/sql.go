package correlate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// The statements behind the figures. Each returns one row of one column, the
// value of its term, from the tables that everybody reads: so that nobody has
// to believe a figure. They say the same as signals.go in other words, and
// read whole environments where that reads the services around the effect.

// rowsSQL are the rows of a span.
func (g *signals) rowsSQL(when span, condition string) string {
	return fmt.Sprintf("SELECT * FROM whence.signals WHERE environment = %s AND %s AND %s AND %s", quote(g.Effect.Environment), within(when), g.nearSQL(handful), condition)
}

// handful is up to how many services a statement names those that were read
// around the effect. With more it reads the environment, which tells something
// else of services at the rim of what was read.
const handful = 40

// nearSQL is the condition that a row is of one of the services that were read,
// if there are no more than so many.
func (g *signals) nearSQL(atMost int) string {
	near := map[string]bool{}
	for i := range g.Measurements {
		near[g.Measurements[i].Service] = true
	}
	if len(near) > atMost {
		return "1"
	}
	return "service IN (" + quotes(sortedKeys(near)) + ")"
}

func (g *signals) whole() span { return span{g.From, g.To} }

// endsSQL are the rows of edges as their ends see them, or else as the callee's
// instances do.
func (g *signals) endsSQL(when span, condition string) string {
	return fmt.Sprintf(`SELECT * FROM (
  %s AND (instance = '' OR service = callee) AND %s)
  QUALIFY (instance = '') = max(instance = '') OVER (PARTITION BY caller, callee)`, g.rowsSQL(when, "callee != ''"), condition)
}

// share is the SQL of the share of calls that failed where a condition holds.
func share(condition string) string {
	return fmt.Sprintf("sumIf(failed * calls, %[1]s) / nullIf(sumIf(calls, failed IS NOT NULL AND %[1]s), 0)", condition)
}

// trusted is the SQL of trust where a condition holds.
func trusted(condition string) string {
	return fmt.Sprintf("if(countIf(failed IS NOT NULL AND NOT ifNull(requests > 0, 0) AND %[1]s) > 0, 1, 1 - %[2]d / (ifNull(sumIf(calls, failed IS NOT NULL AND %[1]s), 0) + %[2]d))", condition, few)
}

func within(when span) string {
	return fmt.Sprintf("time >= %s AND time < %s", moment(when.From), moment(when.To))
}

// dropsSQL is the drop of each edge, and how sure it is.
func (g *signals) dropsSQL() string {
	return fmt.Sprintf("SELECT caller, callee, greatest(0, ifNull(%s - ifNull(%s, 0), 0)) AS size, size / (size + %v) * %s AS sure\nFROM (%s)\nGROUP BY caller, callee",
		share(within(g.during)), share(within(g.before)), evident, trusted(within(g.during)), g.endsSQL(g.whole(), "1"))
}

// sqlTrouble asks something about the table (service, own).
func (g *signals) sqlTrouble(what, where string) string {
	return fmt.Sprintf(`WITH drops AS (%s)
SELECT %s FROM
(
  SELECT service, max(into) * (1 - max(out) / (max(out) + %v)) AS own
  FROM (SELECT callee AS service, sure AS into, 0. AS out FROM drops WHERE caller != callee
    UNION ALL SELECT caller, 0., size FROM drops WHERE caller != callee)
  GROUP BY service
)
WHERE %s`, g.dropsSQL(), what, hinted, where)
}

// sqlUnmoved looks at services where something changed, and at those that call
// them.
func (g *signals) sqlUnmoved(suspects map[string]bool) string {
	near := map[string]bool{}
	for s := range suspects {
		near[s] = true
		for _, caller := range g.callers[s] {
			near[caller] = true
		}
	}
	return g.sqlTrouble("1 - max(own)", "service IN ("+quotes(sortedKeys(near))+")")
}

// newSQL is the condition that a row is of an instance that the step brought.
func (s *step) newSQL() string {
	version, added := "version = "+quote(s.version), "instance IN ("+quotes(sortedKeys(s.added))+")"
	switch {
	case len(s.added) == 0:
		return version
	case s.version == "":
		return added
	}
	return "(" + added + " OR " + version + ")"
}

// oldSQL is the condition that it is of another, as far as it says.
func (s *step) oldSQL() string {
	return "NOT (" + s.newSQL() + ") AND instance != " + quote(nameless(""))
}

// sidesSQL are the edges of the service's instances: new ones, old ones, before.
func (g *signals) sidesSQL(s *step) string {
	isNew := s.newSQL()
	return fmt.Sprintf("SELECT caller, callee, %s AS new, %s AS old, %s AS normal, %s AS trust\n  FROM (%s)\n  GROUP BY caller, callee",
		share(isNew+" AND "+within(g.during)), share(s.oldSQL()+" AND "+within(g.during)), share(within(g.before)),
		trusted(isNew+" AND "+within(g.during)), g.instancesSQL(s))
}

func (g *signals) instancesSQL(s *step) string {
	return g.rowsSQL(g.whole(), fmt.Sprintf("service = %s AND instance != ''", quote(s.service)))
}

func (g *signals) sqlSide(s *step) string {
	return fmt.Sprintf("SELECT worse * (1 - alike / (alike + %v)) FROM (%s)", evident, g.comparedSQL(s))
}

// comparedSQL is how surely the new instances are worse than the old ones, and
// how much worse the old ones are than before.
func (g *signals) comparedSQL(s *step) string {
	return fmt.Sprintf(`SELECT max(greatest(0, ifNull(new - old, 0)) / (greatest(0, ifNull(new - old, 0)) + %v) * trust) AS worse,
  maxIf(greatest(0, ifNull(old - ifNull(normal, 0), 0)), callee = %s) AS alike
FROM (%s)`, evident, quote(s.service), g.sidesSQL(s))
}

func (g *signals) sqlClean(s *step) string {
	return fmt.Sprintf(`WITH
  (SELECT max(greatest(0, ifNull(new - ifNull(normal, 0), 0))) FROM (%s)) AS worst,
  (SELECT uniqExact(intDiv(toUnixTimestamp64Milli(time) + 30000, 60000)) FROM (%s) WHERE failed IS NOT NULL AND %s AND %s) AS minutes
SELECT (1 - worst / (worst + %v)) * minutes / (minutes + 1)`,
		g.sidesSQL(s), g.instancesSQL(s), s.newSQL(), within(g.during), evident)
}

func (g *signals) sqlAlike(s *step) string {
	return fmt.Sprintf("SELECT alike / (alike + %v) FROM (%s)", evident, g.comparedSQL(s))
}

func (g *signals) sqlIdle(s *step, caller string) string {
	return fmt.Sprintf("SELECT if(countIf(failed IS NOT NULL) > 0, 0, uniqExact(intDiv(toUnixTimestamp64Milli(time) + 30000, 60000)) AS minutes / (minutes + 1))\nFROM (%s) WHERE caller = %s AND callee = %s AND %s AND %s",
		g.instancesSQL(s), quote(caller), quote(s.service), s.newSQL(), within(g.during))
}

func (g *signals) sqlFigure(s *step, f figure) string {
	return fmt.Sprintf(`SELECT least(1, greatest(0, (log2(avgIf(%[1]s, %[2]s AND time > first + INTERVAL 30 SECOND) / avgIf(%[1]s, %[5]s)) - 1) / 2)) FROM
(
  SELECT *, minIf(time, reports) OVER (PARTITION BY instance) AS first
  FROM (%[3]s)
)
WHERE %[1]s > 0 AND %[4]s`, f.column, s.newSQL(), g.instancesSQL(s), within(g.during), s.oldSQL())
}

// sqlSilent asks of each new instance whether it has ever reported, and how
// many scrapes it could have been in.
func (g *signals) sqlSilent(s *step) string {
	var added []string
	for _, name := range sortedKeys(s.added) {
		added = append(added, fmt.Sprintf("(%s, %s)", quote(name), moment(s.added[name]+notYet)))
	}
	return fmt.Sprintf(`SELECT avg(if(seen, 0, 1 - pow(3, 1 - greatest(1, scrapes)))) FROM
(
  SELECT added.1 AS name, uniqExactIf(intDiv(toUnixTimestamp64Milli(time) + 30000, 60000), time >= added.2) AS scrapes,
    countIf(reports AND service = %s AND instance IN (added.1, %s)) > 0 AS seen
  FROM (%s)
  ARRAY JOIN [%s] AS added
  GROUP BY name
)`, quote(s.service), quote(nameless(s.version)), g.rowsSQL(g.whole(), "1"), strings.Join(added, ", "))
}

// firstSQL is when an edge first showed the trouble, or the onset.
func (g *signals) firstSQL(e *edge) string {
	if e == nil {
		return fmt.Sprintf("SELECT %s AS sign", moment(g.Effect.Onset))
	}
	drop := fmt.Sprintf(`SELECT max(size) FROM (%s) WHERE caller = %s AND callee = %s`, g.dropsSQL(), quote(e.Caller), quote(e.Callee))
	these := fmt.Sprintf("caller = %s AND callee = %s", quote(e.Caller), quote(e.Callee))
	return fmt.Sprintf(`WITH (%[1]s) AS drop, (SELECT ifNull(%[2]s, 0) FROM (%[3]s)) AS normal
  SELECT min(first) AS sign FROM
  (
    SELECT min(time) AS first, sum(failed * calls) / sum(calls) AS share,
      leadInFrame(share, 1, 1.) OVER (ORDER BY first ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next
    FROM (%[3]s) WHERE failed IS NOT NULL AND %[5]s GROUP BY intDiv(toUnixTimestamp64Milli(time) + 30000, 60000)
  )
  WHERE share >= normal + greatest(%[4]v, drop / 2) AND next >= normal + greatest(%[4]v, drop / 4)`,
		drop, share(within(g.before)), g.endsSQL(g.whole(), these), hinted, within(g.around))
}

func (g *signals) sqlLag(stage event.Millis, e *edge) string {
	return fmt.Sprintf("SELECT 1 / (1 + pow(greatest(0, toUnixTimestamp64Milli(sign) - %d) / 90000, 2)) FROM (%s)", stage, g.firstSQL(e))
}

func (g *signals) sqlTooLate(s *step, e *edge) string {
	return fmt.Sprintf("SELECT least(1, greatest(0, %d - toUnixTimestamp64Milli(sign)) / %d) FROM (%s)", s.began, minute, g.firstSQL(e))
}

func (g *signals) sqlLabel(u *unannouncedStep) string {
	return fmt.Sprintf("SELECT toFloat64(countIf(%[1]s AND version NOT IN (SELECT version FROM (%[2]s) WHERE time < %[3]s)) > 0) FROM (%[2]s)",
		u.newSQL(), g.instancesSQL(&u.step), moment(g.From+atStart))
}

func (g *signals) sqlVanished(u *unannouncedStep) string {
	return fmt.Sprintf(`SELECT max(1 - pow(3, 1 - scrapes)) FROM
(
  SELECT instance, uniqExactIf(intDiv(toUnixTimestamp64Milli(others.time) + 30000, 60000), others.time >= last + INTERVAL %d SECOND) AS scrapes
  FROM (SELECT instance, max(time) AS last FROM (%s)
    WHERE instance IN (%s) AND reports GROUP BY instance) AS gone
  CROSS JOIN (%s) AS others
  GROUP BY instance
)`, notYet/1000, g.instancesSQL(&u.step), quotes(u.gone), g.rowsSQL(g.whole(), "1"))
}

func (g *signals) sqlLoad() string {
	return fmt.Sprintf(`SELECT least(1, greatest(0, log2(avgIf(cpu_ratio, %s) / avgIf(cpu_ratio, %s)))) FROM
(
  SELECT *, minIf(time, reports) OVER (PARTITION BY service, instance) AS first
  FROM (%s)
)
WHERE cpu_ratio > 0 AND first < %s`, within(g.during), within(g.before), g.rowsSQL(g.whole(), "instance != '' AND "+g.nearSQL(math.MaxInt)), moment(g.From+atStart))
}

// sqlWeekly reads the week before as it is loaded: put together by the minute,
// as each of the services sees it.
func (g *signals) sqlWeekly(e edge, now float64) string {
	past := func(s span) span { return span{s.From - week, s.To - week} }
	return fmt.Sprintf(`SELECT least(1, greatest(0, ifNull(%s - ifNull(%s, 0), 0)) / %v) FROM
(
  SELECT toDateTime64(toStartOfMinute(o.time) + INTERVAL 1 MINUTE, 3, 'UTC') AS time, if(sum(requests) > 0, sum(requests), 1) AS calls,
    multiIf(sum(requests) = 0, NULL, sum(requests) > 0 AND count(errors) > 0, sum(errors) / sum(requests),
      1 - sum(success_ratio * ifNull(requests, 1)) / sumIf(ifNull(requests, 1), success_ratio IS NOT NULL)) AS stated,
    if(isNull(stated), NULL, least(1, greatest(0, stated))) AS failed
  FROM whence.observations AS o FINAL
  WHERE environment = %s AND type = 'io.whence.service.measured' AND o.time >= %s AND o.time < %s AND caller = %s AND callee = %s
  GROUP BY time, canonical_service
)`, share(within(past(g.during))), share(within(past(g.before))), now, quote(g.Effect.Environment),
		moment(g.From-week), moment(g.To-week), quote(e.Caller), quote(e.Callee))
}

func (g *signals) sqlThin() string {
	return fmt.Sprintf("SELECT 1 / (1 + sum(requests) / uniqExact(intDiv(toUnixTimestamp64Milli(time) + 30000, 60000)) / 10) FROM (%s) WHERE requests > 0 AND %s",
		g.endsSQL(g.whole(), "callee = "+quote(g.Effect.Service)), within(g.during))
}

// sqlReach walks the calls, declared and seen, from the effect's services to
// those that were changed.
func (g *signals) sqlReach(services []string, what string) string {
	return fmt.Sprintf(`WITH RECURSIVE calls AS
(
  SELECT service AS caller, arrayJoin(depends_on) AS callee FROM whence.services FINAL WHERE environment IN ('', %[1]s)
  UNION DISTINCT SELECT caller, callee FROM (%[2]s)
), reached AS
(
  SELECT arrayJoin([%[3]s]) AS service, 0 AS hops
  UNION ALL SELECT DISTINCT callee, hops + 1 FROM reached INNER JOIN calls ON caller = service WHERE hops < %[6]d
)
SELECT %[4]s FROM reached WHERE service IN (%[5]s)`,
		quote(g.Effect.Environment), g.rowsSQL(g.whole(), "caller != '' AND callee != ''"),
		quotes(append([]string{g.Effect.Service}, g.Effect.Services...)), what, quotes(services), furthest)
}

// furthest is how many calls a change may be away from an effect.
const furthest = 8

func (g *signals) sqlAge(c *Candidate, last event.Millis) string {
	times := fmt.Sprintf("SELECT time FROM whence.facts FINAL WHERE entity_kind = %s AND entity_id = %s AND time <= %s", quote(c.Kind), quote(c.ID), moment(last))
	switch c.Kind {
	case Change, Configuration, Migration, Infrastructure:
		times = "SELECT changed_at AS time FROM whence.changes FINAL WHERE change_id = " + quote(c.ID)
	}
	return fmt.Sprintf("SELECT least(1, log10(1 + greatest(0, toUnixTimestamp64Milli(%s) - toUnixTimestamp64Milli(max(time))) / 60000) / 3) FROM (%s)",
		moment(g.Effect.Onset), times)
}

func (g *signals) sqlCarries(c *Candidate) string {
	if c.Kind == Deployment {
		return fmt.Sprintf("SELECT toFloat64(has(revisions, %[1]s) OR deployment_id = %[1]s) FROM whence.deployments FINAL WHERE deployment_id = %[2]s",
			quote(g.introduced()), quote(c.ID))
	}
	return fmt.Sprintf("SELECT toFloat64(has(revisions, %[1]s) OR change_id = %[1]s) FROM whence.changes FINAL WHERE change_id = %[2]s",
		quote(g.introduced()), quote(c.ID))
}

func (g *signals) sqlOutcome(c *Candidate) string {
	return "SELECT toFloat64(outcome IN ('failure', 'rolled_back', 'cancelled')) FROM whence.deployments FINAL WHERE deployment_id = " + quote(c.ID)
}

func (g *signals) sqlRollback(c *Candidate) string {
	return "SELECT toFloat64(rollback_of != '') FROM whence.deployments FINAL WHERE deployment_id = " + quote(c.ID)
}

func (g *signals) sqlRecurs(c *Candidate) string {
	return fmt.Sprintf("SELECT %d / (%d + %d + 2)", c.Confirmed, c.Confirmed, c.Refuted)
}

func (g *signals) sqlSize(c *Candidate) string {
	return fmt.Sprintf("SELECT least(1, log10(1 + sum(size)) / 4) FROM whence.changes FINAL WHERE change_id IN (%s)", quotes(append([]string{c.ID}, c.Changes...)))
}

func moment(t event.Millis) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", t) }

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func quotes(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	slices.Sort(quoted)
	if len(quoted) == 0 {
		return "''"
	}
	return strings.Join(quoted, ", ")
}

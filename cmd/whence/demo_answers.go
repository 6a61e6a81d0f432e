package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/whencehq/whence/cmd/whence/demo"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/processors/correlate"
)

// answer prints what the tables know, in the order in which a person asks.
func (d *demonstration) answer(ctx context.Context, s *demo.Scenario) error {
	for _, part := range []func(context.Context, *demo.Scenario) error{
		d.deployed, d.users, d.incident, d.corrected, d.queries,
	} {
		if err := part(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (d *demonstration) heading(text string) { d.say("\n%s", d.bold(text)) }

// table prints rows under a header, aligned.
func (d *demonstration) table(header string, rows [][]string) {
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "  "+strings.ReplaceAll(header, ",", "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i := range row {
			cells[i] = display.Line(row[i])
		}
		fmt.Fprintln(w, "  "+strings.Join(cells, "\t"))
	}
	_ = w.Flush()
}

func (d *demonstration) deployed(ctx context.Context, s *demo.Scenario) error {
	rows, err := d.ask(ctx, fmt.Sprintf(`
SELECT formatDateTime(started_at, '%%H:%%i'), ifNull(formatDateTime(ended_at, '%%H:%%i'), ''), service, version, previous_version, state
FROM deployments FINAL
WHERE started_at >= toDateTime64('%s', 3, 'UTC')
ORDER BY started_at`, s.Start.Format("2006-01-02 15:04:05")))
	if err != nil {
		return err
	}
	d.heading("What was deployed in that hour")
	d.table("start,end,service,version,before,state", rows)
	return nil
}

// byVersion is the first question of every incident.
const byVersion = `SELECT deployed_version AS version, count() AS payments,
    round(100 * countIf(NOT ok) / count(), 1) AS failed_percent,
    round(quantile(0.95)(duration_ms)) AS p95_ms,
    round(100 * uniqExactIf(session, session IN (
        SELECT session FROM observations FINAL WHERE name = 'order.placed' AND ok)) / uniqExact(session), 1) AS visits_with_order_percent
FROM observations FINAL
WHERE name = 'payment.submitted'
GROUP BY version
ORDER BY min(time)`

func (d *demonstration) users(ctx context.Context, s *demo.Scenario) error {
	rows, err := d.ask(ctx, byVersion)
	if err != nil {
		return err
	}
	d.heading("What users saw, by the version of payments that served them")
	d.table("version,payments,failed %,p95 ms,visits that ended in an order %", rows)
	series, err := d.ask(ctx, `
SELECT intDiv(toUnixTimestamp(time), 120) AS at, countIf(NOT ok) / count()
FROM observations FINAL WHERE name = 'payment.submitted'
GROUP BY at ORDER BY at`)
	if err != nil {
		return err
	}
	values := make([]float64, len(series))
	for i, row := range series {
		if values[i], err = strconv.ParseFloat(row[1], 64); err != nil {
			return err
		}
	}
	marks, err := d.marks(ctx, s, len(values))
	if err != nil {
		return err
	}
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	d.say("\n  failed payments, every two minutes from %s, up to %.0f %%\n  %s\n  %s", s.Start.Format("15:04"), 100*highest, d.red(spark(values)), marks)
	return nil
}

// marks puts what happened below the bars: where payments 4.2.0 began, where
// the incident was opened, and where the rollout ended.
func (d *demonstration) marks(ctx context.Context, s *demo.Scenario, width int) (string, error) {
	rows, err := d.ask(ctx, `
SELECT toUnixTimestamp(started_at), toUnixTimestamp(ifNull(ended_at, started_at)), (SELECT toUnixTimestamp(min(opened_at)) FROM incidents FINAL)
FROM deployments FINAL WHERE state = 'rolled_back' ORDER BY started_at LIMIT 1`)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	line := []rune(strings.Repeat("─", width))
	for i, mark := range []rune{'▲', '△', '!'} {
		at, err := strconv.ParseInt(rows[0][i], 10, 64)
		if err != nil {
			return "", err
		}
		if place := int(at-s.Start.Unix()) / 120; place >= 0 && place < width {
			line[place] = mark
		}
	}
	return string(line) + "   ▲ rollout starts   ! incident opened   △ rolled back", nil
}

// spark draws values as bars from zero to the highest.
func spark(values []float64) string {
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		level := 0
		if highest > 0 {
			level = int(math.Round(v / highest * float64(len(bars)-1)))
		}
		b.WriteRune(bars[level])
	}
	return b.String()
}

func (d *demonstration) incident(ctx context.Context, _ *demo.Scenario) error {
	rows, err := d.ask(ctx, `
SELECT incident_id, title, severity, formatDateTime(started_at, '%H:%i'), formatDateTime(opened_at, '%H:%i'),
    ifNull(formatDateTime(ended_at, '%H:%i'), ''), arrayStringConcat(services, ', ')
FROM incidents FINAL ORDER BY started_at`)
	if err != nil {
		return err
	}
	d.heading("The incident")
	d.table("incident,title,severity,began,opened,ended,services", rows)
	settled, err := d.awaitRanked(ctx)
	if err != nil {
		return err
	}
	if rows, err = d.ask(ctx, ranked); err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("no incident was ranked within %s", settledWithin)
	}
	d.heading("Whence it came: what may have caused it, by probability")
	d.table(rankedHeader, rows)
	if !settled {
		d.say("  more has become known since: a new ranking is due")
	}
	tells := display.Command(os.Args[0]+" why", rows[0][len(rows[0])-1]) + " tells the whole story, with all evidence and the SQL behind it"
	if !d.keep {
		tells += ", while the demo is kept running: make demo KEEP=1"
	}
	d.say("  %s", d.faint(tells+"."))
	return nil
}

// How long a demo waits for what a ranking is computed from to be all there: it
// must have been for settledFor, and is waited for no longer than settledWithin.
const (
	settledFor    = time.Second
	settledWithin = storeTime
)

// awaitRanked waits until every incident is ranked by all that was published, and
// says whether that has come. A pause in which nothing is ranked anew does not tell: on a busy machine the
// next ranking takes longer than any that one would wait for.
func (d *demonstration) awaitRanked(ctx context.Context) (settled bool, err error) {
	rows, err := d.ask(ctx, "SELECT incident_id FROM incidents FINAL")
	if err != nil {
		return false, err
	}
	var incidents []correlate.Key
	for _, row := range rows {
		incidents = append(incidents, correlate.Key{Kind: correlate.Incident, ID: row[0]})
	}
	waiting, cancel := context.WithTimeout(ctx, settledWithin)
	defer cancel()
	err = withStore(waiting, clickHouseFlags{url: d.at.ClickHouse}, func(waiting context.Context, store *clickhouse.Client) error {
		ticks := time.NewTicker(250 * time.Millisecond)
		defer ticks.Stop()
		for since := time.Now(); !settled && waiting.Err() == nil; {
			due, err := rankingDue(waiting, store, incidents...)
			if err != nil && waiting.Err() == nil {
				return err
			}
			if due || err != nil {
				since = time.Now()
			}
			settled = time.Since(since) >= settledFor
			select {
			case <-waiting.Done():
			case <-ticks.C:
			}
		}
		return ctx.Err()
	})
	return settled, err
}

// corrected says which rows were stored before what explains them was known, and
// say it now.
func (d *demonstration) corrected(ctx context.Context, _ *demo.Scenario) error {
	rows, err := d.ask(ctx, `
WITH (ids -> if(empty(ids), '-', arrayStringConcat(ids, ', '))) AS named
SELECT o.service, count() AS rows, named(h.rollout_ids) AS rollouts, named(o.rollout_ids), named(h.incident_ids), named(o.incident_ids)
FROM observations_history AS h FINAL
INNER JOIN observations AS o FINAL USING (source, id, service, environment, time, name)
WHERE h.rollout_ids != o.rollout_ids OR h.incident_ids != o.incident_ids
GROUP BY ALL ORDER BY rows DESC LIMIT 4`)
	if err != nil || len(rows) == 0 {
		return err
	}
	all, err := d.ask(ctx, "SELECT sum(corrected) FROM whence_state.reconciled")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(all[0][0], 10, 64)
	if err != nil {
		return err
	}
	d.heading("Late truth")
	d.say("  Some facts came after the rows that they explain, as they do in life. %s rows were corrected; what\n"+
		"  they said before is kept. Most of them:", display.Count(n))
	d.table("service,rows,rollouts then,now,incidents then,now", rows)
	return nil
}

// shown are the queries that a reader can repeat.
func shown() []struct{ title, sql string } {
	return []struct{ title, sql string }{
		{"What each deployment did to its service: half an hour before and after", `SELECT service, version, state, round(100 * error_rate_before, 1) AS errors_before, round(100 * error_rate_after, 1) AS errors_after,
    round(p95_ms_before) AS p95_before, round(p95_ms_after) AS p95_after
FROM deployment_impact
WHERE requests_before > 0
ORDER BY started_at`},
		{"What was in force on payments, every ten minutes", `SELECT toStartOfInterval(time, INTERVAL 10 MINUTE) AS at, count() AS payments, round(100 * countIf(NOT ok) / count(), 1) AS failed_percent,
    arraySort(groupUniqArrayArray(rollout_ids)) AS rollouts, max(rollout_percent) AS percent,
    arraySort(groupUniqArrayArray(incident_ids)) AS incidents, any(owner) AS team
FROM observations FINAL
WHERE name = 'payment.submitted'
GROUP BY at
ORDER BY at`},
		{"The experiment, which is innocent", `SELECT variant, count() AS visits,
    round(100 * countIf(unit_id IN (SELECT session FROM observations FINAL WHERE name = 'order.placed' AND ok)) / count(), 1) AS with_order_percent
FROM observations FINAL
WHERE type = 'io.whence.experiment.exposed' AND experiment = 'free-shipping-banner'
GROUP BY variant
ORDER BY variant`},
	}
}

func (d *demonstration) queries(ctx context.Context, _ *demo.Scenario) error {
	d.heading("Ask yourself")
	for _, q := range shown() {
		d.say("\n%s\n%s", d.bold("-- "+q.title), q.sql)
		ask := query{sql: q.sql, format: "PrettyCompactMonoBlock", color: bool(d.style)}
		if err := ask.run(ctx, clickHouseFlags{url: d.at.ClickHouse}, d.out); err != nil {
			return err
		}
		d.say("%s", d.green(curl(q.sql)))
	}
	if !d.keep {
		d.say("\n%s", d.faint("The curl lines work while the demo is kept running: make demo KEEP=1"))
	}
	return nil
}

// curl is the line that repeats a query while the demo runs on its default
// ports: on one line, whatever the SQL's layout.
func curl(sql string) string {
	oneLine := strings.Join(strings.Fields(sql), " ")
	return fmt.Sprintf("curl 'http://127.0.0.1:8123/?database=whence&default_format=PrettyCompactMonoBlock' --data-binary %q", oneLine)
}

// ranked lists the likeliest causes of the incidents, each with what speaks for
// it most.
const (
	ranked = `
SELECT concat(toString(round(100 * probability, 1)), ' %'), cause_kind, if(cause_kind = 'none', 'no known change', cause_id), cause_service,
    arrayStringConcat(arrayMap(t -> JSONExtractString(t, 'words'), arraySlice(arrayReverseSort(
        t -> JSONExtractFloat(t, 'value') * JSONExtractFloat(t, 'weight'),
        arrayFilter(t -> JSONExtractFloat(t, 'value') * JSONExtractFloat(t, 'weight') > 0, JSONExtractArrayRaw(evidence))), 1, 1)), '; ') AS reason, effect_id
FROM links WHERE effect_kind = 'incident' AND rank <= 5
ORDER BY effect_id, rank`
	rankedHeader = "probability,kind,cause,service,speaks for it most,incident"
)

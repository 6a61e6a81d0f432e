package oracle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/oracle"
)

// atOnce looks again without a pause: nothing is at work in these tests.
var atOnce = []time.Duration{0}

// sound fills every table as the pipeline does: facts with their entities,
// observations as the oracle would enrich them, the ledger of both, and a
// sealed minute for each that has observations.
func sound(t *testing.T, query oracle.Query) {
	t.Helper()
	empty(t, query)
	for _, table := range []string{"whence.services", "whence.changes", "whence.flags", "whence.alerts", "whence.experiments", "whence.builds",
		"whence.tests", "whence.artifacts", "whence.conflicts", "whence_state.unsaid", "whence_state.identities", "whence_state.retractions",
		"whence_state.epochs", "whence_state.reconciled"} {
		do(t, query, "TRUNCATE TABLE "+table)
	}
	worlds := readWorlds(t)
	number := 0
	for _, w := range worlds {
		for _, row := range w.facts {
			number++
			row["revision"], row["topic"], row["offset"] = 1<<40+number, "whence.delivery", number
			row["entity_kind"], row["entity_id"] = entityOf(row["type"].(string), row["data"].(string))
		}
		for i, row := range w.observations {
			number++
			row["topic"], row["offset"] = "whence.behavior", number
			row["user"], row["duration_ms"], row["ok"] = fmt.Sprint("user ", i%2), 1.5*float64(i), i%2 == 0
		}
	}
	insertWorlds(t, query, worlds)
	derive(t, 1<<40+5000)
	o, err := oracle.Compute(t.Context(), query, oracle.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	enrich(t, o, query)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	do(t, query, "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored, observations) "+
		"SELECT 'whence.behavior', '"+topicID+"', 0, 0, 1000, 1000, 1000, count() FROM whence.observations FINAL")
	do(t, query, "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored, facts) "+
		"VALUES ('whence.delivery', '00000000-0000-0000-0000-0000000000d1', 0, 0, 1000, 1000, 1000, 1000)")
	do(t, query, "INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (1, '00000000-0000-0000-0000-0000000000c7')")
	do(t, query, "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored, facts) "+
		"VALUES ('whence.context', '00000000-0000-0000-0000-0000000000c7', 0, 0, 5001, 5001, 5001, 5001)")
	seal(t, query)
}

// entityOf is what the codec says of a fact.
func entityOf(name, data string) (kind, id string) {
	f := fact(name, data)
	return f.Kind, f.EntityID
}

// seal seals every minute, in the columns that vitals_computed has.
func seal(t testing.TB, query oracle.Query) {
	t.Helper()
	for _, table := range []string{"whence_state.touches", "whence_state.sealed"} {
		do(t, query, "TRUNCATE TABLE "+table)
	}
	do(t, query, "INSERT INTO whence_state.touches SELECT DISTINCT service, environment, toStartOfMinute(time), 7, 1 FROM whence.observations")
	do(t, query, "INSERT INTO whence_state.touches SELECT DISTINCT '', '', toStartOfHour(time), 7, 1 FROM whence.observations")
	columns := strings.Fields("deployment_id deployed_version observations requests errors users conversions latency latency_sum_ms " +
		"measurements measured_requests measured_errors success_ratio_sum success_ratio_count measured_latency_sum_ms measured_latency_weight measured_p99_ms")
	do(t, query, "INSERT INTO whence_state.sealed (service, environment, minute, touch, rows, canonical_service, deployments."+
		strings.Join(columns, ", deployments.")+") SELECT service, environment, minute, 7, 1, any(canonical_service), groupArray("+
		strings.Join(columns, "), groupArray(")+") FROM whence_state.vitals_computed GROUP BY service, environment, minute")
	do(t, query, "INSERT INTO whence_state.sealed (minute, touch, rows) SELECT DISTINCT toStartOfHour(time), 7, 1 FROM whence.observations")
}

func verify(t *testing.T, query oracle.Query, options oracle.Options) *oracle.Report {
	t.Helper()
	if options.Pauses == nil {
		options.Pauses = atOnce
	}
	options.Patience = time.Nanosecond
	report, err := oracle.Verify(t.Context(), query, options)
	if err != nil {
		t.Fatal(err)
	}
	if left := do(t, query, "SELECT name FROM system.databases WHERE startsWith(name, 'whence_oracle')"); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	return report
}

func TestNothingIsFoundWhereAllIsWell(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	for name, options := range map[string]oracle.Options{
		"everything": {}, "in small spans": {Scope: oracle.Scope{SpanRows: 5}}, "a share": {Scope: oracle.Scope{Share: 0.3}},
		"an hour": {Scope: oracle.Scope{From: time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC), To: time.Date(2024, 5, 1, 11, 0, 0, 0, time.UTC)}},
	} {
		report := verify(t, query, options)
		if !report.Sound() || report.Unsettled != 0 {
			t.Errorf("%s: %+v", name, report)
		}
		if report.Observations == 0 || report.Minutes == 0 || report.Facts == 0 || report.Entities == 0 || !report.Vitals {
			t.Errorf("%s: nothing was compared: %+v", name, report)
		}
	}
}

// What is planted by hand, and by which column it is found.
func TestEverythingThatIsPlantedIsFound(t *testing.T) {
	query := engineQuery(t)
	rewrite := func(column, value string) string {
		return "INSERT INTO whence.observations SELECT * REPLACE (" + value + " AS " + column + ") FROM whence.observations FINAL WHERE id IN (SELECT min(id) FROM whence.observations WHERE notEmpty(deployment_id))"
	}
	for _, c := range []struct {
		what, statement string
		want            []string
	}{
		{"a wrong enriched column", rewrite("owner", "'nobody'"),
			[]string{"observations owner 1", "observations any column 1"}},
		{"a wrong deployment, sealed as it should be", rewrite("deployment_id", "'another'"),
			[]string{"observations deployment_id 1", "observations any column 1"}},
		{"an observation that is gone", "ALTER TABLE whence.observations DELETE WHERE id IN (SELECT min(id) FROM whence.observations WHERE service != '') SETTINGS mutations_sync = 2",
			[]string{"vitals row 1"}},
		{"an observation that nobody said", "INSERT INTO whence.observations (source, id, type, name, service, environment, time, canonical_service, topic, offset) VALUES ('hand', 'planted', 'io.whence.behavior.recorded', 'buy', 'planted', 'prod', '2024-05-01 10:00:00', 'planted', 'whence.behavior', 3)",
			[]string{"vitals row 1", "too many"}},
		{"an observation from nowhere", "INSERT INTO whence.observations (source, id, type, name, service, environment, time, canonical_service) VALUES ('hand', 'planted', 'io.whence.behavior.recorded', 'buy', 'planted', 'prod', '2024-05-01 10:00:00', 'planted')",
			[]string{"vitals row 1", "unaccounted"}},
		{"a wrong minute", "ALTER TABLE whence_state.sealed UPDATE `deployments.users` = arrayMap(n -> n + 1, deployments.users) WHERE (service, environment, minute) IN (SELECT service, environment, minute FROM whence_state.sealed WHERE service != '' ORDER BY ALL LIMIT 1) SETTINGS mutations_sync = 2",
			[]string{"vitals users 1", "vitals any column 1"}},
		{"a wrong entity", "INSERT INTO whence.deployments SELECT * REPLACE ('v0' AS version) FROM whence.deployments FINAL ORDER BY deployment_id LIMIT 1",
			[]string{"entities deployments.version 1"}},
		{"an entity that is gone", "ALTER TABLE whence.flags DELETE WHERE (flag, environment) IN (SELECT flag, environment FROM whence.flags ORDER BY ALL LIMIT 1) SETTINGS mutations_sync = 2",
			[]string{"entities flags.row 1"}},
		{"an entity that nobody spoke of", "INSERT INTO whence.incidents (incident_id, service) VALUES ('planted', 'shop')",
			[]string{"entities incidents.row 1"}},
		{"a fact that is gone", "ALTER TABLE whence.facts DELETE WHERE (source, id) IN (SELECT source, id FROM whence_state.unsaid FINAL ORDER BY ALL LIMIT 1) SETTINGS mutations_sync = 2",
			[]string{"facts row 2"}},
		{"a gap in the ledger", "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored) VALUES ('whence.behavior', '" + topicID + "', 0, 1001, 1002, 1, 1)",
			[]string{"gap"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			sound(t, query)
			do(t, query, c.statement)
			report := verify(t, query, oracle.Options{})
			if diff := cmp.Diff(c.want, found(report)); diff != "" {
				t.Errorf("%s\n%+v", diff, report)
			}
			if report.Sound() != (c.want == nil) {
				t.Error("what was found does not count")
			}
		})
	}
}

func found(report *oracle.Report) (all []string) {
	for _, c := range report.Columns {
		all = append(all, fmt.Sprint(c.Area, " ", c.Name, " ", c.Differing))
	}
	for _, trouble := range report.Troubles {
		all = append(all, trouble.Trouble)
	}
	return all
}

func TestARowThatWasWrittenWithNewerFactsIsLeftForAnotherTime(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	do(t, query, "INSERT INTO whence.observations SELECT * REPLACE (1099511632776 AS revision) FROM whence.observations FINAL") // the last one stored
	seal(t, query)
	do(t, query, "INSERT INTO whence_state.reconciled (revision) VALUES (1099511627779)") // three facts are closed
	report := verify(t, query, oracle.Options{})
	if len(report.Columns) > 0 || report.Unsettled == 0 {
		t.Errorf("what knows better was held to less: %+v", report)
	}
	if report.Waiting == 0 || report.WaitingSince == nil {
		t.Errorf("most facts wait, and that is not said: %+v", report)
	}
	if len(report.Troubles) > 0 {
		t.Errorf("they have not waited long: %+v", report.Troubles)
	}
	do(t, query, "INSERT INTO whence_state.batches SELECT * REPLACE (now() - INTERVAL 2 HOUR AS written_at) FROM whence_state.batches WHERE topic = 'whence.context'")
	if report = verify(t, query, oracle.Options{}); len(report.Troubles) != 1 || report.Troubles[0].Trouble != "stalled" {
		t.Errorf("facts have waited for two hours: %+v", report.Troubles)
	}
}

// A zombie's insert comes when its token is forgotten.
func TestRowsThatAreThereAgainAsIfForTheFirstTimeAreCounted(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	do(t, query, "OPTIMIZE TABLE whence.observations FINAL") // sound has written rows again
	do(t, query, "SYSTEM STOP MERGES whence.observations")
	defer do(t, query, "SYSTEM START MERGES whence.observations")
	const again = "INSERT INTO whence.observations SELECT * FROM whence.observations FINAL ORDER BY time LIMIT 3"
	do(t, query, again)
	do(t, query, strings.Replace(again, "*", "* REPLACE (1 AS rewritten)", 1))         // a correction
	do(t, query, strings.Replace(again, "*", "* REPLACE (offset + 500 AS offset)", 1)) // delivered a second time
	if report := verify(t, query, oracle.Options{}); report.Repeated != 3 || !report.Sound() {
		t.Errorf("%+v", report)
	}
}

func TestARowOfARevisionThatTheLogNeverReachedIsATrouble(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	do(t, query, "INSERT INTO whence.observations SELECT * REPLACE (2199023255552 AS revision, 'nobody' AS owner) FROM whence.observations FINAL ORDER BY time LIMIT 3")
	seal(t, query)
	report := verify(t, query, oracle.Options{})
	if len(report.Troubles) != 1 || report.Troubles[0].Trouble != "ahead" || !strings.Contains(report.Troubles[0].Detail, "3 rows are of revisions 2199023255552 to 2199023255552") {
		t.Errorf("%+v", report)
	}
	if report.Sound() {
		t.Error("it does not count")
	}
}

func TestAReportShowsEmptyListsAsSuch(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	text, err := json.Marshal(verify(t, query, oracle.Options{}))
	if err != nil || !strings.Contains(string(text), `"columns":[],"troubles":[]`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestWhatIsWrongForAMomentIsNotReported(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	do(t, query, "INSERT INTO whence.observations SELECT * REPLACE ('nobody' AS owner) FROM whence.observations FINAL")
	mended := false
	report := verify(t, query, oracle.Options{Progress: func(what string, _, _ uint64) {
		if what == "once more" && !mended {
			mended = true
			o, err := oracle.Compute(t.Context(), query, oracle.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			enrich(t, o, query)
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}})
	if !mended || !report.Sound() {
		t.Errorf("looked at again: %v, and reported: %+v", mended, report)
	}
}

func TestAVerificationThatIsCancelledLeavesNothingBehind(t *testing.T) {
	query := engineQuery(t)
	sound(t, query)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := oracle.Verify(ctx, query, oracle.Options{Progress: func(string, uint64, uint64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, and the error is %v", err)
	}
	if left := do(t, query, "SELECT name FROM system.databases WHERE startsWith(name, 'whence_oracle')"); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

func TestWhatKilledVerificationsLeftBehindIsSweptAway(t *testing.T) {
	query := engineQuery(t)
	young := "whence_oracle_" + time.Now().UTC().Format("20060102150405") + "_young"
	for _, name := range []string{"whence_oracle_20200101000000_old", young, "whence_oracle_mine"} {
		do(t, query, "CREATE DATABASE "+name+" ENGINE = Atomic")
		t.Cleanup(func() { _, _ = query(context.Background(), "DROP DATABASE IF EXISTS "+name) })
	}
	if err := oracle.Sweep(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	left := string(do(t, query, "SELECT name FROM system.databases WHERE startsWith(name, 'whence_oracle') ORDER BY name FORMAT TabSeparated"))
	if want := young + "\nwhence_oracle_mine\n"; left != want {
		t.Errorf("left are %q, want %q", left, want)
	}
}

// Vitals of hours, or of minutes between two spans, that have lost all their rows.
func TestVitalsAreFoundOfTimesThatHaveLostEveryRow(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	rows := func(clock string, n int) (rows []map[string]any) {
		for i := range n {
			rows = append(rows, map[string]any{"source": "hand", "id": fmt.Sprint(clock, i), "type": "io.whence.behavior.recorded", "name": "buy", "service": "shop",
				"environment": "prod", "canonical_service": "shop", "time": "2024-05-01 " + clock + ":30.000", "topic": "whence.behavior", "offset": i})
		}
		return rows
	}
	lost := []string{"08:10", "10:02", "10:59", "11:00", "13:30"}
	for _, clock := range append([]string{"10:00", "10:01", "10:03", "12:00"}, lost...) {
		insert(t, query, "whence.observations", rows(clock, 4))
	}
	insert(t, query, "whence_state.batches", []map[string]any{batch(0, 0, 4, 36, 0)})
	do(t, query, "ALTER TABLE whence_state.batches UPDATE records = 4, stored = 4 WHERE 1 SETTINGS mutations_sync = 2")
	seal(t, query)
	if report := verify(t, query, oracle.Options{}); !report.Sound() || report.Minutes != 9 {
		t.Fatalf("all is well: %+v", report)
	}
	for _, clock := range lost {
		do(t, query, "ALTER TABLE whence.observations DELETE WHERE startsWith(id, '"+clock+"') SETTINGS mutations_sync = 2")
	}
	for _, scope := range []oracle.Scope{{}, {SpanRows: 4}} {
		if diff := cmp.Diff([]string{"vitals row 5"}, found(verify(t, query, oracle.Options{Scope: scope}))); diff != "" {
			t.Errorf("in spans of %d rows: %s", scope.SpanRows, diff)
		}
	}
	at := func(hour int) time.Time { return time.Date(2024, 5, 1, hour, 0, 0, 0, time.UTC) }
	if diff := cmp.Diff([]string{"vitals row 2"}, found(verify(t, query, oracle.Options{Scope: oracle.Scope{From: at(11), To: at(14)}}))); diff != "" {
		t.Errorf("in a part: %s", diff)
	}
}

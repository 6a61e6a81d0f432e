package oracle_test

import (
	"fmt"
	"testing"

	"github.com/whencehq/whence/pipeline/oracle"
)

// BenchmarkVerify verifies a day of a million observations of 50 services, in
// a world of 20,000 deployments and 75,000 facts, where all is well.
func BenchmarkVerify(b *testing.B) {
	query := engineQuery(b)
	populate(b, query, 1_000_000)
	var rows uint64
	for b.Loop() {
		report, err := oracle.Verify(b.Context(), query, oracle.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if !report.Sound() {
			b.Fatalf("%+v", report)
		}
		rows += report.Observations
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// populate fills the tables with a year of facts and a day of observations,
// enriched by the oracle, and their vitals.
func populate(tb testing.TB, query oracle.Query, n int) {
	tb.Helper()
	empty(tb, query)
	const at = "toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalSecond(intDiv(n * 31536000, %d)) AS time"
	revision := 1 << 40
	facts := func(count int, kind, columns string) {
		tb.Helper()
		do(tb, query, fmt.Sprintf("INSERT INTO whence.facts (time, id, type, entity_id, data, source, entity_kind, content_hash, revision, service, environment, topic, offset) "+
			"SELECT "+at+", %[2]s, 'bench', '%[3]s', cityHash64(data), %[4]d + n, JSONExtractString(data, 'service'), JSONExtractString(data, 'environment'), "+
			"'whence.delivery', n FROM (SELECT number AS n FROM numbers(%[1]d))", count, columns, kind, revision))
		revision += count
	}
	for stage, name := range []string{"started", "progressed", "finished"} {
		more := []string{"", `,"percent":50`, `,"outcome":"success"`}[stage]
		facts(20_000, "deployment", `concat('d', toString(n), '`+name+`'), 'io.whence.deployment.`+name+`', concat('d', toString(n)), concat(
			'{"deployment_id":"d', toString(n), '","environment":"', ['production', 'staging'][if(n % 3 = 0, 2, 1)], '","revisions":["r', toString(n),
			'"],"service":"s', toString(n % 50), '","version":"v', toString(n), '"`+more+`}') AS data`)
	}
	facts(5000, "change", `concat('c', toString(n)), 'io.whence.change.merged', concat('c', toString(n)), concat('{"change_id":"c', toString(n), '","revision":"r', toString(n * 4), '"}') AS data`)
	facts(2000, "flag", `concat('f', toString(n)), 'io.whence.flag.changed', concat('f', toString(n % 40)), concat('{"environment":"production","flag":"f', toString(n % 40), '","rules":{"on":', toString(n % 100), '}}') AS data`)
	facts(500, "incident", `concat('io', toString(n)), 'io.whence.incident.opened', concat('i', toString(n)), concat('{"environment":"production","incident_id":"i', toString(n), '","service":"s', toString(n % 50), '","severity":"high"}') AS data`)
	facts(1000, "finding", `concat('g', toString(n)), 'io.whence.finding.opened', concat('g', toString(n)), concat('{"finding_id":"g', toString(n), '","service":"s', toString(n % 50), '","severity":"high"}') AS data`)
	facts(50, "service", `concat('s', toString(n)), 'io.whence.service.declared', concat('s', toString(n)), concat('{"owner":"team', toString(n % 7), '","service":"s', toString(n), '"}') AS data`)
	derive(tb, uint64(revision))
	do(tb, query, fmt.Sprintf("INSERT INTO whence.observations (source, id, type, time, name, service, environment, user, duration_ms, ok, version, content_hash, topic, offset) "+
		"SELECT 'bench', toString(number), 'io.whence.behavior.recorded', toDateTime64('2026-07-01 00:00:00', 3, 'UTC') + number * 86400 / %d, "+
		"['buy', 'view', 'search'][number %% 3 + 1], concat('s', toString(cityHash64(number) %% 50)), 'production', toString(cityHash64(number) %% 10000), "+
		"number %% 1000, number %% 50 > 0, '', number, 'whence.behavior', number FROM numbers(%[1]d)", n))
	do(tb, query, fmt.Sprintf("INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored, observations) "+
		"SELECT 'whence.behavior', '"+topicID+"', 0, number * 1000, number * 1000 + 1000, 1000, 1000, 1000 FROM numbers(%d)", n/1000))
	do(tb, query, "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, records, stored, facts) "+
		"VALUES ('whence.delivery', '00000000-0000-0000-0000-0000000000d1', 0, 0, 20000, 20000, 20000, 68550)")
	o, err := oracle.Compute(tb.Context(), query, oracle.Scope{SpanRows: 1 << 40})
	if err != nil {
		tb.Fatal(err)
	}
	defer o.Close()
	enrich(tb, o, query)
	do(tb, query, "OPTIMIZE TABLE whence.observations FINAL")
	seal(tb, query)
}

package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

func TestRecordedIncidentsGiveTheSameTablesInEveryOrder(t *testing.T) {
	m := prepare(t)
	t.Logf("%d lines: %d facts and %d observations, %d fact twins, %d observation twins, %d duplicates, %d second sources",
		len(m.all), len(m.facts), len(m.observations), m.factTwins, m.observationTwins, m.duplicates, m.secondSources)
	orders := []struct {
		name, file string
		lines      []said
	}{
		{"the order of the files", "ordered.jsonl", m.all},
		{"reversed", "reversed.jsonl", m.reversed()},
		{"all facts last", "facts-last.jsonl.gz", slices.Concat(m.only(false), m.only(true))},
		{"shuffle 1", "shuffled.jsonl.gz", m.shuffled(1)},
		{"shuffle 2", "shuffled.jsonl", m.shuffled(2)},
	}
	var first map[string][]string
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			s := up(t, t.TempDir())
			s.publish(file(t, order.file, order.lines))
			s.awaitQuiet()
			s.holdsLaw2()
			m.isStored(t, s)
			contents := s.ranked()
			if first == nil {
				first = contents
			}
			sameContents(t, first, contents)
			t.Logf("%s rows were corrected", s.ask("SELECT sum(corrected) FROM whence_state.reconciled"))
			s.equalsOracle()
			s.entitiesEqualOracle()
			s.stop()
		})
	}
}

func TestWithAllFactsFirstEveryEnrichedColumnEqualsTheOracle(t *testing.T) {
	m := prepare(t)
	s := up(t, t.TempDir())
	s.publish(file(t, "facts.jsonl.gz", m.only(true)))
	s.awaitQuiet()
	s.publish("--as", "json", file(t, "observations.jsonl", m.only(false)))
	s.awaitQuiet()
	s.holdsLaw2()
	m.isStored(t, s)
	s.neededNoCorrection()
	s.equalsOracle()
	s.entitiesEqualOracle()
	s.stop()
}

// isStored checks that there is exactly one row an identity, and a conflict
// for each content that lost.
func (m *material) isStored(t *testing.T, s *system) {
	t.Helper()
	for _, c := range []struct {
		what, sql string
		want      map[string]bool
	}{
		{"facts", "SELECT concat(source, '|', id, '|', type) FROM whence.facts FINAL FORMAT TSVRaw", m.facts},
		{"observations", "SELECT concat(source, '|', id, '|', service, '|', environment, '|', " +
			"formatDateTime(time, '%Y-%m-%dT%H:%i:%SZ')) FROM whence.observations FINAL FORMAT TSVRaw", m.observations},
	} {
		rows := strings.Split(s.ask(c.sql), "\n")
		lost, extra := len(c.want), 0
		for _, row := range rows {
			if c.want[row] {
				lost--
			} else if extra++; extra == 1 {
				t.Errorf("%s: %s was never said", c.what, row)
			}
		}
		if len(rows) != len(c.want) || lost > 0 {
			t.Errorf("%s: %d rows for %d identities", c.what, len(rows), len(c.want))
		}
	}
	if have := s.ask("SELECT count() FROM whence.conflicts FINAL"); have != strconv.Itoa(m.factTwins) {
		t.Errorf("%s conflicts for %d twins of facts", have, m.factTwins)
	}
	if have := s.ask("SELECT count() FROM whence.dead_letters"); have != "0" {
		t.Errorf("%s dead letters, such as %s", have, s.ask("SELECT reason, detail FROM whence.dead_letters LIMIT 3"))
	}
}

// contents is what every table says, provenance left out, sorted.
func (s *system) contents() map[string][]string {
	contents := map[string][]string{}
	for table, omitted := range map[string]string{
		"observations": "rewritten,", "facts": "", "conflicts": "", "services": "", "changes": "", "deployments": "", "flags": "",
		"alerts": "", "incidents": "", "findings": "", "breaches": "", "experiments": "", "builds": "", "tests": "", "artifacts": "", "other_events": "",
	} {
		rows := strings.Split(s.ask(fmt.Sprintf("SELECT * EXCEPT (%s received_at, topic, partition, offset, revision) FROM whence.%s FINAL",
			omitted, table)), "\n")
		slices.Sort(rows)
		contents[table] = rows
	}
	return contents
}

// ranked are contents and what is said of causes, once all are ranked: with
// hundreds of effects that takes minutes.
func (s *system) ranked() map[string][]string {
	s.awaitRanked()
	contents := s.contents()
	links := strings.Split(s.ask("SELECT * EXCEPT (computed_at, revision, ranking) FROM whence.links"), "\n")
	slices.Sort(links)
	contents["links"] = links
	return contents
}

// awaitRanked waits until every incident is ranked, and nothing has been ranked
// anew for longer than a worker waits before it looks for what others stored.
func (s *system) awaitRanked() {
	s.t.Helper()
	last, since := "", time.Now()
	pipelinetest.Eventually(s.t, 3*time.Minute, "rankings rest", func() error {
		now := s.ask("SELECT (SELECT count() FROM whence.incidents FINAL WHERE incident_id NOT IN (SELECT effect_id FROM whence.links)), (SELECT count() FROM whence_state.rankings)")
		if now != last {
			last, since = now, time.Now()
		}
		if !strings.HasPrefix(now, "0\t") || time.Since(since) < 12*time.Second {
			return fmt.Errorf("incidents that are not ranked, and rankings: %s", now)
		}
		return nil
	})
}

func sameContents(t *testing.T, first, contents map[string][]string) {
	t.Helper()
	for table, want := range first {
		have := contents[table]
		if slices.Equal(want, have) {
			continue
		}
		i := 0
		for i < min(len(want), len(have)) && want[i] == have[i] {
			i++
		}
		t.Errorf("whence.%s is not the same in every order: %d rows and %d, the first that differ\n%q\n%q",
			table, len(want), len(have), want[i:min(i+1, len(want))], have[i:min(i+1, len(have))])
	}
}

// equalsOracle expects that no enriched column of any row differs from the
// oracle.
func (s *system) equalsOracle() {
	s.t.Helper()
	begun := time.Now()
	s.expectNone(s.compare())
	for _, column := range enriched {
		s.t.Logf("%-17s no row differs, %s are not empty", column, s.ask(fmt.Sprintf(
			"SELECT countIf(toString(%[1]s) NOT IN ('', '[]', '{}', '0')) FROM whence.observations FINAL", column)))
	}
	s.t.Logf("the oracle took %s", time.Since(begun).Round(time.Millisecond))
}

// enriched are the columns that the timeline fills.
var enriched = []string{"deployment_id", "deployed_version", "previous_version", "deployment_age_ms", "rollout_ids", "rollout_percent",
	"change_ids", "flags", "incident_ids", "incident_severity", "finding_ids", "owner", "tier", "canonical_service", "experiments"}

// compare lists the columns in which observations differ from the oracle.
func (s *system) compare() []oracle.Column {
	s.t.Helper()
	return s.compared((*oracle.Oracle).Compare)
}

// compared computes everything once more, for one comparison.
func (s *system) compared(with func(*oracle.Oracle, context.Context) ([]oracle.Column, error)) []oracle.Column {
	s.t.Helper()
	o, err := oracle.Compute(s.t.Context(), s.query, oracle.Scope{})
	if err != nil {
		s.t.Fatal(err)
	}
	columns, err := with(o, s.t.Context())
	if err := errors.Join(err, o.Close()); err != nil {
		s.t.Fatal(err)
	}
	return columns
}

func (s *system) expectNone(columns []oracle.Column) {
	s.t.Helper()
	for _, c := range columns {
		s.t.Errorf("%s %s differs from the oracle in %d rows, such as %+v", c.Area, c.Name, c.Differing, c.Examples)
	}
}

// entitiesEqualOracle expects the entity tables and the vitals to say what the
// oracle has folded, whatever came first.
func (s *system) entitiesEqualOracle() {
	s.t.Helper()
	s.expectNone(s.compared((*oracle.Oracle).CompareVitals))
	s.expectNone(s.compared((*oracle.Oracle).CompareEntities))
	s.t.Logf("entities and vitals: compared, those of %d deployments, %d incidents, %d findings among them",
		s.count("deployments"), s.count("incidents"), s.count("findings"))
}

// neededNoCorrection expects that every row knew every fact when it was first
// written. All facts were stored before any observation.
func (s *system) neededNoCorrection() {
	s.t.Helper()
	known := s.ask("SELECT max(revision) FROM whence.facts")
	if late := s.ask("SELECT count() FROM whence.observations FINAL WHERE revision < " + known); late != "0" {
		s.t.Errorf("%s observations were enriched before the facts were folded, which had been stored before", late)
	}
	if corrected := s.ask("SELECT countIf(rewritten = 1) FROM whence.observations"); corrected != "0" {
		s.t.Errorf("%s observations were rewritten", corrected)
	}
}

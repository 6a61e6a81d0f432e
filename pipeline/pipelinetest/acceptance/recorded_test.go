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
)

func TestRecordedIncidentsGiveTheSameWinnersInEveryOrder(t *testing.T) {
	m := prepare(t)
	t.Logf("%d lines: %d facts and %d observations, %d fact twins, %d observation twins, %d duplicates, %d second sources",
		len(m.all), len(m.facts), len(m.observations), m.factTwins, m.observationTwins, m.duplicates, m.secondSources)
	orders := []struct {
		name, file string
		lines      []said
	}{
		{"the order of the files", "ordered.jsonl", m.all},
		{"shuffle 1", "shuffled.jsonl.gz", m.shuffled(1)},
		{"shuffle 2", "shuffled.jsonl", m.shuffled(2)},
		{"shuffle 3", "shuffled.jsonl.gz", m.shuffled(3)},
	}
	var first map[string][]string
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			s := up(t, t.TempDir())
			s.publish(file(t, order.file, order.lines))
			s.awaitQuiet()
			s.holdsLaw2()
			m.isStored(t, s)
			contents := s.contents()
			if first == nil {
				first = contents
			}
			sameContents(t, first, contents)
			s.printWaiting()
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
	enriched := "deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, " +
		"flags, incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments, "
	contents := map[string][]string{}
	for table, omitted := range map[string]string{
		"observations": enriched, "facts": "", "conflicts": "", "services": "", "changes": "", "deployments": "", "flags": "",
		"alerts": "", "incidents": "", "findings": "", "experiments": "", "builds": "", "tests": "", "artifacts": "",
	} {
		rows := strings.Split(s.ask(fmt.Sprintf("SELECT * EXCEPT (%s received_at, topic, partition, offset, revision) FROM whence.%s FINAL",
			omitted, table)), "\n")
		slices.Sort(rows)
		contents[table] = rows
	}
	return contents
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

// equalsOracle prints for every enriched column how many rows differ from the
// oracle, and expects none. All facts were stored before any observation.
func (s *system) equalsOracle() {
	s.t.Helper()
	known := s.ask("SELECT max(revision) FROM whence.facts")
	if late := s.ask("SELECT count() FROM whence.observations FINAL WHERE revision < " + known); late != "0" {
		s.t.Errorf("%s observations were enriched before the facts were folded, which had been stored before", late)
	}
	for _, column := range enriched {
		s.t.Logf("%-17s %s rows are not empty", column, s.ask(fmt.Sprintf(
			"SELECT countIf(toString(%[1]s) NOT IN ('', '[]', '{}', '0')) FROM whence.observations FINAL", column)))
	}
	begun := time.Now()
	columns := s.compare()
	s.t.Logf("the oracle took %s", time.Since(begun).Round(time.Millisecond))
	s.expectNone(columns)
}

// enriched are the columns that the timeline fills.
var enriched = []string{"deployment_id", "deployed_version", "previous_version", "deployment_age_ms", "rollout_ids", "rollout_percent",
	"change_ids", "flags", "incident_ids", "incident_severity", "finding_ids", "owner", "tier", "canonical_service", "experiments"}

// compare lists the columns in which observations differ from the oracle.
func (s *system) compare() []oracle.Column {
	s.t.Helper()
	return s.differing((*oracle.Oracle).Compare)
}

// differing computes everything once more, for one comparison.
func (s *system) differing(compare func(*oracle.Oracle, context.Context) ([]oracle.Column, error)) []oracle.Column {
	s.t.Helper()
	o, err := oracle.Compute(s.t.Context(), s.query, oracle.Scope{})
	if err != nil {
		s.t.Fatal(err)
	}
	columns, err := compare(o, s.t.Context())
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

// entitiesEqualOracle expects the entity tables to say what the oracle has
// folded, whatever came first.
func (s *system) entitiesEqualOracle() {
	s.t.Helper()
	s.expectNone(s.differing((*oracle.Oracle).CompareEntities))
	s.t.Logf("entities: compared those of %d deployments, %d incidents, %d findings",
		s.count("deployments"), s.count("incidents"), s.count("findings"))
}

// printWaiting says how many rows wait for corrections: they were written
// before all that concerns them was known. It checks what needs no correction.
func (s *system) printWaiting() {
	s.t.Helper()
	var waiting []string
	for _, c := range s.compare() {
		if c.Differing > 0 {
			waiting = append(waiting, fmt.Sprintf("%s %d", c.Name, c.Differing))
		}
		if c.Name == "row" && c.Differing > 0 {
			s.t.Errorf("whence.events and whence.observations are not of the same rows: %+v", c.Examples)
		}
	}
	s.t.Logf("rows that wait for corrections: %s", strings.Join(append(waiting, "of "+s.ask("SELECT count() FROM whence.observations FINAL")), ", "))
}

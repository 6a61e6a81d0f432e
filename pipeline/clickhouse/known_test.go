package clickhouse

import (
	"slices"
	"strings"
	"testing"
	"time"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// What is told as of a moment is what the tables said then: each step is known
// from a moment of its own, and what comes later changes none of the answers.
func TestEntitiesAsOfAMomentAreWhatTheirTablesSaidThen(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence_state.batches", "whence_state.epochs")...)
	scan := func(id string, second int64, findings string) event.Fact {
		return said(id, "scan.completed", second, `{"tool":"bandit","target":"shop","scan_id":"`+id+`","findings":[`+findings+`]}`)
	}
	moments := []string{"2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"}
	steps := [][]event.Fact{
		{
			said("i1", "incident.opened", 100, `{"incident_id":"x","service":"shop","environment":"production","severity":"low","title":"slow"}`),
			said("d1", "deployment.started", 50, `{"deployment_id":"x","service":"shop","environment":"production","version":"2","percent":50}`),
			said("a1", "alert.resolved", 130, `{"alert_id":"x","service":"shop","environment":"production"}`),
			said("b1", "breach.detected", 90, `{"breach_id":"x","service":"shop","environment":"production","severity":"high","actor":"mallory"}`),
			scan("s1", 40, `{"finding_id":"x","kind":"vulnerability","rule":"R","severity":"low"}`),
			said("f1", "finding.opened", 60, `{"finding_id":"y","kind":"audit","rule":"R","severity":"low","service":"shop"}`),
		},
		{
			said("i2", "incident.resolved", 200, `{"incident_id":"x","service":"shop","environment":"production","severity":"critical","title":"down","started_at":"`+moment(80)+`"}`),
			said("d2", "deployment.finished", 150, `{"deployment_id":"x","service":"shop","environment":"production","version":"2","outcome":"rolled_back"}`),
			said("a2", "alert.fired", 100, `{"alert_id":"x","service":"shop","environment":"production","severity":"high","summary":"errors"}`),
			said("b2", "breach.contained", 300, `{"breach_id":"x","service":"shop","environment":"production","severity":"high"}`),
			said("f2", "finding.remediated", 400, `{"finding_id":"y","kind":"audit","rule":"R","severity":"low"}`),
		},
		{
			said("i3", "incident.reopened", 250, `{"incident_id":"x","service":"shop","environment":"production","severity":"high"}`),
			said("r", "fact.retracted", 260, `{"retracts":{"source":"test","id":"d2"}}`),
		},
	}
	kinds := []string{"incident", "deployment", "alert", "breach", "finding"}
	id := map[string]string{"incident": "incident_id", "deployment": "deployment_id", "alert": "alert_id", "breach": "breach_id", "finding": "finding_id"}
	const columns = "SELECT * EXCEPT (source, id, type, time, received_at, topic, partition, offset, revision), time FROM "
	table := func(kind string) []string {
		return lines(t, client, columns+"whence."+tables.EntityKinds()[kind]+" FINAL ORDER BY "+id[kind])
	}
	must(t, client.exec(t.Context(), "INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (0, '00000000-0000-0000-0000-000000000001')", nil))
	then := make([]map[string][]string, len(steps))
	for i, facts := range steps {
		at, err := time.Parse(time.RFC3339, moments[i])
		must(t, err)
		for j := range facts {
			facts[j].ReceivedAt = event.MillisOf(at)
		}
		tell(t, client, 100, facts...)
		must(t, client.exec(t.Context(), `INSERT INTO whence_state.batches (topic_id, topic, partition, from_offset, to_offset, written_at)
			SELECT toUUID('00000000-0000-0000-0000-000000000001'), 'context', 0, 0, max(revision) + 1, parseDateTime64BestEffort('`+moments[i]+`', 3, 'UTC') FROM whence_state.fact_contents`, nil))
		then[i] = map[string][]string{}
		for _, kind := range kinds {
			then[i][kind] = table(kind)
		}
	}
	for i, at := range moments {
		for _, kind := range kinds {
			known := lines(t, client, "SELECT * EXCEPT (time, revision), time FROM ("+tables.EntitiesKnown(kind, at, []string{"x", "y"})+") ORDER BY "+id[kind])
			if !slices.Equal(known, then[i][kind]) || len(known) == 0 {
				t.Errorf("%ss as of %s:\n%s\nwant\n%s", kind, at, strings.Join(known, "\n"), strings.Join(then[i][kind], "\n"))
			}
		}
	}
	for _, kind := range kinds {
		expect(t, client, "SELECT count() FROM ("+tables.EntitiesKnown(kind, "2029-12-31T23:59:59Z", []string{"x", "y"})+")", "0")
	}
}

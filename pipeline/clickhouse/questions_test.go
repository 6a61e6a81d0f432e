package clickhouse

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func TestEventsShowsFactsObservationsAndOthersInOneShape(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence.other_events")...)
	tell(t, client, 1, said("a-fact", "flag.changed", 1, `{"environment":"production","flag":"f","rules":{"on":1}}`))

	o := observation("behavior", 1, event.MinTime)
	o.ID, o.User, o.OK, o.DurationMS, o.Weight = "an-action", `u/"1"`, event.False, 1.5, 1e-7
	o.Attributes, o.Extra = []event.Pair{{Key: "plan", Value: "a/b"}}, `{"basket":[1,"x"],"zone":"eu"}`
	failure := observation("behavior", 2, event.MinTime)
	failure.ID, failure.Type, failure.Name = "an-error", "io.whence.error.occurred", "error.occurred"
	failure.Fingerprint, failure.Frames = "f", []string{"main.go:1", `{"line":2}`}
	measured := observation("behavior", 3, event.MinTime)
	measured.ID, measured.Type, measured.Name = "a-measurement", "io.whence.service.measured", "service.measured"
	measured.IntervalMS, measured.SuccessRatio = 60000, 0.25
	block := tables.NewObservations()
	for _, o := range []*event.Observation{o, failure, measured} {
		block.Append(o, bare)
	}
	must(t, client.Insert(t.Context(), block, "events"))
	others := tables.NewOthers()
	others.Append(&event.Other{Event: event.Event{ID: "another", Source: "x", Type: "com.example", Time: event.MinTime}, Data: `{"a":1}`})
	must(t, client.Insert(t.Context(), others, "events"))

	expect(t, client, "SELECT id, service, environment, data FROM whence.events ORDER BY id",
		`a-fact		production	{"environment":"production","flag":"f","rules":{"on":1}}`,
		`a-measurement	shop	production	{"environment":"production","interval_ms":60000,"service":"shop","success_ratio":0.25}`,
		`an-action	shop	production	{"attributes":{"plan":"a/b"},"basket":[1,"x"],"duration_ms":1.5,"environment":"production","name":"checkout","ok":false,"service":"shop","user":"u/\"1\"","weight":1e-7,"zone":"eu"}`,
		`an-error	shop	production	{"environment":"production","fingerprint":"f","frames":["main.go:1",{"line":2}],"service":"shop"}`,
		`another			{"a":1}`)
}

func TestIncidentCandidatesAreWhatWasInProgressOrRecentOnTheServiceAndWhatItNeeds(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	const dayOf = 24 * 3600
	deployment := func(id, service string, start, end int64) []event.Fact {
		data := `{"deployment_id":"` + id + `","service":"` + service + `","environment":"production","version":"v2"`
		facts := []event.Fact{
			said(id+"1", "deployment.started", start, data+"}"),
			said(id+"2", "deployment.progressed", start+60, data+`,"percent":25}`),
		}
		if end > 0 {
			facts = append(facts, said(id+"3", "deployment.finished", end, data+`,"percent":100,"outcome":"success"}`))
		}
		return facts
	}
	onset := int64(10 * dayOf)
	facts := slices.Concat(
		[]event.Fact{
			said("s1", "service.declared", 1, `{"service":"shop","environment":"production","depends_on":["cart"]}`),
			said("s2", "service.declared", 1, `{"service":"cart","depends_on":["database"]}`),
			said("f", "flag.changed", onset-30, `{"flag":"new-cart","environment":"production","services":["cart"],"rules":{"on":5}}`),
			said("elsewhere", "flag.changed", onset-30, `{"flag":"other","environment":"staging","rules":{"on":5}}`),
			said("m", "migration.applied", onset-600, `{"change_id":"m","service":"database","environment":"production","summary":"new index"}`),
			said("i", "infrastructure.changed", onset-700, `{"change_id":"kernel","environment":"production","summary":"new kernel"}`),
			said("x", "incident.opened", onset+120, fmt.Sprintf(`{"incident_id":"x","service":"shop","environment":"production","severity":"high","started_at":%q}`,
				(event.MinTime+event.Millis(onset*1000)).Time().Format(time.RFC3339))),
		},
		deployment("in-progress", "shop", onset-300, 0),
		deployment("ends-later", "cart", onset-30, onset+300),
		deployment("recent", "shop", onset-3*dayOf, onset-dayOf/2),
		deployment("long-over", "shop", onset-3*dayOf, onset-2*dayOf),
		deployment("unrelated", "blog", onset-60, onset-30),
		deployment("just-after", "shop", onset+60, 0),
		deployment("afterwards", "shop", onset+3600, 0),
	)
	tell(t, client, 5, facts...)
	expect(t, client, "SELECT cause_kind, cause_id, service, relation, state, lag_seconds, percent FROM whence.incident_candidates WHERE incident_id = 'x' ORDER BY cause_kind, cause_id",
		"deployment\tends-later\tcart\tdependency\tin_progress\t30\t∅",
		"deployment\tin-progress\tshop\tsame service\tin_progress\t300\t25",
		"deployment\tjust-after\tshop\tsame service\tin_progress\t-60\t0",
		"deployment\trecent\tshop\tsame service\tsuccess\t259200\t100",
		"deployment\tunrelated\tblog\tsame environment\tsuccess\t60\t100",
		"flag\tnew-cart\tcart\tdependency\tdone\t30\t∅",
		"infrastructure\tkernel\t\tno service\tdone\t700\t∅",
		"migration\tm\tdatabase\tindirect dependency\tdone\t600\t∅")
}

func TestDeploymentImpactComparesBeforeAndAfter(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations")...)
	tell(t, client, 5,
		said("c", "change.merged", 1000, `{"change_id":"c","repository":"shop","revision":"r","title":"faster","merged_at":"2000-01-01T00:20:00Z","commits":[{"revision":"q","authored_at":"2000-01-01T00:10:00Z"}]}`),
		said("d1", "deployment.started", 3600, `{"deployment_id":"d","service":"shop","environment":"production","version":"v2","revisions":["r","q"]}`),
		said("d2", "deployment.finished", 3700, `{"deployment_id":"d","service":"shop","environment":"production","version":"v2","outcome":"success"}`))
	block := tables.NewObservations()
	for i := range 40 {
		o := observation("impact", i, event.MinTime+event.Millis(3600*1000+(i-20)*75*1000))
		after := i > 20
		o.OK, o.DurationMS = event.True, 100
		if after {
			o.DurationMS = 300
			if i%4 == 0 {
				o.OK = event.False
			}
		}
		block.Append(o, bare)
	}
	must(t, client.Insert(t.Context(), block, "impact"))
	expect(t, client, "SELECT deployment_id, requests_before, requests_after, error_rate_before, round(error_rate_after, 3), p95_ms_before, p95_ms_after FROM whence.deployment_impact",
		"d\t20\t19\t0\t0.211\t100\t300")
	expect(t, client, "SELECT change_id, title, deployment_id, environment, state, lead_time_seconds FROM whence.what_shipped",
		"c\tfaster\td\tproduction\tsuccess\t3100")
	expect(t, client, "SELECT sum(observations), sum(requests_seen), max(p95_ms) FROM whence.service_minutes", "40\t40\t300")
}

// Recorded rollouts, each case with its answer: the change that was to blame.
func TestTheChangeToBlameIsAmongTheCandidatesOfEveryRecordedRollout(t *testing.T) {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	cases := filepath.Join(shared, "data", "rollouts", "at-1m")
	text, err := os.ReadFile(filepath.Join(cases, "answers.json"))
	if err != nil {
		t.Skipf("the recorded rollouts are not here (%v): set WHENCE_SHARED", err)
	}
	var answers map[string]struct {
		DeploymentID string `json:"deployment_id"`
	}
	must(t, json.Unmarshal(text, &answers))
	client := connect(t)
	empty(t, client, factTables()...)
	for name := range answers {
		tell(t, client, 100, recordedFacts(t, filepath.Join(cases, name+".jsonl.gz"))...)
	}
	found := lines(t, client, "SELECT DISTINCT environment, cause_id FROM whence.incident_candidates WHERE relation != 'same environment'")
	for name, answer := range answers {
		if !slices.Contains(found, name+"\t"+answer.DeploymentID) {
			t.Errorf("%s: %s is no candidate", name, answer.DeploymentID)
		}
	}
}

func recordedFacts(t *testing.T, path string) []event.Fact {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	must(t, err)
	var facts []event.Fact
	lines := bufio.NewScanner(unzipped)
	for lines.Scan() {
		var e struct {
			ID, Source, Type string
			Time             time.Time
			Data             json.RawMessage
		}
		must(t, json.Unmarshal(lines.Bytes(), &e))
		if registered := event.Lookup(e.Type); registered == nil || registered.Observation {
			continue
		}
		f := said(e.ID, e.Type[len(event.Prefix):], 0, string(e.Data))
		h := fnv.New64a()
		h.Write(lines.Bytes())
		f.Source, f.Time, f.Hash = e.Source, event.MillisOf(e.Time), h.Sum64()
		facts = append(facts, f)
	}
	must(t, lines.Err())
	return facts
}

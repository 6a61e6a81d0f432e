package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/processors/notify"
)

// realTables are the tables in an engine of the test's own.
func realTables(t *testing.T) *clickhouse.Client {
	t.Helper()
	if _, err := engine.FindLibrary(); err != nil {
		t.Skip("the engine library is not installed: run `make engine`")
	}
	child, err := engine.Start(t.Context(), engine.ChildConfig{Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Stop)
	store, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: "http://" + child.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if err := store.Migrate(t.Context(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestWhatWasToldIsReadBackAndOfAMessageTheLastWordCounts(t *testing.T) {
	at := time.UnixMilli(1_773_316_800_123)
	store := notices{realTables(t)}
	first := notify.Notice{
		Target: "it's ops", Kind: "incident", ID: `inc-1 \ 'x'`, Thread: "incident/inc-1", Key: "k1", Number: 3,
		LeaderKind: "deployment", LeaderID: "v2\nline", Probability: 0.1234567890123, ToldAt: 1_773_316_800_123, Opened: true, Pending: true, Version: 7,
	}
	told := first
	told.Pending, told.Place, told.Version = false, "C1/17.01", 8
	second := notify.Notice{Target: "hook", Kind: "alert", ID: "a", Key: "k2", ToldAt: 1_773_316_800_124, Summed: true, Version: 1}
	for _, some := range [][]notify.Notice{{told, second}, {first}} { // the earlier one comes again
		if err := store.Tell(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	have, err := store.Notices(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]notify.Notice{second, told}, have); diff != "" {
		t.Error(diff)
	}
	if have, err = store.Notices(t.Context(), at.Add(2*time.Millisecond)); err != nil || len(have) != 0 {
		t.Errorf("told later: %v, %v", have, err)
	}
}

func TestRankingsToBeToldAreTheCurrentOnesWithWhatTheirEffectsAreCalled(t *testing.T) {
	client := realTables(t)
	for _, statement := range []string{
		`INSERT INTO whence.incidents (incident_id, title, severity, revision) VALUES ('inc-1', 'Cards are declined', 'critical', 1)`,
		`INSERT INTO whence.alerts (alert_id, summary, incident_id, revision) VALUES ('a-1', 'errors', 'inc-1', 1)`,
		rankingRow("incident", "inc-1", 1, "'2026-03-12 12:00:00.000'"),
		rankingRow("incident", "inc-1", 2, "'2026-03-12 12:01:00.000'"),
		rankingRow("alert", "a-1", 1, "'2026-03-12 12:01:00.000'"),
		rankingRow("breach", "b-1", 1, "'2026-03-12 12:01:00.000'"),
		rankingRow("incident", "long-ago", 1, "'2026-03-12 10:00:00.000'"),
		`INSERT INTO whence_state.rankings (effect_kind, effect_id, number, computed_at) VALUES ('incident', 'gone', 1, '2026-03-12 12:01:00.000')`,
	} {
		if _, err := client.Ask(t.Context(), statement, map[string]string{"session_timezone": "UTC"}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := notices{client}.Rankings(t.Context(), time.Date(2026, 3, 12, 11, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]notify.Ranking{}
	for _, r := range all {
		byID[r.ID] = r
	}
	want := notify.Ranking{
		Kind: "incident", ID: "inc-1", Service: "payments", Environment: "production", Title: "Cards are declined", Severity: "critical",
		Onset: 1_773_316_620_000, Detected: 1_773_316_800_000, ComputedAt: 1_773_316_860_000, Number: 2,
		Links: []notify.Link{
			{Kind: "deployment", ID: "v2", Service: "payments", Rank: 1, Probability: 0.75, Words: []string{"new instances fail", "it is near"}},
			{Kind: "none", Rank: 2, Probability: 0.25},
		},
	}
	if diff := cmp.Diff(want, byID["inc-1"]); diff != "" {
		t.Error(diff)
	}
	if a := byID["a-1"]; a.Incident != "inc-1" || a.Title != "errors" || len(all) != 3 {
		t.Errorf("alert %+v among %d", a, len(all))
	}
}

func rankingRow(kind, id string, number int, at string) string {
	return fmt.Sprintf(`INSERT INTO whence_state.rankings (effect_kind, effect_id, number, service, environment, onset, detected, computed_at,
		links.cause_kind, links.cause_id, links.service, links.rank, links.probability, links.log_odds, links.evidence)
	SELECT '%s', '%s', %d, 'payments', 'production', '2026-03-12 11:57:00.000', '2026-03-12 12:00:00.000', %s,
		['deployment', 'none'], ['v2', ''], ['payments', ''], [1, 2], [0.75, 0.25], [1.1, 0],
		['[{"term":"prior","value":1,"weight":9,"words":"a deployment"},{"term":"age","value":1,"weight":0.5,"words":"it is near","sql":"SELECT 1"},{"term":"far","value":1,"weight":-1,"words":"it is far","sql":"SELECT 1"},{"term":"step","value":1,"weight":2,"words":"new instances fail","sql":"SELECT 1"}]', '[]']`,
		kind, id, number, at)
}

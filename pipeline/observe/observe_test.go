package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, m *Metrics, h *Health, opts ...Option) (ask func(path string) (int, string)) {
	t.Helper()
	s, err := Serve("127.0.0.1:0", m, h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		res, err := client.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}

func TestEveryMethodShowsInTheMetrics(t *testing.T) {
	at := event.MillisOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	observation := func(delay event.Millis) event.Observation {
		return event.Observation{Event: event.Event{Time: at - delay}, Provenance: event.Provenance{ReceivedAt: at}}
	}
	m := NewMetrics()
	m.Consumed("whence.delivery", 10, 2000)
	m.Lag("whence.delivery", 1, 42)
	m.SessionEnded("events", io.EOF)
	m.PartitionStopped("whence.delivery", 2, io.EOF)
	m.Stored(&pipeline.Batch{
		Topic:        "whence.delivery",
		Records:      make([]pipeline.Record, 10),
		Facts:        make([]event.Fact, 1),
		Observations: []event.Observation{observation(9000), observation(3000), observation(3600_000)},
		Enrichments:  make([]event.Enrichment, 3),
		Others:       make([]event.Other, 4),
		Dead:         []pipeline.DeadLetter{{Reason: pipeline.ReasonMalformed}, {Reason: pipeline.ReasonMalformed}},
	}, 20*time.Millisecond)
	m.Stored(&pipeline.Batch{Topic: "t", Observations: []event.Observation{observation(-60_000)}}, time.Second)
	m.Inserted("observations", 8, 20*time.Millisecond)
	m.InsertFailed("observations")
	m.InsertedLate("observations")
	m.Context(1<<40|7, 100)
	m.FarAhead("whence.delivery", 2)
	m.Answered("/hooks/github", 200, 20*time.Millisecond, 512, 1)
	m.Taking(3, 4096)
	m.Forgotten(30, 70)
	m.Fetched(5, 250*time.Millisecond)

	status, body := serve(t, m, NewHealth())("/metrics")
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	for _, want := range []string{
		`whence_records_consumed_total{topic="whence.delivery"} 10`,
		`whence_bytes_consumed_total{topic="whence.delivery"} 2000`,
		`whence_lag_records{partition="1",topic="whence.delivery"} 42`,
		`whence_sessions_ended_total{role="events"} 1`,
		`whence_partition_stopped{partition="2",topic="whence.delivery"} 1`,
		`whence_events_stored_total{kind="fact",topic="whence.delivery"} 1`,
		`whence_events_stored_total{kind="observation",topic="whence.delivery"} 3`,
		`whence_events_stored_total{kind="other",topic="whence.delivery"} 4`,
		`whence_observations_enriched_total 3`,
		`whence_records_dead_lettered_total{reason="malformed"} 2`,
		`whence_events_ahead_total 1`,
		`whence_events_far_ahead_total{topic="whence.delivery"} 2`,
		`whence_event_delay_seconds_sum 3`,
		`whence_event_delay_seconds_count 2`,
		`whence_batch_records_sum 10`,
		`whence_batch_seconds_sum 1.02`,
		`whence_rows_inserted_total{table="observations"} 8`,
		`whence_insert_seconds_sum{table="observations"} 0.02`,
		`whence_insert_errors_total{table="observations"} 1`,
		`whence_inserts_late_total{table="observations"} 1`,
		`whence_context_revision 1.099511627783e+12`,
		`whence_context_facts 70`,
		`whence_context_facts_forgotten_total 30`,
		`whence_context_facts_fetched_total 5`,
		`whence_context_fetch_seconds_sum 0.25`,
		`whence_ingest_requests_total{endpoint="/hooks/github",status="200"} 1`,
		`whence_ingest_request_seconds_sum{endpoint="/hooks/github"} 0.02`,
		`whence_ingest_bytes_total{endpoint="/hooks/github"} 512`,
		`whence_ingest_records_total{endpoint="/hooks/github"} 1`,
		`whence_ingest_requests_running 3`,
		`whence_ingest_bytes_in_flight 4096`,
		`go_goroutines`,
		`process_resident_memory_bytes`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no line %s", want)
		}
	}
}

func TestEventsOfEveryKindThatAreFarAheadOfTheirRecordsAreCounted(t *testing.T) {
	received := event.MillisOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	near, far := received+event.Millis(FarAhead.Milliseconds()), event.MillisOf(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	at := event.Provenance{ReceivedAt: received}
	ahead := AheadIn(&pipeline.Batch{
		Facts:        []event.Fact{{Event: event.Event{ID: "late", Time: received - 1}, Provenance: at}, {Event: event.Event{ID: "fact", Time: far}, Provenance: at}},
		Observations: []event.Observation{{Event: event.Event{Time: near}, Provenance: at}, {Event: event.Event{Time: near + 1}, Provenance: at}},
		Others:       []event.Other{{Event: event.Event{Time: far}, Provenance: at}, {Event: event.Event{ID: "of a record without a time", Time: near}}},
	})
	if ahead.Events != 3 || ahead.First.ID != "fact" || ahead.ReceivedAt != received {
		t.Errorf("%+v", ahead)
	}
	if none := AheadIn(&pipeline.Batch{}); none.Events != 0 {
		t.Errorf("in nothing: %+v", none)
	}
}

func TestALostPartitionReportsNoLag(t *testing.T) {
	m := NewMetrics()
	m.Lag("t", 0, 5)
	m.Lost("t", 0)
	if _, body := serve(t, m, NewHealth())("/metrics"); strings.Contains(body, "whence_lag_records{") {
		t.Error("the lag of a partition that is another worker's is still there")
	}
}

func TestHealthSaysWhyNot(t *testing.T) {
	h := NewHealth()
	ask := serve(t, NewMetrics(), h)
	for _, step := range []struct {
		do          func()
		path        string
		status      int
		body        string
		description string
	}{
		{func() {}, "/readyz", 503, "starting\n", "a worker that starts"},
		{func() {}, "/livez", 200, "ok\n", "a worker that starts"},
		{h.Ready, "/readyz", 200, "ok\n", "a ready worker"},
		{func() { h.Waiting("clickhouse is away") }, "/readyz", 503, "clickhouse is away\n", "a worker that waits"},
		{func() {}, "/livez", 200, "ok\n", "a worker that waits"},
		{func() { h.Broken(errors.New("offsets lost")) }, "/livez", 503, "offsets lost\n", "a broken worker"},
		{func() {}, "/readyz", 503, "offsets lost\n", "a broken worker"},
	} {
		step.do()
		if status, body := ask(step.path); status != step.status || body != step.body {
			t.Errorf("%s: %s says %d %q, want %d %q", step.description, step.path, status, body, step.status, step.body)
		}
	}
}

func TestProfilesAreThereOnlyWhenAskedFor(t *testing.T) {
	for on, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		if status, _ := serve(t, NewMetrics(), NewHealth(), WithPprof(on))("/debug/pprof/cmdline"); status != want {
			t.Errorf("pprof %v: status %d, want %d", on, status, want)
		}
	}
}

func TestATakenAddressIsNamed(t *testing.T) {
	s, err := Serve("127.0.0.1:0", NewMetrics(), NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	if _, err := Serve(s.Addr(), NewMetrics(), NewHealth()); err == nil || !strings.Contains(err.Error(), "observe.listen "+s.Addr()) {
		t.Error(err)
	}
}

func TestALogLineIsOneJSONObject(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not this")
	log.Named("kafka").Info("batch stored", zap.Int("rows", 3), zap.Duration("took", 1500*time.Millisecond))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for key, want := range map[string]any{"level": "info", "logger": "kafka", "message": "batch stored", "rows": 3., "took": 1.5} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

func TestAConsoleLineIsForPeople(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "debug", "console")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("batch stored", zap.Int("rows", 3))
	if got := out.String(); !strings.HasSuffix(got, "  info  batch stored  {\"rows\": 3}\n") {
		t.Errorf("%q", got)
	}
}

func TestUnknownLevelsAndFormatsAreNamed(t *testing.T) {
	if _, err := NewLogger(io.Discard, "loud", "json"); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Error(err)
	}
	if _, err := NewLogger(io.Discard, "info", "xml"); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Error(err)
	}
}

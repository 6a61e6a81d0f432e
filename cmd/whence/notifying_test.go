package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/observe"
)

// told is what the webhook was sent.
type told struct {
	Action, Thread string
	Effect         struct{ Kind, ID, Title string }
	Hypotheses     []struct {
		Kind string `json:"cause_kind"`
		ID   string `json:"cause_id"`
	}
}

// A deployment, and an incident a minute later: the worker ranks, the webhook is
// told, and whence why tells the same with terms that add up and statements that
// return them.
func TestAWorkerTellsAWebhookWhatAnIncidentIsBlamedOnAndWhyTellsTheRest(t *testing.T) {
	if _, err := engine.FindLibrary(); err != nil {
		t.Skip("the engine library is not installed: run `make engine`")
	}
	messages := make(chan told, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m told
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &m); err != nil || r.Header.Get("Whence-Signature") == "" {
			t.Errorf("the webhook got %s, %v", text, err)
		}
		messages <- m
	}))
	defer hook.Close()
	t.Setenv("HOOK", hook.URL)
	t.Setenv("HOOK_SECRET", "hunter2")
	file := filepath.Join(t.TempDir(), "worker.yaml")
	settings := "notify:\n  settle: 1ms\n  targets: [{name: hook, kind: webhook, url_env: HOOK, secret_env: HOOK_SECRET, effects: [incident]}]\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	at := upWith(t, file)
	now := time.Now().UTC()
	publishLines(t, at,
		eventLine(`"id":"1","type":"io.whence.deployment.started"`, now.Add(-3*time.Minute), `"deployment_id":"payments-4.2.0","service":"payments","environment":"production","version":"4.2.0"`),
		eventLine(`"id":"2","type":"io.whence.incident.opened"`, now.Add(-time.Minute), `"incident_id":"inc-1","service":"payments","environment":"production","title":"Cards are declined"`))
	select {
	case m := <-messages:
		if m.Action != "opened" || m.Thread != "incident/inc-1" || m.Effect.Title != "Cards are declined" || len(m.Hypotheses) != 2 {
			t.Errorf("told %+v", m)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody was told")
	}
	checkStory(t, at)
}

// upWith runs the whole pipeline until the test ends.
func upWith(t *testing.T, file string) addresses {
	t.Helper()
	o := upOptions{Data: t.TempDir(), ListenKafka: "127.0.0.1:0", ListenClickHouse: "127.0.0.1:0"}
	cfg, err := o.configure(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan addresses, 1), make(chan error, 1)
	go func() {
		ended <- runUp(ctx, cfg, o, zap.NewNop(), observe.NewMetrics(), observe.NewHealth(), func(at addresses) { ready <- at })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case at := <-ready:
		return at
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return addresses{}
}

func eventLine(what string, at time.Time, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","source":"test",%s,"time":"%s","data":{%s}}`, what, at.Format(time.RFC3339Nano), data)
}

func publishLines(t *testing.T, at addresses, lines ...string) {
	t.Helper()
	cfg := config.Default().Kafka
	cfg.Seeds = strings.Split(at.Kafka, ",")
	for _, line := range lines {
		if err := publishOne(t.Context(), cfg, []byte(line), time.Minute, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
}

func checkStory(t *testing.T, at addresses) {
	t.Helper()
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"why", "inc-1", "--json", "--clickhouse", at.ClickHouse}, nil, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var story struct{ Hypotheses []why.Hypothesis }
	if err := json.Unmarshal([]byte(out.String()), &story); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, h := range story.Hypotheses {
		sum += h.Probability
		if math.Abs(h.Sum-h.LogOdds) > 1e-9 {
			t.Errorf("%s: terms add up to %v, stated is %v", h.Name(), h.Sum, h.LogOdds)
		}
		for _, term := range h.Evidence {
			checkTerm(t, at, term)
		}
	}
	if math.Abs(sum-1) > 1e-9 || len(story.Hypotheses) < 2 {
		t.Errorf("%d hypotheses have %v together", len(story.Hypotheses), sum)
	}
}

func checkTerm(t *testing.T, at addresses, term why.Term) {
	t.Helper()
	if term.SQL == "" {
		return
	}
	var answer strings.Builder
	if err := (query{sql: term.SQL, format: "TabSeparated"}).run(t.Context(), clickHouseFlags{url: at.ClickHouse}, &answer); err != nil {
		t.Errorf("%s: %v", term.Name, err)
		return
	}
	var value float64
	if _, err := fmt.Sscan(answer.String(), &value); err != nil || math.Abs(value-term.Value) > 1e-6 {
		t.Errorf("%s: shown is %v, the statement returns %s, %v\n%s", term.Name, term.Value, answer.String(), err, term.SQL)
	}
}

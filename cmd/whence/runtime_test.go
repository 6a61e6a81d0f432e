package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	logs "go.uber.org/zap/zaptest/observer"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/observe"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// A worker that is paused in the middle of an insert wakes up when others have
// its partitions.
func TestAnInsertThatIsAcknowledgedToAWorkerWithoutPartitionsIsCounted(t *testing.T) {
	s := sink{metrics: observe.NewMetrics()}
	var over error
	ctx := pipeline.WithFence(t.Context(), func() error { return over })
	for _, lost := range []error{nil, errors.New("the lease is over")} {
		over = nil
		err := s.counted(ctx, tables.NewObservations(), "token", func(context.Context, tables.Block, string) error {
			over = lost // while it is under way
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(s.metrics.Registry(), promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if want := `whence_inserts_late_total{table="whence.observations"} 1`; !strings.Contains(answer.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, answer.Body)
	}
}

func TestEventsOfTheFutureAreWarnedOfOnceAMinute(t *testing.T) {
	core, logged := logs.New(zap.WarnLevel)
	o := observer{Metrics: observe.NewMetrics(), ahead: sparing(zap.New(core))}
	now, then := event.MillisOf(time.Now()), event.MillisOf(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	batch := func(at event.Millis) *pipeline.Batch {
		return &pipeline.Batch{Topic: "whence.delivery", Facts: []event.Fact{{
			Event: event.Event{ID: "d1", Source: "ci", Type: "io.whence.deployment.started", Time: at}, Provenance: event.Provenance{ReceivedAt: now},
		}}}
	}
	o.warnOfTheFuture(batch(now))
	if logged.Len() != 0 {
		t.Errorf("an event of now is warned of: %v", logged.All())
	}
	for range 3 {
		o.warnOfTheFuture(batch(then))
	}
	if logged.Len() != 1 {
		t.Fatalf("%d warnings of three batches", logged.Len())
	}
	for key, want := range map[string]any{"topic": "whence.delivery", "source": "ci", "id": "d1", "time": then.Time()} {
		if got := logged.All()[0].ContextMap()[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

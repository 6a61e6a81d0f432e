package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/observe"
	tables "github.com/whencehq/whence/schemas/clickhouse"

	"github.com/prometheus/client_golang/prometheus/promhttp"
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

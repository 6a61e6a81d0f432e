package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func TestEachMinuteOfAServiceInAnEnvironmentIsTouchedOnceWithItsRows(t *testing.T) {
	at := event.MinTime + 90*60_000 // half past one
	said := func(service, environment string, after event.Millis) event.Observation {
		return event.Observation{Event: event.Event{Time: at + after}, Service: service, Environment: environment}
	}
	got := touched([]event.Observation{
		said("shop", "production", 0),
		said("shop", "production", 59_999),
		said("cart", "production", 0),
		said("shop", "production", 60_000),
		said("", "", 0), // an anonymous visitor turned out to be a user
		said("shop", "staging", 1),
		said("shop", "production", 1),
	})
	want := []tables.Minute{
		{Service: "shop", Environment: "production", Start: at, Rows: 3},
		{Service: "cart", Environment: "production", Start: at, Rows: 1},
		{Service: "shop", Environment: "production", Start: at + 60_000, Rows: 1},
		{Service: "shop", Environment: "staging", Start: at, Rows: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTouchesDifferByBatchAndByMinuteAndAreTheSameForTheSame(t *testing.T) {
	minute := tables.Minute{Service: "shop", Environment: "production", Start: event.MinTime}
	first := touch("token", &minute)
	for name, other := range map[string]uint64{
		"batch":       touch("another", &minute),
		"service":     touch("token", &tables.Minute{Service: "cart", Environment: "production", Start: event.MinTime}),
		"environment": touch("token", &tables.Minute{Service: "shop", Environment: "staging", Start: event.MinTime}),
		"boundary":    touch("token", &tables.Minute{Service: "shopp", Environment: "roduction", Start: event.MinTime}),
		"minute":      touch("token", &tables.Minute{Service: "shop", Environment: "production", Start: event.MinTime + 60_000}),
	} {
		if other == first || other == 0 {
			t.Errorf("another %s: %x, and %x", name, first, other)
		}
	}
	if again := touch("token", &minute); again != first {
		t.Errorf("%x, then %x", first, again)
	}
}

// Ten thousand observations of 200 services in two minutes, as a poll brings
// them.
func BenchmarkTouched(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	batch := &pipeline.Batch{Observations: make([]event.Observation, 10_000)}
	for i := range batch.Observations {
		batch.Observations[i] = event.Observation{
			Event:   event.Event{Time: event.MinTime + event.Millis(random.IntN(120_000))},
			Service: fmt.Sprint("service-", random.IntN(200)), Environment: "production",
		}
	}
	for b.Loop() {
		if n := len(touched(batch.Observations)); n != 400 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Observations)), "ns/observation")
}

package clickhouse

import (
	"context"
	"sync"
	"testing"
	"time"
)

func keepForEverAfterwards(t *testing.T, client *Client) {
	t.Cleanup(func() { must(t, client.KeepHistory(context.Background(), 0)) })
}

func TestHistoryIsKeptAsLongAsIsAskedFor(t *testing.T) {
	client := connect(t)
	keepForEverAfterwards(t, client)
	for _, c := range []struct {
		keep time.Duration
		want string
	}{
		{0, ""}, {36 * time.Hour, "toDateTime(superseded_at) + toIntervalSecond(129600)"}, {-1, ""},
		{time.Hour + 1, "toDateTime(superseded_at) + toIntervalSecond(3601)"}, {time.Minute, "toDateTime(superseded_at) + toIntervalSecond(60)"},
	} {
		must(t, client.KeepHistory(t.Context(), c.keep))
		have, err := client.historyTTL(t.Context())
		must(t, err)
		if have != c.want {
			t.Errorf("kept for %s: TTL %q, want %q", c.keep, have, c.want)
		}
	}
}

func TestWhatIsOlderThanTheHistoryIsKeptForGoes(t *testing.T) {
	client := connect(t)
	keepForEverAfterwards(t, client)
	empty(t, client, "whence.observations_history")
	must(t, client.KeepHistory(t.Context(), 24*time.Hour))
	must(t, client.exec(t.Context(), `INSERT INTO whence.observations_history (source, id, time, superseded_at)
		VALUES ('a', 'old', now(), now() - INTERVAL 25 HOUR), ('a', 'young', now(), now() - INTERVAL 23 HOUR)`, nil))
	must(t, client.exec(t.Context(), "OPTIMIZE TABLE whence.observations_history FINAL", nil))
	expect(t, client, "SELECT id FROM whence.observations_history", "young")
}

func TestAHistoryThatIsKeptAsAskedIsLeftAlone(t *testing.T) {
	client := connect(t)
	keepForEverAfterwards(t, client)
	must(t, client.exec(t.Context(), `INSERT INTO whence.observations_history (source, id, time) VALUES ('a', 'b', now())`, nil))
	must(t, client.KeepHistory(t.Context(), 48*time.Hour))
	const count = "SELECT count() FROM system.mutations WHERE table = 'observations_history'"
	before := answer[uint64](t, client, count)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			if err := client.KeepHistory(t.Context(), 48*time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	if after := answer[uint64](t, client, count); after != before {
		t.Errorf("%d mutations, %d before", after, before)
	}
}

func TestWorkersThatRemoveTheLimitAtTheSameMomentAllSucceed(t *testing.T) {
	client := connect(t)
	must(t, client.KeepHistory(t.Context(), 48*time.Hour))
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() {
			if err := client.KeepHistory(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
}

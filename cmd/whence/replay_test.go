package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func TestAReplayThatFailsSaysWhichTimesItMayHaveStored(t *testing.T) {
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Code: 243. DB::Exception: the disk is full (NOT_ENOUGH_SPACE)", http.StatusInternalServerError)
	}))
	defer full.Close()
	store, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: full.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	k := &keeper{store: store}
	failed := &pipeline.Error{Err: errors.New("the disk is full"), Hint: "make room"}
	if got := pipeline.HintOf(k.hint(failed)); got != "make room" {
		t.Errorf("nothing was stored, and the hint is %q", got)
	}
	if err := k.hint(nil); err != nil {
		t.Errorf("what has not failed says %v", err)
	}
	for _, second := range []event.Millis{50, 10} {
		var b pipeline.Batch
		b.Observations = make([]event.Observation, 1)
		b.Observations[0].Time = event.MinTime + second*1000
		if err := k.Process(t.Context(), &b); err == nil {
			t.Fatal("a full disk holds what was replaced")
		}
	}
	want := "make room; whence rebuild --from 2000-01-01T00:00:10Z --to 2000-01-01T00:00:51Z corrects what was replayed so far"
	if got := pipeline.HintOf(k.hint(failed)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	tables "github.com/whencehq/whence/schemas/clickhouse"
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

// Noted letters are not replayed again: whoever is killed before their rows are
// corrected must find them open.
func TestWhatHasBecomeOfLettersIsNotedOnceTheirRowsAreCorrected(t *testing.T) {
	var inserted atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inserted.Add(1)
		w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"1"}`)
	}))
	defer server.Close()
	store, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	block := tables.NewLetterReplays()
	block.Append(&tables.LetterReplay{Topic: "whence.behavior", Outcome: tables.LetterStored})
	killed := errors.New("killed")
	r := lettersReplay{store: store, notes: []note{{block, "token"}}, noted: 1, levelUp: func() error { return killed }}
	inserted.Store(0)
	if err := r.close(t.Context()); !errors.Is(err, killed) || inserted.Load() != 0 {
		t.Fatalf("%d notes are stored, error %v", inserted.Load(), err)
	}
	r.levelUp = func() error { return nil }
	for range 2 { // there is nothing more to note the second time
		if err := r.close(t.Context()); err != nil || inserted.Load() != 1 {
			t.Fatalf("%d notes are stored, error %v", inserted.Load(), err)
		}
	}
}

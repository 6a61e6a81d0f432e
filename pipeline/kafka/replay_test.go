package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whencehq/whence/pipeline"
)

var errClickHouseAway = errors.New("connection refused")

// failingFor is a stage that fails for a while, and then for ever or no longer.
type failingFor struct {
	time.Duration
	since time.Time
	with  error
}

func (*failingFor) Name() string { return "store" }

func (f *failingFor) Process(context.Context, *pipeline.Batch) error {
	if time.Since(f.since) < f.Duration {
		return f.with
	}
	return nil
}

func TestAReplayTellsWhyItTriesAgainOnceAMinuteAndGivesUpAfterFive(t *testing.T) {
	for name, c := range map[string]struct {
		failing time.Duration
		with    error
		told    int
		took    time.Duration
		want    string // of the error; empty: none
	}{
		"a moment":                {1500 * time.Millisecond, errClickHouseAway, 1, 2 * time.Second, ""},
		"three minutes":           {3 * time.Minute, errClickHouseAway, 3, 3 * time.Minute, ""},
		"for ever":                {time.Hour, errClickHouseAway, 5, 5 * time.Minute, "given up after 5m0s: store: in/3 [7, 9): connection refused"},
		"what nobody mends alone": {time.Hour, pipeline.Fatalf("", "no such table"), 0, 0, "store: in/3 [7, 9): no such table"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				r := Replay{
					Stages: []pipeline.Processor{&failingFor{c.failing, time.Now(), c.with}},
					Retrying: func(err error) {
						if told++; !errors.Is(err, errClickHouseAway) || !strings.Contains(err.Error(), "store: in/3 [7, 9)") {
							t.Errorf("told %v", err)
						}
					},
				}
				begun := time.Now()
				err := r.process(t.Context(), &pipeline.Batch{Topic: "in", Partition: 3, From: 7, To: 9})
				if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begun); told != c.told || took != c.took {
					t.Errorf("told %d times in %s, want %d in %s", told, took, c.told, c.took)
				}
			})
		})
	}
}

func TestAReplayWhoseBatchesFailNowAndThenTellsItOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		r := Replay{Retrying: func(error) { told++ }}
		for range 40 { // of three seconds each
			r.Stages = []pipeline.Processor{&failingFor{3 * time.Second, time.Now(), errClickHouseAway}}
			if err := r.process(t.Context(), &pipeline.Batch{}); err != nil {
				t.Fatal(err)
			}
		}
		if told != 2 {
			t.Errorf("told %d times in two minutes", told)
		}
	})
}

package timeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

var _ pipeline.Processor = (*timeline.Processor)(nil)

// unsafeText is a string that aliases b, as those of a decoder do.
func unsafeText(b []byte) string { return unsafe.String(&b[0], len(b)) }

// contextLog gives facts their revisions; it forgets or refuses on demand.
type contextLog struct {
	revision uint64
	appended []event.Fact
	refusal  error
}

func (l *contextLog) Append(_ context.Context, facts []event.Fact) (uint64, error) {
	if l.refusal != nil {
		return 0, l.refusal
	}
	l.appended = append(l.appended, facts...)
	l.revision += uint64(len(facts))
	return l.revision, nil
}

func TestABatchWaitsUntilItsFactsAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, tl := &contextLog{revision: 10}, timeline.New()
		stage := timeline.Processor{Log: log, Timeline: tl}
		done := make(chan error, 1)
		go func() {
			done <- stage.Process(t.Context(), &pipeline.Batch{Facts: []event.Fact{at(1, nil), at(2, nil)}})
		}()
		synctest.Wait()
		if len(log.appended) != 2 || len(done) != 0 {
			t.Fatalf("appended %d facts, %d done", len(log.appended), len(done))
		}
		tl.Advance(12)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestABatchWithoutFactsTouchesNothing(t *testing.T) {
	stage := timeline.Processor{Log: &contextLog{refusal: errors.New("asked")}, Timeline: timeline.New()}
	if err := stage.Process(t.Context(), &pipeline.Batch{}); err != nil {
		t.Fatal(err)
	}
}

func TestARefusingLogFailsTheBatch(t *testing.T) {
	away := errors.New("broker away")
	stage := timeline.Processor{Log: &contextLog{refusal: away}, Timeline: timeline.New()}
	err := stage.Process(t.Context(), &pipeline.Batch{Facts: []event.Fact{at(1, nil)}})
	if !errors.Is(err, away) || !strings.Contains(err.Error(), "append 1 facts") {
		t.Fatalf("got %v", err)
	}
}

func TestAnEndingContextFailsTheBatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stage := timeline.Processor{Log: &contextLog{}, Timeline: timeline.New()}
	err := stage.Process(ctx, &pipeline.Batch{Facts: []event.Fact{at(1, nil)}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "reach revision 1") {
		t.Fatalf("got %v", err)
	}
}

func TestTheStageIsCalledTimeline(t *testing.T) {
	if name := (&timeline.Processor{}).Name(); name != "timeline" {
		t.Fatal(name)
	}
}

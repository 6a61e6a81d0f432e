package timeline

import (
	"context"
	"fmt"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Log is the context log.
type Log interface {
	// Append adds the facts and returns when the log has acknowledged all of
	// them, with the revision of the last.
	Append(ctx context.Context, facts []event.Fact) (revision uint64, err error)
}

// Processor puts the facts of a batch on the context log and waits until the
// timeline has folded them, so that the batch's observations see the facts
// beside them. Somebody else reads the log and applies it: a fact counts once
// it is on the log, wherever it came from.
type Processor struct {
	Log      Log
	Timeline *Timeline
}

// Name is the stage's name in a chain.
func (*Processor) Name() string { return "timeline" }

// Process fails when the log refuses or the context ends. Facts may then be on
// the log already; appending them again changes nothing.
func (p *Processor) Process(ctx context.Context, b *pipeline.Batch) error {
	if len(b.Facts) == 0 {
		return nil
	}
	revision, err := p.Log.Append(ctx, b.Facts)
	if err != nil {
		return fmt.Errorf("append %d facts to the context log: %w", len(b.Facts), err)
	}
	if err := p.Timeline.Wait(ctx, revision); err != nil {
		return fmt.Errorf("wait for the timeline to reach revision %d: %w", revision, err)
	}
	return nil
}

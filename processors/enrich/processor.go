package enrich

import (
	"context"
	"slices"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Timeline answers observations as of their times, a batch from one state. It
// writes out[i] for obs[i] and returns the context revision it answered at. It
// fails where it has to ask for facts of the past and gets no answer.
type Timeline interface {
	Enrich(ctx context.Context, obs []event.Observation, out []event.Enrichment) (revision uint64, err error)
}

// Processor fills the batch's Enrichments, parallel to its Observations, and
// its Revision.
type Processor struct{ Timeline Timeline }

// Name is the stage's name in a chain.
func (*Processor) Name() string { return "enrich" }

// Process fails where the timeline does, and may be called again then: what is
// unknown is an answer, what can't be asked is none. A batch without observations
// gets the revision all the same.
func (p *Processor) Process(ctx context.Context, b *pipeline.Batch) (err error) {
	n := len(b.Observations)
	b.Enrichments = slices.Grow(b.Enrichments[:0], n)[:n]
	b.Revision, err = p.Timeline.Enrich(ctx, b.Observations, b.Enrichments)
	return err
}

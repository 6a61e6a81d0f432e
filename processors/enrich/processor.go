package enrich

import (
	"context"
	"slices"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Timeline answers observations as of their times, a batch from one state. It
// writes out[i] for obs[i] and returns the context revision it answered at.
type Timeline interface {
	Enrich(obs []event.Observation, out []event.Enrichment) (revision uint64)
}

// Processor fills the batch's Enrichments, parallel to its Observations, and
// its Revision.
type Processor struct{ Timeline Timeline }

// Name is the stage's name in a chain.
func (*Processor) Name() string { return "enrich" }

// Process never fails: what is unknown is an answer. A batch without
// observations gets the revision all the same.
func (p *Processor) Process(_ context.Context, b *pipeline.Batch) error {
	n := len(b.Observations)
	b.Enrichments = slices.Grow(b.Enrichments[:0], n)[:n]
	b.Revision = p.Timeline.Enrich(b.Observations, b.Enrichments)
	return nil
}

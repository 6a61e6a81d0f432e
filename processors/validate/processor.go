package validate

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Processor validates events. Use New.
type Processor struct{ docs sync.Pool }

// New makes the processor.
func New(Config) *Processor {
	return &Processor{docs: sync.Pool{New: func() any { return &value.Doc{MaxDepth: unbounded} }}}
}

// Name of the stage.
func (p *Processor) Name() string { return "validate" }

// Process makes dead letters of the records with a fact or an observation that
// breaks a rule, and takes the others of their events away. It never fails.
func (p *Processor) Process(_ context.Context, b *pipeline.Batch) error {
	doc := p.docs.Get().(*value.Doc)
	defer p.docs.Put(doc)
	dead := len(b.Dead)
	b.Facts = keep(b, b.Facts, func(f *event.Fact) (*event.Event, event.Provenance, error) {
		return &f.Event, f.Provenance, checkFact(doc, f)
	})
	b.Observations = keep(b, b.Observations, func(o *event.Observation) (*event.Event, event.Provenance, error) {
		return &o.Event, o.Provenance, codec.CheckObservation(o)
	})
	if len(b.Dead) > dead {
		alone(b, dead)
	}
	return nil
}

// alone makes the letters from the dead-th on the only ones of their records, and
// all that is left of them: a record that was stored too, or dead twice, would
// not add up, and a batch that doesn't stops its partition.
func alone(b *pipeline.Batch, dead int) {
	gone := map[int64]bool{}
	b.Dead = slices.DeleteFunc(b.Dead, func(d pipeline.DeadLetter) bool {
		if dead--; dead >= 0 {
			return false
		}
		again := gone[d.Offset]
		gone[d.Offset] = true
		return again
	})
	b.Facts = slices.DeleteFunc(b.Facts, func(f event.Fact) bool { return gone[f.Offset] })
	b.Observations = slices.DeleteFunc(b.Observations, func(o event.Observation) bool { return gone[o.Offset] })
	b.Others = slices.DeleteFunc(b.Others, func(o event.Other) bool { return gone[o.Offset] })
}

// checkFact reads the fact's canonical data again. Facts are few; carrying the
// parsed form along from decode would tie a batch to the decoder's scratch.
func checkFact(doc *value.Doc, f *event.Fact) error {
	t := event.Lookup(f.Type)
	if t == nil || t.Observation {
		return &codec.Fault{Reason: codec.UnknownType, Detail: "type: " + f.Type + " is no fact"}
	}
	if f.Data == "" {
		return codec.Check(t, value.Value{})
	}
	if err := doc.ParseJSON([]byte(f.Data)); err != nil {
		return &codec.Fault{Reason: codec.Malformed, Detail: "data: " + err.Error()}
	}
	return codec.Check(t, doc.Root())
}

// keep returns the events that pass, in place, and buries the others.
func keep[E any](b *pipeline.Batch, events []E, check func(*E) (*event.Event, event.Provenance, error)) []E {
	kept := 0
	for i := range events {
		e, from, err := check(&events[i])
		if err != nil {
			bury(b, e, from, codec.FaultOf(err))
			continue
		}
		if kept != i {
			events[kept] = events[i]
		}
		kept++
	}
	clear(events[kept:])
	return events[:kept]
}

// bury makes the record that e came with a dead letter.
func bury(b *pipeline.Batch, e *event.Event, from event.Provenance, f *codec.Fault) {
	// Records are in the order of their offsets, which may have gaps.
	i, _ := slices.BinarySearchFunc(b.Records, from.Offset, func(r pipeline.Record, offset int64) int {
		return cmp.Compare(r.Offset, offset)
	})
	b.Bury(i, pipeline.Reason(f.Reason), f.Detail)
	dead := &b.Dead[len(b.Dead)-1]
	dead.Source, dead.ID, dead.Type, dead.Time = e.Source, e.ID, e.Type, e.Time
}

// unbounded is deeper than decode lets anything be.
const unbounded = 2000

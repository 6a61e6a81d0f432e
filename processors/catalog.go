// Package processors lists what a worker runs: the explicit catalog of stages,
// in their order, with what each needs passed in.
package processors

import (
	"sync"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/enrich"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/processors/store"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/processors/validate"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Dependencies is what the stages need of the world around them.
type Dependencies struct {
	Decode decode.Config
	Rules  *rules.Set // nil: none

	Timeline   *timeline.Memory
	ContextLog timeline.Log
	Sink       store.Sink
	Graveyard  store.Graveyard
	Outlet     rules.Outlet // nil: nothing is routed
	Deriver    store.Deriver
	Revision   func(offset int64) uint64
	Replay     string // see store.Events
}

// Events is the chain of the input topics.
func Events(d Dependencies) []pipeline.Processor {
	return append(Reading(d),
		&timeline.Processor{Log: d.ContextLog, Timeline: d.Timeline.Timeline},
		Enriching(d.Timeline),
		&store.Events{Sink: d.Sink, Graveyard: d.Graveyard, Replay: d.Replay},
	)
}

// Reading is the beginning of that chain, which needs nothing of the world: from
// records to events that are held to be true, and dead letters.
func Reading(d Dependencies) []pipeline.Processor {
	return d.Rules.Around(
		decode.New(d.Decode),
		validate.New(validate.Config{}),
		d.Outlet,
	)
}

// Asking is Reading for who is told at once what is wrong with what he has sent:
// rules hide it in dead letters, not from him.
func Asking(d Dependencies) []pipeline.Processor {
	return d.Rules.Asked(decode.New(d.Decode), validate.New(validate.Config{}))
}

// Enriching is the stage that says what is known of observations.
func Enriching(t *timeline.Memory) pipeline.Processor { return &enrich.Processor{Timeline: t} }

// Facts is the chain of the context log's writer.
func Facts(d Dependencies) []pipeline.Processor {
	return []pipeline.Processor{
		&store.Facts{Sink: d.Sink, Graveyard: d.Graveyard, Deriver: d.Deriver, Decode: DecodeFact, Revision: d.Revision},
	}
}

var (
	encoders = sync.Pool{New: func() any { return new(codec.Encoder) }}
	decoders = sync.Pool{New: func() any { return new(codec.Decoder) }}
)

// EncodeFact lays a fact out as a record of the context log.
func EncodeFact(f *event.Fact) ([]byte, []pipeline.Header, error) {
	encoder := encoders.Get().(*codec.Encoder)
	defer encoders.Put(encoder)
	m, err := encoder.EncodeFact(f)
	if err != nil {
		return nil, nil, err
	}
	headers := make([]pipeline.Header, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = pipeline.Header(h)
	}
	return m.Value, headers, nil
}

// DecodeFact reads a record of the context log back.
func DecodeFact(r pipeline.Record) (event.Fact, error) {
	decoder := decoders.Get().(*codec.Decoder)
	defer decoders.Put(decoder)
	headers := make([]codec.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = codec.Header(h)
	}
	return decoder.DecodeFact(r.Value, headers)
}

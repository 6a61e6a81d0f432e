package decode

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
	"github.com/whencehq/whence/schemas/value"
)

// Processor decodes records. Use New.
type Processor struct {
	config  Config
	workers sync.Pool
}

// New makes the processor. Fields of config that are 0 have their defaults.
func New(config Config) *Processor {
	defaults := DefaultConfig()
	if config.MaxEventBytes == 0 {
		config.MaxEventBytes = defaults.MaxEventBytes
	}
	if config.MaxDepth == 0 {
		config.MaxDepth = defaults.MaxDepth
	}
	if config.Defaults.Environment == "" {
		config.Defaults.Environment = defaults.Defaults.Environment
	}
	if config.Defaults.Incidents == nil {
		config.Defaults.Incidents = defaults.Defaults.Incidents
	}
	p := &Processor{config: config}
	formats := map[string]source.Format{}
	for topic, name := range config.Formats {
		formats[topic], _ = source.ParseFormat(name) // Validate has asked
	}
	p.workers.New = func() any {
		w := &worker{
			decoder: codec.Decoder{MaxDepth: config.MaxDepth}, doc: value.Doc{MaxDepth: config.MaxDepth},
			mapper: newMapper(config.MaxDepth), readers: map[string]*reader{}, formats: formats,
		}
		for _, r := range readers() {
			w.readers[r.source] = &r
		}
		return w
	}
	return p
}

// Name of the stage.
func (p *Processor) Name() string { return "decode" }

// Process moves each record of b to its events or the dead letters. It never
// fails.
func (p *Processor) Process(_ context.Context, b *pipeline.Batch) error {
	w := p.workers.Get().(*worker)
	defer p.workers.Put(w)
	events := codec.Events{Facts: b.Facts, Observations: b.Observations, Others: b.Others}
	for i := range b.Records {
		if b.Records[i].Settled {
			continue
		}
		if err := p.guarded(w, &events, b, i); err != nil {
			b.BuryFault(i, err)
		}
	}
	b.Facts, b.Observations, b.Others = events.Facts, events.Observations, events.Others
	return nil
}

// worker is what one goroutine decodes with.
type worker struct {
	decoder codec.Decoder
	doc     value.Doc
	mapper  mapper
	readers map[string]*reader
	formats map[string]source.Format // see Config.Formats
	headers []codec.Header
}

// guarded makes a panic over one record that record's fault. None is known;
// one that ends the process would end every process that takes the batch up
// again after it.
func (p *Processor) guarded(w *worker, events *codec.Events, b *pipeline.Batch, i int) (err error) {
	facts, observations, others := len(events.Facts), len(events.Observations), len(events.Others)
	defer func() {
		if trouble := recover(); trouble != nil {
			events.Facts, events.Observations, events.Others = events.Facts[:facts], events.Observations[:observations], events.Others[:others]
			*w = *p.workers.New().(*worker) // what it was in the middle of can't be trusted
			err = &codec.Fault{Reason: codec.Malformed, Detail: fmt.Sprintf("the decoder failed on this record, which is a bug: %v", trouble)}
		}
	}()
	return p.decode(w, events, b, i)
}

func (p *Processor) decode(w *worker, events *codec.Events, b *pipeline.Batch, i int) error {
	r := &b.Records[i]
	size := len(r.Value)
	w.headers = w.headers[:0]
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
		w.headers = append(w.headers, codec.Header(h))
	}
	if err := codec.CheckSize(size, p.config.MaxEventBytes); err != nil {
		return err
	}
	if format := w.formats[b.Topic]; format.Debezium && !saysItself(w.headers) {
		return p.readCaptured(w, format, events, b, i)
	}
	read, err := w.foreign(b.Topic, w.headers)
	if err != nil {
		return err
	}
	if read != nil {
		return p.readForeign(w, read, events, b, i, r.Value)
	}
	err = p.readEvent(w, events, b, i, r.Value)
	if err != nil && len(r.Value) > 0 && r.Value[0] == '{' {
		if read = w.shaped(r.Value); read != nil {
			return p.readForeign(w, read, events, b, i, r.Value)
		}
	}
	return err
}

// saysItself tells whether the headers of a record say what it is, whatever its
// topic's format.
func saysItself(headers []codec.Header) bool {
	for i := range headers {
		if strings.HasPrefix(headers[i].Key, "ce_") || strings.EqualFold(headers[i].Key, source.Header) {
			return true
		}
	}
	return false
}

// readEvent reads a CloudEvent or a CDEvent.
func (p *Processor) readEvent(w *worker, events *codec.Events, b *pipeline.Batch, i int, body []byte) error {
	others := len(events.Others)
	if err := w.decoder.Decode(events, b.Provenance(i), body, w.headers); err != nil {
		return err
	}
	if len(events.Others) > others && strings.HasPrefix(events.Others[others].Type, codec.CDEventsPrefix) {
		if fact, ok := w.mapper.fact(&events.Others[others]); ok {
			events.Others = events.Others[:others]
			events.Facts = append(events.Facts, fact)
		}
	}
	return nil
}

// readForeign reads a record of a source that speaks its own language.
func (p *Processor) readForeign(w *worker, r *reader, events *codec.Events, b *pipeline.Batch, i int, body []byte) error {
	in := &payload{
		source: source.Lookup(r.source), body: body, headers: w.headers, from: b.Provenance(i),
		received: b.Records[i].Timestamp, defaults: p.config.Defaults,
	}
	if at, err := time.Parse(time.RFC3339Nano, in.header(source.Received)); err == nil {
		in.received = event.MillisOf(at)
	}
	// Tools on Windows begin files with a mark, which is no JSON.
	in.body = bytes.TrimPrefix(in.body, []byte("\xef\xbb\xbf"))
	if len(in.body) == 0 {
		return &codec.Fault{Reason: codec.Empty, Detail: "the record has no value"}
	}
	if !r.binary {
		if err := in.checked(&w.doc); err != nil {
			return err
		}
		if err := in.light(&w.doc, r.plain); err != nil && !r.loose {
			return err
		}
	}
	before := *events
	out := &said{events: events, decoder: &w.decoder, payload: in, doc: &w.doc}
	err := r.read(in, out)
	if err == nil && out.full() {
		err = out.overfull()
	}
	if err != nil {
		*events = before
		if codec.FaultOf(err) == nil {
			err = malformed(err)
		}
		return err
	}
	if len(events.Facts)+len(events.Observations)+len(events.Others) == len(before.Facts)+len(before.Observations)+len(before.Others) {
		return &codec.Fault{Reason: codec.Malformed, Detail: in.source.Title + ": the payload says nothing"}
	}
	return nil
}

package rules

import (
	"context"
	"fmt"
	"slices"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Outlet takes what rules route. It may get it more than once.
type Outlet interface {
	// Route sends all of it, and returns the places of what its topic refuses
	// whatever comes with it: that has gone without its bytes.
	Route(ctx context.Context, routed []pipeline.Routed) (refused []int, err error)
}

// Routes is the stage behind validate that sends what rules route. It comes
// before anything is stored: a topic that is away holds up a batch of which
// nothing is written yet.
type Routes struct {
	set    *Set
	outlet Outlet
}

// Name of the stage.
func (Routes) Name() string { return "route" }

// Process sends what is routed, without what any rule hides. What is moved there
// and can't go whole is a dead letter, with all of its record: it would be
// nowhere. The error is the outlet's, and b is as it was then.
func (p Routes) Process(ctx context.Context, b *pipeline.Batch) error {
	routed := slices.Clone(b.Alive())
	if len(routed) == 0 {
		return nil
	}
	lost := p.hide(b, routed)
	refused, err := p.outlet.Route(ctx, routed)
	if err != nil {
		return err
	}
	for _, i := range refused {
		if r := &routed[i]; r.Moved {
			lost[r.Offset] = &codec.Fault{Reason: codec.Rule, Detail: fmt.Sprintf("rule %s: route: %s does not take it: it is too large, or has no key", r.Rule, r.To)}
		}
	}
	b.Routed = routed
	bury(b, lost)
	return nil
}

// hide takes out of copies what rules hide, wherever those stand, and returns the
// faults of what is moved and of which no bytes are left.
func (p Routes) hide(b *pipeline.Batch, routed []pipeline.Routed) (lost map[int64]*codec.Fault) {
	lost = map[int64]*codec.Fault{}
	w := p.set.workers.Get().(*worker)
	defer p.set.workers.Put(w)
	for i := range routed {
		r := &routed[i]
		record := recordAt(b, r.Offset)
		l := newLetter(&pipeline.DeadLetter{
			Provenance: r.Provenance, Key: r.Key, Value: r.Value, Headers: r.Headers, Type: r.Type, Source: r.Source, ID: r.ID,
		}, record.Headers)
		l.copied = r.Type != ""
		l.mapped = !l.copied && record.Settled && !r.Moved
		hidden := l.hideAll(p.set, w)
		if hidden == nil {
			continue
		}
		r.Key, r.Value, r.Headers = plainKey(r), l.Value, l.Headers
		if r.Type != "" {
			r.Key = []byte(l.Source + "|" + l.ID)
		}
		if !l.withheld {
			continue
		}
		r.Headers = append(r.Headers, pipeline.Header{Key: "whence-withheld", Value: []byte(hidden.name)})
		if r.Moved {
			lost[r.Offset] = &codec.Fault{Reason: codec.Rule, Detail: fmt.Sprintf("rule %s: route (%s%s)", r.Rule, withheld, hidden.name)}
		}
	}
	return lost
}

// route notes where record i goes too, as it is, or only. A key is made of anything:
// what was hidden may be in it.
func (t *trail) route(b *pipeline.Batch, i int, moved bool) {
	r := &b.Records[i]
	for _, to := range t.routes {
		c := pipeline.Routed{
			Provenance: b.Provenance(i), Rule: to.name, To: to.route, Key: r.Key, Value: r.Value, Headers: r.Headers, Moved: moved,
		}
		if len(t.hid) > 0 {
			c.Key = plainKey(&c)
		}
		b.Routed = append(b.Routed, c)
	}
}

// plainKey is a key that says nothing: a compacted topic wants one, of each its own.
func plainKey(r *pipeline.Routed) []byte {
	return fmt.Appendf(nil, "%s/%d/%d", r.Topic, r.Partition, r.Offset)
}

// route notes where an event goes too: as a CloudEvent in structured mode,
// whatever it came as; moved: only. Its key is its identity.
func (w *round) route(e *said, moved bool) error {
	if len(e.routes) == 0 {
		return nil
	}
	data, err := e.json()
	if err != nil {
		return e.routes[0].fault("route", err)
	}
	m, err := w.encoder.Fact(&event.Fact{Event: e.Event, Data: data}, codec.StructuredJSON)
	if err != nil {
		return e.routes[0].fault("route", fmt.Errorf("event.data: %w", err))
	}
	headers := make([]pipeline.Header, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = pipeline.Header(h)
	}
	for _, to := range e.routes {
		w.batch.Routed = append(w.batch.Routed, pipeline.Routed{
			Provenance: e.from, Rule: to.name, To: to.route, Key: []byte(e.Source + "|" + e.ID), Value: m.Value, Headers: headers,
			Type: e.Type, Source: e.Source, ID: e.ID, Moved: moved,
		})
	}
	return nil
}

package rules

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Events is the stage behind decode.
type Events struct{ set *Set }

// Events makes the stage.
func (s *Set) Events() Events { return Events{s} }

// Name of the stage.
func (Events) Name() string { return "rules" }

// Process does what the rules say of b's events. It never fails: a record with
// an event of which a rule can't make what it says is a dead letter, and none
// of its events are taken.
func (p Events) Process(_ context.Context, b *pipeline.Batch) error {
	w := &round{set: p.set, batch: b, worker: p.set.workers.Get().(*worker), doomed: map[int64]*codec.Fault{}}
	defer p.set.workers.Put(w.worker)
	b.Facts = keep(w, b.Facts, func(f *event.Fact) string { return f.Type }, func(f *event.Fact) *said {
		return &said{Event: f.Event, from: f.Provenance, service: f.Service, environment: f.Environment, was: func() string { return f.Data }}
	})
	b.Observations = keep(w, b.Observations, func(o *event.Observation) string { return o.Type }, func(o *event.Observation) *said {
		return &said{Event: o.Event, from: o.Provenance, service: o.Service, environment: o.Environment, name: o.Name, was: func() string { return codec.DataOf(o) }}
	})
	b.Others = keep(w, b.Others, func(o *event.Other) string { return o.Type }, func(o *event.Other) *said {
		return &said{Event: o.Event, from: o.Provenance, kept: o.Kept, was: func() string { return o.Data }}
	})
	b.Facts = append(b.Facts, w.out.Facts...)
	b.Observations = append(b.Observations, w.out.Observations...)
	b.Others = append(b.Others, w.out.Others...)
	w.buryDoomed()
	return nil
}

// round is one batch's way through the stage.
type round struct {
	*worker
	set    *Set
	batch  *pipeline.Batch
	out    codec.Events // what events have become
	doomed map[int64]*codec.Fault
}

// keep returns, in place, the events that no rule has anything to say of.
func keep[E any](w *round, events []E, typeOf func(*E) string, open func(*E) *said) []E {
	kept := 0
	for i := range events {
		rules := w.set.of(typeOf(&events[i]))
		if len(rules) == 0 || w.stays(rules, open(&events[i])) {
			if kept != i {
				events[kept] = events[i]
			}
			kept++
		}
	}
	clear(events[kept:])
	return events[:kept]
}

// stays tells whether the event is as it was. If not, what it has become is
// where it belongs.
func (w *round) stays(rules []*rule, e *said) bool {
	before := w.out
	dropped, routed := len(w.batch.Dropped), len(w.batch.Routed)
	changed, err := w.guarded(rules, e)
	if err == nil {
		return !changed
	}
	w.out, w.batch.Dropped, w.batch.Routed = before, w.batch.Dropped[:dropped], w.batch.Routed[:routed]
	fault := codec.FaultOf(err)
	fault.Source, fault.ID, fault.Type, fault.Time = e.Source, e.ID, e.Type, e.Time
	if w.doomed[e.from.Offset] == nil {
		w.doomed[e.from.Offset] = fault
	}
	return false
}

func (w *round) guarded(rules []*rule, e *said) (changed bool, err error) {
	defer recovered(w.worker, &err)
	return w.apply(rules, e)
}

// apply takes the event through the rules, and what it becomes through those
// that are left.
func (w *round) apply(rules []*rule, e *said) (changed bool, err error) {
	in := &input{topic: e.from.Topic, record: w.record(e.from.Offset), doc: &w.doc, event: e}
	for _, r := range rules {
		held := w.set.holds(r, in)
		if held == no {
			continue
		}
		if held == unsure {
			w.hide(r, in)
			continue
		}
		if err := w.change(r, in); err != nil {
			w.set.failed(r)
			return false, r.fault("", err)
		}
		if r.route != "" {
			e.routes = append(e.routes, r)
		}
		switch {
		case r.bury != "":
			return false, r.fault("", fmt.Errorf("%s", r.bury))
		case r.drop:
			w.batch.Dropped = append(w.batch.Dropped, pipeline.Drop{Offset: e.from.Offset, Rule: r.name})
			return true, w.route(e, true)
		case len(r.maps) > 0:
			if err := w.route(e, false); err != nil {
				return true, err
			}
			return true, w.mapped(r, in)
		case r.rename != "":
			// Of another type now, it is the other type's rules that are left.
			return true, w.finish(w.rest(r, e), e)
		}
	}
	if err := w.route(e, false); err != nil || !e.dirty {
		return false, err
	}
	return true, w.restate(e)
}

// rest are the rules behind r that fit the type which the event has now.
func (w *round) rest(r *rule, e *said) []*rule {
	fit := w.set.of(e.Type)
	at := slices.Index(w.set.events, r)
	return slices.DeleteFunc(slices.Clone(fit), func(other *rule) bool { return slices.Index(w.set.events, other) <= at })
}

// finish takes an event that is new through the rules that are left.
func (w *round) finish(rules []*rule, e *said) error {
	e.dirty = true
	_, err := w.apply(rules, e)
	return err
}

// afterRules is said behind what is wrong with an event that rules have touched.
const afterRules = ", after the rules"

func (w *round) restate(e *said) error {
	data, err := e.json()
	if err == nil {
		err = w.decoder.Restate(&w.out, e.from, e.Event, e.kept, e.text, data)
	}
	if err == nil {
		return nil
	}
	// The event's own fault as often as a rule's: the reason is what it is.
	reason := codec.Rule
	if own := codec.FaultOf(err); own != nil {
		reason = own.Reason
	}
	return &codec.Fault{Reason: reason, Detail: err.Error() + afterRules}
}

// mapped adds what the rule makes of the event.
func (w *round) mapped(r *rule, in *input) error {
	was := in.event
	data, err := was.json()
	if err != nil {
		return r.fault("map", err)
	}
	for i := range r.maps {
		e, text, err := r.maps[i].apply(in, was.Event, data)
		if err != nil {
			w.set.failed(r)
			return r.fault(fmt.Sprintf("map[%d]", i), err)
		}
		next := &said{Event: e, from: was.from, was: func() string { return text }}
		next.content(&w.doc)
		next.text = was.text
		if err := w.finish(w.rest(r, next), next); err != nil {
			return err
		}
	}
	if r.keep == "" {
		return nil
	}
	kept := *was
	kept.Type, kept.routes = r.keep, nil
	return w.finish(w.rest(r, &kept), &kept)
}

// change does what the rule sets and hides.
func (w *round) change(r *rule, in *input) error {
	e := in.event
	values := make([]any, len(r.sets))
	for i := range r.sets {
		v, err := r.sets[i].compute(in)
		if err != nil {
			return fmt.Errorf("set.%s: %w", r.sets[i].at, err)
		}
		values[i] = v
	}
	for i := range r.sets {
		if err := e.set(r.sets[i].at, values[i], w); err != nil {
			return fmt.Errorf("set.%s: %w", r.sets[i].at, err)
		}
		e.dirty = true
	}
	if r.rename != "" {
		e.Type, e.dirty = r.rename, true
	}
	w.hide(r, in)
	return nil
}

// hide does what the rule hides.
func (w *round) hide(r *rule, in *input) {
	e := in.event
	for _, h := range r.hides {
		var content any
		if h.at[1] == "data" || shared(h.at[1]) {
			content = e.content(&w.doc)
		}
		if r.hideEvent(h, e, content) {
			e.dirty = true
		}
	}
}

// compute gives what the field wants: a moment, text, or anything.
func (a *assignment) compute(in *input) (any, error) {
	switch {
	case a.at[1] == "data":
		return a.value(in)
	case a.at[1] == "time":
		return a.moment(in)
	}
	return a.text(in)
}

func (e *said) set(at path, v any, w *round) error {
	switch at[1] {
	case "data":
		if s, isText := v.(string); isText && len(at) == 3 && shared(at[2]) {
			*e.field(at[2]) = s
		}
		data, err := put(e.content(&w.doc), at[2:], v)
		if err == nil {
			e.data = data
		}
		return err
	case "time":
		e.Time = event.MillisOf(v.(time.Time))
	case "extensions":
		e.extend(at[2], v.(string))
	default:
		*e.field(at[1]) = v.(string)
	}
	return nil
}

// record is the one at an offset; records are in their order, which may have gaps.
func (w *round) record(offset int64) *pipeline.Record { return recordAt(w.batch, offset) }

func recordAt(b *pipeline.Batch, offset int64) *pipeline.Record {
	i, found := slices.BinarySearchFunc(b.Records, offset, func(r pipeline.Record, at int64) int { return cmp.Compare(r.Offset, at) })
	if !found {
		return &pipeline.Record{Offset: offset}
	}
	return &b.Records[i]
}

// buryDoomed makes dead letters of the records with an event that failed, and
// takes the others of their events away.
func (w *round) buryDoomed() {
	bury(w.batch, w.doomed)
}

// bury makes dead letters of the records at these offsets, and takes away what
// has become of them.
func bury(b *pipeline.Batch, doomed map[int64]*codec.Fault) {
	if len(doomed) == 0 {
		return
	}
	gone := func(from event.Provenance) bool { return doomed[from.Offset] != nil }
	b.Facts = slices.DeleteFunc(b.Facts, func(f event.Fact) bool { return gone(f.Provenance) })
	b.Observations = slices.DeleteFunc(b.Observations, func(o event.Observation) bool { return gone(o.Provenance) })
	b.Others = slices.DeleteFunc(b.Others, func(o event.Other) bool { return gone(o.Provenance) })
	b.Dropped = slices.DeleteFunc(b.Dropped, func(d pipeline.Drop) bool { return doomed[d.Offset] != nil })
	for _, offset := range slices.Sorted(maps.Keys(doomed)) {
		i, _ := slices.BinarySearchFunc(b.Records, offset, func(r pipeline.Record, at int64) int { return cmp.Compare(r.Offset, at) })
		b.BuryFault(i, doomed[offset])
	}
}

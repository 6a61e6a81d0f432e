package rules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Records is the stage before decode.
type Records struct{ set *Set }

// Records makes the stage.
func (s *Set) Records() Records { return Records{s} }

// Name of the stage.
func (Records) Name() string { return "rules" }

// Process does what the rules say of b's records. It never fails: a record of
// which a rule can't make what it says is a dead letter.
func (p Records) Process(_ context.Context, b *pipeline.Batch) error {
	w := p.set.workers.Get().(*worker)
	defer p.set.workers.Put(w)
	events := codec.Events{Facts: b.Facts, Observations: b.Observations, Others: b.Others}
	for i := range b.Records {
		before := events
		if err := p.guarded(w, &events, b, i); err != nil {
			events = before
			b.Records[i].Settled = true
			b.BuryFault(i, err)
		}
	}
	b.Facts, b.Observations, b.Others = events.Facts, events.Observations, events.Others
	return nil
}

// guarded makes a panic over one record that record's fault.
func (p Records) guarded(w *worker, out *codec.Events, b *pipeline.Batch, i int) (err error) {
	defer recovered(w, &err)
	return p.record(w, out, b, i)
}

func recovered(w *worker, err *error) {
	if trouble := recover(); trouble != nil {
		*w = worker{decoder: codec.Decoder{MaxDepth: deepest}} // what it was in the middle of can't be trusted
		w.doc.MaxDepth = deepest
		*err = &codec.Fault{Reason: codec.Rule, Detail: fmt.Sprintf("a rule failed on this record, which is a bug: %v", trouble)}
	}
}

func (p Records) record(w *worker, out *codec.Events, b *pipeline.Batch, i int) (err error) {
	r := &b.Records[i]
	if r.Settled {
		return nil
	}
	in := &input{topic: b.Topic, record: r, doc: &w.doc}
	var routes []*rule
	moved := false
	defer func() {
		if err == nil {
			routeRecord(b, i, routes, moved)
		}
	}()
	for n, rule := range p.set.records {
		held := p.set.holds(rule, in)
		if held == no {
			continue
		}
		if held == unsure {
			if _, err := rule.hideRecord(in, w); err != nil {
				return rule.fault("", err)
			}
			continue
		}
		if err := rule.changeRecord(in, w); err != nil {
			p.set.failed(rule)
			p.hideBehind(n, in, w)
			return rule.fault("", err)
		}
		if rule.route != "" {
			routes = append(routes, rule)
		}
		switch {
		case rule.bury != "":
			p.hideBehind(n, in, w)
			return rule.fault("", fmt.Errorf("%s", rule.bury))
		case rule.drop:
			r.Settled, moved = true, true
			b.Dropped = append(b.Dropped, pipeline.Drop{Offset: r.Offset, Rule: rule.name})
			return nil
		case len(rule.maps) > 0:
			r.Settled = true
			return p.mapped(w, out, b.Provenance(i), rule, in)
		}
	}
	return nil
}

// hideBehind does what the rules behind the n-th set and hide to a record that is
// a dead letter: what they would have hidden is not to be read in it, and a
// condition may ask for a header that one of them sets.
func (p Records) hideBehind(n int, in *input, w *worker) {
	for _, rule := range p.set.records[n+1:] {
		switch p.set.holds(rule, in) {
		case yes:
			_ = rule.changeRecord(in, w) // the record has a fault already
		case unsure:
			_, _ = rule.hideRecord(in, w)
		}
	}
}

// changeRecord sets headers and hides in headers and body, the latter also where
// what is to be set can't be computed.
func (r *rule) changeRecord(in *input, w *worker) error {
	unset := r.setHeaders(in)
	if _, err := r.hideRecord(in, w); err != nil {
		return err
	}
	return unset
}

// setHeaders sets all of them or none.
func (r *rule) setHeaders(in *input) error {
	if len(r.sets) == 0 {
		return nil
	}
	texts := make([]string, len(r.sets))
	for i := range r.sets {
		s, err := r.sets[i].text(in)
		if err != nil {
			return fmt.Errorf("set.%s: %w", r.sets[i].at, err)
		}
		texts[i] = s
	}
	if in.record.Sent == nil {
		in.record.Sent = append([]pipeline.Header{}, in.record.Headers...)
	}
	for i := range r.sets {
		in.setHeader(r.sets[i].at[1], texts[i])
	}
	return nil
}

// hideRecord hides in the record what can be read of it, and tells whether there
// is any.
func (r *rule) hideRecord(in *input, w *worker) (found bool, err error) {
	changed := false
	for _, h := range r.hides {
		if h.at[0] == "headers" {
			found = in.changeHeader(h.at[1], func(s string) string { return r.hideText(h, s) }) || found
			continue
		}
		if body, there := alter(in.content(), h.at[1:], func(v any) any { return r.hidden(h, v) }); there {
			in.body, found, changed = body, true, true
		}
	}
	if !changed {
		return found, nil
	}
	return true, in.write(&w.doc)
}

// changeHeader changes all of that name, also among those that were sent, and
// tells whether there is one that says something.
func (in *input) changeHeader(name string, change func(string) string) (found bool) {
	for _, of := range []*[]pipeline.Header{&in.record.Headers, &in.record.Sent} {
		copied := slices.Clone(*of) // those of a record are nobody's to change
		for i, h := range copied {
			if strings.EqualFold(h.Key, name) && len(h.Value) > 0 {
				copied[i].Value, found = []byte(change(string(h.Value))), true
			}
		}
		*of = copied
	}
	in.headers = nil
	return found
}

// setHeader sets one in a copy of the headers.
func (in *input) setHeader(name, text string) {
	headers := slices.DeleteFunc(slices.Clone(in.record.Headers), func(h pipeline.Header) bool { return strings.EqualFold(h.Key, name) })
	if text != "" {
		headers = append(headers, pipeline.Header{Key: name, Value: []byte(text)})
	}
	in.record.Headers, in.headers = headers, nil
}

// mapped adds what the rule makes of the record.
func (p Records) mapped(w *worker, out *codec.Events, from event.Provenance, r *rule, in *input) error {
	var first event.Event
	for i := range r.maps {
		e, data, err := r.maps[i].apply(in, event.Event{}, "")
		if err == nil {
			err = w.decoder.Restate(out, from, e, false, "", data)
		}
		if err != nil {
			p.set.failed(r)
			return r.fault(fmt.Sprintf("map[%d]", i), err)
		}
		if i == 0 {
			first = e
		}
	}
	if r.keep == "" {
		return nil
	}
	sum := sha256.Sum256(in.record.Value)
	kept := event.Event{Type: r.keep, Source: first.Source, ID: hex.EncodeToString(sum[:16]), Time: first.Time}
	if err := w.decoder.Keep(out, from, kept, in.record.Value); err != nil {
		return r.fault("keep", err)
	}
	return nil
}

// fault says which rule it was.
func (r *rule) fault(where string, err error) *codec.Fault {
	if where != "" {
		where = ": " + where
	}
	f := &codec.Fault{Reason: codec.Rule, Detail: "rule " + r.name + where + ": " + err.Error()}
	if inner := codec.FaultOf(err); inner != nil {
		f.Source, f.ID, f.Type, f.Time = inner.Source, inner.ID, inner.Type, inner.Time
	}
	return f
}

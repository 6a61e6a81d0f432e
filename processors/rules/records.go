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
type Records struct {
	set   *Set
	asked bool // nothing leaves: see Asked
}

// Records makes the stage.
func (s *Set) Records() Records { return Records{set: s} }

// Name of the stage.
func (Records) Name() string { return "rules" }

// Process does what the rules say of b's records. It never fails: a record of
// which a rule can't make what it says is a dead letter.
func (p Records) Process(_ context.Context, b *pipeline.Batch) error {
	w := p.set.workers.Get().(*worker)
	defer p.set.workers.Put(w)
	events := codec.Events{Facts: b.Facts, Observations: b.Observations, Others: b.Others}
	for i := range b.Records {
		r := &b.Records[i]
		if r.Settled {
			continue
		}
		before := events
		t := &trail{in: input{topic: b.Topic, record: r, doc: &w.doc}}
		if err := p.guarded(w, &events, b, i, t); err != nil {
			events = before
			r.Settled = true
			p.bury(w, b, i, t, err)
		}
	}
	b.Facts, b.Observations, b.Others = events.Facts, events.Observations, events.Others
	return nil
}

// trail is how far a record has come.
type trail struct {
	in     input
	at     int // the rule that it has come to
	routes []*rule
	hid    []*rule // that had anything to hide in it
	blind  *rule   // one of them that could not read or write what it is in; sooner one that withholds that
}

// guarded makes a panic over one record that record's fault.
func (p Records) guarded(w *worker, out *codec.Events, b *pipeline.Batch, i int, t *trail) (err error) {
	defer recovered(w, &err)
	return p.record(w, out, b, i, t)
}

func recovered(w *worker, err *error) {
	if trouble := recover(); trouble != nil {
		*w = worker{decoder: codec.Decoder{MaxDepth: deepest}} // what it was in the middle of can't be trusted
		w.doc.MaxDepth = deepest
		*err = &codec.Fault{Reason: codec.Rule, Detail: fmt.Sprintf("a rule failed on this record, which is a bug: %v", trouble)}
	}
}

func (p Records) record(w *worker, out *codec.Events, b *pipeline.Batch, i int, t *trail) error {
	in := &t.in
	for n, rule := range p.set.records {
		t.at = n
		held := p.set.holds(rule, in)
		if held == no {
			continue
		}
		if held == unsure {
			if err := t.hide(rule, w); err != nil {
				return rule.fault("", err)
			}
			continue
		}
		if err := t.change(rule, w); err != nil {
			p.set.failed(rule)
			return rule.fault("", err)
		}
		if rule.route != "" {
			t.routes = append(t.routes, rule)
		}
		switch {
		case rule.bury != "":
			return rule.fault("", fmt.Errorf("%s", rule.bury))
		case rule.drop:
			return p.drop(w, b, i, t)
		case len(rule.maps) > 0:
			return p.replace(w, out, b, i, t)
		}
	}
	t.route(b, i, false)
	return nil
}

// bury makes a dead letter of record i.
func (p Records) bury(w *worker, b *pipeline.Batch, i int, t *trail, fault error) {
	b.Records[i].Headers = p.hideBehind(t, w)
	b.BuryFault(i, fault)
	if p.asked {
		return
	}
	d := &b.Dead[len(b.Dead)-1]
	l := newLetter(d, b.Records[i].Headers)
	if t.withholds() {
		l.withhold(t.blind)
		l.scrub(t.blind)
	}
	for _, rule := range t.hid { // Letters may find no more that it held
		l.scrub(rule)
	}
}

// drop leaves nothing of record i but its copies.
func (p Records) drop(w *worker, b *pipeline.Batch, i int, t *trail) error {
	r := &b.Records[i]
	if len(t.routes) > 0 {
		seen := p.hideBehind(t, w)
		if t.withholds() {
			return t.routes[0].fault("", fmt.Errorf("route (%s%s)", withheld, t.blind.name))
		}
		t.route(b, i, true)
		r.Headers = seen
		t.dropKey()
	}
	r.Settled = true
	b.Dropped = append(b.Dropped, pipeline.Drop{Offset: r.Offset, Rule: p.set.records[t.at].name})
	return nil
}

// replace makes events of record i. Those see its headers as they are now; the rules
// behind hide in what may leave of the record itself, a copy or a dead letter.
func (p Records) replace(w *worker, out *codec.Events, b *pipeline.Batch, i int, t *trail) error {
	r := &b.Records[i]
	if err := p.mapped(w, out, b.Provenance(i), p.set.records[t.at], &t.in); err != nil {
		return err
	}
	before := r.Headers
	p.hideBehind(t, w)
	if t.withholds() {
		why := pipeline.Header{Key: "whence-withheld", Value: []byte(t.blind.name)}
		r.Value, r.Headers, r.Sent = nil, append(aboutBytes(r.Headers), why), append(aboutBytes(r.Sent), why)
	}
	t.route(b, i, false)
	r.Headers, r.Settled = before, true
	t.dropKey()
	return nil
}

// hideBehind does what the rules behind the one that the record has come to hide, for
// they are not to be got around by an end before them. A condition may ask for a
// header that one of them sets: it returns the headers that they see, and leaves the
// record with those that it has, hidden in. Where none sets any, who looks through
// letters and copies finds the same.
func (p Records) hideBehind(t *trail, w *worker) (seen []pipeline.Header) {
	r, behind := t.in.record, p.set.records[t.at+1:]
	if p.asked || !slices.ContainsFunc(behind, func(other *rule) bool { return len(other.sets) > 0 }) {
		return r.Headers
	}
	sent := r.Sent
	if sent == nil {
		sent = r.Headers
	}
	has := len(r.Headers)
	r.Sent = append(slices.Clone(r.Headers), sent...) // both are hidden in, and nothing is set in them
	for _, rule := range behind {
		t.try(p.set, rule, w)
	}
	seen = r.Headers
	r.Headers, r.Sent, t.in.headers = r.Sent[:has:has], r.Sent[has:], nil
	return seen
}

// try does to a record that is at its end what a rule behind that sets and hides.
func (t *trail) try(s *Set, r *rule, w *worker) {
	var err error
	defer func() {
		if err != nil && len(r.hides) > 0 {
			t.missed(r)
		}
	}()
	defer recovered(w, &err)
	held := s.holds(r, &t.in)
	switch {
	case held == no:
		return
	case r.isBlindTo(&t.in):
		t.missed(r)
	}
	if held == yes {
		_ = t.change(r, w) // what can't be set is not the record's fault any more
	} else {
		_ = t.hide(r, w)
	}
}

// isBlindTo tells whether the rule hides in bodies, and can't read this one.
func (r *rule) isBlindTo(in *input) bool {
	return in.content() == nil && len(in.record.Value) > 0 && slices.ContainsFunc(r.hides, func(h hide) bool { return h.at[0] == "body" })
}

// withholds tells whether the record's bytes are to stay here.
func (t *trail) withholds() bool { return t.blind != nil && !t.blind.keepUnreadable }

// dropKey takes away the key of a record that is at its end, where it may say what
// was hidden.
func (t *trail) dropKey() {
	if len(t.hid) > 0 {
		t.in.record.Key = nil
	}
}

// change sets headers and hides in headers and body, the latter also where what is to
// be set can't be computed.
func (t *trail) change(r *rule, w *worker) error {
	unset := r.setHeaders(&t.in)
	if err := t.hide(r, w); err != nil {
		return err
	}
	return unset
}

func (t *trail) hide(r *rule, w *worker) error {
	found, err := r.hideRecord(&t.in, w)
	if found {
		t.hid = append(t.hid, r)
	}
	if err != nil {
		t.missed(r)
	}
	return err
}

// missed notes that r could not hide what it may have had to.
func (t *trail) missed(r *rule) {
	t.hid = append(t.hid, r)
	if !t.withholds() {
		t.blind = r
	}
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

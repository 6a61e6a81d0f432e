package rules

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// Letters is the stage behind the last one that buries.
type Letters struct{ set *Set }

// Letters makes the stage.
func (s *Set) Letters() Letters { return Letters{s} }

// Name of the stage.
func (Letters) Name() string { return "rules" }

// Process hides in b's dead letters what the rules hide. It never fails.
func (p Letters) Process(_ context.Context, b *pipeline.Batch) error {
	if len(b.Dead) == 0 {
		return nil
	}
	w := p.set.workers.Get().(*worker)
	defer p.set.workers.Put(w)
	for i := range b.Dead {
		p.letter(w, &b.Dead[i])
	}
	return nil
}

func (p Letters) letter(w *worker, d *pipeline.DeadLetter) {
	newLetter(d).hideAll(p.set, w)
}

func newLetter(d *pipeline.DeadLetter) *letter {
	return &letter{DeadLetter: d, record: pipeline.Record{Key: d.Key, Value: d.Value, Headers: d.Headers, Offset: d.Offset, Timestamp: d.ReceivedAt}}
}

// hideAll does to the letter what all rules hide, and returns the last of them
// that had anything to do with it; nil: none.
func (l *letter) hideAll(s *Set, w *worker) (concerned *rule) {
	for _, r := range s.hiding {
		if l.of != nil && r.on == OnRecord {
			continue // it has seen the record
		}
		if l.hide(s, r, w) {
			l.scrub(r)
			concerned = r
		}
	}
	if !l.withheld {
		l.Value, l.Headers = l.record.Value, l.record.Headers
	}
	return concerned
}

// letter is a dead letter that is being looked through.
type letter struct {
	*pipeline.DeadLetter
	record   pipeline.Record
	withheld bool
	of       *pipeline.Record // it is an event of this one; nil: it is a record
}

// hide does to the letter what a rule does to a record or event, and tells
// whether it had anything to do with it. Where that can't be told, it had.
func (l *letter) hide(s *Set, r *rule, w *worker) (concerned bool) {
	defer func() {
		if recover() != nil {
			l.withhold(r)
			concerned = l.withheld
		}
	}()
	in := &input{topic: l.Topic, record: &l.record, doc: &w.doc}
	if l.of != nil {
		in.headers = (&input{record: l.of}).header()
	}
	if r.on == OnRecord {
		if !s.mayHold(r, in) {
			return false
		}
		if in.content() == nil && len(l.record.Value) > 0 && slices.ContainsFunc(r.hides, func(h hide) bool { return h.at[0] == "body" }) {
			l.withhold(r)
			return l.withheld
		}
		found, err := r.hideRecord(in, w)
		if err != nil {
			l.withhold(r)
		}
		return found || err != nil
	}
	if !r.ofTopic(l.Topic) {
		return false
	}
	// The letter's type is that of the event which was at fault. A tool's own words
	// say events of several types, and are kept under one of their own besides.
	if l.Type != "" && !r.ofType(l.Type) && !s.becomes(l.Type, r) && (l.of != nil || in.isEvent()) {
		return false
	}
	shape, e := l.open(in)
	if e == nil || e.Type != "" && !r.ofType(e.Type) && s.becomes(e.Type, r) {
		if len(l.record.Value) > 0 {
			l.withhold(r)
		}
		return l.withheld
	}
	if in.event = e; e.Type != "" && !r.ofType(e.Type) || !s.mayHold(r, in) {
		return false
	}
	for _, h := range r.hides {
		if r.hideEvent(h, e, e.data) {
			concerned = true
		}
	}
	if concerned && shape.close(in, e, w) != nil {
		l.withhold(r)
	}
	if l.Source != "" {
		l.Source = e.Source
	}
	if l.ID != "" {
		l.ID = e.ID
	}
	return concerned
}

// isEvent tells whether the record is a CloudEvent, and so one event.
func (in *input) isEvent() bool {
	for _, h := range in.record.Headers {
		if strings.HasPrefix(h.Key, "ce_") {
			return true
		}
	}
	if in.header()[source.Header] != "" {
		return false
	}
	object, _ := in.content().(map[string]any)
	return object["specversion"] != nil
}

// becomes tells whether an event of a type may be one that r hides in, once
// other rules have made what they say of it: where its fields are then, nobody
// knows.
func (s *Set) becomes(name string, r *rule) bool {
	return slices.ContainsFunc(s.events, func(other *rule) bool {
		return other.ofType(name) && (other.rename != "" && r.ofType(other.rename) ||
			slices.ContainsFunc(other.maps, func(m mapping) bool { return r.ofType(m.name) }))
	})
}

// withhold takes the bytes out of the letter, and all headers that don't say
// what they were.
func (l *letter) withhold(r *rule) {
	if r.keepUnreadable {
		return
	}
	l.withheld = true
	l.Value = nil
	l.Headers = slices.DeleteFunc(slices.Clone(l.Headers), func(h pipeline.Header) bool {
		name := strings.ToLower(h.Key)
		return name != "content-type" && name != "whence-source"
	})
	l.record.Value, l.record.Headers = nil, l.Headers
}

const withheld = "its bytes are withheld by rule "

// Withheld tells by a letter's detail that its bytes are: nothing can be made of it.
func Withheld(detail string) bool { return strings.Contains(detail, "("+withheld) }

// scrub takes out of a letter what says in other words what the rule hides: a
// key is made of anything, and details quote values.
func (l *letter) scrub(r *rule) {
	l.Key = nil
	l.record.Key = nil
	about := "what it says is hidden by rule " + r.name
	if l.withheld {
		about = withheld + r.name
	}
	if strings.HasSuffix(l.Detail, ")") && strings.Contains(l.Detail, " by rule ") {
		return
	}
	where, _, quoted := strings.Cut(l.Detail, ": ")
	if l.Reason == pipeline.ReasonRule {
		parts := strings.SplitN(l.Detail, ": ", 3)
		where = strings.Join(parts[:min(2, len(parts))], ": ")
	} else if !quoted || strings.Contains(where, `"`) {
		where = string(l.Reason)
	}
	l.Detail = where + " (" + about + ")"
}

// shape of the letter's event: where its attributes and its data are.
type letterShape struct {
	binary bool // attributes are headers, the body is data
}

// open reads what may be an event that decode has refused, as far as it can be
// read. Nil: it can't, or it is in a tool's own words.
func (l *letter) open(in *input) (letterShape, *said) {
	attributes := map[string]string{}
	for _, h := range l.record.Headers {
		if name, is := strings.CutPrefix(h.Key, "ce_"); is {
			attributes[name] = string(h.Value)
		}
	}
	content := in.content()
	e := &said{from: l.Provenance, read: true}
	if len(attributes) > 0 {
		if content == nil && len(l.record.Value) > 0 {
			return letterShape{}, nil
		}
		e.fill(attributes)
		e.data = content
		return letterShape{binary: true}, e
	}
	object, ok := content.(map[string]any)
	if !ok || object["specversion"] == nil || object["data_base64"] != nil {
		return letterShape{}, nil
	}
	for name, v := range object {
		switch v := v.(type) {
		case string:
			attributes[name] = v
		default:
			if name != "data" && v != nil {
				text, _ := json.Marshal(v)
				attributes[name] = string(text)
			}
		}
	}
	e.fill(attributes)
	e.data = object["data"]
	return letterShape{}, e
}

// fill takes the attributes of an event as they are.
func (e *said) fill(attributes map[string]string) {
	for name, text := range attributes {
		switch name {
		case "specversion", "datacontenttype", "data":
		case "time":
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				e.Time = event.MillisOf(at)
			}
		case "traceid":
			e.TraceID = text
		default:
			if field := e.field(name); field != nil {
				*field = text
			} else {
				e.extend(name, text)
			}
		}
	}
}

// close writes the event's attributes and data back where they were.
func (s letterShape) close(in *input, e *said, w *worker) error {
	current := func(name string) (string, bool) {
		if name == "traceid" {
			name = "trace_id"
		}
		if field := e.field(name); field != nil {
			return *field, true
		}
		for _, p := range e.Extensions {
			if p.Key == name {
				return p.Value, true
			}
		}
		return "", false
	}
	if s.binary {
		for _, h := range slices.Clone(in.record.Headers) {
			if name, is := strings.CutPrefix(h.Key, "ce_"); is {
				if text, there := current(name); there && text != string(h.Value) {
					in.setHeader(h.Key, text)
				}
			}
		}
		in.body = e.data
		if e.data == nil {
			return nil
		}
		return in.write(&w.doc)
	}
	object := in.body.(map[string]any)
	for name, v := range object {
		if text, there := current(name); there && name != "data" && v != text {
			object[name] = text
		}
	}
	if e.data == nil {
		delete(object, "data")
	} else {
		object["data"] = e.data
	}
	return in.write(&w.doc)
}

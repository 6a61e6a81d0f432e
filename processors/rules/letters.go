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
		d := &b.Dead[i]
		newLetter(d, recordAt(b, d.Offset).Headers).hideAll(p.set, w)
	}
	return nil
}

// newLetter is d, of a record that rules have left with these headers.
func newLetter(d *pipeline.DeadLetter, left []pipeline.Header) *letter {
	return &letter{
		DeadLetter: d, left: left, seen: (&input{record: &pipeline.Record{Headers: left}}).header(),
		record: pipeline.Record{Key: d.Key, Value: d.Value, Headers: d.Headers, Offset: d.Offset, Timestamp: d.ReceivedAt},
	}
}

// hideAll does to the letter what all rules hide, and returns the last of them
// that had anything to do with it; nil: none.
func (l *letter) hideAll(s *Set, w *worker) (concerned *rule) {
	for _, r := range s.hiding {
		if l.copied && r.on == OnRecord {
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
	record pipeline.Record // what the letter holds
	// left are the headers that rules have left its record with, seen the same as
	// conditions see them: the letter has those that were sent.
	left     []pipeline.Header
	seen     map[string]string
	withheld bool
	copied   bool // no dead letter, but a copy of an event for a topic of the operator's
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
	if r.on == OnRecord {
		return l.hideRecord(s, r, in, w)
	}
	if !r.ofTopic(l.Topic) {
		return false
	}
	shape, e := l.open(in)
	in.headers = l.seen
	switch l.concerns(s, r, in, e) {
	case no:
		return false
	case unsure:
		if e != nil || len(l.record.Value) > 0 {
			l.withhold(r)
		}
		if l.withheld {
			l.hideIdentity(r)
		}
		return l.withheld
	}
	if in.event = e; !s.mayHold(r, in) && !l.mayHoldOnceSet(s, r, w) {
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

// hideRecord is hide for a rule on records.
func (l *letter) hideRecord(s *Set, r *rule, in *input, w *worker) (concerned bool) {
	if !l.mayHold(s, r, in) {
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

// concerns tells whether the letter is of a type that the rule is for. Unsure: it
// is, or may be, but where the rule's fields are in it nobody knows: it can't be
// read, it is in a tool's own words, which say events of several types, or rules
// make of it what the rule then hides in. e is what it says; nil: it can't be read.
func (l *letter) concerns(s *Set, r *rule, in *input, e *said) answer {
	if e == nil && !l.isEvent(in) {
		return unsure
	}
	var types []string
	if l.Type != "" {
		types = append(types, l.Type) // what the event was when it was at fault
	}
	if e != nil {
		types = append(types, e.Type)
	}
	becomes, filled := l.becomes(s, r, in, types)
	states := e != nil && (e.Type == "" || r.ofType(e.Type))
	switch {
	case states && !filled:
		return yes
	case states, becomes, len(types) == 0:
		return unsure
	}
	return no
}

// isEvent tells whether the record is a CloudEvent, and so one event.
func (l *letter) isEvent(in *input) bool {
	if l.copied || l.binary() {
		return true
	}
	if l.seen[source.Header] != "" {
		return false
	}
	object, _ := in.content().(map[string]any)
	return object["specversion"] != nil
}

// binary tells whether the record is a CloudEvent in binary mode: its attributes
// are headers, the body is data.
func (l *letter) binary() bool {
	if l.copied || strings.HasPrefix(l.seen["content-type"], "application/cloudevents") {
		return false
	}
	return slices.ContainsFunc(slices.Concat(l.left, l.record.Headers), func(h pipeline.Header) bool {
		return strings.HasPrefix(h.Key, attributePrefix)
	})
}

// attributePrefix is what headers of attributes begin with, by the Kafka binding.
const attributePrefix = "ce_"

// becomes tells whether rules may make an event of a type that r hides in of one
// of these types, and whether a mapping fills what r hides there: from a field of
// any name. Conditions of rules on events may ask for what rules before them have
// made, so all may hold.
func (l *letter) becomes(s *Set, r *rule, in *input, types []string) (is, filled bool) {
	add := func(name string) {
		if name != "" && !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	made := func(by *rule) {
		add(by.rename)
		add(by.keep)
		for i := range by.maps {
			add(by.maps[i].name)
			filled = filled || r.ofType(by.maps[i].name) && by.maps[i].fills(r)
		}
	}
	if !l.copied {
		for _, other := range s.records {
			if len(other.maps) > 0 && l.mayHold(s, other, in) {
				made(other)
			}
		}
	}
	for i := 0; i < len(types); i++ { // made adds to them
		for _, other := range s.events {
			if other.ofTopic(l.Topic) && other.ofType(types[i]) {
				made(other)
			}
		}
	}
	return slices.ContainsFunc(types, r.ofType), filled
}

// mayHoldOnceSet tells whether r's condition may hold for the letter's event once
// the rules before r have set in it what they set: the letter has what was sent.
func (l *letter) mayHoldOnceSet(s *Set, r *rule, w *worker) bool {
	in := &input{topic: l.Topic, record: &l.record, doc: &w.doc}
	_, in.event = l.open(in)
	in.headers = l.seen
	before := s.events[:slices.Index(s.events, r)]
	changes := round{worker: w}
	changed := false
	for _, other := range before {
		if len(other.sets) == 0 || !other.ofTopic(l.Topic) || !other.ofType(in.event.Type) {
			continue
		}
		met := true
		if other.when != nil {
			met, _ = other.when.truth(in)
		}
		if met && changes.change(other, in) == nil {
			changed = true
		}
	}
	return changed && s.mayHold(r, in)
}

// mayHold is that of a rule on records. Its condition may have held for what was
// sent, or for what rules before it have made of that.
func (l *letter) mayHold(s *Set, r *rule, in *input) bool {
	before := in.headers
	defer func() { in.headers = before }()
	if in.headers = nil; s.mayHold(r, in) {
		return true
	}
	in.headers = l.seen
	return s.mayHold(r, in)
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

// hideIdentity hides in what the letter says of its event besides the bytes: rules
// may have set it.
func (l *letter) hideIdentity(r *rule) {
	if l.Type != "" && !r.ofType(l.Type) {
		return
	}
	for _, h := range r.hides {
		switch h.at[1] {
		case "id":
			l.ID = r.hideText(h, l.ID)
		case "source":
			l.Source = r.hideText(h, l.Source)
		}
	}
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
	content := in.content()
	e := &said{from: l.Provenance, read: true}
	if l.binary() {
		for _, h := range slices.Concat(l.left, l.record.Headers) { // those that were sent are hidden in
			if name, is := strings.CutPrefix(h.Key, attributePrefix); is {
				attributes[name] = string(h.Value)
			}
		}
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
			if name, is := strings.CutPrefix(h.Key, attributePrefix); is {
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

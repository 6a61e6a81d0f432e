package rules

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
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
	mapped   bool // a copy of a record that was mapped: left has nothing that rules behind set
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
	concern, as := l.concerns(s, r, in, e)
	switch concern {
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
	if in.event = e; !s.mayHold(r, in) && !l.mayHoldOnceChanged(s, r, w) {
		return false
	}
	if concerned = r.hideAs(e, as); concerned && shape.close(in, e, w) != nil {
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

// hideAs hides in e as in events of these types, of which each has its own idea of
// what text a field may hold. e stays of the type that it states.
func (r *rule) hideAs(e *said, types []string) (found bool) {
	stated := e.Type
	defer func() { e.Type = stated }()
	for _, e.Type = range types {
		for _, h := range r.hides {
			found = r.hideEvent(h, e, e.data) || found
		}
	}
	return found
}

// hideRecord is hide for a rule on records.
func (l *letter) hideRecord(s *Set, r *rule, in *input, w *worker) (concerned bool) {
	if !l.mayHold(s, r, in) {
		return false
	}
	if r.isBlindTo(in) {
		l.withhold(r)
		return l.withheld
	}
	found, err := r.hideRecord(in, w)
	if err != nil {
		l.withhold(r)
	}
	return found || err != nil
}

// concerns tells whether the letter is of a type that the rule is for, as it came or
// once other rules have changed it, and as which: a rename leaves fields where they
// are. Unsure: it is, or may be, but where the rule's fields are in it nobody knows:
// it can't be read, it is in a tool's own words, which say events of several types,
// or rules fill what the rule then hides with other fields. e is what it says; nil:
// it can't be read.
func (l *letter) concerns(s *Set, r *rule, in *input, e *said) (concern answer, as []string) {
	if e == nil && !l.isEvent(in) || e == nil && l.Type == "" {
		return unsure, nil
	}
	for i, w := range l.ways(s, r, in, e) {
		stated := i == 0 && e != nil
		switch {
		case !r.ofType(w.name) && !(stated && w.name == ""):
		case w.moved || e == nil || !stated && s.copies(r, l.Topic, w.name):
			return unsure, nil
		default:
			concern, as = yes, append(as, w.name)
		}
	}
	return concern, as
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

// way is a type that an event may get, and whether what a rule hides may have been
// moved by then: filled with a field of any name.
type way struct {
	name  string
	moved bool
}

// ways are the types that rules may make of the letter's event, with what it states
// first. Conditions of rules on events may ask for what rules before them have made,
// so all may hold. What the event was when it was at fault, and can't be by rules,
// decode has made of it: of what, nobody knows.
func (l *letter) ways(s *Set, r *rule, in *input, e *said) (ways []way) {
	add := func(name string, moved bool) {
		if w := (way{name, moved}); name != "" && !slices.Contains(ways, w) {
			ways = append(ways, w)
		}
	}
	made := func(by *rule, moved bool) {
		add(by.rename, moved)
		add(by.keep, moved)
		for i := range by.maps {
			add(by.maps[i].name, moved || by.maps[i].fills(r))
		}
	}
	followed := 0
	follow := func() {
		for ; followed < len(ways); followed++ { // made adds to them
			from := ways[followed]
			moved := from.moved || s.copies(r, l.Topic, from.name)
			for _, other := range s.events {
				if other.ofTopic(l.Topic) && other.ofType(from.name) {
					made(other, moved)
				}
			}
		}
	}
	if e != nil {
		ways = append(ways, way{e.Type, false})
		if strings.HasPrefix(e.Type, codec.CDEventsPrefix) {
			for _, t := range event.Types() { // decode says it in one of these
				add(t.Name, true)
			}
		}
	}
	if !l.copied {
		for _, other := range s.records {
			if len(other.maps) > 0 && l.mayHold(s, other, in) {
				made(other, true)
			}
		}
	}
	if follow(); !slices.ContainsFunc(ways, func(w way) bool { return w.name == l.Type }) {
		add(l.Type, true)
		follow()
	}
	return ways
}

// copies tells whether a rule sets something that r hides in events of a type to
// what may be another field.
func (s *Set) copies(r *rule, topic, name string) bool {
	return slices.ContainsFunc(s.events, func(other *rule) bool {
		return other.ofTopic(topic) && other.ofType(name) && slices.ContainsFunc(r.hides, func(h hide) bool {
			return slices.ContainsFunc(other.sets, func(a assignment) bool { return h.at.joined().meets(a.at.joined()) && a.copies(h) })
		})
	})
}

// mayHoldOnceChanged tells whether r's condition may hold for the letter's event
// once the rules before r have set in it what they set, and given it other types.
// A letter has what was sent. A copy has what some of them have made of that, nobody
// knows which: each that sets anything may be the last of those. Where one maps the
// event, or fails, r may hold.
func (l *letter) mayHoldOnceChanged(s *Set, r *rule, w *worker) bool {
	if l.mapped && r.when.names("headers") && slices.ContainsFunc(s.records, func(other *rule) bool { return len(other.sets) > 0 }) {
		return true
	}
	before := s.events[:slices.Index(s.events, r)]
	if l.mayHoldBehind(s, r, before, w) {
		return true
	}
	for i, other := range before {
		if l.copied && len(other.sets) > 0 && l.mayHoldBehind(s, r, before[i+1:], w) {
			return true
		}
	}
	return false
}

// mayHoldBehind is mayHoldOnceChanged by these rules.
func (l *letter) mayHoldBehind(s *Set, r *rule, before []*rule, w *worker) bool {
	in := &input{topic: l.Topic, record: &l.record, doc: &w.doc}
	_, in.event = l.open(in)
	in.headers = l.seen
	changes := round{worker: w}
	for _, other := range before {
		if len(other.sets)+len(other.maps) == 0 && other.rename == "" || !other.ofTopic(l.Topic) || !other.ofType(in.event.Type) {
			continue
		}
		met := true
		if other.when != nil {
			met, _ = other.when.truth(in)
		}
		if met && (len(other.maps) > 0 || changes.change(other, in) != nil) {
			return true
		}
	}
	return s.mayHold(r, in)
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
	l.Headers = aboutBytes(l.Headers)
	l.record.Value, l.record.Headers = nil, l.Headers
}

// aboutBytes are the headers that say what the bytes were.
func aboutBytes(headers []pipeline.Header) []pipeline.Header {
	return slices.DeleteFunc(slices.Clone(headers), func(h pipeline.Header) bool {
		name := strings.ToLower(h.Key)
		return name != "content-type" && name != "whence-source"
	})
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

// What a letter's detail says of a rule, which follows.
const (
	hiddenBy = "what it says is hidden by rule "
	withheld = "the record's bytes are withheld by rule "
)

// Withheld tells by a letter's detail that its bytes are: nothing can be made of it.
func Withheld(detail string) bool { return strings.Contains(detail, "("+withheld) }

// scrub takes out of a letter what says in other words what the rule hides: a
// key is made of anything, and details quote values.
func (l *letter) scrub(r *rule) {
	l.Key = nil
	l.record.Key = nil
	about := hiddenBy + r.name
	if l.withheld {
		about = withheld + r.name
	}
	switch before, _, already := strings.Cut(l.Detail, " ("+hiddenBy); {
	case already && l.withheld: // another rule has hidden in the bytes that this one withholds
		l.Detail = before + " (" + about + ")"
		return
	case already, Withheld(l.Detail):
		return
	}
	where, what, quoted := strings.Cut(l.Detail, ": ")
	if l.Reason == pipeline.ReasonRule {
		parts := strings.SplitN(l.Detail, ": ", 3)
		where = strings.Join(parts[:min(2, len(parts))], ": ")
	} else if !quoted || strings.Contains(where, `"`) {
		where = string(l.Reason)
	} else if strings.TrimSuffix(what, afterRules) == "missing" {
		where = l.Detail // it quotes nothing
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

package decode

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// rule says what one kind of message of a source becomes. The README's tables
// are made of rules, so what is not said here is said nowhere. P is what the
// source's own library reads a message into, with whatever of the payload the
// rules need.
type rule[P any] struct {
	from string       // the source's name for it: deployment_status
	when string       // which of them, for the table; empty: all
	is   func(P) bool // nil: all
	to   string       // our type without its prefix
	// id of the event: of what the message is about and what happened to it, never
	// of the delivery, so that a redelivered webhook and a back-fill are the same event.
	id     field[P]
	time   field[P] // of what happened, not of the delivery; a time.Time
	fields []field[P]
}

// field fills one field of data. What comes out empty (a zero time, an empty
// string or list, nil) is left out.
type field[P any] struct {
	name string
	doc  string // for the table: a path in the message in backquotes, or words
	from func(P) any
}

// apply says what the rules make of a message p of kind from, in the name of
// origin, the event's source. It tells whether any rule fits.
func apply[P any](s *said, rules []rule[P], from, origin string, p P) bool {
	fits := false
	for i := range rules {
		r := &rules[i]
		if r.from != from || r.is != nil && !r.is(p) {
			continue
		}
		if fits = true; s.full() {
			return true
		}
		data := map[string]any{}
		for _, f := range r.fields {
			v := f.from(p)
			if at, ok := v.(time.Time); ok && !at.IsZero() {
				v = instant(at)
			}
			if f.name == "version" && r.deploys() {
				v = s.payload.version(v)
			}
			if !empty(v) {
				data[f.name] = v
			}
		}
		id, _ := r.id.from(p).(string)
		at, _ := r.time.from(p).(time.Time)
		s.say(event.Event{Source: origin, ID: id, Time: event.MillisOf(at)}, r.to, data)
	}
	return fits
}

// deploys tells whether the rule makes a fact of a deployment.
func (r *rule[P]) deploys() bool { return strings.HasPrefix(r.to, "deployment.") }

// instant is t as facts have it: a webhook and an API may write one moment in
// two zones, and would be two contents of one fact.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// fixed fills a field with the same text always.
func fixed[P any](name, text string) field[P] {
	return field[P]{name, `"` + text + `"`, func(P) any { return text }}
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case time.Time:
		return v.IsZero()
	case json.RawMessage:
		return len(v) == 0
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return r.Len() == 0
	case reflect.Pointer:
		return r.IsNil()
	}
	return false // a number or a truth that is not known is nil or a nil pointer
}

// row is a line of a source's table in the README.
type row struct {
	from, when, to, id, time string
	fields                   []rowField
}

type rowField struct{ name, doc string }

func rows[P any](rules []rule[P]) []row {
	var all []row
	for _, r := range rules {
		line := row{from: r.from, when: r.when, to: r.to, id: r.id.doc, time: r.time.doc}
		for _, f := range r.fields {
			doc := f.doc
			if f.name == "version" && r.deploys() {
				doc += "; where that is a commit or nothing, the hint"
			}
			line.fields = append(line.fields, rowField{f.name, doc})
		}
		all = append(all, line)
	}
	return all
}

// with is fields and more of them; fields stay as they are.
func with[P any](fields []field[P], more ...field[P]) []field[P] {
	return append(slices.Clip(fields), more...)
}

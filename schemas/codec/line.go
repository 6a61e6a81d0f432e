package codec

import (
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// Parsed is what CheckLine says of a line.
type Parsed struct {
	Type, Source, ID string
	Service          string // empty where the event names none
	Topic            string // the default topic of its type
	Key              []byte // the record key, as an Encoder sets it
	Time             event.Millis
}

// CheckLine checks one event given as a line of JSON, structured mode or a
// CDEvent, as strictly as the pipeline will. The error is a *Fault that names
// the field.
func CheckLine(line []byte) (Parsed, error) {
	var d Decoder
	return d.CheckLine(line)
}

// CheckLine is the function CheckLine for many lines.
func (d *Decoder) CheckLine(line []byte) (Parsed, error) {
	if f := d.open(line, nil); f != nil {
		return Parsed{}, f
	}
	d.complete()
	e := &d.in.event
	p := Parsed{
		Type: strings.Clone(e.Type), Source: strings.Clone(e.Source), ID: strings.Clone(e.ID),
		Topic: event.TopicFor(e.Type), Key: keyOf(e), Time: e.Time,
	}
	if strings.HasPrefix(e.Type, event.Prefix) {
		p.Service = strings.Clone(textOf(d.in.data.Field("service")))
	}
	return p, d.check()
}

// check holds the opened event against the registry.
func (d *Decoder) check() error {
	name := d.in.event.Type
	t := event.Lookup(name)
	switch {
	case t != nil:
		return Check(t, d.in.data)
	case strings.HasPrefix(name, event.Prefix):
		return fault(UnknownType, "type: %s is not known", quote(name))
	}
	return nil
}

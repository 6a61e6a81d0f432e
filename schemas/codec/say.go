package codec

import (
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Say adds to out the event of an own type that a source's payload says: its
// envelope (without the hash, which is set here) and its data as JSON. All of
// the registry's rules are asked, facts' and observations'. The error is a
// *Fault, and then out is as it was. Strings of an observation may alias data.
func (d *Decoder) Say(out *Events, from event.Provenance, e event.Event, data []byte) error {
	t := event.Lookup(e.Type)
	if t == nil {
		return fault(UnknownType, "type: %s is not known", quote(e.Type))
	}
	d.doc.MaxDepth = d.depth() + 1 // what it was mapped from may be in its data
	if err := d.doc.ParseJSON(data); err != nil {
		return unreadable("data", err)
	}
	if f := d.enter(e, d.doc.Root()); f != nil {
		return f
	}
	if err := Check(t, d.in.data); err != nil {
		return err
	}
	if f := d.place(out, from); f != nil {
		return f
	}
	return nil
}

// Keep adds to out an event of a type from elsewhere with the bytes its source
// sent as data: JSON as JSON, other text as a string, other bytes as their
// base64. The error is a *Fault, and then out is as it was.
func (d *Decoder) Keep(out *Events, from event.Provenance, e event.Event, body []byte) error {
	d.doc.MaxDepth = d.depth()
	if d.doc.ParseJSON(body) != nil && d.doc.ParseText(body) != nil {
		d.doc.ParseBytes(body)
	}
	if f := d.enter(e, d.doc.Root()); f != nil {
		return f
	}
	d.in.kept = true
	if f := d.place(out, from); f != nil {
		return f
	}
	return nil
}

// Restate adds to out an event that was decoded before and is to say something
// else now: its envelope and its data as JSON, empty where it has none. was is
// the data it had, kept whether it came from Keep. It is held to the same rules, and hashed anew. The error is a
// *Fault, and then out is as it was. Strings of the event may alias data.
func (d *Decoder) Restate(out *Events, from event.Provenance, e event.Event, kept bool, was, data string) error {
	d.doc.MaxDepth, d.inner.MaxDepth = acceptedDepth, acceptedDepth
	if was != "" && d.inner.ParseJSON(bytesOf(was)) == nil {
		// What its data said of a shared field stands in the envelope too.
		for name, v := range d.inner.Root().Members() {
			if field := e.SharedField(name); field != nil && states(v, *field) {
				*field = ""
			}
		}
	}
	root := value.Value{}
	if data != "" {
		if err := d.doc.ParseJSON(bytesOf(data)); err != nil {
			return unreadable("data", err)
		}
		root = d.doc.Root()
	}
	if f := d.enter(e, root); f != nil {
		return f
	}
	d.in.kept = kept
	if t := event.Lookup(e.Type); t != nil {
		if err := Check(t, root); err != nil {
			return err
		}
	}
	if f := d.place(out, from); f != nil {
		return f
	}
	return nil
}

// DataOf is an observation's data as JSON: attributes and frames as the strings
// they are kept as.
func DataOf(o *event.Observation) string { return string(observationJSON(o)) }

// enter opens an event whose envelope is made already.
func (d *Decoder) enter(e event.Event, data value.Value) *Fault {
	d.in = envelope{event: e, specVersion: "1.0", data: data, extensions: append(d.in.extensions[:0], e.Extensions...)}
	if e.Time < event.MinTime || e.Time >= event.MaxTime {
		return fault(Time, "time: %s is not within 2000 to 2100", e.Time.Time().Format("2006-01-02T15:04:05Z07:00"))
	}
	if f := d.in.checkAttributes(); f != nil {
		return f
	}
	d.in.sortExtensions()
	d.in.event.Extensions = d.pairs.copy(d.in.extensions)
	return nil
}

// Unreadable is the fault of bytes that package value can't read, with where
// they were.
func Unreadable(where string, err error) error { return unreadable(where, err) }

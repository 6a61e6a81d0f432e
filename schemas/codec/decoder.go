package codec

import (
	"encoding/base64"
	"slices"
	"strings"
	"unsafe"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Header is one Kafka record header. Fields as in pipeline.Header, so that one
// converts to the other.
type Header struct {
	Key   string
	Value []byte
}

// Events is what records become. Decode appends to it.
type Events struct {
	Facts        []event.Fact
	Observations []event.Observation
	Others       []event.Other
}

// Decoder turns records into events. The zero Decoder is ready for use, by
// one goroutine at a time.
type Decoder struct {
	// MaxDepth is how deep data may nest; 0 means value.DefaultDepth.
	MaxDepth int

	doc, inner value.Doc
	in         envelope
	pairs      slab[event.Pair]
	texts      slab[byte]
	extra      []member
	scratch    []byte
	clock      clock
}

// envelope is what a record says before its type is looked at.
type envelope struct {
	event       event.Event
	specVersion string
	time        string
	dataType    string
	data        value.Value // doesn't exist where the event has no data
	extensions  []event.Pair
	// cdevents: a bare CDEvent, whose attributes are at other paths.
	cdevents bool
	// kept: bytes that its source sent without an envelope, so that all but its
	// name and data is a reader's doing.
	kept bool
}

// Decode reads one record and appends its event to out. The error is a *Fault,
// and then out is as it was.
//
// Strings of the event may alias val and the headers, which must not change
// after this, and keep them alive: clone what outlives its batch.
func (d *Decoder) Decode(out *Events, from event.Provenance, val []byte, headers []Header) error {
	f := d.open(val, headers)
	if f == nil {
		f = d.place(out, from)
	}
	if f == nil {
		return nil
	}
	e := &d.in.event
	f.Source, f.ID, f.Type, f.Time = e.Source, e.ID, e.Type, e.Time
	return f
}

// place appends the opened event where it belongs.
func (d *Decoder) place(out *Events, from event.Provenance) *Fault {
	name := d.in.event.Type
	t := event.Lookup(name)
	switch {
	case t == nil && strings.HasPrefix(name, event.Prefix):
		return fault(UnknownType, "type: %s is not known", quote(name))
	case t != nil && t.Observation:
		n := len(out.Observations)
		out.Observations = append(out.Observations, event.Observation{})
		o := &out.Observations[n]
		o.Event, o.Provenance = d.in.event, from
		f := d.fillObservation(o, t)
		if f != nil {
			out.Observations = out.Observations[:n]
		}
		return f
	}
	d.complete()
	if t == nil {
		out.Others = append(out.Others, event.Other{Event: d.in.event, Provenance: from, Data: d.in.data.JSON(), Kept: d.in.kept})
		return nil
	}
	fact := newFact(d.in.event, t, d.in.data)
	fact.Provenance = from
	out.Facts = append(out.Facts, fact)
	return nil
}

// open reads a record into d.in: the envelope whole and checked. What data
// says for any event, and the hash, complete adds (and fillObservation, which
// goes over data anyway).
func (d *Decoder) open(val []byte, headers []Header) *Fault {
	d.in = envelope{extensions: d.in.extensions[:0]}
	contentType, binaryMode := "", false
	for i := range headers {
		switch h := &headers[i]; {
		case strings.HasPrefix(h.Key, "ce_"):
			binaryMode = true
		case len(h.Key) == len("content-type") && strings.EqualFold(h.Key, "content-type"):
			contentType = view(h.Value)
		}
	}
	if len(val) == 0 {
		return fault(Empty, "the record has no value")
	}
	how := formOf(contentType)
	switch how {
	case batch:
		return fault(ContentType, "content-type: %s: the Kafka binding has no batches; send one event a record", quote(contentType))
	case unreadableForm:
		return unreadContentType("content-type", contentType)
	}
	var f *Fault
	switch {
	case how == structuredJSON, how == structuredMsgpack:
		f = d.openStructured(val, how)
	case binaryMode:
		f = d.openBinary(val, headers, how, contentType)
	case how == text, how == opaque:
		f = unreadContentType("content-type", contentType)
	default:
		f = d.openStructured(val, how)
	}
	if f != nil {
		return f
	}
	return d.settle()
}

// parse reads val into doc as its form says; where nothing says, by its first byte.
func (d *Decoder) parse(doc *value.Doc, val []byte, how form) error {
	switch {
	case how == msgpackData, how == structuredMsgpack, how == unstated && value.IsMsgpackMap(val[0]):
		return doc.ParseMsgpack(val)
	default:
		return doc.ParseJSON(val)
	}
}

func (d *Decoder) depth() int {
	if d.MaxDepth > 0 {
		return d.MaxDepth
	}
	return value.DefaultDepth
}

func (d *Decoder) openBinary(val []byte, headers []Header, how form, contentType string) *Fault {
	for i := range headers {
		name, ok := strings.CutPrefix(headers[i].Key, "ce_")
		if !ok {
			continue
		}
		if !value.ValidUTF8(headers[i].Value) || !value.ValidUTF8(bytesOf(name)) {
			return fault(InvalidUTF8, "header %q: invalid UTF-8", headers[i].Key)
		}
		if name == "data" || name == "data_base64" {
			// Written in structured mode, which the context log is, it would be the data.
			return fault(Malformed, "header %s: data is the record's value, and no attribute", headers[i].Key)
		}
		d.in.attribute(name, view(headers[i].Value))
	}
	d.in.dataType = contentType // which is what it is in this mode
	return d.openData(&d.doc, val, how, bytesAt{"data", "content-type"})
}

// bytesAt says where a record has its data as bytes, and their content type.
type bytesAt struct{ data, contentType string }

// openData reads data that came as bytes, by its content type. What nobody reads
// here is kept in an event of another type, as the JSON event format has it
// (section 3.1): text is a string, other bytes, and text that is no UTF-8, the
// string of their base64. So such an event is the same one in binary mode and in
// structured mode with data or with data_base64.
func (d *Decoder) openData(doc *value.Doc, raw []byte, how form, at bytesAt) *Fault {
	doc.MaxDepth = d.depth()
	switch {
	case how == unstated, how == jsonData, how == msgpackData:
		if err := d.parse(doc, raw, how); err != nil {
			return unreadable(at.data, err)
		}
	case strings.HasPrefix(d.in.event.Type, event.Prefix):
		return unreadContentType(at.contentType, d.in.dataType)
	case how != text || doc.ParseText(raw) != nil:
		doc.ParseBytes(raw)
	}
	d.in.data = doc.Root()
	return nil
}

// attribute takes one context attribute. Of an attribute stated twice the last counts.
func (in *envelope) attribute(name, text string) {
	e := &in.event
	switch name {
	case "specversion":
		in.specVersion = text
	case "id":
		e.ID = text
	case "source":
		e.Source = text
	case "type":
		e.Type = text
	case "subject":
		e.Subject = text
	case "time":
		in.time = text
	case "datacontenttype":
		in.dataType = text
	case "traceid", "trace_id":
		// Two names of one thing: of both the greater, so that order doesn't count.
		e.TraceID = max(e.TraceID, text)
	default:
		if shared := e.SharedField(name); shared != nil {
			*shared = text
			return
		}
		in.extensions = append(in.extensions, event.Pair{Key: name, Value: text})
	}
}

func (d *Decoder) openStructured(val []byte, how form) *Fault {
	d.doc.MaxDepth = d.depth() + 1 // the envelope is a level of its own
	if err := d.parse(&d.doc, val, how); err != nil {
		return unreadable("value", err)
	}
	root := d.doc.Root()
	if root.Kind() != value.Object {
		return fault(Malformed, "value: must be an object, is %s", describe(root))
	}
	if isCDEvent(root) {
		if root.Depth() > d.depth() {
			// It is data alone: sent on in an envelope it would be refused.
			return fault(TooDeep, "value: nested too deep: more than %d levels", d.depth())
		}
		return d.openCDEvent(root)
	}
	return d.openEnvelope(root)
}

func (d *Decoder) openEnvelope(root value.Value) *Fault {
	var encoded value.Value
	for name, v := range root.Members() {
		switch name {
		case "data":
			d.in.data = v
		case "data_base64":
			encoded = v
		case "specversion", "id", "source", "type", "subject", "time", "datacontenttype":
			text, ok := v.Text()
			if !ok {
				return wrongType(name, event.StringField, v)
			}
			d.in.attribute(name, text)
		default:
			d.in.attribute(name, plain(v))
		}
	}
	if !encoded.Exists() {
		return nil
	}
	if d.in.data.Exists() {
		return fault(Malformed, "data_base64: stands beside data")
	}
	return d.openEncoded(encoded)
}

// plain is a value as a string: strings as they are, the rest as JSON.
func plain(v value.Value) string {
	if text, ok := v.Text(); ok {
		return text
	}
	return v.JSON()
}

// openEncoded reads data_base64 by datacontenttype.
func (d *Decoder) openEncoded(encoded value.Value) *Fault {
	text, ok := encoded.Text()
	if !ok {
		return wrongType("data_base64", event.StringField, encoded)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fault(Malformed, "data_base64: %v", err)
	}
	if len(raw) == 0 { // which no content type but text allows
		d.inner.ParseBytes(nil)
		d.in.data = d.inner.Root()
		return nil
	}
	return d.openData(&d.inner, raw, formOf(d.in.dataType), bytesAt{"data_base64", "datacontenttype"})
}

// settle checks the envelope and finishes what is of it alone: its time and
// the extensions, in order.
func (d *Decoder) settle() *Fault {
	in := &d.in
	e := &in.event
	timePath := "time"
	if in.cdevents {
		timePath = "context.timestamp"
	}
	// The time first, so that a dead letter of the rest has it.
	t, timeFault := d.clock.eventTime(timePath, in.time)
	e.Time = t
	if f := in.checkAttributes(); f != nil {
		return f
	}
	if timeFault != nil {
		return timeFault
	}
	in.sortExtensions()
	e.Extensions = d.pairs.copy(in.extensions)
	return nil
}

// sortExtensions sorts the extensions, each once: the last that was stated. It
// is done at the end, since a megabyte of attributes is 70,000 of them.
func (in *envelope) sortExtensions() {
	if len(in.extensions) == 0 {
		return
	}
	if strings.HasPrefix(in.event.Type, CDEventsPrefix) {
		// Of the wrapping, as datacontenttype is: a bare one has none.
		in.extensions = slices.DeleteFunc(in.extensions, func(p event.Pair) bool { return p.Key == "dataschema" })
	}
	slices.SortStableFunc(in.extensions, comparePairs)
	in.extensions = lastOfEach(in.extensions)
}

func (in *envelope) checkAttributes() *Fault {
	prefix := ""
	if in.cdevents {
		prefix = "context."
	} else if in.specVersion == "" {
		return missing("specversion")
	} else if in.specVersion != "1.0" {
		return fault(SpecVersion, "specversion: %s is not 1.0", quote(in.specVersion))
	}
	switch e := &in.event; "" {
	case e.Type:
		return missing(prefix + "type")
	case e.Source:
		return missing(prefix + "source")
	case e.ID:
		return missing(prefix + "id")
	}
	return nil
}

// complete finishes an opened event: what data says for any event, and the hash.
func (d *Decoder) complete() {
	e := &d.in.event
	for name, v := range d.in.data.Members() {
		if field := e.SharedField(name); field != nil {
			d.fillShared(field, v)
		}
	}
	e.Hash = hashEvent(e, d.in.data)
	if d.in.kept {
		e.Hash = hashKept(e, d.in.data)
	}
}

// fillShared takes what data says of a field that any event may carry, where
// no attribute has stated it. What is no token says nothing; in an own type it
// is an error too, which Check finds in facts and fillObservation in observations.
func (d *Decoder) fillShared(field *string, v value.Value) {
	if *field == "" && holds(v, event.TokenField) {
		*field = d.plain(v)
	}
}

// plain is plain without an allocation a value.
func (d *Decoder) plain(v value.Value) string {
	if text, ok := v.Text(); ok {
		return text
	}
	d.scratch = v.AppendJSON(d.scratch[:0])
	return view(d.texts.copy(d.scratch))
}

func comparePairs(a, b event.Pair) int { return strings.Compare(a.Key, b.Key) }

// slab hands out slices cut from larger ones, which are never used again, so
// that a row costs a fraction of an allocation.
type slab[T any] struct{ free []T }

func (s *slab[T]) copy(from []T) []T {
	if len(from) == 0 {
		return nil
	}
	if len(s.free) < len(from) {
		var zero T
		s.free = make([]T, max(len(from), 8192/int(unsafe.Sizeof(zero))))
	}
	n := copy(s.free, from)
	cut := s.free[:n:n]
	s.free = s.free[n:]
	return cut
}

// view is b as a string, without a copy: b must never change again.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is s as bytes, without a copy: they must only be read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

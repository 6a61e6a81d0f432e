package codec

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Format is how an Encoder writes an event.
type Format uint8

// The formats.
const (
	// BinaryMsgpack is binary mode with data as msgpack: the compact default of
	// our own publisher. An event without data is structured msgpack instead,
	// for a record without a value is no event here.
	BinaryMsgpack Format = iota
	// StructuredJSON is one JSON object.
	StructuredJSON
)

// Message is an event as a Kafka record. Its bytes are its own.
type Message struct {
	// Key is the partitionkey attribute where the event has one, else source|id:
	// a repeated event meets its first copy, and a hot service is spread out.
	Key, Value []byte
	Headers    []Header
}

// Size is what limits.max_event_bytes counts: the bytes of value and headers.
func (m *Message) Size() int {
	size := len(m.Value)
	for i := range m.Headers {
		size += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return size
}

// Encoder writes events as records. The zero Encoder is ready for use, by one
// goroutine at a time.
type Encoder struct {
	dec Decoder
	doc value.Doc
	buf bytes.Buffer
	enc *msgpack.Encoder
}

// Line writes an event given as one line of JSON, structured mode or a CDEvent.
// It checks the envelope only; CheckLine checks all. The error is a *Fault.
func (e *Encoder) Line(line []byte, format Format) (Message, error) {
	e.dec.MaxDepth = acceptedDepth // how deep it may be, CheckLine has said
	if f := e.dec.open(line, nil); f != nil {
		return Message{}, f
	}
	in := &e.dec.in
	if format == StructuredJSON {
		contentType := structuredJSONType
		if in.cdevents {
			contentType = jsonType
		}
		return Message{Key: keyOf(&in.event), Value: bytes.Clone(line), Headers: []Header{{"content-type", []byte(contentType)}}}, nil
	}
	return e.msgpack(&in.event, in.data)
}

// Fact writes a fact. The error says that its Data is no JSON.
func (e *Encoder) Fact(f *event.Fact, format Format) (Message, error) {
	return e.event(&f.Event, []byte(f.Data), format)
}

// Observation writes an observation. Attributes and frames go out as the
// strings they are kept as, so one that was a number comes back as its string.
func (e *Encoder) Observation(o *event.Observation, format Format) (Message, error) {
	return e.event(&o.Event, observationJSON(o), format)
}

func (e *Encoder) event(ev *event.Event, data []byte, format Format) (Message, error) {
	if format == StructuredJSON {
		return Message{Key: keyOf(ev), Value: structured(ev, data), Headers: []Header{{"content-type", []byte(structuredJSONType)}}}, nil
	}
	v, err := e.parse(data)
	if err != nil {
		return Message{}, err
	}
	return e.msgpack(ev, v)
}

// parse reads data, which may be empty.
func (e *Encoder) parse(data []byte) (value.Value, error) {
	if len(data) == 0 {
		return value.Value{}, nil
	}
	e.doc.MaxDepth = acceptedDepth
	if err := e.doc.ParseJSON(data); err != nil {
		return value.Value{}, unreadable("data", err)
	}
	return e.doc.Root(), nil
}

func (e *Encoder) msgpack(ev *event.Event, data value.Value) (Message, error) {
	m := Message{Key: keyOf(ev)}
	if !data.Exists() {
		m.Headers = []Header{{"content-type", []byte(structuredMsgpackType)}}
		m.Value = e.envelope(ev, data)
		return m, nil
	}
	attributes := attributesOf(ev, data)
	m.Headers = make([]Header, 0, len(attributes)+1)
	for _, a := range attributes {
		m.Headers = append(m.Headers, Header{"ce_" + a.Key, []byte(a.Value)})
	}
	m.Headers = append(m.Headers, Header{"content-type", []byte(msgpackType)})
	enc := e.msgpackEncoder()
	must(data.EncodeMsgpack(enc))
	m.Value = bytes.Clone(e.buf.Bytes())
	return m, nil
}

// envelope is an event whole, as application/cloudevents+msgpack.
func (e *Encoder) envelope(ev *event.Event, data value.Value) []byte {
	enc := e.msgpackEncoder()
	attributes := attributesOf(ev, data)
	n := len(attributes)
	if data.Exists() {
		n++
	}
	must(enc.EncodeMapLen(n))
	for _, a := range attributes {
		must(enc.EncodeString(a.Key))
		must(enc.EncodeString(a.Value))
	}
	if data.Exists() {
		must(enc.EncodeString("data"))
		must(data.EncodeMsgpack(enc))
	}
	return bytes.Clone(e.buf.Bytes())
}

func (e *Encoder) msgpackEncoder() *msgpack.Encoder {
	e.buf.Reset()
	if e.enc == nil {
		e.enc = msgpack.NewEncoder(&e.buf)
	}
	return e.enc
}

// must is for writing to a bytes.Buffer, which has no errors.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// attributesOf are an event's context attributes as written. What any event
// may carry is left out where data says the same.
func attributesOf(ev *event.Event, data value.Value) []event.Pair {
	attributes := make([]event.Pair, 0, 8+len(ev.Extensions))
	attributes = append(attributes,
		event.Pair{Key: "specversion", Value: "1.0"}, event.Pair{Key: "id", Value: ev.ID},
		event.Pair{Key: "source", Value: ev.Source}, event.Pair{Key: "type", Value: ev.Type},
		event.Pair{Key: "time", Value: string(appendTime(nil, ev.Time))})
	if ev.Subject != "" {
		attributes = append(attributes, event.Pair{Key: "subject", Value: ev.Subject})
	}
	for _, a := range sharedOf(ev) {
		if a.Value != "" && !states(data.Field(a.Key), a.Value) {
			a.Key = strings.ReplaceAll(a.Key, "_", "") // names of attributes have none
			attributes = append(attributes, a)
		}
	}
	return append(attributes, ev.Extensions...)
}

// states tells whether decoding takes s from a field of data, which it does from
// tokens only: true is not "true".
func states(v value.Value, s string) bool { return holds(v, event.TokenField) && plain(v) == s }

func sharedOf(ev *event.Event) [6]event.Pair {
	return [...]event.Pair{
		{Key: "tenant", Value: ev.Tenant}, {Key: "region", Value: ev.Region}, {Key: "cluster", Value: ev.Cluster},
		{Key: "cell", Value: ev.Cell}, {Key: "trace_id", Value: ev.TraceID}, {Key: "sequence", Value: ev.Sequence},
	}
}

// structured is an event whole, as application/cloudevents+json.
func structured(ev *event.Event, data []byte) []byte {
	var w writer
	w.ObjStart()
	for _, a := range attributesOf(ev, value.Value{}) {
		w.field(a.Key) // an empty extension too
		w.Str(a.Value)
	}
	if len(data) > 0 {
		w.text("datacontenttype", jsonType)
		w.field("data")
		w.Raw(data)
	}
	w.ObjEnd()
	return w.Buf
}

// Key is the record key of an event, see Message.
func Key(ev *event.Event) []byte { return keyOf(ev) }

func keyOf(ev *event.Event) []byte {
	i, ok := slices.BinarySearchFunc(ev.Extensions, "partitionkey", func(p event.Pair, key string) int { return strings.Compare(p.Key, key) })
	if ok {
		return []byte(ev.Extensions[i].Value)
	}
	return []byte(ev.Source + "|" + ev.ID)
}

// observationJSON is an observation's data.
func observationJSON(o *event.Observation) []byte {
	var w writer
	w.ObjStart()
	if t := event.Lookup(o.Type); t != nil {
		for i := range t.Fields {
			w.slot(o, slotOf(t.Fields[i].Name))
		}
	}
	if len(o.Extra) > len("{}") {
		if w.fields > 0 {
			w.Comma()
		}
		w.RawStr(o.Extra[1 : len(o.Extra)-1])
	}
	w.ObjEnd()
	return w.Buf
}

func (w *writer) slot(o *event.Observation, s slot) {
	switch {
	case s < slotDurationMS:
		w.text(slotNames[s], *textSlot(o, s))
	case s < slotOK:
		if n := *numberSlot(o, s); !math.IsNaN(n) {
			w.field(slotNames[s])
			w.Float64(n)
		}
	case s == slotOK && o.OK != event.Unstated:
		w.field("ok")
		w.Bool(o.OK == event.True)
	case s == slotAttributes && len(o.Attributes) > 0:
		w.field("attributes")
		attributes := writer{Writer: w.Writer}
		attributes.ObjStart()
		for _, a := range o.Attributes {
			attributes.field(a.Key)
			attributes.Str(a.Value)
		}
		attributes.ObjEnd()
		w.Writer = attributes.Writer
	case s == slotFrames && len(o.Frames) > 0:
		w.field("frames")
		w.ArrStart()
		for i, frame := range o.Frames {
			if i > 0 {
				w.Comma()
			}
			w.Str(frame)
		}
		w.ArrEnd()
	}
}

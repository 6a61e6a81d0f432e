package codec

import (
	"strconv"

	"github.com/whencehq/whence/schemas/event"
)

// The context log holds each fact as application/cloudevents+msgpack, and
// where it came from in these headers.
const (
	headerTopic      = "whence-topic"
	headerPartition  = "whence-partition"
	headerOffset     = "whence-offset"
	headerReceivedAt = "whence-received-at" // milliseconds since 1970
)

// acceptedDepth is deeper than any limit that decode may have: what was
// accepted once is not refused on the way back.
const acceptedDepth = 2000

// EncodeFact writes a fact as a record of the context log, its key source|id.
// DecodeFact gives it back whole but for Revision, which is the record's
// offset. The error says that Data is no JSON.
func (e *Encoder) EncodeFact(f *event.Fact) (Message, error) {
	data, err := e.parse([]byte(f.Data))
	if err != nil {
		return Message{}, err
	}
	return Message{
		Key:   []byte(f.Source + "|" + f.ID),
		Value: e.envelope(&f.Event, data),
		Headers: []Header{
			{"content-type", []byte(structuredMsgpackType)},
			{headerTopic, []byte(f.Topic)},
			{headerPartition, strconv.AppendInt(nil, int64(f.Partition), 10)},
			{headerOffset, strconv.AppendInt(nil, f.Offset, 10)},
			{headerReceivedAt, strconv.AppendInt(nil, int64(f.ReceivedAt), 10)},
		},
	}, nil
}

// DecodeFact reads a record of the context log. The error is a *Fault: the log
// has something else in it.
//
// Strings of the fact alias the record, and so keep it (and whatever it was
// fetched with) alive; Data is its own.
func (d *Decoder) DecodeFact(val []byte, headers []Header) (event.Fact, error) {
	limit := d.MaxDepth
	d.MaxDepth = acceptedDepth
	f := d.open(val, headers)
	d.MaxDepth = limit
	if f != nil {
		return event.Fact{}, f
	}
	d.complete()
	t := event.Lookup(d.in.event.Type)
	if t == nil || t.Observation {
		return event.Fact{}, fault(UnknownType, "type: %s is no fact", quote(d.in.event.Type))
	}
	fact := newFact(d.in.event, t, d.in.data)
	for i := range headers {
		if f := readProvenance(&fact.Provenance, &headers[i]); f != nil {
			return event.Fact{}, f
		}
	}
	return fact, nil
}

func readProvenance(p *event.Provenance, h *Header) *Fault {
	var err error
	var n int64
	switch h.Key {
	case headerTopic:
		p.Topic = view(h.Value)
	case headerPartition:
		n, err = strconv.ParseInt(view(h.Value), 10, 32)
		p.Partition = int32(n)
	case headerOffset:
		p.Offset, err = strconv.ParseInt(view(h.Value), 10, 64)
	case headerReceivedAt:
		n, err = strconv.ParseInt(view(h.Value), 10, 64)
		p.ReceivedAt = event.Millis(n)
	}
	if err != nil {
		return fault(Malformed, "header %s: %v", h.Key, err)
	}
	return nil
}

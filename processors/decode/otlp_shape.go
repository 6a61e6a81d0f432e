package decode

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/value"
)

// shape is a message of OTLP as far as what it costs in memory depends on it:
// which of its fields (numbers from 1 to 15, those of opentelemetry-proto 1.11)
// hold messages that may repeat or nest.
type shape struct{ fields [16]*shape }

var tracesRequest, metricsRequest, logsRequest = shapes()

func shapes() (traces, metrics, logs *shape) {
	anyValue := &shape{}
	keyValue := holding(2, anyValue)
	anyValue.fields[5], anyValue.fields[6] = holding(1, anyValue), holding(1, keyValue)
	request := func(item *shape) *shape {
		return holding(1, holding(1, holding(1, keyValue), 2, holding(1, holding(3, keyValue), 2, item)))
	}
	exemplar := holding(7, keyValue)
	number := holding(1, holding(7, keyValue, 5, exemplar))
	histogram := holding(1, holding(9, keyValue, 8, exemplar))
	exponential := holding(1, holding(1, keyValue, 11, exemplar))
	summary := holding(1, holding(7, keyValue, 6, &shape{}))
	return request(holding(9, keyValue, 11, holding(3, keyValue), 13, holding(4, keyValue))),
		request(holding(12, keyValue, 5, number, 7, number, 9, histogram, 10, exponential, 11, summary)),
		request(holding(6, keyValue, 5, anyValue))
}

// holding makes a shape of pairs: the number of a field, and what it holds.
func holding(pairs ...any) *shape {
	s := &shape{}
	for i := 0; i < len(pairs); i += 2 {
		s.fields[pairs[i].(int)] = pairs[i+1].(*shape)
	}
	return s
}

// leastBytes is how long the messages of a record are on average, at least: an
// attribute of one letter and a one-digit number has nine. An empty span is two
// bytes on the wire and 300 in memory, so a record of a megabyte of them would
// take 150 MB.
const leastBytes = 8

// check refuses a body that nests deeper, or holds more messages, than what any
// exporter writes: the library recurses, and allocates for each.
func (s *shape) check(b []byte) error {
	return (&inspection{messages: 1000 + len(b)/leastBytes}).message(s, b, value.DefaultDepth)
}

// CheckOTLP refuses the body of an export request (source is its name in
// schemas/source) that would take far more memory than bytes: what is to read it
// with OpenTelemetry's library asks first. The error is a *codec.Fault.
func CheckOTLP(source string, body []byte, asJSON bool) error {
	if asJSON {
		// Its depth is the reader's to check. An attribute has two objects in 35 bytes.
		if bytes.Count(body, []byte("{")) > 1000+len(body)/leastBytes {
			return tooManyMessages()
		}
		return nil
	}
	root := map[string]*shape{"otlp-traces": tracesRequest, "otlp-metrics": metricsRequest, "otlp-logs": logsRequest}[source]
	return root.check(body)
}

func tooManyMessages() error {
	return &codec.Fault{Reason: codec.TooLarge, Detail: fmt.Sprintf("body: too many messages: less than %d bytes each", leastBytes)}
}

type inspection struct{ messages int } // that may come still

func (i *inspection) message(s *shape, b []byte, depth int) error {
	if depth == 0 {
		return &codec.Fault{Reason: codec.TooDeep, Detail: fmt.Sprintf("body: nested too deep: more than %d messages", value.DefaultDepth)}
	}
	if i.messages--; i.messages < 0 {
		return tooManyMessages()
	}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return notProtobuf(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if kind == protowire.StartGroupType || kind == protowire.EndGroupType {
				return &codec.Fault{Reason: codec.Malformed, Detail: "body: protobuf: a group, which OTLP has none of"}
			}
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return notProtobuf(n)
			}
			b = b[n:]
			continue
		}
		inner, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return notProtobuf(n)
		}
		b = b[n:]
		if int(field) >= len(s.fields) || s.fields[field] == nil {
			continue
		}
		if err := i.message(s.fields[field], inner, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func notProtobuf(n int) error {
	return &codec.Fault{Reason: codec.Malformed, Detail: "body: protobuf: " + protowire.ParseError(n).Error()}
}

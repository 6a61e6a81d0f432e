package decode

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/go-faster/jx"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/value"
)

// shape is a message of OTLP as far as what it costs in memory depends on it:
// what it weighs there itself, and which of its fields (numbers from 1 to 15 and
// names in JSON, those of opentelemetry-proto 1.11) hold messages that may repeat
// or nest. One that is not pointed to weighs nothing: it is in its owner.
type shape struct {
	weight int // bytes, as OpenTelemetry's library takes for an empty one and the pointer to it
	fields [16]*shape
	names  map[string]*shape
}

var requests = shapes()

// shapes are those of the export requests, by the names of schemas/source.
func shapes() map[string]*shape {
	anyValue, keyValue := weighing(45), weighing(75) // no pointer: half is room to grow
	keyValue.holding(2, "value", anyValue)
	anyValue.holding(5, "arrayValue", weighing(25).holding(1, "values", anyValue))
	anyValue.holding(6, "kvlistValue", weighing(25).holding(1, "values", keyValue))
	resource := weighing(0).holding(1, "attributes", keyValue).holding(3, "entityRefs", weighing(100))
	scope := weighing(0).holding(3, "attributes", keyValue)
	request := func(resources, scopes, items string, item *shape) *shape {
		of := weighing(130).holding(1, "scope", scope).holding(2, items, item)
		return weighing(0).holding(1, resources, weighing(140).holding(1, "resource", resource).holding(2, scopes, of))
	}
	happened := weighing(80).holding(3, "attributes", keyValue)
	link := weighing(100).holding(4, "attributes", keyValue)
	span := weighing(220).holding(9, "attributes", keyValue).holding(11, "events", happened).holding(13, "links", link)
	record := weighing(140).holding(6, "attributes", keyValue).holding(5, "body", weighing(0).with(anyValue))
	return map[string]*shape{
		"otlp-traces":  request("resourceSpans", "scopeSpans", "spans", span),
		"otlp-metrics": request("resourceMetrics", "scopeMetrics", "metrics", metricShape(keyValue)),
		"otlp-logs":    request("resourceLogs", "scopeLogs", "logRecords", record),
	}
}

func metricShape(keyValue *shape) *shape {
	exemplar := weighing(90).holding(7, "filteredAttributes", keyValue)
	metric := weighing(110).holding(12, "metadata", keyValue)
	kind := func(number int, name string, point *shape) {
		metric.holding(number, name, weighing(40).holding(1, "dataPoints", point))
	}
	number := weighing(130).holding(7, "attributes", keyValue).holding(5, "exemplars", exemplar)
	kind(5, "gauge", number)
	kind(7, "sum", number)
	kind(9, "histogram", weighing(180).holding(9, "attributes", keyValue).holding(8, "exemplars", exemplar))
	kind(10, "exponentialHistogram", weighing(210).holding(1, "attributes", keyValue).holding(11, "exemplars", exemplar))
	kind(11, "summary", weighing(110).holding(7, "attributes", keyValue).holding(6, "quantileValues", weighing(30)))
	return metric
}

func weighing(bytes int) *shape { return &shape{weight: bytes, names: map[string]*shape{}} }

// holding adds a field. The library reads both spellings of its name.
func (s *shape) holding(number int, name string, inner *shape) *shape {
	s.fields[number], s.names[name] = inner, inner
	var snake strings.Builder
	for _, c := range name {
		if unicode.IsUpper(c) {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(c))
	}
	s.names[snake.String()] = inner
	return s
}

// with takes over the fields of another message.
func (s *shape) with(other *shape) *shape {
	s.fields, s.names = other.fields, other.names
	return s
}

// An export request may be so many times as large in memory as its body, in JSON
// half as much since that says the same in twice the bytes and more, and leastWeight
// bytes in any case. The smallest attribute there is, a letter and a digit, has nine
// bytes in protobuf, and is fourteen times as large. An empty span has two and is a
// hundred times as large: a record of a megabyte of them would take 110 MB.
const (
	mostWeight     = 16
	mostJSONWeight = 8
	leastWeight    = 256 << 10
)

// CheckOTLP refuses the body of an export request (source is its name in
// schemas/source) that nests deeper than depth, or would take far more memory than
// bytes: OpenTelemetry's library, which is to read it, recurses, and allocates for
// each message, in JSON for whatever stands in the place of one. The error is a
// *codec.Fault.
func CheckOTLP(source string, body []byte, asJSON bool, depth int) error {
	i := &inspection{times: mostWeight, levels: depth}
	if asJSON {
		i.times = mostJSONWeight
	}
	i.left = leastWeight + i.times*len(body)
	if asJSON {
		return i.text(requests[source], body)
	}
	return i.message(requests[source], body, depth)
}

// inspection is what is allowed of a body still.
type inspection struct {
	left, times int // bytes of memory: what is left of so many times the body
	levels      int
}

// take takes the weight of a message.
func (i *inspection) take(s *shape) error {
	if i.left -= s.weight; i.left < 0 {
		return &codec.Fault{Reason: codec.TooLarge, Detail: fmt.Sprintf("body: too many messages for its length: in memory they are more than %d times as large", i.times)}
	}
	return nil
}

func (i *inspection) tooDeep() error {
	return &codec.Fault{Reason: codec.TooDeep, Detail: fmt.Sprintf("body: nested too deep: more than %d levels", i.levels)}
}

// text inspects a request in JSON.
func (i *inspection) text(s *shape, body []byte) error {
	if !value.ValidUTF8(body) {
		return &codec.Fault{Reason: codec.InvalidUTF8, Detail: "body: invalid UTF-8"}
	}
	d := jx.DecodeBytes(body)
	if kind := d.Next(); kind != jx.Object && kind != jx.Invalid {
		return &codec.Fault{Reason: codec.WrongType, Detail: "body: must be an object"}
	}
	err := i.json(d, s, i.levels)
	if err == nil && d.Skip() != io.EOF {
		err = errors.New("more than one value")
	}
	if err != nil && codec.FaultOf(err) == nil {
		return &codec.Fault{Reason: codec.Malformed, Detail: "body: JSON: " + err.Error()}
	}
	return err
}

// json inspects a value; s is the shape of the message that should stand there, or
// in a list there, nil where none should.
func (i *inspection) json(d *jx.Decoder, s *shape, depth int) error {
	kind := d.Next()
	if depth == 0 && (kind == jx.Object || kind == jx.Array) {
		return i.tooDeep()
	}
	if kind == jx.Array {
		return i.elements(d, s, depth)
	}
	if s != nil {
		if err := i.take(s); err != nil {
			return err
		}
	}
	if kind != jx.Object {
		return d.Skip()
	}
	members, err := d.ObjIter()
	if err != nil {
		return err
	}
	for members.Next() {
		var inner *shape
		if s != nil {
			inner = s.names[string(members.Key())]
		}
		if err := i.json(d, inner, depth-1); err != nil {
			return err
		}
	}
	return members.Err()
}

func (i *inspection) elements(d *jx.Decoder, s *shape, depth int) error {
	elements, err := d.ArrIter()
	if err != nil {
		return err
	}
	for elements.Next() {
		if s != nil && d.Next() == jx.Array { // in the place of a message
			if err := i.take(s); err != nil {
				return err
			}
		}
		if err := i.json(d, s, depth-1); err != nil {
			return err
		}
	}
	return elements.Err()
}

// message inspects a request in protobuf.
func (i *inspection) message(s *shape, b []byte, depth int) error {
	if depth == 0 {
		return i.tooDeep()
	}
	if err := i.take(s); err != nil {
		return err
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

package rules

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// input is what the expressions see: a record, or an event of one. It is read
// when it is asked for.
type input struct {
	topic   string
	record  *pipeline.Record
	headers map[string]string
	body    any // of the record
	form    form
	read    bool
	asked   bool // a condition has asked for the body
	doc     *value.Doc

	event *said // nil: a record
}

// form is what a record's value is.
type form uint8

const (
	unreadable form = iota
	asJSON
	asMsgpack
)

// ResolveName returns the variable of that name, see names.
func (in *input) ResolveName(name string) (any, bool) {
	if attribute, of := strings.CutPrefix(name, "event."); of && in.event != nil {
		return in.event.variable(attribute, in.doc)
	}
	switch name {
	case "topic":
		return in.topic, true
	case "headers":
		return in.header(), true
	case "key":
		return strings.ToValidUTF8(string(in.record.Key), "\uFFFD"), true
	case "text":
		return strings.ToValidUTF8(string(in.record.Value), "\uFFFD"), true
	case "body":
		in.asked = true
		return in.content(), true
	}
	return nil, false
}

// Parent is none.
func (*input) Parent() cel.Activation { return nil }

// header are the record's headers by name in lower case; of one that repeats the last.
func (in *input) header() map[string]string {
	if in.headers == nil {
		in.headers = map[string]string{}
		for _, h := range in.record.Headers {
			in.headers[strings.ToLower(h.Key)] = strings.ToValidUTF8(string(h.Value), "\uFFFD")
		}
	}
	return in.headers
}

// content is the record's value where it is JSON or msgpack, else nil.
func (in *input) content() any {
	if in.read {
		return in.body
	}
	in.read = true
	bytes := in.record.Value
	switch {
	case len(bytes) == 0:
	case value.IsMsgpackMap(bytes[0]):
		if !in.binary() && in.doc.ParseMsgpack(bytes) == nil {
			in.form = asMsgpack
		}
	case in.doc.ParseJSON(bytes) == nil: // whatever its content type: that is how decode reads a tool's words
		in.form = asJSON
	}
	if in.form != unreadable {
		in.body = native(in.doc.Root())
	}
	return in.body
}

// binary tells whether the content type says that the value is no msgpack: a
// protobuf may look like a map of it.
func (in *input) binary() bool {
	contentType := in.header()["content-type"]
	return strings.Contains(contentType, "protobuf") || strings.Contains(contentType, "octet-stream")
}

// write makes the record's value of the body as it is now, in its own form.
func (in *input) write(doc *value.Doc) error {
	text, err := json.Marshal(in.body)
	if err != nil {
		return err
	}
	if in.form == asMsgpack {
		if err := doc.ParseJSON(text); err != nil {
			return err
		}
		var out bytes.Buffer
		if err := doc.Root().EncodeMsgpack(msgpack.NewEncoder(&out)); err != nil {
			return err
		}
		text = out.Bytes()
	}
	in.record.Value = text
	return nil
}

// said is an event that rules work on.
type said struct {
	event.Event
	from event.Provenance
	kept bool // as its source sent it, in an envelope of ours
	// What it says without its data being read.
	service, environment, name string

	was   func() string // its data as JSON
	text  string        // what was has said
	data  any
	read  bool
	dirty bool

	routes []*rule // that send it elsewhere too
}

// content is the event's data.
func (e *said) content(doc *value.Doc) any {
	if !e.read {
		e.read, e.text = true, e.was()
		if e.text != "" && doc.ParseJSON([]byte(e.text)) == nil {
			e.data = native(doc.Root())
		}
	}
	return e.data
}

// variable is an attribute, by its name in an expression.
func (e *said) variable(name string, doc *value.Doc) (any, bool) {
	switch name {
	case "data":
		return e.content(doc), true
	case "time":
		return e.Time.Time(), true
	case "extensions":
		all := make(map[string]string, len(e.Extensions))
		for _, p := range e.Extensions {
			all[p.Key] = p.Value
		}
		return all, true
	case "service":
		return e.stated(e.service, name), true
	case "environment":
		return e.stated(e.environment, name), true
	case "name":
		return e.stated(e.name, name), true
	}
	if field := e.field(name); field != nil {
		return *field, true
	}
	return nil, false
}

// stated is a field of data, without reading data that has not been read.
func (e *said) stated(known, name string) string {
	if !e.read {
		return known
	}
	object, _ := e.data.(map[string]any)
	s, _ := object[name].(string)
	return s
}

// field is where an attribute of text is, nil for others.
func (e *said) field(name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "source":
		return &e.Source
	case "type":
		return &e.Type
	case "subject":
		return &e.Subject
	}
	return e.SharedField(name)
}

// extend sets an extension attribute, in a list of its own; empty takes it away.
func (e *said) extend(name, text string) {
	e.Extensions = slices.Clone(e.Extensions)
	i, there := slices.BinarySearchFunc(e.Extensions, name, func(p event.Pair, key string) int { return cmp.Compare(p.Key, key) })
	switch {
	case there && text == "":
		e.Extensions = slices.Delete(e.Extensions, i, i+1)
	case there:
		e.Extensions[i].Value = text
	case text != "":
		e.Extensions = slices.Insert(e.Extensions, i, event.Pair{Key: name, Value: text})
	}
}

// json is the event's data as it is now.
func (e *said) json() (string, error) {
	if !e.read {
		return e.was(), nil
	}
	if e.data == nil {
		return "", nil
	}
	text, err := json.Marshal(e.data)
	if err != nil {
		return "", fmt.Errorf("event.data: %w", err)
	}
	return string(text), nil
}

package decode

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// Debezium, or any connector of Kafka Connect that writes JSON, puts a payload
// into wrappings, of which each may be missing (Debezium documentation, "Outbox
// Event Router" and "Change event values"; Kafka Connect's JsonConverter):
//
//	{"schema": ..., "payload": V}               the converter, schemas enabled
//	{"before": ..., "after": ROW, "op": "c"}    a change of a row
//	{"id": ..., "payload": V, ...}              the row of an outbox
//	"{\"type\": ...}"                           V as a string; base64 where it is no text
//
// What is inside is read as if it had come by itself.

// captured is a record that was unwrapped.
type captured struct {
	content []byte // empty: it says nothing but that a row is gone
	// headers that the row's columns stand for: x_github_event.
	headers []codec.Header
	table   string       // whose change it is, schema.table, where it says so
	at      event.Millis // of the change; 0: not stated
}

// wrapping is what of an envelope is looked at.
type wrapping struct {
	Payload json.RawMessage `json:"payload"`
	After   json.RawMessage `json:"after"`
	Before  json.RawMessage `json:"before"`
	Op      *string         `json:"op"`
	Millis  json.RawMessage `json:"ts_ms"`
	Source  json.RawMessage `json:"source"`
}

// mostWrappings is how many there can be in the list above, each kind once.
const mostWrappings = 6

// unwrap takes the wrappings off body, which is JSON. of is what it should hold;
// nil: anything.
func unwrap(body []byte, of *source.Source) captured {
	c := captured{content: body}
	var outside []map[string]json.RawMessage // the rows gone through
	for range mostWrappings {
		if inner, ok := unquoted(c.content); ok {
			c.content = inner
			continue
		}
		var w wrapping
		if json.Unmarshal(c.content, &w) != nil {
			break // no object, or one whose members are not Debezium's
		}
		switch {
		case w.Op != nil && (w.After != nil || w.Before != nil):
			c.change(&w)
			if len(w.After) == 0 || string(w.After) == "null" {
				c.content = nil
				return c
			}
			c.content = w.After
		case len(w.Payload) > 0 && string(w.Payload) != "null" && !isEvent(c.content):
			var row map[string]json.RawMessage
			_ = json.Unmarshal(c.content, &row) // it is one, or w could not be read
			outside = append(outside, row)
			c.content = w.Payload
		default:
			c.headersOf(outside, of)
			return c
		}
	}
	c.headersOf(outside, of)
	return c
}

// unquoted is what a JSON string holds, decoded where it is base64 of no text.
func unquoted(raw []byte) ([]byte, bool) {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 || raw[0] != '"' {
		return nil, false
	}
	var text string
	if json.Unmarshal(raw, &text) != nil || text == "" {
		return nil, false
	}
	if start := strings.TrimLeft(text, " \t\r\n"); start != "" && strings.IndexByte(`{["`, start[0]) < 0 {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return b, true
		}
	}
	return []byte(text), true
}

func (c *captured) change(w *wrapping) {
	var from struct {
		Millis json.Number `json:"ts_ms"`
		Schema text        `json:"schema"`
		DB     text        `json:"db"`
		Table  text        `json:"table"`
	}
	if json.Unmarshal(w.Source, &from) == nil {
		c.table = strings.TrimPrefix(cmp.Or(string(from.Schema), string(from.DB))+"."+string(from.Table), ".")
	}
	ms, err := from.Millis.Int64()
	if err != nil || ms == 0 {
		_ = json.Unmarshal(w.Millis, &ms) // 0: not stated
	}
	c.at = event.Millis(ms)
}

// headersOf takes the headers that a source wants and a row has as columns.
func (c *captured) headersOf(rows []map[string]json.RawMessage, of *source.Source) {
	if of == nil {
		return
	}
	for _, row := range rows {
		for _, header := range of.Headers {
			for _, column := range []string{header, strings.ReplaceAll(header, "-", "_")} {
				if s := plainText(row[column]); s != "" {
					c.headers = append(c.headers, codec.Header{Key: header, Value: []byte(s)})
					break
				}
			}
		}
	}
}

// isEvent tells whether an object is an event, whose payload, if it has one, is
// its own: a CloudEvent, or a CDEvent.
func isEvent(content []byte) bool {
	var e struct {
		SpecVersion json.RawMessage `json:"specversion"`
		Context     json.RawMessage `json:"context"`
		Subject     json.RawMessage `json:"subject"`
	}
	return json.Unmarshal(content, &e) == nil && (e.SpecVersion != nil || e.Context != nil && e.Subject != nil)
}

// readCaptured reads a record of a topic of Debezium's.
func (p *Processor) readCaptured(w *worker, format source.Format, events *codec.Events, b *pipeline.Batch, i int) error {
	body := b.Records[i].Value
	if len(body) == 0 { // a tombstone: for compaction, after a row is gone
		return p.keepCaptured(w, events, b, i, &captured{table: "tombstone"}, nil)
	}
	if err := w.doc.ParseJSON(body); err != nil {
		return codec.Unreadable("value", err)
	}
	c := unwrap(body, source.Lookup(format.Source))
	if len(c.content) == 0 {
		return p.keepCaptured(w, events, b, i, &c, body)
	}
	w.headers = append(w.headers, c.headers...)
	read, err := w.foreign(b.Topic, w.headers)
	if err != nil {
		return err
	}
	if read == nil && !isEvent(c.content) {
		if read = w.shaped(c.content); read == nil {
			return p.keepCaptured(w, events, b, i, &c, body)
		}
	}
	if read != nil {
		return p.readForeign(w, read, events, b, i, c.content)
	}
	return p.readEvent(w, events, b, i, c.content)
}

// keepCaptured keeps a change that holds nothing to read: a row that is gone, or
// of a table that holds no events.
func (p *Processor) keepCaptured(w *worker, events *codec.Events, b *pipeline.Batch, i int, c *captured, body []byte) error {
	r := &b.Records[i]
	in := &payload{body: append(bytes.Clone(r.Key), body...), headers: w.headers, from: b.Provenance(i), received: r.Timestamp}
	s := &said{events: events, decoder: &w.decoder, payload: in}
	var at time.Time
	if c.at >= event.MinTime && c.at < event.MaxTime {
		at = c.at.Time()
	}
	if body == nil {
		body = r.Key
	}
	return s.keep("io.debezium.change", "debezium/"+cmp.Or(c.table, b.Topic), in.digest(), at, body)
}

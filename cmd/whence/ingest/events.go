package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// maxBatch bounds the events of one request: each costs far more than its bytes.
const maxBatch = 10_000

// events takes CloudEvents by the HTTP protocol binding, version 1.0.2.
func (x *exchange) events() error {
	body, err := x.body()
	if err != nil {
		return err
	}
	x.bytes = int64(len(body))
	records, at, err := x.eventRecords(body)
	if err != nil {
		return err
	}
	topics := make([]string, 0, len(records))
	// In parts, for what events are while they are checked is many times their size.
	for first := 0; first < len(records); first += checked {
		part := records[first:min(first+checked, len(records))]
		found, err := x.check("", part, func(i int) string { return at(first + i) })
		if err != nil {
			return err
		}
		for i, c := range found {
			part[i].Key = c.key
			topics = append(topics, x.topic(event.TopicFor(c.kind)))
		}
	}
	return x.write(func(i int) string { return topics[i] }, records)
}

// checked is how many events are checked at once.
const checked = 500

// eventRecords are the records of a body, and where each was in it.
func (x *exchange) eventRecords(body []byte) ([]pipeline.Record, func(i int) string, error) {
	header := x.request.Header
	structured := strings.HasPrefix(x.media, "application/cloudevents")
	switch {
	case !structured && isBinary(header):
		r, err := binaryRecord(header, body)
		return []pipeline.Record{r}, whole, err
	case x.media == batchType, x.media == jsonType && firstByte(body) == '[':
		records, err := batchRecords(body)
		return records, func(i int) string { return fmt.Sprintf("[%d]", i) }, err
	}
	return []pipeline.Record{{Value: body, Headers: contentType(header.Get("Content-Type"))}}, whole, nil
}

func contentType(text string) []pipeline.Header {
	return []pipeline.Header{{Key: "content-type", Value: []byte(text)}}
}

// firstByte of what is JSON, behind the mark that files of Windows begin with; 0
// where there is none.
func firstByte(body []byte) byte {
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), space)
	if len(trimmed) == 0 {
		return 0
	}
	return trimmed[0]
}

// batchRecords takes a JSON array apart. CDEvents may be among the events. The
// records share the body's memory.
func batchRecords(body []byte) ([]pipeline.Record, error) {
	events, err := elementsOf(body, maxBatch)
	switch {
	case errors.Is(err, errTooMany):
		return nil, problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "more than %d events are in the batch", maxBatch)
	case err != nil:
		return nil, problem(http.StatusBadRequest, reasonMalformed, "the body is no array of events: %v", err)
	}
	records := make([]pipeline.Record, len(events))
	for i, e := range events {
		records[i] = pipeline.Record{Value: e, Headers: contentType(cloudEventType)}
	}
	return records, nil
}

var errTooMany = errors.New("too many elements")

// elementsOf takes a JSON array apart, without copying it. It reads no further than
// most elements: what each takes beside its bytes is far more than a short one has.
func elementsOf(array []byte, most int) ([][]byte, error) {
	d := jx.DecodeBytes(array)
	elements, err := d.ArrIter()
	if err != nil {
		return nil, err
	}
	all := make([][]byte, 0, min(most, 1+bytes.Count(array, []byte(","))))
	for elements.Next() {
		if len(all) == most {
			return nil, errTooMany
		}
		raw, err := d.Raw()
		if err != nil {
			return nil, err
		}
		all = append(all, slices.Clip(bytes.TrimLeft(raw, space)))
	}
	if err := elements.Err(); err != nil {
		return nil, err
	}
	if d.Skip() != io.EOF {
		return nil, errors.New("something stands behind it")
	}
	return all, nil
}

// space is what JSON may have between values.
const space = " \t\r\n"

const attributePrefix = "Ce-"

// isBinary says whether a request has attributes in its headers.
func isBinary(header http.Header) bool {
	if _, usual := header["Ce-Specversion"]; usual {
		return true
	}
	for name := range header {
		if strings.HasPrefix(name, attributePrefix) {
			return true
		}
	}
	return false
}

// binaryRecord is an event in binary mode: a header of the record for each
// attribute. One without data is written in structured mode, for a record
// without a value is no event.
func binaryRecord(header http.Header, body []byte) (pipeline.Record, error) {
	var headers []pipeline.Header
	for name, values := range header {
		attribute, ok := strings.CutPrefix(name, attributePrefix)
		if !ok {
			continue
		}
		attribute = strings.ToLower(attribute)
		if len(values) > 1 {
			return pipeline.Record{}, problem(http.StatusBadRequest, reasonHeader, "ce-%s: given twice", attribute).at("ce-" + attribute)
		}
		text, ok := attributeText(values[0])
		if !ok {
			return pipeline.Record{}, problem(http.StatusBadRequest, reasonHeader, "ce-%s: no UTF-8 when its percent signs are decoded", attribute).at("ce-" + attribute)
		}
		headers = append(headers, pipeline.Header{Key: "ce_" + attribute, Value: text})
	}
	slices.SortFunc(headers, func(a, b pipeline.Header) int { return strings.Compare(a.Key, b.Key) })
	if len(body) > 0 {
		if media := header.Get("Content-Type"); media != "" {
			headers = append(headers, contentType(media)...)
		}
		return pipeline.Record{Value: body, Headers: headers}, nil
	}
	attributes := make(map[string]string, len(headers))
	for _, h := range headers {
		attributes[strings.TrimPrefix(h.Key, "ce_")] = string(h.Value)
	}
	value, err := json.Marshal(attributes)
	return pipeline.Record{Value: value, Headers: contentType(cloudEventType)}, err
}

// attributeText reads a header's value as section 3.1.3.2 has it: the quotes of
// a quoted string go first, then %xx is a byte. Any other percent sign is one.
func attributeText(text string) ([]byte, bool) {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = unquoted(text[1 : len(text)-1])
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if b, ok := hexByte(text[i+1], text[i+2]); ok {
				out = append(out, b)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out, utf8.Valid(out)
}

// unquoted takes the backslashes of a quoted string away.
func unquoted(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out = append(out, text[i])
	}
	return string(out)
}

func hexByte(high, low byte) (byte, bool) {
	h, l := strings.IndexByte(hexDigits, lower(high)), strings.IndexByte(hexDigits, lower(low))
	return byte(h<<4 | l), h >= 0 && l >= 0
}

const hexDigits = "0123456789abcdef"

func lower(b byte) byte {
	if 'A' <= b && b <= 'F' {
		return b + 'a' - 'A'
	}
	return b
}

package ingest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/go-faster/jx"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
)

// track takes product events: a message, or {"batch": [...]}. What fits a
// record is written as it came; a larger batch is cut into several.
func (x *exchange) track() error {
	body, err := x.body()
	if err != nil {
		return err
	}
	x.bytes = int64(len(body))
	contentType := x.request.Header.Get("Content-Type")
	if len(body) <= x.maxRecord-overhead {
		return x.single(x.record(body, contentType))
	}
	parts, err := cutBatch(body, x.maxRecord-overhead)
	if err != nil {
		return err
	}
	if err := x.hold(int64(len(body))); err != nil { // the parts are copies
		return err
	}
	topic := x.topic(x.endpoint.source.Topic)
	records := make([]pipeline.Record, len(parts))
	for i := range parts {
		records[i] = x.record(parts[i], contentType)
		if _, err := x.check(topic, records[i:i+1], whole); err != nil {
			return err
		}
	}
	return x.write(func(int) string { return topic }, records)
}

// cutBatch makes bodies of at most limit bytes of one: each has some of the
// batch's messages, and everything else that stands beside them.
func cutBatch(body []byte, limit int) ([][]byte, error) {
	batch, around, err := apart(body, limit/mostCopied)
	if err != nil {
		return nil, err
	}
	most := decode.MostMessages(len(body))
	messages, err := elementsOf(batch, most)
	switch {
	case errors.Is(err, errTooMany):
		return nil, problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "more than %d messages in %d bytes", most, len(body)).at("batch")
	case err != nil:
		return nil, problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "the message has %d bytes, %d are allowed", len(body), limit).at("batch")
	}
	rest, err := json.Marshal(around)
	if err != nil {
		return nil, err
	}
	beside := len(rest) + len(`"batch":[],`)
	if beside > limit/mostCopied { // each part has it
		return nil, tooMuchBeside(limit / mostCopied)
	}
	var parts [][]byte
	for first := 0; first < len(messages); {
		size, next := beside, first
		for next < len(messages) && size+len(messages[next])+1 <= limit {
			size += len(messages[next]) + 1
			next++
		}
		if next == first {
			return nil, problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "batch[%d]: the message is too large for a record of %d bytes", first, limit).at("batch")
		}
		part := append(make([]byte, 0, size), `{"batch":[`...)
		for i, m := range messages[first:next] {
			if i > 0 {
				part = append(part, ',')
			}
			part = append(part, m...)
		}
		part = append(part, ']')
		if len(around) > 0 {
			part = append(part, ',')
		}
		parts, first = append(parts, append(part, rest[1:]...)), next
	}
	return parts, nil
}

// apart is a body's batch, nil where it has none, and what stands beside it, which
// it reads no further than so many bytes.
func apart(body []byte, beside int) (batch []byte, around map[string]json.RawMessage, err error) {
	d := jx.DecodeBytes(body)
	members, err := d.ObjIter()
	around, left := map[string]json.RawMessage{}, beside
	for err == nil && members.Next() {
		name := string(members.Key())
		var raw []byte
		if raw, err = d.Raw(); err != nil {
			break
		}
		if name == "batch" {
			batch = raw
			continue
		}
		if left -= len(name) + len(raw); left < 0 {
			return nil, nil, tooMuchBeside(beside)
		}
		around[name] = json.RawMessage(raw)
	}
	if err == nil {
		err = members.Err()
	}
	if err == nil && d.Skip() != io.EOF {
		err = errors.New("something stands behind it")
	}
	if err != nil {
		return nil, nil, problem(http.StatusBadRequest, reasonMalformed, "the body is no object: %v", err)
	}
	return batch, around, nil
}

func tooMuchBeside(allowed int) error {
	return problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "beside the batch there are more than %d bytes", allowed).at("batch")
}

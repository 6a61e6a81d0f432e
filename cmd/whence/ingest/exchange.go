package ingest

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// exchange is one request and what becomes of it.
type exchange struct {
	*Gateway
	endpoint *endpoint
	request  *http.Request
	writer   http.ResponseWriter

	begun   time.Time
	media   string
	packing string
	signed  bool // the body has to be checked against its signature
	hints   []pipeline.Header

	// holders of the budget's share: the handler, and every record that Kafka
	// has not acknowledged. The last one gives it back.
	held    atomic.Int64
	holders atomic.Int64

	turn int64 // of what may be read at once; see takeTurn

	bytes   int64 // of the body, unpacked
	records int   // acknowledged
	// rejected parts of an OTLP request, and why.
	rejected int
	because  string
}

// hold takes n bytes from the budget until the request is done.
func (x *exchange) hold(n int64) error {
	if !x.budget.take(n) {
		return busy("too much is on its way to Kafka")
	}
	x.held.Add(n)
	return nil
}

func (x *exchange) release() {
	if x.holders.Add(-1) == 0 {
		x.budget.give(x.held.Load())
	}
}

// admit checks all that can be checked before the body is read.
func (x *exchange) admit() (signed bool, err error) {
	e, r := x.endpoint, x.request
	if signed, err = e.access.early(r, x.begun); err != nil {
		return false, err
	}
	if err = x.readQuery(); err != nil {
		return false, err
	}
	if x.media = r.Header.Get("Content-Type"); len(x.media) > maxHint {
		return false, problem(http.StatusUnsupportedMediaType, reasonContentType, "content-type: longer than %d bytes", maxHint).at("content-type")
	} else if x.media != jsonType { // as nearly all say it
		if x.media, err = mediaOf(r); err != nil {
			return false, err
		}
	}
	if !e.takes(x.media) && !(e.source == nil && isBinary(r.Header)) {
		return false, problem(http.StatusUnsupportedMediaType, reasonContentType, "content-type: %.100q is not read here", x.media).
			at("content-type").hinting("send " + strings.Join(e.mediaTypes(), ", "))
	}
	if x.packing, err = packing(r); err != nil {
		return false, err
	}
	return signed, nil
}

// maxHint is how many characters a hint may have: more than names have.
const maxHint = 256

// readQuery turns hints into headers of records. A parameter that means nothing
// is an error: it is a hint that was misspelt.
func (x *exchange) readQuery() error {
	if x.request.URL.RawQuery == "" {
		return nil
	}
	known := []string{}
	if x.endpoint.hints {
		known = source.Hints()
	}
	query, err := url.ParseQuery(x.request.URL.RawQuery)
	if err != nil { // of what it says nothing more: it may hold a secret
		return problem(http.StatusBadRequest, reasonQuery, "the query can't be read").at("query")
	}
	for name, values := range query {
		at := "query." + name
		switch {
		case name == "token" && x.endpoint.access.query:
		case !slices.Contains(known, name):
			p := problem(http.StatusBadRequest, reasonQuery, "%.100s: no such parameter", at).at(at)
			if len(known) > 0 {
				p.Hint = "known are " + strings.Join(known, ", ")
			}
			return p
		case len(values) > 1:
			return problem(http.StatusBadRequest, reasonQuery, "%s: given twice", at).at(at)
		case utf8.RuneCountInString(values[0]) > maxHint || !utf8.ValidString(values[0]) || strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r == 0x7f }):
			return problem(http.StatusBadRequest, reasonQuery, "%s: want at most %d characters of text", at, maxHint).at(at)
		}
	}
	for _, name := range known { // in the same order always
		if query.Get(name) != "" {
			x.hints = append(x.hints, pipeline.Header{Key: source.HintPrefix + name, Value: []byte(query.Get(name))})
		}
	}
	return nil
}

// body reads the body whole, checks it where it is signed, and unpacks it.
func (x *exchange) body() ([]byte, error) {
	limit := x.endpoint.limit(x.Gateway)
	raw, err := x.readAll(arriving{x.request.Body}, x.request.ContentLength, limit)
	if err != nil {
		return nil, err
	}
	if x.signed {
		if err := x.endpoint.access.late(x.request, raw, x.begun); err != nil {
			return nil, err
		}
	}
	if x.packing == "" {
		return raw, x.takeTurn(len(raw))
	}
	body, err := x.unpack(raw, limit)
	if err != nil {
		return nil, err
	}
	return body, x.takeTurn(len(body))
}

func (x *exchange) unpack(raw []byte, limit int64) ([]byte, error) {
	// A few at a time: who reads Zstandard holds a window of megabytes. It is
	// quick, for the body is here.
	x.unpacking <- struct{}{}
	defer func() { <-x.unpacking }()
	out, release, err := unpacked(bytes.NewReader(raw), x.packing)
	if err != nil {
		return nil, err
	}
	defer release()
	return x.readAll(out, -1, limit)
}

// record is what the endpoint's source sent, as schemas/source has it. more are
// headers of this record alone.
func (x *exchange) record(body []byte, contentType string, more ...pipeline.Header) pipeline.Record {
	from := x.endpoint.source
	headers := make([]pipeline.Header, 0, 4+len(from.Headers)+len(x.hints)+len(more))
	headers = append(headers, pipeline.Header{Key: source.Header, Value: []byte(from.Name)})
	if contentType != "" {
		headers = append(headers, pipeline.Header{Key: "content-type", Value: []byte(contentType)})
	}
	for _, name := range from.Headers {
		if text := x.request.Header.Get(name); text != "" {
			headers = append(headers, pipeline.Header{Key: name, Value: []byte(text)})
		}
	}
	headers = append(headers, pipeline.Header{Key: source.Received, Value: x.begun.UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00")})
	headers = append(headers, x.hints...)
	return pipeline.Record{Key: keyOf(body), Value: body, Headers: append(headers, more...)}
}

// keyOf spreads bodies over partitions, the same body always to the same one.
func keyOf(body []byte) []byte { return strconv.AppendUint(nil, xxhash.Sum64(body), 16) }

// overhead of a record's headers that its source's table doesn't bound.
const overhead = 16 << 10

// contents is what a record is, as the first stages see it.
type contents struct {
	kind string // its type
	key  []byte // see codec.Key
}

// check asks the first stages of the pipeline what they would make of records,
// of which it takes copies: rules change what they see, and Kafka gets what was
// sent. The error is the problem of the first that would be a dead letter; at names
// where a record was in the body.
func (x *exchange) check(topic string, records []pipeline.Record, at func(i int) string) ([]contents, error) {
	b := pipeline.Batch{Topic: topic, Records: slices.Clone(records)}
	now := event.MillisOf(x.begun)
	for i := range b.Records {
		b.Records[i].Offset, b.Records[i].Timestamp = int64(i), now
	}
	for _, stage := range x.stages {
		if err := stage.Process(x.request.Context(), &b); err != nil {
			return nil, err
		}
	}
	if len(b.Dead) > 0 {
		dead := &b.Dead[0]
		for i := range b.Dead {
			if b.Dead[i].Offset < dead.Offset {
				dead = &b.Dead[i]
			}
		}
		p := faulty(string(dead.Reason), dead.Detail)
		if where := at(int(dead.Offset)); where != "" {
			p.Detail = where + ": " + p.Detail
			p.Field = strings.TrimSuffix(where+"."+p.Field, ".")
		}
		return nil, p
	}
	found := make([]contents, len(records))
	note := func(e *event.Event, offset int64) {
		if found[offset].kind == "" {
			found[offset] = contents{strings.Clone(e.Type), codec.Key(e)}
		}
	}
	for i := range b.Facts {
		note(&b.Facts[i].Event, b.Facts[i].Offset)
	}
	for i := range b.Observations {
		note(&b.Observations[i].Event, b.Observations[i].Offset)
	}
	for i := range b.Others {
		note(&b.Others[i].Event, b.Others[i].Offset)
	}
	return found, nil
}

// whole is where a record was that is the body itself.
func whole(int) string { return "" }

// delivery waits for records to be acknowledged.
type delivery struct {
	all   sync.WaitGroup
	mu    sync.Mutex
	err   error // the first
	acked int
}

// send hands a record to Kafka. done is called when it is acknowledged or given up.
func (x *exchange) send(d *delivery, topic string, r pipeline.Record, done func()) {
	x.holders.Add(1)
	d.all.Add(1)
	// The record goes on its way whether or not its sender waits for it: it
	// would be a matter of chance whether one that hangs up is heard.
	ctx := context.WithoutCancel(x.request.Context())
	x.sender.Send(ctx, kafka.Message{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers}, func(err error) {
		d.mu.Lock()
		if err == nil {
			d.acked++
		} else if d.err == nil {
			d.err = err
		}
		d.mu.Unlock()
		x.release()
		done()
		d.all.Done()
	})
}

// wait returns when all that was sent is acknowledged, or the first failure.
// Sends end by themselves: the publisher gives up after ingest.timeouts.kafka.
func (x *exchange) wait(d *delivery) error {
	d.all.Wait()
	x.records += d.acked
	if d.err == nil {
		return nil
	}
	x.log.Error("Kafka has not taken a request's records", zapError(d.err)...)
	return problem(http.StatusServiceUnavailable, reasonUnacknowledged, "Kafka has not acknowledged all of it").again(5)
}

// write sends records and waits.
func (x *exchange) write(topics func(i int) string, records []pipeline.Record) error {
	x.endTurn()
	var d delivery
	for i := range records {
		x.send(&d, topics(i), records[i], func() {})
	}
	return x.wait(&d)
}

package acceptance_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// bad is a record that must become one dead letter, for one of the reasons.
type bad struct {
	name    string
	headers []kgo.RecordHeader
	value   []byte
	reasons []pipeline.Reason
}

func because(reasons ...pipeline.Reason) []pipeline.Reason { return reasons }

func contentType(name string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: "content-type", Value: []byte(name)}
}

// binary mode's headers of a good event.
func ceHeaders(dataType string) []kgo.RecordHeader {
	return []kgo.RecordHeader{contentType(dataType), {Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte("bad")}, {Key: "ce_source", Value: []byte("hostile")},
		{Key: "ce_type", Value: []byte("io.whence.behavior.recorded")}, {Key: "ce_time", Value: []byte("2024-05-01T10:00:00Z")}}
}

// structured is a good event with some of its text replaced.
func structured(replacements ...string) []byte {
	return []byte(strings.NewReplacer(replacements...).Replace(
		`{"specversion":"1.0","id":"bad","source":"hostile","type":"io.whence.behavior.recorded","time":"2024-05-01T10:00:00Z",` +
			`"datacontenttype":"application/json","data":{"name":"buy","service":"shop","environment":"prod"}}`))
}

func badRecords() []bad {
	records := slices.Concat(badMsgpack(), badText(), badEnvelopes(), badTimes())
	records = append(records,
		bad{"10 MB", nil, structured(`"buy"`, `"`+strings.Repeat("b", 10<<20)+`"`), because(pipeline.ReasonTooLarge)},
		bad{"no value", nil, nil, because(pipeline.ReasonEmpty)},
		bad{"no value under binary headers", ceHeaders("application/msgpack"), nil, because(pipeline.ReasonEmpty)},
		bad{"a value of no bytes", nil, []byte{}, because(pipeline.ReasonEmpty)},
	)
	return records
}

func badMsgpack() []bad {
	huge := func(start ...byte) []byte { return append(start, 0xff, 0xff, 0xff, 0xff) }
	inMap := func(value []byte) []byte { return slices.Concat([]byte{0x81, 0xa4}, []byte("name"), value) }
	var records []bad
	for name, value := range map[string][]byte{
		"a map of 2^32-1 members":        huge(0xdf),
		"an array of 2^32-1 elements":    inMap(huge(0xdd)),
		"a string of 2^32-1 bytes":       inMap(huge(0xdb)),
		"a binary of 2^32-1 bytes":       inMap(huge(0xc6)),
		"an extension of 2^32-1 bytes":   inMap(huge(0xc9)),
		"cut off in a string":            inMap([]byte{0xa9, 'b', 'u', 'y'}),
		"cut off before a value":         inMap(nil),
		"the byte that is never used":    inMap([]byte{0xc1}),
		"more bytes after the data":      append(inMap([]byte{0xa3, 'b', 'u', 'y'}), 0xc0, 0xc0),
		"a map that ends in its midst":   {0x8f, 0xa1, 'a'},
		"random bytes":                   {0x93, 0xca, 0x00, 0xdc, 0x7f, 0xff, 0xc7},
		"2^16-1 arrays, none of them is": bytes.Repeat([]byte{0xdc, 0xff, 0xff}, 20),
	} {
		records = append(records, bad{"msgpack: " + name, ceHeaders("application/msgpack"), value,
			because(pipeline.ReasonMalformed, pipeline.ReasonTooDeep, pipeline.ReasonWrongType)})
	}
	deep := append(bytes.Repeat([]byte{0x91}, 200_000), 0xc0)
	return append(records,
		bad{"msgpack: arrays 200,000 deep", ceHeaders("application/msgpack"), inMap(deep), because(pipeline.ReasonTooDeep)},
		bad{"msgpack: maps 100,000 deep", ceHeaders("application/msgpack"), inMap(append(bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 100_000), 0xc0)),
			because(pipeline.ReasonTooDeep)},
		bad{"msgpack: invalid UTF-8", ceHeaders("application/msgpack"), inMap([]byte{0xa2, 0xff, 0xfe}), because(pipeline.ReasonInvalidUTF8)},
		bad{"msgpack: an envelope cut off", []kgo.RecordHeader{contentType("application/cloudevents+msgpack")}, []byte{0x86, 0xa2, 'i', 'd'},
			because(pipeline.ReasonMalformed)},
	)
}

func badText() []bad {
	return []bad{
		{"JSON: objects 100,000 deep", nil, structured(`"buy"`, strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000)), because(pipeline.ReasonTooDeep)},
		{"JSON: arrays 500,000 deep, never closed", nil, bytes.Repeat([]byte{'['}, 500_000), because(pipeline.ReasonTooDeep, pipeline.ReasonMalformed)},
		{"JSON: cut off", nil, structured(`"prod"}}`, `"pr`), because(pipeline.ReasonMalformed)},
		{"JSON: two values", nil, slices.Concat(structured(), structured()), because(pipeline.ReasonMalformed)},
		{"JSON: a list", nil, []byte("[1,2,3]"), because(pipeline.ReasonMalformed, pipeline.ReasonWrongType)},
		{"JSON: invalid UTF-8", nil, structured("buy", "b\xff\xfey"), because(pipeline.ReasonInvalidUTF8)},
		{"no format at all", nil, []byte("\x00\x01\x02 this is not an event"), because(pipeline.ReasonMalformed)},
		{"a content type nobody reads", ceHeaders("application/x-protobuf"), []byte{0x0a, 0x00}, because(pipeline.ReasonContentType)},
		{"a header of invalid UTF-8", append(ceHeaders("application/json"), kgo.RecordHeader{Key: "ce_subject", Value: []byte{0xff}}),
			[]byte(`{"name":"buy","service":"shop","environment":"prod"}`), because(pipeline.ReasonInvalidUTF8)},
	}
}

func badEnvelopes() []bad {
	recorded := "io.whence.behavior.recorded"
	return []bad{
		{"an unknown type of our own", nil, structured(recorded, "io.whence.coffee.brewed"), because(pipeline.ReasonUnknownType)},
		{"an unknown version of a type", nil, structured(recorded, recorded+".v2"), because(pipeline.ReasonUnknownType)},
		{"CloudEvents 0.3", nil, structured(`"1.0"`, `"0.3"`), because(pipeline.ReasonSpecVersion)},
		{"CloudEvents 2.0", nil, structured(`"1.0"`, `"2.0"`), because(pipeline.ReasonSpecVersion)},
		{"no id", nil, structured(`"id":"bad",`, ""), because(pipeline.ReasonMissing)},
		{"an empty source", nil, structured("hostile", ""), because(pipeline.ReasonMissing)},
		{"no type", nil, structured(`"type":"`+recorded+`",`, ""), because(pipeline.ReasonMissing)},
		{"no service", nil, structured(`"service":"shop",`, ""), because(pipeline.ReasonMissing)},
		{"an empty environment", nil, structured(`"prod"`, `""`), because(pipeline.ReasonMissing)},
		{"a null name", nil, structured(`"buy"`, "null"), because(pipeline.ReasonMissing)},
		{"no data", nil, structured(`,"data":{"name":"buy","service":"shop","environment":"prod"}`, ""), because(pipeline.ReasonMissing)},
		{"a service that is a number", nil, structured(`"shop"`, "7"), because(pipeline.ReasonWrongType)},
		{"data that is a list", nil, structured(`{"name":"buy","service":"shop","environment":"prod"}`, "[]"),
			because(pipeline.ReasonWrongType, pipeline.ReasonMissing)},
		{"a fact without its id", nil, structured(recorded, "io.whence.deployment.started"), because(pipeline.ReasonMissing)},
		{"a fact with an outcome there is not", nil, structured(recorded, "io.whence.deployment.finished",
			`"name":"buy"`, `"deployment_id":"d","version":"v","outcome":"splendid"`), because(pipeline.ReasonInvalid)},
		{"a fact with a moment that is none", nil, structured(recorded, "io.whence.incident.opened",
			`"name":"buy"`, `"incident_id":"n","started_at":"at tea time"`), because(pipeline.ReasonTime, pipeline.ReasonWrongType, pipeline.ReasonInvalid)},
	}
}

func badTimes() []bad {
	var records []bad
	for name, replacement := range map[string]string{
		"in the year 0":     `"time":"0000-01-01T00:00:00Z",`,
		"before 2000":       `"time":"1999-12-31T23:59:59.999Z",`,
		"in 2101":           `"time":"2101-01-01T00:00:00Z",`,
		"in the year 99999": `"time":"99999-01-01T00:00:00Z",`,
		"garbage":           `"time":"yesterday at noon",`,
		"without a zone":    `"time":"2024-05-01T10:00:00",`,
		"empty":             `"time":"",`,
		"not there":         ``,
		"on 30 February":    `"time":"2024-02-30T10:00:00Z",`,
		"a number":          `"time":1714557600,`,
	} {
		records = append(records, bad{"a time " + name, nil, structured(`"time":"2024-05-01T10:00:00Z",`, replacement),
			because(pipeline.ReasonTime, pipeline.ReasonWrongType)})
	}
	return records
}

// goodRecords are events of as many days, without keys, every id said by two
// sources, and a fact on each tenth day.
func goodRecords(days int) [][]byte {
	var values [][]byte
	for day := range days {
		at := time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, day).Format(time.RFC3339)
		for _, source := range []string{"good", "good too"} {
			values = append(values, structured(`"bad"`, fmt.Sprintf(`"%d"`, day), "hostile", source, "2024-05-01T10:00:00Z", at))
		}
		if day%10 == 0 {
			values = append(values, structured(`"bad"`, fmt.Sprintf(`"%d"`, day), "hostile", "good", "2024-05-01T10:00:00Z", at,
				"io.whence.behavior.recorded", "io.whence.deployment.started", `"name":"buy"`, fmt.Sprintf(`"deployment_id":"d%d","version":"v"`, day)))
		}
	}
	return values
}

func TestABadRecordHurtsOnlyItself(t *testing.T) {
	const days = 400
	s := up(t, t.TempDir())
	records, batch := badRecords(), []*kgo.Record(nil)
	for _, r := range records {
		batch = append(batch, &kgo.Record{Value: r.value, Headers: r.headers})
	}
	// A bad one after each few good ones, all in one partition: batches hold both.
	good, at := goodRecords(days), map[*kgo.Record]bad{}
	every := len(good) / len(records)
	for i, r := range batch {
		at[r] = records[i]
	}
	for i, value := range good {
		batch = slices.Insert(batch, min(len(batch), i+i/every), &kgo.Record{Value: value})
	}
	producer := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(event.TopicBehavior),
		kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerLinger(100*time.Millisecond))
	if err := producer.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.awaitQuiet()
	s.holdsLaw2()

	letters := s.letters()
	for r, want := range at {
		letter, ok := letters[r.Offset]
		if !ok {
			t.Errorf("%s: no dead letter", want.name)
			continue
		}
		delete(letters, r.Offset)
		if !slices.Contains(want.reasons, letter.reason) {
			t.Errorf("%s: the reason is %s (%s), not one of %v", want.name, letter.reason, letter.detail, want.reasons)
		}
		if letter.detail == "" {
			t.Errorf("%s: the dead letter says nothing for a person", want.name)
		}
		if !bytes.Equal(letter.value, r.Value) || (letter.value == nil) != (r.Value == nil) {
			t.Errorf("%s: the dead letter's %d bytes are not the %d sent", want.name, len(letter.value), len(r.Value))
		}
		if sent := headersOf(r); letter.headers != sent {
			t.Errorf("%s: the dead letter's headers are %s, sent were %s", want.name, letter.headers, sent)
		}
	}
	for offset, letter := range letters {
		t.Errorf("a good record, offset %d, is a dead letter: %s (%s)", offset, letter.reason, letter.detail)
	}
	if have := s.ask("SELECT count(), uniqExact(id), uniqExact(source), uniqExact(toDate(time)) FROM whence.observations FINAL"); have !=
		fmt.Sprintf("%d\t%d\t2\t%d", 2*days, days, days) {
		t.Errorf("rows, ids, sources and days stored: %s; sent were %d, %d, 2 and %d", have, 2*days, days, days)
	}
	if have := s.count("facts"); have != days/10 {
		t.Errorf("%d facts stored of %d", have, days/10)
	}
	if have := s.end(event.TopicDeadLetter); have < int64(len(records)) {
		t.Errorf("%d records in %s for %d bad ones", have, event.TopicDeadLetter, len(records))
	}
	t.Logf("%d bad records between %d good ones: %s", len(records), len(good),
		s.ask("SELECT arrayStringConcat(groupArray(concat(reason, ' ', toString(n))), ', ') FROM "+
			"(SELECT reason, count() AS n FROM whence.dead_letters FINAL GROUP BY reason ORDER BY n DESC, reason)"))
	s.stop()
}

type letter struct {
	reason  pipeline.Reason
	detail  string
	value   []byte // nil: null
	headers string
}

// letters are the dead letters by offset, each there once without FINAL.
func (s *system) letters() map[int64]letter {
	letters := map[int64]letter{}
	for row := range strings.Lines(s.ask("SELECT offset, reason, detail, isNull(value), hex(ifNull(value, '')), hex(toString(headers)) "+
		"FROM whence.dead_letters WHERE topic = 'whence.behavior' AND partition = 0 ORDER BY offset") + "\n") {
		columns := strings.Split(strings.TrimSuffix(row, "\n"), "\t")
		offset, err := strconv.ParseInt(columns[0], 10, 64)
		if err != nil {
			s.t.Fatalf("%v in %q", err, row)
		}
		if _, twice := letters[offset]; twice {
			s.t.Errorf("offset %d has two dead letters", offset)
		}
		value, err := hex.DecodeString(columns[4])
		if err != nil {
			s.t.Fatal(err)
		}
		if columns[3] == "1" {
			value = nil
		}
		letters[offset] = letter{pipeline.Reason(columns[1]), columns[2], value, columns[5]}
	}
	return letters
}

// headersOf writes a record's headers as letters reads them.
func headersOf(r *kgo.Record) string {
	var text bytes.Buffer
	text.WriteByte('{')
	for i, h := range r.Headers {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "'%s':'%s'", h.Key, h.Value)
	}
	text.WriteByte('}')
	return strings.ToUpper(hex.EncodeToString(text.Bytes()))
}

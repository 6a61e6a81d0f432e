package codec

import (
	"testing"

	"github.com/whencehq/whence/schemas/event"
)

// thirteen is a behavior.recorded event with thirteen fields of data.
const thirteen = `{"specversion":"1.0","id":"b7c1f3a2-0001","source":"web","type":"io.whence.behavior.recorded",` +
	`"subject":"checkout","time":"2026-11-23T14:05:00.123Z","datacontenttype":"application/json","data":{` +
	`"name":"checkout.completed","service":"checkout","environment":"production",` +
	`"user":"u-5f8a2c91","session":"s-77ab01","version":"v2.14.0","instance":"checkout-7d9f8b-x2x4q",` +
	`"ok":true,"duration_ms":182.4,"value":49.9,"weight":1,` +
	`"attributes":{"country":"DE","plan":"pro"},"region":"eu-central-1"}}`

func encoded(tb testing.TB, line string, format Format) Message {
	tb.Helper()
	var enc Encoder
	m, err := enc.Line([]byte(line), format)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func benchmarkDecode(b *testing.B, m Message) {
	var dec Decoder
	events := Events{Observations: make([]event.Observation, 0, 1024)}
	from := event.Provenance{Topic: "whence.behavior", Offset: 1}
	b.ReportAllocs()
	for b.Loop() {
		if len(events.Observations) == cap(events.Observations) {
			events.Observations = events.Observations[:0]
		}
		if err := dec.Decode(&events, from, m.Value, m.Headers); err != nil {
			b.Fatal(err)
		}
	}
}

// One behavior.recorded of thirteen fields, our publisher's default form.
func BenchmarkDecodeBinaryMsgpack(b *testing.B) {
	benchmarkDecode(b, encoded(b, thirteen, BinaryMsgpack))
}

// The same as structured JSON.
func BenchmarkDecodeStructuredJSON(b *testing.B) {
	benchmarkDecode(b, encoded(b, thirteen, StructuredJSON))
}

const deploymentLine = `{"specversion":"1.0","id":"d-1/finished","source":"deployer","type":"io.whence.deployment.finished","subject":"checkout",` +
	`"time":"2026-11-23T14:05:00Z","data":{"deployment_id":"d-1","service":"checkout","environment":"production","version":"v2","previous_version":"v1",` +
	`"strategy":"rolling","percent":100,"instances_added":["checkout-v2-f08a7bc195"],"outcome":"success"}}`

// One fact off the context log.
func BenchmarkDecodeFact(b *testing.B) {
	var dec Decoder
	var enc Encoder
	var events Events
	if err := dec.Decode(&events, event.Provenance{Topic: "whence.delivery"}, []byte(deploymentLine), nil); err != nil {
		b.Fatal(err)
	}
	m, err := enc.EncodeFact(&events.Facts[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dec.DecodeFact(m.Value, m.Headers); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHashEvent(b *testing.B) {
	var dec Decoder
	if f := dec.open([]byte(thirteen), nil); f != nil {
		b.Fatal(f)
	}
	b.ReportAllocs()
	for b.Loop() {
		hashEvent(&dec.in.event, dec.in.data)
	}
}

func BenchmarkEncodeLineMsgpack(b *testing.B) {
	var enc Encoder
	line := []byte(thirteen)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := enc.Line(line, BinaryMsgpack); err != nil {
			b.Fatal(err)
		}
	}
}

package chaos

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// tellContext puts facts on the context log, past the inputs, and returns the last
// one's offset. The publisher is paused.
func (r *round) tellContext(said []world.Said) (last int64) {
	r.Helper()
	var encoder codec.Encoder
	for _, s := range said {
		r.record.mu.Lock()
		fact := r.record.fact(s)
		r.record.facts = append(r.record.facts, fact)
		r.record.mu.Unlock()
		fact.Provenance = event.Provenance{ReceivedAt: fact.Time, Topic: event.TopicBehavior} // of a record that is accounted for
		m, err := encoder.EncodeFact(&fact)
		if err != nil {
			r.Fatal(err)
		}
		record := &kgo.Record{Topic: topicContext, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if err := r.publisher.client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			r.Fatal(err)
		}
		last = record.Offset
	}
	return last
}

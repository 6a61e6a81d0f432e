package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// epochShift is where a revision's epoch begins: epoch << 40 | offset.
const epochShift = 40

// Revision is the place of a context-log offset in the order of everything
// known. It grows when the log is made anew, because the epoch does.
func Revision(epoch uint64, offset int64) uint64 { return epoch<<epochShift | uint64(offset) }

// EncodeFact lays a fact out as a record; DecodeFact reads it back.
type (
	EncodeFact func(*event.Fact) (value []byte, headers []pipeline.Header, err error)
	DecodeFact func(pipeline.Record) (event.Fact, error)
)

// Producer appends what a worker itself says: facts to the context log, dead
// letters to theirs, what rules route to the operator's. All are acknowledged by all in-sync replicas when a call
// returns, and repeated when it fails: at least once is enough, since the fold
// is idempotent and dead letters carry the place they came from.
type Producer struct {
	client       *kgo.Client
	contextTopic string
	deadTopic    string
	epoch        uint64
	encode       EncodeFact
}

// NewProducer connects lazily: the first append does.
func NewProducer(c Connection, contextTopic, deadTopic string, epoch uint64, encode EncodeFact) (*Producer, error) {
	client, err := kgo.NewClient(c.options(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(20*time.Second),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
	)...)
	if err != nil {
		return nil, clientError(err)
	}
	return &Producer{client: client, contextTopic: contextTopic, deadTopic: deadTopic, epoch: epoch, encode: encode}, nil
}

// Close drops what is not acknowledged.
func (p *Producer) Close() { p.client.Close() }

// Append adds facts to the context log and returns the revision of the last.
func (p *Producer) Append(ctx context.Context, facts []event.Fact) (uint64, error) {
	records := make([]*kgo.Record, len(facts))
	for i := range facts {
		value, headers, err := p.encode(&facts[i])
		if err != nil {
			return 0, pipeline.Fatalf("", "context log: encode %s %s: %w", facts[i].Type, facts[i].ID, err)
		}
		records[i] = &kgo.Record{
			Topic: p.contextTopic,
			Key:   []byte(facts[i].Source + "|" + facts[i].ID),
			Value: value, Headers: recordHeaders(headers),
		}
	}
	var last uint64
	for _, r := range p.client.ProduceSync(ctx, records...) {
		if r.Err != nil {
			return 0, fmt.Errorf("context log: %w", r.Err)
		}
		last = max(last, Revision(p.epoch, r.Record.Offset))
	}
	return last, nil
}

// Bury adds dead letters to their topic: the original bytes, with the reason
// and the place they came from in headers. One that is too large for the topic
// goes without its bytes, and says so: the table of dead letters has them, and
// a worker must not stand still over one record. (A broker limits what it is
// sent, compressed: what was small enough for an input topic may be larger
// than MaxRecordBytes here.)
func (p *Producer) Bury(ctx context.Context, dead []pipeline.DeadLetter) error {
	records := make([]*kgo.Record, len(dead))
	for i := range dead {
		records[i] = p.deadLetter(&dead[i])
	}
	if _, err := p.send(ctx, records, "the record is too large for this topic: see whence.dead_letters"); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return nil
}

// Route sends what rules route, as Bury does dead letters: with the rule and the
// place it came from in headers. It returns the places of what went without its
// bytes.
func (p *Producer) Route(ctx context.Context, routed []pipeline.Routed) (refused []int, err error) {
	records := make([]*kgo.Record, len(routed))
	for i := range routed {
		r := &routed[i]
		records[i] = &kgo.Record{Topic: r.To, Key: r.Key, Value: r.Value, Headers: append(recordHeaders(r.Headers), cameFrom(r.Provenance,
			kgo.RecordHeader{Key: "whence-rule", Value: []byte(r.Rule)}, kgo.RecordHeader{Key: "whence-received", Value: strconv.AppendInt(nil, int64(r.ReceivedAt), 10)})...)}
	}
	cut, err := p.send(ctx, records, "its topic does not take the whole")
	if err != nil {
		return nil, &pipeline.Error{Err: fmt.Errorf("route: %w", err), Hint: "a rule routes there: whence topics creates what is missing"}
	}
	for _, r := range cut {
		refused = append(refused, slices.Index(records, r))
	}
	return refused, nil
}

// send produces records whose last headers are cameFrom's. What its topic refuses
// goes without its bytes, and says why; those are returned.
func (p *Producer) send(ctx context.Context, records []*kgo.Record, why string) (refused []*kgo.Record, err error) {
	if refused, err = p.produce(ctx, records); err != nil {
		return nil, err
	}
	cut := make([]*kgo.Record, len(refused))
	for i, r := range refused {
		key := r.Key
		if len(key) > mostOfKey {
			key = nil // it may be what is too large
		}
		cut[i] = &kgo.Record{Topic: r.Topic, Key: key, Headers: append(slices.Clone(r.Headers[len(r.Headers)-provenanceHeaders:]),
			kgo.RecordHeader{Key: "whence-cut", Value: []byte(why)})}
	}
	_, err = p.produce(ctx, cut) // a topic that refuses these too has nothing of them
	return refused, err
}

// mostOfKey is how long the key of a record without its bytes may be.
const mostOfKey = 1024

// produce returns the records that their topics refuse even alone: those that are
// too large, or lack a key that a compacted topic wants. A broker refuses the whole
// batch that such a one comes in.
func (p *Producer) produce(ctx context.Context, records []*kgo.Record) (refused []*kgo.Record, err error) {
	var again []*kgo.Record
	for _, r := range p.client.ProduceSync(ctx, records...) {
		switch {
		case errors.Is(r.Err, kerr.InvalidRecord) && len(r.Record.Key) == 0, len(records) == 1 && isRefusal(r.Err):
			refused = append(refused, r.Record)
		case isRefusal(r.Err):
			again = append(again, r.Record)
		case r.Err != nil:
			return nil, fmt.Errorf("to %s: %w", r.Record.Topic, r.Err)
		}
	}
	for _, half := range [][]*kgo.Record{again[:len(again)/2], again[len(again)/2:]} {
		if len(half) == 0 {
			continue
		}
		more, err := p.produce(ctx, half)
		if err != nil {
			return nil, err
		}
		refused = append(refused, more...)
	}
	return refused, nil
}

func isRefusal(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// provenanceHeaders is how many headers cameFrom makes.
const provenanceHeaders = 5

func cameFrom(p event.Provenance, why ...kgo.RecordHeader) []kgo.RecordHeader {
	return append(why,
		kgo.RecordHeader{Key: "whence-topic", Value: []byte(p.Topic)},
		kgo.RecordHeader{Key: "whence-partition", Value: strconv.AppendInt(nil, int64(p.Partition), 10)},
		kgo.RecordHeader{Key: "whence-offset", Value: strconv.AppendInt(nil, p.Offset, 10)},
	)
}

func (p *Producer) deadLetter(d *pipeline.DeadLetter) *kgo.Record {
	headers := append(recordHeaders(d.Headers), cameFrom(d.Provenance,
		kgo.RecordHeader{Key: "whence-reason", Value: []byte(d.Reason)}, kgo.RecordHeader{Key: "whence-detail", Value: []byte(d.Detail)})...)
	return &kgo.Record{Topic: p.deadTopic, Key: d.Key, Value: d.Value, Headers: headers}
}

func recordHeaders(headers []pipeline.Header) []kgo.RecordHeader {
	out := make([]kgo.RecordHeader, len(headers), len(headers)+5)
	for i, h := range headers {
		out[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return out
}

// ContextTopic describes the context log as it stands.
type ContextTopic struct {
	ID         [16]byte
	Start, End int64 // of the log; End is the offset that the next fact gets
}

// DescribeContext looks the context log up. It must have one partition: only
// that makes its offsets an order.
func DescribeContext(ctx context.Context, c Connection, topic string) (ContextTopic, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return ContextTopic{}, clientError(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return ContextTopic{}, unreached(c.Seeds, err)
	}
	d := details[topic]
	if d.Err != nil {
		return ContextTopic{}, &pipeline.Error{Err: fmt.Errorf("topic %s: %w", topic, d.Err), Hint: "whence topics creates what is missing"}
	}
	if n := len(d.Partitions); n != 1 {
		return ContextTopic{}, pipeline.Fatalf("make it anew with one partition", "topic %s has %d partitions, want 1", topic, n)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return ContextTopic{}, fmt.Errorf("context log: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return ContextTopic{}, fmt.Errorf("context log: %w", err)
	}
	end, _ := ends.Lookup(topic, 0)
	start, _ := starts.Lookup(topic, 0)
	return ContextTopic{ID: d.ID, Start: start.Offset, End: end.Offset}, errors.Join(start.Err, end.Err)
}

// Tail reads the context log from where a snapshot ends and keeps reading, for
// the timeline of one worker.
type Tail struct {
	Connection
	Topic  string
	Epoch  uint64
	Decode DecodeFact
	// Fold takes the facts of a stretch of the log and the revision reached. Its
	// error ends the reading.
	Fold func(ctx context.Context, facts []event.Fact, revision uint64) error
}

// Run folds from offset from until ctx is done. It calls caughtUp once, when
// everything before end is folded. A record that does not decode is logged and
// passed over: its writer has kept it among the dead letters.
func (t *Tail) Run(ctx context.Context, from, end int64, caughtUp func()) error {
	client, err := kgo.NewClient(t.options(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.Topic: {0: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(time.Second),
		kgo.MaxDecompressBatchBytes(maxDecompressed),
		kgo.FetchMaxBytes(32<<20), kgo.FetchMaxPartitionBytes(32<<20),
	)...)
	if err != nil {
		return clientError(err)
	}
	defer client.Close()
	if from >= end {
		caughtUp()
	}
	for next := from; ; {
		fetches := client.PollRecords(ctx, 50_000)
		if ctx.Err() != nil {
			return nil
		}
		if err := t.failure(fetches); err != nil {
			return err
		}
		behind := next < end
		after, err := t.fold(ctx, fetches)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		next = max(next, after)
		if behind && next >= end {
			caughtUp()
		}
	}
}

// fold returns the offset after the last record.
func (t *Tail) fold(ctx context.Context, fetches kgo.Fetches) (next int64, err error) {
	facts := make([]event.Fact, 0, fetches.NumRecords())
	for r := range fetches.RecordsAll() {
		next = r.Offset + 1
		fact, err := t.Decode(record(r))
		if err != nil {
			t.Log.Error("a record of the context log can't be read", zap.Int64("offset", r.Offset), zap.Error(err))
			continue
		}
		fact.Revision = Revision(t.Epoch, r.Offset)
		facts = append(facts, fact)
	}
	if next > 0 {
		err = t.Fold(ctx, facts, Revision(t.Epoch, next-1))
	}
	return next, err
}

// failure tells a log that is gone from one that can't be reached just now:
// franz-go retries the latter.
func (t *Tail) failure(fetches kgo.Fetches) error {
	for _, failed := range fetches.Errors() {
		switch {
		case errors.Is(failed.Err, kerr.OffsetOutOfRange),
			errors.Is(failed.Err, kerr.UnknownTopicOrPartition), errors.Is(failed.Err, kerr.UnknownTopicID):
			return pipeline.Fatalf("start the worker again: it begins a new epoch",
				"context log %s was trimmed or made anew under the worker: %w", t.Topic, failed.Err)
		default:
			t.Log.Warn("context log", zap.Error(failed.Err))
		}
	}
	return nil
}

package tables

import "github.com/whencehq/whence/schemas/event"

// DeadLetter is a row of whence.dead_letters: a record that could not be taken.
type DeadLetter struct {
	event.Provenance
	TopicID    [16]byte
	Key, Value []byte       // nil differs from empty
	Headers    []event.Pair // in the record's order, keys may repeat
	Reason     string
	Detail     string
	// What could be read of the envelope.
	Source, ID, Type string
	Time             event.Millis // 0: unknown
}

// DeadLetters is rows of whence.dead_letters.
type DeadLetters struct {
	block
	topic, reason         words
	topicID               fixed
	partition             fixed
	offset, receivedAt    fixed
	key, value            bytes
	headers               pairs
	detail, source, id, t text
	time                  optional
}

// NewDeadLetters makes an empty block.
func NewDeadLetters() *DeadLetters {
	c := &DeadLetters{
		topicID: uuids(), partition: signed32(), offset: signed(), receivedAt: moments(), time: optionally(moments()),
	}
	c.table = "whence.dead_letters"
	c.columns = []named{
		{"reason", &c.reason}, {"detail", &c.detail},
		{"source", &c.source}, {"id", &c.id}, {"type", &c.t}, {"time", &c.time},
		{"key", &c.key}, {"value", &c.value}, {"headers", &c.headers}, {"received_at", &c.receivedAt},
		{"topic", &c.topic}, {"topic_id", &c.topicID}, {"partition", &c.partition}, {"offset", &c.offset},
	}
	return c
}

// Append adds a dead letter.
func (c *DeadLetters) Append(d *DeadLetter) {
	c.rows++
	c.reason.Append(d.Reason)
	c.detail.Append(d.Detail)
	c.source.Append(d.Source)
	c.id.Append(d.ID)
	c.t.Append(d.Type)
	c.time.AppendUnless(int64(d.Time), 0)
	c.key.Append(d.Key)
	c.value.Append(d.Value)
	c.headers.Append(d.Headers)
	c.receivedAt.AppendTime(d.ReceivedAt)
	c.topic.Append(d.Topic)
	c.topicID.AppendUUID(d.TopicID)
	c.partition.Append32(uint32(d.Partition))
	c.offset.Append64(uint64(d.Offset))
}

// Batch is a row of whence_state.batches: what became of the records
// [From, To) of a partition. Stored + Dead + Dropped = Records; the last three count
// events, of which a record may bring several.
type Batch struct {
	Topic                       string
	TopicID                     [16]byte
	Partition                   int32
	From, To                    int64  // To is exclusive
	Records                     uint64 // that were there: a log may have gaps
	Stored, Dead                uint64 // records that brought events, records buried
	Dropped                     uint64 // records that the operator's rules don't want
	Facts, Observations, Others uint64
	Hash                        uint64 // of the records' raw bytes
	Revision                    uint64 // that the enrichment was computed at
}

// Batches is rows of whence_state.batches.
type Batches struct {
	block
	topic                       words
	topicID                     fixed
	partition                   fixed
	from, to                    fixed
	records, stored, dead       fixed
	dropped                     fixed
	facts, observations, others fixed
	hash, revision              fixed
}

// NewBatches makes an empty block.
func NewBatches() *Batches {
	c := &Batches{topicID: uuids(), partition: signed32(), from: signed(), to: signed()}
	for _, f := range []*fixed{
		&c.records, &c.stored, &c.dead, &c.dropped, &c.facts, &c.observations, &c.others, &c.hash, &c.revision,
	} {
		*f = unsigned()
	}
	c.table = "whence_state.batches"
	c.columns = []named{
		{"topic", &c.topic}, {"topic_id", &c.topicID}, {"partition", &c.partition},
		{"from_offset", &c.from}, {"to_offset", &c.to},
		{"records", &c.records}, {"stored", &c.stored}, {"dead", &c.dead}, {"dropped", &c.dropped},
		{"facts", &c.facts}, {"observations", &c.observations}, {"others", &c.others},
		{"hash", &c.hash}, {"revision", &c.revision},
	}
	return c
}

// Append adds a batch.
func (c *Batches) Append(b *Batch) {
	c.rows++
	c.topic.Append(b.Topic)
	c.topicID.AppendUUID(b.TopicID)
	c.partition.Append32(uint32(b.Partition))
	c.from.Append64(uint64(b.From))
	c.to.Append64(uint64(b.To))
	c.records.Append64(b.Records)
	c.stored.Append64(b.Stored)
	c.dead.Append64(b.Dead)
	c.dropped.Append64(b.Dropped)
	c.facts.Append64(b.Facts)
	c.observations.Append64(b.Observations)
	c.others.Append64(b.Others)
	c.hash.Append64(b.Hash)
	c.revision.Append64(b.Revision)
}

// LetterReplay is a row of whence.dead_letter_replays: what became of a dead
// letter that was taken through the pipeline again.
type LetterReplay struct {
	Topic      string
	TopicID    [16]byte
	Partition  int32
	Offset     int64
	Outcome    string // LetterStored, LetterDropped, LetterDead
	Reason     string // where it is dead
	Detail     string
	ReplayedAt event.Millis
}

// The outcomes of a replay.
const (
	LetterStored  = "stored"
	LetterDropped = "dropped"
	LetterDead    = "dead"
)

// LetterReplays is rows of whence.dead_letter_replays.
type LetterReplays struct {
	block
	topic, outcome, reason words
	topicID                fixed
	partition              fixed
	offset, replayedAt     fixed
	detail                 text
}

// NewLetterReplays makes an empty block.
func NewLetterReplays() *LetterReplays {
	c := &LetterReplays{topicID: uuids(), partition: signed32(), offset: signed(), replayedAt: moments()}
	c.table = "whence.dead_letter_replays"
	c.columns = []named{
		{"topic", &c.topic}, {"topic_id", &c.topicID}, {"partition", &c.partition}, {"offset", &c.offset},
		{"outcome", &c.outcome}, {"reason", &c.reason}, {"detail", &c.detail}, {"replayed_at", &c.replayedAt},
	}
	return c
}

// Append adds what became of a letter.
func (c *LetterReplays) Append(r *LetterReplay) {
	c.rows++
	c.topic.Append(r.Topic)
	c.topicID.AppendUUID(r.TopicID)
	c.partition.Append32(uint32(r.Partition))
	c.offset.Append64(uint64(r.Offset))
	c.outcome.Append(r.Outcome)
	c.reason.Append(r.Reason)
	c.detail.Append(r.Detail)
	c.replayedAt.AppendTime(r.ReplayedAt)
}

package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Record is one Kafka record, without the client's types. Its bytes are never
// written to and live as long as the batch.
type Record struct {
	Key, Value []byte // nil differs from empty
	Headers    []Header
	// Sent are the headers that came, where a rule has set others; nil: Headers
	// are. What rules hide is hidden in both.
	Sent      []Header
	Timestamp event.Millis // log-append time
	Offset    int64
	// Settled: a rule has said what becomes of the record before it was decoded.
	// Events, Dead or Dropped has it.
	Settled bool
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Batch is the records [From, To) of one partition and what the stages have
// made of them so far. It is the only thing that flows through a chain: a
// stage takes it, moves events on, and hands it back. At the end
//
//	every record is in exactly one of: an event's provenance, Dead, or Dropped
//
// (a record may bring several events, and those of one that are dropped leave
// the others).
type Batch struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
	From, To  int64 // To is exclusive
	Records   []Record
	Hash      uint64 // of the records' raw bytes, see HashRecords

	Facts        []event.Fact
	Observations []event.Observation
	Enrichments  []event.Enrichment // parallel to Observations, filled by enrich
	Others       []event.Other
	Dead         []DeadLetter
	Dropped      []Drop
	Routed       []Routed

	// Revision is the context revision that Enrichments were computed at.
	Revision uint64

	// Doubted: an insert of the batch was tried before, by this process or a
	// former owner of the partition, and nobody knows what became of it. Its
	// tokens may be used up without its rows being there.
	Doubted bool
}

// Token is the deduplication token of the batch's block for a table. A token
// beats the data (another payload under a used token vanishes), hence the
// topic's id, the range and the hash of the raw bytes in it.
func (b *Batch) Token(table string) string {
	return fmt.Sprintf("%s|%x|%d|%d|%d|%016x", table, b.TopicID, b.Partition, b.From, b.To, b.Hash)
}

// HashRecords hashes offsets, keys, values and headers. Timestamps are left
// out: a broker may rewrite them. Lengths are hashed too, so that bytes can't
// move from one part to the next unnoticed.
func HashRecords(records []Record) uint64 {
	d := xxhash.New()
	var n [8]byte
	number := func(v uint64) {
		binary.LittleEndian.PutUint64(n[:], v)
		_, _ = d.Write(n[:])
	}
	part := func(p []byte) {
		if p == nil {
			number(1<<64 - 1)
			return
		}
		number(uint64(len(p)))
		_, _ = d.Write(p)
	}
	for i := range records {
		r := &records[i]
		number(uint64(r.Offset))
		part(r.Key)
		part(r.Value)
		number(uint64(len(r.Headers)))
		for _, h := range r.Headers {
			part([]byte(h.Key))
			part(h.Value)
		}
	}
	return d.Sum64()
}

// Provenance of the batch's i-th record.
func (b *Batch) Provenance(i int) event.Provenance {
	r := &b.Records[i]
	return event.Provenance{ReceivedAt: r.Timestamp, Topic: b.Topic, Partition: b.Partition, Offset: r.Offset}
}

// Drop is something that the operator's own rule does not want: a record, or an
// event of one.
type Drop struct {
	Offset int64
	Rule   string
}

// Routed is something that the operator's own rule wants in a topic of theirs
// too: a record, or an event of one. Of a dead letter it counts for nothing.
type Routed struct {
	event.Provenance
	Rule, To   string
	Key, Value []byte
	Headers    []Header
	// Of an event; of a record they are empty.
	Type, Source, ID string
	Moved            bool // the rule drops it besides: this is all there will be of it
}

// Alive are those of records that are no dead letters.
func (b *Batch) Alive() []Routed {
	if len(b.Routed) == 0 || len(b.Dead) == 0 {
		return b.Routed
	}
	dead := make(map[int64]struct{}, len(b.Dead))
	for i := range b.Dead {
		dead[b.Dead[i].Offset] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(b.Routed), func(r Routed) bool { _, is := dead[r.Offset]; return is })
}

// Census counts the records that brought at least one event, those that are
// dead letters, and those of which rules have left nothing.
func (b *Batch) Census() (stored, dead, dropped int) {
	alive := make(map[int64]struct{}, len(b.Records))
	for i := range b.Facts {
		alive[b.Facts[i].Offset] = struct{}{}
	}
	for i := range b.Observations {
		alive[b.Observations[i].Offset] = struct{}{}
	}
	for i := range b.Others {
		alive[b.Others[i].Offset] = struct{}{}
	}
	if len(b.Dropped) == 0 {
		return len(alive), len(b.Dead), 0
	}
	taken := make(map[int64]struct{}, len(b.Dropped))
	for i := range b.Dead {
		taken[b.Dead[i].Offset] = struct{}{}
	}
	for _, d := range b.Dropped {
		_, living := alive[d.Offset]
		if _, counted := taken[d.Offset]; !living && !counted {
			taken[d.Offset] = struct{}{}
			dropped++
		}
	}
	return len(alive), len(b.Dead), dropped
}

// DeadLetter is a record that could not be taken, whole, with the reason.
type DeadLetter struct {
	event.Provenance
	TopicID [16]byte
	Key     []byte
	Value   []byte
	Headers []Header
	Reason  Reason
	Detail  string // what and where, for a person: `data.service: missing`
	// What could be read of the envelope, empty where nothing could.
	Source, ID, Type string
	Time             event.Millis // 0: unknown
}

// Reason classes dead letters. The values are public: people group by them.
type Reason string

// The reasons.
const (
	ReasonEmpty       Reason = "empty"         // a record without a value
	ReasonTooLarge    Reason = "too_large"     // over the limit of bytes an event
	ReasonTooDeep     Reason = "too_deep"      // nested beyond the limit
	ReasonMalformed   Reason = "malformed"     // not the format its content type says
	ReasonInvalidUTF8 Reason = "invalid_utf8"  // a string that is none
	ReasonContentType Reason = "content_type"  // a content type nobody reads
	ReasonSpecVersion Reason = "spec_version"  // a CloudEvents version that is not 1.0
	ReasonMissing     Reason = "missing_field" // a required attribute or field is absent or empty
	ReasonWrongType   Reason = "wrong_type"    // a field holds another type than it must
	ReasonInvalid     Reason = "invalid_value" // a field's value is outside what is allowed
	ReasonTime        Reason = "time"          // no time, none that parses, or outside 2000 to 2100
	ReasonUnknownType Reason = "unknown_type"  // an io.whence. type that does not exist
	ReasonRule        Reason = "rule"          // a rule of the operator says so, or could not be computed
)

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{
		ReasonEmpty, ReasonTooLarge, ReasonTooDeep, ReasonMalformed, ReasonInvalidUTF8, ReasonContentType, ReasonSpecVersion,
		ReasonMissing, ReasonWrongType, ReasonInvalid, ReasonTime, ReasonUnknownType, ReasonRule,
	}
}

// Processor is one stage of a chain. Process changes the batch in place; it
// returns an error only for what hurts the whole batch (a sink that is away),
// never for a bad record: that becomes a DeadLetter. Processors are called
// from several goroutines at once, each with a batch of its own.
type Processor interface {
	Name() string
	Process(ctx context.Context, b *Batch) error
}

// Bury moves record i to the dead letters, as it was sent: a rule that has set a
// header may be what is wrong, and is to find what it found once it is mended.
func (b *Batch) Bury(i int, reason Reason, detail string) {
	r := &b.Records[i]
	headers := r.Headers
	if r.Sent != nil {
		headers = r.Sent
	}
	b.Dead = append(b.Dead, DeadLetter{
		Provenance: b.Provenance(i), TopicID: b.TopicID,
		Key: r.Key, Value: r.Value, Headers: headers, Reason: reason, Detail: detail,
	})
}

// BuryFault moves record i to the dead letters with what a fault says of it, and
// what could be read of its event. err is a *codec.Fault.
func (b *Batch) BuryFault(i int, err error) {
	f := codec.FaultOf(err)
	b.Bury(i, Reason(f.Reason), f.Detail)
	dead := &b.Dead[len(b.Dead)-1]
	dead.Source, dead.ID, dead.Type, dead.Time = f.Source, f.ID, f.Type, f.Time
}

package chaos

import (
	"fmt"
	"math/bits"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// record is what Kafka has acknowledged, exactly. An observation takes a bit
// of it, since the world can say it again.
type record struct {
	mu    sync.Mutex
	world *world.World

	own, twins bitmap // observations by number, and their other contents
	ids        map[string][16]byte

	observations int     // records, repetitions among them
	worth        float64 // the sum of their values
	offsets      int64   // the sum of their offsets
	unplaced     int     // acknowledged without an offset: repeated to a broker that had it already

	facts       []event.Fact
	factRecords int
	others      map[string]bool
	otherCount  int
	dead        map[place]string // letterOf

	records map[partition]int64 // how many
	ends    map[partition]int64 // after the last
	decoder codec.Decoder
}

// partition is one of a topic's, of one incarnation of the topic.
type partition struct {
	topic  string
	id     [16]byte
	number int32
}

func (p partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.number) }

// key is what the ledger calls it.
func (p partition) key() string { return fmt.Sprintf("%X/%d", p.id, p.number) }

type place struct {
	partition
	offset int64
}

func newRecord(w *world.World) *record {
	return &record{world: w, ids: map[string][16]byte{}, others: map[string]bool{}, dead: map[place]string{},
		records: map[partition]int64{}, ends: map[partition]int64{}}
}

// incarnations tells the record which topics it is about from now on.
func (r *record) incarnations(ids map[string][16]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = ids
}

// acknowledged enters one record.
func (r *record) acknowledged(said world.Said, topic string, number int32, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := partition{topic, r.ids[topic], number}
	r.records[p]++
	r.ends[p] = max(r.ends[p], offset+1)
	if offset < 0 {
		r.unplaced++
	}
	switch said.What {
	case world.Observation:
		r.observations++
		r.worth += said.Worth
		r.offsets += offset
		if said.Twin {
			r.twins.set(said.Number)
		} else {
			r.own.set(said.Number)
		}
	case world.Fact:
		r.factRecords++
		r.facts = append(r.facts, r.fact(said))
	case world.Other:
		r.otherCount++
		r.others[said.ID] = true
	case world.Bad:
		r.dead[place{p, offset}] = letterOf(said)
	}
}

// letterOf is what a dead letter has to say of a record: the reason, the content
// type, and a hash of its bytes.
func letterOf(said world.Said) string {
	bytes := "none"
	if value := said.Message.Value; value != nil {
		bytes = strconv.FormatUint(xxhash.Sum64(value), 10)
	}
	return fmt.Sprintf("%s %s %s", said.Reason, said.Headers[0].Value, bytes)
}

// fact reads a fact back. What Kafka knows of it is left out: its revision is
// the pipeline's business.
func (r *record) fact(said world.Said) event.Fact {
	var events codec.Events
	if err := r.decoder.Decode(&events, event.Provenance{}, said.Message.Value, said.Headers); err != nil || len(events.Facts) != 1 {
		panic(fmt.Sprintf("a world's fact can't be read: %v", err))
	}
	return events.Facts[0]
}

// contents is how many observations the tables must have: one an identity.
func (r *record) contents() int { return r.own.union(&r.twins) }

// bitmap is a set of numbers from 0 on.
type bitmap struct{ words []uint64 }

func (b *bitmap) set(n uint64) {
	for uint64(len(b.words)) <= n/64 {
		b.words = append(b.words, make([]uint64, len(b.words)+1024)...)
	}
	b.words[n/64] |= 1 << (n % 64)
}

func (b *bitmap) has(n uint64) bool {
	return n/64 < uint64(len(b.words)) && b.words[n/64]&(1<<(n%64)) != 0
}

// union counts the numbers in either.
func (b *bitmap) union(other *bitmap) (n int) {
	for i := range max(len(b.words), len(other.words)) {
		n += bits.OnesCount64(b.word(i) | other.word(i))
	}
	return n
}

func (b *bitmap) word(i int) uint64 {
	if i < len(b.words) {
		return b.words[i]
	}
	return 0
}

// first is the least number that is in b and not in other.
func (b *bitmap) first(other *bitmap) (n uint64, found bool) {
	for i := range b.words {
		if left := b.words[i] &^ other.word(i); left != 0 {
			return uint64(i)*64 + uint64(bits.TrailingZeros64(left)), true
		}
	}
	return 0, false
}

package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Events stores batches of the input topics.
type Events struct {
	Sink      Sink
	Graveyard Graveyard
	// Replay, if not empty, names a replay of records that were stored before:
	// their rows are marked, have tokens of their own, and the ledger and the
	// graveyard, which know the records already, hear nothing of them.
	Replay string
}

// Name is "store".
func (*Events) Name() string { return "store" }

// Process inserts the batch. It returns an error when a sink is away; calling
// it again with the same batch is right then.
func (s *Events) Process(ctx context.Context, b *pipeline.Batch) error {
	return doubt(b, s.store(ctx, b))
}

// doubt remembers that an attempt has failed.
func doubt(b *pipeline.Batch, err error) error {
	if err != nil {
		b.Doubted = true
	}
	return err
}

func (s *Events) store(ctx context.Context, b *pipeline.Batch) error {
	if err := s.observations(ctx, b); err != nil {
		return err
	}
	pipeline.Failpoint("store/after-observations")
	if err := s.edges(ctx, b); err != nil {
		return err
	}
	if err := s.touches(ctx, b); err != nil {
		return err
	}
	pipeline.Failpoint("store/after-touches")
	if err := s.others(ctx, b); err != nil {
		return err
	}
	if s.Replay != "" {
		return nil
	}
	if err := bury(ctx, s.Sink, s.Graveyard, b); err != nil {
		return err
	}
	pipeline.Failpoint("store/before-ledger")
	stored, dead, dropped := b.Census()
	return enter(ctx, s.Sink, b, stored, dead, dropped)
}

// sink inserts a replay's blocks under tokens of its own: under the first ones
// they would be dropped.
func (s *Events) sink() Sink {
	if s.Replay == "" {
		return s.Sink
	}
	return replayed{s.Sink, s.Replay}
}

type replayed struct {
	Sink
	name string
}

func (r replayed) token(token string) string { return "replay " + r.name + "|" + token }

func (r replayed) Insert(ctx context.Context, block tables.Block, token string) error {
	return r.Sink.Insert(ctx, block, r.token(token))
}

func (r replayed) Again(ctx context.Context, block tables.Block, token string) error {
	return r.Sink.Again(ctx, block, r.token(token))
}

var observationBlocks = sync.Pool{New: func() any { return tables.NewObservations() }}

func (s *Events) observations(ctx context.Context, b *pipeline.Batch) error {
	if len(b.Observations) == 0 {
		return nil
	}
	block := observationBlocks.Get().(*tables.Observations)
	defer func() { block.Reset(); observationBlocks.Put(block) }()
	block.Again(s.Replay != "")
	for i := range b.Observations {
		block.Append(&b.Observations[i], &b.Enrichments[i])
	}
	token := token(b, block.Table(), block.Rows(), func(row int) int64 { return b.Observations[row].Offset })
	if s.Replay != "" {
		// Whole, where in doubt too: what is there may be what it is to replace.
		return send(ctx, s.sink(), block, b, token)
	}
	if err := s.Sink.Insert(ctx, block, token); err != nil || !b.Doubted {
		return err
	}
	return s.mend(ctx, block, b, token)
}

// mend stores what a doubted batch's acknowledged insert has left out. Views
// have seen these rows under the batch's token, so they are marked as written
// again: a view that counts each record once leaves them out.
func (s *Events) mend(ctx context.Context, block *tables.Observations, b *pipeline.Batch, token string) error {
	missing, err := s.Sink.Missing(ctx, b.Observations)
	if err != nil || len(missing) == 0 {
		return err
	}
	block.Reset()
	block.Again(true)
	for _, i := range missing {
		block.Append(&b.Observations[i], &b.Enrichments[i])
	}
	return s.Sink.Again(ctx, block, token)
}

// edges stores again who called whom in a doubted batch. A view does so from
// the rows, under a token that comes from theirs: the rows may be there and the
// token be spent without them. It comes before the touches, which make others
// look.
func (s *Events) edges(ctx context.Context, b *pipeline.Batch) error {
	if !b.Doubted {
		return nil
	}
	block, seen := tables.NewEdgeRows(), map[tables.Edge]bool{}
	for i := range b.Observations {
		if edge, is := tables.EdgeOf(&b.Observations[i]); is && !seen[edge] {
			seen[edge] = true
			block.Append(&edge)
		}
	}
	if block.Rows() == 0 {
		return nil
	}
	return s.sink().Again(ctx, block, b.Token(block.Table()))
}

func (s *Events) others(ctx context.Context, b *pipeline.Batch) error {
	block := tables.NewOthers()
	for i := range b.Others {
		block.Append(&b.Others[i])
	}
	return insert(ctx, s.sink(), block, b, func(row int) int64 { return b.Others[row].Offset })
}

// insert sends a block unless it has no rows.
func insert(ctx context.Context, sink Sink, block tables.Block, b *pipeline.Batch, offset func(row int) int64) error {
	if block.Rows() == 0 {
		return nil
	}
	return send(ctx, sink, block, b, token(b, block.Table(), block.Rows(), offset))
}

// send inserts a block, and a doubted batch's once more: in its tables a row
// may come twice, and under a used token it may not have come at all.
func send(ctx context.Context, sink Sink, block tables.Block, b *pipeline.Batch, token string) error {
	if err := sink.Insert(ctx, block, token); err != nil || !b.Doubted {
		return err
	}
	return sink.Again(ctx, block, token)
}

// token is the batch's token for a table, with which of its records are in the
// block: between a crash and the retry a limit may have been raised, or a new
// version may know a type, and a block with more rows under the used token
// would be dropped with them.
func token(b *pipeline.Batch, table string, rows int, offset func(row int) int64) string {
	hash := xxhash.New()
	var n [8]byte
	for row := range rows {
		binary.LittleEndian.PutUint64(n[:], uint64(offset(row)-b.From))
		_, _ = hash.Write(n[:])
	}
	return fmt.Sprintf("%s|%016x", b.Token(table), hash.Sum64())
}

func bury(ctx context.Context, sink Sink, graveyard Graveyard, b *pipeline.Batch) error {
	if len(b.Dead) == 0 {
		return nil
	}
	if err := graveyard.Bury(ctx, b.Dead); err != nil {
		return err
	}
	block := tables.NewDeadLetters()
	for i := range b.Dead {
		d := &b.Dead[i]
		headers := make([]event.Pair, len(d.Headers))
		for j, h := range d.Headers {
			headers[j] = event.Pair{Key: h.Key, Value: string(h.Value)}
		}
		block.Append(&tables.DeadLetter{
			Provenance: d.Provenance, TopicID: d.TopicID, Key: d.Key, Value: d.Value, Headers: headers,
			Reason: string(d.Reason), Detail: d.Detail, Source: d.Source, ID: d.ID, Type: d.Type, Time: d.Time,
		})
	}
	return insert(ctx, sink, block, b, func(row int) int64 { return b.Dead[row].Offset })
}

// enter writes the batch into the ledger, and refuses one that does not add
// up: a record that is neither stored nor a dead letter would be lost unseen.
func enter(ctx context.Context, sink Sink, b *pipeline.Batch, stored, dead, dropped int) error {
	if total := stored + dead + dropped; total != len(b.Records) {
		return pipeline.Fatalf("this is a bug: please report it with the records of that range",
			"%s/%d [%d, %d): %d records, of which %d are stored, %d dead and %d dropped", b.Topic, b.Partition, b.From, b.To, len(b.Records), stored, dead, dropped)
	}
	block := tables.NewBatches()
	block.Append(&tables.Batch{
		Topic: b.Topic, TopicID: b.TopicID, Partition: b.Partition, From: b.From, To: b.To,
		Records: uint64(len(b.Records)), Stored: uint64(stored), Dead: uint64(dead), Dropped: uint64(dropped),
		Facts: uint64(len(b.Facts)), Observations: uint64(len(b.Observations)), Others: uint64(len(b.Others)),
		Hash: b.Hash, Revision: b.Revision,
	})
	return insert(ctx, sink, block, b, func(int) int64 { return int64(stored) })
}

// Facts stores batches of the context log.
type Facts struct {
	Sink      Sink
	Graveyard Graveyard
	Deriver   Deriver
	// Decode reads a fact back from its record, Revision gives the place of an
	// offset in the order of everything known.
	Decode   func(pipeline.Record) (event.Fact, error)
	Revision func(offset int64) uint64
}

// Name is "store".
func (*Facts) Name() string { return "store" }

// Process inserts the batch's facts and computes anew what follows from them.
// Like that of [Events], it may be called again.
func (s *Facts) Process(ctx context.Context, b *pipeline.Batch) error {
	return doubt(b, s.store(ctx, b))
}

func (s *Facts) store(ctx context.Context, b *pipeline.Batch) error {
	s.decode(b)
	block := tables.NewFacts()
	for i := range b.Facts {
		block.Append(&b.Facts[i])
	}
	place := func(row int) int64 { return int64(b.Facts[row].Revision - s.Revision(0)) }
	if err := insert(ctx, s.Sink, block, b, place); err != nil {
		return err
	}
	pipeline.Failpoint("store/after-facts")
	if err := s.Deriver.Derive(ctx, b.Revision, b.Facts); err != nil {
		return fmt.Errorf("derive: %w", err)
	}
	if err := bury(ctx, s.Sink, s.Graveyard, b); err != nil {
		return err
	}
	return enter(ctx, s.Sink, b, len(b.Facts), len(b.Dead), 0)
}

// decode fills the batch once, also when Process is called again.
func (s *Facts) decode(b *pipeline.Batch) {
	b.Revision = s.Revision(b.To - 1)
	b.Facts, b.Dead = b.Facts[:0], b.Dead[:0]
	for i, r := range b.Records {
		fact, err := s.Decode(r)
		if err != nil {
			b.Bury(i, pipeline.ReasonMalformed, err.Error())
			continue
		}
		fact.Revision = s.Revision(r.Offset)
		b.Facts = append(b.Facts, fact)
	}
}

package clickhouse

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// snapshotChunk is how many facts are handed over at once.
const snapshotChunk = 10_000

// Snapshot hands over the contents of facts with after < revision <= upTo that
// are stored, in chunks and in no order, with what a timeline needs of them.
// Those that lost to a greater content are among them: a timeline is a function
// of the set, and as of an earlier revision they may have counted.
// What is stored of this incarnation of the context log reaches at least to
// LedgerEnd of its topic, asked before; facts beyond that may be among them,
// which changes nothing, for a timeline is a function of the set.
//
// A row that nobody can read is left out and logged: if one could end a start, no
// worker would ever start again.
func (c *Client) Snapshot(ctx context.Context, log *zap.Logger, after, upTo uint64, fold func([]event.Fact)) error {
	rows, err := c.db.QueryContext(ctx,
		"SELECT toString(source), id, toString(type), time, content_hash, revision, data FROM whence_state.fact_contents FINAL "+
			"WHERE revision > ? AND revision <= ?", after, upTo)
	if err != nil {
		return fmt.Errorf("snapshot of facts: %w", Classify(err))
	}
	defer rows.Close()
	var decoder codec.Decoder
	chunk := make([]event.Fact, 0, snapshotChunk)
	for rows.Next() {
		var e event.Event
		var at time.Time
		var revision uint64
		var data string
		if err := rows.Scan(&e.Source, &e.ID, &e.Type, &at, &e.Hash, &revision, &data); err != nil {
			return fmt.Errorf("snapshot of facts: %w", Classify(err))
		}
		e.Time = event.MillisOf(at)
		fact, err := decoder.StoredFact(e, []byte(data))
		if err != nil {
			log.Error("a stored fact can't be read and counts for nothing", zap.String("source", e.Source), zap.String("id", e.ID),
				zap.String("type", e.Type), zap.Uint64("revision", revision), zap.Error(err),
				zap.String("hint", "the row was written by another version, or by hand: rewrite or delete it"))
			continue
		}
		fact.Revision = revision
		if chunk = append(chunk, fact); len(chunk) == snapshotChunk {
			fold(chunk)
			chunk = chunk[:0]
		}
	}
	fold(chunk)
	return Classify(rows.Err())
}

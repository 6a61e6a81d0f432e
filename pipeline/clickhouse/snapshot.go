package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// snapshotChunk is how many facts are handed over at once.
const snapshotChunk = 10_000

// Snapshot hands over every fact that is stored, in chunks and in no order: of
// each identity the content that counts, with what a timeline needs of it.
// What is stored of this incarnation of the context log reaches at least to
// LedgerEnd of its topic, asked before; facts beyond that may be among them,
// which changes nothing, for a timeline is a function of the set.
func (c *Client) Snapshot(ctx context.Context, fold func([]event.Fact)) error {
	rows, err := c.db.QueryContext(ctx,
		"SELECT toString(source), id, toString(type), time, content_hash, revision, data FROM whence.facts FINAL")
	if err != nil {
		return fmt.Errorf("snapshot of facts: %w", Classify(err))
	}
	defer rows.Close()
	var decoder codec.Decoder
	chunk := make([]event.Fact, 0, snapshotChunk)
	for rows.Next() {
		var e event.Event
		var at time.Time
		var hash, revision uint64
		var data string
		if err := rows.Scan(&e.Source, &e.ID, &e.Type, &at, &hash, &revision, &data); err != nil {
			return fmt.Errorf("snapshot of facts: %w", Classify(err))
		}
		e.Time = event.MillisOf(at)
		fact, err := decoder.NewFact(e, []byte(data))
		if err != nil {
			return pipeline.Fatalf("the row was written by another version, or by hand: rewrite or delete it",
				"snapshot of facts: %s %s %s: %w", e.Source, e.ID, e.Type, err)
		}
		// The stored hash is over the whole event, of which this is a part.
		fact.Hash, fact.Revision = hash, revision
		if chunk = append(chunk, fact); len(chunk) == snapshotChunk {
			fold(chunk)
			chunk = chunk[:0]
		}
	}
	fold(chunk)
	return Classify(rows.Err())
}

package clickhouse

import (
	"context"
	"fmt"
	"net/url"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// settings sends settings beside the statements of ctx.
func settings(ctx context.Context, values ch.Settings) context.Context {
	return ch.Context(ctx, ch.WithSettings(values))
}

// LedgerEnd returns the offset after the last record of a partition that is
// stored: where to go on when Kafka has forgotten the group's offset. found is
// false for a partition that nothing was ever stored of.
func (c *Client) LedgerEnd(ctx context.Context, topicID [16]byte, partition int32) (next int64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var batches uint64
	err = c.db.QueryRowContext(ctx,
		"SELECT max(to_offset), count() FROM whence_state.batches WHERE topic_id = ? AND partition = ?",
		uuid.UUID(topicID).String(), partition).Scan(&next, &batches)
	if err != nil {
		return 0, false, fmt.Errorf("ledger of %s/%d: %w", uuid.UUID(topicID), partition, Classify(err))
	}
	return next, batches > 0, nil
}

// Gap is records that the ledger does not know, or knows twice, between two
// batches of a partition that follow each other.
type Gap struct {
	TopicID   [16]byte
	Topic     string
	Partition int32
	// After is where a batch ends and Before where the next begins. Before >
	// After: records are missing. Before < After: they were stored twice.
	After, Before int64
}

// LedgerGaps lists where batches do not follow each other. None: everything
// between the first and the last stored record was stored, once.
func (c *Client) LedgerGaps(ctx context.Context) ([]Gap, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(ctx, `
		SELECT topic_id, topic, partition, after, from_offset
		FROM
		(
			SELECT topic_id, topic, partition, from_offset, lagInFrame(to_offset, 1, from_offset) OVER
				(PARTITION BY topic_id, partition ORDER BY from_offset, to_offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS after
			FROM whence_state.batches FINAL
		)
		WHERE after != from_offset
		ORDER BY topic_id, partition, from_offset`)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", Classify(err))
	}
	defer rows.Close()
	var gaps []Gap
	for rows.Next() {
		var gap Gap
		var id uuid.UUID
		if err := rows.Scan(&id, &gap.Topic, &gap.Partition, &gap.After, &gap.Before); err != nil {
			return nil, fmt.Errorf("ledger: %w", Classify(err))
		}
		gap.TopicID = id
		gaps = append(gaps, gap)
	}
	return gaps, Classify(rows.Err())
}

// Epoch returns the number of the context topic's incarnation: 1 for the first
// topic id ever asked for, 2 for the next, the same for the same id for ever.
//
// Of two workers that meet a new id at the same moment both get the same
// answer: the row of epoch n goes in under the token "epochs|n", of which the
// server takes one and drops the other, and both read who it was. A number whose
// token is spent without a row (see [Client.Again]) is nobody's.
func (c *Client) Epoch(ctx context.Context, topicID [16]byte) (uint64, error) {
	id := uuid.UUID(topicID).String()
	asked := uint64(0)
	for {
		epoch, last, err := c.heard(ctx, id, asked)
		if err != nil {
			return 0, fmt.Errorf("epoch of %s: %w", id, err)
		}
		if epoch > 0 {
			return epoch, nil
		}
		// Someone else may be heard: then this one asks for the next number.
		asked = last + 1
		err = c.exec(ctx, fmt.Sprintf("INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (%d, '%s')", asked, id), url.Values{
			"async_insert": {"0"}, "insert_deduplicate": {"1"},
			"insert_deduplication_token": {fmt.Sprintf("epochs|%d", asked)},
		})
		if err != nil {
			return 0, fmt.Errorf("epoch of %s: %w", id, err)
		}
	}
}

// heard returns the epoch of id, 0 where it has none, and the last one given
// or spent. Whoever was heard as number asked may be just about to be seen, so
// it is spent only if nobody is for a while; on a cluster never, because what
// one replica has acknowledged may take any time to get to the other.
func (c *Client) heard(ctx context.Context, id string, asked uint64) (epoch, last uint64, err error) {
	const looks, pause = 30, 100 * time.Millisecond
	for range looks {
		if epoch, last, err = c.epochs(ctx, id); err != nil || last >= asked {
			return epoch, last, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(pause):
		}
	}
	if sharded, err := c.sharded(ctx); err != nil || sharded {
		return epoch, last, err
	}
	return epoch, asked, nil
}

// epochs returns the epoch of id, 0 where it has none, and the last one given.
func (c *Client) epochs(ctx context.Context, id string) (epoch, last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	err = c.db.QueryRowContext(ctx, "SELECT minIf(epoch, topic_id = ?), max(epoch) FROM whence_state.epochs", id).Scan(&epoch, &last)
	return epoch, last, Classify(err)
}

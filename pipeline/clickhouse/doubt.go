package clickhouse

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Again stores a block of which an insert failed, or may have, after the repeated
// one was acknowledged. For on a table that is not replicated a token can outlive
// the rows it stands for: the server writes the token down first and puts the
// part in its place then, and an error in between (a disk that is full) or a
// kill leaves the token alone, under which every retry is dropped without a
// word. So this insert has a token that nobody has used. Replicated tables
// commit both at once, and nothing is sent to them.
func (c *Client) Again(ctx context.Context, block tables.Block, token string) error {
	sharded, err := c.sharded(ctx)
	if err != nil || sharded {
		return err
	}
	return c.Insert(ctx, block, token+"|again|"+rand.Text())
}

// Missing lists, by their place, the observations that are not stored and that
// no greater content under their identity has replaced. They are of one
// partition. It is a question for the same case as [Client.Again], and on a
// cluster the answer is none.
func (c *Client) Missing(ctx context.Context, observations []event.Observation) ([]int, error) {
	sharded, err := c.sharded(ctx)
	if err != nil || sharded || len(observations) == 0 {
		return nil, err
	}
	missing := make([]int, len(observations))
	for i := range missing {
		missing[i] = i
	}
	// Nearly always all are there, and came with their own records.
	if missing, err = c.without(ctx, observations, missing, tables.StoredRecords(observations)); err != nil {
		return nil, err
	}
	var still []int
	for chunk := range slices.Chunk(missing, atOnce) {
		some := make([]event.Observation, len(chunk))
		for i, at := range chunk {
			some[i] = observations[at]
		}
		if chunk, err = c.without(ctx, observations, chunk, tables.StoredContents(some)); err != nil {
			return nil, err
		}
		still = append(still, chunk...)
	}
	return still, nil
}

// Contents tells, by their place, the greatest content's hash that is stored
// under the identity of each observation, 0 where none is.
func (c *Client) Contents(ctx context.Context, observations []event.Observation) ([]uint64, error) {
	hashes := make([]uint64, 0, len(observations))
	for some := range slices.Chunk(observations, atOnce) {
		stored, err := c.stored(ctx, tables.StoredContents(some))
		if err != nil {
			return nil, fmt.Errorf("what is stored of %d observations: %w", len(some), err)
		}
		for i := range some {
			hashes = append(hashes, stored[identityOf(&some[i])])
		}
	}
	return hashes, nil
}

// without takes out of the places in observations those of which the answer to
// a question shows that they are stored.
func (c *Client) without(ctx context.Context, observations []event.Observation, places []int, question string) ([]int, error) {
	stored, err := c.stored(ctx, question)
	if err != nil {
		return nil, fmt.Errorf("which of %d observations are stored: %w", len(places), err)
	}
	return slices.DeleteFunc(places, func(i int) bool {
		hash, there := stored[identityOf(&observations[i])]
		return there && hash >= observations[i].Hash
	}), nil
}

// identity is what an observation is known by: the sorting key of its table.
type identity struct {
	service, environment, name string
	time                       int64
	source, id                 string
}

func identityOf(o *event.Observation) identity {
	return identity{o.Service, o.Environment, o.Name, int64(o.Time), o.Source, o.ID}
}

// stored reads the greatest content's hash of each identity that is there.
func (c *Client) stored(ctx context.Context, question string) (map[identity]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(settings(ctx, map[string]any{"max_query_size": longStatement, "max_ast_elements": longStatement}),
		question)
	if err != nil {
		return nil, Classify(err)
	}
	defer rows.Close()
	all := map[identity]uint64{}
	for rows.Next() {
		var k identity
		var hash uint64
		if err := rows.Scan(&k.service, &k.environment, &k.name, &k.time, &k.source, &k.id, &hash); err != nil {
			return nil, Classify(err)
		}
		all[k] = hash
	}
	return all, Classify(rows.Err())
}

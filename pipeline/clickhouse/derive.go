package clickhouse

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Derive brings conflicts and entity tables up to date after facts have been
// inserted into whence.facts; revision is the greatest of theirs. It computes
// the rows of the entities that the facts touch anew, from all facts of those
// entities: the same whatever the order the facts came in, and the same when
// it is called again. Only one caller at a time, the consumer of the context
// log.
//
// Touched are the entities that the facts speak of, those that another content
// of the same fact spoke of, and those of the facts that a retraction names.
func (c *Client) Derive(ctx context.Context, revision uint64, facts []event.Fact) error {
	touched, retractions := identitiesOf(facts)
	for chunk := range slices.Chunk(touched, atOnce) {
		if err := c.derive(ctx, tables.DeriveConflicts(chunk)); err != nil {
			return fmt.Errorf("derive conflicts: %w", err)
		}
	}
	if len(retractions) > 0 {
		if err := c.derive(ctx, tables.DeriveUnsaid(revision)); err != nil {
			return fmt.Errorf("derive retractions: %w", err)
		}
		named, err := c.namedBy(ctx, retractions)
		if err != nil {
			return fmt.Errorf("derive retractions: %w", err)
		}
		touched = append(touched, named...)
	}
	entities, err := c.entitiesOf(ctx, touched)
	if err != nil {
		return fmt.Errorf("derive: which entities: %w", err)
	}
	return c.deriveEntities(ctx, revision, entities)
}

// DeriveAll computes conflicts and every entity anew, from all facts.
func (c *Client) DeriveAll(ctx context.Context, revision uint64) error {
	if err := c.derive(ctx, tables.DeriveConflicts(nil)); err != nil {
		return fmt.Errorf("derive conflicts: %w", err)
	}
	if err := c.derive(ctx, tables.DeriveUnsaid(revision)); err != nil {
		return fmt.Errorf("derive retractions: %w", err)
	}
	for kind := range tables.EntityKinds() {
		if err := c.derive(ctx, tables.DeriveEntities(kind, revision, nil)); err != nil {
			return fmt.Errorf("derive every %s: %w", kind, err)
		}
	}
	return nil
}

// atOnce bounds the ids in one statement.
const atOnce = 5000

// identitiesOf lists what facts are known by, each once, and which of them are
// retractions.
func identitiesOf(facts []event.Fact) (all, retractions []tables.Identity) {
	seen := make(map[tables.Identity]bool, len(facts))
	for i := range facts {
		identity := tables.Identity{Source: facts[i].Source, ID: facts[i].ID}
		if !seen[identity] {
			seen[identity] = true
			all = append(all, identity)
		}
		if facts[i].Type == retracted {
			retractions = append(retractions, identity)
		}
	}
	return all, retractions
}

const retracted = event.Prefix + "fact.retracted"

// namedBy lists what retractions name, in all contents they ever had, and what
// these name where they are retractions too, and so on: a retraction that is
// unsaid brings back what it had taken.
func (c *Client) namedBy(ctx context.Context, retractions []tables.Identity) ([]tables.Identity, error) {
	seen := map[tables.Identity]bool{}
	var all []tables.Identity
	for len(retractions) > 0 {
		var next []tables.Identity
		for chunk := range slices.Chunk(retractions, atOnce) {
			err := c.each(ctx, "SELECT DISTINCT retracted_source, retracted_id FROM whence_state.retractions WHERE (source, id) IN ("+
				tables.TupleList(chunk)+")", func(source, id string) {
				if named := (tables.Identity{Source: source, ID: id}); !seen[named] {
					seen[named] = true
					next = append(next, named)
				}
			})
			if err != nil {
				return nil, err
			}
		}
		all, retractions = append(all, next...), next
	}
	return all, nil
}

// entitiesOf lists the ids of the entities that any content of the identities
// speaks of, by kind.
func (c *Client) entitiesOf(ctx context.Context, identities []tables.Identity) (map[string][]string, error) {
	seen := map[[2]string]bool{}
	entities := map[string][]string{}
	for chunk := range slices.Chunk(identities, atOnce) {
		err := c.each(ctx, "SELECT DISTINCT entity_kind, entity_id FROM whence_state.identities WHERE (source, id) IN ("+
			tables.TupleList(chunk)+")", func(kind, id string) {
			if key := [2]string{kind, id}; !seen[key] {
				seen[key] = true
				entities[kind] = append(entities[kind], id)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return entities, nil
}

func (c *Client) deriveEntities(ctx context.Context, revision uint64, entities map[string][]string) error {
	for kind := range tables.EntityKinds() {
		for chunk := range slices.Chunk(entities[kind], atOnce) {
			if err := c.derive(ctx, tables.DeriveEntities(kind, revision, chunk)); err != nil {
				return fmt.Errorf("derive %d of kind %s: %w", len(chunk), kind, err)
			}
		}
	}
	return nil
}

// longStatement is the limit on a statement's bytes: ids may be of any length.
const longStatement = 1 << 30

func (c *Client) derive(ctx context.Context, statement string) error {
	return c.exec(ctx, statement, url.Values{
		"max_query_size":   {strconv.Itoa(longStatement)},
		"session_timezone": {"UTC"},
		// A row that goes back to what it was is not a retry.
		"insert_deduplicate": {"0"},
	})
}

// each runs a query of two strings a row.
func (c *Client) each(ctx context.Context, query string, row func(a, b string)) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	ctx = settings(ctx, map[string]any{"max_query_size": longStatement})
	rows, err := c.db.QueryContext(ctx, query)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	var a, b string
	for rows.Next() {
		if err := rows.Scan(&a, &b); err != nil {
			return Classify(err)
		}
		row(a, b)
	}
	return Classify(rows.Err())
}

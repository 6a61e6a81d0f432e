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
// Touched are the entities that the facts speak of (of a scan, the findings of
// all scans of the same tool and target), those that another content
// of the same fact spoke of, and those of the facts that a retraction names.
func (c *Client) Derive(ctx context.Context, revision uint64, facts []event.Fact) error {
	touched, retractions := identitiesOf(facts)
	entities := map[string][]string{}
	for chunk := range slices.Chunk(touched, atOnce) {
		twins, err := c.entitiesOf(ctx, chunk, entities)
		if err != nil {
			return fmt.Errorf("derive: which entities: %w", err)
		}
		// Before the entities, which leave out what lost.
		if twins {
			if err := c.derive(ctx, tables.DeriveConflicts(chunk)); err != nil {
				return fmt.Errorf("derive conflicts: %w", err)
			}
		}
	}
	if len(retractions) > 0 {
		if err := c.deriveUnsaid(ctx, revision, retractions, entities); err != nil {
			return fmt.Errorf("derive retractions: %w", err)
		}
	}
	if err := c.findingsListed(ctx, entities); err != nil {
		return fmt.Errorf("derive: which findings: %w", err)
	}
	return c.deriveEntities(ctx, revision, entities)
}

// findingsListed adds the findings of scans: those that one lists, and those
// that it may be the first not to.
func (c *Client) findingsListed(ctx context.Context, entities map[string][]string) error {
	scans := entities["scan"]
	slices.Sort(scans)
	for chunk := range slices.Chunk(slices.Compact(scans), atOnce) {
		err := c.each(ctx, tables.FindingsListed(chunk), func(row []string) { entities["finding"] = append(entities["finding"], row[0]) })
		if err != nil {
			return err
		}
	}
	return nil
}

// deriveUnsaid decides which retractions count, and adds the entities of what
// they name.
func (c *Client) deriveUnsaid(ctx context.Context, revision uint64, retractions []tables.Identity, entities map[string][]string) error {
	if err := c.derive(ctx, tables.DeriveUnsaid(revision)); err != nil {
		return err
	}
	named, err := c.namedBy(ctx, retractions)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(named, atOnce) {
		if _, err := c.entitiesOf(ctx, chunk, entities); err != nil {
			return err
		}
	}
	return nil
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
				tables.TupleList(chunk)+")", func(row []string) {
				if named := (tables.Identity{Source: row[0], ID: row[1]}); !seen[named] {
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

// entitiesOf adds the ids of the entities that any content of the identities
// speaks of, by kind. twins says that some identity has several contents.
func (c *Client) entitiesOf(ctx context.Context, identities []tables.Identity, entities map[string][]string) (twins bool, err error) {
	err = c.each(ctx, `
		SELECT entity_kind, entity_id, toString(max(contents) > 1)
		FROM
		(
			SELECT entity_kind, entity_id, uniqExact(content_hash) OVER (PARTITION BY source, id, type) AS contents
			FROM whence_state.identities
			WHERE (source, id) IN (`+tables.TupleList(identities)+`)
		)
		GROUP BY entity_kind, entity_id`, func(row []string) {
		entities[row[0]] = append(entities[row[0]], row[1])
		twins = twins || row[2] == "1"
	})
	return twins, err
}

func (c *Client) deriveEntities(ctx context.Context, revision uint64, entities map[string][]string) error {
	for kind := range tables.EntityKinds() {
		ids := entities[kind]
		slices.Sort(ids)
		for chunk := range slices.Chunk(slices.Compact(ids), atOnce) {
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
		// Events may be of any day: 0 is no limit.
		"max_partitions_per_insert_block": {"0"},
		// A row that goes back to what it was is not a retry.
		"insert_deduplicate": {"0"},
	})
}

// each runs a query whose columns are strings.
func (c *Client) each(ctx context.Context, query string, row func([]string)) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(settings(ctx, map[string]any{"max_query_size": longStatement}), query)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return Classify(err)
	}
	values, places := make([]string, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return Classify(err)
		}
		row(values)
	}
	return Classify(rows.Err())
}

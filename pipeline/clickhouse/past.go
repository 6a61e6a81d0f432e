package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// forgettable are the kinds of entities whose facts a timeline lets go of.
var forgettable = [...]string{"deployment", "incident", "change"}

// FactsOf returns what is stored of what a timeline misses, up to a revision: of
// each entity every fact in every content, those that lost included, as
// [Client.Snapshot] has them. Where a fact has had contents that speak of other
// entities these are among them too.
func (c *Client) FactsOf(ctx context.Context, log *zap.Logger, missing event.Missing, upTo uint64) ([]event.Fact, error) {
	of, err := c.missingEntities(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("facts of the past: which entities: %w", err)
	}
	var all []event.Fact
	for kind, ids := range of {
		for chunk := range slices.Chunk(ids, atOnce) {
			facts, err := c.factsOfEntities(ctx, log, kind, chunk, upTo)
			if err != nil {
				return nil, fmt.Errorf("facts of the past: of %d of kind %s: %w", len(chunk), kind, err)
			}
			all = append(all, facts...)
		}
	}
	return all, nil
}

// missingEntities lists them by kind, each once.
func (c *Client) missingEntities(ctx context.Context, m event.Missing) (map[string][]string, error) {
	found := entitySet{}
	for _, id := range m.Deployments {
		found.add("deployment", id)
	}
	for _, id := range m.Incidents {
		found.add("incident", id)
	}
	for some := range slices.Chunk(m.Facts, atOnce) {
		identities := make([]tables.Identity, len(some))
		for i, f := range some {
			identities[i] = tables.Identity(f)
		}
		if err := c.findEntities(ctx, found, "whence_state.identities", "(source, id) IN ("+tables.TupleList(identities)+")"); err != nil {
			return nil, err
		}
	}
	for _, q := range [...]struct {
		words     []string
		condition string
	}{
		{m.Services, "entity_kind = 'deployment' AND service IN (%[1]s)"},
		{m.Services, "entity_kind = 'incident' AND (service IN (%[1]s) OR hasAny(JSONExtract(data, 'services', 'Array(String)'), [%[1]s]))"},
		{m.Carriers, "entity_kind = 'deployment' AND hasAny(JSONExtract(data, 'revisions', 'Array(String)'), [%[1]s])"},
		{m.Changes, "entity_kind = 'change' AND (JSONExtractString(data, 'revision') IN (%[1]s)" +
			" OR arrayExists(commit -> JSONExtractString(commit, 'revision') IN (%[1]s), JSONExtractArrayRaw(data, 'commits')))"},
	} {
		for some := range slices.Chunk(q.words, atOnce) {
			if err := c.findEntities(ctx, found, "whence_state.fact_contents", fmt.Sprintf(q.condition, tables.QuotedList(some))); err != nil {
				return nil, err
			}
		}
	}
	if err := c.withTwins(ctx, found); err != nil {
		return nil, err
	}
	return found.lists(), nil
}

// withTwins adds the entities that other contents of the same facts speak of, and
// so on. Mostly there are none, and one look tells.
func (c *Client) withTwins(ctx context.Context, found entitySet) error {
	for fresh := found.lists(); len(fresh) > 0; {
		more := entitySet{}
		for kind, ids := range fresh {
			for chunk := range slices.Chunk(ids, atOnce) {
				err := c.findEntities(ctx, more, "whence_state.identities", fmt.Sprintf(
					"(source, id) IN (SELECT source, id FROM whence_state.fact_contents WHERE entity_kind = '%s' AND entity_id IN (%s))",
					kind, tables.QuotedList(chunk)))
				if err != nil {
					return err
				}
			}
		}
		for e := range more {
			if _, known := found[e]; known {
				delete(more, e)
			} else {
				found[e] = struct{}{}
			}
		}
		fresh = more.lists()
	}
	return nil
}

// entitySet is entities, each once.
type entitySet map[entityID]struct{}

type entityID struct{ kind, id string }

func (s entitySet) add(kind, id string) { s[entityID{kind, id}] = struct{}{} }

// lists is the ids by kind.
func (s entitySet) lists() map[string][]string {
	of := map[string][]string{}
	for e := range s {
		of[e.kind] = append(of[e.kind], e.id)
	}
	return of
}

func (c *Client) findEntities(ctx context.Context, found entitySet, table, condition string) error {
	return c.each(ctx, "SELECT DISTINCT toString(entity_kind), entity_id FROM "+table+" WHERE entity_kind IN ('"+
		strings.Join(forgettable[:], "', '")+"') AND "+condition, func(row []string) { found.add(row[0], row[1]) })
}

// factsOfEntities returns facts that belong to the caller: no block is used twice.
func (c *Client) factsOfEntities(ctx context.Context, log *zap.Logger, kind string, ids []string, upTo uint64) ([]event.Fact, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	query := snapshotQuery + fmt.Sprintf(" PREWHERE entity_kind = '%s' AND entity_id IN (%s) AND type IN (%s)",
		kind, tables.QuotedList(ids), payloadTypes) + snapshotRange(0, upTo)
	result, err := c.stream(ctx, query, url.Values{"max_query_size": {strconv.Itoa(longStatement)}})
	if err != nil {
		return nil, err
	}
	defer result.close()
	var all []event.Fact
	for {
		rows := newSnapshotRows(log)
		n, err := result.next(rows.columns)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		rows.decode(n)
		all = append(all, rows.facts...)
	}
}

// LatestFact is the greatest time of a stored fact, of each the time at which
// Kafka took it where that is less; 0 without a fact.
func (c *Client) LatestFact(ctx context.Context) (event.Millis, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var latest int64
	err := c.db.QueryRowContext(ctx, "SELECT toUnixTimestamp64Milli(max(least(time, received_at))) FROM whence_state.fact_contents").Scan(&latest)
	if err != nil {
		return 0, fmt.Errorf("time of the latest fact: %w", Classify(err))
	}
	return event.Millis(latest), nil
}

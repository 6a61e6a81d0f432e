package clickhouse

import (
	"context"
	"fmt"
	"net/url"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
)

// OpenHours lists the hours of which something was touched since they were
// sealed, with the sums of their touches. None: everything is sealed.
func (c *Client) OpenHours(ctx context.Context) ([]tables.Minute, error) {
	hours, err := c.minutes(ctx, "SELECT '', '', toInt64(toUnixTimestamp(hour)), touch, rows FROM whence_state.open_hours ORDER BY hour")
	if err != nil {
		return nil, fmt.Errorf("open hours: %w", err)
	}
	return hours, nil
}

// OpenMinutes lists the minutes that were touched since they were sealed, with
// the sums of their touches, the earliest first and at most limit of them.
func (c *Client) OpenMinutes(ctx context.Context, limit int) ([]tables.Minute, error) {
	open, err := c.minutes(ctx, fmt.Sprintf(`
		SELECT service, environment, toInt64(toUnixTimestamp(minute)), touch, rows
		FROM whence_state.open_minutes
		ORDER BY minute, service, environment
		LIMIT %d`, limit))
	if err != nil {
		return nil, fmt.Errorf("open minutes: %w", err)
	}
	return open, nil
}

// Seal computes the vitals of minutes and stores them, valid while the sums of
// touches are those that the minutes carry. The sums must have been read
// before: rows that came since are in the seal or not, and their touch will
// open the minute again. Any number of callers may seal the same minutes at
// the same moment.
func (c *Client) Seal(ctx context.Context, minutes []tables.Minute) error {
	if len(minutes) == 0 {
		return nil
	}
	if err := c.syncObservations(ctx); err != nil {
		return fmt.Errorf("seal %d minutes: %w", len(minutes), err)
	}
	if err := c.derive(ctx, tables.SealMinutes(minutes)); err != nil {
		return fmt.Errorf("seal %d minutes: %w", len(minutes), orTooLong(ctx, err))
	}
	return nil
}

// SealHours says of hours that each of their minutes is sealed. The caller has
// read the sums that they carry first, and then found none of their minutes
// open: in the other order, a minute touched in between would be shown as it
// was before, for as long as nothing else is touched in its hour.
func (c *Client) SealHours(ctx context.Context, hours []tables.Minute) error {
	if len(hours) == 0 {
		return nil
	}
	if err := c.derive(ctx, tables.SealHours(hours)); err != nil {
		return fmt.Errorf("seal %d hours: %w", len(hours), err)
	}
	return nil
}

// TouchRewritten touches the minutes of the observations for which the SQL
// condition where holds, so that they are sealed anew. It comes after those
// rows were written, and has to be repeated after an error. The salt is a
// random number, or one of the run's own. An error that is pipeline.ErrTooLong
// asks for less.
//
// The condition must hold for what an earlier attempt has written too: a run
// that was killed before it came here finds these rows corrected already.
func (c *Client) TouchRewritten(ctx context.Context, where string, salt uint64) error {
	if pipeline.Mutated("no-reseal") {
		return nil
	}
	for _, statement := range tables.TouchRewritten(where, salt) {
		// Not deduplicated: the same touch again is a touch, rows may have been
		// written in between.
		if err := c.derive(ctx, statement); err != nil {
			return fmt.Errorf("touch: %w", orTooLong(ctx, err))
		}
	}
	return nil
}

func (c *Client) minutes(ctx context.Context, query string) ([]tables.Minute, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(settings(ctx, oneSnapshot), query)
	if err != nil {
		return nil, Classify(err)
	}
	defer rows.Close()
	var minutes []tables.Minute
	for rows.Next() {
		var m tables.Minute
		if err := rows.Scan(&m.Service, &m.Environment, &m.Start, &m.Touch, &m.Rows); err != nil {
			return nil, Classify(err)
		}
		m.Start *= 1000
		minutes = append(minutes, m)
	}
	return minutes, Classify(rows.Err())
}

// oneSnapshot has all parts of a query see a table at the same moment. It is
// the default from ClickHouse 25.12 on.
var oneSnapshot = map[string]any{"enable_shared_storage_snapshot_in_query": 1}

// syncObservations waits, on a cluster, until every replica has the
// observations that were acknowledged so far: a seal is computed from one
// replica of each shard, and what was touched may have gone to the other.
func (c *Client) syncObservations(ctx context.Context) error {
	sharded, err := c.sharded(ctx)
	if err != nil || !sharded {
		return err
	}
	return c.exec(ctx, "SYSTEM SYNC REPLICA ON CLUSTER '{cluster}' whence_state.observations_shard LIGHTWEIGHT", url.Values{})
}

// sharded says whether the tables are those of a cluster. It is asked once.
func (c *Client) sharded(ctx context.Context) (bool, error) {
	if known := c.shards.Load(); known != nil {
		return *known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var shards uint64
	err := c.db.QueryRowContext(ctx, "SELECT count() FROM system.tables WHERE database = 'whence_state' AND name = 'observations_shard'").Scan(&shards)
	if err != nil {
		return false, Classify(err)
	}
	sharded := shards > 0
	c.shards.Store(&sharded)
	return sharded, nil
}

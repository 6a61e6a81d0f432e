package clickhouse

import (
	"context"
	"fmt"
)

// UseRules notes which rules a worker begins to work by; an empty digest: none.
func (c *Client) UseRules(ctx context.Context, digest string) error {
	if err := c.exec(ctx, "INSERT INTO whence_state.rules (digest) VALUES ('"+digest+"')", nil); err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	return nil
}

// RulesInUse are those that a worker began to work by last; not known: no worker
// ever has.
func (c *Client) RulesInUse(ctx context.Context) (digest string, known bool, err error) {
	var workers uint64
	err = c.rows(ctx, "SELECT argMax(digest, used_at), count() FROM whence_state.rules", func(scan func(...any) error) error { return scan(&digest, &workers) })
	return digest, workers > 0, err
}

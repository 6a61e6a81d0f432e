package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// KeepHistory sets for how long observations_history keeps what a row said
// before it was corrected, counted from the correction by the server's clock;
// 0 and less: for ever. ClickHouse drops what is older when it merges. A table
// that is set so already is left alone: any change of a TTL, also to the same,
// goes through all parts.
func (c *Client) KeepHistory(ctx context.Context, keep time.Duration) error {
	want := ""
	if keep > 0 {
		want = fmt.Sprintf("toDateTime(superseded_at) + toIntervalSecond(%d)", (keep+time.Second-1)/time.Second)
	}
	have, err := c.historyTTL(ctx)
	if err != nil || have == want {
		return err
	}
	change := "REMOVE TTL"
	if want != "" {
		change = "MODIFY TTL " + want
	}
	failure := c.exec(ctx, "ALTER TABLE "+c.historyTable()+c.onCluster()+" "+change, nil)
	if failure == nil {
		return nil
	}
	// Of two workers that remove a TTL at the same moment, one finds none.
	if have, err := c.historyTTL(ctx); err == nil && have == want {
		return nil
	}
	return fmt.Errorf("history.keep: %w", failure)
}

var ttlClause = regexp.MustCompile(` TTL (.*?)(?: SETTINGS |$)`)

// historyTTL is the table's TTL as ClickHouse writes it; empty: none.
func (c *Client) historyTTL(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	database, table, _ := strings.Cut(c.historyTable(), ".")
	var engine string
	err := c.db.QueryRowContext(ctx, "SELECT engine_full FROM system.tables WHERE database = ? AND name = ?", database, table).Scan(&engine)
	if err != nil {
		return "", fmt.Errorf("history.keep: how long %s is kept: %w", c.historyTable(), Classify(err))
	}
	if m := ttlClause.FindStringSubmatch(engine); m != nil {
		return m[1], nil
	}
	return "", nil
}

// historyTable is where the rows lie: on a cluster observations_history only
// looks at the shards.
func (c *Client) historyTable() string {
	if c.config.Cluster {
		return "whence_state.observations_history_shard"
	}
	return "whence.observations_history"
}

func (c *Client) onCluster() string {
	if c.config.Cluster {
		return " ON CLUSTER '{cluster}'"
	}
	return ""
}

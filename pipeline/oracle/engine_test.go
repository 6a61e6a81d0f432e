package oracle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// The embedded engine with whence's tables; url is empty where the engine's
// library is not installed.
var url string

func TestMain(m *testing.M) {
	code, err := withEngine(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withEngine(m *testing.M) (int, error) {
	if _, err := engine.FindLibrary(); err != nil {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "whence-oracle")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- engine.Run(ctx, engine.Config{Data: dir, Listen: "127.0.0.1:0", Ready: func(addr string) { ready <- addr }})
	}()
	defer func() { stop(); <-done }()
	select {
	case err := <-done:
		done <- nil
		return 0, err
	case addr := <-ready:
		url = "http://" + addr
	}
	client, err := clickhouse.Open(ctx, clickhouse.Config{URL: url})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if err := client.Migrate(ctx, zap.NewNop()); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// engineQuery is the query function of the engine.
func engineQuery(t testing.TB) oracle.Query {
	if _, err := engine.FindLibrary(); err != nil {
		t.Skip(err)
	}
	return oracle.HTTP(url)
}

func do(t testing.TB, query oracle.Query, statement string) []byte {
	t.Helper()
	body, err := query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// empty forgets what other tests have stored.
func empty(t testing.TB, query oracle.Query) {
	t.Helper()
	tables := do(t, query, "SELECT concat(database, '.', name) FROM system.tables "+
		"WHERE database IN ('whence', 'whence_state') AND engine LIKE '%MergeTree' FORMAT TSV")
	for _, table := range strings.Fields(string(tables)) {
		do(t, query, "TRUNCATE TABLE "+table)
	}
}

func insert(t testing.TB, query oracle.Query, table string, rows []map[string]any) {
	t.Helper()
	if len(rows) == 0 {
		return
	}
	var statement bytes.Buffer
	fmt.Fprintf(&statement, "INSERT INTO %s FORMAT JSONEachRow\n", table)
	for _, row := range rows {
		if err := json.NewEncoder(&statement).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	do(t, query, statement.String())
}

// fact reads a fact as the pipeline does.
func fact(name, data string) event.Fact {
	var decoded codec.Events
	err := new(codec.Decoder).Decode(&decoded, event.Provenance{}, fmt.Appendf(nil,
		`{"specversion":"1.0","id":"1","source":"s","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`, name, data),
		[]codec.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}})
	if err != nil {
		panic(err)
	}
	return decoded.Facts[0]
}

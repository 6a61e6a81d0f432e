// Package restart_test measures how long a worker needs to know again what it
// knew: from the facts that are stored, a million of them, to a timeline that
// answers. The engine is a process of its own on the same machine.
//
//	go test ./bench/restart -run '^$' -bench . -benchtime 1x -count 10
package restart_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	tables "github.com/whencehq/whence/schemas/clickhouse"
)

const million = 1_000_000

// TestMain makes this test binary the engine where engine.Start asks for it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		if err := serveEngine(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveEngine(args []string) error {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	data, listen := flags.String("data", "", ""), flags.String("listen", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, ready := engine.WatchParent(context.Background())
	return engine.Run(ctx, engine.Config{Data: *data, Listen: *listen, Ready: ready})
}

// stored returns a client of an engine that has the facts of a shape in batches
// as the consumer of the context log stores them, and that has come to rest.
func stored(b *testing.B, s generator.Shape) *clickhouse.Client {
	if _, err := engine.FindLibrary(); err != nil {
		b.Skip(err)
	}
	child, err := engine.Start(b.Context(), engine.ChildConfig{Data: b.TempDir(), Listen: "127.0.0.1:0"})
	must(b, err)
	b.Cleanup(child.Stop)
	client, err := clickhouse.Open(b.Context(), clickhouse.Config{URL: "http://" + child.Addr(), InsertTimeout: time.Minute})
	must(b, err)
	b.Cleanup(func() { client.Close() })
	must(b, client.Migrate(b.Context(), zap.NewNop()))
	fill(b, client, s)
	return client
}

// fill stores facts 5,000 at a time, as many as a round of the context log has.
func fill(b *testing.B, client *clickhouse.Client, s generator.Shape) {
	block := tables.NewFacts()
	for facts := range generator.New(s).Facts(5000) {
		block.Reset()
		for i := range facts {
			block.Append(&facts[i])
		}
		must(b, client.Insert(b.Context(), block, "restart|"+strconv.FormatUint(facts[0].Revision, 10)))
	}
	for merges := 1; merges > 0; <-time.After(100 * time.Millisecond) {
		must(b, client.DB().QueryRowContext(b.Context(), "SELECT toInt64(count()) FROM system.merges").Scan(&merges))
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

package clickhouse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// engineVariable makes this test binary the engine, in the directory it names.
const engineVariable = "WHENCE_TEST_ENGINE"

func TestMain(m *testing.M) {
	if data := os.Getenv(engineVariable); data != "" {
		if err := serveEngine(data); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

// run starts one engine for all tests. They share its tables; those that
// count rows say which rows are theirs, or take the tables for themselves.
func run(m *testing.M) int {
	if _, err := engine.FindLibrary(); err != nil {
		fmt.Println("the tests on the real engine are left out:", err)
		return m.Run()
	}
	data, err := os.MkdirTemp("", "whence-clickhouse-test")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(data)
	stop, address, err := startEngine(data)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer stop()
	engineURL = "http://" + address
	client, err := Open(context.Background(), Config{URL: engineURL})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer client.Close()
	if err := client.Migrate(context.Background(), zap.NewNop()); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// engineURL is where the engine is; empty: it is not installed.
var engineURL string

// serveEngine is the engine until its parent closes its standard input.
func serveEngine(data string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	return engine.Run(ctx, engine.Config{
		Data: data, Listen: "127.0.0.1:0",
		Ready: func(address string) { fmt.Println(address) },
	})
}

func startEngine(data string) (stop func(), address string, err error) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), engineVariable+"="+filepath.Join(data, "engine"))
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := command.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := command.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(errors.New("the engine did not start"), err, command.Wait())
	}
	return func() { input.Close(); _ = command.Wait() }, strings.TrimSpace(line), nil
}

// connect returns a client of the engine, with the tables made.
func connect(t testing.TB) *Client {
	t.Helper()
	if engineURL == "" {
		t.Skip("the engine library is not installed: run `make engine`")
	}
	// Generous, because tests share the machine.
	client, err := Open(t.Context(), Config{URL: engineURL, InsertTimeout: 5 * time.Minute, QueryTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// empty removes the rows of the tables for a test that needs them to itself.
func empty(t testing.TB, client *Client, tables ...string) {
	t.Helper()
	for _, table := range tables {
		if err := client.exec(t.Context(), "TRUNCATE TABLE "+table, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// answer runs a query of one value.
func answer[T any](t testing.TB, client *Client, query string, args ...any) T {
	t.Helper()
	var v T
	if err := client.DB().QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// lines runs a query and returns its rows, tab-separated, in their order.
func lines(t testing.TB, client *Client, query string) []string {
	t.Helper()
	rows, err := client.DB().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = text(*v.(*any))
		}
		all = append(all, strings.Join(texts, "\t"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "∅"
	case *string:
		if v == nil {
			return "∅"
		}
		return *v
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}

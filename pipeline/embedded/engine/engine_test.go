package engine_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// TestMain lets the test binary be the engine's process: tests start it as `whence` starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(engineMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "parent" {
		os.Exit(parentMain(os.Args[2]))
	}
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// engineMain is what `whence engine` is.
func engineMain(args []string) int {
	flags := flag.NewFlagSet("engine", flag.ExitOnError)
	data, listen := flags.String("data", "", ""), flags.String("listen", "", "")
	flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ctx, parent := engine.WatchParent(ctx)
	cfg := engine.Config{Data: *data, Listen: *listen, AllowOutside: os.Getenv("ENGINE_OUTSIDE") != "", Ready: parent.Ready}
	if p := os.Getenv("ENGINE_PASSWORD"); p != "" {
		cfg.Users = []engine.User{{Name: "default", Password: p}, {Name: "bi", Password: "look", ReadOnly: true}}
	}
	err := engine.Run(ctx, cfg)
	if err == nil {
		return 0
	}
	if !parent.Failed(err) {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

// needLibrary skips a test where the engine library is not installed.
func needLibrary(t testing.TB) {
	t.Helper()
	if _, err := engine.FindLibrary(); err != nil {
		t.Skip(err)
	}
}

// start runs an engine of the test's own.
func start(t testing.TB, data string, env ...string) *engine.Child {
	t.Helper()
	needLibrary(t)
	child, err := engine.Start(context.Background(), engine.ChildConfig{Data: data, Listen: "127.0.0.1:0", Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Stop)
	return child
}

// shared is the engine that tests use which leave it as it was, but for a database of their own.
var shared sharedEngine

type sharedEngine struct {
	once  sync.Once
	dir   string
	child *engine.Child
	err   error
}

func (s *sharedEngine) stop() {
	if s.child != nil {
		s.child.Stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// engineFor returns the shared engine's address and a database for the test.
func engineFor(t testing.TB) client {
	t.Helper()
	needLibrary(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "whence-engine-test"); shared.err != nil {
			return
		}
		shared.child, shared.err = engine.Start(context.Background(), engine.ChildConfig{
			Data: filepath.Join(shared.dir, "data"), Listen: "127.0.0.1:0"})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	c := client{addr: shared.child.Addr(), database: name}
	c.must(t, "CREATE DATABASE "+name, "database", "default")
	t.Cleanup(func() { c.must(t, "DROP DATABASE IF EXISTS "+name+" SYNC", "database", "default") })
	return c
}

// client is the plainest HTTP client, to see what goes over the wire.
type client struct {
	addr, database string
	user, password string
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of a body that broke off
}

// do sends a statement; options are pairs of a URL parameter and its value, or of "header:Name" and its value.
func (c client) do(ctx context.Context, method, sql string, body io.Reader, options ...string) (reply, error) {
	query := url.Values{}
	if c.database != "" {
		query.Set("database", c.database)
	}
	if sql != "" {
		query.Set("query", sql)
	}
	header := http.Header{}
	for i := 0; i+1 < len(options); i += 2 {
		if name, ok := strings.CutPrefix(options[i], "header:"); ok {
			header.Set(name, options[i+1])
		} else {
			query.Set(options[i], options[i+1])
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+"/?"+query.Encode(), body)
	if err != nil {
		return reply{}, err
	}
	req.Header = header
	if c.user != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	resp, err := wire.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(data), err}, nil
}

// wire keeps no connection, so that a test leaves no goroutine behind, and decodes nothing.
var wire = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

func (c client) post(t testing.TB, sql string, body io.Reader, options ...string) reply {
	t.Helper()
	r, err := c.do(t.Context(), http.MethodPost, sql, body, options...)
	if err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
	return r
}

// must sends a statement that has to succeed and returns its result.
func (c client) must(t testing.TB, sql string, options ...string) string {
	t.Helper()
	r, err := c.do(context.Background(), http.MethodPost, "", strings.NewReader(sql), options...)
	if err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
	if r.status != http.StatusOK || r.err != nil {
		t.Fatalf("%.200s: status %d, %v: %s", sql, r.status, r.err, r.body)
	}
	return r.body
}

// refused sends a statement that has to fail and returns the exception's code.
func (c client) refused(t testing.TB, sql string, options ...string) string {
	t.Helper()
	r := c.post(t, "", strings.NewReader(sql), options...)
	if r.status < 400 {
		t.Errorf("%.200s: status %d: %.200s", sql, r.status, r.body)
	}
	code := r.header.Get("X-ClickHouse-Exception-Code")
	if !strings.HasPrefix(r.body, "Code: "+code+". DB::Exception: ") {
		t.Errorf("%.200s: code %q but body %q", sql, code, r.body)
	}
	return code
}

// until polls a condition, with a deadline.
func until(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// brokenReader hands out data and then fails, as an upload does whose sender dies.
type brokenReader struct{ data *bytes.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	if b.data.Len() == 0 {
		return 0, errBroken
	}
	return b.data.Read(p)
}

var errBroken = errors.New("the sender is gone")

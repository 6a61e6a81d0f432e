package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// A kill may leave a token without its rows, so that a retry is dropped and
// acknowledged (pipeline/DESIGN.md): who retries looks, as workers do.
func TestKillingTheEngineDuringInsertsLosesNothingAcknowledged(t *testing.T) {
	child := start(t, t.TempDir())
	c := client{addr: child.Addr()}
	c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100000")
	const kills, writers = 5, 4
	var batches, retried, dropped atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	// sent reports whether a statement was acknowledged, and what it answered.
	sent := func(query, body string, params ...string) (string, bool) {
		r, err := c.do(context.WithoutCancel(ctx), http.MethodPost, query, strings.NewReader(body), params...)
		return r.body, err == nil && r.err == nil && r.status == 200
	}
	store := func(batch int64) {
		var body strings.Builder
		for i := range 100 {
			fmt.Fprintln(&body, batch*100+int64(i))
		}
		attempts := 1
		for ; ; attempts++ { // the same batch under the same token until it is acknowledged
			if _, ok := sent("INSERT INTO t FORMAT TSV", body.String(), "insert_deduplication_token", strconv.FormatInt(batch, 10)); ok {
				break
			}
		}
		if attempts == 1 {
			return
		}
		retried.Add(1)
		for attempt := 0; ; attempt++ {
			rows, ok := sent(fmt.Sprintf("SELECT count() FROM t WHERE intDiv(id, 100) = %d", batch), "")
			if ok && rows != "0\n" {
				return // what it is not, is told below
			}
			if ok {
				dropped.Add(1)
				sent("INSERT INTO t FORMAT TSV", body.String(), "insert_deduplication_token", fmt.Sprintf("%d again %d", batch, attempt))
			}
		}
	}
	for range writers {
		all.Go(func() {
			for ctx.Err() == nil {
				store(batches.Add(1))
			}
		})
	}
	for i := range kills {
		before := batches.Load()
		until(t, "inserts go on", 20*time.Second, func() bool { return batches.Load() > before+20 })
		if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "the engine is started anew", 20*time.Second, func() bool { return child.Restarts() > i })
	}
	before := batches.Load()
	until(t, "inserts go on", 20*time.Second, func() bool { return batches.Load() > before+20 })
	stop()
	all.Wait()
	stored := map[string]string{}
	for line := range strings.Lines(c.must(t, "SELECT intDiv(id, 100), count() FROM t GROUP BY 1")) {
		batch, count, _ := strings.Cut(strings.TrimSpace(line), "\t")
		stored[batch] = count
	}
	for batch := range batches.Load() {
		if got := stored[fmt.Sprint(batch+1)]; got != "100" {
			t.Errorf("batch %d was acknowledged and has %q rows, not 100", batch+1, got)
		}
	}
	t.Logf("%d batches acknowledged over %d kills, %d of them retried, %d stored by another token", batches.Load(), kills, retried.Load(), dropped.Load())
}

func TestAChildKeepsItsAddressAndItsDataOverARestart(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	needLibrary(t)
	data := t.TempDir()
	child, err := engine.Start(t.Context(), engine.ChildConfig{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c := client{addr: child.Addr()}
	c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	c.must(t, "INSERT INTO t VALUES (1), (2)")
	if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "a restart", 20*time.Second, func() bool { return child.Restarts() == 1 })
	if got := c.must(t, "SELECT count() FROM t"); got != "2\n" || child.Addr() != c.addr {
		t.Errorf("%q at %s, was %s", got, child.Addr(), c.addr)
	}
	began := time.Now()
	child.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	} else {
		t.Logf("stopped in %s", took)
	}
	again, err := engine.Start(t.Context(), engine.ChildConfig{Data: data, Listen: c.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	if got := c.must(t, "SELECT count() FROM t"); got != "2\n" {
		t.Errorf("after a clean stop: %q", got)
	}
}

func TestStoppingIsBoundedWhileStatementsRun(t *testing.T) {
	child := start(t, t.TempDir())
	c := client{addr: child.Addr()}
	c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	c.must(t, "INSERT INTO t SELECT number FROM numbers(1000000)")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.do(context.Background(), http.MethodPost, "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", nil)
	}()
	until(t, "the statement runs", 10*time.Second, func() bool {
		return c.must(t, "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%system.processes%'") == "1\n"
	})
	began := time.Now()
	child.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	} else {
		t.Logf("stopped in %s", took)
	}
	<-ended
}

func TestASecondEngineIsKeptOffTheData(t *testing.T) {
	data := t.TempDir()
	first := start(t, data)
	var stderr strings.Builder
	_, err := engine.Start(t.Context(), engine.ChildConfig{Data: data, Listen: "127.0.0.1:0", Stderr: &stderr})
	if err == nil || !strings.Contains(err.Error(), "is in use by another engine (process "+strconv.Itoa(first.PID())+")") {
		t.Errorf("%v", err)
	}
}

func TestAnAddressInUseIsSaid(t *testing.T) {
	first := start(t, t.TempDir())
	var stderr strings.Builder
	_, err := engine.Start(t.Context(), engine.ChildConfig{Data: t.TempDir(), Listen: first.Addr(), Stderr: &stderr})
	if err == nil || err.Error() != "engine: listen tcp "+first.Addr()+": bind: address already in use" {
		t.Errorf("%v", err)
	}
	if stderr.Len() > 0 {
		t.Errorf("the child says it too: %s", stderr.String())
	}
}

func TestWithoutTheLibraryTheErrorSaysWhatInstallsIt(t *testing.T) {
	_, err := engine.Start(t.Context(), engine.ChildConfig{Data: t.TempDir(), Listen: "127.0.0.1:0", Stderr: io.Discard,
		Env: []string{engine.LibraryEnv + "=" + t.TempDir() + "/libchdb.so"}})
	if err == nil || !strings.Contains(err.Error(), "make engine") {
		t.Errorf("%v", err)
	}
}

func TestAPasswordIsNeededBeyondLoopback(t *testing.T) {
	for listen, allowed := range map[string]bool{
		"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "192.0.2.1:8123": false, "example.com:1": false,
	} {
		cfg := engine.Config{Data: "d", Listen: listen}
		if err := cfg.Validate(); (err == nil) != allowed {
			t.Errorf("%s without a password: %v", listen, err)
		}
		cfg.Users = []engine.User{{Name: "default", Password: "p"}}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s with a password: %v", listen, err)
		}
		cfg.Users = append(cfg.Users, engine.User{Name: "bi", ReadOnly: true})
		if err := cfg.Validate(); (err == nil) != allowed {
			t.Errorf("%s with a user without: %v", listen, err)
		}
	}
}

func TestAPasswordComesFromAFileOrTheEnvironment(t *testing.T) {
	path := t.TempDir() + "/password"
	if err := os.WriteFile(path, []byte("from file\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENGINE_TEST_PASSWORD", "from environment")
	for _, q := range []struct{ file, env, want string }{
		{path, "ENGINE_TEST_PASSWORD", "from file"}, {"", "ENGINE_TEST_PASSWORD", "from environment"}, {"", "ENGINE_TEST_NONE", ""}, {"", "", ""},
	} {
		if got, err := engine.ReadPassword(q.file, q.env); got != q.want || err != nil {
			t.Errorf("%+v: %q %v", q, got, err)
		}
	}
	if _, err := engine.ReadPassword(path+".not", ""); err == nil {
		t.Error("a missing file passes")
	}
}

// parentMain starts an engine as a child and waits to be killed.
func parentMain(data string) int {
	child, err := engine.Start(context.Background(), engine.ChildConfig{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(child.PID())
	select {}
}

func TestTheChildDiesWithItsParentEvenByKill9(t *testing.T) {
	needLibrary(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe, "parent", t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatal("the child is not there: ", err)
	}
	parent.Process.Kill()
	parent.Wait()
	until(t, "the child is gone", 10*time.Second, func() bool {
		// Nobody may have waited for it: a zombie is gone as well.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ")
	})
}

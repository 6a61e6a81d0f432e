package engine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// smallDisk mounts a file of 200 MB, where this process may.
func smallDisk(t *testing.T) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	file, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(200 << 20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system of a limited size can be made here: %s: %v %s", command[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

func startOnSmallDisk(t *testing.T) (dir string, child *engine.Child, c client) {
	t.Helper()
	dir = smallDisk(t)
	child = start(t, filepath.Join(dir, "data"))
	return dir, child, client{addr: child.Addr()}
}

// leave takes all of a disk but so many bytes, until the returned function is
// called.
func leave(t *testing.T, dir string, bytes int64) (empty func()) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	size := int64(disk.Bavail)*int64(disk.Bsize) - bytes
	ballast := filepath.Join(dir, "ballast")
	if out, err := exec.Command("fallocate", "-l", fmt.Sprint(size), ballast).CombinedOutput(); err != nil {
		t.Skipf("fallocate: %v %s", err, out)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnInsertDoesNotBeginWhereMergesNeedTheRoom(t *testing.T) {
	dir, _, c := startOnSmallDisk(t)
	c.must(t, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	for n := range 5 {
		c.must(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
	}
	empty := leave(t, dir, 40<<20)
	for _, insert := range []string{"INSERT INTO t VALUES (5)", "INSERT INTO t SELECT 6"} {
		if code := c.refused(t, insert); code != "243" {
			t.Errorf("%s is refused with %s", insert, code)
		}
	}
	c.must(t, "OPTIMIZE TABLE t FINAL")
	if rows := c.must(t, "SELECT count(), max(n) FROM t"); rows != "5\t4\n" {
		t.Errorf("there are %q", rows)
	}
	empty()
	c.must(t, "INSERT INTO t VALUES (7)")
}

func TestWhatIsMergedIsKeptForAMinute(t *testing.T) {
	c := engineFor(t)
	merged(t, c)
	if parts := c.must(t, "SELECT count() FROM system.parts WHERE table = 't' AND database = currentDatabase() AND NOT active"); parts != "2\n" {
		t.Errorf("of two merged parts there are %q", parts)
	}
	if kept := c.must(t, "SELECT value FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'"); kept != "60\n" {
		t.Errorf("they are kept for %q seconds", kept)
	}
}

func TestAnEngineWhoseMergeHasSpoiledItsPartStartsAnewWithWhatWasMerged(t *testing.T) {
	child := start(t, filepath.Join(t.TempDir(), "data"))
	c := client{addr: child.Addr()}
	spoil(t, merged(t, c))
	until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 1 })
	wantBoth(t, c)
}

func TestAnEngineThatIsStoppedWithASpoiledPartLeavesWhatWasMerged(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	child := start(t, data)
	spoil(t, merged(t, client{addr: child.Addr()}))
	child.Stop()
	wantBoth(t, client{addr: start(t, data).Addr()})
}

func TestAnEngineStartsAnewOnAFullDiskAndAgainOnceThereIsRoom(t *testing.T) {
	for name, bytes := range map[string]int64{"some bytes are left": 8 << 20, "next to none are left": 256 << 10} {
		t.Run(name, func(t *testing.T) {
			dir, child, c := startOnSmallDisk(t)
			merged(t, c)
			empty := leave(t, dir, bytes)
			until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 1 })
			wantBoth(t, c)
			for _, insert := range []string{"INSERT INTO t VALUES (3)", "INSERT INTO t SELECT 3"} {
				r := c.post(t, "", strings.NewReader(insert), "min_free_disk_bytes_to_perform_insert", "0")
				if r.header.Get("X-ClickHouse-Exception-Code") != "243" {
					t.Errorf("the answer is %d %s", r.status, r.body)
				}
			}
			for _, definition := range []string{"CREATE TABLE u AS t", "RENAME TABLE t TO u", "ALTER TABLE t ADD COLUMN m UInt8", "ALTER TABLE t DELETE WHERE 1", "DELETE FROM t WHERE 1",
				"CREATE INDEX i ON t (n) TYPE minmax", "DROP INDEX IF EXISTS i ON t", "CREATE DATABASE other", "CREATE FUNCTION f AS (x) -> x"} {
				if code := c.refused(t, definition); code != "243" {
					t.Errorf("%s is refused with %s", definition, code)
				}
			}
			c.must(t, "CREATE TEMPORARY TABLE u AS t", "session_id", "1")
			c.must(t, "CREATE OR REPLACE TEMPORARY TABLE u AS t", "session_id", "1")
			c.must(t, "ALTER TABLE t DROP PARTITION ID 'none'")
			empty()
			until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 2 })
			if rows := c.must(t, "SELECT count(), sum(n) FROM t WHERE n < 3"); rows != "2\t3\n" {
				t.Errorf("of two rows there are %q", rows)
			}
			c.must(t, "INSERT INTO t VALUES (4)")
			c.must(t, "OPTIMIZE TABLE t FINAL")
		})
	}
}

func TestAnEngineOnADiskThatIsFullOfWhatWasMergedRemovesThatAndMergesNothing(t *testing.T) {
	dir, child, c := startOnSmallDisk(t)
	c.must(t, "CREATE DATABASE other")
	c.must(t, "CREATE TABLE other.wide (s String) ENGINE = MergeTree ORDER BY tuple() SETTINGS old_parts_lifetime = 20")
	c.must(t, "CREATE TABLE many (n UInt64) ENGINE = MergeTree ORDER BY n")
	for range 2 {
		c.must(t, "INSERT INTO other.wide SELECT randomString(1000) FROM numbers(28500)")
	}
	c.must(t, "OPTIMIZE TABLE other.wide FINAL", "optimize_throw_if_noop", "1")
	leave(t, dir, 15<<20)
	until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 1 })
	if parts := c.must(t, "SELECT countIf(active), countIf(NOT active) FROM system.parts WHERE table = 'wide'"); parts != "1\t2\n" {
		t.Errorf("of two parts and what they were merged to there are %q", parts)
	}
	const inserts = 12
	for range inserts {
		c.post(t, "", strings.NewReader("INSERT INTO many VALUES (1)"), "min_free_disk_bytes_to_perform_insert", "0") // not believed, and stored
	}
	lived := 0 // the engine that met the full disk, in seconds: the next one merges, and answers before it is counted
	until(t, "there is room, and the engine starts anew", time.Minute, func() bool {
		r, err := c.do(t.Context(), "POST", "SELECT uptime(), count() FROM system.parts WHERE table = 'many' AND active", nil)
		var lives, parts int
		if again := child.Restarts() == 2; again || err != nil || r.status != 200 {
			return again
		}
		if _, err := fmt.Sscan(r.body, &lives, &parts); err != nil {
			t.Fatalf("%q: %v", r.body, err)
		}
		if lives < lived {
			return false
		}
		if lived = lives; parts != inserts {
			t.Fatalf("on a full disk %d parts were merged to %d", inserts, parts)
		}
		return false
	})
	if rows := c.must(t, "SELECT count(), sum(length(s)) FROM other.wide"); rows != "57000\t57000000\n" {
		t.Errorf("of 57,000 rows there are %q", rows)
	}
	c.must(t, "INSERT INTO other.wide VALUES ('there is room')")
}

// takeTheRest takes what is left of a disk to the last byte, and what becomes free, until
// the returned function is called.
func takeTheRest(t *testing.T, dir string) (stop func()) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "the rest"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		const block = 4096
		for at := int64(0); ctx.Err() == nil; {
			if syscall.Fallocate(int(file.Fd()), 0, at, block) == nil {
				at += block
			}
		}
	}()
	stop = func() { cancel(); <-done; file.Close() }
	t.Cleanup(stop)
	return stop
}

func TestTheDatabaseDefaultIsThereAfterAStartOnAFullDisk(t *testing.T) {
	dir, child, c := startOnSmallDisk(t)
	c.must(t, "CREATE DATABASE other")
	c.must(t, "CREATE TABLE other.t (n UInt64) ENGINE = MergeTree ORDER BY n")
	c.must(t, "INSERT INTO other.t VALUES (1)")
	empty, takeNoMore := leave(t, dir, 256<<10), takeTheRest(t, dir)
	until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 1 })
	c.must(t, "SELECT * FROM other.t")
	takeNoMore()
	empty()
	until(t, "the engine starts anew", 30*time.Second, func() bool { return child.Restarts() == 2 })
	c.must(t, "CREATE TABLE t AS other.t")
	c.must(t, "INSERT INTO t SELECT n + 1 FROM other.t")
	child.Stop()
	c.addr = start(t, filepath.Join(dir, "data")).Addr()
	if rows := c.must(t, "SELECT * FROM (SELECT n FROM t UNION ALL SELECT n FROM other.t) ORDER BY n"); rows != "1\n2\n" {
		t.Errorf("there are %q", rows)
	}
}

func TestAnEmptyDefinitionOfTheDatabaseDefaultIsMadeAnewUnlessTablesMayBeItsOwn(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	definition := filepath.Join(data, "metadata", "default.sql")
	child := start(t, data)
	c := client{addr: child.Addr()}
	c.must(t, "CREATE DATABASE other")
	c.must(t, "CREATE TABLE other.t (n UInt64) ENGINE = MergeTree ORDER BY n")
	child.Stop()
	truncate := func() {
		t.Helper()
		if err := os.Truncate(definition, 0); err != nil {
			t.Fatal(err)
		}
	}
	truncate()
	child = start(t, data)
	c.addr = child.Addr()
	c.must(t, "CREATE TABLE t AS other.t")
	child.Stop()
	truncate()
	child, err := engine.Start(t.Context(), engine.ChildConfig{Data: data, Listen: "127.0.0.1:0"})
	if err == nil {
		child.Stop()
	}
	if err == nil || !strings.Contains(err.Error(), definition) {
		t.Errorf("the error is %v", err)
	}
}

// merged makes a table t of two parts and returns the folder of the one that they
// were merged to.
func merged(t *testing.T, c client) string {
	t.Helper()
	c.must(t, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	c.must(t, "INSERT INTO t VALUES (1)")
	c.must(t, "INSERT INTO t VALUES (2)")
	c.must(t, "OPTIMIZE TABLE t FINAL")
	return strings.TrimSpace(c.must(t, "SELECT path FROM system.parts WHERE table = 't' AND database = currentDatabase() AND active"))
}

// spoil does to a part what a merge on a full disk does.
func spoil(t *testing.T, part string) {
	t.Helper()
	files, err := os.ReadDir(part)
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files in %q: %v", len(files), part, err)
	}
	for _, file := range files {
		if err := os.Truncate(filepath.Join(part, file.Name()), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func wantBoth(t *testing.T, c client) {
	t.Helper()
	if rows := c.must(t, "SELECT count(), sum(n) FROM t"); rows != "2\t3\n" {
		t.Errorf("there are %q", rows)
	}
}

package engine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
	dir := smallDisk(t)
	c := client{addr: start(t, filepath.Join(dir, "data")).Addr()}
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
			dir := smallDisk(t)
			child := start(t, filepath.Join(dir, "data"))
			c := client{addr: child.Addr()}
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

package engine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
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

func TestAnInsertIsNotAcknowledgedWhereTheDiskIsAboutFullAfterIt(t *testing.T) {
	dir := smallDisk(t)
	c := client{addr: start(t, filepath.Join(dir, "data")).Addr()}
	c.must(t, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS min_bytes_for_wide_part = 0")
	empty := leave(t, dir, 72<<20)
	if code := c.refused(t, "INSERT INTO t SELECT rand64() FROM numbers(8000000)"); code != "243" { // 64 MB that no codec makes less of
		t.Errorf("it is refused with %s", code)
	}
	empty()
	c.must(t, "INSERT INTO t VALUES (3)")
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

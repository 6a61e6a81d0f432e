package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// disk is a file system of a size, for a data directory that can be filled.
type disk struct {
	dir    string
	limits bool // else it is a folder like any other
}

// newDisk mounts a file of that size, where this process may; else the disk has
// no end, and the fault that fills it says so.
func newDisk(t testing.TB, megabytes int) *disk {
	dir := t.TempDir()
	d := &disk{dir: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image")
	if err := mount(image, d.dir, megabytes); err != nil {
		t.Logf("the engine's disk has no limit, so it is never full: %v", err)
		return d
	}
	d.limits = true
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return d
}

func mount(image, dir string, megabytes int) error {
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(int64(megabytes)<<20), file.Close())
	}
	if err != nil {
		return err
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w %s", command[0], err, out)
		}
	}
	return nil
}

// fill leaves nothing free.
func (d *disk) fill() error {
	file, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer file.Close()
	for size := int64(1) << 40; size > 4096; { // ever smaller pieces, until not even a small one fits
		at, err := file.Seek(0, 2)
		if err != nil {
			return err
		}
		if free := d.free(); size > free {
			size = free
		}
		if size <= 0 || syscall.Fallocate(int(file.Fd()), 0, at, size) != nil {
			size /= 2
			if d.free() < 4096 {
				return nil
			}
		}
	}
	return nil
}

func (d *disk) free() int64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &fs); err != nil {
		return 0
	}
	return int64(fs.Bavail) * fs.Bsize
}

func (d *disk) empty() error { return os.Remove(d.ballast()) }

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

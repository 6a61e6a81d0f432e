package engine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAPartIsSpoiledWhoseChecksumsAreEmptyUnlessNoStartMadeItGood(t *testing.T) {
	data := filepath.Join(t.TempDir(), "odd [name]*")
	part := func(name, checksums string) string {
		dir := filepath.Join(data, "store", "abc", "abc-def", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "checksums.txt"), []byte(checksums), 0o644); err != nil {
			t.Fatal(err)
		}
		return "store/abc/abc-def/" + name
	}
	part("all_1_1_0", "all is well")
	part("all_1_2_1_7", "all is well")
	for _, onItsWay := range []string{"tmp_merge_all_1_3_1", "delete_tmp_all_1_1_0", "detached/broken-on-start_all_1_1_0"} {
		part(onItsWay, "")
	}
	d := newDisk(data)
	if is := d.spoiled(); is != "" || !d.whole() {
		t.Errorf("%q is spoiled", is)
	}
	for _, name := range []string{"20260101-x_5_5_0", "all_4_4_0_5"} {
		want := part(name, "")
		if is := d.spoiled(); is != want || d.whole() {
			t.Errorf("%q is spoiled and not %q", is, want)
		}
		d = newDisk(data)
		if is := d.spoiled(); is != "" {
			t.Errorf("%q is spoiled, and was before the engine was started", is)
		}
	}
	repaired := filepath.Join(data, "store", "abc", "abc-def", "all_4_4_0_5")
	if err := os.Rename(repaired, filepath.Join(data, "store", "abc", "abc-def", "detached", "broken-on-start_all_4_4_0_5")); err != nil {
		t.Fatal(err)
	}
	want := part("all_4_4_0_5", "")
	if is := d.spoiled(); is != want {
		t.Errorf("%q is spoiled and not %q, once more after a start has repaired it", is, want)
	}
}

func TestNoInsertIsBelievedInALifeThatSawTheDiskFull(t *testing.T) {
	d := newDisk(t.TempDir())
	if err := d.believed(); err != nil {
		t.Error(err)
	}
	d.full.Store(true) // and it has room again
	if d.believed() == nil || d.whole() {
		t.Error("it is believed")
	}
}

package pipelinetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Root is the module's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Shared is the folder of recorded material, $WHENCE_SHARED or the folder
// `shared` beside the checkout. The test is skipped, with a line that says so,
// where it is absent.
func Shared(t testing.TB) string {
	dir := os.Getenv("WHENCE_SHARED")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared")
	}
	dir = filepath.Join(dir, "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recorded material in %s (set WHENCE_SHARED)", dir)
	}
	return dir
}

// Cache is a folder that outlives test runs, for downloads:
// $WHENCE_TEST_CACHE or the user's cache folder.
func Cache(t testing.TB) string {
	dir := os.Getenv("WHENCE_TEST_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("no cache folder: %v (set WHENCE_TEST_CACHE)", err)
		}
		dir = filepath.Join(base, "whence-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Need skips the test where one of the programs is not installed, and fails it
// in CI.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Without(t, "%s is not installed", p)
		}
	}
}

// Without ends a test that lacks something of its machine, and says what: on a
// person's it is skipped; where $CI is set it fails, since a green run would say
// less than it seems to.
func Without(t testing.TB, format string, arguments ...any) {
	t.Helper()
	lacks := fmt.Sprintf(format, arguments...)
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: this test has to run where CI is set", lacks)
	}
	t.Skipf("%s: this test did not run", lacks)
}

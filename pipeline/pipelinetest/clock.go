package pipelinetest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// WrongClock is the environment of a process whose wall clock is ahead. It
// needs a C compiler, and a process that asks its C library for the time: Java
// does, Go and the engine do not.
func WrongClock(t testing.TB, ahead time.Duration) ([]string, error) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return nil, err
	}
	library := filepath.Join(t.TempDir(), "clock.so")
	source := filepath.Join(Root(), "pipeline", "pipelinetest", "testdata", "clock", "clock.c")
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cc: %w\n%s", err, out)
	}
	return []string{"LD_PRELOAD=" + library, fmt.Sprintf("WHENCE_TEST_CLOCK_AHEAD=%d", int(ahead.Seconds()))}, nil
}

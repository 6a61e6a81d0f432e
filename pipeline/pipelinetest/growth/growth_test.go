package growth_test

import (
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest/growth"
)

// judged is what Linear says of work.
type judged struct {
	testing.TB
	failed bool
}

func (j *judged) Helper()               {}
func (j *judged) Fatalf(string, ...any) { j.failed = true; panic(j) }

func fails(t *testing.T, work func(n int) time.Duration) bool {
	j := &judged{TB: t}
	func() {
		defer func() { _ = recover() }()
		growth.Linear(j, 100, work)
	}()
	return j.failed
}

func TestTheSquareIsTooMuch(t *testing.T) {
	if fails(t, func(n int) time.Duration { return time.Duration(n * 2) }) {
		t.Error("linear work fails")
	}
	if !fails(t, func(n int) time.Duration { return time.Duration(n * n) }) {
		t.Error("the square passes")
	}
}

func TestAnAttemptThatWasDisturbedIsMadeAgain(t *testing.T) {
	calls := 0
	disturbed := func(n int) time.Duration {
		if calls++; calls == 2 {
			return time.Hour
		}
		return time.Duration(n)
	}
	if fails(t, disturbed) {
		t.Error("one slow attempt fails the test")
	}
}

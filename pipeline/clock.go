package pipeline

import (
	"context"
	"time"
)

// Clock is the time as processors see it: passed in, so that tests own it.
type Clock interface {
	Now() time.Time
	// Sleep waits and reports whether ctx is still on.
	Sleep(ctx context.Context, d time.Duration) bool
}

// SystemClock is the machine's.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep waits on a timer.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

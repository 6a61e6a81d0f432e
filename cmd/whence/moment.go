package main

import (
	"fmt"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// momentFlag is a time given as RFC 3339, as a day, or as a duration before
// now.
type momentFlag struct {
	at  event.Millis
	now func() time.Time
}

func (m *momentFlag) String() string { return "" }
func (m *momentFlag) Type() string   { return "TIME" }

func (m *momentFlag) Set(text string) error {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			m.at = event.MillisOf(at)
			return nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		m.at = event.MillisOf(m.now().Add(-ago))
		return nil
	}
	return fmt.Errorf("want a time as 2026-03-12T14:05:00Z, a day as 2026-03-12 (UTC), or how long ago as 24h")
}

// span is an interval of event time that flags give; without one it has no end.
type span struct{ from, to momentFlag }

func newSpan() *span {
	return &span{from: momentFlag{event.Always, time.Now}, to: momentFlag{event.Forever, time.Now}}
}

func (s *span) check() error {
	if s.from.at >= s.to.at {
		return usagef("--from must be before --to")
	}
	return nil
}

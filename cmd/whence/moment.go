package main

import (
	"fmt"
	"strconv"
	"strings"
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
	at, err := momentOf(text, m.now())
	if err == nil {
		m.at = event.MillisOf(at)
	}
	return err
}

// momentOf reads a date, a time, or how long ago. Without a zone it is UTC.
func momentOf(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
		time.DateTime, "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("want a time as 2026-03-12T14:05:00Z, a day as 2026-03-12 (UTC), or how long ago as 24h or 7d, have %q", text)
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

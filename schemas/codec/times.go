package codec

import (
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// parseTime reads an RFC 3339 time (any offset, any fraction), truncated to
// milliseconds.
func parseTime(s string) (event.Millis, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, false
	}
	return event.MillisOf(t), true
}

// clock reads the times of events. They come from few days, so the start of
// the last one is kept: a third of the cost of parseTime.
type clock struct {
	date  string // of its own, "2006-01-02"
	start event.Millis
}

const dateLength = len(time.DateOnly)

// parse is parseTime.
func (c *clock) parse(s string) (event.Millis, bool) {
	if len(s) > dateLength && s[:dateLength] == c.date {
		if ms, ok := timeOfDay(s[dateLength:]); ok {
			return c.start + ms, true
		}
	}
	t, ok := parseTime(s)
	if ok && len(s) > dateLength {
		if start, err := time.Parse(time.DateOnly, s[:dateLength]); err == nil {
			c.date, c.start = strings.Clone(s[:dateLength]), event.MillisOf(start)
		}
	}
	return t, ok
}

// timeOfDay reads T15:04:05Z and T15:04:05.000Z; parseTime takes the rest.
func timeOfDay(s string) (event.Millis, bool) {
	if len(s) != len("T15:04:05Z") && len(s) != len("T15:04:05.000Z") ||
		s[0] != 'T' || s[3] != ':' || s[6] != ':' || s[len(s)-1] != 'Z' {
		return 0, false
	}
	hour, minute, second, ms := digits(s[1:3]), digits(s[4:6]), digits(s[7:9]), 0
	if s[9] == '.' {
		ms = digits(s[10:13])
	} else if len(s) != len("T15:04:05Z") {
		return 0, false
	}
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || ms < 0 {
		return 0, false
	}
	return event.Millis(((hour*60+minute)*60+second)*1000 + ms), true
}

// digits is s in decimal, -1 where it holds anything else.
func digits(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// eventTime is parse for an event's own time, which has bounds.
func (c *clock) eventTime(path, s string) (event.Millis, *Fault) {
	if s == "" {
		return 0, fault(Time, "%s: missing", path)
	}
	t, ok := c.parse(s)
	if !ok {
		return 0, fault(Time, "%s: %s is no RFC 3339 time", path, quote(s))
	}
	if t < event.MinTime || t >= event.MaxTime {
		return 0, fault(Time, "%s: %s is not within the years 2000 to 2100", path, quote(s))
	}
	return t, nil
}

// appendTime is how we write times: UTC, always three digits of fraction.
func appendTime(dst []byte, t event.Millis) []byte {
	return t.Time().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

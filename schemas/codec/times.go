package codec

import (
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// parseTime reads an RFC 3339 time (section 5.6: any offset, any fraction, t and
// z in either case), truncated to milliseconds. time.Parse takes more than that:
// an hour of one digit, a comma, offsets of 24:00 and 02:60.
//
// A leap second is the second after it, as in POSIX time, which has none: :60 is the
// first second of the day in UTC, and no time at any other moment. Which
// days had one is not looked up.
func parseTime(s string) (event.Millis, bool) {
	var c clock
	return c.parse(s)
}

// clock reads times that come from few days, as those of events do: the start of
// the last day is kept.
type clock struct {
	date  string // of its own, "2006-01-02"
	start event.Millis
}

const dateLength = len(time.DateOnly)

// parse is parseTime.
func (c *clock) parse(s string) (event.Millis, bool) {
	if len(s) < dateLength {
		return 0, false
	}
	if date := s[:dateLength]; date != c.date {
		start, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return 0, false
		}
		c.date, c.start = strings.Clone(date), event.MillisOf(start)
	}
	ms, ok := timeOfDay(s[dateLength:])
	return c.start + ms, ok
}

// timeOfDay reads T15:04:05.999Z and its like, as the time since the start of
// the day in UTC: an offset may lead out of it.
func timeOfDay(s string) (event.Millis, bool) {
	if len(s) < len("T15:04:05Z") || s[0]|0x20 != 't' || s[3] != ':' || s[6] != ':' {
		return 0, false
	}
	hour, minute, second := digits(s[1:3]), digits(s[4:6]), digits(s[7:9])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return 0, false
	}
	fraction, zone := cutFraction(s[9:])
	offset, ok := offsetOf(zone)
	if !ok || fraction < 0 {
		return 0, false
	}
	whole := event.Millis(((hour*60+minute)*60+second)*1000 - offset)
	const day = 24 * 60 * 60 * 1000
	return whole + event.Millis(fraction), second < 60 || whole%day == 0
}

// cutFraction takes a fraction off s, if it has one, in milliseconds; -1 where
// it is none.
func cutFraction(s string) (ms int, rest string) {
	if s[0] != '.' {
		return 0, s
	}
	n := 1
	for ; n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
		if n <= 3 {
			ms = ms*10 + int(s[n]-'0')
		}
	}
	switch n {
	case 1:
		ms = -1
	case 2:
		ms *= 100
	case 3:
		ms *= 10
	}
	return ms, s[n:]
}

// offsetOf reads Z or +01:00, in milliseconds to the east.
func offsetOf(s string) (int, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+01:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hour, minute := digits(s[1:3]), digits(s[4:6])
	ms := (hour*60 + minute) * 60_000
	if s[0] == '-' {
		ms = -ms
	}
	return ms, hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59
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

// within tells whether t is within the years 2000 to 2100. Time 0, which stands
// for unstated, is not.
func within(t event.Millis) bool { return t >= event.MinTime && t < event.MaxTime }

// eventTime is parse for an event's own time.
func (c *clock) eventTime(path, s string) (event.Millis, *Fault) {
	if s == "" {
		return 0, fault(Time, "%s: missing", path)
	}
	t, ok := c.parse(s)
	if !ok {
		return 0, fault(Time, "%s: %s is no RFC 3339 time", path, quote(s))
	}
	if !within(t) {
		return 0, fault(Time, "%s: %s is not within the years 2000 to 2100", path, quote(s))
	}
	return t, nil
}

// appendTime is how we write times: UTC, always three digits of fraction.
func appendTime(dst []byte, t event.Millis) []byte {
	return t.Time().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

package tables

import (
	"fmt"
	"strings"
)

// SealMinutes is the statement that computes the vitals of minutes and seals
// them with the sums that the minutes carry, which must have been read before.
func SealMinutes(minutes []Minute) string {
	return strings.Replace(read("seal.sql"), "({looked})", "("+looked(minutes)+")", 1)
}

// looked is minutes as they were looked at: an array, because one literal of
// thousands of tuples is read at once, and thousands of literals are not.
func looked(minutes []Minute) string {
	return "CAST([" + join(minutes, func(b *strings.Builder, m Minute) {
		fmt.Fprintf(b, "(%s, %s, %d, %d, %d)", quote(m.Service), quote(m.Environment), m.Start/1000, m.Touch, m.Rows)
	}) + "], 'Array(Tuple(String, String, UInt32, UInt64, UInt64))')"
}

// SealHours is the statement that seals hours with the sums that they carry,
// which must have been read before their minutes were found sealed.
func SealHours(hours []Minute) string {
	return "INSERT INTO whence_state.sealed (service, environment, minute, touch, rows) " +
		"SELECT h.1, h.2, h.3, h.4, h.5 FROM (SELECT arrayJoin(" + looked(hours) + ") AS h)"
}

// TouchRewritten is the statements, in this order, that touch the minutes of
// the observations for which the condition where holds. The salt is nobody
// else's.
func TouchRewritten(where string, salt uint64) []string {
	const touch = `
		INSERT INTO whence_state.touches (service, environment, minute, touch, rows)
		SELECT %[1]s, greatest(cityHash64(%[2]d, %[1]s), 1), count()
		FROM whence.observations
		WHERE service != '' AND (%[3]s)
		GROUP BY %[1]s`
	return []string{
		fmt.Sprintf(touch, "service, environment, toStartOfMinute(time)", salt, where),
		fmt.Sprintf(touch, "'', '', toStartOfHour(time)", salt, where),
	}
}

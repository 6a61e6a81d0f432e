package oracle

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// span is an interval of event time, [start, end) in milliseconds, that is
// compared at once: whole minutes, for the vitals' sake.
type span struct {
	start, end int64
	rows       uint64 // about
}

// spans cuts what the scope has of event time into intervals of about so many
// rows. A minute is not cut, however many rows it has. They do not reach over
// hours of which nothing is stored: a year of facts before the first
// observation would be moments to answer for, and nobody to ask.
func (o *Oracle) spans(ctx context.Context) ([]span, error) {
	limit := cmp.Or(o.scope.SpanRows, 1_000_000)
	hours, err := o.histogram(ctx, time.Hour, o.scope.from(), o.scope.to())
	if err != nil {
		return nil, err
	}
	var all []span
	for _, hour := range hours {
		steps := []span{hour}
		if hour.rows > limit {
			from, to := moment(time.UnixMilli(hour.start), ""), moment(time.UnixMilli(hour.end), "")
			if steps, err = o.histogram(ctx, time.Minute, from, to); err != nil {
				return nil, err
			}
		}
		for _, step := range steps {
			if n := len(all); n > 0 && all[n-1].rows+step.rows <= limit {
				all[n-1].end, all[n-1].rows = step.end, all[n-1].rows+step.rows
			} else {
				all = append(all, step)
			}
		}
	}
	return o.scope.within(all), nil
}

// within cuts off what is not in the scope.
func (s Scope) within(all []span) []span {
	var inside []span
	for _, one := range all {
		if !s.From.IsZero() {
			one.start = max(one.start, s.From.UnixMilli())
		}
		if !s.To.IsZero() {
			one.end = min(one.end, s.To.UnixMilli())
		}
		if one.start < one.end {
			inside = append(inside, one)
		}
	}
	return inside
}

// histogram counts the stored rows of each interval that has any, or has a trace
// of some: a seal, or what a row said before it was corrected. Rows that were
// written twice count twice: it is only about how much work there is. Between
// these intervals there is nothing on either side of a comparison.
func (o *Oracle) histogram(ctx context.Context, step time.Duration, from, to string) ([]span, error) {
	type count struct {
		Start int64
		Rows  uint64
	}
	counts, err := rows[count](ctx, o.query, fmt.Sprintf(`
		SELECT start, intDiv(sum(stored) * %d, 1000000) AS rows
		FROM
		(
			SELECT intDiv(toUnixTimestamp64Milli(time), %d) * %[2]d AS start, count() AS stored
			FROM whence.observations
			WHERE %[3]s <= time AND time < %[4]s
			GROUP BY start
			UNION ALL
			SELECT DISTINCT intDiv(toUnixTimestamp64Milli(time), %[2]d) * %[2]d, 0
			FROM whence.observations_history
			WHERE %[3]s <= time AND time < %[4]s
			UNION ALL
			SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(minute)) * 1000, %[2]d) * %[2]d, 0
			FROM whence_state.sealed
			WHERE service != '' AND %[3]s <= minute AND minute < %[4]s
		)
		GROUP BY start
		ORDER BY start
		FORMAT JSONEachRow`, o.scope.share(), step.Milliseconds(), from, to))
	spans := make([]span, len(counts))
	for i, c := range counts {
		spans[i] = span{c.Start, c.Start + step.Milliseconds(), c.Rows}
	}
	return spans, err
}

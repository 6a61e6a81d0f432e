package oracle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/whencehq/whence/pipeline/display"
)

// Options of Verify.
type Options struct {
	Scope // its Revision is Verify's own affair
	// Pauses before what differs is looked at again; nil: a second, then five.
	// A system at work is between two states now and then: what is wrong stays.
	Pauses []time.Duration
	// Patience is how long rows may know facts that are not stored yet; 0: a
	// minute. It is waited only where there are such rows.
	Patience time.Duration
	// Progress is told how far a round is, in rows; nil: nobody is.
	Progress func(what string, done, all uint64)
}

// Report is what Verify has found.
type Report struct {
	// Revision of the context log that the tables were compared at.
	Revision uint64 `json:"revision"`
	// How much was compared.
	Observations uint64 `json:"observations"`
	Minutes      uint64 `json:"minutes"`
	Entities     uint64 `json:"entities"`
	Facts        uint64 `json:"facts"`
	// Vitals says whether there are any to compare.
	Vitals bool `json:"vitals"`
	// Columns that differ, Troubles of the ledger.
	Columns  []Column  `json:"columns"`
	Troubles []Trouble `json:"troubles"`
	// Unsettled rows and minutes differ, but were written with newer facts, or
	// again and again while they were looked at: nothing is known of them.
	Unsettled int `json:"unsettled"`
	// Repeated rows are there more than once, each as if it were the first of its
	// record: an insert came when the server had forgotten its token, or a log was
	// read again. They count once, but in a view of one's own that counts rows as
	// they come. A merge makes one of them, so of older ones nothing is known.
	Repeated uint64 `json:"repeated"`
	// Waiting facts are stored and not yet in all the rows they concern, the
	// first of them since when.
	Waiting      uint64     `json:"waiting_facts"`
	WaitingSince *time.Time `json:"waiting_since,omitempty"`
}

// Sound says whether nothing differs.
func (r *Report) Sound() bool { return len(r.Columns) == 0 && len(r.Troubles) == 0 }

// stalled is how long a fact may wait for its corrections before that is a
// trouble of its own.
const stalled = time.Hour

// tooMany differences are no matter of a moment: they are not looked at again.
const tooMany = 100_000

// Verify recomputes what the tables must say and compares, while the pipeline
// runs. It holds the rows to the facts that are closed: those that reconcile
// says are in every row they concern. A row that was written since, with newer
// facts, may know better; it is looked at again after a pause, with all else
// that differs, and only what differed each time is reported.
func Verify(ctx context.Context, query Query, options Options) (report *Report, err error) {
	if err := Sweep(ctx, query); err != nil {
		return nil, err
	}
	closed, _, err := revisions(ctx, query)
	if err != nil {
		return nil, err
	}
	options.Revision = closed
	o, err := Compute(ctx, query, options.Scope)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	v := verification{Oracle: o, options: options, report: &Report{Revision: closed}}
	if err := v.rounds(ctx); err != nil {
		return nil, err
	}
	if err := v.ahead(ctx); err != nil {
		return nil, err
	}
	if err := v.waiting(ctx); err != nil {
		return nil, err
	}
	v.report.Columns, v.report.Troubles = listed(v.report.Columns), listed(v.report.Troubles)
	return v.report, nil
}

// listed is a list that JSON shows as one when it is empty.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// verification is one run of Verify.
type verification struct {
	*Oracle
	options  Options
	report   *Report
	troubles []Trouble // that every round has seen
}

func (v *verification) rounds(ctx context.Context) error {
	vitals, err := v.count(ctx, "SELECT count() AS n FROM system.tables WHERE database = 'whence' AND name = 'vitals'")
	if err != nil {
		return err
	}
	v.report.Vitals = vitals > 0
	spans, err := v.spans(ctx)
	if err != nil {
		return err
	}
	pauses := v.options.Pauses
	if pauses == nil {
		pauses = []time.Duration{time.Second, 5 * time.Second}
	}
	for last := len(pauses) + 1; ; {
		v.round++
		again, err := v.look(ctx, spans)
		if err != nil {
			return err
		}
		differing, err := v.count(ctx, fmt.Sprintf("SELECT count() AS n FROM whence_oracle.differences WHERE round = %d", v.round))
		if err != nil {
			return err
		}
		if v.round == last || differing == 0 && len(v.troubles) == 0 || differing > tooMany {
			return v.conclude(ctx)
		}
		if err := wait(ctx, pauses[v.round-1]); err != nil {
			return err
		}
		if err := v.refold(ctx); err != nil {
			return err
		}
		spans = again
	}
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look compares everything in the spans, and returns those in which something
// differs.
func (v *verification) look(ctx context.Context, spans []span) (again []span, err error) {
	// The ledger first: what it speaks of is stored by then.
	if err := v.lookAtLedger(ctx); err != nil {
		return nil, err
	}
	for _, files := range []string{"3", "24"} {
		if err := v.run(ctx, files, span{}); err != nil {
			return nil, err
		}
	}
	var done, all uint64
	for _, s := range spans {
		all += s.rows
	}
	for _, s := range spans {
		v.progress(done, all)
		differs, err := v.lookAtSpan(ctx, s)
		if err != nil {
			return nil, err
		}
		if differs {
			again = append(again, s)
		}
		done += s.rows
	}
	v.progress(all, all)
	if v.round == 1 {
		err = v.size(ctx)
	}
	return again, err
}

func (v *verification) progress(done, all uint64) {
	if v.options.Progress == nil {
		return
	}
	what := "comparing"
	if v.round > 1 {
		what = "once more"
	}
	v.options.Progress(what, done, all)
}

// lookAtSpan reads the touches of the minutes before their rows, and their
// vitals after them: so a minute of which rows came in between is seen.
func (v *verification) lookAtSpan(ctx context.Context, s span) (differs bool, err error) {
	const count = "SELECT count() AS n FROM whence_oracle.differences"
	before, err := v.count(ctx, count)
	if err != nil {
		return false, err
	}
	if v.report.Vitals {
		err = v.run(ctx, "10", s)
	}
	if err == nil {
		err = v.compareRows(ctx, s)
	}
	if err == nil && v.report.Vitals {
		err = v.run(ctx, "23", s)
	}
	if err != nil {
		return false, err
	}
	if v.round == 1 {
		if err := v.measure(ctx, s); err != nil {
			return false, err
		}
	}
	after, err := v.count(ctx, count)
	return after > before, err
}

// measure adds up how much there is in a span.
func (v *verification) measure(ctx context.Context, s span) error {
	type size struct{ Observations, Minutes, Repeated uint64 }
	sizes, err := rows[size](ctx, v.query, v.complete(`
		SELECT count() AS observations, uniqExact(service, environment, minute) AS minutes,
		(
			SELECT count() - uniqExact(cityHash64(source, id, name, service, environment, time, topic, partition, offset, received_at))
			FROM whence.observations
			WHERE rewritten = 0 AND fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
				AND cityHash64(service, environment, toStartOfMinute(time)) % 1000000 < {share}
		) AS repeated
		FROM whence_oracle.answers FORMAT JSONEachRow`, s))
	if err == nil && len(sizes) > 0 {
		v.report.Observations += sizes[0].Observations
		v.report.Minutes += sizes[0].Minutes
		v.report.Repeated += sizes[0].Repeated
	}
	return err
}

// size counts what does not come in spans.
func (v *verification) size(ctx context.Context) error {
	facts, err := v.count(ctx, "SELECT count() AS n FROM whence_oracle.all_facts")
	if err != nil {
		return err
	}
	v.report.Facts = uint64(facts)
	for _, t := range entityTables {
		n, err := v.count(ctx, "SELECT count() AS n FROM whence."+t.name+" FINAL")
		if err != nil {
			return err
		}
		v.report.Entities += uint64(n)
	}
	return nil
}

// lookAtLedger keeps the troubles that every look has seen.
func (v *verification) lookAtLedger(ctx context.Context) error {
	found, err := v.Oracle.troubles(ctx)
	if err != nil {
		return err
	}
	if v.round == 1 {
		v.troubles = found
		return nil
	}
	known := map[Trouble]bool{}
	for _, t := range v.troubles {
		known[t.identity()] = true
	}
	v.troubles = nil
	for _, t := range found {
		if known[t.identity()] {
			v.troubles = append(v.troubles, t)
		}
	}
	return nil
}

func (t Trouble) identity() Trouble {
	t.Detail = ""
	return t
}

// refold takes the facts in that came since, for another round.
func (v *verification) refold(ctx context.Context) error {
	closed, _, err := revisions(ctx, v.query)
	if err != nil {
		return err
	}
	v.report.Revision = closed
	return v.refoldAt(ctx, closed)
}

// conclude reports what differed in every round, and in the last one not for
// being newer.
func (v *verification) conclude(ctx context.Context) error {
	each := fmt.Sprintf("round = %d AND (area, item, column) IN (SELECT area, item, column FROM whence_oracle.differences GROUP BY area, item, column HAVING uniqExact(round) = %[1]d)", v.round)
	columns, err := v.columns(ctx, each+" AND NOT newer")
	if err != nil {
		return err
	}
	v.report.Columns, v.report.Troubles = columns, v.troubles
	v.report.Unsettled, err = v.count(ctx, fmt.Sprintf("SELECT uniqExact(area, item) AS n FROM whence_oracle.differences WHERE round = %d", v.round)+
		" AND (area, item) NOT IN (SELECT area, item FROM whence_oracle.differences WHERE "+each+" AND NOT newer)")
	return err
}

// revisions says up to where facts are stored, 0 where there are none, and up to
// where the tables can be held to them: stored, and in every row they concern.
// Where nothing was ever corrected that is all that is stored.
func revisions(ctx context.Context, query Query) (closed, stored uint64, err error) {
	type said struct{ Reconciled, Stored, Facts uint64 }
	answer, err := rows[said](ctx, query, `
		SELECT
			(SELECT max(revision) FROM whence_state.reconciled) AS reconciled,
			(SELECT revision FROM whence.revision_at(moment = '2299-12-31')) AS stored,
			(SELECT max(revision) FROM whence.facts) AS facts
		FORMAT JSONEachRow`)
	if err != nil || len(answer) == 0 {
		return 0, 0, err
	}
	r := answer[0]
	if r.Stored == 0 { // no ledger: the facts came another way
		r.Stored = r.Facts
	}
	switch {
	case r.Reconciled > 0:
		return max(1, min(r.Reconciled, r.Stored)), r.Stored, nil
	case r.Stored == 0:
		return math.MaxUint64, 0, nil
	}
	return r.Stored, r.Stored, nil
}

// ahead looks for rows that claim to know more than is stored. Facts are stored a
// moment after they are known, some seconds where a worker has died. A row that
// stays ahead is none of a pipeline's: no later fact would correct it.
func (v *verification) ahead(ctx context.Context) error {
	first, err := v.beyond(ctx)
	if err != nil || first == nil {
		return err
	}
	if err := wait(ctx, cmp.Or(v.options.Patience, time.Minute)); err != nil {
		return err
	}
	again, err := v.beyond(ctx)
	if err == nil && again != nil && again.Key == first.Key {
		v.report.Troubles = append(v.report.Troubles, *again)
	}
	return err
}

// beyond is the rows ahead as a trouble, nil where there are none. Its key is the
// first of their revisions: in a moment that one will be stored.
func (v *verification) beyond(ctx context.Context) (*Trouble, error) {
	_, stored, err := revisions(ctx, v.query)
	if err != nil || stored == 0 {
		return nil, err
	}
	type claims struct{ Count, Least, Greatest uint64 }
	found, err := rows[claims](ctx, v.query, v.complete(fmt.Sprintf("SELECT count() AS count, min(revision) AS least, max(revision) AS greatest "+
		"FROM whence.observations WHERE revision > %d AND {from} <= time AND time < {to} FORMAT JSONEachRow", stored), span{}))
	if err != nil || len(found) == 0 || found[0].Count == 0 {
		return nil, err
	}
	return &Trouble{Trouble: "ahead", Key: fmt.Sprint(found[0].Least),
		Detail: fmt.Sprintf("%s of revisions %d to %d, and the facts that are stored end at %d", display.Quantity(found[0].Count, "row is", "rows are"), found[0].Least, found[0].Greatest, stored)}, nil
}

// waiting says which facts are stored and not closed.
func (v *verification) waiting(ctx context.Context) error {
	type waits struct {
		Facts uint64
		Since int64
	}
	answer, err := rows[waits](ctx, v.query, v.complete(`
		SELECT
			(SELECT count() FROM whence.facts WHERE revision > {at}) AS facts,
			(
				SELECT toInt64(toUnixTimestamp64Milli(min(written_at)))
				FROM whence_state.batches AS b INNER JOIN whence_state.epochs AS e ON e.topic_id = b.topic_id
				WHERE bitOr(bitShiftLeft(e.epoch, 40), toUInt64(b.to_offset - 1)) > {at}
			) AS since
		FORMAT JSONEachRow`, span{}))
	if err != nil || len(answer) == 0 || answer[0].Facts == 0 {
		return err
	}
	v.report.Waiting = answer[0].Facts
	if answer[0].Since <= 0 {
		return nil
	}
	since := time.UnixMilli(answer[0].Since).UTC()
	v.report.WaitingSince = &since
	if age := time.Since(since); age > stalled {
		v.report.Troubles = append(v.report.Troubles, Trouble{Trouble: "stalled",
			Detail: fmt.Sprintf("%s not in all rows, the first for %s", display.Quantity(v.report.Waiting, "fact is", "facts are"), age.Round(time.Minute))})
	}
	return nil
}

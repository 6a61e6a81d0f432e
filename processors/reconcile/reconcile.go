package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Timeline knows the facts.
type Timeline interface {
	Revision() uint64
	// Wait returns when a revision is folded in, or with the context's error.
	Wait(ctx context.Context, revision uint64) error
	// Pending lists the observations that facts up to a revision may concern,
	// but for those that Forget was told of.
	Pending(upTo uint64) []event.Region
	Forget(upTo uint64)
	// Contexts says what holds for stale observations, as of the revision it
	// returns; not ok: that is more than limit entries. It fails where facts of
	// the past have to be asked for and there is no answer.
	Contexts(ctx context.Context, stale []event.Stale, limit int) (contexts []event.Context, servings []event.Serving, revision uint64, ok bool, err error)
}

// Promises tells the least revision that all partitions promise: no row of a
// record that is not stored yet will be of an earlier one.
type Promises interface {
	Least(ctx context.Context) (revision uint64, err error)
}

// Rows is where the enriched observations are.
type Rows interface {
	// Stale lists the observations of the regions enriched before a revision,
	// by day. Its error, and that of Touch, is pipeline.ErrTooLong where fewer
	// regions, or shorter ones, may do.
	Stale(ctx context.Context, regions []event.Region, below uint64) ([]event.Stale, error)
	// Among completes what Stale lists by how many rows, right ones included, a
	// correction reads to find these.
	Among(ctx context.Context, regions []event.Region, stale []event.Stale) error
	// Announce lets everybody know that a pass is about to rewrite rows at a
	// revision, and only then looks what others have announced that it has to know
	// of.
	Announce(ctx context.Context, pass, revision uint64) (Rivals, error)
	// Settle says that nothing of a pass is under way any more.
	Settle(ctx context.Context, pass uint64) error
	// Correct rewrites what a correction says otherwise than the rows do, keeps
	// what they said, and returns how many there were.
	Correct(ctx context.Context, c Correction) (rows uint64, err error)
	// Touch has the minutes sealed anew in which the regions hold rows of a
	// revision after the given one, whoever has written them.
	Touch(ctx context.Context, regions []event.Region, after uint64) error
	Times
	// Cursor is the greatest revision that Closed was ever told, by anybody.
	Cursor(ctx context.Context) (uint64, error)
	Closed(ctx context.Context, p Pass) error
}

// Rivals is what others have announced that rewrite rows: workers that took this
// one for dead or are taken for it, and commands.
type Rivals struct {
	// Latest is the greatest revision that any of them knew, those that are done
	// included: some may have seen already that a row is right, and won't look at
	// it again.
	Latest uint64
	// Doubt is the greatest revision below the announced one at which rows may still
	// be rewritten.
	Doubt uint64
}

// Correction is stale observations, and what holds for them.
type Correction struct {
	Regions  []event.Region // no row outside of these is concerned; none: ask each
	Stale    []event.Stale
	Below    uint64 // only rows enriched before this revision
	Doubt    uint64 // rows before this one are rewritten also where they are right
	Contexts []event.Context
	Servings []event.Serving
	Revision uint64 // that Contexts and Servings are of

	tried uint64 // the revision of a statement that was cut short; the server may be at it still
}

// Pass is what closing the facts up to Revision took.
type Pass struct {
	After, Revision uint64 // the facts with After < revision <= Revision
	Known           uint64 // the greatest revision that rows were compared with; 0: none were
	Regions         int
	Corrected       uint64 // rows
	Began           time.Time
	Took, Waited    time.Duration
}

// Observer is told what reconcile does.
type Observer interface {
	// Pending: facts up to revision are known, those up to cursor are closed.
	Pending(cursor, revision uint64)
	Passed(p Pass)
	Failed(err error)
	// Unsettled: a pass is closed, and what it has announced stands for a while.
	Unsettled(err error)
}

// Config sizes the work. Zero values have the defaults.
type Config struct {
	// Every is the least time from one pass to the next: facts that come close
	// together share one. Default 500 ms.
	Every time.Duration
	// Poll is how often promises are asked for while a pass waits. Default 250 ms.
	Poll time.Duration
	// Rows is how many rows one statement writes, about, or a quarter of those that
	// it reads. Default 500,000.
	Rows uint64
	// AtOnce is how many statements run at the same time, each on rows of its
	// own. Default 2: a part of a table is written by one thread, which is half of
	// what a statement costs.
	AtOnce int
	// Contexts is how many contexts and servings one statement may need, the
	// entries of their lists counted too. Default 100,000.
	Contexts int
}

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = 500 * time.Millisecond
	}
	if c.Poll == 0 {
		c.Poll = 250 * time.Millisecond
	}
	if c.Rows == 0 {
		c.Rows = 500_000
	}
	if c.AtOnce == 0 {
		c.AtOnce = 2
	}
	if c.Contexts == 0 {
		c.Contexts = 100_000
	}
	return c
}

// Reconciler corrects rows. Use New.
type Reconciler struct {
	config   Config
	timeline Timeline
	promises Promises
	rows     Rows
	clock    pipeline.Clock
	observer Observer
}

// New makes a reconciler.
func New(c Config, t Timeline, p Promises, r Rows, clock pipeline.Clock, o Observer) *Reconciler {
	return &Reconciler{c.withDefaults(), t, p, r, clock, o}
}

// Run closes facts as they come, until ctx is done, and returns nil then. What
// fails is tried again; only what an operator has to look after is returned.
func (r *Reconciler) Run(ctx context.Context) error {
	for {
		err := r.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case pipeline.ClassOf(err) == pipeline.Fatal:
			return fmt.Errorf("reconcile: %w", err)
		case err != nil:
			r.observer.Failed(err)
			r.clock.Sleep(ctx, 4*r.config.Every)
		default:
			r.clock.Sleep(ctx, r.config.Every)
		}
	}
}

// next waits for a fact that is not closed and closes all that are known.
func (r *Reconciler) next(ctx context.Context) error {
	cursor, err := r.rows.Cursor(ctx)
	if err != nil {
		return err
	}
	r.timeline.Forget(cursor) // another worker may have closed more
	r.observer.Pending(cursor, r.timeline.Revision())
	if err := r.timeline.Wait(ctx, cursor+1); err != nil {
		return err
	}
	pass, err := r.Close(ctx, cursor)
	if err != nil {
		return err
	}
	r.observer.Passed(pass)
	return nil
}

// Close closes the facts after the cursor that the timeline knows.
func (r *Reconciler) Close(ctx context.Context, cursor uint64) (Pass, error) {
	p := Pass{After: cursor, Revision: r.timeline.Revision(), Began: r.clock.Now()}
	said := r.announced()
	if regions := r.timeline.Pending(p.Revision); len(regions) > 0 {
		if err := r.promised(ctx, p.Revision); err != nil {
			return p, fmt.Errorf("wait for all partitions to know revision %d: %w", p.Revision, err)
		}
		p.Waited = r.clock.Now().Sub(p.Began)
		pipeline.Failpoint("reconcile/after-promises")
		// Once more: those of the facts up to this revision are all there since
		// the beginning, and may have been joined with later ones.
		regions = r.timeline.Pending(p.Revision)
		p.Regions = len(regions)
		var err error
		if p.Corrected, err = r.correctAll(ctx, said, regions, p.Revision); err != nil {
			return p, err
		}
		p.Known = said.latest()
		// Rows that a crashed pass rewrote are among these, so what it did not
		// touch any more is touched now.
		if err := r.Touch(ctx, regions, cursor); err != nil {
			return p, err
		}
		pipeline.Failpoint("reconcile/after-touch")
	}
	p.Took = r.clock.Now().Sub(p.Began)
	pipeline.Failpoint("reconcile/before-close")
	if err := r.rows.Closed(ctx, p); err != nil {
		return p, err
	}
	r.timeline.Forget(p.Revision)
	if err := said.settle(ctx); err != nil {
		r.observer.Unsettled(err) // once facts are closed that far it is void
	}
	return p, nil
}

func (r *Reconciler) promised(ctx context.Context, revision uint64) error {
	if pipeline.Mutated("no-revision-guard") {
		return nil
	}
	for {
		least, err := r.promises.Least(ctx)
		if err != nil {
			return err
		}
		if least >= revision {
			return nil
		}
		if !r.clock.Sleep(ctx, r.config.Poll) {
			return ctx.Err()
		}
	}
}

// regionsAtOnce bounds the conditions of one statement.
const regionsAtOnce = 64

// Correct writes the rows of the regions anew that were enriched before a
// revision and say something else than the timeline does, and returns how many
// there were. It closes nothing.
func (r *Reconciler) Correct(ctx context.Context, regions []event.Region, below uint64) (rows uint64, err error) {
	said := r.announced()
	if rows, err = r.correctAll(ctx, said, regions, below); err != nil {
		return rows, err
	}
	return rows, said.settle(ctx)
}

func (r *Reconciler) correctAll(ctx context.Context, said *announced, regions []event.Region, below uint64) (rows uint64, err error) {
	stale, err := r.stale(ctx, regions, below)
	if err != nil {
		return 0, err
	}
	if len(regions) > regionsAtOnce {
		regions = nil // to compare a few rows more costs less than the conditions
	}
	// It is an estimate: without it statements are cut when they have taken too long.
	_ = r.rows.Among(ctx, regions, stale)
	var corrected atomic.Uint64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.config.AtOnce)
	for _, chunk := range chunks(stale, r.config.Rows) {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err() // another one has failed
			}
			n, err := r.correct(ctx, said, chunk, Correction{Regions: regions, Below: below})
			corrected.Add(n)
			return err
		})
	}
	err = group.Wait()
	return corrected.Load(), err
}

// Touch has the minutes sealed anew in which the regions hold rows of a revision
// after the given one.
func (r *Reconciler) Touch(ctx context.Context, regions []event.Region, after uint64) error {
	return InParts(ctx, r.rows, regions, func(some []event.Region) error { return r.rows.Touch(ctx, some, after) })
}

// Times are those of the first and the last observation there is.
type Times interface {
	Times(ctx context.Context) (first, last event.Millis, err error)
}

// InParts asks about some of the regions at once, and about less where that takes
// too long (pipeline.ErrTooLong): about halves of them, or of the time of a single
// one. What it asks about is all of the regions in the end, and nothing else.
func InParts(ctx context.Context, rows Times, regions []event.Region, ask func(some []event.Region) error) error {
	for some := range slices.Chunk(regions, regionsAtOnce) {
		err := ask(some)
		if errors.Is(err, pipeline.ErrTooLong) {
			err = inHalves(ctx, rows, some, ask, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inHalves fails with what was said of the whole where that can't be cut.
func inHalves(ctx context.Context, rows Times, regions []event.Region, ask func(some []event.Region) error, whole error) error {
	half := len(regions) / 2
	one, other := regions[:half], regions[half:]
	if half == 0 {
		first, last, err := rows.Times(ctx)
		if err != nil {
			return err
		}
		early, late, ok := halved(regions[0], first, last)
		if !ok {
			return whole
		}
		one, other = []event.Region{early}, []event.Region{late}
	}
	if err := InParts(ctx, rows, one, ask); err != nil {
		return err
	}
	return InParts(ctx, rows, other, ask)
}

// halved cuts a region in the middle of those of its times between which there are
// observations; not ok: that is an hour or less. If a statement takes too long even
// so, the server is at fault.
func halved(r event.Region, first, last event.Millis) (early, late event.Region, ok bool) {
	const least = event.Millis(time.Hour / time.Millisecond)
	from, to := max(r.From, first), min(r.To, last+1)
	early, late = r, r
	early.To = from + (to-from)/2
	late.From = early.To
	return early, late, to-from > least
}

// stale asks for the stale observations of the regions, and makes one of what
// several questions found of a service on one day.
func (r *Reconciler) stale(ctx context.Context, regions []event.Region, below uint64) ([]event.Stale, error) {
	type key struct {
		day                  event.Millis
		service, environment string
	}
	const day = event.Millis(24 * time.Hour / time.Millisecond)
	found := map[key]event.Stale{}
	err := InParts(ctx, r.rows, regions, func(some []event.Region) error {
		stale, err := r.rows.Stale(ctx, some, below)
		for _, s := range stale {
			k := key{s.First / day, s.Service, s.Environment}
			if known, ok := found[k]; ok {
				s.First, s.Last, s.Rows = min(s.First, known.First), max(s.Last, known.Last), s.Rows+known.Rows
				s.Versions, s.Instances = union(s.Versions, known.Versions), union(s.Instances, known.Instances)
			}
			found[k] = s
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(found), func(a, b event.Stale) int {
		return cmp.Or(cmp.Compare(a.First/day, b.First/day), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Environment, b.Environment))
	}), nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// correct works one chunk off, in halves where it needs too many contexts or
// takes too long.
func (r *Reconciler) correct(ctx context.Context, said *announced, stale []event.Stale, c Correction) (uint64, error) {
	ok, err := r.informed(ctx, said, stale, &c)
	if err != nil {
		return 0, err
	}
	if ok {
		n, err := r.rows.Correct(ctx, c)
		if !errors.Is(err, pipeline.ErrTooLong) {
			return n, err
		}
		c.tried = c.Revision
		said.cutShort()
	}
	one, other := halves(stale)
	if len(other) == 0 {
		return 0, errIndivisible
	}
	n, err := r.correct(ctx, said, one, c)
	if err != nil {
		return n, err
	}
	m, err := r.correct(ctx, said, other, c)
	return n + m, err
}

// informed completes a correction with what holds, as of a revision that is
// announced and that no rival is ahead of; not ok: that is too much.
func (r *Reconciler) informed(ctx context.Context, said *announced, stale []event.Stale, c *Correction) (ok bool, err error) {
	c.Stale = stale
	for {
		if c.Contexts, c.Servings, c.Revision, ok, err = r.timeline.Contexts(ctx, stale, r.config.Contexts); err != nil || !ok {
			return false, err
		}
		rivals, err := said.at(ctx, c.Revision)
		if err != nil {
			return false, err
		}
		pipeline.Failpoint("reconcile/after-announcement")
		if rivals.Latest <= c.Revision {
			c.Doubt = max(c.Doubt, rivals.Doubt)
			if c.tried < c.Revision {
				c.Doubt = max(c.Doubt, c.tried)
			}
			return true, nil
		}
		if err := r.timeline.Wait(ctx, rivals.Latest); err != nil {
			return false, fmt.Errorf("wait for revision %d, which another pass knows: %w", rivals.Latest, err)
		}
	}
}

var errIndivisible = &pipeline.Error{
	Hint: "the server is too slow, or the service has more flags, rollouts or findings at once than anybody can use",
	Err:  errors.New("the observations of one millisecond and version take longer to correct than a statement may, or more memory"),
}

// effort is of how many rows a statement would be that took as long: to find that a
// row is right costs about a quarter of what it costs to write it.
func effort(s *event.Stale) uint64 { return max(s.Rows, s.Among/4) }

// chunks cuts stale observations into statements of about that effort.
func chunks(stale []event.Stale, rows uint64) (all [][]event.Stale) {
	var chunk []event.Stale
	var held uint64
	flush := func() {
		if len(chunk) > 0 {
			all = append(all, chunk)
		}
		chunk, held = nil, 0
	}
	for _, s := range stale {
		if effort(&s) > rows {
			flush()
			for _, part := range cut(s, effort(&s)/rows+1) {
				all = append(all, []event.Stale{part})
			}
			continue
		}
		if held+effort(&s) > rows {
			flush()
		}
		chunk = append(chunk, s)
		held += effort(&s)
	}
	flush()
	return all
}

// cut makes n of s, of equal times.
func cut(s event.Stale, n uint64) []event.Stale {
	step := (s.Last-s.First)/event.Millis(n) + 1
	var all []event.Stale
	for from := s.First; from <= s.Last; from += step {
		part := s
		part.First, part.Last, part.Rows, part.Among = from, min(from+step-1, s.Last), s.Rows/n, s.Among/n
		all = append(all, part)
	}
	return all
}

// halves cuts in two by services, or a single one by what it states, where that
// is much, or by time. Rows that state none of the words of a half are in both,
// and the second time there is nothing to correct.
func halves(stale []event.Stale) (one, other []event.Stale) {
	if n := len(stale); n > 1 {
		return stale[:n/2], stale[n/2:]
	}
	a, b := stale[0], stale[0]
	const many = 1000
	parts := cut(a, 2)
	switch v, i := len(a.Versions), len(a.Instances); {
	case i > many || len(parts) < 2 && i > 1:
		a.Instances, b.Instances = a.Instances[:i/2], a.Instances[i/2:]
	case v > many || len(parts) < 2 && v > 1:
		a.Versions, b.Versions = a.Versions[:v/2], a.Versions[v/2:]
	case len(parts) < 2:
		return parts, nil
	default:
		return parts[:1], parts[1:]
	}
	return []event.Stale{a}, []event.Stale{b}
}

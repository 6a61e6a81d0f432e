package seal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Store is where minutes are touched and sealed. A minute without a service is
// an hour.
type Store interface {
	// OpenHours lists the hours without a valid seal, OpenMinutes at most limit
	// minutes without one, the earliest first, each with the sums of touches.
	OpenHours(ctx context.Context) ([]tables.Minute, error)
	OpenMinutes(ctx context.Context, limit int) ([]tables.Minute, error)
	// Seal computes minutes, SealHours says that all minutes of the hours are
	// sealed; both are valid while the sums of touches are those given. An error of
	// Seal that is pipeline.ErrTooLong asks for fewer minutes.
	Seal(ctx context.Context, minutes []tables.Minute) error
	SealHours(ctx context.Context, hours []tables.Minute) error
}

// Observer hears what a sealer does.
type Observer interface {
	// MinutesOpen is how many minutes had no valid seal at the last look.
	MinutesOpen(minutes int)
	// MinutesSealed counts minutes that were sealed by one statement.
	MinutesSealed(minutes int, took time.Duration)
	// SealFailed counts what will be tried again.
	SealFailed(err error)
}

// Sealer seals minutes. It is for one goroutine.
type Sealer struct {
	after    time.Duration
	store    Store
	observer Observer
	now      func() time.Time
	seen     map[place]sight
	looks    int
	resting  bool // no minute was open at the last look
	// chunkRows is how many rows one statement may have at the moment.
	chunkRows uint64
}

// place is a minute of a service in an environment.
type place struct {
	service, environment string
	start                event.Millis
}

// sight is what was seen of a place, and since when it has not changed.
type sight struct {
	touch, rows uint64
	since       time.Time
}

// New makes a sealer. Only differences of now count.
func New(config Config, store Store, observer Observer, now func() time.Time) *Sealer {
	return &Sealer{after: config.orDefault(), store: store, observer: observer, now: now, chunkRows: maxChunkRows}
}

// Run looks at each tick, until ctx is done. It returns an error only if an
// operator has to act; everything else is tried again at the next tick.
func (s *Sealer) Run(ctx context.Context, ticks <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
		err := s.Look(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case pipeline.ClassOf(err) == pipeline.Fatal:
			return err
		default:
			s.observer.SealFailed(err)
		}
	}
}

// atOnce bounds the minutes that are listed in one look.
const atOnce = 100_000

// hoursEvery is how many looks pass between two at the hours, while minutes are
// open: hours end more rarely.
const hoursEvery = 6

// Look seals what has rested since an earlier look.
func (s *Sealer) Look(ctx context.Context) error {
	var hours []tables.Minute
	var err error
	if s.resting || s.looks%hoursEvery == 0 {
		// Before the minutes: see closable.
		if hours, err = s.store.OpenHours(ctx); err != nil {
			return err
		}
		if len(hours) == 0 {
			s.saw(nil)
			return nil
		}
	}
	open, err := s.store.OpenMinutes(ctx, atOnce)
	if err != nil {
		return err
	}
	pipeline.Failpoint("seal/after-read")
	s.looks++
	return errors.Join(s.seal(ctx, s.rested(open)), s.sealHours(ctx, closable(hours, open)))
}

// saw notes that these minutes are open.
func (s *Sealer) saw(open []tables.Minute) {
	s.resting = len(open) == 0
	s.observer.MinutesOpen(len(open))
}

// closable are the hours that none of the open minutes is in. The hours' sums
// were read first: if they are the same later, the minutes that were found
// sealed after them still are. Of a list that was cut off at its limit the last
// hour may have more.
func closable(hours, open []tables.Minute) []tables.Minute {
	cut := event.MaxTime
	if len(open) == atOnce {
		cut = tables.HourOf(open[len(open)-1].Start)
	}
	inUse := map[event.Millis]bool{}
	for _, m := range open {
		inUse[tables.HourOf(m.Start)] = true
	}
	return slices.DeleteFunc(hours, func(h tables.Minute) bool { return inUse[h.Start] || h.Start >= cut })
}

// rested are those of open that have not changed since an earlier look, for as
// long as is configured. With more behind them, minutes wait for one look only:
// the earliest of so many were written long ago, by a correction or a replay.
// What is not open is forgotten.
func (s *Sealer) rested(open []tables.Minute) []tables.Minute {
	s.saw(open)
	now, after := s.now(), s.after
	if len(open) == atOnce {
		after = 0
	}
	seen := make(map[place]sight, len(open))
	var rested []tables.Minute
	for _, m := range open {
		at := place{m.Service, m.Environment, m.Start}
		before, known := s.seen[at]
		if !known || before.touch != m.Touch || before.rows != m.Rows {
			seen[at] = sight{m.Touch, m.Rows, now}
			continue
		}
		seen[at] = before
		if now.Sub(before.since) >= after {
			rested = append(rested, m)
		}
	}
	s.seen = seen
	return rested
}

// seal seals minutes. What fails does not keep the rest waiting: it may be a
// minute that is too large. A statement that takes too long is halved, and so are
// those after it: on a busy server the same one would take too long each time. They
// grow again with each that succeeds. Where not even single small minutes get done, it
// is the server, and the rest is for a later look.
func (s *Sealer) seal(ctx context.Context, minutes []tables.Minute) error {
	var errs []error
	for single := 0; len(minutes) > 0 && single < hopeless; {
		n, rows := chunk(minutes, s.chunkRows)
		begun := s.now()
		err := s.store.Seal(ctx, minutes[:n])
		tooLong := errors.Is(err, pipeline.ErrTooLong) && ctx.Err() == nil
		switch {
		case err == nil:
			pipeline.Failpoint("seal/after-seal")
			s.observer.MinutesSealed(n, s.now().Sub(begun))
			s.chunkRows = min(s.chunkRows+s.chunkRows/8+1, maxChunkRows)
			single = 0
		case pipeline.ClassOf(err) == pipeline.Fatal:
			return err
		case tooLong && n > 1 && rows > 0:
			s.observer.SealFailed(err)
			s.chunkRows = rows / 2
			continue
		default:
			if errs = append(errs, err); tooLong && rows <= fewRows {
				single++
			}
		}
		minutes = minutes[n:]
	}
	return errors.Join(errs...)
}

// hopeless is how many minutes in a row may take too long one by one, though they
// have few rows: those with many may be too large themselves, and stay open.
const (
	hopeless = 3
	fewRows  = 10_000
)

func (s *Sealer) sealHours(ctx context.Context, hours []tables.Minute) error {
	if len(hours) == 0 {
		return nil
	}
	return s.store.SealHours(ctx, hours)
}

// What one statement seals: few minutes, so that its text is short, and few
// rows, so that the sets of users in them take some 100 MB. One minute with
// more rows is sealed alone.
const (
	maxChunkMinutes = 5000
	maxChunkRows    = 2_000_000
)

// chunk is how many of the minutes, the first at least, one statement seals of at
// most so many rows, and how many these have.
func chunk(minutes []tables.Minute, most uint64) (n int, rows uint64) {
	for _, m := range minutes {
		if n > 0 && (n == maxChunkMinutes || rows+m.Rows > most) {
			break
		}
		n, rows = n+1, rows+m.Rows
	}
	return n, rows
}

package seal_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/seal"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type place struct {
	service string
	start   event.Millis
}

type sealed struct {
	touch, rows uint64
	content     int
}

// store is a model of the tables: how many rows a minute has, the sums of what
// touched it, and its newest seal. between, where it is set, is called in the
// middle of everything, for others to get in.
type store struct {
	stored  map[place]int
	touched map[place]tables.Minute // of hours too: their service is empty
	said    map[place]int           // rows that were there when it was touched last
	seals   map[place]sealed
	between func()

	chunks [][]tables.Minute
	fail   error
	most   uint64 // rows that one statement gets done in its time, 0: any

	tooLong int // statements with more
	asked   int // for the hours
}

func newStore() *store {
	return &store{
		stored: map[place]int{}, touched: map[place]tables.Minute{}, said: map[place]int{}, seals: map[place]sealed{},
		between: func() {},
	}
}

// touch touches a minute and its hour, n makes it differ.
func (s *store) touch(p place, n uint64) {
	for _, at := range []place{p, {"", tables.HourOf(p.start)}} {
		sum := s.touched[at]
		s.touched[at] = tables.Minute{Service: at.service, Start: at.start, Touch: sum.Touch + n*0x9e3779b97f4a7c15, Rows: sum.Rows + 1}
	}
	s.said[p] = s.stored[p]
}

func (s *store) valid(p place) bool {
	seal, sums := s.seals[p], s.touched[p]
	return seal.touch == sums.Touch && seal.rows == sums.Rows
}

// shown is what a query would find in the minute.
func (s *store) shown(p place) int {
	if s.valid(place{"", tables.HourOf(p.start)}) || s.valid(p) {
		return s.seals[p].content
	}
	return s.stored[p]
}

func (s *store) open(hours bool) []tables.Minute {
	var open []tables.Minute
	for p, sums := range s.touched {
		if (p.service == "") == hours && !s.valid(p) && (hours || !s.valid(place{"", tables.HourOf(p.start)})) {
			open = append(open, sums)
		}
	}
	slices.SortFunc(open, func(a, b tables.Minute) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(a.Service, b.Service))
	})
	return open
}

func (s *store) OpenHours(context.Context) ([]tables.Minute, error) {
	s.asked++
	defer s.between()
	return s.open(true), nil
}

func (s *store) OpenMinutes(_ context.Context, limit int) ([]tables.Minute, error) {
	defer s.between()
	open := s.open(false)
	return open[:min(len(open), limit)], nil
}

// keep has the seal with the most rows stay.
func (s *store) keep(p place, seal sealed) {
	if before, known := s.seals[p]; !known || seal.rows >= before.rows {
		s.seals[p] = seal
	}
}

func (s *store) Seal(_ context.Context, minutes []tables.Minute) error {
	if s.fail != nil {
		return s.fail
	}
	if s.most > 0 && rowsOf(minutes) > s.most {
		s.tooLong++
		return fmt.Errorf("seal: %w", pipeline.ErrTooLong)
	}
	s.chunks = append(s.chunks, minutes)
	computed := make([]int, len(minutes))
	for i, m := range minutes {
		computed[i] = s.stored[place{m.Service, m.Start}]
	}
	s.between()
	for i, m := range minutes {
		s.keep(place{m.Service, m.Start}, sealed{m.Touch, m.Rows, computed[i]})
	}
	s.between()
	return nil
}

func rowsOf(minutes []tables.Minute) (rows uint64) {
	for _, m := range minutes {
		rows += m.Rows
	}
	return rows
}

func (s *store) SealHours(_ context.Context, hours []tables.Minute) error {
	s.between()
	for _, h := range hours {
		s.keep(place{"", h.Start}, sealed{touch: h.Touch, rows: h.Rows})
	}
	return nil
}

type observer struct {
	open, sealed int
	failures     []error
}

func (o *observer) MinutesOpen(n int)                    { o.open = n }
func (o *observer) MinutesSealed(n int, _ time.Duration) { o.sealed += n }
func (o *observer) SealFailed(err error)                 { o.failures = append(o.failures, err) }
func (s *store) look(t *testing.T, sealer *seal.Sealer) {
	t.Helper()
	must(t, sealer.Look(t.Context()))
}
func (s *store) write(service string, start event.Millis) { s.writeMany(service, start, 1) }
func (s *store) writeMany(service string, start event.Millis, rows int) {
	p := place{service, start}
	s.stored[p] += rows
	s.touch(p, uint64(rows))
}

// fill writes many rows to a minute, which were touched each by itself.
func (s *store) fill(p place, rows int) {
	s.stored[p] = rows
	s.touch(p, 1)
	m := s.touched[p]
	m.Rows = uint64(rows)
	s.touched[p] = m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func started() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

var first = event.MinTime

func TestAMinuteIsSealedOnceNothingWasWrittenToItForAWhile(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Minute}, s, o, c.Now)
	s.write("shop", first)
	s.look(t, sealer)
	c.pass(50 * time.Second)
	s.look(t, sealer)
	if o.sealed != 0 || o.open != 1 {
		t.Fatalf("after 50 s: %d sealed, %d open", o.sealed, o.open)
	}
	s.write("shop", first)
	c.pass(20 * time.Second)
	s.look(t, sealer) // sees that it was written to
	c.pass(50 * time.Second)
	s.look(t, sealer)
	if o.sealed != 0 {
		t.Fatal("sealed 70 s after the first row and 50 s after a look at the second")
	}
	c.pass(10 * time.Second)
	s.look(t, sealer)
	if o.sealed != 1 || !s.valid(place{"shop", first}) || s.shown(place{"shop", first}) != 2 {
		t.Fatalf("%d sealed, %d rows shown", o.sealed, s.shown(place{"shop", first}))
	}
}

func TestAStragglerOpensTheMinuteAndItIsSealedAgain(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	rest := func() {
		for range 4 {
			s.look(t, sealer)
			c.pass(time.Second)
		}
	}
	s.write("shop", first)
	s.write("shop", first+60_000)
	rest()
	if len(s.open(true))+len(s.open(false)) != 0 {
		t.Fatalf("open: %v %v", s.open(true), s.open(false))
	}
	s.write("shop", first)
	if len(s.open(false)) != 1 || s.shown(place{"shop", first}) != 2 {
		t.Fatalf("open: %v, shown %d", s.open(false), s.shown(place{"shop", first}))
	}
	rest()
	if o.sealed != 3 || len(s.open(true)) != 0 {
		t.Fatalf("%d sealed, open hours %v", o.sealed, s.open(true))
	}
}

func TestAnHourIsSealedWhenNoneOfItsMinutesIsOpen(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Minute}, s, o, c.Now)
	s.write("shop", first)
	s.look(t, sealer)
	c.pass(time.Minute)
	s.write("cart", first+120_000)
	s.look(t, sealer) // seals the first minute
	c.pass(30 * time.Second)
	s.look(t, sealer)
	if s.valid(place{"", first}) {
		t.Fatal("the hour is sealed, a minute of it is open")
	}
	for range 3 {
		c.pass(time.Minute)
		s.look(t, sealer)
	}
	if !s.valid(place{"", first}) {
		t.Fatal("the hour is not sealed")
	}
}

func TestOneStatementSealsNeitherTooManyMinutesNorTooManyRows(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	for i := range 12_000 {
		s.write(fmt.Sprintf("service-%05d", i), first)
	}
	for i := range 3 {
		s.fill(place{"hot", first + event.Millis(i+1)*60_000}, 1_500_000)
	}
	s.look(t, sealer)
	c.pass(time.Second)
	s.look(t, sealer)
	var sizes []int
	for _, chunk := range s.chunks {
		sizes = append(sizes, len(chunk))
	}
	if want := []int{5000, 5000, 2001, 1, 1}; !slices.Equal(sizes, want) || o.sealed != 12_003 {
		t.Fatalf("chunks of %v, want %v", sizes, want)
	}
}

func TestWhatTakesTooLongIsSealedInSmallerParts(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	write := func() {
		for i := range 100 {
			p := place{"shop", first + event.Millis(i)*60_000}
			s.fill(p, s.stored[p]+10_000)
		}
		s.look(t, sealer)
		c.pass(time.Second)
		s.look(t, sealer)
	}
	s.most = 300_000
	write()
	if o.sealed != 100 || len(o.failures) != 3 {
		t.Fatalf("of 100 minutes %d are sealed, after %d statements in vain", o.sealed, len(o.failures))
	}
	s.most = 0
	for range 40 {
		write()
	}
	largest := uint64(0)
	for _, chunk := range s.chunks {
		largest = max(largest, rowsOf(chunk))
	}
	if largest < 1_500_000 || len(o.failures) != 3 {
		t.Errorf("once there is time for all, a statement has %d rows at most", largest)
	}
}

func TestMinutesThatTakeTooLongByThemselvesKeepNobodyWaiting(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	for i := range 10 {
		s.fill(place{"shop", first + event.Millis(i)*60_000}, 10_000)
	}
	for i := range 5 {
		s.fill(place{"hot", first - event.Millis(i)*60_000}, 1_000_000)
	}
	s.most = 300_000
	s.look(t, sealer)
	c.pass(time.Second)
	if err := sealer.Look(t.Context()); !errors.Is(err, pipeline.ErrTooLong) || o.sealed != 10 {
		t.Errorf("%d of 10 minutes are sealed, and the error is %v", o.sealed, err)
	}
}

func TestALookEndsWhereNotEvenSingleMinutesGetDone(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	for i := range 1000 {
		s.fill(place{"shop", first + event.Millis(i)*60_000}, 1000)
	}
	s.most = 1
	s.look(t, sealer)
	c.pass(time.Second)
	if err := sealer.Look(t.Context()); !errors.Is(err, pipeline.ErrTooLong) || s.tooLong > 13 {
		t.Errorf("%d statements in vain, and the error is %v", s.tooLong, err)
	}
	s.most = 0
	s.look(t, sealer)
	if o.sealed != 1000 {
		t.Errorf("once there is time, %d of 1,000 minutes are sealed", o.sealed)
	}
}

func TestOfAListThatWasCutOffTheLastHourIsNotSealed(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Hour}, s, o, c.Now)
	for i := range 100_000 {
		s.write(fmt.Sprint(i), first)
	}
	s.write("late", first+3_600_000)
	s.look(t, sealer)
	c.pass(time.Second)
	s.look(t, sealer)
	if o.sealed != 100_000 {
		t.Fatalf("%d sealed: with more behind them, minutes wait for one look only", o.sealed)
	}
	if s.valid(place{"", first + 3_600_000}) {
		t.Fatal("an hour is sealed whose minutes were not listed")
	}
}

func TestWhatCantBeSealedKeepsNobodyWaiting(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	s.write("shop", first)
	s.fail = errors.New("away")
	ticks := make(chan time.Time)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- sealer.Run(ctx, ticks) }()
	for range 6 { // the clock may pass while a look is under way
		c.pass(time.Second)
		ticks <- c.Now()
	}
	stop()
	must(t, <-done)
	if len(o.failures) < 2 || o.sealed != 0 {
		t.Fatalf("failures %v, %d sealed", o.failures, o.sealed)
	}
	s.fail = nil
	s.look(t, sealer)
	if o.sealed != 1 {
		t.Fatal("not tried again")
	}
}

func TestRunEndsWhenAnOperatorHasToAct(t *testing.T) {
	s, o, c := newStore(), &observer{}, started()
	sealer := seal.New(seal.Config{After: time.Second}, s, o, c.Now)
	s.write("shop", first)
	s.look(t, sealer)
	c.pass(time.Second)
	s.fail = pipeline.Fatalf("migrate", "no such column")
	ticks := make(chan time.Time, 1)
	ticks <- c.Now()
	if err := sealer.Run(t.Context(), ticks); pipeline.ClassOf(err) != pipeline.Fatal {
		t.Fatalf("got %v", err)
	}
}

func TestAnIdleSealerAsksOneQuestionAndWritesNothing(t *testing.T) {
	s, c := newStore(), started()
	asked := 0
	s.between = func() { asked++ }
	sealer := seal.New(seal.Config{}, s, &observer{}, c.Now)
	s.look(t, sealer)
	if asked != 1 {
		t.Fatalf("%d questions", asked)
	}
}

// A question costs the server more than it takes to answer it.
func TestWhileMinutesAreOpenTheHoursAreAskedForMoreRarely(t *testing.T) {
	s, c := newStore(), started()
	sealer := seal.New(seal.Config{}, s, &observer{}, c.Now)
	s.write("shop", first)
	for range 12 {
		s.look(t, sealer)
	}
	if s.asked != 2 {
		t.Errorf("asked for the hours %d times in 12 looks, want 2", s.asked)
	}
}

func TestTheConfigurationSaysWhichKeyIsWrong(t *testing.T) {
	if err := (seal.Config{After: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "seal.after") {
		t.Fatalf("got %v", err)
	}
	must(t, seal.Config{}.Validate())
}

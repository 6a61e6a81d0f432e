package notify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const noon = event.Millis(1_773_316_800_000) // 2026-03-12 12:00 UTC

// tables are what is stored. Of a message about an effect the greatest version
// stays, as ReplacingMergeTree has it.
type tables struct {
	mu       sync.Mutex
	rankings map[string]notify.Ranking
	notices  map[[4]string]notify.Notice
	fail     error
	after    func() // an insert
}

func newTables() *tables {
	return &tables{rankings: map[string]notify.Ranking{}, notices: map[[4]string]notify.Notice{}, after: func() {}}
}

func (s *tables) Rankings(_ context.Context, since time.Time) ([]notify.Ranking, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []notify.Ranking
	for _, r := range s.rankings {
		if r.ComputedAt >= event.MillisOf(since) {
			all = append(all, r)
		}
	}
	return all, s.fail
}

func (s *tables) Notices(context.Context, time.Time) ([]notify.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told(), s.fail
}

// now changes what is stored.
func (s *tables) now(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *tables) told() []notify.Notice {
	var all []notify.Notice
	for _, n := range s.notices {
		all = append(all, n)
	}
	return all
}

func (s *tables) Tell(_ context.Context, notices []notify.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, n := range notices {
		key := [4]string{n.Target, n.Kind, n.ID, n.Key}
		if before, known := s.notices[key]; !known || n.Version >= before.Version {
			s.notices[key] = n
		}
	}
	s.after()
	return nil
}

// room is a target: what it was told, in order.
type room struct {
	threads  bool
	messages []notify.Message
	fail     func(m *notify.Message) error // before a message is taken
	lose     func(m *notify.Message) error // after it was taken: the answer is lost
}

func (r *room) Threads() bool { return r.threads }

func (r *room) Send(_ context.Context, m *notify.Message) (string, error) {
	if r.fail != nil {
		if err := r.fail(m); err != nil {
			return "", err
		}
	}
	r.messages = append(r.messages, *m)
	if r.lose != nil {
		if err := r.lose(m); err != nil {
			return "", err
		}
	}
	if !r.threads {
		return "", nil
	}
	return fmt.Sprintf("place-%d", len(r.messages)), nil
}

// said are the messages' actions and threads.
func (r *room) said() []string {
	var all []string
	for _, m := range r.messages {
		all = append(all, m.Action+" "+m.Thread)
	}
	return all
}

// chat is a room that can be asked what it has.
type chat struct{ room }

func (c *chat) Find(_ context.Context, m *notify.Message, _ time.Time) (string, bool, error) {
	for i := range c.messages {
		if c.messages[i].Key == m.Key {
			return fmt.Sprintf("place-%d", i+1), true, nil
		}
	}
	return "", false, nil
}

type observer struct{ sent, failed, dropped atomic.Int64 }

func (o *observer) Sent(string, string)   { o.sent.Add(1) }
func (o *observer) Failed(string, error)  { o.failed.Add(1) }
func (o *observer) Dropped(string, error) { o.dropped.Add(1) }

// stage is a target with a time of its own.
type stage struct {
	t      *testing.T
	tables *tables
	*notify.Teller
	target   notify.Target
	config   notify.Config
	observer observer
	now      event.Millis
}

func on(t *testing.T, outlet notify.Outlet) *stage {
	s := &stage{t: t, tables: newTables(), target: notify.Target{Name: "ops", Outlet: outlet}, now: noon}
	s.start()
	return s
}

// start begins anew with what is stored.
func (s *stage) start() {
	s.Teller = notify.NewTeller(s.config, s.target, s.tables, &s.observer, s.now, s.tables.told())
}

// ranked hands a ranking over and does what is due.
func (s *stage) ranked(all ...notify.Ranking) {
	for _, r := range all {
		s.tables.rankings[r.Kind+r.ID] = r
	}
	s.Hand(all...)
	s.work()
}

// work does what is due now.
func (s *stage) work() (next event.Millis) {
	for range 1000 {
		if next = s.Step(s.t.Context(), s.now); next > s.now {
			return next
		}
	}
	s.t.Fatal("it is never done")
	return 0
}

// pass lets time go by, and does what becomes due in it.
func (s *stage) pass(d time.Duration) {
	end := s.now + event.Millis(d.Milliseconds())
	for {
		next := s.work()
		if next > end {
			break
		}
		s.now = next
	}
	s.now = end
	s.work()
}

func expect(t *testing.T, have, want []string) {
	t.Helper()
	if !slices.Equal(have, want) {
		t.Fatalf("said %q, want %q", have, want)
	}
}

// ranking is one of an incident that was detected at noon.
func ranking(id string, number uint64, computed time.Duration, leader string, probability float64) notify.Ranking {
	r := notify.Ranking{
		Kind: "incident", ID: id, Service: "payments", Environment: "production", Title: "Cards are declined", Severity: "critical",
		Onset: noon - 180_000, Detected: noon, ComputedAt: noon + event.Millis(computed.Milliseconds()), Number: number,
	}
	first := notify.Link{Kind: "deployment", ID: leader, Service: "payments", Rank: 1, Probability: probability, Words: []string{"new instances fail"}}
	if leader == "none" {
		first = notify.Link{Kind: "none", Rank: 1, Probability: probability}
	}
	r.Links = []notify.Link{first, {Kind: "flag", ID: "short-form", Service: "checkout", Rank: 2, Probability: 1 - probability}}
	return r
}

// alert makes an alert of it that belongs to an incident.
func alert(r notify.Ranking, id, incident string) notify.Ranking {
	r.Kind, r.ID, r.Incident = "alert", id, incident
	return r
}

var errAway = errors.New("away")

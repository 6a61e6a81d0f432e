package post_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

// tables hold one ranking, and what was told.
type tables struct {
	mu      sync.Mutex
	ranking notify.Ranking
	notices map[[2]string]notify.Notice
}

func (s *tables) Rankings(context.Context, time.Time) ([]notify.Ranking, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []notify.Ranking{s.ranking}, nil
}

func (s *tables) rank(r notify.Ranking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranking = r
}

func (s *tables) Notices(context.Context, time.Time) ([]notify.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []notify.Notice
	for _, n := range s.notices {
		all = append(all, n)
	}
	return all, nil
}

func (s *tables) Tell(_ context.Context, notices []notify.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range notices {
		key := [2]string{n.ID, n.Key}
		if n.Version >= s.notices[key].Version {
			s.notices[key] = n
		}
	}
	return nil
}

// hasty is a clock on which a minute takes 60 ms.
type hasty struct{ begun time.Time }

const haste = 1000

func (c hasty) Now() time.Time {
	return time.UnixMilli(noon).Add(haste * time.Since(c.begun))
}

func (c hasty) After(d time.Duration) <-chan time.Time { return time.After(d / haste) }

type watcher chan string

func (w watcher) Sent(_, action string)       { w <- action }
func (w watcher) Failed(_ string, err error)  { w <- "failed: " + err.Error() }
func (w watcher) Dropped(_ string, err error) { w <- "dropped: " + err.Error() }
func (w watcher) until(t *testing.T, what string) {
	t.Helper()
	for {
		select {
		case said := <-w:
			if strings.HasPrefix(said, what) {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("after a minute nothing is %s", what)
		}
	}
}

// A worker sends the first message of an incident, and dies before it hears that
// Slack has taken it. The next one finds the message there and goes on in its
// thread, though Slack wants to be left alone first.
func TestAWorkerThatTakesOverGoesOnInTheThread(t *testing.T) {
	s := &slack{cut: true}
	stored := &tables{notices: map[[2]string]notify.Notice{}, ranking: *opened().Ranking}
	clock, watch := hasty{time.Now()}, make(watcher, 100)
	work := func() (stop func(), n *notify.Notifier) {
		n = notify.New(notify.Config{}, []notify.Target{{Name: "ops", Outlet: s.chat(t)}}, stored, watch, clock)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		return func() { cancel(); <-done }, n
	}
	stop, _ := work()
	watch.until(t, "failed")
	stop()

	s.mu.Lock()
	s.limited = 2
	s.mu.Unlock()
	next := *opened().Ranking
	next.Number, next.ComputedAt = 4, event.MillisOf(clock.Now())
	next.Links = slices.Clone(next.Links)
	next.Links[0].ID = "v3"
	stored.rank(next)
	stop, n := work()
	n.Nudge()
	watch.until(t, "failed: HTTP status 429")
	watch.until(t, notify.Updated)
	stop()
	if len(s.messages) != 2 || s.messages[1].ThreadTS != s.messages[0].TS || !strings.HasPrefix(s.messages[1].Text, "*Update: deployment v3") {
		t.Errorf("slack has %+v", s.messages)
	}
}

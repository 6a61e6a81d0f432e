package notify

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// Store is where rankings are, and what was told of them. Its methods are called
// from several goroutines.
type Store interface {
	// Rankings are the current rankings of the effects that were ranked since, and
	// have hypotheses.
	Rankings(ctx context.Context, since time.Time) ([]Ranking, error)
	// Notices are what the targets were told since: of each message the last one.
	Notices(ctx context.Context, since time.Time) ([]Notice, error)
	// Tell stores notices. Of one target, effect and key the greatest version
	// stays.
	Tell(ctx context.Context, notices []Notice) error
}

// Observer hears what a notifier does, from several goroutines.
type Observer interface {
	// Sent counts a message.
	Sent(target, action string)
	// Failed counts what is tried again.
	Failed(target string, err error)
	// Dropped counts a message that its target does not take.
	Dropped(target string, err error)
}

// Clock is the time. After is time.After.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Every is a good pause between two looks where nobody nudges.
const Every = 30 * time.Second

// Notifier tells targets of rankings.
type Notifier struct {
	config   Config
	store    Store
	observer Observer
	clock    Clock
	targets  []Target
	nudges   chan struct{}
}

// round is one run: who tells which target, and what was ranked before since is
// known to them.
type round struct {
	*Notifier
	tellings []*telling
	since    time.Time
}

// New makes a notifier.
func New(config Config, targets []Target, store Store, observer Observer, clock Clock) *Notifier {
	n := &Notifier{config: config, store: store, observer: observer, clock: clock, nudges: make(chan struct{}, 1)}
	if n.config.Settle == 0 {
		n.config.Settle = 10 * time.Second
	}
	if n.config.Fresh == 0 {
		n.config.Fresh = time.Hour
	}
	for _, t := range targets {
		if t.PerMinute == 0 {
			t.PerMinute = 20
		}
		if t.Storm == 0 {
			t.Storm = 5
		}
		n.targets = append(n.targets, t)
	}
	return n
}

// Nudge says that something was ranked. It never waits, and one that is lost costs
// some seconds: rankings are found where they are stored.
func (n *Notifier) Nudge() {
	select {
	case n.nudges <- struct{}{}:
	default:
	}
}

// Run tells until ctx is done. Without targets it does nothing. It may be called
// again: another worker may have told since.
func (n *Notifier) Run(ctx context.Context) {
	if len(n.targets) == 0 {
		return
	}
	r := &round{Notifier: n}
	if !r.recall(ctx) {
		return
	}
	var all sync.WaitGroup
	for _, t := range r.tellings {
		all.Go(func() { n.tell(ctx, t) })
	}
	for ctx.Err() == nil {
		pause := Every
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			n.observer.Failed("", err)
			pause = 5 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-n.nudges:
		case <-n.clock.After(pause):
		}
	}
	all.Wait()
}

// begin makes tellings that know what their targets were told.
func (n *Notifier) begin(notices []Notice, now time.Time) []*telling {
	all := make([]*telling, len(n.targets))
	for i := range n.targets {
		all[i] = newTelling(&n.config, &n.targets[i], n.store, n.observer)
		all[i].recall(slices.Clone(notices), event.MillisOf(now))
	}
	return all
}

// recall reads what was told, until it can be read.
func (n *round) recall(ctx context.Context) bool {
	for {
		now := n.clock.Now()
		notices, err := n.store.Notices(ctx, now.Add(-remembered))
		if err == nil {
			n.tellings = n.begin(notices, now)
			n.since = now.Add(-max(n.config.Fresh, time.Hour))
			return true
		}
		if ctx.Err() == nil {
			n.observer.Failed("", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-n.clock.After(5 * time.Second):
		}
	}
}

// overlap is how far back a look begins before the last one: a ranking is stored
// some time after the moment that it carries.
const overlap = 2 * time.Minute

// look hands on what was ranked.
func (n *round) look(ctx context.Context) error {
	began := n.clock.Now()
	rankings, err := n.store.Rankings(ctx, n.since)
	if err != nil {
		return err
	}
	if from := began.Add(-overlap); from.After(n.since) {
		n.since = from
	}
	for _, t := range n.tellings {
		t.hand(rankings)
	}
	return nil
}

// tell does one target's work.
func (n *Notifier) tell(ctx context.Context, t *telling) {
	for ctx.Err() == nil {
		now := event.MillisOf(n.clock.Now())
		next := t.step(ctx, now)
		if next <= now {
			continue
		}
		var due <-chan time.Time
		if next != never {
			due = n.clock.After(time.Duration(next-now) * time.Millisecond)
		}
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-due:
		}
	}
}

package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// telling tells one target. It is for one goroutine, but for hand.
type telling struct {
	*Target
	config   *Config
	store    Store
	observer Observer

	mu    sync.Mutex
	inbox map[effect]Ranking // what was read and not looked at yet: the latest of each
	wake  chan struct{}

	pending map[effect]Ranking
	threads map[string]*thread
	sent    []event.Millis // of the last minute
	opened  []event.Millis // of the last minute
	// held is when the first of the effects that wait for a summary had to wait;
	// 0: none does.
	held     event.Millis
	doubtful []Notice // nobody knows whether they were sent
	// again are, by thread, the messages that may have begun it at a target that
	// can't be asked: the last of each.
	again    map[string]Notice
	unsaved  []Notice // sent, and not stored yet
	version  uint64   // of the last notice
	failures int      // in a row
	retry    event.Millis
	said     bool         // something was told in this step, so more may be due
	pruned   event.Millis // when old threads were forgotten
}

const aMinute event.Millis = 60_000

func newTelling(c *Config, t *Target, store Store, observer Observer) *telling {
	return &telling{
		Target: t, config: c, store: store, observer: observer, inbox: map[effect]Ranking{}, wake: make(chan struct{}, 1),
		pending: map[effect]Ranking{}, threads: map[string]*thread{}, again: map[string]Notice{},
	}
}

// hand gives it what was ranked. It never waits.
func (t *telling) hand(rankings []Ranking) {
	t.mu.Lock()
	for _, r := range rankings {
		if r.Number >= t.inbox[r.effect()].Number {
			t.inbox[r.effect()] = r
		}
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// recall takes in what the target was told before.
func (t *telling) recall(notices []Notice, now event.Millis) {
	// Incidents first: what their alerts say does not change what was said of them.
	slices.SortStableFunc(notices, func(a, b Notice) int {
		return cmp.Or(cmp.Compare(b2i(b.Kind == incident), b2i(a.Kind == incident)), cmp.Compare(a.ToldAt, b.ToldAt))
	})
	for i := range notices {
		n := &notices[i]
		if n.Target != t.Name {
			continue
		}
		// The clock of who told it may have been ahead: nothing waits for it.
		n.ToldAt = min(n.ToldAt, now)
		t.version = max(t.version, n.Version)
		if n.Pending {
			if now-n.ToldAt > 3_600_000 {
				continue // whatever came of it, it is history
			}
			t.doubtful = append(t.doubtful, *n)
			continue
		}
		t.remember(n)
		t.count(n, now)
	}
}

// count takes a message in that may have been sent in this minute. Of a summary it
// counts each effect, which is on the safe side.
func (t *telling) count(n *Notice, now event.Millis) {
	if now-n.ToldAt >= aMinute || n.Key == noted(t.Name, n.Kind, n.ID) {
		return
	}
	t.sent = append(t.sent, n.ToldAt)
	slices.Sort(t.sent)
	if n.Opened {
		t.opened = append(t.opened, n.ToldAt)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *telling) remember(n *Notice) {
	th := t.threads[n.Thread]
	if th == nil {
		th = newThread()
		t.threads[n.Thread] = th
	}
	th.add(n)
}

// thread is what was said in a ranking's thread.
func (t *telling) thread(r *Ranking) *thread {
	if th := t.threads[r.thread()]; th != nil {
		return th
	}
	return newThread()
}

// never is when there is nothing to do before something is ranked.
const never = event.Forever

// step does what is due and returns when to come again.
func (t *telling) step(ctx context.Context, now event.Millis) event.Millis {
	t.take()
	if now < t.retry {
		return t.retry
	}
	t.forget(now)
	t.said = false
	next := t.tell(ctx, now)
	if t.said && next > now && now >= t.retry {
		return now
	}
	return next
}

// forget drops threads that nobody adds to any more.
func (t *telling) forget(now event.Millis) {
	if now-t.pruned < 3_600_000 {
		return
	}
	t.pruned = now
	for name, th := range t.threads {
		if now-th.last > millis(remembered) {
			delete(t.threads, name)
		}
	}
}

func (t *telling) tell(ctx context.Context, now event.Millis) event.Millis {
	if err := t.settleDoubts(ctx, now); err != nil {
		return t.failed(err, now)
	}
	due, next := t.due(now)
	for _, one := range due.followings {
		if until := t.full(now); until > 0 {
			return min(next, until)
		}
		if err := t.send(ctx, t.message(one, now), now); err != nil {
			return t.failed(err, now)
		}
	}
	again, err := t.open(ctx, due.openings, now)
	if err != nil {
		return t.failed(err, now)
	}
	return min(next, again)
}

// take moves what was handed over to where it is worked on.
func (t *telling) take() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e, r := range t.inbox {
		t.pending[e] = r
	}
	clear(t.inbox)
}

// saying is something to say about a ranking.
type saying struct {
	Ranking
	what decision
}

type dues struct{ openings, followings []saying }

// due sorts what is pending: what is to be said now, and when more may be. Of a
// thread only one message is due at a time, the incident's before its alerts'.
func (t *telling) due(now event.Millis) (dues, event.Millis) {
	var d dues
	next := never
	busy := map[string]bool{}
	for _, r := range t.inOrder() {
		if busy[r.thread()] {
			continue
		}
		what, until := decide(t.config, t.Target, t.thread(&r), &r, now)
		switch what {
		case ignore:
			delete(t.pending, r.effect())
		case note:
			n := t.notice(&r, now)
			t.remember(&n)
			t.unsaved = append(t.unsaved, n)
			delete(t.pending, r.effect())
			t.said = true
		case wait:
			next = min(next, until)
		case open:
			busy[r.thread()] = true
			d.openings = append(d.openings, saying{r, what})
		default:
			busy[r.thread()] = true
			d.followings = append(d.followings, saying{r, what})
		}
	}
	return d, next
}

func (t *telling) inOrder() []Ranking {
	all := make([]Ranking, 0, len(t.pending))
	for _, r := range t.pending {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Ranking) int {
		return cmp.Or(cmp.Compare(b2i(b.Kind == incident), b2i(a.Kind == incident)), cmp.Compare(a.Detected, b.Detected),
			strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	return all
}

// open tells effects first: one by one while they are few, the rest a minute
// later in one message, with what comes meanwhile.
func (t *telling) open(ctx context.Context, openings []saying, now event.Millis) (event.Millis, error) {
	openings, until, err := t.openAgain(ctx, openings, now)
	if err != nil || until > 0 {
		return until, err
	}
	if t.held == 0 {
		if openings, until, err = t.openSingly(ctx, openings, now); err != nil || until > 0 {
			return cmp.Or(until, never), err
		}
		if len(openings) == 0 {
			return never, nil
		}
		t.held = now
	}
	if until := t.held + aMinute; now < until {
		return until, nil
	}
	if until := t.full(now); until > 0 {
		return until, nil
	}
	if len(openings) < 2 {
		t.held = 0
		_, until, err := t.openSingly(ctx, openings, now)
		return cmp.Or(until, never), err
	}
	if err := t.send(ctx, t.summary(openings, t.summaryKey(openings), now), now); err != nil {
		return 0, err
	}
	t.held = 0
	return never, nil
}

// openAgain sends what may have been sent before, as it was and under the same key:
// what came in since has its own message, for a receiver drops the second under one
// key. It returns the rest; or until when the target takes no more messages.
func (t *telling) openAgain(ctx context.Context, openings []saying, now event.Millis) (rest []saying, until event.Millis, err error) {
	together, order := map[string][]saying{}, []string{}
	for _, one := range openings {
		key := t.again[one.thread()].Key
		if key == "" {
			rest = append(rest, one)
			continue
		}
		if together[key] == nil {
			order = append(order, key)
		}
		together[key] = append(together[key], one)
	}
	for _, key := range order {
		if until := t.full(now); until > 0 {
			return nil, until, nil
		}
		m := t.message(together[key][0], now)
		if m.Key != key {
			m = t.summary(together[key], key, now)
		}
		if err := t.send(ctx, m, now); err != nil {
			return nil, 0, err
		}
	}
	return rest, 0, nil
}

// openSingly opens as many threads as may be opened in this minute and returns the
// rest; or until when the target takes no more messages.
func (t *telling) openSingly(ctx context.Context, openings []saying, now event.Millis) (rest []saying, until event.Millis, err error) {
	for i, one := range openings {
		if t.opened = lastMinute(t.opened, now); len(t.opened) >= t.Storm {
			return openings[i:], 0, nil
		}
		if until := t.full(now); until > 0 {
			return openings[i:], until, nil
		}
		if err := t.send(ctx, t.message(one, now), now); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, nil
}

// full says until when the target takes no more messages; 0: it takes some.
func (t *telling) full(now event.Millis) event.Millis {
	if t.sent = lastMinute(t.sent, now); len(t.sent) < t.PerMinute {
		return 0
	}
	return t.sent[0] + aMinute
}

func lastMinute(times []event.Millis, now event.Millis) []event.Millis {
	return slices.DeleteFunc(times, func(at event.Millis) bool { return at <= now-aMinute })
}

// message is what there is to say about one effect.
func (t *telling) message(one saying, now event.Millis) *Message {
	th := t.thread(&one.Ranking)
	m := &Message{Target: t.Name, Thread: one.thread(), Place: th.place, At: now, Ranking: &one.Ranking}
	switch one.what {
	case open:
		// Without the number: the thread is begun once, whatever was ranked since.
		m.Action, m.Key = Opened, keyOf(t.Name, Opened, m.Thread)
	case join:
		m.Action, m.Key = Joined, keyOf(t.Name, Joined, m.Thread, one.Kind, one.ID)
	default:
		m.Action, m.Key = Updated, keyOf(t.Name, Updated, m.Thread, one.Kind, one.ID, fmt.Sprint(one.Number))
		m.Before = &Link{Kind: th.leaderKind, ID: th.leaderID, Probability: th.probability}
	}
	return m
}

// noted is the key of what is remembered as told without a message.
func noted(target, kind, id string) string { return keyOf(target, "noted", kind, id) }

func keyOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// summary tells effects in one message.
func (t *telling) summary(openings []saying, key string, now event.Millis) *Message {
	m := &Message{Action: Summary, Key: key, Target: t.Name, Thread: "summary/" + key, At: now}
	for _, one := range openings {
		m.Effects = append(m.Effects, one.Ranking)
	}
	return m
}

// summaryKey is made of the threads that a summary begins: a thread is begun once,
// whatever was ranked since, and whoever begins it.
func (t *telling) summaryKey(openings []saying) string {
	var threads []string
	for _, one := range openings {
		threads = append(threads, one.thread())
	}
	slices.Sort(threads)
	return keyOf(append([]string{t.Name, Summary}, threads...)...)
}

// send sends a message and notes that it was sent: before it is, as something
// that may have been, and afterwards.
func (t *telling) send(ctx context.Context, m *Message, now event.Millis) error {
	notices := t.notices(m, now)
	for i := range notices {
		notices[i].Pending = true
	}
	if err := t.save(ctx, notices); err != nil {
		return err
	}
	place, err := t.Outlet.Send(ctx, m)
	failure := failureOf(err)
	switch {
	case err == nil:
		t.observer.Sent(t.Name, m.Action)
	case failure.Message:
		t.observer.Dropped(t.Name, err) // and not tried again: it stays what it is
	default:
		if failure.Unsure {
			t.doubtful = append(t.doubtful, notices...)
		}
		return err
	}
	t.sentNow(m, notices, cmp.Or(m.Place, place), now)
	return nil
}

// sentNow takes in that a message was sent.
func (t *telling) sentNow(m *Message, notices []Notice, place string, now event.Millis) {
	t.failures, t.said = 0, true
	t.sent = append(t.sent, now)
	if m.Action == Opened || m.Action == Summary {
		t.opened = append(t.opened, now)
	}
	for _, n := range notices {
		n.Pending, n.Place, n.ToldAt, n.Version = false, place, now, n.Version+1
		t.remember(&n)
		t.unsaved = append(t.unsaved, n)
		delete(t.again, n.Thread)
		if r, waits := t.pending[n.effect()]; waits && r.Number <= n.Number {
			delete(t.pending, n.effect())
		}
	}
}

// notices are what to remember of a message: of each effect in it.
func (t *telling) notices(m *Message, now event.Millis) []Notice {
	rankings := m.Effects
	if m.Ranking != nil {
		rankings = []Ranking{*m.Ranking}
	}
	var all []Notice
	for i := range rankings {
		n := t.notice(&rankings[i], now)
		n.Key, n.Place, n.Opened, n.Summed = m.Key, m.Place, m.Action == Opened || m.Action == Summary, m.Action == Summary
		all = append(all, n)
	}
	return all
}

func (t *telling) notice(r *Ranking, now event.Millis) Notice {
	leader := &r.Links[0]
	t.version = max(uint64(now)<<1, t.version+2) // also where the clock is behind that of who told before
	return Notice{
		Target: t.Name, Kind: r.Kind, ID: r.ID, Thread: r.thread(), Place: t.thread(r).place, Key: noted(t.Name, r.Kind, r.ID),
		Number: r.Number, LeaderKind: leader.Kind, LeaderID: leader.ID, Probability: leader.Probability, ToldAt: now,
		Version: t.version,
	}
}

// save stores notices, and those that could not be stored before.
func (t *telling) save(ctx context.Context, notices []Notice) error {
	all := append(slices.Clone(t.unsaved), notices...)
	if len(all) == 0 {
		return nil
	}
	if err := t.store.Tell(ctx, all); err != nil {
		return err
	}
	t.unsaved = nil
	return nil
}

// settleDoubts finds out which messages were sent before a worker died or an
// answer was lost, and stores what could not be stored. Where the target can't be
// asked, they are sent again under the same key.
func (t *telling) settleDoubts(ctx context.Context, now event.Millis) error {
	finder, can := t.Outlet.(Finder)
	for len(t.doubtful) > 0 {
		n := t.doubtful[0]
		if can {
			m := &Message{Key: n.Key, Target: t.Name, Thread: n.Thread, Place: n.Place}
			place, found, err := finder.Find(ctx, m, time.UnixMilli(int64(n.ToldAt)).Add(-time.Minute))
			if err != nil && !failureOf(err).Message {
				return err
			}
			if found {
				n.Pending, n.Place, n.Version = false, cmp.Or(n.Place, place), n.Version+1
				t.remember(&n)
				t.unsaved = append(t.unsaved, n)
				t.count(&n, now)
			}
		} else if n.Opened && n.Version >= t.again[n.Thread].Version {
			t.again[n.Thread] = n
		}
		t.doubtful = t.doubtful[1:]
	}
	return t.save(ctx, nil)
}

// The pauses between tries.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// failed notes a failure and says when to try again: as the target said, or after
// a pause that doubles each time, half of it by chance, so that not all come back
// at once.
func (t *telling) failed(err error, now event.Millis) event.Millis {
	t.observer.Failed(t.Name, err)
	pause := min(firstPause<<min(t.failures, 20), lastPause)
	t.failures++
	pause = pause/2 + rand.N(pause/2)
	t.retry = now + millis(max(pause, failureOf(err).After))
	return t.retry
}

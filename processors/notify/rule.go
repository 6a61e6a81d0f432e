package notify

import (
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// decision is what to do about a ranking.
type decision int

const (
	ignore decision = iota
	wait            // until a moment
	open            // begin a thread
	join            // tell of another effect in its thread
	update          // tell what changed
	note            // nothing to say, but to be remembered as told
)

// decide says what to do about a ranking, given what was said in its thread; and
// with wait, until when.
func decide(c *Config, t *Target, th *thread, r *Ranking, now event.Millis) (decision, event.Millis) {
	if len(r.Links) == 0 || !t.wants(r) {
		return ignore, 0
	}
	leader := &r.Links[0]
	told, known := th.told[r.effect()]
	switch {
	case known && r.Number <= told:
		return ignore, 0
	case leader.Probability < t.Minimum:
		return ignore, 0
	case !known && now-r.Detected > millis(c.Fresh):
		return ignore, 0
	case len(th.told) == 0:
		return opening(c, r, now)
	case !known:
		return joining(t, th, r, now)
	}
	return updating(t, th, r, now)
}

// opening waits until the first ranking that had time to see something, for what
// is told first is what people act on.
func opening(c *Config, r *Ranking, now event.Millis) (decision, event.Millis) {
	detected := min(r.Detected, r.ComputedAt) // the clock of who detected it may be ahead
	if r.Links[0].Probability >= sure || r.ComputedAt >= detected+millis(c.Settle) {
		return open, 0
	}
	if until := detected + millis(patience); now < until {
		return wait, until
	}
	return open, 0
}

// joining tells of an alert in its incident's thread, or of the incident where an
// alert has begun it.
func joining(t *Target, th *thread, r *Ranking, now event.Millis) (decision, event.Millis) {
	if t.Outlet.Threads() && !th.summed && len(th.told) < threadful {
		return spaced(join, th, now)
	}
	// Without a thread a message is an interruption, and in a full one nobody reads
	// on: it takes news to be worth one.
	if r.Kind == incident && !th.leads(&r.Links[0]) {
		return spaced(update, th, now)
	}
	return note, 0
}

// updating tells of another leader, or that it has become likely or unlikely.
func updating(t *Target, th *thread, r *Ranking, now event.Millis) (decision, event.Millis) {
	if r.Kind != incident && th.incident {
		return ignore, 0 // the incident's own ranking tells it
	}
	leader := &r.Links[0]
	switch {
	case !th.leads(leader):
		return spaced(update, th, now)
	case t.Outlet.Threads() && !th.summed && crossed(th.probability, leader.Probability):
		return spaced(update, th, now)
	}
	return ignore, 0
}

// spaced puts a message off that would follow the last one too closely: by then
// there may be only one thing to say.
func spaced(d decision, th *thread, now event.Millis) (decision, event.Millis) {
	if until := th.last + millis(spacing); now < until {
		return wait, until
	}
	return d, 0
}

// crossed says whether a probability has come from one side of a threshold to the
// other.
func crossed(before, after float64) bool {
	for _, threshold := range thresholds {
		if before < threshold && after >= threshold || before >= threshold && after < threshold-hysteresis {
			return true
		}
	}
	return false
}

const incident = "incident"

func millis(d time.Duration) event.Millis { return event.Millis(d.Milliseconds()) }

// thread is what was said in a thread.
type thread struct {
	told                 map[effect]uint64 // to the number of the ranking
	incident             bool              // an incident is among them
	place                string
	leaderKind, leaderID string
	probability          float64
	last                 event.Millis // of the messages
	summed               bool
}

func newThread() *thread { return &thread{told: map[effect]uint64{}} }

func (th *thread) leads(l *Link) bool { return l.same(th.leaderKind, th.leaderID) }

// add takes a notice in.
func (th *thread) add(n *Notice) {
	th.told[n.effect()] = max(th.told[n.effect()], n.Number)
	th.incident = th.incident || n.Kind == incident
	if th.place == "" {
		th.place = n.Place
	}
	// What an alert says does not change what its incident is said to be.
	if n.ToldAt >= th.last && (n.Kind == incident || !th.incident) {
		th.leaderKind, th.leaderID, th.probability = n.LeaderKind, n.LeaderID, n.Probability
	}
	th.last = max(th.last, n.ToldAt)
	th.summed = th.summed || n.Summed
}

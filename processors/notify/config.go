package notify

import (
	"slices"
	"time"
)

// Config is what holds for all targets.
type Config struct {
	// Settle is how long after its detection an effect is first told, for the
	// first measurements to come in: unless a cause is nearly sure before.
	// 0: 10 s.
	Settle time.Duration
	// Fresh is how long after its detection an effect may still be told first, 0:
	// an hour. A replay of last year's events tells nobody.
	Fresh time.Duration
}

// Target is who is told, and of what. Empty lists mean all.
type Target struct {
	Name                            string
	Effects, Services, Environments []string
	// Minimum is the least probability of the first hypothesis, "no known change"
	// included, that is worth a message.
	Minimum float64
	// PerMinute is how many messages it takes a minute, 0: 20.
	PerMinute int
	// Storm is how many effects may be told first in a minute, 0: 5. What goes
	// beyond is summed up in one message.
	Storm  int
	Outlet Outlet
}

// wants says whether an effect is the target's business.
func (t *Target) wants(r *Ranking) bool {
	among := func(list []string, what string) bool { return len(list) == 0 || slices.Contains(list, what) }
	return among(t.Effects, r.Kind) && among(t.Services, r.Service) && among(t.Environments, r.Environment)
}

const (
	// sure is the probability at which there is nothing to wait for.
	sure = 0.9
	// patience is how long after its detection an effect is told with whatever
	// is known: where no evidence comes, nothing is ranked again.
	patience = 90 * time.Second
	// spacing is the least time between two messages of a thread.
	spacing = 30 * time.Second
	// threadful is how many effects of a thread are told one by one.
	threadful = 6
	// hysteresis is how far a probability must fall below a threshold that it had
	// crossed for that to be told: it may waver about it.
	hysteresis = 0.1
	// remembered is how long a thread may be told more.
	remembered = 7 * 24 * time.Hour
)

// thresholds of the first hypothesis' probability whose crossing is told.
var thresholds = []float64{0.5, sure}

package kafka

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lease knows whether the group can still take this member for alive. A
// process that was stopped for longer than the session timeout has been
// dropped, and finds out only with its next heartbeat's answer: until then it
// would insert what a new owner has inserted already. So the lease is over
// once two heartbeats' answers lie further apart than the timeout, and never
// comes back: by the monotonic clock or by the wall clock, for the former
// stands still while a machine is suspended.
type lease struct {
	timeout time.Duration

	mu      sync.Mutex
	renewed time.Time
	joining bool // the group waits for others, and counts no timeout
	over    bool
}

var errLeaseOver = errors.New("no heartbeat for longer than the session timeout: the group has given the partitions to others")

func newLease(timeout time.Duration) *lease { return &lease{timeout: timeout, renewed: time.Now()} }

// check returns nil while the lease lasts.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if l.over {
		return errLeaseOver
	}
	return nil
}

func (l *lease) look() {
	now := time.Now()
	asleep := max(now.Sub(l.renewed), now.Round(0).Sub(l.renewed.Round(0)))
	if !l.joining && asleep > l.timeout {
		l.over = true
	}
}

// OnBrokerWrite is a kgo.HookBrokerWrite.
func (l *lease) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.JoinGroup) && err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.look()
		l.joining = true
	}
}

// OnBrokerE2E is a kgo.HookBrokerE2E: an answer has come, or none will.
func (l *lease) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	switch kmsg.Key(key) {
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat:
	default:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if kmsg.Key(key) == kmsg.JoinGroup {
		l.joining = false
	}
	if e2e.Err() == nil {
		l.renewed = time.Now().Add(-e2e.DurationE2E()) // the group counts from when it was asked
	}
}

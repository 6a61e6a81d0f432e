package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whencehq/whence/pipeline"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// LostOffsets is the operator's choice for a partition whose committed offset
// is gone though the ledger knows that it was consumed, or was set by hand below
// what the ledger says is stored.
type LostOffsets string

// The choices.
const (
	LostFail     LostOffsets = "fail"     // stop the partition with an error
	LostLedger   LostOffsets = "ledger"   // go on where the ledger ends: nothing lost, nothing twice
	LostEarliest LostOffsets = "earliest" // read the log again from its start, or where it was set: rows collapse by their keys
)

// Ledger knows which ranges of a partition are stored.
type Ledger interface {
	// LedgerEnd returns the offset after the last stored range; found is
	// false for a partition that no batch was ever stored of.
	LedgerEnd(ctx context.Context, topicID [16]byte, partition int32) (next int64, found bool, err error)
}

// Observer is told what a consumer does. Its methods are called from several
// goroutines.
type Observer interface {
	Consumed(topic string, records int, bytes int)
	Lag(topic string, partition int32, records int64)
	Stored(b *pipeline.Batch, took time.Duration)
	// Orphaned: a batch was stored and its commit is in doubt; whoever takes
	// the partition up stores it again, under the same tokens.
	Orphaned(b *pipeline.Batch)
	// Lost: another member reports the partition from now on.
	Lost(topic string, partition int32)
	SessionEnded(role string, err error)
	PartitionStopped(topic string, partition int32, err error)
}

// Consumer runs a chain over the partitions that its group assigns to it, by
// the protocol in the package's documentation. All fields are required unless
// they say otherwise.
type Consumer struct {
	Connection
	Role   string // names the consumer in logs and failpoints: "events", "context"
	Group  string
	Topics []string
	// Context is the context log that revisions are of. Commits say it, so that two
	// installations which share a group don't wait for each other.
	Context string

	// A member that is silent for SessionTimeout is dropped; one that holds
	// up a rebalance for RebalanceTimeout too. Work on one round is given up
	// (and taken up again by a new session) after half of the latter.
	SessionTimeout, RebalanceTimeout time.Duration
	// Fetches wait for MinBytes up to MaxWait: few big batches, and the upper
	// bound of what waiting adds to freshness.
	FetchMinBytes                         int32
	FetchMaxWait                          time.Duration
	FetchMaxBytes, FetchMaxPartitionBytes int32
	MaxPollRecords                        int
	OnLost                                LostOffsets

	// Stages is the chain. A stage that returns an error has left the batch as
	// it was, and is tried again.
	Stages []pipeline.Processor
	Ledger Ledger
	// Healthy tells whether the store can be reached, asked between sessions.
	Healthy func(context.Context) error
	// Revision is the context revision that rows are computed at; it never
	// falls.
	Revision func() uint64
	// Floor, if set, tells how much is known: the revision of the context log's
	// end. Nothing of a newly assigned partition is processed before Await has
	// returned for it, so that a new owner is never behind what a former one
	// has promised with its commits.
	Floor func(context.Context) (revision uint64, err error)
	Await func(ctx context.Context, revision uint64) error
	// Width, if set, tells about how many bytes the stages add to each row at most, as
	// things are now. A batch is cut by it: one that is announced can't be made smaller
	// by whoever can't hold it.
	Width func() int
	// WhileOwning, if set, runs in the sessions that own a partition, from the
	// first assignment until the last is revoked or the session ends, when its
	// context does. A session of another member may overlap with it.
	WhileOwning func(context.Context)
	Observer    Observer
	// Joined, if set, is called at the first assignment.
	Joined func()
}

const (
	// drainTime is what is left of a round when the process is told to stop.
	// With leaveTime and the engine's own stop it stays below the ten seconds
	// that orchestrators grant.
	drainTime = 4 * time.Second
	leaveTime = 1500 * time.Millisecond
	// promiseEvery is how often idle partitions say how much is known by now:
	// corrections wait for it.
	promiseEvery = 500 * time.Millisecond
	// maxDecompressed bounds one batch of records in memory.
	maxDecompressed = 256 << 20
	// roundBytes bounds the values that one round works on, and what their rows get
	// besides: what a fetch brings is bounded as compressed, a record of OTLP is a
	// thousand events, and each of them may be in the middle of a hundred incidents.
	roundBytes = 64 << 20
	// leastRecords is how many small records are taken at once however wide rows are:
	// they are as wide as the widest, which few of them may be.
	leastRecords = 500
	// batchesAtOnce is how many such batches are made of one poll.
	batchesAtOnce = 8
	// widthEvery is how often the width of rows is asked for though no fact came.
	widthEvery = 10 * time.Second
)

// Run consumes until ctx is done, then finishes the round under way and leaves
// the group. It returns an error only if an operator has to act; everything
// else ends the session and begins another.
func (c *Consumer) Run(ctx context.Context) error {
	log := c.Log.Named(c.Role)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	for {
		err := c.healthy(ctx, log)
		if err == nil {
			begun := time.Now()
			if err = c.session(ctx, log); time.Since(begun) > time.Minute {
				pause.Reset()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case pipeline.ClassOf(err) == pipeline.Fatal:
			return fmt.Errorf("%s: %w", c.Role, err)
		}
		c.Observer.SessionEnded(c.Role, err)
		wait := pause.NextBackOff()
		log.Warn("session ended, a new one begins", zap.Error(err), zap.Duration("in", wait))
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// healthy waits for the store, so that no session fetches what can't be
// stored.
func (c *Consumer) healthy(ctx context.Context, log *zap.Logger) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	for {
		err := c.Healthy(ctx)
		if err == nil || pipeline.ClassOf(err) == pipeline.Fatal {
			return err
		}
		wait := pause.NextBackOff()
		log.Warn("the store does not answer, fetching is paused", zap.Error(err), zap.Duration("next_try_in", wait))
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// sleep waits and reports whether ctx is still on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// drain returns a context that outlives ctx by drainTime.
func drain(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(drainTime, func() { cancel(errDrained) })
	})
	return work, func() { stop(); cancel(nil) }
}

var errDrained = errors.New("the time to finish is over")

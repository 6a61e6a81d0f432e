package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/whencehq/whence/pipeline"
)

// claims is what a pass has let others know of.
type claims struct {
	rows Rows
	pass uint64 // tells it from all others, those of other workers too

	mu       sync.Mutex
	greatest uint64
}

func (r *Reconciler) claims() *claims { return &claims{rows: r.rows, pass: rand.Uint64()} }

// at claims a revision, and tells who else has claimed rows.
func (c *claims) at(ctx context.Context, revision uint64) (Rivals, error) {
	if pipeline.Mutated("no-claim") {
		return Rivals{}, nil
	}
	rivals, err := c.rows.Claim(ctx, c.pass, revision)
	if err != nil {
		return Rivals{}, fmt.Errorf("claim rows at revision %d: %w", revision, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greatest = max(c.greatest, revision)
	return rivals, nil
}

// latest is the greatest revision that was claimed, 0 if none was.
func (c *claims) latest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greatest
}

// settle ends the claims of a pass that has done all that it claimed.
func (c *claims) settle(ctx context.Context) error {
	if c.latest() == 0 {
		return nil
	}
	if err := c.rows.Settle(ctx, c.pass); err != nil {
		return fmt.Errorf("settle claims: %w", err)
	}
	return nil
}

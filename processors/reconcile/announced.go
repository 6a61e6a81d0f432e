package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/whencehq/whence/pipeline"
)

// announced is what a pass has let others know of.
type announced struct {
	rows Rows
	pass uint64 // tells it from all others, those of other workers too

	mu       sync.Mutex
	greatest uint64
	cut      bool // a statement took too long: the server may be at it still
}

func (r *Reconciler) announced() *announced { return &announced{rows: r.rows, pass: rand.Uint64()} }

// at announces a revision, and tells who else rewrites rows.
func (a *announced) at(ctx context.Context, revision uint64) (Rivals, error) {
	if pipeline.Mutated("no-announcement") {
		return Rivals{}, nil
	}
	rivals, err := a.rows.Announce(ctx, a.pass, revision)
	if err != nil {
		return Rivals{}, fmt.Errorf("announce revision %d: %w", revision, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.greatest = max(a.greatest, revision)
	return rivals, nil
}

// latest is the greatest revision that was announced, 0 if none was.
func (a *announced) latest() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.greatest
}

// cutShort notes that nobody waits for a statement any longer.
func (a *announced) cutShort() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = true
}

// settle takes back what was announced: all of it is done.
func (a *announced) settle(ctx context.Context) error {
	if a.latest() == 0 || a.cut {
		return nil // what may be under way stays announced: it is void once facts are closed that far
	}
	if err := a.rows.Settle(ctx, a.pass); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

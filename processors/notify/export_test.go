package notify

import (
	"context"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// Teller is what tells one target, for tests that own its time.
type Teller struct{ *telling }

func NewTeller(c Config, t Target, store Store, observer Observer, now event.Millis, told []Notice) *Teller {
	n := New(c, []Target{t}, store, observer, nil)
	return &Teller{n.begin(told, time.UnixMilli(int64(now)))[0]}
}

func (t *Teller) Hand(r ...Ranking)                                       { t.hand(r) }
func (t *Teller) Step(ctx context.Context, now event.Millis) event.Millis { return t.step(ctx, now) }

const Never = never

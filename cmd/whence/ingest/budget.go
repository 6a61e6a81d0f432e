package ingest

import "sync/atomic"

// budget is how many bytes of bodies and records may be held at once.
type budget struct {
	most int64
	used atomic.Int64
}

// take takes n bytes, or none and says so.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// shortBody is read at once: it takes less time than waiting may, and as many are
// being read as there are processors.
const shortBody = 64 << 10

// structures is how many times as much what is read into structures takes, at
// worst, as an OTLP request, whose weight is looked at first.
const structures = 4

// takeTurn waits until n bytes may be read, which takes many times as much memory
// as they are: ingest.max_body of OTLP are read at once, or a fourth of others, for
// nobody waits for anything but the processor meanwhile. The turn is over with endTurn.
func (x *exchange) takeTurn(n int) error {
	if n <= shortBody || x.turn > 0 {
		return nil
	}
	if x.endpoint.otlp == nil {
		n *= structures
	}
	turn := min(int64(n), int64(x.config.MaxBody))
	if err := x.reading.Acquire(x.request.Context(), turn); err != nil {
		return busy("others are being read")
	}
	x.turn = turn
	return nil
}

func (x *exchange) endTurn() {
	if x.turn > 0 {
		x.reading.Release(x.turn)
		x.turn = 0
	}
}

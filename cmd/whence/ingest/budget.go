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

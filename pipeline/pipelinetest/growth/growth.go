// Package growth tells work that takes as long as there is much of it from work
// that takes the square of that: a hostile input is the difference.
package growth

import (
	"testing"
	"time"
)

const (
	times    = 8
	limit    = 24 // between 8, which would be linear, and 64; caches and logarithms take their part
	attempts = 10
)

// Linear fails the test where eight times n takes more than 24 times as long as n.
// The work returns how long the part of it took that counts; the least of up to ten
// attempts is compared, so that what else the machine does matters little.
func Linear(t testing.TB, n int, work func(n int) time.Duration) {
	t.Helper()
	few, many := work(n), work(times*n)
	for i := 1; many > limit*few; i++ {
		if i == attempts {
			t.Fatalf("%d take %s and %d take %s, which is %.0f times as long", n, few, times*n, many, float64(many)/float64(few))
		}
		few, many = min(few, work(n)), min(many, work(times*n))
	}
}

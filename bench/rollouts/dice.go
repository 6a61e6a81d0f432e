package rollouts

import (
	"math"
	"math/rand/v2"
)

// dice is a source of randomness with the distributions that a world needs.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x77_68_65_6e_63_65))} }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) between(low, high float64) float64 { return low + d.Float64()*(high-low) }

// seconds draws from [low, high].
func (d dice) seconds(low, high int64) int64 { return low + d.Int64N(high-low+1) }

// scale draws evenly over the orders of magnitude from low to high.
func (d dice) scale(low, high float64) float64 { return low * math.Exp(d.Float64()*math.Log(high/low)) }

// about is x with noise of that relative width.
func (d dice) about(x, width float64) float64 { return x * math.Max(0.05, 1+width*d.NormFloat64()) }

// poisson draws a count. Above a dozen, the normal distribution is as good and
// costs one draw.
func (d dice) poisson(mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 12 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*d.NormFloat64())))
	}
	n, left := 0, math.Exp(-mean)
	for x := d.Float64(); x > left; x *= d.Float64() {
		n++
	}
	return n
}

// binomial draws how many of n happen.
func (d dice) binomial(n int, p float64) int {
	switch mean := float64(n) * p; {
	case mean <= 0:
		return 0
	case p >= 1:
		return n
	case n <= 20:
		k := 0
		for range n {
			if d.Float64() < p {
				k++
			}
		}
		return k
	case mean < 8:
		return min(n, d.poisson(mean))
	default:
		return min(n, max(0, int(math.Round(mean+math.Sqrt(mean*(1-p))*d.NormFloat64()))))
	}
}

// pick draws an element.
func pick[T any](d dice, of []T) T { return of[d.IntN(len(of))] }

package learn

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/whencehq/whence/processors/correlate"
)

// Score is how well two models answer the same incidents. Each counts by the
// inverse of how likely its cause was to be confirmed, as in learning: else a
// model would be praised for agreeing with what was shown.
type Score struct {
	Set       string `json:"set"`
	Incidents int    `json:"incidents"`
	// LogLoss is the mean of -ln of the probability of the confirmed causes.
	LogLoss Compared `json:"log_loss"`
	// First is the share of incidents with a confirmed cause at the first rank.
	First Compared `json:"first"`
	// Brier is the mean of the summed squared errors of all probabilities: 0 is
	// best, 2 is worst. Several confirmed causes count as one.
	Brier Compared `json:"brier"`
}

// Compared is a figure of the model that ranks now, of the new one, and how they
// differ, each with its 95 % interval.
type Compared struct {
	Before Estimate `json:"before"`
	After  Estimate `json:"after"`
	Change Estimate `json:"change"` // incident by incident
}

// Worse says whether the change is beyond chance in a direction, +1 or -1.
func (c Compared) Worse(direction float64) bool {
	low, high := c.Change.Low, c.Change.High
	return low != nil && *low*direction > 0 && *high*direction > 0
}

// Estimate is a weighted mean with its 95 % interval, nil where there are too few
// incidents for one.
type Estimate struct {
	Mean float64  `json:"mean"`
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
}

func (e Estimate) String() string {
	if e.Low == nil {
		return fmt.Sprintf("%.3f", e.Mean)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", e.Mean, *e.Low, *e.High)
}

func scoreOf(set string, examples []correlate.Example, before, after *correlate.Model) Score {
	s := Score{Set: set, Incidents: len(examples)}
	weights := make([]float64, len(examples))
	for i := range examples {
		weights[i] = examples[i].Importance
	}
	figures := []struct {
		of func(*correlate.Example, []float64) float64
		to *Compared
	}{{logLoss, &s.LogLoss}, {first, &s.First}, {brier, &s.Brier}}
	for _, f := range figures {
		old, now, change := make([]float64, len(examples)), make([]float64, len(examples)), make([]float64, len(examples))
		for i := range examples {
			e := &examples[i]
			old[i], now[i] = f.of(e, e.Probabilities(before.Weights)), f.of(e, e.Probabilities(after.Weights))
			change[i] = now[i] - old[i]
		}
		*f.to = Compared{estimate(old, weights), estimate(now, weights), estimate(change, weights)}
	}
	s.First.Before, s.First.After = proportion(s.First.Before.Mean, weights), proportion(s.First.After.Mean, weights)
	return s
}

// ofTrue is the probability of the confirmed causes together.
func ofTrue(e *correlate.Example, p []float64) float64 {
	var sum float64
	for _, i := range e.True {
		sum += p[i]
	}
	return sum
}

// logLoss of a cause that is all but excluded is bounded, so that one incident
// does not decide.
func logLoss(e *correlate.Example, p []float64) float64 {
	return -math.Log(min(1, max(1e-6, ofTrue(e, p))))
}

func first(e *correlate.Example, p []float64) float64 {
	if slices.Contains(e.True, slices.Index(p, slices.Max(p))) {
		return 1
	}
	return 0
}

func brier(e *correlate.Example, p []float64) float64 {
	missing := 1 - ofTrue(e, p)
	sum := missing * missing
	for i := range p {
		if !slices.Contains(e.True, i) {
			sum += p[i] * p[i]
		}
	}
	return sum
}

// proportion is a share with Wilson's interval, of as many incidents as weights
// so unequal are worth (Kish, Survey Sampling, 1965, section 11.7): one that is 1
// of a few may still be less.
func proportion(mean float64, weights []float64) Estimate {
	var total, squares float64
	for _, w := range weights {
		total, squares = total+w, squares+w*w
	}
	if total == 0 {
		return Estimate{}
	}
	const z = 1.96
	n := total * total / squares
	middle, half := (mean+z*z/(2*n))/(1+z*z/n), z*math.Sqrt(mean*(1-mean)/n+z*z/(4*n*n))/(1+z*z/n)
	low, high := max(0, middle-half), min(1, middle+half)
	return Estimate{mean, &low, &high}
}

// estimate is a weighted mean with Student's interval. Its standard error is that of a ratio of sums
// (Cochran, Sampling Techniques, 1977, section 6.4).
func estimate(x, weights []float64) Estimate {
	var sum, total float64
	for i := range x {
		sum, total = sum+x[i]*weights[i], total+weights[i]
	}
	if total == 0 {
		return Estimate{}
	}
	mean, n := sum/total, float64(len(x))
	if n < 2 {
		return Estimate{Mean: mean}
	}
	var squares float64
	for i := range x {
		d := weights[i] * (x[i] - mean) / total
		squares += d * d
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * math.Sqrt(squares*n/(n-1))
	low, high := mean-half, mean+half
	return Estimate{mean, &low, &high}
}

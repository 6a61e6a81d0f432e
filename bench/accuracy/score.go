package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
)

// answer is what a ranking said of a case of which the truth is known.
type answer struct {
	name  string // of the case
	truth rollouts.Truth
	links []correlate.Link // by rank
	// candidates are the changes in the order of a baseline: the latest started
	// one first.
	candidates []correlate.Candidate
}

func (a *answer) isTrue(l *correlate.Link) bool { return a.truth.Names(l.CauseKind, l.CauseID) }

// forget lets go of words and SQL, which only readers need.
func (a *answer) forget() {
	for i := range a.links {
		for j := range a.links[i].Evidence {
			a.links[i].Evidence[j].Words, a.links[i].Evidence[j].SQL = "", ""
		}
	}
}

// isChange is whether a link names a change that was announced.
func isChange(l *correlate.Link) bool {
	return l.CauseKind != correlate.None && l.CauseKind != correlate.Undeclared
}

// among is the rank of the truth among the announced changes, 0 where it is not
// one of them.
func (a *answer) among() int {
	rank := 0
	for i := range a.links {
		if isChange(&a.links[i]) {
			rank++
			if a.isTrue(&a.links[i]) {
				return rank
			}
		}
	}
	return 0
}

// abstained is whether the first link blames no change that was announced, and
// no service wrongly.
func (a *answer) abstained() bool {
	first := &a.links[0]
	return first.CauseKind == correlate.None || first.CauseKind == correlate.Undeclared && first.Service == a.truth.Service
}

// share is a count of a number of cases.
type share struct {
	Hits  int     `json:"hits"`
	Of    int     `json:"of"`
	Share float64 `json:"share"`
	Low   float64 `json:"low"` // Wilson's 95 % interval
	High  float64 `json:"high"`
}

func shareOf(hits, of int) share {
	if of == 0 {
		return share{}
	}
	const z = 1.96
	n, p := float64(of), float64(hits)/float64(of)
	middle, half := (p+z*z/(2*n))/(1+z*z/n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))/(1+z*z/n)
	return share{hits, of, p, max(0, middle-half), min(1, middle+half)}
}

func (s share) String() string {
	if s.Of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%d of %d, %.2f to %.2f)", s.Share, s.Hits, s.Of, s.Low, s.High)
}

// score is how well a set of cases was answered.
type score struct {
	Set   string `json:"set"`
	Cases int    `json:"cases"`
	// First and Three are the shares of cases whose cause is an announced change
	// in which it is first, or among the first three, of the announced changes.
	First share `json:"first_among_changes"`
	Three share `json:"within_three_among_changes"`
	// Joint is the share in which the truth is first, with none and undeclared
	// competing.
	Joint share `json:"first_of_all"`
	// Abstained is the share of the cases without an announced cause in which none
	// was blamed.
	Abstained share `json:"abstained"`
	// Brier is the mean over cases of the summed squared errors of all
	// probabilities; 0 is best, 2 is worst.
	Brier       float64 `json:"brier"`
	BrierSE     float64 `json:"brier_standard_error"`
	LogLoss     float64 `json:"log_loss"` // mean of -ln of the truth's probability
	Latest      share   `json:"baseline_latest_started"`
	RandomFirst float64 `json:"baseline_random_first"`
	RandomThree float64 `json:"baseline_random_within_three"`
	Reliability []bin   `json:"reliability"`
}

// bin is what came of the hypotheses that were given about the same
// probability.
type bin struct {
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Said     float64 `json:"said"` // mean probability
	Observed share   `json:"observed"`
}

func scoreOf(set string, answers []answer) score {
	s := score{Set: set, Cases: len(answers)}
	var first, three, joint, abstained, latest, changes, others int
	var briers []float64
	for i := range answers {
		a := &answers[i]
		if a.isTrue(&a.links[0]) {
			joint++
		}
		if rank := a.among(); rank > 0 {
			changes++
			first, three = first+one(rank == 1), three+one(rank <= 3)
			latest += one(len(a.candidates) > 0 && a.truth.Names(a.candidates[0].Kind, a.candidates[0].ID))
			n := float64(len(a.candidates))
			s.RandomFirst, s.RandomThree = s.RandomFirst+1/n, s.RandomThree+min(1, 3/n)
		} else {
			others++
			abstained += one(a.abstained())
		}
		brier, truth := 0.0, 0.0
		for j := range a.links {
			p, y := a.links[j].Probability, float64(one(a.isTrue(&a.links[j])))
			brier, truth = brier+(p-y)*(p-y), truth+p*y
		}
		briers = append(briers, brier)
		s.LogLoss -= math.Log(max(truth, 1e-6)) / float64(len(answers))
	}
	s.First, s.Three, s.Latest = shareOf(first, changes), shareOf(three, changes), shareOf(latest, changes)
	s.Joint, s.Abstained = shareOf(joint, len(answers)), shareOf(abstained, others)
	if changes > 0 {
		s.RandomFirst, s.RandomThree = s.RandomFirst/float64(changes), s.RandomThree/float64(changes)
	}
	s.Brier, s.BrierSE = meanOf(briers)
	s.Reliability = reliability(answers)
	return s
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// meanOf is the mean and its standard error.
func meanOf(x []float64) (mean, se float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		se += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(se / max(1, float64(len(x)-1)) / float64(max(1, len(x))))
}

func reliability(answers []answer) []bin {
	edges := []float64{0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.000001}
	bins := make([]bin, len(edges)-1)
	hits, of := make([]int, len(bins)), make([]int, len(bins))
	for i := range answers {
		for j := range answers[i].links {
			l := &answers[i].links[j]
			at, exact := slices.BinarySearch(edges, l.Probability)
			if !exact {
				at--
			}
			hits[at], of[at] = hits[at]+one(answers[i].isTrue(l)), of[at]+1
			bins[at].Said += l.Probability
		}
	}
	var kept []bin
	for i := range bins {
		if of[i] > 0 {
			kept = append(kept, bin{edges[i], min(1, edges[i+1]), bins[i].Said / float64(of[i]), shareOf(hits[i], of[i])})
		}
	}
	return kept
}

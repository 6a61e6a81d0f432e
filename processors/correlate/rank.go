package correlate

import (
	"cmp"
	"math"
	"slices"
)

// Rank ranks the causes of an effect. Equal situations give equal rankings,
// whatever the order of their lists.
func Rank(s *Situation, m *Model) Ranking {
	g := newSignals(s)
	hypotheses := g.evidence()
	links := make([]Link, len(hypotheses))
	scores := make([]float64, len(hypotheses))
	for i := range hypotheses {
		links[i] = link(&hypotheses[i], m)
		scores[i] = links[i].LogOdds
	}
	for i, p := range softmax(scores) {
		links[i].Probability = p
	}
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(a.CauseKind, b.CauseKind), cmp.Compare(a.CauseID, b.CauseID))
	})
	for i := range links {
		links[i].Rank = i + 1
	}
	return Ranking{Effect: s.Effect, Links: links, Model: m.Name, Revision: s.Revision, Digest: s.Digest}
}

// link weighs the evidence of a hypothesis. The sum of its terms is its log
// odds to the last digit, as it is summed in their order.
func link(h *hypothesis, m *Model) Link {
	l := Link{CauseKind: h.kind, CauseID: h.id, Service: h.service}
	for _, p := range h.pieces {
		if m.Weights[p.name] == 0 {
			continue // it says nothing
		}
		t := Term{Name: p.name, Value: p.value, Weight: m.Weights[p.name], Words: p.words(), SQL: p.sql()}
		l.Evidence = append(l.Evidence, t)
		l.LogOdds += t.Log()
	}
	return l
}

// softmax turns log odds into probabilities that sum to one.
func softmax(scores []float64) []float64 {
	p := make([]float64, len(scores))
	if len(scores) == 0 {
		return p
	}
	top := slices.Max(scores)
	var sum float64
	for i, s := range scores {
		p[i] = math.Exp(s - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

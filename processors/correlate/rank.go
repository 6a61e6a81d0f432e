package correlate

import (
	"cmp"
	"math"
	"slices"
)

// most is how many hypotheses a ranking has besides None: there may be
// thousands of deployments that were never said to have ended.
const most = 300

// Rank ranks the causes of an effect. Equal situations give equal rankings,
// whatever the order of their lists. Of very many hypotheses the likeliest are
// taken, as if there were no others.
func Rank(s *Situation, m *Model) Ranking {
	kept := likeliest(newSignals(s).evidence(), m)
	links := make([]Link, len(kept))
	scores := make([]float64, len(kept))
	for i := range kept {
		links[i] = link(&kept[i], m)
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

// likeliest are the hypotheses that are ranked.
func likeliest(all []hypothesis, m *Model) []hypothesis {
	if len(all) <= most+1 {
		return all
	}
	slices.SortStableFunc(all, func(a, b hypothesis) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(b.logOdds(m), a.logOdds(m)), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	return all[:most+1]
}

// first sorts None before all others.
func first(h hypothesis) int {
	if h.kind == None {
		return 0
	}
	return 1
}

func (h *hypothesis) logOdds(m *Model) float64 {
	var sum float64
	for _, p := range h.pieces {
		sum += p.value * m.Weights[p.name]
	}
	return sum
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

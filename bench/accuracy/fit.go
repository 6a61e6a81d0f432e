package main

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/whencehq/whence/processors/correlate"
)

// variance of a weight, around what is expected.
const variance = 9

// expected are the weights of terms of which the cases tell little, from what
// they mean; the others' are expected to be 0.
var expected = map[string]float64{
	"idle": -3, "unmoved": 1, "latency": 1, "cpu": 1, "introduced": 6, "recurs": 1, "rollback": -1, "given_up": 1, "size": 0.3, "weekly": 3, "thin": 1, "blind": 1,
	"kind.change": -2, "kind.migration": -0.5, "kind.infrastructure": -1, "kind.provider": -0.5,
	// Where nothing was measured, how often whose change is to blame is anybody's
	// guess: a deployment of the moment is blamed with a third, and no more.
	"unseen.deployment": -3, "unseen.change": -3.5, "unseen.configuration": -3.5, "unseen.flag": -3.5, "unseen.infrastructure": -3.5,
	"unseen.migration": -3.5, "unseen.provider": -3.5, "unrelated": -6,
}

// fit fits a model on what is generated and recorded, but for one group of the
// latter; empty: on all.
func fit(generated []correlate.Example, recorded []sample, without string) (*correlate.Model, error) {
	examples := slices.Clone(generated)
	n := 0
	for _, s := range recorded {
		if s.group != without {
			e := s.example
			e.Importance = *importance
			examples, n = append(examples, e), n+1
		}
	}
	weights, err := correlate.FitSigned(examples, expected, variance)
	if err != nil {
		return nil, err
	}
	for name, w := range weights {
		weights[name] = math.Round(w*1000) / 1000
	}
	return &correlate.Model{
		Name:    "rollouts-1",
		Fitted:  fmt.Sprintf("%d generated rollouts, %d cuttings of recorded ones, by bench/accuracy", len(generated), n),
		Weights: weights,
	}, nil
}

// leaveOneOut fits a model for each group of the recorded samples, on all but
// it.
func leaveOneOut(generated []correlate.Example, recorded []sample) (map[string]*correlate.Model, error) {
	models := map[string]*correlate.Model{}
	for _, s := range recorded {
		models[s.group] = nil
	}
	for _, group := range slices.Sorted(maps.Keys(models)) {
		m, err := fit(generated, recorded, group)
		if err != nil {
			return nil, err
		}
		models[group] = m
	}
	return models, nil
}

// answers ranks samples in memory, each with its model.
func answers(samples []sample, model func(*sample) *correlate.Model) []answer {
	all := make([]answer, len(samples))
	for i := range samples {
		all[i] = answered(&samples[i], model(&samples[i]))
	}
	return all
}

func answered(s *sample, model *correlate.Model) answer {
	return answer{s.Case.Name, s.Case.Truth, correlate.Rank(s.situation, model).Links, latestFirst(s.situation)}
}

// latestFirst are the candidates that had begun when the effect was detected.
func latestFirst(s *correlate.Situation) []correlate.Candidate {
	candidates := slices.DeleteFunc(slices.Clone(s.Candidates), func(c correlate.Candidate) bool {
		return c.Began > s.Effect.Detected
	})
	slices.SortFunc(candidates, func(a, b correlate.Candidate) int { return int(b.Began - a.Began) })
	return candidates
}

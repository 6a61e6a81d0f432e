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
	"kind.change": -2, "kind.migration": -0.5,
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
	weights, err := fitSensibly(examples)
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

// speaksFor are terms that can speak for their hypothesis only: a weight below
// zero would be a chance of the cases, and nobody could read it.
var speaksFor = []string{"cpu", "elsewhere", "label", "latency", "load", "own", "side", "silent", "thin", "unmoved", "upstream", "vanished", "weekly"}

// fitSensibly fits, and again with weight 0 for what came out with the wrong
// sign.
func fitSensibly(examples []correlate.Example) (map[string]float64, error) {
	none := map[string]bool{}
	for {
		weights, err := correlate.Fit(without(examples, none), expected, variance)
		if err != nil {
			return nil, err
		}
		known := len(none)
		for _, name := range speaksFor {
			if weights[name] < 0 {
				none[name] = true
			}
			if none[name] {
				weights[name] = 0
			}
		}
		if len(none) == known {
			return weights, nil
		}
	}
}

// without leaves terms out.
func without(examples []correlate.Example, terms map[string]bool) []correlate.Example {
	kept := slices.Clone(examples)
	for i := range kept {
		kept[i].Hypotheses = slices.Clone(kept[i].Hypotheses)
		for j, values := range kept[i].Hypotheses {
			left := maps.Clone(values)
			maps.DeleteFunc(left, func(name string, _ float64) bool { return terms[name] })
			kept[i].Hypotheses[j] = left
		}
	}
	return kept
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

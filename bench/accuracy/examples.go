package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
)

// sample is a case with what a ranking reads of it and what a fit learns from.
type sample struct {
	Case      rollouts.Case
	situation *correlate.Situation
	example   correlate.Example
	// group is what samples share that a fit must not tell apart: all cuttings of
	// one recording.
	group string
}

// samplesOf reads cases.
func samplesOf(cases []rollouts.Case) ([]sample, error) {
	samples := make([]sample, len(cases))
	for i, c := range cases {
		situation, err := rollouts.Situation(c)
		if err != nil {
			return nil, err
		}
		group := c.Name[strings.LastIndex(c.Name, "/")+1:]
		samples[i] = sample{c, situation, correlate.NewExample(situation, c.Truth.Names), group}
	}
	return samples, nil
}

// folders of recorded rollouts: cut one and five minutes after detection, with
// the cause among what was said, and without.
var folders = []string{"at-1m", "at-5m", "cause-withheld-1m", "cause-withheld-5m"}

// recorded reads all folders of dir.
func recorded(dir string) (map[string][]sample, error) {
	all := map[string][]sample{}
	for _, folder := range folders {
		cases, err := rollouts.Recorded(dir + "/" + folder)
		if err != nil {
			return nil, err
		}
		if len(cases) == 0 {
			return nil, fmt.Errorf("no rollouts in %s/%s", dir, folder)
		}
		if all[folder], err = samplesOf(cases); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// generated makes n cases and gives each away: with hundreds of services one
// takes many megabytes.
func generated(n int, seed uint64, use func(sample)) error {
	random := rand.New(rand.NewPCG(seed, 1))
	for range n {
		options := rollouts.Draw(random)
		options.Services = min(options.Services, *largest)
		samples, err := samplesOf([]rollouts.Case{rollouts.Generate(random.Uint64(), options)})
		if err != nil {
			return err
		}
		use(samples[0])
	}
	return nil
}

// examplesOf n generated cases.
func examplesOf(n int, seed uint64) ([]correlate.Example, error) {
	examples := make([]correlate.Example, 0, n)
	err := generated(n, seed, func(s sample) { examples = append(examples, s.example) })
	return examples, err
}

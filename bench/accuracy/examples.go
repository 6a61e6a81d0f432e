// Package accuracy measures how well causes are ranked.
package accuracy

import (
	"fmt"
	"strings"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
)

// Sample is a case with what a ranking reads of it and what a fit learns from.
type Sample struct {
	Case      rollouts.Case
	Situation *correlate.Situation
	Example   correlate.Example
	// Group is what samples share that must not be told apart by a fit: all
	// cuttings of one recording.
	Group string
}

// Samples reads cases.
func Samples(cases []rollouts.Case) ([]Sample, error) {
	samples := make([]Sample, len(cases))
	for i, c := range cases {
		situation, err := rollouts.Situation(c)
		if err != nil {
			return nil, err
		}
		samples[i] = Sample{c, situation, correlate.NewExample(situation, c.Truth.Names), c.Name[strings.LastIndex(c.Name, "/")+1:]}
	}
	return samples, nil
}

// Folders of recorded rollouts: cut one and five minutes after detection, with
// the cause among what was said, and without.
var Folders = []string{"at-1m", "at-5m", "cause-withheld-1m", "cause-withheld-5m"}

// Recorded reads all folders of dir.
func Recorded(dir string) (map[string][]Sample, error) {
	all := map[string][]Sample{}
	for _, folder := range Folders {
		cases, err := rollouts.Recorded(dir + "/" + folder)
		if err != nil {
			return nil, err
		}
		if len(cases) == 0 {
			return nil, fmt.Errorf("no rollouts in %s/%s", dir, folder)
		}
		if all[folder], err = Samples(cases); err != nil {
			return nil, err
		}
	}
	return all, nil
}

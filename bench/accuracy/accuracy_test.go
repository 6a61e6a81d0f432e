package main

import (
	"os"
	"testing"

	"github.com/whencehq/whence/processors/correlate"
)

// recordings are beside the repository, where there are any.
const recordings = "../../../shared/data/rollouts"

// The aims of the model in the tree, which has seen these recordings: leave-one-out
// figures are in make accuracy.
func TestRecordedRolloutsAreRankedAsWellAsIsAimedAt(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skip("there are no recorded rollouts: ", err)
	}
	byFolder, err := recorded(recordings)
	if err != nil {
		t.Fatal(err)
	}
	model := correlate.DefaultModel()
	for _, folder := range folders {
		s := scoreOf(folder, answers(byFolder[folder], func(*sample) *correlate.Model { return model }))
		for _, aim := range []struct {
			name  string
			share share
			least float64
		}{
			{"first among changes", s.First, 0.90}, {"within three among changes", s.Three, 0.97},
			{"first of all", s.Joint, 0.80}, {"abstained", s.Abstained, 0.80},
		} {
			if aim.share.Of > 0 && aim.share.Share < aim.least {
				t.Errorf("%s: %s in %s, aimed at %.2f", folder, aim.name, aim.share, aim.least)
			}
		}
	}
}

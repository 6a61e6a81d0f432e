package rollouts_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/whencehq/whence/bench/rollouts"
	"github.com/whencehq/whence/processors/correlate"
)

// recordings is the folder of recorded cases, which is no part of the project.
func recordings(t testing.TB, name string) []rollouts.Case {
	t.Helper()
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "data", "rollouts", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recorded rollouts: %v", err)
	}
	cases, err := rollouts.Recorded(dir)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestRecordedCasesHaveTheirCauseAmongTheCandidates(t *testing.T) {
	for _, c := range recordings(t, "at-1m") {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		if !named(s, c.Truth) {
			t.Errorf("%s: %s isn't among %d candidates", c.Name, c.Truth.ID, len(s.Candidates))
		}
		if len(s.Measurements) < 1000 || len(s.DependsOn) < 5 {
			t.Errorf("%s: %d measurements, %d callers", c.Name, len(s.Measurements), len(s.DependsOn))
		}
	}
}

func TestRecordedCasesWhoseCauseIsWithheldDoNotNameIt(t *testing.T) {
	for _, c := range recordings(t, "cause-withheld-1m") {
		s, err := rollouts.Situation(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, candidate := range s.Candidates {
			if candidate.Service == c.Truth.Service || c.Truth.Kind != correlate.Undeclared {
				t.Errorf("%s: %s is still named by %s", c.Name, c.Truth.Service, candidate.ID)
			}
		}
	}
}

func named(s *correlate.Situation, truth rollouts.Truth) bool {
	for _, c := range s.Candidates {
		if truth.Names(c.Kind, c.ID) {
			return true
		}
	}
	return false
}

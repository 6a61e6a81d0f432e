package statespace

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// jugs of five and three liters, of which one is to hold four in the end.
type jugs struct{ five, three int }

func pour(s jugs, happen Happen[jugs]) {
	happen(Fault, jugs{5, s.three}, "fill five")
	happen(Fault, jugs{s.five, 3}, "fill three")
	happen(Fault, jugs{0, s.three}, "empty five")
	happen(Fault, jugs{s.five, 0}, "empty three")
	n := min(s.five, 3-s.three)
	happen(Fault, jugs{s.five - n, s.three + n}, "pour %d into three", n)
	n = min(s.three, 5-s.five)
	happen(Fault, jugs{s.five + n, s.three - n}, "pour %d into five", n)
}

func fine[S any](S) error { return nil }

func TestAnExplorationFindsAShortestInterleaving(t *testing.T) {
	four := errors.New("four liters")
	r, err := Explore(Spec[jugs]{Steps: pour, Quiet: fine[jugs], Always: func(s jugs) error {
		if s.five == 4 {
			return four
		}
		return nil
	}}, 100)
	want := []string{"fill five", "pour 3 into three", "empty three", "pour 2 into three", "fill five", "pour 1 into three"}
	if err != nil || !errors.Is(r.Violation, four) || !slices.Equal(r.Trace, want) {
		t.Errorf("%v, %v: %v, want %v", err, r.Violation, r.Trace, want)
	}
}

func TestAnExplorationVisitsEveryStateOnce(t *testing.T) {
	r, err := Explore(Spec[jugs]{Steps: pour, Always: fine[jugs], Quiet: fine[jugs]}, 100)
	// What can be measured with these jugs: one of them is empty or full.
	if err != nil || r.Violation != nil || r.States != 16 || r.Transitions != 16*6 || r.Quiet != 16 {
		t.Errorf("%v, %v: %v", err, r.Violation, r)
	}
}

func TestAnExplorationThatIsTooLargeFails(t *testing.T) {
	if _, err := Explore(Spec[jugs]{Steps: pour, Always: fine[jugs], Quiet: fine[jugs]}, 15); err == nil {
		t.Error("16 states passed for 15")
	}
}

// A coin is tossed by two players whose names don't matter.
type tosses struct{ first, second int }

func toss(s tosses, happen Happen[tosses]) {
	if s.first == 0 {
		happen(Progress, tosses{1, s.second}, "the first tosses heads")
	}
	if s.second == 0 {
		happen(Progress, tosses{s.first, 1}, "the second tosses heads")
	}
}

func TestStatesThatAreAlikeAreVisitedOnceAndTracesKeepTheNames(t *testing.T) {
	spec := Spec[tosses]{Steps: toss, Always: fine[tosses],
		Same:  func(s tosses) tosses { return tosses{max(s.first, s.second), min(s.first, s.second)} },
		Quiet: func(tosses) error { return errors.New("all have tossed") },
	}
	r, err := Explore(spec, 10)
	if err != nil || r.States != 3 || r.Violation == nil || !strings.Contains(r.Violation.Error(), "all have tossed") {
		t.Errorf("%v, %v: %v", err, r.Violation, r)
	}
	if want := []string{"the first tosses heads", "the second tosses heads"}; !slices.Equal(r.Trace, want) {
		t.Errorf("%v, want %v", r.Trace, want)
	}
}

func TestASystemThatNeverComesToRestIsFound(t *testing.T) {
	turn := func(s int, happen Happen[int]) {
		if s == 0 {
			happen(Fault, 1, "somebody pushes it")
			return
		}
		happen(Progress, s%3+1, "it turns")
	}
	r, err := Explore(Spec[int]{Steps: turn, Always: fine[int], Quiet: fine[int]}, 10)
	if err != nil || !errors.Is(r.Violation, errRestless) || len(r.Trace) != 1 {
		t.Errorf("%v, %v: %v", err, r.Violation, r.Trace)
	}
}

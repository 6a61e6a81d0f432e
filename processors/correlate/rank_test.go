package correlate

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sound says what is wrong with any ranking, whatever it is of.
func sound(r *Ranking) error {
	var sum float64
	none := 0
	for i, l := range r.Links {
		if !(l.Probability >= 0 && l.Probability <= 1) || math.IsInf(l.LogOdds, 0) || math.IsNaN(l.LogOdds) {
			return fmt.Errorf("%s %s has the probability %v, log odds %v", l.CauseKind, l.CauseID, l.Probability, l.LogOdds)
		}
		if l.Rank != i+1 || i > 0 && l.Probability > r.Links[i-1].Probability {
			return fmt.Errorf("rank %d has place %d, with probability %v", l.Rank, i+1, l.Probability)
		}
		if l.CauseKind == None {
			none++
		}
		sum += l.Probability
		if err := soundTerms(&l); err != nil {
			return fmt.Errorf("%s %s: %w", l.CauseKind, l.CauseID, err)
		}
	}
	if none != 1 || math.Abs(sum-1) > 1e-9 {
		return fmt.Errorf("%d times no cause, and probabilities sum to %v", none, sum)
	}
	_, err := json.Marshal(r.Links)
	return err
}

func soundTerms(l *Link) error {
	var sum float64
	said := map[string]bool{}
	for _, term := range l.Evidence {
		sum += term.Log()
		switch {
		case !(term.Value >= -1 && term.Value <= 1) || term.Value == 0:
			return fmt.Errorf("%s is %v", term.Name, term.Value)
		case said[term.Name]:
			return fmt.Errorf("%s is said twice", term.Name)
		case strings.TrimSpace(term.Words) != term.Words || term.Words == "" || strings.Contains(term.Words, "NaN"):
			return fmt.Errorf("%s says %q", term.Name, term.Words)
		case term.SQL == "" && !isPrior(term.Name):
			return fmt.Errorf("%s has no statement", term.Name)
		case strings.Contains(term.SQL, "NaN") || strings.Contains(term.SQL, "%!"):
			return fmt.Errorf("%s has the statement %s", term.Name, term.SQL)
		}
		said[term.Name] = true
	}
	if sum != l.LogOdds {
		return fmt.Errorf("terms sum to %v, log odds are %v", sum, l.LogOdds)
	}
	return nil
}

// Whatever is measured and claimed: no panic, no NaN, probabilities that sum to
// one, terms that sum to the log odds.
func rankingsAreSound(t *rapid.T) {
	r := Rank(drawSituation(t), DefaultModel())
	if err := sound(&r); err != nil {
		t.Fatal(err)
	}
}

// Lists come in the order of whatever asked for them: a ranking that depends on
// it would be another one at the next look, and be stored and published again.
func orderDoesNotMatter(t *rapid.T) {
	s := drawSituation(t)
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	one, other := Rank(s, DefaultModel()), Rank(shuffled(s, random), DefaultModel())
	if !reflect.DeepEqual(one.Links, other.Links) {
		t.Fatalf("ranked as\n%+v\nthen as\n%+v", one.Links, other.Links)
	}
}

func TestRankingsAreSoundWhateverIsSaid(t *testing.T) { rapid.Check(t, rankingsAreSound) }
func TestTheOrderOfListsDoesNotMatter(t *testing.T)   { rapid.Check(t, orderDoesNotMatter) }
func FuzzRankingsAreSoundWhateverIsSaid(f *testing.F) { f.Fuzz(rapid.MakeFuzz(rankingsAreSound)) }
func FuzzTheOrderOfListsDoesNotMatter(f *testing.F)   { f.Fuzz(rapid.MakeFuzz(orderDoesNotMatter)) }

// isPrior is whether a term is a constant of the model, which no table holds.
func isPrior(term string) bool {
	kind, _, _ := strings.Cut(term, ".")
	return slices.Contains([]string{"kind", "unseen", "blamed", "unrelated", "blind"}, kind)
}

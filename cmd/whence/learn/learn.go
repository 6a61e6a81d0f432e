package learn

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/whencehq/whence/processors/correlate"
)

// Schema is the version of a report's JSON.
const Schema = "whence.learn/1"

// Options say how to learn.
type Options struct {
	Name    string           // whose model it is, the beginning of its name
	Now     time.Time        // its date
	Prior   *correlate.Model // towards which each weight is drawn
	Current *correlate.Model // what ranks now: the new one must not be worse
	// Variance of a weight around the prior's. With the default a weight moves by
	// about 0.3 where the cases say little.
	Variance float64
	// Eta is how steeply what is shown low gets confirmed less often, 0: not at
	// all. Least is how unlikely it gets at most, so that no case outweighs all.
	Eta, Least float64
	HeldBack   float64 // share of the incidents
	Minimum    int     // fewer incidents teach chance
}

// Report is what was learned, and how good it is.
type Report struct {
	Schema   string           `json:"schema"`
	Model    *correlate.Model `json:"model"`   // nil: nothing could be learned
	Prior    string           `json:"prior"`   // names
	Current  string           `json:"current"` // of models
	Learned  int              `json:"learned_from"`
	HeldBack int              `json:"held_back"`
	Skipped  Skipped          `json:"skipped"`
	Scores   []Score          `json:"scores"`
	Weights  []Moved          `json:"weights"` // what moved most first
	// Objections are why the model should not be used; empty: it may be.
	Objections []string `json:"objections"`
	Written    string   `json:"written"` // the file; empty: none
}

// Moved is the weight of a term.
type Moved struct {
	Term   string  `json:"term"`
	Before float64 `json:"before"` // in the current model
	After  float64 `json:"after"`
}

// From learns from cases.
func From(cases []Case, skipped Skipped, o Options) (*Report, error) {
	r := &Report{Schema: Schema, Prior: o.Prior.Name, Current: o.Current.Name, Skipped: skipped,
		Scores: []Score{}, Weights: []Moved{}, Objections: []string{}}
	var learned, held []correlate.Example
	for _, c := range cases {
		c.Example.Importance = c.importance(o.Eta, o.Least)
		if c.heldBack(o.HeldBack) {
			held = append(held, c.Example)
		} else {
			learned = append(learned, c.Example)
		}
	}
	r.Learned, r.HeldBack = len(learned), len(held)
	if len(cases) < o.Minimum {
		r.object("%d incidents can be learned from, and at least %d are wanted", len(cases), o.Minimum)
	}
	if len(learned) == 0 {
		r.object("there is nothing to learn from")
		return r, nil
	}
	weights, err := correlate.FitSigned(learned, o.Prior.Weights, o.Variance)
	if err != nil {
		return nil, err
	}
	for name, w := range weights {
		weights[name] = math.Round(w*1000) / 1000
	}
	r.Model = &correlate.Model{
		Name:    nameOf(o.Name, o.Now, weights),
		Fitted:  fmt.Sprintf("%d incidents whose cause was confirmed, from %s, by whence learn", len(learned), o.Prior.Name),
		Weights: weights,
	}
	r.Weights = moved(o.Current.Weights, weights)
	r.Scores = append(r.Scores, scoreOf("learned from", learned, o.Current, r.Model), scoreOf("held back", held, o.Current, r.Model))
	r.judge()
	return r, nil
}

func (r *Report) object(format string, arguments ...any) {
	r.Objections = append(r.Objections, fmt.Sprintf(format, arguments...))
}

// judge objects to a model that is worse on what was held back than chance
// explains.
func (r *Report) judge() {
	held := r.Scores[len(r.Scores)-1]
	if held.Incidents == 0 {
		r.object("no incident is held back, so nobody can say whether it is better")
		return
	}
	if held.LogLoss.Worse(+1) {
		r.object("log loss on what was held back rises by %s", held.LogLoss.Change)
	}
	if held.Brier.Worse(+1) {
		r.object("the Brier score on what was held back rises by %s", held.Brier.Change)
	}
	if held.First.Worse(-1) {
		r.object("the share whose cause comes first on what was held back changes by %s", held.First.Change)
	}
}

// nameOf is never the name of other weights: workers tell by it which effects to
// rank anew.
func nameOf(whose string, now time.Time, weights map[string]float64) string {
	text, _ := json.Marshal(weights) // its keys are in order
	sum := sha256.Sum256(text)
	return fmt.Sprintf("%s-%s-%s", whose, now.UTC().Format("2006-01-02"), hex.EncodeToString(sum[:3]))
}

func moved(before, after map[string]float64) []Moved {
	var all []Moved
	for _, name := range slices.Sorted(maps.Keys(after)) {
		all = append(all, Moved{name, before[name], after[name]})
	}
	slices.SortStableFunc(all, func(a, b Moved) int {
		return cmp.Compare(math.Abs(b.After-b.Before), math.Abs(a.After-a.Before))
	})
	return all
}

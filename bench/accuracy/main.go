// Command accuracy fits the weights by which causes are ranked, and says how
// well they are: on generated rollouts, and on recorded ones.
//
//	go run ./bench/accuracy -recorded DIR            # how good the model in the tree is
//	go run ./bench/accuracy -recorded DIR -fit       # fit it anew, into processors/correlate/weights.json
//	go run ./bench/accuracy -recorded DIR -pipeline BINARY   # ask a running Whence
//
// Without -pipeline cases are ranked in memory, by the code that the pipeline
// runs. Leave-one-out figures are of models that have not seen the recording
// that they answer, in none of its cuttings.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/whencehq/whence/processors/correlate"
)

var (
	dir        = flag.String("recorded", "", "folder of recorded rollouts; empty: generated ones only")
	refit      = flag.Bool("fit", false, "fit the weights anew and write them")
	weights    = flag.String("weights", "processors/correlate/weights.json", "where -fit writes")
	train      = flag.Int("train", 2500, "generated cases to fit on")
	test       = flag.Int("test", 1000, "generated cases to report on, others than those")
	largest    = flag.Int("largest", 60, "services of a generated case at most: hundreds take long")
	importance = flag.Float64("importance", 20, "how many generated cases a cutting of a recorded one counts for, in a fit")
	loo        = flag.Bool("leave-one-out", true, "report leave-one-out figures of the recorded rollouts, which takes a fit each")
	asJSON     = flag.Bool("json", false, "report as JSON")
	binary     = flag.String("pipeline", "", "ask this whence binary, started with up, instead of ranking in memory")
	statements = flag.Bool("statements", false, "with -pipeline: run the SQL of every term and compare")
	kinds      = flag.Bool("faults", false, "report each kind of fault of the generated cases")
	misses     = flag.Bool("misses", false, "show the evidence where the truth is not first")
)

func main() {
	flag.Parse()
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	var byFolder map[string][]sample
	var all []sample
	if *dir != "" {
		var err error
		if byFolder, err = recorded(*dir); err != nil {
			return err
		}
		for _, folder := range folders {
			all = append(all, byFolder[folder]...)
		}
	}
	var training []correlate.Example
	if *refit || *loo && all != nil {
		progress("generating %d cases", *train)
		var err error
		if training, err = examplesOf(*train, 1); err != nil {
			return err
		}
	}
	model := correlate.DefaultModel()
	if *refit {
		progress("fitting")
		var err error
		if model, err = fit(training, all, ""); err != nil {
			return err
		}
		text, err := json.MarshalIndent(model, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*weights, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return report(out, model, training, all, byFolder)
}

func report(out io.Writer, model *correlate.Model, training []correlate.Example, all []sample, byFolder map[string][]sample) error {
	fitted := func(*sample) *correlate.Model { return model }
	progress("generating %d other cases", *test)
	var given []answer
	err := generated(*test, 2, func(s sample) {
		a := answered(&s, model)
		a.forget()
		given = append(given, a)
	})
	if err != nil {
		return err
	}
	scores := []score{scoreOf("generated", given)}
	if *kinds {
		scores = append(scores, byFault(given)...)
	}
	show(given)
	if all != nil && *loo {
		progress("fitting without each of the recordings")
		models, err := leaveOneOut(training, all)
		if err != nil {
			return err
		}
		for _, folder := range folders {
			given := answers(byFolder[folder], func(s *sample) *correlate.Model { return models[s.group] })
			scores = append(scores, scoreOf(folder+" left out", given))
			show(given)
		}
	}
	for _, folder := range folders {
		if all == nil {
			break
		}
		name, given := folder+" fitted", answers(byFolder[folder], fitted)
		if *binary != "" {
			progress("publishing %s to a running Whence", folder)
			var audited *audit
			if given, audited, err = throughPipeline(context.Background(), *binary, byFolder[folder]); err != nil {
				return err
			}
			name = folder + " through the pipeline"
			if err := audited.tell(folder); err != nil {
				return err
			}
		}
		scores = append(scores, scoreOf(name, given))
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"model": model.Name, "fitted": model.Fitted, "scores": scores})
	}
	printScores(out, scores)
	return nil
}

// tell says what an audit found, on standard error.
func (a *audit) tell(folder string) error {
	if a.Terms == 0 {
		return nil
	}
	for _, wrong := range a.Wrong {
		fmt.Fprintln(os.Stderr, wrong)
	}
	progress("%s: %d terms' statements were run, %d sums checked, %d are wrong", folder, a.Terms, a.Sums, len(a.Wrong))
	if len(a.Wrong) > 0 {
		return fmt.Errorf("%s: %d terms are not what their statements return", folder, len(a.Wrong))
	}
	return nil
}

func byFault(given []answer) []score {
	groups := map[string][]answer{}
	for _, a := range given {
		name := "  " + a.truth.Kind + ", " + a.truth.Fault
		groups[name] = append(groups[name], a)
	}
	var scores []score
	for name, answers := range groups {
		scores = append(scores, scoreOf(name, answers))
	}
	slices.SortFunc(scores, func(a, b score) int { return strings.Compare(a.Set, b.Set) })
	return scores
}

func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "accuracy: "+format+"\n", arguments...)
}

func printScores(out io.Writer, scores []score) {
	fmt.Fprintf(out, "%-32s %6s  %-34s %-34s %-34s %-34s %13s  %s\n", "", "cases", "first among changes", "within three among changes",
		"first of all", "abstained", "Brier", "latest started / random first, three")
	for _, s := range scores {
		fmt.Fprintf(out, "%-32s %6d  %-34s %-34s %-34s %-34s %5.3f ± %.3f  %.2f / %.2f, %.2f\n", s.Set, s.Cases, s.First, s.Three, s.Joint, s.Abstained,
			s.Brier, 1.96*s.BrierSE, s.Latest.Share, s.RandomFirst, s.RandomThree)
	}
	for _, s := range scores {
		if strings.HasPrefix(s.Set, " ") {
			continue
		}
		fmt.Fprintf(out, "\nreliability, %s: of hypotheses said to be so probable, how many were true\n", s.Set)
		for _, b := range s.Reliability {
			bar := strings.Repeat("#", int(b.Observed.Share*40+0.5))
			fmt.Fprintf(out, "  said %5.1f %%  true %5.1f %% of %5d  |%-40s|\n", 100*b.Said, 100*b.Observed.Share, b.Observed.Of, mark(bar, b.Said))
		}
	}
}

// mark sets a sign where a perfectly calibrated bar would end.
func mark(bar string, said float64) string {
	line := []byte(fmt.Sprintf("%-40s", bar))
	line[min(39, int(said*40))] = '|'
	return string(line)
}

// show prints the evidence where the truth is not first.
func show(given []answer) {
	if !*misses {
		return
	}
	for i := range given {
		a := &given[i]
		if a.isTrue(&a.links[0]) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s %s, %s\n", a.name, a.truth.Kind, a.truth.Service, a.truth.Fault)
		for j := range a.links {
			l := &a.links[j]
			if j > 1 && !a.isTrue(l) {
				continue
			}
			fmt.Fprintf(os.Stderr, "  %d %.3f %s %s %s:", l.Rank, l.Probability, map[bool]string{true: "TRUE"}[a.isTrue(l)], l.CauseKind, l.Service)
			for _, t := range l.Evidence {
				fmt.Fprintf(os.Stderr, " %s %.2f (%+.1f)", t.Name, t.Value, t.Log())
			}
			fmt.Fprintln(os.Stderr)
		}
	}
}

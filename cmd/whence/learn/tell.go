package learn

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// most is how many weights people are shown.
const most = 12

// Tell says it to people.
func (r *Report) Tell(w io.Writer) error {
	left := 0
	for _, n := range r.Skipped {
		left += n
	}
	fmt.Fprintf(w, "incidents whose cause was confirmed: %d learned from, %d held back, %d left out\n", r.Learned, r.HeldBack, left)
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(w, "  %d left out: %s\n", r.Skipped[reason], reason)
	}
	if r.Model == nil {
		return nil
	}
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(lines, "\n\t\t%s\t%s\tCHANGE\n", r.Current, r.Model.Name)
	for _, s := range r.Scores {
		if s.Incidents == 0 {
			fmt.Fprintf(lines, "%s\tno incidents\n", s.Set)
			continue
		}
		fmt.Fprintf(lines, "%s\tlog loss\t%s\t%s\t%s\n", s.Set, s.LogLoss.Before, s.LogLoss.After, s.LogLoss.Change)
		fmt.Fprintf(lines, "\tcause first\t%s\t%s\t%s\n", s.First.Before, s.First.After, s.First.Change)
		fmt.Fprintf(lines, "\tBrier\t%s\t%s\t%s\n", s.Brier.Before, s.Brier.After, s.Brier.Change)
	}
	fmt.Fprint(lines, "\nWHAT A TERM WEIGHS\tBEFORE\tAFTER\tCHANGE\n")
	for _, m := range r.Weights[:min(most, len(r.Weights))] {
		if m.Before != m.After {
			fmt.Fprintf(lines, "%s\t%.3f\t%.3f\t%+.3f\n", m.Term, m.Before, m.After, m.After-m.Before)
		}
	}
	if err := lines.Flush(); err != nil {
		return err
	}
	if r.Written != "" {
		fmt.Fprintf(w, "\nwritten: %s\nto rank with it, name it in the configuration of the workers and start them again; every effect is ranked anew:\n\n  correlate: {model: %s}\n",
			r.Written, r.Written)
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/cmd/whence/learn"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
)

// learning is what whence learn is told.
type learning struct {
	learn.Options
	prior, current string // files
	out            string
	force, json    bool
}

func newLearn() *cobra.Command {
	var c clickHouseFlags
	var l learning
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Fit the weights that causes are ranked by to what people confirmed",
		Long: `learn reads every incident whose cause was confirmed (whence confirm), with the
ranking that people were shown, and fits the weights of the terms of evidence to
them. The weights that Whence comes with are where it starts and what each weight
is drawn towards, so that few confirmations move little.

People confirm what they are shown. An incident whose cause was shown at rank 4
counts as (1/4)^-eta incidents, for so many like it were likely overlooked, but no
more than 1/--least; what was looked up without being shown counts once.

A share of the incidents, the same ones each time, is never learned from: the
report says how well both models answer these and the others, with 95 %
intervals. A model that answers them worse than chance explains is not written,
nor one of fewer than --min incidents; --force writes it anyway. Without --out
nothing is written.

Workers rank with the file that correlate.model of their configuration names, and
rank every effect anew whose ranking has another model's name in links.model.
Learn from all that was confirmed each time, and compare with what ranks now by
--model: a model that starts from a learned one counts its incidents twice.

It exits 1 where the model is not good enough to be written.`,
		Example: `  whence learn
  whence learn --name acme --out acme.json
  whence learn --name acme --out acme.json --model acme.json --json | jq .scores`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return err
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				cases, skipped, err := learn.Read(ctx, reading(store))
				if err != nil {
					return err
				}
				return l.run(cmd.OutOrStdout(), cases, skipped)
			})
		},
	}
	c.add(cmd)
	f := cmd.Flags()
	f.StringVar(&l.out, "out", "", "`FILE` to write the model to")
	f.StringVar(&l.Name, "name", "learned", "`NAME` that the model's begins with: the organisation's")
	f.StringVar(&l.current, "model", "", "`FILE` of the model that ranks now, to compare with (default: the one that Whence comes with)")
	f.StringVar(&l.prior, "prior", "", "`FILE` of the model to start from (default: the one that Whence comes with)")
	f.Float64Var(&l.Variance, "variance", 0.1, "`V` of each weight around the prior's: smaller moves less")
	f.Float64Var(&l.Eta, "eta", 1, "`E`: a cause shown at rank r gets confirmed (1/r)^E times as often as one shown first")
	f.Float64Var(&l.Least, "least", 0.2, "`P`, but no less often than this")
	f.Float64Var(&l.HeldBack, "held-back", 0.2, "`SHARE` of the incidents that is never learned from")
	f.IntVar(&l.Minimum, "min", 20, "`N` incidents at least")
	f.BoolVar(&l.force, "force", false, "write the model even if it is worse, or of too few incidents")
	f.BoolVar(&l.json, "json", false, "the report as a JSON object")
	return cmd
}

var modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// check holds flags to what makes sense, and reads the models they name.
func (l *learning) check() (err error) {
	switch {
	case !modelName.MatchString(l.Name):
		return usagef("--name: want letters, digits, '.', '_' and '-', have %q", l.Name)
	case !(l.Variance > 0 && l.Variance <= 100):
		return usagef("--variance: want more than 0, up to 100, have %v", l.Variance)
	case !(l.Eta >= 0 && l.Eta <= 10):
		return usagef("--eta: want 0 to 10, have %v", l.Eta)
	case !(l.Least > 0 && l.Least <= 1):
		return usagef("--least: want more than 0, up to 1, have %v", l.Least)
	case !(l.HeldBack >= 0 && l.HeldBack < 1):
		return usagef("--held-back: want a share below 1, have %v", l.HeldBack)
	case l.Minimum < 1:
		return usagef("--min: want at least 1, have %d", l.Minimum)
	}
	l.Now = time.Now()
	if l.Prior, err = readModel(l.prior); err != nil {
		return err
	}
	l.Current, err = readModel(l.current)
	return err
}

// run learns, writes the model where that is asked for and does no harm, and
// says what came of it.
func (l *learning) run(w io.Writer, cases []learn.Case, skipped learn.Skipped) error {
	report, err := learn.From(cases, skipped, l.Options)
	if err != nil {
		return err
	}
	good := len(report.Objections) == 0 || l.force && report.Model != nil
	if good && l.out != "" {
		if err := writeModel(l.out, report.Model); err != nil {
			return err
		}
		report.Written = l.out
	}
	if l.json {
		err = json.NewEncoder(w).Encode(report)
	} else {
		err = report.Tell(w)
	}
	if err != nil || good {
		return err
	}
	hint := "whence confirm INCIDENT CAUSE says what caused an incident"
	if report.Model != nil {
		hint += "; --force writes the model anyway"
	}
	return &pipeline.Error{Err: errors.New("not good enough: " + strings.Join(report.Objections, "; ")), Hint: hint}
}

// writeModel replaces the file in one step: a worker that starts meanwhile reads
// the one or the other.
func writeModel(file string, model any) error {
	text, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".model-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(append(text, '\n'))
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}

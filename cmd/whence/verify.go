package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/oracle"
)

func newVerify() *cobra.Command {
	var c clickHouseFlags
	var from, to string
	var sample float64
	var asJSON bool
	memory := config.Bytes(4 << 30)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compute every table once more by another route, and compare",
		Long: `verify computes what the tables must say from the events alone, in SQL that
shares nothing with the pipeline, and compares: every enriched row, every minute
of vitals, every column of every entity, and the ledger that says that nothing
was lost and nothing counts twice. The pipeline may run meanwhile. What differs
is looked at again, so that only what stays wrong is reported.

--from and --to bound the observations by event time, to whole minutes: a date, a
time (RFC 3339), or how long ago (24h, 7d). Facts are always all looked at.
--sample 0.1 looks at a tenth of the minutes of each service, the same ones each
time.

It sees what lies in ClickHouse. Of an observation that is gone, and has left
neither a former state nor a minute that was sealed with it, only Kafka tells:
whence replay --check compares with that.

It exits 0 when nothing differs and 1 when something does. It reads, and writes
to a scratch database of its own that it drops at the end.`,
		Example: `  whence verify --from 24h
  whence verify --from 2026-03-01 --to 2026-04-01 --sample 0.05 --json | jq .columns`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, err := scopeOf(from, to, sample, time.Now())
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				report, err := oracle.Verify(ctx, asker(store, int64(memory)), oracle.Options{
					Scope: scope, Progress: comparing(cmd.ErrOrStderr()),
				})
				if err != nil {
					return explained(err)
				}
				return show(cmd.OutOrStdout(), report, asJSON)
			})
		},
	}
	c.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "`TIME` of the first observation: 2026-03-01, 2026-03-01T14:05:00Z, 24h (ago)")
	flags.StringVar(&to, "to", "", "`TIME` that observations are before")
	flags.Float64Var(&sample, "sample", 1, "`SHARE` of the minutes of each service, above 0 up to 1")
	flags.Var(&memory, "memory", "`SIZE` that one of its statements may take in ClickHouse")
	flags.BoolVar(&asJSON, "json", false, "the report as a JSON object")
	return cmd
}

func scopeOf(from, to string, sample float64, now time.Time) (scope oracle.Scope, err error) {
	for _, flag := range []struct {
		name, text string
		at         *time.Time
	}{{"--from", from, &scope.From}, {"--to", to, &scope.To}} {
		if flag.text == "" {
			continue
		}
		if *flag.at, err = momentOf(flag.text, now); err != nil {
			return scope, usagef("%s: %w", flag.name, err)
		}
	}
	if !scope.From.IsZero() && !scope.To.IsZero() && !scope.From.Before(scope.To) {
		return scope, usagef("--from %s is not before --to %s", from, to)
	}
	if !(sample > 0 && sample <= 1) {
		return scope, usagef("--sample: want a share above 0, up to 1, have %v", sample)
	}
	scope.Share = sample
	return scope, nil
}

// asker runs the oracle's statements. The settings are those that its SQL is
// written for, whatever the user's profile says, and bounds of its memory.
func asker(store *clickhouse.Client, memory int64) oracle.Query {
	settings := map[string]string{
		"session_timezone": "UTC", "join_use_nulls": "0", "transform_null_in": "0", "prefer_column_name_to_alias": "0",
		"output_format_json_quote_64bit_integers": "0",
		"max_memory_usage":                        fmt.Sprint(memory),
		"max_bytes_before_external_group_by":      fmt.Sprint(memory / 4),
		"max_bytes_before_external_sort":          fmt.Sprint(memory / 4),
	}
	return func(ctx context.Context, statement string) ([]byte, error) {
		return store.Ask(ctx, statement, settings)
	}
}

// explained adds what helps against the errors that verify has of its own.
func explained(err error) error {
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) {
		return err
	}
	switch exception.Code {
	case 164, 497: // READONLY, ACCESS_DENIED
		return &pipeline.Error{Err: err, Hint: "verify writes to a scratch database of its own: take a user that may create databases and tables"}
	case 241: // MEMORY_LIMIT_EXCEEDED
		return &pipeline.Error{Err: err, Hint: "raise --memory, or look at less at once with --from, --to or --sample"}
	}
	return err
}

// comparing shows how far it is, to a person who is likely to wait.
func comparing(w io.Writer) func(what string, done, all uint64) {
	var bar *progressbar.ProgressBar
	last := ""
	return func(what string, done, all uint64) {
		if what != last {
			bar, last = progress(w, int64(max(all, 1)), what), what
		}
		if done == all {
			_ = bar.Finish()
			return
		}
		_ = bar.Set64(int64(done))
	}
}

// show prints the report. Something that differs is an error: the exit code
// says it to whoever does not read.
func show(w io.Writer, report *oracle.Report, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		if err := out.Encode(report); err != nil {
			return err
		}
	} else if err := tell(w, report); err != nil {
		return err
	}
	if report.Sound() {
		return nil
	}
	return &pipeline.Error{Err: errors.New("the tables do not say what the facts say"), Hint: remedy(report)}
}

// remedy is what helps: what is lost is computed from nothing, it has to be read
// from Kafka again.
func remedy(report *oracle.Report) string {
	for _, t := range report.Troubles {
		switch t.Trouble {
		case "gap", "sum":
			return fmt.Sprintf("whence replay --topic %s --from OFFSET reads again what Kafka still has; the ledger is right up to offset %s of partition %d", t.Topic, t.Key, t.Partition)
		case "ahead":
			return "if no worker is behind (whence reconcile status), these rows were restored or written without their facts, and no fact will correct them: delete them, then whence replay their records"
		}
	}
	for _, c := range report.Columns {
		if c.Name == "row" && (c.Area == oracle.Observations || c.Area == oracle.Facts) {
			return "rows are missing, or are there that nobody has said: whence replay --topic TOPIC --from TIME reads again what Kafka still has"
		}
	}
	return "whence reconcile status tells which facts wait for their corrections; whence rebuild --from T --to T computes rows, vitals and entities anew"
}

func tell(w io.Writer, report *oracle.Report) error {
	fmt.Fprintf(w, "compared %s in %s, %s and %s", display.Quantity(report.Observations, "observation", "observations"),
		display.Quantity(report.Minutes, "minute", "minutes"), display.Quantity(report.Entities, "entity", "entities"),
		display.Quantity(report.Facts, "fact", "facts"))
	if !report.Vitals {
		fmt.Fprint(w, "; there are no vitals")
	}
	fmt.Fprintln(w)
	if report.Sound() {
		fmt.Fprintln(w, "nothing differs")
	} else if err := table(w, report); err != nil {
		return err
	}
	if report.Unsettled > 0 {
		fmt.Fprintf(w, "%s written while being looked at, or with newer facts: left for another time\n", display.Quantity(report.Unsettled, "row or minute was", "rows or minutes were"))
	}
	if report.Repeated > 0 {
		fmt.Fprintf(w, "%s there again, as if for the first time: counted once, but in a view of your own that counts rows as they come\n", display.Quantity(report.Repeated, "row is", "rows are"))
	}
	if report.Waiting > 0 {
		since := ""
		if report.WaitingSince != nil {
			since = " since " + report.WaitingSince.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s for corrections%s\n", display.Quantity(report.Waiting, "fact waits", "facts wait"), since)
	}
	return nil
}

// table lists what differs, a line each, with an example or two below.
func table(w io.Writer, report *oracle.Report) error {
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "WHERE\tWHAT\tHOW MANY\tSUCH AS")
	for _, c := range report.Columns {
		if c.Name == "any column" { // the sum of the others
			continue
		}
		for i, e := range c.Examples[:min(2, len(c.Examples))] {
			where, what, many := c.Area, c.Name, display.Count(c.Differing)
			if i > 0 {
				where, what, many = "", "", ""
			}
			fmt.Fprintf(lines, "%s\t%s\t%s\t%s: %s, must be %s\n", where, what, many, display.Line(e.Row), quoted(e.Stored), quoted(e.Expected))
		}
	}
	for _, t := range report.Troubles {
		place := ""
		if t.Topic != "" {
			place = fmt.Sprintf("%s/%d: ", t.Topic, t.Partition)
		}
		fmt.Fprintf(lines, "ledger\t%s\t1\t%s%s\n", t.Trouble, place, display.Line(t.Detail))
	}
	return lines.Flush()
}

// quoted is a value short enough for a line.
func quoted(value string) string {
	const limit = 80
	if len(value) > limit {
		value = strings.ToValidUTF8(value[:limit], "") + "…"
	}
	return cmp.Or(display.Line(strings.Join(strings.Fields(value), " ")), "empty")
}

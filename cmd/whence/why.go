package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/whencehq/whence/cmd/whence/catalog"
	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/schemas/event"
)

func newWhy() *cobra.Command {
	var c clickHouseFlags
	var look why.Look
	var asJSON bool
	q := why.Question{}
	asOf := momentFlag{now: time.Now}
	cmd := &cobra.Command{
		Use:   "why ID",
		Short: "Tell the story of an incident or another effect, or of a deployment",
		Long: `why tells what is known of an incident, an alert, a finding or a breach: what it
is, since when, who is hit, and which change came before it: every hypothesis
with its probability and its evidence, "no known change" among them. Of a
deployment it tells what it changed and which effects blame it.

Under each hypothesis are the terms that speak for and against it, in log odds;
they add up to the line below them. --sql shows the statement behind each figure.
--as-of tells what was known and said at that moment, which may differ from what
is known now: of an id that nothing was known of by then only that. What users saw
is told as it is known now, up to that moment. Times are UTC.

--json is one object of schema whence.why/1: effect, hit, ranking, hypotheses
(rank, cause_kind, cause_id, probability, log_odds, sum, evidence: term, value,
weight, contribution, words, sql), history, late, confirmed, signal, next; of a
deployment: deployment, blamed_for, signal, next.

It exits 1 where the id is unknown, or where the effect is not ranked: then what
is known of it is told all the same. Every incident, alert and breach is ranked
within seconds; a finding too, unless only scans list it and none names the
revision that brought it, for then there is nothing to look for.`,
		Example: `  whence why inc-310
  whence why inc-310 --as-of 10m
  whence why payments-4.2.0 --json | jq '.blamed_for'`,
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Kind != "" && !slices.Contains(why.Kinds(), q.Kind) {
				return usagef("--kind: want one of %s, have %q", strings.Join(why.Kinds(), ", "), q.Kind)
			}
			q.ID, q.AsOf, q.Now = args[0], why.Moment(asOf.at), why.Moment(event.MillisOf(time.Now()))
			q.All = look.All || asJSON
			look.Width = terminalWidth(cmd.OutOrStdout())
			look.Colors = colored(cmd.OutOrStdout())
			look.ASCII = os.Getenv("TERM") == "dumb"
			q.Minutes = min(max(look.Width-14, 30), 120)
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				story, err := why.Read(ctx, reading(store), q)
				if err != nil {
					return storyError(err)
				}
				if err := proposeNames(ctx, reading(store), story); err != nil {
					return err
				}
				if story.Ranking != nil && story.AsOf == 0 {
					// Who may not look behind the views is not told.
					due, err := rankingDue(ctx, store, correlate.Key{Kind: story.Effect.Kind, ID: story.Effect.ID})
					story.Ranking.Due = due && err == nil
				}
				return tellStory(cmd.OutOrStdout(), story, look, asJSON)
			})
		},
	}
	c.add(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "`KIND` of the id, where more than one thing has it: "+strings.Join(why.Kinds(), ", "))
	f.Var(&asOf, "as-of", "tell what was said at `TIME`: 2026-03-12T14:05:00Z, or how long ago, as 2h")
	f.BoolVar(&look.SQL, "sql", false, "the statement behind each figure")
	f.BoolVar(&look.All, "all", false, "every hypothesis with all its evidence")
	f.BoolVar(&asJSON, "json", false, "one JSON object, statements included")
	return cmd
}

// reading runs the statements of a story.
func reading(store *clickhouse.Client) why.Ask {
	settings := map[string]string{
		"session_timezone": "UTC", "join_use_nulls": "0", "transform_null_in": "0", "prefer_column_name_to_alias": "0",
		"output_format_json_quote_64bit_integers": "0", "output_format_json_quote_denormals": "0",
		"enable_shared_storage_snapshot_in_query": "1",
	}
	return func(ctx context.Context, statement string) ([]byte, error) {
		return store.Ask(ctx, statement, settings)
	}
}

// proposeNames puts what the effect's services may mean first among what comes
// next, where no observation names them: it is why nothing is measured.
func proposeNames(ctx context.Context, ask why.Ask, story *why.Story) error {
	if story.Hit == nil || len(story.Hit.Unobserved) == 0 || story.AsOf != 0 {
		return nil
	}
	week := story.Effect.Onset.Time().AddDate(0, 0, -7)
	known, err := catalog.Read(ctx, ask, week.Format(time.DateTime))
	if err != nil {
		return err
	}
	var next []why.Action
	for _, p := range catalog.Propose(known) {
		if p.Kind == catalog.Service && slices.Contains(story.Hit.Unobserved, p.Alias) && p.Confidence >= likelyName {
			next = append(next, why.Action{Command: display.Command("whence catalog confirm", p.Alias, p.Canonical),
				When: fmt.Sprintf("if they are one: %.0f %% sure, and then there is something to measure", 100*p.Confidence)})
		}
	}
	story.Next = append(next[:min(2, len(next))], story.Next...)
	return nil
}

// likelyName is how sure a proposal is that catalog proposals shows unasked.
const likelyName = 0.4

// storyError makes an ambiguous id an error of usage.
func storyError(err error) error {
	var ambiguous *why.AmbiguousError
	if errors.As(err, &ambiguous) {
		return usage(err)
	}
	return err
}

// tellStory prints it. An effect that is not ranked is an error, told last.
func tellStory(w io.Writer, story *why.Story, look why.Look, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false) // statements are full of < and >
		if err := out.Encode(story); err != nil {
			return err
		}
	} else if err := story.Tell(w, look); err != nil {
		return err
	}
	if story.Effect == nil || story.Ranking != nil {
		return nil
	}
	if story.AsOf != 0 {
		return &pipeline.Error{Err: fmt.Errorf("%s %s was not ranked by then", story.Effect.Kind, story.Effect.ID),
			Hint: "leave --as-of out to see what is said now"}
	}
	if story.Effect.Unranked != "" {
		return &pipeline.Error{Err: fmt.Errorf("no cause is looked for of %s %s: %s", story.Effect.Kind, story.Effect.ID, story.Effect.Unranked),
			Hint: unrankedHints[story.Effect.Kind]}
	}
	return &pipeline.Error{Err: fmt.Errorf("%s %s is not ranked yet", story.Effect.Kind, story.Effect.ID),
		Hint: "a worker ranks it within seconds: is one running? whence reconcile status tells how far it is"}
}

// unrankedHints say of an effect that no worker ranks what can be done about it.
var unrankedHints = map[string]string{
	correlate.Finding: "a report that says which findings are new in which revision gets them ranked; whence query \"SELECT * FROM finding_exposure\" tells where it is live",
	correlate.Alert:   "it is ranked once its alert.fired is published",
}

// terminalWidth is how wide w is; elsewhere what $COLUMNS says, or 80.
func terminalWidth(w any) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	columns, _ := strconv.Atoi(os.Getenv("COLUMNS"))
	return cmp.Or(max(columns, 0), 80)
}

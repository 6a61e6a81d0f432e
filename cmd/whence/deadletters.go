package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/processors/rules"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

func newDeadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "See what could not be taken, and take it once it can be",
		Long: `A record that can't be taken is a dead letter: a row of dead_letters, with its
bytes, the reason and where it came from. list counts them by what they have in
common, show shows one, replay takes them through the pipeline again, after a
rule was written or a newer version was installed. Where a rule withholds the
bytes, whence replay takes the record from Kafka.

A letter that either replay has made good is no longer open: list and replay
leave it out, unless they are told not to.`,
		Example: `  whence deadletters list --since 24h
  whence deadletters show whence.delivery/0/4711
  whence deadletters replay --reason unknown_type --dry-run`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLettersList(), newLettersShow(), newLettersReplay())
	return cmd
}

// letterFlags pick dead letters.
type letterFlags struct {
	picked       clickhouse.Letters
	since, until momentFlag
}

func (l *letterFlags) add(cmd *cobra.Command) {
	l.since, l.until = momentFlag{event.Always, time.Now}, momentFlag{event.Forever, time.Now}
	f := cmd.Flags()
	f.StringSliceVar(&l.picked.Reasons, "reason", nil, "only of this `REASON`, as missing_field; more with commas")
	f.StringSliceVar(&l.picked.Sources, "source", nil, "only of this `SOURCE`: an event's, or a tool as github")
	f.StringSliceVar(&l.picked.Types, "type", nil, "only of this `TYPE`")
	f.StringSliceVar(&l.picked.Topics, "topic", nil, "only from this `TOPIC`, in full")
	f.Var(&l.since, "since", "only records that Kafka took at `TIME` or later: 2026-03-12T14:05:00Z, 2026-03-12 or how long ago, as 24h")
	f.Var(&l.until, "until", "only records that Kafka took before `TIME`")
	completes(cmd, "reason", reasons())
	completes(cmd, "type", typeNames())
	completes(cmd, "topic", event.InputTopics())
	var tools []string
	for _, s := range source.All() {
		tools = append(tools, s.Name+"\t"+s.Title)
	}
	completes(cmd, "source", tools)
}

func reasons() []string {
	var all []string
	for _, r := range pipeline.Reasons() {
		all = append(all, string(r))
	}
	return all
}

// completes offers words for a flag.
func completes(cmd *cobra.Command, flag string, words []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // a flag that is not there
	}
}

func (l *letterFlags) letters() (clickhouse.Letters, error) {
	l.picked.Since, l.picked.Until = l.since.at, l.until.at
	if l.since.at >= l.until.at {
		return l.picked, usagef("--since must be before --until")
	}
	for _, r := range l.picked.Reasons {
		known := false
		for _, k := range pipeline.Reasons() {
			known = known || r == string(k)
		}
		if !known {
			return l.picked, usagef("--reason %s: want one of %s", r, strings.Join(reasons(), ", "))
		}
	}
	return l.picked, nil
}

func newLettersList() *cobra.Command {
	var c clickHouseFlags
	var l letterFlags
	var asJSON bool
	limit := 50
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Count dead letters by reason, topic, source and type",
		Long: `list counts the open dead letters by reason, topic, source and type, the most
first, each with the last one as an example: whence deadletters show shows that
one whole.`,
		Example: `  whence deadletters list
  whence deadletters list --reason missing_field,invalid_value --since 24h
  whence deadletters list --source github --json | jq .example`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			picked, err := l.letters()
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef("--limit: want at least 1")
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				groups, err := store.LetterGroups(ctx, picked, limit)
				if err != nil {
					return err
				}
				return printGroups(cmd.OutOrStdout(), groups, asJSON)
			})
		},
	}
	c.add(cmd)
	l.add(cmd)
	cmd.Flags().BoolVar(&l.picked.Replayed, "all", false, "those too that a replay has made good")
	cmd.Flags().IntVar(&limit, "limit", limit, "at most `N` groups")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a group")
	return cmd
}

func printGroups(w io.Writer, groups []clickhouse.LetterGroup, asJSON bool) error {
	if asJSON {
		for _, g := range groups {
			line, err := json.Marshal(map[string]any{
				"reason": g.Reason, "topic": g.Topic, "source": g.Source, "type": g.Type, "letters": g.Letters,
				"first": moment(g.First), "last": moment(g.Last), "example": g.Example.String(), "detail": g.Detail,
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\n", line)
		}
		return nil
	}
	if len(groups) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LETTERS\tREASON\tTOPIC\tSOURCE\tTYPE\tFIRST\tLAST\tEXAMPLE\tDETAIL")
	for _, g := range groups {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", display.Count(g.Letters), g.Reason, display.Line(g.Topic), orDash(g.Source), orDash(g.Type),
			moment(g.First), moment(g.Last), display.Line(g.Example.String()), cutTo(g.Detail, 80))
	}
	return table.Flush()
}

func moment(m event.Millis) string { return m.Time().Format(time.RFC3339) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return cutTo(text, 60)
}

// cutTo is at most n characters of text, on one line.
func cutTo(text string, n int) string {
	runes := []rune(display.Line(text))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-1]) + "…"
}

// placeOf reads topic/partition/offset.
func placeOf(text string) (clickhouse.Place, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		partition, err := strconv.ParseInt(parts[1], 10, 32)
		offset, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err == nil && err2 == nil && parts[0] != "" {
			return clickhouse.Place{Topic: parts[0], Partition: int32(partition), Offset: offset}, nil
		}
	}
	return clickhouse.Place{}, usagef("%s: want a letter's place as whence.delivery/0/4711", text)
}

func newLettersShow() *cobra.Command {
	var c clickHouseFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show TOPIC/PARTITION/OFFSET",
		Short: "Show one dead letter whole",
		Long: `show shows a dead letter: why it is one, where it came from, its headers and its
bytes, as indented JSON where they are JSON, as text where they are text, else
in hexadecimal.`,
		Example: `  whence deadletters show whence.delivery/0/4711
  whence deadletters show whence.delivery/0/4711 --json | jq -r .value | base64 -d`,
		Args: exactly("TOPIC/PARTITION/OFFSET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := placeOf(args[0])
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), c, func(ctx context.Context, store *clickhouse.Client) error {
				letters, err := store.LettersAfter(ctx, clickhouse.Letters{Places: []clickhouse.Place{place}, Since: event.Always, Until: event.Forever}, nil, 10)
				if err != nil {
					return err
				}
				if len(letters) == 0 {
					return &pipeline.Error{Err: fmt.Errorf("there is no dead letter at %s", place), Hint: "whence deadletters list names one of each kind"}
				}
				for i := range letters { // more than one where the topic was made anew
					if err := showLetter(cmd.OutOrStdout(), &letters[i], asJSON); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, key and value in base64")
	return cmd
}

func showLetter(w io.Writer, l *clickhouse.ReplayedLetter, asJSON bool) error {
	place := clickhouse.Place{Topic: l.Topic, Partition: l.Partition, Offset: l.Offset}
	hint := ""
	if rules.Withheld(l.Detail) && (l.Outcome == "" || l.Outcome == tables.LetterDead) {
		hint = waysOut(l.Topic, l.Offset, "FILE")
	}
	if asJSON {
		headers := []map[string]any{}
		for _, h := range l.Headers {
			headers = append(headers, map[string]any{"key": h.Key, "value": string(h.Value)})
		}
		out := map[string]any{
			"place": place.String(), "received_at": moment(l.ReceivedAt), "reason": l.Reason, "detail": l.Detail,
			"source": l.Source, "id": l.ID, "type": l.Type, "key": l.Key, "value": l.Value, "headers": headers, "replay": l.Outcome,
		}
		if l.Outcome != "" {
			out["replayed_at"] = moment(l.ReplayedAt)
		}
		if hint != "" {
			out["hint"] = hint
		}
		line, err := json.Marshal(out)
		fmt.Fprintf(w, "%s\n", line)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, display.Line(text))
		}
	}
	row("place", place.String())
	row("received", moment(l.ReceivedAt))
	row("reason", string(l.Reason))
	row("detail", l.Detail)
	row("type", l.Type)
	row("source", l.Source)
	row("id", l.ID)
	if l.Time != 0 {
		row("time", moment(l.Time))
	}
	if l.Outcome != "" {
		row("replayed", strings.TrimSuffix(moment(l.ReplayedAt)+": "+l.Outcome+", "+l.Now, ", "))
	}
	if l.Key != nil {
		row("key", readable(l.Key))
	}
	for _, h := range l.Headers {
		row("header", h.Key+": "+readable(h.Value))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	switch {
	case hint != "":
		fmt.Fprintln(w, "no value: a rule withholds it, and deadletters replay can make nothing of it\nhint: "+hint)
	case l.Value == nil:
		fmt.Fprintln(w, "no value")
	case json.Valid(l.Value):
		var pretty strings.Builder
		encoder := json.NewEncoder(&pretty)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(json.RawMessage(l.Value)); err != nil {
			return err
		}
		fmt.Fprint(w, display.Lines(pretty.String()))
	case utf8.Valid(l.Value):
		fmt.Fprintln(w, display.Lines(string(l.Value)))
	default:
		fmt.Fprint(w, hex.Dump(l.Value))
	}
	return nil
}

// readable is bytes as text where they are, else in hexadecimal.
func readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

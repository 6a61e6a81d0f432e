package catalog

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/whencehq/whence/pipeline/display"
)

// TellNames writes names as a table, on lines of about width characters; 0: as
// long as they are.
func TellNames(w io.Writer, names []Name, width int) error {
	if len(names) == 0 {
		_, err := fmt.Fprintln(w, "no names: is anything published?")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tNAME\tMEANS\tEVENTS\tLAST SEEN\tUSED AS\tBY")
	for _, n := range names {
		means := "itself"
		switch {
		case n.Canonical != n.Name:
			means = n.Canonical
		case n.Declared:
			means = "itself, declared"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n.Kind, short(n.Name, width/3), short(means, width/4), n.Events,
			day(n.LastSeen), short(strings.Join(n.Roles, ", "), width/2), short(strings.Join(n.Sources, ", "), width/2))
	}
	return table.Flush()
}

// TellProposals writes proposals, each with what to do about it.
func TellProposals(w io.Writer, made []Proposal, _ int) error {
	if len(made) == 0 {
		_, err := fmt.Fprintln(w, "nothing to propose: no two names look like one, or all is settled")
		return err
	}
	for i, p := range made {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%3.0f %%  %s %s means %s\n", 100*p.Confidence, p.Kind, display.Line(p.Alias), display.Line(p.Canonical))
		for _, e := range p.Evidence {
			fmt.Fprintf(w, "       %s: %s\n", e.Kind, display.Line(e.Words))
		}
		for _, do := range []string{"confirm", "reject"} {
			command := "whence catalog " + do
			if p.Kind != Service {
				command += " --kind " + p.Kind
			}
			if _, err := fmt.Fprintf(w, "       %s\n", display.Command(command, p.Alias, p.Canonical)); err != nil {
				return err
			}
		}
	}
	return nil
}

// TellUnmapped writes what could not be placed as a table, see [TellNames].
func TellUnmapped(w io.Writer, rows []Unmapped, width int) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "everything is placed")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tNAME\tEVENTS\tLAST SEEN\tWHY\tBY\tSUCH AS")
	for _, u := range rows {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", u.Kind, short(u.Name, width/3), u.Events, day(u.LastSeen),
			short(u.Reason, width), short(strings.Join(u.Sources, ", "), width/2), short(u.ExampleID, width/2))
	}
	return table.Flush()
}

// day is a moment to the minute, marked where it has not come yet: one event of a
// sender whose clock is wrong makes it the last of all.
func day(moment string) string {
	text := strings.Replace(moment[:min(len(moment), 16)], "T", " ", 1)
	if at, err := time.Parse(time.RFC3339, moment); err == nil && at.After(time.Now()) {
		text += " (in the future)"
	}
	return text
}

// short is a text that leaves room for others on its line, but no less than 24
// characters of it. Without a width there is room for all.
func short(text string, room int) string {
	text = display.Line(text)
	if room == 0 {
		return text
	}
	if room = max(room, 24); utf8.RuneCountInString(text) <= room {
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

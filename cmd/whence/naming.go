package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/cmd/whence/catalog"
	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
)

// naming is what a person says of two names: that they are one, or not.
type naming struct {
	catalog.Pair
	Source    string `json:"source,omitempty"` // the tool that uses the alias
	By        string `json:"by"`
	Refused   bool   `json:"refused"`
	Event     string `json:"event_id"`
	Published bool   `json:"published"` // false: it was so before

	withdraw, force bool

	means  string   // what the alias means now, by its last word; empty: itself
	events []string // that say the same, by ids
	stands []string // those of them that count
}

// namer is the source of what is said of names.
const namer = "whence/catalog"

func newCatalogConfirm() *cobra.Command {
	cmd := newNaming(false)
	cmd.Use = "confirm ALIAS CANONICAL"
	cmd.Short = "Say that a name means another"
	cmd.Long = `confirm publishes an identity.declared event: ALIAS is another name for CANONICAL.
It holds for all time: rows that were stored under the alias are corrected, which
takes a second or two, and views resolve it at once. The last word about an alias
holds. --source notes which tool uses it; it means the same whoever uses it.

The same again is the same event, and is not published twice; --withdraw takes it
back. A name that no event uses is refused, for it is likely misspelt; --force
says it anyway. So is one that would mean itself in the end.`
	cmd.Example = `  whence catalog confirm PABC123 checkout --source pagerduty
  whence catalog confirm --kind person ada@example.com ada-lovelace
  whence catalog confirm checkout-svc checkout --withdraw`
	return cmd
}

func newCatalogReject() *cobra.Command {
	cmd := newNaming(true)
	cmd.Use = "reject ALIAS CANONICAL"
	cmd.Short = "Say that a name does not mean another, so that it is proposed no more"
	cmd.Long = `reject publishes an identity.declared event which says that ALIAS is its own name,
and in its field "not" that it is not CANONICAL. It changes no row; proposals
leaves the pair out, on every machine. --withdraw takes it back.`
	cmd.Example = `  whence catalog reject checkout-web checkout
  whence catalog reject --kind repository shop acme/shop`
	return cmd
}

// newNaming is what both have in common.
func newNaming(refused bool) *cobra.Command {
	var c clickHouseFlags
	var k kafkaFlags
	var asJSON bool
	said := &naming{Refused: refused}
	cmd := &cobra.Command{
		Args: exactly("ALIAS", "CANONICAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := k.config()
			if err != nil {
				return err
			}
			said.Alias, said.Canonical = args[0], args[1]
			if err := said.check(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), k.timeout)
			defer cancel()
			err = withStore(ctx, c.or(cfg, k.file != ""), func(ctx context.Context, store *clickhouse.Client) error {
				return said.read(ctx, reading(store))
			})
			if err != nil {
				return err
			}
			for _, line := range said.lines(time.Now()) {
				if err := publishOne(ctx, cfg.Kafka, line, k.timeout, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			return said.tell(cmd.OutOrStdout(), asJSON)
		},
	}
	k.add(cmd)
	c.add(cmd)
	f := cmd.Flags()
	f.StringVar(&said.Kind, "kind", catalog.Service, "`KIND` of what is named: "+strings.Join(namedKinds, ", "))
	f.StringVar(&said.By, "by", "", "`NAME` of who says so (default: you, as the system knows you)")
	f.BoolVar(&said.withdraw, "withdraw", false, "take back that this was said")
	f.BoolVar(&asJSON, "json", false, "what was recorded as a JSON object")
	if !refused {
		f.StringVar(&said.Source, "source", "", "`TOOL` that uses the alias")
		f.BoolVar(&said.force, "force", false, "also names that no event uses")
	}
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(namedKinds, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// namedKinds are the kinds that identity.declared knows.
var namedKinds = []string{catalog.Service, catalog.Repository, catalog.Person, "user"}

func (n *naming) check() error {
	switch {
	case !slices.Contains(namedKinds, n.Kind):
		return usagef("--kind: want one of %s, have %q", strings.Join(namedKinds, ", "), n.Kind)
	case n.Alias == "" || n.Canonical == "":
		return usagef("ALIAS and CANONICAL may not be empty")
	case n.Alias == n.Canonical:
		return usagef("%s means itself already", n.Alias)
	}
	if n.By = cmp.Or(n.By, userName()); n.By == "" {
		return usagef("--by is missing: nobody says who says so")
	}
	return nil
}

// read reads what is known of the two names, and refuses what can't be meant.
func (n *naming) read(ctx context.Context, ask why.Ask) error {
	words, err := why.Rows[struct{ Alias, Name string }](ctx, ask, `
SELECT alias, name FROM whence_state.words WHERE kind = `+why.Quote(n.Kind)+` AND alias = `+why.Quote(n.Alias)+`
UNION ALL SELECT '', canonical FROM whence_state.meanings WHERE kind = `+why.Quote(n.Kind)+` AND alias = `+why.Quote(n.Canonical))
	if err != nil {
		return err
	}
	ends := n.Canonical
	for _, w := range words {
		if w.Alias == "" {
			ends = w.Name
		} else {
			n.means = w.Name
		}
	}
	if err := n.readEvents(ctx, ask); err != nil || n.withdraw {
		return err
	}
	if n.Refused {
		if n.means == n.Canonical {
			return &pipeline.Error{Err: fmt.Errorf("%s means %s, as somebody said", n.Alias, n.Canonical),
				Hint: "if it doesn't, take that back first: " + display.Command("whence catalog confirm --withdraw", n.Alias, n.Canonical)}
		}
		return nil
	}
	if ends == n.Alias {
		return &pipeline.Error{Err: fmt.Errorf("%s means %s already, so neither would mean the other", n.Canonical, n.Alias),
			Hint: "take that back first, with --withdraw"}
	}
	return n.known(ctx, ask)
}

// readEvents reads which events have said the same.
func (n *naming) readEvents(ctx context.Context, ask why.Ask) error {
	said, err := why.Rows[struct {
		ID     string
		Stands bool
	}](ctx, ask, `
SELECT id, toBool(max(counts)) AS stands FROM whence.facts_history(kind = 'identity', entity = `+why.Quote(n.Alias)+`)
WHERE source = `+why.Quote(namer)+` AND startsWith(id, `+why.Quote(n.base())+`)
GROUP BY id ORDER BY length(id), id`)
	for _, s := range said {
		if n.events = append(n.events, s.ID); s.Stands {
			n.stands = append(n.stands, s.ID)
		}
	}
	return err
}

// known refuses names that no event uses.
func (n *naming) known(ctx context.Context, ask why.Ask) error {
	if n.force || n.Kind == "user" { // users are too many to be listed
		return nil
	}
	for _, name := range []string{n.Alias, n.Canonical} {
		near, err := why.Rows[struct{ Name string }](ctx, ask, `
SELECT name FROM (
    SELECT DISTINCT name FROM whence_state.fact_mentions WHERE kind = `+why.Quote(n.Kind)+`
    UNION DISTINCT SELECT DISTINCT toString(service) FROM whence.observations WHERE `+why.Quote(n.Kind)+` = 'service'
    UNION DISTINCT SELECT DISTINCT toString(arrayJoin([caller, callee])) FROM whence_state.edges WHERE `+why.Quote(n.Kind)+` = 'service')
WHERE name != '' AND (name = `+why.Quote(name)+` OR positionCaseInsensitiveUTF8(name, `+why.Quote(name)+`) > 0
    OR damerauLevenshteinDistance(lower(substring(name, 1, 200)), lower(`+why.Quote(name[:min(len(name), 200)])+`)) <= greatest(1, intDiv(length(name), 4)))
ORDER BY name != `+why.Quote(name)+`, damerauLevenshteinDistance(lower(substring(name, 1, 200)), lower(`+why.Quote(name[:min(len(name), 200)])+`)), name LIMIT 3`)
		if err != nil {
			return err
		}
		if len(near) > 0 && near[0].Name == name {
			continue
		}
		hint := "--force says it anyway"
		var names []string
		for _, other := range near {
			names = append(names, other.Name)
		}
		if len(names) > 0 {
			hint = "did you mean " + strings.Join(names, ", ") + "? " + hint
		}
		return &pipeline.Error{Err: fmt.Errorf("no event uses %s as the name of a %s", name, n.Kind), Hint: hint}
	}
	return nil
}

// base is the id of the event: the same for the same words, whoever says them.
func (n *naming) base() string {
	what := "means"
	if n.Refused {
		what = "does not mean"
	}
	return statementID(what, n.Kind, n.Alias, n.Canonical)
}

// so says whether it is so already.
func (n *naming) so() bool {
	if n.Refused {
		return len(n.stands) > 0
	}
	return n.means == n.Canonical
}

// lines are what has to be published; none: it is so already. What was withdrawn,
// or has been outdone by another word since, is said anew as another event.
func (n *naming) lines(now time.Time) [][]byte {
	n.Event = n.base()
	if len(n.events) > 0 {
		n.Event = n.events[len(n.events)-1]
	}
	if n.withdraw {
		var all [][]byte
		for _, id := range n.stands {
			n.Event, n.Published = id, true
			all = append(all, retraction(namer, id, n.By, now))
		}
		return all
	}
	if n.so() {
		return nil
	}
	if len(n.events) > 0 {
		n.Event = fmt.Sprintf("%s-%d", n.base(), len(n.events)+1)
	}
	n.Published = true
	data := map[string]any{"kind": n.Kind, "alias": n.Alias, "canonical": n.Canonical, "by": n.By}
	if n.Source != "" {
		data["source"] = n.Source
	}
	if n.Refused {
		data["canonical"], data["not"] = n.Alias, n.Canonical
	}
	return [][]byte{statement(namer, n.Event, "io.whence.identity.declared", data, now)}
}

// tell says what was recorded.
func (n *naming) tell(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(n)
	}
	what := fmt.Sprintf("%s %s means %s", n.Kind, n.Alias, n.Canonical)
	if n.Refused {
		what = fmt.Sprintf("%s %s does not mean %s", n.Kind, n.Alias, n.Canonical)
	}
	line := "recorded: " + what
	switch {
	case n.withdraw && !n.Published && n.means == n.Canonical && !n.Refused:
		line = "nothing to take back here: a declaration says that " + what
	case n.withdraw && !n.Published:
		line = "nothing to take back: it was not said that " + what
	case n.withdraw:
		line = "taken back: that " + what
	case !n.Published:
		line = "it was recorded before: " + what
	case n.Refused:
		line += "; proposals leaves it out in a second or two"
	case n.means != "":
		line += ", and no longer " + n.means
	}
	_, err := fmt.Fprintln(w, display.Line(line))
	return err
}

package main

import (
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
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/schemas/event"
)

// lookback is how far back the catalog looks at observations.
const lookback = 30 * 24 * time.Hour

// catalogFlags are those of every question to the catalog.
type catalogFlags struct {
	clickHouseFlags
	since momentFlag
	json  bool
}

func (c *catalogFlags) add(cmd *cobra.Command) {
	c.clickHouseFlags.add(cmd)
	c.since = momentFlag{event.MillisOf(time.Now().Add(-lookback)), time.Now}
	f := cmd.Flags()
	f.Var(&c.since, "since", "look at observations since `TIME`, 2026-03-12 or 7d (default 30d); at facts of all time")
	f.BoolVar(&c.json, "json", false, "one JSON object a line")
}

func (c *catalogFlags) from() string { return c.since.at.Time().Format(time.RFC3339) }

// ask asks, and tells the rows.
func (c *catalogFlags) ask(ctx context.Context, do func(context.Context, why.Ask) error) error {
	return withStore(ctx, c.clickHouseFlags, func(ctx context.Context, store *clickhouse.Client) error {
		return do(ctx, reading(store))
	})
}

// catalogLists are what the catalog can list.
var catalogLists = []string{"services", "repositories", "people", "workloads", "pager"}

func newCatalog() *cobra.Command {
	var c catalogFlags
	cmd := &cobra.Command{
		Use:   "catalog [services|repositories|people|workloads|pager]",
		Short: "List the names that tools use, and what they mean",
		Long: `catalog lists the names of services, repositories and people that events use:
what each means, which tools use it and as what, and when. Nothing has to be
entered: names are found in deployments, observations, incidents, alerts and
their labels, changes and their commits, declarations. workloads are what pods are
called after, pager is what incidents and alerts call services.

Every tool calls the same thing otherwise. proposals lists names that may mean
others, confirm says that one does, unmapped lists what could not be placed. What
is confirmed is an event: it corrects rows of the past too.`,
		Example: `  whence catalog
  whence catalog services --json | jq -r 'select(.declared | not) | .name'
  whence catalog proposals
  whence catalog confirm PABC123 checkout --source pagerduty`,
		ValidArgs: catalogLists,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			if len(args) == 1 && !slices.Contains(catalogLists, args[0]) {
				return usagef("want %s, proposals, confirm, reject or unmapped, have %q", strings.Join(catalogLists, ", "), args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), func(ctx context.Context, ask why.Ask) error {
				names, err := catalog.Names(ctx, ask, c.from())
				if err != nil {
					return err
				}
				if len(args) == 1 {
					names = listed(names, args[0])
				}
				return tellRows(cmd.OutOrStdout(), c.json, names, catalog.TellNames)
			})
		},
	}
	c.add(cmd)
	cmd.AddCommand(newProposals(), newCatalogConfirm(), newCatalogReject(), newUnmapped())
	return cmd
}

// listed are the names of a list.
func listed(names []catalog.Name, list string) []catalog.Name {
	return slices.DeleteFunc(names, func(n catalog.Name) bool {
		switch list {
		case "services":
			return n.Kind != catalog.Service
		case "repositories":
			return n.Kind != catalog.Repository
		case "people":
			return n.Kind != catalog.Person
		case "workloads":
			return !slices.Contains(n.Roles, "workload")
		}
		return n.Kind != catalog.Service || !slices.Contains(n.Roles, "incident") && !slices.Contains(n.Roles, "alert")
	})
}

func newProposals() *cobra.Command {
	var c catalogFlags
	var least float64
	cmd := &cobra.Command{
		Use:   "proposals",
		Short: "Which names may mean others, with the evidence",
		Long: `proposals compares the names that events use: their spelling without case,
separators, and words such as -svc, -api and prod-; repositories by their path;
people by login and address; and what events say of two names together: alerts
in incidents of another name, pods that say that they are another service's,
deployments from a repository that another service lists.

Each comes with a confidence from 0 to 1 and the commands to confirm it or to
refuse it. Nothing is taken for one without a person's word.`,
		Example: `  whence catalog proposals
  whence catalog proposals --least 0.8 --json | jq -r '[.alias, .canonical] | @tsv'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if least < 0 || least > 1 {
				return usagef("--least: want 0 to 1, have %v", least)
			}
			return c.ask(cmd.Context(), func(ctx context.Context, ask why.Ask) error {
				known, err := catalog.Read(ctx, ask, c.from())
				if err != nil {
					return err
				}
				made := slices.DeleteFunc(catalog.Propose(known), func(p catalog.Proposal) bool { return p.Confidence < least })
				return tellRows(cmd.OutOrStdout(), c.json, made, catalog.TellProposals)
			})
		},
	}
	c.add(cmd)
	cmd.Flags().Float64Var(&least, "least", likelyName, "`CONFIDENCE` that a proposal must have")
	return cmd
}

func newUnmapped() *cobra.Command {
	var c catalogFlags
	var check bool
	cmd := &cobra.Command{
		Use:   "unmapped",
		Short: "What could not be placed, with counts and examples",
		Long: `unmapped lists the names of services that no declaration and not both a deployment
and observations stand behind, repositories that no service lists and no deployment
known comes from, and events that a mapping made no fact of, because something that
is required is not in them. Each has a count, its sources and the id of an example:

  whence query "SELECT data FROM events WHERE source = 'SOURCE' AND id = 'ID'"

It lists versions, too, that observations state and no deployment of the service
names. Behaviour is laid at a deployment's door where both state the same version.
2.0.0 is v2.0.0, and 4f2a9c1 is the commit that begins so; but 2.0.0 is not the
revision it was built from. State in the deployment what the service says of
itself (service.version in OpenTelemetry): as payload.version of a GitHub
deployment, as version in deployment.started and .finished, and where a tool has
no field for it, or states a commit, as the hint of each message: ?version= of
the URL that it is sent to, or whence-version, a header of its record.`,
		Example: `  whence catalog unmapped
  whence catalog unmapped --check --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.ask(cmd.Context(), func(ctx context.Context, ask why.Ask) error {
				rows, err := catalog.ReadUnmapped(ctx, ask, c.from())
				if err != nil {
					return err
				}
				if err := tellRows(cmd.OutOrStdout(), c.json, rows, catalog.TellUnmapped); err != nil {
					return err
				}
				if check && len(rows) > 0 {
					return fmt.Errorf("%s could not be placed", display.Count(len(rows)))
				}
				return nil
			})
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "exit 1 if there is anything")
	return cmd
}

// tellRows writes rows as lines of JSON, or as tell does.
func tellRows[T any](w io.Writer, asJSON bool, rows []T, tell func(io.Writer, []T, int) error) error {
	if !asJSON {
		return tell(w, rows, lineWidth(w))
	}
	out := json.NewEncoder(w)
	for _, row := range rows {
		if err := out.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/jsonschema"
)

func newSchema() *cobra.Command {
	var list, asyncAPI, asJSON bool
	cmd := &cobra.Command{
		Use:   "schema TYPE",
		Short: "Print what an event of a type must say",
		Long: `schema prints the JSON Schema (draft 2020-12) of a type's events, CloudEvents in
structured mode: what whence publish takes. TYPE may be given without
io.whence. in front. --list names the types, --asyncapi prints the AsyncAPI 3
document of all topics, which refers to the schemas in ./jsonschema.`,
		Example: `  whence schema deployment.finished
  whence schema --list
  whence schema incident.opened | jq .properties.data.required`,
		Args: func(cmd *cobra.Command, args []string) error {
			if list || asyncAPI {
				return noArguments(cmd, args)
			}
			return exactly("TYPE")(cmd, args)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, name := range typeNames() {
				names = append(names, name, strings.TrimPrefix(name, event.Prefix))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch {
			case asyncAPI:
				_, err := out.Write(jsonschema.AsyncAPI())
				return err
			case list && asJSON:
				for _, t := range event.Types() {
					line, err := json.Marshal(map[string]any{"type": t.Name, "kind": kindOf(t), "topic": t.Topic, "doc": t.Doc})
					if err != nil {
						return err
					}
					fmt.Fprintf(out, "%s\n", line)
				}
				return nil
			case list:
				table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				for _, t := range event.Types() {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.Name, kindOf(t), t.Topic, t.Doc)
				}
				return table.Flush()
			}
			t := event.Lookup(args[0])
			if t == nil {
				t = event.Lookup(event.Prefix + args[0])
			}
			if t == nil {
				return usagef("there is no type %s%s", args[0], nearest(args[0]))
			}
			_, err := out.Write(jsonschema.Document(t))
			return err
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "name the types, with kind, topic and meaning")
	cmd.Flags().BoolVar(&asyncAPI, "asyncapi", false, "print the AsyncAPI document of all topics")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --list: one JSON object a type")
	cmd.MarkFlagsMutuallyExclusive("list", "asyncapi")
	return cmd
}

func kindOf(t *event.Type) string {
	if t.Observation {
		return "observation"
	}
	return "fact"
}

// nearest names the types that share a word with one that is not there.
func nearest(name string) string {
	var near []string
	for word := range strings.SplitSeq(strings.TrimPrefix(name, event.Prefix), ".") {
		for _, t := range event.Types() {
			if len(word) > 2 && strings.Contains(t.Name, strings.ToLower(word)) {
				near = append(near, t.Name)
			}
		}
	}
	slices.Sort(near)
	if near = slices.Compact(near); len(near) == 0 {
		return ": whence schema --list has them"
	}
	return ", did you mean " + strings.Join(near[:min(len(near), 4)], " or ") + "?"
}

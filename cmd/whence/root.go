package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/config"
)

const about = `whence tells what came from which change.

Producers publish events to Kafka: deployments, flags, incidents, findings, and
what users and services do. whence keeps one timeline of everything that
changed, stamps it onto every observation, and stores both in ClickHouse, where
SQL answers.

  whence up        runs everything in one command, Kafka and ClickHouse included
  whence demo      shows it on an incident of a small web shop`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "whence",
		Short:         "whence tells what came from which change",
		Long:          about,
		SilenceErrors: true, // report prints them, with their hints and exit codes
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "use", Title: "Use:"},
		&cobra.Group{ID: "operate", Title: "Operate:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"run":     {newUp(), newWorker(), newIngest(), newEngine(), newDemo()},
		"use":     {newPublish(), newQuery(), newWhy(), newConfirm(), newLearn(), newTap(), newSchema(), newCatalog(), newBackfill()},
		"operate": {newTopics(), newMigrate(), newValidate(), newTest(), newReconcile(), newRebuild(), newReplay(), newDeadLetters(), newVerify(), newNotify()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(newVersion(), newExitCodes(), newConfiguration())
	knownTopics(root)
	root.InitDefaultCompletionCmd("completion")
	knownShells(root)
	for shell, example := range map[string]string{
		"bash":       "  whence completion bash > /etc/bash_completion.d/whence",
		"zsh":        `  whence completion zsh > "${fpath[1]}/_whence"`,
		"fish":       "  whence completion fish > ~/.config/fish/completions/whence.fish",
		"powershell": "  whence completion powershell | Out-String | Invoke-Expression",
	} {
		if c, _, err := root.Find([]string{"completion", shell}); err == nil {
			c.Example = example
		}
	}
	return root
}

// knownTopics lets help say of a topic that there is none: cobra's own shows the
// whole list, as if that had been asked for.
func knownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		return
	}
	show := help.Run
	help.Example = "  whence help publish\n  whence help configuration"
	help.Run, help.RunE = nil, func(cmd *cobra.Command, args []string) error {
		if about, _, err := root.Find(args); err != nil || about == root && len(args) > 0 {
			return noArguments(root, args)
		}
		show(cmd, args)
		return nil
	}
}

// knownShells lets completion say of a shell that it knows none of it: cobra's own
// prints its help, and all is well.
func knownShells(root *cobra.Command) {
	completion, _, err := root.Find([]string{"completion"})
	if err != nil || completion == root {
		return
	}
	var shells []string
	for _, c := range completion.Commands() {
		shells = append(shells, c.Name())
	}
	completion.Example = "  whence completion bash > /etc/bash_completion.d/whence"
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("want one of %s, have %q", strings.Join(shells, ", "), args[0])
		}
		return cmd.Help()
	}
}

// newConfiguration is a help topic.
func newConfiguration() *cobra.Command {
	return &cobra.Command{
		Use:   "configuration",
		Short: "Every key of a configuration, what it means and its default",
		Long:  strings.TrimSpace(config.Reference),
	}
}

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

func newNotify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Look after who is told what incidents are blamed on",
		Long: `Workers tell the targets that the configuration names under notify: webhooks, and
Slack or what is compatible with it. One incident is one thread: the first message
when there is something to say, later ones when another cause comes first.`,
		Example: `  whence notify test payments-oncall --config worker.yaml`,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNotifyTest())
	return cmd
}

func newNotifyTest() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test TARGET",
		Short: "Send a test message to a target",
		Long: `test sends one message to a target of the configuration, and exits 1 with what the
target said if it did not take it.`,
		Example: `  whence notify test payments-oncall --config worker.yaml`,
		Args:    exactly("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usagef("--config is missing: it names the targets")
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			target, err := configuredTarget(cfg.Notify.Targets, args[0])
			if err != nil {
				return err
			}
			now := event.MillisOf(time.Now())
			_, err = target.Outlet.Send(cmd.Context(), &notify.Message{
				Action: notify.Test, Key: fmt.Sprintf("test-%d", now), Target: target.Name, Thread: "test", At: now,
			})
			if err != nil {
				return untold(target.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s took the message\n", target.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` (YAML)")
	return cmd
}

func configuredTarget(targets []config.NotifyTarget, name string) (notify.Target, error) {
	var names []string
	for _, t := range targets {
		if t.Name == name {
			return targetOf(t)
		}
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return notify.Target{}, &pipeline.Error{Err: errors.New("the configuration names no targets"), Hint: "they go under notify.targets"}
	}
	return notify.Target{}, &pipeline.Error{Err: fmt.Errorf("no target is called %s", name), Hint: "there are " + strings.Join(names, ", ")}
}

// untold adds when the target wants to be asked again.
func untold(name string, err error) error {
	told := &pipeline.Error{Err: fmt.Errorf("%s did not take the message: %w", name, err)}
	var failure *notify.Failure
	if errors.As(err, &failure) && failure.After > 0 {
		told.Hint = fmt.Sprintf("it wants to be left alone for %s", failure.After)
	}
	return told
}

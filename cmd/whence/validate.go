package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/schemas/codec"
)

func newValidate() *cobra.Command {
	var limits string
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration, or a file of events, without running anything",
		Long: `validate checks a configuration file: each error with file:line:column, the
key's path and where it helps a hint; the model that correlate.model names is
read too, and the rules that rules.files names, and whether the secrets of ingest
are where it says: run it where whence ingest runs. A file that ends in .jsonl or
.jsonl.gz is checked as events, one CloudEvent a line, as strictly as the pipeline
will when whence publish sends them. It exits 78 if anything is wrong.`,
		Example: `  whence validate deploy/compose/worker.yaml
  whence validate events.jsonl`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			if strings.HasSuffix(file, ".jsonl") || strings.HasSuffix(file, ".jsonl.gz") {
				return validateEvents(cmd, file, limits)
			}
			cfg := config.Default()
			if err := config.LoadOver(file, cfg, func() []config.Violation { return cfg.Ingest.Unreadable() }); err != nil {
				return rulesInstead(file, err)
			}
			if _, err := configuredModel(cfg.Correlate.Model); err != nil {
				return err
			}
			if err := rulesAreThere(cfg, file); err != nil {
				return err
			}
			if _, err := configuredRules(cfg, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", file)
			return nil
		},
	}
	cmd.Flags().StringVar(&limits, "config", "", "hold events to the limits of the configuration `FILE`")
	return cmd
}

// rulesInstead has a hint where the file is one of rules, and no configuration.
func rulesInstead(file string, err error) error {
	text, readErr := os.ReadFile(file)
	var own struct {
		Rules []map[string]any `yaml:"rules"`
	}
	if readErr != nil || yaml.Unmarshal(text, &own) != nil || len(own.Rules) == 0 {
		return err
	}
	return &exitError{exitConfig, &pipeline.Error{Err: fmt.Errorf("%s is a file of rules, and no configuration", file),
		Hint: "check it with its cases: " + display.Command("whence test", file) + "; or validate the configuration whose rules.files names it"}}
}

func validateEvents(cmd *cobra.Command, file, limits string) error {
	cfg := config.Default()
	if limits != "" {
		var err error
		if cfg, err = config.Load(limits); err != nil {
			return err
		}
	}
	lines, err := openLines(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer lines.close()
	checker := newChecker(cfg.Limits)
	good, bad := int64(0), int64(0)
	for lines.next() {
		if _, _, err := checker.record(lines, codec.BinaryMsgpack); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %s\n", file, lines.number, display.Lines(err.Error()))
			bad++
			continue
		}
		good++
	}
	if lines.err != nil {
		return fmt.Errorf("%s:%d: %w", file, lines.number, lines.err)
	}
	if bad > 0 {
		return &exitError{exitConfig, fmt.Errorf("%s: %s of %s events are bad", file, display.Count(bad), display.Count(good+bad))}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", file, display.Quantity(good, "event", "events"))
	return nil
}

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/rules"
)

// configuredRules compiles the rules that a configuration names; failed is told
// of expressions that can't be computed.
func configuredRules(c *config.Config, failed func(rule string)) (*rules.Set, error) {
	set, err := rules.Load(c.Rules.Files, rules.Options{Own: c.Kafka.Topics.Names(), Inputs: c.Kafka.Topics.InputNames(), Failed: failed})
	if err != nil && !config.IsProblem(err) {
		return nil, &exitError{exitConfig, err}
	}
	return set, err
}

// withoutRules is the flag of commands that take records through the rules again.
func withoutRules(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "without-rules", false, "go by no rules, though workers go by some")
}

// byRulesToo fails where workers go by rules and w by none: what those hide or
// drop would be stored after all. Other rules may be what a replay is for.
func (w *worker) byRulesToo(ctx context.Context) error {
	if w.rules.Len() > 0 {
		return nil
	}
	digest, known, err := w.store.RulesInUse(ctx)
	if err != nil || !known || digest == "" {
		return err
	}
	return &exitError{exitConfig, &pipeline.Error{
		Err:  fmt.Errorf("workers go by rules (%s), and this command by none: what they hide or drop would be stored", digest),
		Hint: "--config FILE names the configuration of the workers, with its rules.files; --without-rules says that it is meant",
	}}
}

// rulesAreThere says of a configuration which of its patterns names no file, and
// where it stands.
func rulesAreThere(c *config.Config, file string) error {
	for i, pattern := range c.Rules.Files {
		if found, err := filepath.Glob(pattern); file != "" && (err != nil || len(found) == 0) {
			return config.Blame(file, config.Violation{
				Path: fmt.Sprintf("rules.files[%d]", i), Message: "no file is called " + pattern,
				Hint: "it is relative to where whence is started, as all files in a configuration are, not to the configuration",
			})
		}
	}
	return nil
}

// decoding is how records are read under a configuration.
func decoding(c *config.Config) decode.Config {
	return decode.Config{
		MaxEventBytes: int(c.Limits.MaxEventBytes), MaxDepth: c.Limits.MaxDepth,
		Formats: c.Kafka.Topics.Formats(), Defaults: decode.Defaults(c.Decode.Defaults),
	}
}

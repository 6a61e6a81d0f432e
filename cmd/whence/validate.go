package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/codec"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration, or a file of events, without running anything",
		Long: `validate checks a configuration file: each error with file:line:column, the
key's path and where it helps a hint. A file that ends in .jsonl or .jsonl.gz is
checked as events, one CloudEvent a line. It exits 78 if anything is wrong.`,
		Example: `  whence validate deploy/compose/worker.yaml
  whence validate events.jsonl`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			if strings.HasSuffix(file, ".jsonl") || strings.HasSuffix(file, ".jsonl.gz") {
				return validateEvents(cmd, file)
			}
			if _, err := config.Load(file); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", file)
			return nil
		},
	}
}

func validateEvents(cmd *cobra.Command, file string) error {
	lines, err := openLines(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer lines.close()
	var decoder codec.Decoder
	good, bad := int64(0), int64(0)
	for lines.next() {
		if _, err := lines.check(&decoder); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %v\n", file, lines.number, err)
			bad++
			continue
		}
		good++
	}
	if lines.err != nil {
		return fmt.Errorf("%s:%d: %w", file, lines.number, lines.err)
	}
	if bad > 0 {
		return &exitError{exitConfig, fmt.Errorf("%s: %s of %s events are bad", file, counted(bad), counted(good+bad))}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s events\n", file, counted(good))
	return nil
}

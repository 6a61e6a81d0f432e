package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
)

// The exit codes. 78 is EX_CONFIG of sysexits.h, which systemd and others
// read as "do not restart".
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78
)

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `The exit codes of every whence command:

   0  all done; for up and worker: stopped by SIGTERM or SIGINT, and drained
   1  failed: an error is on standard error; publish: a line was bad or was not
      acknowledged; topics --check, verify: something is missing or differs;
       why, confirm: the id is unknown; why: it is not ranked yet; test: an
      example fails; deadletters show: there is none; catalog unmapped
      --check: something could not be placed
   2  wrong flags or arguments
  78  a configuration, a file of rules or of events with errors in it (EX_CONFIG)

A second SIGTERM or SIGINT ends the process at once.`,
	}
}

// exitError is an error with the code that the process ends with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// errSaid ends the process with exitFailed: somebody else says why.
var errSaid = errors.New("said already")

func usage(err error) error { return &exitError{exitUsage, err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// report prints err, terse and with its hint, and returns the exit code.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSaid) {
		return exitFailed
	}
	if config.IsProblem(err) { // lines of file:line:column, to be clicked at
		fmt.Fprintln(w, display.Lines(err.Error()))
		return exitConfig
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	text := display.Lines(strings.TrimSpace(err.Error())) // it may name what producers said
	if code == exitUsage {
		fmt.Fprintf(w, "%s: %s (see %[1]s --help)\n", cmd.CommandPath(), text)
		return code
	}
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), text)
	if hint := pipeline.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", display.Lines(hint))
	}
	return code
}

// noArguments and exactly are cobra's checks, as errors of usage.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usagef("unknown command %q, did you mean %s?", args[0], strings.Join(near, " or "))
		}
		return usagef("unknown command %q", args[0])
	}
	return usagef("unexpected argument %q", args[0])
}

func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/cmd/whence/ruletest"
	"github.com/whencehq/whence/pipeline/display"
)

func newTest() *cobra.Command {
	var asJSON, verbose bool
	var run string
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Try rules on the examples that stand beside them",
		Long: `test takes the examples of files called *_test.yaml through the rules beside
them: own_test.yaml's through own.yaml, unless its key rules names others. It
runs the stages that a worker has, up to where an event would be stored, and
needs neither Kafka nor ClickHouse. A PATH is a file, a directory, or DIR/...
for all below it; without one it is ./...

An example is a record or an event, and what becomes of it:

  cases:
    - name: a release is a deployment
      record:
        headers: {x-acme-kind: release}
        body: {number: 17, app: shop}
      expect:
        events:
          - type: io.whence.deployment.finished
            id: release/17
            data: {deployment_id: acme/17, service: shop}
    - name: pings are dropped
      record: {text: ping}
      expect: {dropped: pings, routed: [acme.pings]}

A case's topic, in full, is where its record comes from: whence.delivery unless it
says another (topic: acme.pings). Attributes that an expected event leaves out
are not compared; its data is, as a whole. Of a dead_letter there are reason,
detail, key, value and headers, and because: the detail before rules have hidden
what it says.
Values are hashed with a key of the tests' own. It exits 1 if an example fails,
with what differs, 2 if there are no files of examples or --run names no case, and
78 if one can't be read; the others are tried. Folders below a PATH that can't be
read are left out, and named.`,
		Example: `  whence test ./rules/...
  whence test --run release --json rules/acme_test.yaml`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern, err := regexp.Compile(run)
			if err != nil {
				return usagef("--run: %v", err)
			}
			files, err := testFiles(args, func(err error) {
				fmt.Fprintf(cmd.ErrOrStderr(), "whence test: left out: %s\n", display.Line(err.Error()))
			})
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return usagef("no files called *_test.yaml there")
			}
			t := tester{cmd: cmd, pattern: pattern, asJSON: asJSON, verbose: verbose}
			return t.run(files)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a case")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the cases that pass too")
	cmd.Flags().StringVar(&run, "run", "", "only cases whose name matches the `REGEXP`")
	return cmd
}

// testFiles are the files of examples that paths name. skipped is told of folders
// below them that can't be read.
func testFiles(paths []string, skipped func(error)) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"./..."}
	}
	var files []string
	for _, path := range paths {
		root, all := strings.CutSuffix(path, "...")
		if all {
			root = filepath.Clean(root)
		}
		info, err := os.Stat(root)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, root)
			continue
		}
		if err = filepath.WalkDir(root, collecting(&files, root, all, skipped)); err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// collecting walks a directory, or all below it, and appends what it finds. A
// folder below it that can't be read is nobody's mistake: skipped is told.
func collecting(files *[]string, root string, all bool, skipped func(error)) fs.WalkDirFunc {
	return func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && at == root:
			return err
		case err != nil:
			skipped(err)
			return fs.SkipDir
		case entry.IsDir() && at != root && (!all || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(at, "_test.yaml"):
			*files = append(*files, at)
		}
		return nil
	}
}

type tester struct {
	cmd             *cobra.Command
	pattern         *regexp.Regexp
	asJSON, verbose bool
	ran, failed     int
}

func (t *tester) run(files []string) error {
	var unread []error
	for _, file := range files {
		if err := t.file(file); err != nil {
			unread = append(unread, err)
		}
	}
	if len(unread) > 0 {
		return &exitError{exitConfig, errors.Join(unread...)}
	}
	if t.ran == 0 {
		return usagef("--run %s: no case is called that", t.pattern)
	}
	if t.failed > 0 {
		return fmt.Errorf("%d of %d cases failed", t.failed, t.ran)
	}
	return nil
}

func (t *tester) file(file string) error {
	f, err := ruletest.Read(file)
	if err != nil {
		return err
	}
	results, err := f.Run(t.cmd.Context(), t.pattern.MatchString)
	if err != nil {
		return err
	}
	out, failed := t.cmd.OutOrStdout(), 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
		switch {
		case t.asJSON:
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n", line)
		case !r.Passed:
			fmt.Fprintf(out, "%s:%d: FAIL: %s\n%s", r.File, r.Line, display.Line(r.Name), display.Lines(r.Diff))
		case t.verbose:
			fmt.Fprintf(out, "%s:%d: pass: %s\n", r.File, r.Line, display.Line(r.Name))
		}
	}
	t.ran, t.failed = t.ran+len(results), t.failed+failed
	if !t.asJSON && failed == 0 && len(results) > 0 {
		fmt.Fprintf(out, "ok  \t%s\t%s\n", file, display.Quantity(len(results), "case", "cases"))
	}
	return nil
}

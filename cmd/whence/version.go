package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/embedded/engine"
)

// The release and its commit, set by the Makefile's -ldflags. A build without
// them says what the Go toolchain knows.
var (
	version = ""
	commit  = ""
)

type versions struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Engine   string `json:"engine"` // of the package with the library that was found; empty: none
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of whence and of what it runs on",
		Example: `  whence version --json`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := currentVersions()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			found := v.Engine + " (its package; whence up tells the server's own version)"
			if v.Engine == "" {
				found = "not installed (make engine)"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "whence %s, commit %s\n%s %s\nengine %s\n", v.Version, v.Commit, v.Go, v.Platform, found)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON object")
	return cmd
}

func currentVersions() versions {
	v := versions{
		Version: version, Commit: commit, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Engine: engineVersion(),
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" && build.Main.Version != "" {
			v.Version = build.Main.Version
		}
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" && v.Commit == "" {
				v.Commit = s.Value
			}
		}
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	if v.Commit == "" {
		v.Commit = "unknown"
	}
	return v
}

// engineVersion is that of the npm package around the library: asking the
// library itself would load 600 MB.
func engineVersion() string {
	library, err := engine.FindLibrary()
	if err != nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(library), "package.json"))
	var manifest struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(text, &manifest) != nil || manifest.Version == "" {
		return "of unknown version at " + library
	}
	return manifest.Version
}

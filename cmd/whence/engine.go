package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/observe"
)

// envLogLevel is how a parent tells its engine how much to say.
const envLogLevel = "WHENCE_LOG_LEVEL"

// engineFlags are the users of an engine, whose passwords come from files or
// the environment: every user of a machine can read another's flags.
type engineFlags struct {
	data, listen                    string
	user, passwordFile, passwordEnv string
	reader, readerFile, readerEnv   string
	allowOutside                    bool
	logLevel, logFormat             string
}

func newEngine() *cobra.Command {
	var f engineFlags
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Serve the embedded ClickHouse over HTTP, alone",
		Long: `engine serves the ClickHouse engine over HTTP, for any client that speaks
ClickHouse's HTTP interface. One engine at a time uses a folder.

On loopback it asks for no password unless one is given; any other address needs
one. A read-only user is for BI tools: it reads tables and nothing else.
It prints one line with the word ready and its address. SIGTERM stops it.
When its disk is full it ends with exit code 1, and again when there is room: a start
makes good what could not be merged. Run it where it is started again.`,
		Example: `  whence engine --data whence-data/engine --listen 127.0.0.1:8123
  whence engine --listen 0.0.0.0:8123 --password-file secret --reader bi --reader-password-file bi-secret`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.config()
			if err != nil {
				return err
			}
			if err := cfg.Validate(); err != nil {
				return usage(err)
			}
			if cfg.Logger, err = observe.NewLogger(cmd.ErrOrStderr(), f.logLevel, f.logFormat); err != nil {
				return usage(err)
			}
			// As the child of `whence up` it ends with its parent.
			ctx, parent := engine.WatchParent(cmd.Context())
			cfg.Ready = func(addr string) {
				fmt.Fprintf(cmd.OutOrStdout(), "whence engine is ready: http://%s\n", addr)
				parent.Ready(addr)
			}
			if err = engine.Run(ctx, cfg); parent.Failed(err) {
				return errSaid
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func (f *engineFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "whence-data/engine", "`DIR` of the tables")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8123", "`HOST:PORT`; port 0 picks a free one")
	flags.StringVar(&f.user, "user", "default", "`NAME` of the user who may write")
	flags.StringVar(&f.passwordFile, "password-file", "", "`FILE` with that user's password on its first line")
	flags.StringVar(&f.passwordEnv, "password-env", "", "environment `VARIABLE` with that user's password")
	flags.StringVar(&f.reader, "reader", "", "`NAME` of a read-only user")
	flags.StringVar(&f.readerFile, "reader-password-file", "", "`FILE` with the read-only user's password")
	flags.StringVar(&f.readerEnv, "reader-password-env", "", "environment `VARIABLE` with the read-only user's password")
	flags.BoolVar(&f.allowOutside, "allow-outside", false, "let the writing user reach files, URLs and other databases")
	flags.StringVar(&f.logLevel, "log-level", cmp.Or(os.Getenv(envLogLevel), "info"), "debug, info, warn or error ($"+envLogLevel+")")
	flags.StringVar(&f.logFormat, "log-format", "console", "console or json")
}

func (f *engineFlags) config() (engine.Config, error) {
	c := engine.Config{Data: f.data, Listen: f.listen, AllowOutside: f.allowOutside}
	password, err := engine.ReadPassword(f.passwordFile, f.passwordEnv)
	if err != nil {
		return c, err
	}
	c.Users = []engine.User{{Name: f.user, Password: password}}
	if f.reader == "" {
		return c, nil
	}
	password, err = engine.ReadPassword(f.readerFile, f.readerEnv)
	c.Users = append(c.Users, engine.User{Name: f.reader, Password: password, ReadOnly: true})
	return c, err
}

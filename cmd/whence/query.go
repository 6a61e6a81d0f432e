package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
)

func newQuery() *cobra.Command {
	var c clickHouseFlags
	var format string
	cmd := &cobra.Command{
		Use:   "query SQL",
		Short: "Ask ClickHouse, and stream the answer",
		Long: `query sends SQL (- reads it from standard input) and writes the result as it
comes. FORMAT in the SQL wins over --format; the default is PrettyCompact on a
terminal and TabSeparated elsewhere. The database is whence unless the URL says
another (?database=NAME).`,
		Example: `  whence query "SELECT name, count() FROM observations FINAL GROUP BY name"
  whence query --format JSONEachRow "SELECT * FROM incident_candidates" | jq .`,
		Args: exactly("SQL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := query{sql: args[0], format: format, color: colored(cmd.OutOrStdout())}
			if args[0] == "-" {
				text, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return err
				}
				q.sql = string(text)
			}
			if q.format == "" {
				q.format = "TabSeparated"
				if isTerminal(cmd.OutOrStdout()) {
					q.format = "PrettyCompact"
				}
			}
			return q.run(cmd.Context(), c, cmd.OutOrStdout())
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&format, "format", "", "`F`, any output format of ClickHouse, as CSVWithNames or JSONEachRow")
	return cmd
}

// query is one statement and how its result is wanted.
type query struct {
	sql, format string
	color       bool
}

// run streams the result to w. It speaks HTTP by hand: a client library would
// parse what only has to be passed through.
func (q query) run(ctx context.Context, c clickHouseFlags, w io.Writer) error {
	request, err := q.request(ctx, c)
	if err != nil {
		return err
	}
	if err := greeted(ctx, request.URL); err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return unanswered(request.URL, err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 64<<10))
		return refused(cmp.Or(strings.TrimSpace(string(text)), reply.Status))
	}
	end := tail{limit: 16 << 10}
	_, err = io.Copy(io.MultiWriter(w, &end), reply.Body)
	// The server's own word comes first: some also break the connection.
	if said := end.exception(reply.Header.Get("X-ClickHouse-Exception-Tag")); said != nil {
		return said
	}
	if err != nil {
		return fmt.Errorf("the result broke off: %w", err)
	}
	return nil
}

// greeted returns once whoever listens there answers HTTP at all. The statement
// itself may take as long as it likes, so no time limit can tell a slow answer
// from a port that is not ClickHouse's.
func greeted(ctx context.Context, at *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ping := *at
	ping.Path, ping.RawQuery = "/ping", ""
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ping.String(), nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return unanswered(at, err)
	}
	return reply.Body.Close()
}

func unanswered(at *url.URL, err error) error {
	var wrapped *url.Error // its text has the whole URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer within 10 s: is it ClickHouse's HTTP port?")
	}
	return &pipeline.Error{Err: fmt.Errorf("clickhouse at %s: %w", at.Host, err), Hint: nameClickHouse}
}

func refused(text string) error {
	err := errors.New(text)
	if strings.HasPrefix(text, "Code: 81. ") { // UNKNOWN_DATABASE
		return &pipeline.Error{Err: err, Hint: "whence migrate makes the databases and their tables"}
	}
	return err
}

func (q query) request(ctx context.Context, c clickHouseFlags) (*http.Request, error) {
	endpoint, err := url.Parse(c.config().URL)
	if err != nil || endpoint.Host == "" {
		return nil, usagef("--clickhouse: want http://host:port, have %q", c.config().URL)
	}
	params := endpoint.Query()
	params.Set("default_format", q.format)
	if !params.Has("database") {
		params.Set("database", "whence")
	}
	if strings.HasPrefix(q.format, "Pretty") && !q.color {
		params.Set("output_format_pretty_color", "0")
	}
	user, password := endpoint.User.Username(), ""
	password, _ = endpoint.User.Password()
	endpoint.User, endpoint.RawQuery = nil, params.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), strings.NewReader(q.sql))
	if err != nil {
		return nil, err
	}
	if c.passwordFile != "" {
		text, err := os.ReadFile(c.passwordFile)
		if err != nil {
			return nil, err
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	if user = cmp.Or(c.user, user); user != "" || password != "" {
		request.Header.Set("X-ClickHouse-User", cmp.Or(user, "default"))
		request.Header.Set("X-ClickHouse-Key", password)
	}
	return request, nil
}

// tail keeps the end of a stream.
type tail struct {
	limit int
	end   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p[max(len(p)-t.limit, 0):]...)
	t.end = t.end[max(len(t.end)-t.limit, 0):]
	return len(p), nil
}

// exception is what went wrong after the first rows had been sent: the server
// then says it at the end of the body, between two marks that hold a tag of
// the reply's header, so that no data can be taken for it.
func (t *tail) exception(tag string) error {
	_, after, found := bytes.Cut(t.end, []byte("__exception__\r\n"+tag+"\r\n"))
	if tag == "" || !found {
		return nil
	}
	text, _, _ := bytes.Cut(after, []byte("\r\n__exception__"))
	message, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("the result broke off: %s", message)
}

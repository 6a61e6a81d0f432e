package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/whencehq/whence/cmd/whence/catalog"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

func TestMain(m *testing.M) {
	// `whence up` starts the engine as a child of its own executable, which
	// here is the test's.
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		main()
	}
	testscript.Main(m, map[string]func(){"whence": main})
}

// Every command's use, as a person types it: testdata/COMMAND.txtar.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			broker, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				return err
			}
			env.Defer(broker.Close)
			house := httptest.NewServer(http.HandlerFunc(echoHouse))
			env.Defer(house.Close)
			env.Setenv("KAFKA", broker.ListenAddrs()[0])
			env.Setenv("HOUSE", house.URL)
			forge := httptest.NewServer(http.HandlerFunc(forge))
			env.Defer(forge.Close)
			env.Setenv("FORGE", forge.URL)
			for _, name := range []string{"ENGINE", "BROKER", "METRICS", "INGEST"} {
				address, err := pipelinetest.UnusedAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, address)
			}
			return setEngine(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"answers": answers, "consumes": consumes, "expand": expand, "gives": gives, "posts": posts, "produces": produces, "reads": reads, "runs": runs, "says": says},
		Condition: func(name string) (bool, error) {
			if name == "engine" {
				_, err := engine.FindLibrary()
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
	})
}

// answers URL waits until a server answers there that all is well.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, func() error {
		reply, err := http.Get(args[0])
		if err != nil {
			return err
		}
		_ = reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", args[0], reply.Status)
		}
		return nil
	})
}

// says URL TEXT looks for a text in what a server answers.
func says(ts *testscript.TestScript, _ bool, args []string) {
	reply, err := http.Get(args[0])
	ts.Check(err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	ts.Check(err)
	if !strings.Contains(string(body), args[1]) {
		ts.Fatalf("%s does not say %s: %s", args[0], args[1], body)
	}
}

// posts STATUS URL FILE HEADER... sends a file and expects that status; the
// answer is the script's standard output.
func posts(ts *testscript.TestScript, _ bool, args []string) {
	request, err := http.NewRequest(http.MethodPost, args[1], strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	for _, line := range args[3:] {
		name, text, _ := strings.Cut(line, ": ")
		request.Header.Set(name, text)
	}
	reply, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", body)
	if !strings.HasPrefix(reply.Status, args[0]) {
		ts.Fatalf("%s: %s, want %s: %s", args[1], reply.Status, args[0], body)
	}
}

// gives WANT SQL waits until the ClickHouse of WHENCE_CLICKHOUSE_URL gives
// that result.
func gives(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, func() error {
		var out strings.Builder
		q := query{sql: args[1], format: "TabSeparated"}
		if err := q.run(context.Background(), clickHouseFlags{url: ts.Getenv(envClickHouse)}, &out); err != nil {
			return err
		}
		if got := strings.TrimSpace(out.String()); got != args[0] {
			return fmt.Errorf("%s gives %q, want %q", args[1], got, args[0])
		}
		return nil
	})
}

var (
	readmeTables = regexp.MustCompile(`(?s)\n\| table or view \|.*?\n\n`)
	readmeName   = regexp.MustCompile("`([a-z_]+(?:\\([^)]*\\))?)`")
	readmeValue  = regexp.MustCompile(`(\w+) = …`)
)

// reads README reads every table and view that the first column of its table
// names, with the parameters that it says a view has.
func reads(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(args[0])
	ts.Check(err)
	names := 0
	for line := range strings.Lines(readmeTables.FindString(string(text))) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "|")
		column, _, _ := strings.Cut(line, "|")
		for _, name := range readmeName.FindAllStringSubmatch(column, -1) {
			from := readmeValue.ReplaceAllStringFunc(name[1], func(parameter string) string {
				switch word, _, _ := strings.Cut(parameter, " "); word {
				case "revision":
					return word + " = 0"
				case "time", "moment", "since", "until":
					return word + " = '2026-01-01'"
				default:
					return word + " = ''"
				}
			})
			q := query{sql: "SELECT * FROM whence." + from + " LIMIT 1", format: "TabSeparated"}
			if err := q.run(context.Background(), clickHouseFlags{url: ts.Getenv(envClickHouse)}, io.Discard); err != nil {
				ts.Fatalf("%s: %v", q.sql, err)
			}
			names++
		}
	}
	if names < 40 {
		ts.Fatalf("%s names %d tables and views only: has its table moved?", args[0], names)
	}
}

// runs FILE has the ClickHouse of WHENCE_CLICKHOUSE_URL run the statements of a
// file, each ending with a semicolon at a line's end.
func runs(ts *testscript.TestScript, _ bool, args []string) {
	for _, statement := range strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), ";\n") {
		q := query{sql: strings.TrimSuffix(statement, ";"), format: "TabSeparated"}
		if err := q.run(context.Background(), clickHouseFlags{url: ts.Getenv(envClickHouse)}, io.Discard); err != nil {
			ts.Fatalf("%.200s: %v", statement, err)
		}
	}
}

// expand FILE TO copies a file, with variables of the environment in their places.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// forge is a small GitHub: a repository with a pull request that was merged and
// deployed.
func forge(w http.ResponseWriter, r *http.Request) {
	const revision = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	if r.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	answer, found := map[string]string{
		"":                         `{"name":"shop","full_name":"acme/shop","html_url":"https://github.com/acme/shop","default_branch":"main"}`,
		"/issues":                  `[{"id":1,"number":7,"created_at":"2026-10-01T09:00:00Z","updated_at":"2026-10-01T10:00:00Z","pull_request":{"merged_at":"2026-10-01T10:00:00Z"}}]`,
		"/pulls/7":                 `{"number":7,"title":"Pay by card","merged_at":"2026-10-01T10:00:00Z","merge_commit_sha":"` + revision + `","user":{"login":"ada"}}`,
		"/pulls/7/commits":         `[]`,
		"/pulls/7/files":           `[]`,
		"/pulls/7/reviews":         `[]`,
		"/deployments":             `[{"id":42,"sha":"` + revision + `","environment":"production","created_at":"2026-10-02T09:00:00Z"}]`,
		"/deployments/42/statuses": `[{"id":2,"state":"success","created_at":"2026-10-02T10:00:00Z"},{"id":1,"state":"in_progress","created_at":"2026-10-02T09:30:00Z"}]`,
		"/actions/runs":            `{"total_count":0,"workflow_runs":[]}`,
		"/releases":                `[]`,
		"/activity":                `[]`,
	}[strings.TrimPrefix(r.URL.Path, "/repos/acme/shop")]
	if !found {
		http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, answer)
}

func eventually(ts *testscript.TestScript, try func() error) {
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("after a minute: %v", err)
		}
	}
}

// setEngine names the library: scripts run in folders of their own.
func setEngine(env *testscript.Env) error {
	library, err := engine.FindLibrary()
	if err != nil {
		fmt.Println("the engine library is not installed: scripts that need it say so and stop (make engine)")
		return nil
	}
	env.Setenv(engine.LibraryEnv, library)
	return nil
}

// echoHouse answers as ClickHouse does and tells what it was asked.
func echoHouse(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	sql := string(text)
	switch {
	case strings.Contains(sql, "FAIL LATE"):
		w.Header().Set("X-ClickHouse-Exception-Tag", "abcd")
		fmt.Fprint(w, "1\n2\n\r\n__exception__\r\nabcd\r\nCode: 395. DB::Exception: too late\n (FUNCTION_THROW)\r\n47 abcd\r\n__exception__\r\n")
	case strings.Contains(sql, "FAIL"):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, "Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)")
	default:
		fmt.Fprintf(w, "sql=%s format=%s database=%s user=%s key=%s\n", sql,
			r.URL.Query().Get("default_format"), r.URL.Query().Get("database"),
			r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key"))
	}
}

func TestEveryCommandHasAnExampleAndAScript(t *testing.T) {
	root := newRoot()
	for _, c := range root.Commands() {
		if !c.Runnable() {
			continue // a help topic
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no description or no example", c.Name())
		}
		if _, err := os.Stat(filepath.Join("testdata", c.Name()+".txtar")); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
	var leaves func(c *cobra.Command)
	leaves = func(c *cobra.Command) {
		if c.Runnable() && !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 90 {
				t.Errorf("%s: a line of its help is too long: %s", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			leaves(sub)
		}
	}
	leaves(root)
}

func TestFlagsOfTheContractAreThere(t *testing.T) {
	for command, flags := range map[string][]string{
		"up":      {"data", "listen-kafka", "listen-clickhouse", "listen-ingest", "kafka", "clickhouse", "config"},
		"ingest":  {"kafka", "config", "listen", "insecure-hooks"},
		"worker":  {"config"},
		"engine":  {"data", "listen"},
		"publish": {"kafka", "topic", "as"},
		"query":   {"clickhouse", "format"},
	} {
		cmd, _, err := newRoot().Find([]string{command})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range flags {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("whence %s has no --%s", command, name)
			}
		}
	}
}

func TestAPlotReachesFromZeroToTheHighest(t *testing.T) {
	if got := spark([]float64{0, 0.5, 1}); got != "▁▅█" {
		t.Error(got)
	}
	if got := spark([]float64{0, 0}); got != "▁▁" {
		t.Error(got)
	}
}

func TestTablesAndErrorsGiveNoOrdersToTheTerminal(t *testing.T) {
	const evil = "inc\x1b[2J\u009b\ttitle"
	tables := map[string]func(w io.Writer) error{
		"demo": func(w io.Writer) error { (&demonstration{out: w}).table("incident", [][]string{{evil}}); return nil },
		"confirm": func(w io.Writer) error {
			return (&confirmation{Incident: "i", Kind: "none", Published: true, leader: evil}).tell(w, false)
		},
		"catalog confirm": func(w io.Writer) error {
			return (&naming{Pair: catalog.Pair{Kind: "service", Alias: evil, Canonical: "c"}, Published: true}).tell(w, false)
		},
		"catalog": func(w io.Writer) error {
			return catalog.TellNames(w, []catalog.Name{{Kind: "service", Name: evil, Canonical: "c"}}, 80)
		},
		"catalog proposals": func(w io.Writer) error {
			return catalog.TellProposals(w, []catalog.Proposal{{Pair: catalog.Pair{Kind: "service", Alias: evil, Canonical: "c"}}}, 80)
		},
		"catalog unmapped": func(w io.Writer) error {
			return catalog.TellUnmapped(w, []catalog.Unmapped{{Kind: "event", Name: "n", Reason: evil}}, 80)
		},
		"verify": func(w io.Writer) error {
			example := oracle.Example{Row: evil, Stored: evil, Expected: evil}
			return table(w, &oracle.Report{Columns: []oracle.Column{{Name: "title", Differing: 1, Examples: []oracle.Example{example}}}})
		},
		"an error": func(w io.Writer) error {
			report(w, newWhy(), &pipeline.Error{Err: errors.New("no such thing"), Hint: "did you mean " + evil})
			return nil
		},
	}
	for name, print := range tables {
		var out strings.Builder
		if err := print(&out); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\u009b") || !strings.Contains(out.String(), "inc\ufffd[2J\ufffd") {
			t.Errorf("%s prints %q", name, out.String())
		}
	}
}

func TestACurlLineHoldsItsQueryOnOneLine(t *testing.T) {
	for _, q := range shown() {
		line := curl(q.sql)
		if strings.Contains(line, "\n") || strings.ContainsAny(q.sql, "\"$`\\!") {
			t.Errorf("a shell would not take this as it is: %s", line)
		}
	}
}

func TestTheJSONOfVersionsNamesThemAll(t *testing.T) {
	var out strings.Builder
	if code := run(context.Background(), []string{"version", "--json"}, strings.NewReader(""), &out, &out); code != exitOK {
		t.Fatal(code, out.String())
	}
	var v versions
	if err := json.Unmarshal([]byte(out.String()), &v); err != nil || v.Go == "" || v.Version == "" || v.Platform == "" {
		t.Errorf("%v: %s", err, out.String())
	}
}

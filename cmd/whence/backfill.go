package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/cmd/whence/backfill"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/schemas/source"
)

// backfillTool is a tool whose past can be read.
type backfillTool struct {
	name, title, names, token string // the flag --repo means; the variable of the token
	plan                      func(context.Context, backfill.Options) (backfill.Plan, error)
	needsNames                bool
	example                   string // of flags
}

var backfillTools = []backfillTool{
	{"github", "GitHub", "repository OWNER/NAME, or OWNER/*", "GITHUB_TOKEN", backfill.GitHub, true, "--repo acme/shop"},
	{"gitlab", "GitLab", "project GROUP/NAME, or GROUP/*", "GITLAB_TOKEN", backfill.GitLab, true, "--repo acme/shop --url https://gitlab.example.com"},
	{"pagerduty", "PagerDuty", "id of a service (default: all)", "PAGERDUTY_TOKEN", backfill.PagerDuty, false, "--repo PABC123"},
	{"jira", "Jira", "key of a project (default: all)", "JIRA_TOKEN", backfill.Jira, false, "--repo SHOP --url https://acme.atlassian.net --login ada@example.com"},
	{"jenkins", "Jenkins", "path of a job or folder (default: all)", "JENKINS_TOKEN", backfill.Jenkins, false, "--repo shop/deploy --url https://jenkins.example.com --login ada"},
}

func newBackfill() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Publish what a tool knows of the past",
		Long: `backfill reads a tool's API and publishes what its webhooks would have said: the
same events, under the same ids, with the times of what happened. So it may
overlap with webhooks, and be run again.

Where it is, is in a small file: after an error or ^C the same command goes on
there. It keeps within the API's limits, and waits as long as the API says. A
service that does not answer is tried seven times, over two minutes or more. GitHub's
public repositories and an open Jenkins can be read without a token, nothing else.

Deployments are read one further back than --since in each environment, so that
what the first one replaced is known, and old changes are not taken for its.
Incidents and alerts that began before --since and were not over by then are read
from their beginning: PagerDuty's up to five weeks before, the others from any
time. An issue that a label may make an incident costs one request more of GitHub,
three of GitLab: its history.`,
		Example: `  whence backfill github --repo acme/shop --repo acme/cart
  whence backfill pagerduty --since 180d --token-file /run/secrets/pagerduty
  whence backfill gitlab --repo acme/* --url https://gitlab.example.com --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, t := range backfillTools {
				names = append(names, t.name)
			}
			if len(args) == 0 {
				return usagef("want one of %s", strings.Join(names, ", "))
			}
			return usagef("want one of %s, have %q", strings.Join(names, ", "), args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args refuses
	}
	for _, tool := range backfillTools {
		cmd.AddCommand(newBackfillOf(tool))
	}
	return cmd
}

// backfilling is one run of whence backfill.
type backfilling struct {
	tool                backfillTool
	kafka               kafkaFlags
	since, until        string
	options             backfill.Options
	tokenFile, tokenEnv string
	state               string
	hints               []string
	restart, dryRun     bool
	json                bool
}

func newBackfillOf(tool backfillTool) *cobra.Command {
	b := &backfilling{tool: tool}
	cmd := &cobra.Command{
		Use:     tool.name,
		Short:   "Publish what " + tool.title + " knows of the past",
		Example: fmt.Sprintf("  whence backfill %[1]s %[2]s --dry-run\n  whence backfill %[1]s %[2]s --since 180d --token-file token", tool.name, tool.example),
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return b.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	b.kafka.add(cmd)
	f := cmd.Flags()
	f.StringVar(&b.since, "since", "90d", "what happened since `TIME`: 90d, 2026-03-12")
	f.StringVar(&b.until, "until", "", "and before `TIME` (default: now)")
	f.StringArrayVar(&b.options.Names, "repo", nil, "`NAME`, may be repeated: "+tool.names)
	f.StringVar(&b.options.URL, "url", "", "`URL` of the API, where it is not the usual one")
	f.StringVar(&b.tokenFile, "token-file", "", "`FILE` that holds the token")
	f.StringVar(&b.tokenEnv, "token-env", tool.token, "`VARIABLE` that holds the token")
	f.StringVar(&b.state, "state", "", "`FILE` that says how far it is (default: in the user's cache)")
	f.BoolVar(&b.restart, "restart", false, "begin anew, whatever the state says")
	f.BoolVar(&b.dryRun, "dry-run", false, "read, count and publish nothing")
	f.StringArrayVar(&b.hints, "hint", nil, "`NAME=VALUE` that the webhook's URL has too: "+strings.Join(source.Hints(), ", "))
	f.BoolVar(&b.json, "json", false, "the counts as a JSON object")
	if tool.name == "jira" || tool.name == "jenkins" {
		f.StringVar(&b.options.Login, "login", "", "`NAME` of whose the token is (default: none, the token is a bearer's)")
	}
	return cmd
}

func (b *backfilling) run(ctx context.Context, stdout, stderr io.Writer) error {
	cfg, err := b.kafka.config()
	if err != nil {
		return err
	}
	hints, err := b.check()
	if err != nil {
		return err
	}
	state, err := b.open(cfg.Kafka, time.Now())
	if err != nil {
		return err
	}
	b.sayWhatNobodyGets(stderr)
	if state.Resumed() {
		fmt.Fprintf(stderr, "going on with what was begun: %s to %s\n", state.From.Format(time.DateTime), state.Until.Format(time.DateTime))
	}
	bar := progress(stderr, -1, b.tool.title)
	defer func() { _ = bar.Close() }()
	b.options.From, b.options.Until = state.From, state.Until
	b.options.Client = &http.Client{CheckRedirect: backfill.SameHost, Transport: &backfill.Limits{
		Next: http.DefaultTransport, Now: time.Now, Sleep: backfill.Sleep,
		Tell: func(why string, pause time.Duration) { tellPause(stderr, bar, why, pause) },
	}}
	plan, err := b.tool.plan(ctx, b.options)
	if err != nil {
		return b.stopped(err)
	}
	run := &backfill.Run{Plan: plan, State: state, Publish: func(context.Context, []backfill.Record) error { return nil }}
	run.Turned = func(section string, _ int64, page int) {
		bar.Describe(display.Line(section))
		_ = bar.Add(page)
	}
	if !b.dryRun {
		conn, err := kafka.Configured(cfg.Kafka, zap.NewNop())
		if err != nil {
			return err
		}
		to, err := kafka.OpenPublisher(conn, b.kafka.timeout)
		if err != nil {
			return err
		}
		defer to.Close()
		reaching, cancel := context.WithTimeout(ctx, b.kafka.timeout)
		defer cancel()
		if err := to.Reach(reaching, tellRetries(stderr)); err != nil {
			return err
		}
		run.Publish = publishRecords(to, cfg.Kafka.Topics.Prefix, hints)
	}
	if err := run.Do(ctx); err != nil {
		_ = bar.Clear()
		return b.stopped(err)
	}
	_ = bar.Finish()
	if err := state.Remove(); err != nil {
		return err
	}
	if err := b.tell(stdout, state); err != nil {
		return err
	}
	return b.found(state)
}

// found is an error where nothing at all was there of something that was named:
// its name is wrong, or the token is.
func (b *backfilling) found(state *backfill.State) error {
	names := b.options.Names
	if !b.tool.needsNames {
		names = []string{""} // they are no sections' names
	}
	for _, name := range names {
		sections, missing := 0, 0
		for section, p := range state.Sections {
			if of, _, _ := strings.Cut(section, " "); name != "" && of != name {
				continue
			}
			if sections++; p.Missing != "" {
				missing++
			}
		}
		if sections > 0 && missing == sections {
			return &pipeline.Error{Err: fmt.Errorf("%s has nothing of %s that this token may read", b.tool.title, cmp.Or(name, "all that was asked for")),
				Hint: "is the name right, and may the token read it? Then the same command again"}
		}
	}
	return nil
}

// check checks what flags say, and reads the token.
func (b *backfilling) check() (hints []pipeline.Header, err error) {
	if b.tool.needsNames && len(b.options.Names) == 0 {
		return nil, usagef("--repo is missing: %s", b.tool.names)
	}
	for _, name := range b.options.Names {
		if b.tool.needsNames && !strings.Contains(name, "/") {
			return nil, usagef("--repo %s: want %s", name, b.tool.names)
		}
	}
	if u, err := url.Parse(b.options.URL); err != nil || u.User != nil { // it is in the state, and in errors
		return nil, usagef("--url: want the address alone, as https://ci.example.com: who asks is said by --token-file, and --login where there is one")
	}
	for _, hint := range b.hints {
		name, value, found := strings.Cut(hint, "=")
		if !found || !slices.Contains(source.Hints(), name) {
			return nil, usagef("--hint: want one of %s and its value, as environment=staging, have %q", strings.Join(source.Hints(), ", "), hint)
		}
		hints = append(hints, pipeline.Header{Key: source.HintPrefix + name, Value: []byte(value)})
	}
	if b.tokenFile != "" {
		text, err := os.ReadFile(b.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		b.options.Token = strings.TrimSpace(string(text))
	} else {
		b.options.Token = os.Getenv(b.tokenEnv)
	}
	if b.options.Token == "" && b.options.Login == "" && !b.tool.mayBeNobody() {
		return nil, &pipeline.Error{Err: errors.New("there is no token"), Hint: "--token-file FILE, or the variable " + b.tokenEnv}
	}
	return hints, nil
}

// mayBeNobody: the tool shows something to those who don't say who they are.
func (t backfillTool) mayBeNobody() bool { return t.name == "github" || t.name == "jenkins" }

// sayWhatNobodyGets warns of GitHub's limit for requests without a token (GitHub,
// "Rate limits for the REST API"): a back-fill of hours looks as if it hung.
func (b *backfilling) sayWhatNobodyGets(stderr io.Writer) {
	if b.tool.name == "github" && b.options.Token == "" {
		fmt.Fprintf(stderr, "without a token GitHub shows public repositories only, and answers 60 requests an hour; with one, 5,000: --token-file FILE, or the variable %s\n", b.tokenEnv)
	}
}

// open reads the state of this back-fill, or begins it.
func (b *backfilling) open(to config.Kafka, now time.Time) (*backfill.State, error) {
	from, err := momentOf(b.since, now)
	if err != nil {
		return nil, usagef("--since: %v", err)
	}
	until := now
	if b.until != "" {
		if until, err = momentOf(b.until, now); err != nil {
			return nil, usagef("--until: %v", err)
		}
	}
	if !from.Before(until) {
		return nil, usagef("--since must be before --until")
	}
	if b.dryRun {
		return backfill.OpenState("", "", from, until)
	}
	of := fmt.Sprintf("%s %s %s since %s until %s to %s %s", b.tool.name, b.options.URL, strings.Join(b.options.Names, " "), b.since, cmp.Or(b.until, "now"),
		strings.Join(to.Seeds, ","), to.Topics.Prefix) // what is on one Kafka is not on another
	if len(b.hints) > 0 {
		of += " with " + strings.Join(b.hints, " ")
	}
	path := b.state
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, &pipeline.Error{Err: fmt.Errorf("where to keep the state: %w", err), Hint: "--state FILE"}
		}
		sum := sha256.Sum256([]byte(of))
		path = filepath.Join(cache, "whence", "backfill-"+b.tool.name+"-"+hex.EncodeToString(sum[:6])+".json")
	}
	if b.restart {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("--restart: %w", err)
		}
	}
	return backfill.OpenState(path, of, from, until)
}

// stopped says that it can go on.
func (b *backfilling) stopped(err error) error {
	if errors.Is(err, context.Canceled) {
		var waited *backfill.WaitedError
		if errors.As(err, &waited) {
			err = fmt.Errorf("stopped while it waited: %s", waited.Why)
		} else {
			err = errors.New("stopped")
		}
	}
	if pipeline.HintOf(err) != "" || b.dryRun {
		return err
	}
	return &pipeline.Error{Err: err, Hint: "the same command goes on where this one has stopped"}
}

// tellPause says why nothing moves, if that is for longer than a blink.
func tellPause(stderr io.Writer, bar *progressbar.ProgressBar, why string, pause time.Duration) {
	if pause < 2*time.Second {
		return
	}
	_ = bar.Clear()
	fmt.Fprintf(stderr, "%s: waiting %s\n", display.Line(why), pause.Round(time.Second))
}

// publishRecords sends records as the gateway does, and waits until Kafka has
// acknowledged all of them.
func publishRecords(to *kafka.Publisher, prefix string, hints []pipeline.Header) func(context.Context, []backfill.Record) error {
	return func(ctx context.Context, records []backfill.Record) error {
		var failed atomic.Pointer[error]
		for _, r := range records {
			m := kafka.Message{
				Topic: prefix + strings.TrimPrefix(source.Lookup(r.Source).Topic, topicPrefix), Value: r.Body,
				Headers: append(slices.Clone(r.Headers), hints...),
			}
			to.Send(ctx, m, func(err error) {
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
		err := to.Flush(ctx)
		if first := failed.Load(); first != nil {
			return *first
		}
		return err
	}
}

// tell says what was published, and what could not be read.
func (b *backfilling) tell(w io.Writer, state *backfill.State) error {
	type section struct {
		Section   string `json:"section"`
		Published int64  `json:"published"`
		Missing   string `json:"missing,omitempty"`
	}
	counts := struct {
		From      time.Time `json:"from"`
		Until     time.Time `json:"until"`
		Published int64     `json:"published"`
		DryRun    bool      `json:"dry_run"`
		Sections  []section `json:"sections"`
	}{From: state.From, Until: state.Until, DryRun: b.dryRun, Sections: []section{}}
	for name, p := range state.Sections {
		counts.Published += p.Published
		counts.Sections = append(counts.Sections, section{name, p.Published, p.Missing})
	}
	slices.SortFunc(counts.Sections, func(a, b section) int { return cmp.Compare(a.Section, b.Section) })
	if b.json {
		return json.NewEncoder(w).Encode(counts)
	}
	done := "published"
	if b.dryRun {
		done = "would publish"
	}
	fmt.Fprintf(w, "%s %s of %s, from %s to %s\n", done, display.Quantity(counts.Published, "event", "events"), b.tool.title, state.From.Format(time.DateTime), state.Until.Format(time.DateTime))
	for _, s := range counts.Sections {
		line := fmt.Sprintf("  %s: %s", s.Section, display.Count(s.Published))
		if s.Missing != "" {
			line = fmt.Sprintf("  %s: not there, or not for this token: %s", s.Section, s.Missing)
		}
		if _, err := fmt.Fprintln(w, display.Line(line)); err != nil {
			return err
		}
	}
	return nil
}

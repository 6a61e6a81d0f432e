package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/whencehq/whence/processors/correlate"
)

// running is `whence up` as people start it, on a folder of its own.
type running struct {
	binary     string
	cmd        *exec.Cmd
	kafka      string
	clickhouse string
}

var addresses = regexp.MustCompile(`kafka\W+([\w.-]+:\d+).*clickhouse\W+(?:http://)?([\w.-]+:\d+)`)

func up(binary, data string) (*running, error) {
	r := &running{binary: binary}
	r.cmd = exec.Command(binary, "up", "--data", data,
		"--listen-kafka", "127.0.0.1:0", "--listen-clickhouse", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0")
	var last bytes.Buffer
	r.cmd.Stderr = &last
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if match := addresses.FindStringSubmatch(lines.Text()); match != nil {
			r.kafka, r.clickhouse = match[1], "http://"+match[2]
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return r, nil
		}
	}
	return nil, fmt.Errorf("whence up: %w\n%s", r.cmd.Wait(), last.String())
}

func (r *running) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return r.cmd.Wait()
}

// publish sends the lines of all cases, one case after the other.
func (r *running) publish(samples []sample) (lines int, err error) {
	var all bytes.Buffer
	for i := range samples {
		for _, line := range samples[i].Case.Lines {
			all.Write(line)
			all.WriteByte('\n')
			lines++
		}
	}
	cmd := exec.Command(r.binary, "publish", "--kafka", r.kafka, "-")
	cmd.Stdin = &all
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("whence publish: %w\n%s", err, out)
	}
	return lines, nil
}

// ask runs a statement and returns its rows.
func (r *running) ask(ctx context.Context, statement string) ([]map[string]any, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		r.clickhouse+"/?default_format=JSONEachRow&output_format_json_quote_64bit_integers=0&output_format_json_quote_denormals=1", strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 4096))
		return nil, fmt.Errorf("%s", text)
	}
	var rows []map[string]any
	for decoder := json.NewDecoder(reply.Body); ; {
		var row map[string]any
		switch err := decoder.Decode(&row); err {
		case nil:
			rows = append(rows, row)
		case io.EOF:
			return rows, nil
		default:
			return nil, err
		}
	}
}

// awaitQuiet waits until everything that was published is stored and nothing is
// ranked anew any more.
func (r *running) awaitQuiet(ctx context.Context, lines, effects int) error {
	const statement = `SELECT (SELECT sum(records) FROM whence_state.batches FINAL WHERE topic != 'whence.context') AS stored,
		(SELECT uniqExact(effect_kind, effect_id) FROM whence.links) AS ranked, (SELECT count() FROM whence_state.rankings) AS rankings`
	last, since := "", time.Now()
	for {
		rows, err := r.ask(ctx, statement)
		if err != nil {
			return err
		}
		now := fmt.Sprint(rows)
		if now != last {
			last, since = now, time.Now()
		}
		complete := len(rows) == 1 && rows[0]["stored"] == float64(lines) && rows[0]["ranked"] == float64(effects)
		if complete && time.Since(since) > settle {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not quiet: %s of %d lines and %d effects: %w", now, lines, effects, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// settle is longer than a worker waits before it looks for what others stored,
// and before it ranks an effect again.
const settle = 20 * time.Second

// links are the current rankings, by environment.
func (r *running) links(ctx context.Context) (map[string][]correlate.Link, error) {
	rows, err := r.ask(ctx, "SELECT environment, cause_kind, cause_id, cause_service, rank, probability, log_odds, evidence FROM whence.links ORDER BY effect_id, rank")
	if err != nil {
		return nil, err
	}
	links := map[string][]correlate.Link{}
	for _, row := range rows {
		l := correlate.Link{CauseKind: row["cause_kind"].(string), CauseID: row["cause_id"].(string), Service: row["cause_service"].(string),
			Rank: int(row["rank"].(float64)), Probability: row["probability"].(float64), LogOdds: row["log_odds"].(float64)}
		if err := json.Unmarshal([]byte(row["evidence"].(string)), &l.Evidence); err != nil {
			return nil, err
		}
		environment := row["environment"].(string)
		links[environment] = append(links[environment], l)
	}
	return links, nil
}

// throughPipeline answers samples by a running Whence.
func throughPipeline(ctx context.Context, binary string, samples []sample) ([]answer, *audit, error) {
	data, err := os.MkdirTemp("", "whence-accuracy")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(data)
	r, err := up(binary, filepath.Join(data, "data"))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.stop() }()
	lines, err := r.publish(samples)
	if err != nil {
		return nil, nil, err
	}
	quiet, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := r.awaitQuiet(quiet, lines, len(samples)); err != nil {
		return nil, nil, err
	}
	links, err := r.links(ctx)
	if err != nil {
		return nil, nil, err
	}
	given := make([]answer, len(samples))
	var audited audit
	for i := range samples {
		s := &samples[i]
		given[i] = answer{s.Case.Name, s.Case.Truth, links[s.situation.Effect.Environment], latestFirst(s.situation)}
		if len(given[i].links) == 0 {
			return nil, nil, fmt.Errorf("%s: no links", s.Case.Name)
		}
		if *statements {
			audited.links(ctx, r, s.Case.Name, given[i].links)
		}
	}
	return given, &audited, nil
}

// audit holds what is said against what its statements return.
type audit struct {
	Terms, Sums int
	Wrong       []string
}

func (a *audit) links(ctx context.Context, r *running, name string, links []correlate.Link) {
	for _, l := range links {
		sum := 0.0
		for _, t := range l.Evidence {
			sum += t.Log()
			if t.SQL != "" {
				a.term(ctx, r, fmt.Sprintf("%s: %s %s: %s", name, l.CauseKind, l.CauseID, t.Name), t)
			}
		}
		a.Sums++
		if math.Abs(sum-l.LogOdds) > 1e-9 {
			a.Wrong = append(a.Wrong, fmt.Sprintf("%s: %s %s: the terms sum to %v, log odds are said to be %v", name, l.CauseKind, l.CauseID, sum, l.LogOdds))
		}
	}
}

func (a *audit) term(ctx context.Context, r *running, what string, t correlate.Term) {
	a.Terms++
	rows, err := r.ask(ctx, "SELECT toFloat64(*) AS value FROM ("+t.SQL+")")
	if err != nil {
		a.Wrong = append(a.Wrong, fmt.Sprintf("%s: %v\n%s", what, err, t.SQL))
		return
	}
	value, is := 0.0, false
	if len(rows) == 1 {
		value, is = rows[0]["value"].(float64)
	}
	if !is || math.Abs(value-t.Value) > 1e-6 {
		a.Wrong = append(a.Wrong, fmt.Sprintf("%s: said %v, its statement returns %v\n%s", what, t.Value, rows, t.SQL))
	}
}

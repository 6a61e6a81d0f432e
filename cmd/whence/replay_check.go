package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/schemas/event"
)

// What a record's observation is, of which ClickHouse has another content or none.
const (
	outdone = "outdone" // a greater content under its identity counts: whoever published both said two things
	missing = "missing"
)

// unlike is a record whose observation is not in ClickHouse as it was said.
type unlike struct {
	State      string `json:"state"`
	Topic      string `json:"topic"`
	Partition  int32  `json:"partition"`
	Offset     int64  `json:"offset"`
	Source     string `json:"source"`
	ID         string `json:"id"`
	Type       string `json:"type"`
	Time       string `json:"time"`
	Hash       uint64 `json:"content_hash"`
	StoredHash uint64 `json:"stored_content_hash,omitempty"`
}

// replayCheck compares records with what is stored of them, and stores nothing.
type replayCheck struct {
	replay
	asJSON         bool
	stdout, stderr io.Writer

	records, observations int
	states                map[string]int
	examples              []unlike
}

// mostExamples are shown to people.
const mostExamples = 20

func (c *replayCheck) run(ctx context.Context, w *worker) error {
	defer w.close()
	if err := w.connect(ctx); err != nil {
		return err
	}
	if !c.without {
		if err := w.byRulesToo(ctx); err != nil {
			return err
		}
	}
	reader, stretches, err := c.stretches(ctx, w)
	if err != nil {
		return err
	}
	reader.Stages = append(processors.Reading(processors.Dependencies{Decode: decoding(w.cfg), Rules: w.rules}), comparison{c, w})
	c.states = map[string]int{}
	bar := progress(c.stderr, recordsIn(stretches), "comparing")
	reader.Retrying = retrying(w.log, bar)
	err = reader.Run(ctx, stretches, func(b *pipeline.Batch) { _ = bar.Add(len(b.Records)) })
	_ = bar.Finish()
	if err == nil {
		err = c.tell()
	}
	return err
}

// comparison is the last stage.
type comparison struct {
	check *replayCheck
	w     *worker
}

func (comparison) Name() string { return "compare" }

func (s comparison) Process(ctx context.Context, b *pipeline.Batch) error {
	stored, err := s.w.store.Contents(ctx, b.Observations)
	if err != nil {
		return err
	}
	c := s.check
	c.records, c.observations = c.records+len(b.Records), c.observations+len(b.Observations)
	for i := range b.Observations {
		if err := c.compare(&b.Observations[i], stored[i]); err != nil {
			return pipeline.Fatalf("", "%w", err)
		}
	}
	return nil
}

func (c *replayCheck) compare(o *event.Observation, stored uint64) error {
	if stored == o.Hash {
		return nil
	}
	u := unlike{
		State: missing, Topic: o.Topic, Partition: o.Partition, Offset: o.Offset,
		Source: o.Source, ID: o.ID, Type: o.Type, Time: o.Time.Time().Format(time.RFC3339Nano), Hash: o.Hash, StoredHash: stored,
	}
	if stored > o.Hash {
		u.State = outdone
	}
	c.states[u.State]++
	if c.asJSON {
		return json.NewEncoder(c.stdout).Encode(u)
	}
	if len(c.examples) < mostExamples {
		c.examples = append(c.examples, u)
	}
	return nil
}

// tell says what was found. What is missing is an error: the exit code says it to
// whoever does not read.
func (c *replayCheck) tell() error {
	summary := c.stdout
	if c.asJSON {
		summary = c.stderr
	}
	alike := c.observations - c.states[outdone] - c.states[missing]
	fmt.Fprintf(summary, "compared %s: of %s %s stored as said, %s outdone by another content under their id, %s missing\n",
		display.Quantity(c.records, "record", "records"), display.Quantity(c.observations, "observation", "observations"),
		display.Quantity(alike, "is", "are"), display.Quantity(c.states[outdone], "is", "are"), display.Quantity(c.states[missing], "is", "are"))
	if len(c.examples) > 0 {
		lines := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(lines, "STATE\tRECORD\tSOURCE\tID\tTIME")
		for _, u := range c.examples {
			fmt.Fprintf(lines, "%s\t%s/%d/%d\t%s\t%s\t%s\n", u.State, u.Topic, u.Partition, u.Offset, display.Line(u.Source), display.Line(u.ID), u.Time)
		}
		if err := lines.Flush(); err != nil {
			return err
		}
	}
	if more := c.states[outdone] + c.states[missing] - len(c.examples); more > 0 && !c.asJSON {
		fmt.Fprintf(c.stdout, "and %s more: --json lists all\n", display.Count(more))
	}
	if c.states[missing] == 0 {
		return nil
	}
	return &pipeline.Error{Err: errors.New("records are not stored"), Hint: "where workers are not behind, the same command without --check stores them"}
}

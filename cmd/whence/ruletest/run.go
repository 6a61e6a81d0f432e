package ruletest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"go.yaml.in/yaml/v3"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Result is what a case came to.
type Result struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Diff   string `json:"diff,omitempty"` // unified, from what was expected to what it is
}

// Run tries the cases that wanted picks.
func (f *File) Run(ctx context.Context, wanted func(name string) bool) ([]Result, error) {
	limits := config.Default().Limits
	needs := processors.Dependencies{Decode: decode.Config{MaxEventBytes: int(limits.MaxEventBytes), MaxDepth: limits.MaxDepth}, Rules: f.set}
	kept, asked := processors.Reading(needs), processors.Asking(needs)
	var results []Result
	for i := range f.Cases {
		c := &f.Cases[i]
		if !wanted(c.Name.Text) {
			continue
		}
		record, err := c.record()
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", f.name, c.Name.line, c.Name.Text, err)
		}
		b, err := c.through(ctx, kept, record)
		if err != nil {
			return nil, err
		}
		open, err := c.through(ctx, asked, record)
		if err != nil {
			return nil, err
		}
		want, got, err := c.compare(b, open)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", f.name, c.Name.line, c.Name.Text, err)
		}
		results = append(results, Result{
			File: f.name, Line: c.Name.line, Name: c.Name.Text, Passed: want == got,
			Diff: string(diff.Diff("expected", []byte(want), "got", []byte(got))),
		})
	}
	return results, nil
}

// through is what becomes of a record in a chain.
func (c *Case) through(ctx context.Context, chain []pipeline.Processor, record pipeline.Record) (*pipeline.Batch, error) {
	record.Headers = slices.Clone(record.Headers)
	b := &pipeline.Batch{Topic: cmp.Or(c.Topic, event.TopicDelivery), To: 1, Records: []pipeline.Record{record}}
	for _, stage := range chain {
		if err := stage.Process(ctx, b); err != nil {
			return nil, fmt.Errorf("%s: %w", stage.Name(), err)
		}
	}
	return b, nil
}

// received is when the records of examples were taken: where a payload states
// no time, it is this.
var received = event.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

func (c *Case) record() (pipeline.Record, error) {
	r := pipeline.Record{Timestamp: received}
	if c.Record.Key != "" {
		r.Key = []byte(c.Record.Key)
	}
	body := c.Record.Body.Value
	if e := c.Event.Value; e != nil {
		attributes, ok := e.(map[string]any)
		if !ok {
			return r, fmt.Errorf("event: want a mapping")
		}
		all := maps.Clone(attributes)
		if all["specversion"] == nil {
			all["specversion"] = "1.0"
		}
		body = all
		r.Headers = []pipeline.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
	}
	headers, ok := c.Record.Headers.Value.(map[string]any)
	if !ok && c.Record.Headers.Value != nil {
		return r, fmt.Errorf("headers: want a mapping")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		r.Headers = append(r.Headers, pipeline.Header{Key: name, Value: []byte(fmt.Sprint(headers[name]))})
	}
	if c.Record.Text != "" {
		r.Value = []byte(c.Record.Text)
		return r, nil
	}
	var err error
	r.Value, err = json.Marshal(body)
	return r, err
}

// compare is what was expected, and what it has become as far as that was. open
// is the same before anything was hidden in dead letters: whoever has written the
// example may know why it is one.
func (c *Case) compare(b, open *pipeline.Batch) (want, got string, err error) {
	wanted, is := map[string]any{}, outcome(b)
	if hidden, dead := is["dead_letter"].(map[string]any); dead && len(open.Dead) > 0 && open.Dead[0].Detail != b.Dead[0].Detail {
		hidden["because"] = open.Dead[0].Detail
	}
	if c.Expect.Routed != nil {
		wanted["routed"], is["routed"] = slices.Sorted(slices.Values(c.Expect.Routed)), destinations(b)
	}
	switch {
	case c.Expect.Dropped != "":
		wanted["dropped"] = c.Expect.Dropped
	case c.Expect.DeadLetter.Value != nil:
		wanted["dead_letter"] = c.Expect.DeadLetter.Value
		stated(c.Expect.DeadLetter.Value, is["dead_letter"])
	default:
		list, ok := c.Expect.Events.Value.([]any)
		if !ok {
			return "", "", fmt.Errorf("expect.events: want a list")
		}
		slices.SortStableFunc(list, byType)
		wanted["events"] = list
		events, _ := is["events"].([]any)
		for i := range min(len(list), len(events)) {
			stated(list[i], events[i])
		}
	}
	if want, err = written(wanted); err != nil {
		return "", "", err
	}
	got, err = written(is)
	return want, got, err
}

// destinations are the topics that the one record of b, or its events, go to.
func destinations(b *pipeline.Batch) []string {
	to := []string{}
	for _, r := range b.Alive() {
		to = append(to, r.To)
	}
	slices.Sort(to)
	return to
}

func byType(a, b any) int {
	name := func(v any) string {
		object, _ := v.(map[string]any)
		return fmt.Sprint(object["type"])
	}
	return strings.Compare(name(a), name(b))
}

// stated takes out of got what want doesn't speak of.
func stated(want, got any) {
	wanted, ok := want.(map[string]any)
	is, also := got.(map[string]any)
	if !ok || !also {
		return
	}
	maps.DeleteFunc(is, func(name string, _ any) bool {
		_, there := wanted[name]
		return !there
	})
}

// outcome is what became of the one record of b.
func outcome(b *pipeline.Batch) map[string]any {
	if len(b.Dead) > 0 {
		return map[string]any{"dead_letter": letter(&b.Dead[0])}
	}
	var events []any
	for i := range b.Facts {
		events = append(events, described(&b.Facts[i].Event, b.Facts[i].Data))
	}
	for i := range b.Observations {
		events = append(events, described(&b.Observations[i].Event, codec.DataOf(&b.Observations[i])))
	}
	for i := range b.Others {
		events = append(events, described(&b.Others[i].Event, b.Others[i].Data))
	}
	if len(events) == 0 && len(b.Dropped) > 0 {
		return map[string]any{"dropped": b.Dropped[0].Rule}
	}
	slices.SortStableFunc(events, byType)
	return map[string]any{"events": events}
}

func described(e *event.Event, data string) map[string]any {
	all := map[string]any{"id": e.ID, "source": e.Source, "type": e.Type, "time": e.Time.Time().Format(time.RFC3339Nano)}
	for name, text := range map[string]string{
		"subject": e.Subject, "tenant": e.Tenant, "region": e.Region, "cluster": e.Cluster, "cell": e.Cell, "traceid": e.TraceID, "sequence": e.Sequence,
	} {
		if text != "" {
			all[name] = text
		}
	}
	for _, p := range e.Extensions {
		all[p.Key] = p.Value
	}
	if data != "" {
		all["data"] = json.RawMessage(data)
	}
	return all
}

func letter(d *pipeline.DeadLetter) map[string]any {
	all := map[string]any{"reason": string(d.Reason), "detail": d.Detail, "key": string(d.Key), "value": string(d.Value)}
	headers := map[string]any{}
	for _, h := range d.Headers {
		headers[h.Key] = string(h.Value)
	}
	all["headers"] = headers
	return all
}

// written is v as YAML with its keys sorted and its numbers and times as JSON
// has them, so that what says the same looks the same.
func written(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return "", err
	}
	out, err := yaml.Marshal(numbers(plain))
	return string(out), err
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

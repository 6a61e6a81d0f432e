package ruletest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors/rules"
)

// File is a file of examples.
type File struct {
	// Rules are the files of rules, relative to this one; empty: its own name
	// without _test.
	Rules []string `yaml:"rules"`
	Cases []Case   `yaml:"cases"`

	name string
	set  *rules.Set
}

// Case is a record, or an event as a record of its own, and what becomes of it.
type Case struct {
	Name  Label  `yaml:"name"`
	Topic string `yaml:"topic"` // in full; empty: whence.delivery
	// Record as it comes, or Event: a CloudEvent in structured mode, its
	// specversion may be left out.
	Record Record `yaml:"record"`
	Event  Any    `yaml:"event"`
	Expect Expect `yaml:"expect"`
}

// Record is a Kafka record. Body is written as JSON; Text is the bytes as they are.
type Record struct {
	Key     string `yaml:"key"`
	Headers Any    `yaml:"headers"`
	Body    Any    `yaml:"body"`
	Text    string `yaml:"text"`
}

// Expect is what becomes of it: one of the first three.
type Expect struct {
	// Events, each with what matters of it: attributes that are left out are not
	// compared, and data, where it is there, is as a whole.
	Events Any `yaml:"events"`
	// Dropped is the rule that drops it.
	Dropped string `yaml:"dropped"`
	// DeadLetter has what matters of it: reason, detail, key, value, headers; and
	// because, the detail that rules hide in what is kept.
	DeadLetter Any `yaml:"dead_letter"`
	// Routed are the topics that it goes to besides, where that matters; an empty
	// list: none.
	Routed []string `yaml:"routed"`
}

// Label is text with its place in the file.
type Label struct {
	Text         string
	line, column int
}

// UnmarshalYAML reads a scalar.
func (l *Label) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("want text")
	}
	l.Text, l.line, l.column = n.Value, n.Line, n.Column
	return nil
}

// Any is whatever the file has there.
type Any struct{ Value any }

// UnmarshalYAML reads anything.
func (a *Any) UnmarshalYAML(n *yaml.Node) error { return n.Decode(&a.Value) }

// Read reads a file of examples and compiles the rules that it is for. Values
// are hashed with a key of the tests' own, so that examples say the same
// everywhere. The error is config.Problems, or that a file is not there.
func Read(file string) (*File, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := &File{name: file}
	if err := config.Read(file, data, f, f.validate); err != nil {
		return nil, err
	}
	beside := f.Rules
	if len(beside) == 0 {
		beside = []string{strings.TrimSuffix(filepath.Base(file), "_test.yaml") + ".yaml"}
	}
	for i, name := range beside {
		beside[i] = filepath.Join(filepath.Dir(file), name)
		if found, err := filepath.Glob(beside[i]); err != nil || len(found) == 0 {
			return nil, config.Problems{{File: file, Message: "the rules that it is for are not there: no file is called " + beside[i],
				Hint: "own_test.yaml is for own.yaml beside it, unless its key rules names others"}}
		}
	}
	f.set, err = rules.Load(beside, rules.Options{Key: []byte("the key of whence test")})
	return f, err
}

func (f *File) validate() (wrong []config.Violation) {
	blame := func(path, message string) { wrong = append(wrong, config.Violation{Path: path, Message: message}) }
	if len(f.Cases) == 0 {
		blame("cases", "there are none")
	}
	seen := map[string]bool{}
	for i := range f.Cases {
		c, at := &f.Cases[i], fmt.Sprintf("cases[%d]", i)
		if c.Name.Text == "" || seen[c.Name.Text] {
			blame(at, "a case needs a name of its own")
		}
		seen[c.Name.Text] = true
		if event := c.Event.Value != nil; event == (c.Record.Body.Value != nil || c.Record.Text != "" || c.Record.Headers.Value != nil) {
			blame(at, "want either a record or an event")
		}
		if c.Record.Body.Value != nil && c.Record.Text != "" {
			blame(at+".record", "body and text exclude each other")
		}
		expected := 0
		for _, is := range []bool{c.Expect.Events.Value != nil, c.Expect.Dropped != "", c.Expect.DeadLetter.Value != nil} {
			if is {
				expected++
			}
		}
		if expected != 1 {
			blame(at+".expect", "want one of events, dropped, dead_letter")
		}
	}
	return wrong
}

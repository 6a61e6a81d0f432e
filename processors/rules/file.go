package rules

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// File is a file of rules.
type File struct {
	// KeyFile has the key that values are hashed with, relative to this file: 16
	// bytes at least.
	KeyFile string `yaml:"key_file"`
	// Unreadable says what a dead letter keeps of bytes in which a rule of this
	// file ought to hide something and can't, since nobody can read them.
	Unreadable string `yaml:"unreadable"`
	Rules      []Rule `yaml:"rules"`
}

// What becomes of unreadable bytes.
const (
	Withhold = "withhold" // none are kept, and the letter can't be replayed: the default
	Keep     = "keep"     // all are kept
)

// What a rule looks at.
const (
	OnRecord = "record" // before it is decoded
	OnEvent  = "event"  // what it was decoded to: the default
)

// Rule says what becomes of the records or events that it fits: all those whose
// topic and type are listed (empty lists: any) and for which When is true. What
// it says is done in the order of the fields, and Set is computed as a whole
// before it is done.
type Rule struct {
	Name   string     `yaml:"name"`
	On     string     `yaml:"on"`
	Topics []string   `yaml:"topics"` // full names
	Types  []string   `yaml:"types"`  // of events; com.github.* is every type that starts so
	When   Expression `yaml:"when"`

	Set    Assignments `yaml:"set"`
	Rename string      `yaml:"rename"`
	Redact []string    `yaml:"redact"`
	Hash   []string    `yaml:"hash"`
	// Map makes events of it, which stand in its place.
	Map []Mapping `yaml:"map"`
	// Keep also keeps what was mapped, as an event of this type.
	Keep string `yaml:"keep"`
	// Route also sends it to this topic (its full name): what it is when no rule
	// is left, or one maps or drops it.
	Route string `yaml:"route"`
	Drop  bool   `yaml:"drop"`
	// DeadLetter buries the record, with this text as the detail.
	DeadLetter string `yaml:"dead_letter"`
}

// Mapping makes one event. What is left out an event has from the one it is
// made of; of a record, id, source and time must be there.
type Mapping struct {
	Type    string     `yaml:"type"`
	ID      Expression `yaml:"id"`
	Source  Expression `yaml:"source"`
	Time    Expression `yaml:"time"` // a timestamp, or a string in RFC 3339
	Subject Expression `yaml:"subject"`
	Data    Data       `yaml:"data"`
}

// Expression is CEL, with its place in the file.
type Expression struct {
	Text  string
	place place
}

type place struct {
	line, column int
	style        yaml.Style
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column, n.Style} }

// UnmarshalYAML takes a scalar as it is written: true and 5 are CEL too.
func (e *Expression) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("want one CEL expression")
	}
	e.Text, e.place = n.Value, placeOf(n)
	return nil
}

// Assignments are field: expression, in the order of the file.
type Assignments []Assignment

// Assignment is one of them.
type Assignment struct {
	Field string
	Expression
}

// UnmarshalYAML reads a mapping.
func (a *Assignments) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("want a mapping of fields to CEL expressions")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		field, text := n.Content[i].Value, n.Content[i+1]
		if seen[field] {
			return fmt.Errorf("%s is given twice", field)
		}
		seen[field] = true
		one := Assignment{Field: field}
		if err := one.UnmarshalYAML(text); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		*a = append(*a, one)
	}
	return nil
}

// Data is an event's data: one expression that gives a map, or one a field.
type Data struct {
	Whole  Expression
	Fields Assignments
}

// UnmarshalYAML reads either.
func (d *Data) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return d.Whole.UnmarshalYAML(n)
	}
	return d.Fields.UnmarshalYAML(n)
}

package source

import (
	"fmt"
	"slices"
	"strings"
)

// Format is how the records of a topic are written where their headers don't
// say it: what kafka.topics.inputs[].format names.
type Format struct {
	// Debezium: each record is wrapped as Debezium writes rows of tables, its
	// outbox among them, and Source is what they hold.
	Debezium bool
	// Source is the name of the source whose payloads the records are; empty:
	// CloudEvents, CDEvents, and what is recognised by its headers or its shape.
	Source string
}

// Names of formats that are no sources.
const (
	CloudEvents = "cloudevents"
	Debezium    = "debezium" // alone, or debezium:github
)

// ParseFormat reads a format's name; the empty one is CloudEvents.
func ParseFormat(name string) (Format, error) {
	if name == "" || name == CloudEvents {
		return Format{}, nil
	}
	wrapping, inner, wrapped := strings.Cut(name, ":")
	if wrapping == Debezium && (!wrapped || inner == CloudEvents) {
		return Format{Debezium: true}, nil
	}
	if wrapped && wrapping == Debezium {
		name = inner
	} else {
		wrapped = false
	}
	if Lookup(name) == nil {
		return Format{}, fmt.Errorf("%q is no format", name)
	}
	return Format{Debezium: wrapped, Source: name}, nil
}

// Formats are the names of the formats, without what may follow debezium.
func Formats() []string {
	names := []string{CloudEvents, Debezium}
	for _, s := range sources {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

package decode

import (
	"fmt"

	"github.com/whencehq/whence/schemas/value"
)

// Config bounds what one event may cost.
type Config struct {
	// MaxEventBytes is the greatest size of a record's value and headers.
	MaxEventBytes int `yaml:"max_event_bytes"`
	// MaxDepth is how deep an event's data may nest.
	MaxDepth int `yaml:"max_depth"`
	// Defaults are what payloads that are no CloudEvents say where they don't.
	Defaults Defaults `yaml:"defaults"`
	// Formats are the sources (schemas/source) of topics that hold one source's
	// payloads and nothing else, by the topic's full name.
	Formats map[string]string `yaml:"formats"`
}

// DefaultConfig is 1 MiB, 64 levels, and production where nothing names an environment.
func DefaultConfig() Config {
	return Config{MaxEventBytes: 1 << 20, MaxDepth: value.DefaultDepth, Defaults: Defaults{Environment: "production", Incidents: incidentNames()}}
}

// incidentNames are the usual label, and Jira's types: its service management
// has the one in brackets.
func incidentNames() []string { return []string{"incident", "outage", "[System] Incident"} }

// The bounds of the bounds: a record that doesn't fit a Kafka batch can't come;
// each level is a frame of the scanner's stack, and the context log is read to
// 2000 levels.
const (
	mostEventBytes = 64 << 20
	mostDepth      = 1000
)

// Validate names the key that can't be.
func (c Config) Validate() error {
	if c.MaxEventBytes < 1 || c.MaxEventBytes > mostEventBytes {
		return fmt.Errorf("max_event_bytes: %d is not within 1 to %d", c.MaxEventBytes, mostEventBytes)
	}
	if c.MaxDepth < 1 || c.MaxDepth > mostDepth {
		return fmt.Errorf("max_depth: %d is not within 1 to %d", c.MaxDepth, mostDepth)
	}
	return nil
}

// Package demo is the incident that `whence demo` shows: a scenario written by
// hand, and the events that the producers of a small web shop would publish in
// the course of it. The same scenario gives the same events, byte by byte.
package demo

import (
	_ "embed"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed scenario.yaml
var scenarioYAML []byte

// Scenario is what happens. Times are minutes from Start.
type Scenario struct {
	Start       time.Time  `yaml:"start"`
	Minutes     int        `yaml:"minutes"`
	Environment string     `yaml:"environment"`
	Seed        uint64     `yaml:"seed"`
	Visits      int        `yaml:"visits_per_minute"`
	Services    []Service  `yaml:"services"`
	Funnel      []Step     `yaml:"funnel"`
	Effects     []Effect   `yaml:"effects"`
	Experiment  Experiment `yaml:"experiment"`
	Facts       []Fact     `yaml:"facts"`
}

// Service is a service as it is when the hour begins.
type Service struct {
	Name      string   `yaml:"name"`
	Owner     string   `yaml:"owner"`
	Tier      string   `yaml:"tier"`
	Version   string   `yaml:"version"`
	Instances int      `yaml:"instances"`
	DependsOn []string `yaml:"depends_on"`
}

// Step is one thing that a visitor does.
type Step struct {
	Name     string  `yaml:"name"`
	Service  string  `yaml:"service"`
	Stay     float64 `yaml:"stay"`      // share that goes on, of those for whom it went well
	MedianMS float64 `yaml:"median_ms"` // of a log-normal distribution
	Errors   float64 `yaml:"errors"`    // share that goes wrong
	Retry    float64 `yaml:"retry"`     // share of those that try once more
	Value    float64 `yaml:"value"`     // mean worth; 0: none is stated
}

// Effect is what a version does to its service's steps.
type Effect struct {
	Service  string  `yaml:"service"`
	Version  string  `yaml:"version"`
	Errors   float64 `yaml:"errors"`
	Slowdown float64 `yaml:"slowdown"`
}

// Experiment is one that visitors meet at a step.
type Experiment struct {
	Name     string   `yaml:"name"`
	Step     string   `yaml:"step"`
	Variants []string `yaml:"variants"`
}

// Fact is a fact, or with EachService one for each service.
type Fact struct {
	At          float64            `yaml:"at"`
	Late        float64            `yaml:"late"` // minutes until it is published
	Producer    string             `yaml:"producer"`
	Type        string             `yaml:"type"` // without io.whence.
	EachService bool               `yaml:"each_service"`
	Data        map[string]any     `yaml:"data"`
	Moments     map[string]float64 `yaml:"moments"` // fields of data that are times
}

// Load returns the scenario that comes with whence.
func Load() (*Scenario, error) {
	var s Scenario
	if err := yaml.Unmarshal(scenarioYAML, &s); err != nil {
		return nil, fmt.Errorf("the demo's scenario: %w", err)
	}
	return &s, nil
}

// At is the moment so many minutes from the start.
func (s *Scenario) At(minutes float64) time.Time {
	return s.Start.Add(time.Duration(minutes * float64(time.Minute)))
}

// rollout is the part that a deployment plays in the traffic.
type rollout struct {
	service, version string
	from             float64 // minutes
	share            float64 // of the instances, 0 to 1
}

// rollouts are the changes of shares, in the order of the scenario.
func (s *Scenario) rollouts() []rollout {
	var all []rollout
	for _, f := range s.Facts {
		service, _ := f.Data["service"].(string)
		version, _ := f.Data["version"].(string)
		if f.EachService || service == "" || version == "" {
			continue
		}
		r := rollout{service: service, version: version, from: f.At, share: number(f.Data["percent"]) / 100}
		if f.Data["outcome"] == "rolled_back" {
			r.share = 0
		}
		all = append(all, r)
	}
	return all
}

func number(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

package clickhouse

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// A crowd makes facts about names of its own, crowded on purpose: few names,
// few moments, shared ids, so that every tie, chain, conflict, retraction and
// overlap comes up.
type crowd struct {
	*rand.Rand
	prefix string
	number int
}

type object = map[string]any

// facts makes n facts, in the order in which they are said.
func (c *crowd) facts(t *testing.T, n int) []event.Fact {
	makers := []func() (string, object){
		c.deployment, c.deployment, c.deployment, c.deployment, c.incident, c.incident, c.finding, c.scan, c.scan, c.scan, c.flag, c.change, c.change,
		c.declaration, c.declaration, c.identity, c.retraction, c.retraction, c.build,
	}
	facts := make([]event.Fact, n)
	for i := range facts {
		name, data := makers[c.IntN(len(makers))]()
		facts[i] = c.fact(t, name, data)
	}
	return facts
}

func (c *crowd) fact(t *testing.T, name string, data object) event.Fact {
	text, err := json.Marshal(data)
	must(t, err)
	c.number++
	e := event.Event{Type: event.Prefix + name, Source: c.source(), ID: fmt.Sprint(c.prefix, c.number), Time: c.moment()}
	if c.IntN(2) == 0 { // some meet others of their id, for conflicts and retractions
		e.ID = c.sharedID()
	}
	value, err := json.Marshal(object{"specversion": "1.0", "type": e.Type, "source": e.Source, "id": e.ID,
		"time": e.Time.Time().Format(time.RFC3339Nano), "data": json.RawMessage(text)})
	must(t, err)
	var decoded codec.Events
	must(t, new(codec.Decoder).Decode(&decoded, event.Provenance{}, value,
		[]codec.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}))
	f := decoded.Facts[0]
	return f
}

func (c *crowd) one(kind string, n int) string { return fmt.Sprint(c.prefix, kind, c.IntN(n)) }

func (c *crowd) some(kind string, n int) []string {
	names := make([]string, c.IntN(3))
	for i := range names {
		names[i] = c.one(kind, n)
	}
	return names
}

func (c *crowd) source() string { return c.prefix + []string{"A", "b", "é"}[c.IntN(3)] }

// version is one of n, in one of its spellings.
func (c *crowd) version(n int) string {
	number := c.IntN(n)
	release, commit := fmt.Sprint(number, ".0"), fmt.Sprintf("c0ffee%x1%032x", number, number)
	return []string{release, "v" + release, commit, commit[:7], commit[:8]}[c.IntN(5)]
}

func (c *crowd) sharedID() string    { return c.one("shared", 10) }
func (c *crowd) service() string     { return c.one("service", 4) }
func (c *crowd) environment() string { return c.prefix + []string{"prod", "prod", "test"}[c.IntN(3)] }

// moment is a whole minute of an hour, or now and then a millisecond beside it.
func (c *crowd) moment() event.Millis {
	at := event.MinTime + event.Millis(c.IntN(60))*60_000
	if c.IntN(4) == 0 {
		at += event.Millis(c.IntN(3))
	}
	return at
}

func (c *crowd) clock() string { return c.moment().Time().Format("2006-01-02T15:04:05.000Z07:00") }

// maybe states a field half of the time.
func (c *crowd) maybe(data object, field string, value any) {
	if c.IntN(2) == 0 {
		data[field] = value
	}
}

func (c *crowd) deployment() (string, object) {
	data := object{"deployment_id": c.one("d", 6), "service": c.service(), "environment": c.environment(), "version": c.version(4)}
	c.maybe(data, "previous_version", c.version(4))
	c.maybe(data, "revisions", c.some(`r "é"\`, 6))
	c.maybe(data, "revisions", c.some("r", 6))
	c.maybe(data, "percent", []float64{0, 12.5, 50, 100}[c.IntN(4)])
	stage := []string{"started", "progressed", "finished"}[c.IntN(3)]
	if stage == "finished" {
		data["outcome"] = []string{"success", "success", "failure", "cancelled", "rolled_back"}[c.IntN(5)]
	}
	return "deployment." + stage, data
}

func (c *crowd) incident() (string, object) {
	data := object{"incident_id": c.one("n", 4), "service": c.service(), "environment": c.environment()}
	c.maybe(data, "services", c.some("service", 4))
	c.maybe(data, "severity", []string{"critical", "high", "medium", "low", "info", "sev1", "sev2"}[c.IntN(7)])
	if c.IntN(4) == 0 {
		data["started_at"] = c.clock()
	}
	if c.IntN(4) == 0 {
		data["ended_at"] = c.clock()
	}
	return "incident." + []string{"opened", "acknowledged", "updated", "merged", "resolved", "reopened"}[c.IntN(6)], data
}

func (c *crowd) finding() (string, object) {
	data := object{"finding_id": c.one("g", 4), "kind": "audit", "rule": "rule", "severity": "low"}
	c.maybe(data, "service", c.service())
	c.maybe(data, "environment", c.environment())
	c.maybe(data, "repository", c.one("p", 3))
	c.maybe(data, "revision_introduced", c.one("r", 6))
	c.maybe(data, "first_seen", c.clock())
	return "finding." + []string{"opened", "opened", "remediated", "accepted"}[c.IntN(4)], data
}

// scan is a part of one of few scans, mostly the only part.
func (c *crowd) scan() (string, object) {
	data := object{"scan_id": c.one("scan", 6), "tool": c.one("tool", 1+c.IntN(2)), "target": "t"}
	if c.IntN(3) == 0 {
		data["part"] = 1 + c.IntN(2)
		c.maybe(data, "parts", 2)
	}
	if c.IntN(8) == 0 {
		data["complete"] = c.IntN(2) == 0
	}
	c.maybe(data, "service", c.service())
	c.maybe(data, "repository", c.one("p", 3))
	var findings []object
	for range c.IntN(4) {
		_, finding := c.finding()
		c.maybe(finding, "status", []string{"open", "accepted", "remediated"}[c.IntN(3)])
		findings = append(findings, finding)
	}
	c.maybe(data, "findings", findings)
	if data["findings"] != nil && len(findings) == 0 {
		data["findings"] = []object{}
	}
	return "scan.completed", data
}

func (c *crowd) flag() (string, object) {
	data := object{"flag": c.one("f", 3), "environment": c.environment(), "previous": object{"rules": "old"},
		"rules": object{"on": c.IntN(100), "ratio": c.Float64(), `a/b "é"`: "staff", "nested": object{"z": 1e21, "a": []any{1.5, "x"}}}}
	c.maybe(data, "services", c.some("service", 4))
	return "flag.changed", data
}

func (c *crowd) change() (string, object) {
	if c.IntN(4) == 0 {
		return "configuration.changed", object{"change_id": c.one("c", 5), "environment": c.environment(), "summary": "a change", "revision": c.one("r", 6)}
	}
	data := object{"change_id": c.one("c", 5), "repository": c.one("p", 3), "revision": c.one("r", 6), "merged_at": c.clock()}
	c.maybe(data, "commits", []object{{"revision": c.one(`r "é"\`, 6)}, {"author": "nobody"}})
	return "change.merged", data
}

func (c *crowd) declaration() (string, object) {
	data := object{"service": c.service()}
	c.maybe(data, "environment", c.environment())
	c.maybe(data, "owner", c.one("team", 3))
	c.maybe(data, "tier", c.one("tier", 3))
	c.maybe(data, "repositories", c.some("p", 3))
	if c.IntN(3) == 0 {
		data["aliases"] = c.some("service", 6)
	}
	return "service.declared", data
}

func (c *crowd) identity() (string, object) {
	kind, name := "service", func() string { return c.one("service", 6) }
	switch c.IntN(3) {
	case 1:
		kind = "person"
	case 2:
		kind, name = "repository", func() string { return c.one("p", 3) }
	}
	return "identity.declared", object{"kind": kind, "canonical": name(), "alias": name(), "source": "somewhere"}
}

func (c *crowd) retraction() (string, object) {
	return "fact.retracted", object{"retracts": object{"source": c.source(), "id": c.sharedID()}}
}

// build is a fact that changes no column.
func (c *crowd) build() (string, object) {
	return "build.finished", object{"build_id": c.one("b", 2), "revision": c.one("r", 6), "outcome": "success"}
}

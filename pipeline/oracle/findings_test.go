package oracle_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/schemas/event"
)

// Findings have the rules with the most ties: what scans list and miss, what is
// opened, closed, opened again and unsaid, all within a quarter of an hour.
func TestTheOracleSaysOfFindingsInCrowdedWorldsWhatTheModelSaysAndWhatIsDerived(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	start := time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	minute := func() time.Time { return start.Add(time.Duration(random.IntN(15)) * time.Minute) }
	var facts, observations []map[string]any
	want := map[string][]string{}
	open := 0
	for number := range 150 {
		c := &findingsOf{Rand: random, prefix: fmt.Sprintf("w%d-", number)}
		var said []event.Fact
		for n := range 5 + random.IntN(25) {
			name, data := c.say()
			text, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			f := fact(event.Prefix+name, string(text))
			f.Source, f.ID, f.Time, f.Hash = c.prefix, fmt.Sprint(c.IntN(40)), event.MillisOf(minute()), uint64(n+1)
			said = append(said, f)
			facts = append(facts, map[string]any{"source": f.Source, "id": f.ID, "type": f.Type, "time": f.Time.Time().Format("2006-01-02 15:04:05.000"),
				"content_hash": f.Hash, "data": f.Data, "entity_kind": f.Kind, "entity_id": f.EntityID, "revision": len(facts) + 1,
				"service": f.Service, "environment": f.Environment})
		}
		m := model.New(said)
		for at := range 16 {
			o := event.Observation{Service: c.prefix + "shop", Environment: "prod"}
			o.Time = event.MillisOf(start.Add(time.Duration(at) * time.Minute))
			id := fmt.Sprint(c.prefix, at)
			want[id] = m.Answer(o).FindingIDs
			open += len(want[id])
			observations = append(observations, map[string]any{"source": "hand", "id": id, "type": "io.whence.behavior.recorded", "name": "buy",
				"service": o.Service, "environment": o.Environment, "time": o.Time.Time().Format("2006-01-02 15:04:05.000")})
		}
	}
	insert(t, query, "whence.facts", facts)
	insert(t, query, "whence.observations", observations)
	got := computed(t, compute(t, query, oracle.Scope{}))
	for id, ids := range want {
		have := []string{}
		for _, v := range got[id]["finding_ids"].([]any) {
			have = append(have, v.(string))
		}
		if !slices.Equal(have, ids) {
			t.Errorf("%s: the oracle has %v, the model %v", id, have, ids)
		}
	}
	derive(t, uint64(len(facts)))
	columns, err := compute(t, query, oracle.Scope{}).CompareEntities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		if c.Differing > 0 {
			t.Errorf("%s differs from what is derived in %d rows, such as %+v", c.Name, c.Differing, c.Examples[0])
		}
	}
	if open < 1000 {
		t.Errorf("findings were open %d times in all: the worlds show nothing", open)
	}
}

type findingsOf struct {
	*rand.Rand
	prefix string
}

func (c *findingsOf) say() (string, map[string]any) {
	switch c.IntN(8) {
	case 0:
		return "finding." + []string{"opened", "remediated", "accepted"}[c.IntN(3)], c.finding()
	case 1:
		return "fact.retracted", map[string]any{"retracts": map[string]any{"source": c.prefix, "id": fmt.Sprint(c.IntN(40))}}
	}
	data := map[string]any{"scan_id": fmt.Sprint(c.IntN(8)), "tool": c.prefix + "x", "target": "t"}
	switch c.IntN(8) {
	case 0:
		data["part"], data["parts"] = 1+c.IntN(2), 2
	case 1:
		data["part"] = 1
	case 2:
		data["complete"] = false
	case 3:
		data["tool"] = c.prefix + "y"
	}
	findings := []map[string]any{}
	for range c.IntN(4) {
		f := c.finding()
		f["status"] = []string{"open", "open", "open", "accepted", "remediated"}[c.IntN(5)]
		findings = append(findings, f)
	}
	data["findings"] = findings
	return "scan.completed", data
}

func (c *findingsOf) finding() map[string]any {
	f := map[string]any{"finding_id": fmt.Sprint(c.prefix, "g", c.IntN(3)), "service": c.prefix + "shop", "kind": "audit", "rule": "r", "severity": "low"}
	if c.IntN(12) == 0 {
		f["first_seen"] = fmt.Sprintf("2024-05-01T10:%02d:00Z", c.IntN(15))
	}
	return f
}

package oracle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/oracle"
)

func TestEntitiesThatAreWrongMissingOrTooManyAreFound(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	data := `{"deployment_id":"d1","service":"store","environment":"prod","version":"v2","percent":100}`
	insert(t, query, "whence.facts", []map[string]any{
		{"source": "hand", "id": "1", "type": "io.whence.deployment.started", "time": "2024-05-01 10:00:00.000", "data": data,
			"entity_kind": "deployment", "entity_id": "d1"},
		{"source": "hand", "id": "2", "type": "io.whence.service.declared", "time": "2024-05-01 10:00:00.000",
			"data": `{"service":"shop","aliases":["store"]}`},
		{"source": "hand", "id": "3", "type": "io.whence.incident.opened", "time": "2024-05-01 10:00:00.000",
			"data": `{"incident_id":"n1","service":"shop","environment":"prod"}`},
	})
	derive(t, 1)
	do(t, query, "INSERT INTO whence.deployments SELECT * REPLACE ('v1' AS version, NULL AS completed_at) FROM whence.deployments FINAL")
	insert(t, query, "whence.deployments", []map[string]any{{"deployment_id": "d2", "service": "shop"}})
	columns, err := compute(t, query, oracle.Scope{}).CompareEntities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]oracle.Example{}
	for _, c := range columns {
		if c.Differing == 1 {
			have[c.Name] = c.Examples[0]
		} else if c.Differing > 0 {
			t.Errorf("%s differs in %d rows", c.Name, c.Differing)
		}
	}
	want := map[string]oracle.Example{
		"deployments.row":          {Row: "deployments d2", Expected: "absent", Stored: "stored"},
		"deployments.version":      {Row: "deployments d1", Expected: "v2", Stored: "v1"},
		"deployments.completed_at": {Row: "deployments d1", Expected: "2024-05-01 10:00:00.000", Stored: "null"},
		"services.row":             {Row: "services /shop", Expected: "expected", Stored: "absent"},
		"incidents.row":            {Row: "incidents n1", Expected: "expected", Stored: "absent"},
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

// derive fills the entity tables from the facts, as the pipeline does.
func derive(t testing.TB, revision uint64) {
	t.Helper()
	client, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: url, QueryTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.DeriveAll(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
}

// A row that is gone, or is another, by facts that came later than those that
// all is held to.
func TestAnEntityThatWasDerivedOfLaterFactsIsLeftForAnotherTime(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	started := func(id, deployment string, revision int) map[string]any {
		return map[string]any{"source": "hand", "id": id, "type": "io.whence.deployment.started", "time": "2024-05-01 10:00:00.000", "revision": revision,
			"data": `{"deployment_id":"` + deployment + `","service":"shop","environment":"prod"}`, "entity_kind": "deployment", "entity_id": deployment}
	}
	insert(t, query, "whence.facts", []map[string]any{started("1", "retracted", 1), started("2", "known", 2), started("3", "new", 3),
		{"source": "hand", "id": "4", "type": "io.whence.fact.retracted", "time": "2024-05-01 10:00:00.000", "revision": 4,
			"data": `{"retracts":{"source":"hand","id":"1"}}`}})
	derive(t, 4)
	o := compute(t, query, oracle.Scope{Revision: 2})
	columns, err := o.CompareEntities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []oracle.Column{{Area: oracle.Entities, Name: "deployments.row", Differing: 2, Examples: []oracle.Example{
		{Row: "deployments new", Expected: "absent", Stored: "stored"}, {Row: "deployments retracted", Expected: "expected", Stored: "absent"}}}}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Error(diff)
	}
	if newer, err := o.Newer(t.Context()); err != nil || newer != 2 {
		t.Errorf("%d of them are newer, %v", newer, err)
	}
}

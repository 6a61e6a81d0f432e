package oracle_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/oracle"
)

func TestEntitiesThatAreWrongMissingOrTooManyAreFound(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	data := `{"deployment_id":"d1","service":"store","environment":"prod","version":"v2","percent":100}`
	insert(t, query, "whence.facts", []map[string]any{
		{"source": "hand", "id": "1", "type": "io.whence.deployment.started", "time": "2024-05-01 10:00:00.000", "data": data},
		{"source": "hand", "id": "2", "type": "io.whence.service.declared", "time": "2024-05-01 10:00:00.000",
			"data": `{"service":"shop","aliases":["store"]}`},
		{"source": "hand", "id": "3", "type": "io.whence.incident.opened", "time": "2024-05-01 10:00:00.000",
			"data": `{"incident_id":"n1","service":"shop","environment":"prod"}`},
	})
	insert(t, query, "whence.deployments", []map[string]any{
		{"deployment_id": "d1", "service": "store", "environment": "prod", "version": "v1", "started_at": "2024-05-01 10:00:00.000"},
		{"deployment_id": "d2", "service": "shop"},
	})
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
		"deployments.completed_at": {Row: "deployments d1", Expected: "1714557600000", Stored: "null"},
		"services.row":             {Row: "services /shop", Expected: "expected", Stored: "absent"},
		"incidents.row":            {Row: "incidents n1", Expected: "expected", Stored: "absent"},
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

package oracle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/oracle"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// provenance is what entity tables have that no other route can know: where the
// last fact was read, and how much was known when the row was derived.
var provenance = []string{"received_at", "topic", "partition", "offset", "revision"}

func TestWhatIsDerivedOfCrowdedEntitiesOfEveryKindIsWhatTheOracleSays(t *testing.T) {
	query := engineQuery(t)
	crowd(t, query, uint64(time.Now().UnixNano()))
	for _, scope := range []oracle.Scope{{}, {From: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, {Share: 0.01}} {
		columns, err := compute(t, query, scope).CompareEntities(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range columns {
			t.Errorf("%+v: %s differs in %d rows, such as %+v", scope, c.Name, c.Differing, c.Examples[0])
		}
	}
}

// Of each table a row for each column is written anew with that column damaged. A
// column that nothing is compared with is not found, and fails the test.
func TestDamageToAnyColumnOfAnyEntityIsFoundByItsName(t *testing.T) {
	query := engineQuery(t)
	crowd(t, query, 1)
	var want, have []string
	for _, table := range tables.EntityKinds() {
		want = append(want, damageEach(t, query, table)...)
	}
	found, err := compute(t, query, oracle.Scope{}).CompareEntities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		have = append(have, fmt.Sprint(c.Name, " ", c.Differing))
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

// damageEach damages each column of a table in a row of its own, and says as what
// that must be found. A row with another key is one that nobody spoke of.
func damageEach(t *testing.T, query oracle.Query, table string) (want []string) {
	t.Helper()
	var damaged []string
	rows := 0
	for i, c := range columnsOf(t, query, table) {
		if slices.Contains(provenance, c.Name) {
			continue
		}
		damaged = append(damaged, fmt.Sprintf("SELECT * REPLACE (CAST(%s, '%s') AS %s) FROM (SELECT * FROM whence.%s FINAL ORDER BY ALL LIMIT 1 OFFSET %d)",
			damageTo(c), strings.ReplaceAll(c.Type, "'", `\'`), c.Name, table, i))
		if c.Key || c.Name == "is_deleted" {
			rows++
		} else {
			want = append(want, fmt.Sprintf("%s.%s 1", table, c.Name))
		}
	}
	if n := strings.TrimSpace(string(do(t, query, "SELECT count() FROM ("+strings.Join(damaged, " UNION ALL ")+") FORMAT TSV"))); n != fmt.Sprint(len(damaged)) {
		t.Fatalf("%s has rows for %s of its %d columns", table, n, len(damaged))
	}
	do(t, query, "INSERT INTO whence."+table+" "+strings.Join(damaged, " UNION ALL "))
	return append(want, fmt.Sprintf("%s.row %d", table, rows))
}

type column struct {
	Name, Type string
	Key        bool
}

func columnsOf(t *testing.T, query oracle.Query, table string) (columns []column) {
	t.Helper()
	body := do(t, query, "SELECT name, type, is_in_sorting_key = 1 AS key FROM system.columns WHERE database = 'whence' AND table = '"+table+"' ORDER BY position FORMAT JSONEachRow")
	for line := range bytes.Lines(body) {
		var c struct {
			Name, Type string
			Key        int
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, column{c.Name, c.Type, c.Key == 1})
	}
	return columns
}

// damageTo is another value than the column has.
func damageTo(c column) string {
	switch {
	case strings.HasPrefix(c.Type, "Nullable(DateTime64"):
		return "if(" + c.Name + " IS NULL, now64(3, 'UTC'), NULL)"
	case strings.HasPrefix(c.Type, "DateTime64"):
		return c.Name + " + toIntervalMillisecond(1)"
	case strings.HasPrefix(c.Type, "Nullable(Bool"):
		return "if(" + c.Name + " IS NULL, true, NULL)"
	case strings.HasPrefix(c.Type, "Nullable"):
		return "ifNull(" + c.Name + ", 0) + 1"
	case strings.HasPrefix(c.Type, "Array(String"):
		return "arrayPushBack(" + c.Name + ", 'damaged')"
	case strings.HasPrefix(c.Type, "Array"):
		return "if(empty(" + c.Name + "), [0], [])"
	case strings.HasPrefix(c.Type, "Map"):
		return "if(empty(" + c.Name + "), map('damaged', '1'), map())"
	case strings.Contains(c.Type, "String"):
		return "concat(" + c.Name + ", ' damaged')"
	}
	return c.Name + " + 1"
}

// crowd fills the tables with facts of every kind of entity, in every field of
// theirs, within a quarter of an hour: ties, conflicts, retractions and scans.
func crowd(t *testing.T, query oracle.Query, seed uint64) {
	t.Helper()
	t.Log("seed", seed)
	empty(t, query)
	c := &crowded{rand.New(rand.NewPCG(seed, 1))}
	var facts []map[string]any
	for _, typ := range event.Types() {
		number := 0
		switch {
		case typ.EntityKind == "scan":
			number = 60
		case typ.EntityKind == "retraction":
			number = 80
		case tables.EntityKinds()[typ.EntityKind] != "":
			number = 120
		}
		for range number {
			facts = append(facts, c.row(t, typ, len(facts)+1))
		}
	}
	insert(t, query, "whence.facts", facts)
	derive(t, uint64(len(facts)))
}

// entityIDs are the fields that hold one.
var entityIDs = func() map[string]bool {
	ids := map[string]bool{}
	for _, typ := range event.Types() {
		ids[typ.IDField] = typ.EntityKind != "scan"
	}
	return ids
}()

type crowded struct{ *rand.Rand }

func (c *crowded) row(t *testing.T, typ *event.Type, revision int) map[string]any {
	t.Helper()
	said := c.object(typ.Fields)
	if c.IntN(5) == 0 { // what a type does not name may be there
		said["environment"] = fmt.Sprint("environment", c.IntN(3))
	}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	f := fact(typ.Name, string(text))
	return map[string]any{"source": fmt.Sprint("source", c.IntN(2)), "id": fmt.Sprint(c.IntN(300)), "type": typ.Name, "time": c.minute().Format("2006-01-02 15:04:05.000"),
		"content_hash": c.Uint64(), "data": f.Data, "entity_kind": f.Kind, "entity_id": f.EntityID, "revision": revision,
		"service": f.Service, "environment": f.Environment}
}

func (c *crowded) minute() time.Time {
	return time.Date(2024, 5, 1, 10, c.IntN(15), 0, 0, time.UTC)
}

func (c *crowded) object(fields []event.Field) map[string]any {
	said := map[string]any{}
	for _, f := range fields {
		if f.Required || c.IntN(2) == 0 {
			said[f.Name] = c.value(f)
		}
	}
	return said
}

func (c *crowded) value(f event.Field) any {
	switch f.Kind {
	case event.NumberField:
		return float64(c.IntN(250)) / 2
	case event.IntegerField:
		return 1 + c.IntN(2)
	case event.BoolField:
		return c.IntN(2) == 0
	case event.TimeField:
		return c.minute().Format(time.RFC3339)
	case event.StringsField, event.ListField:
		list := make([]string, c.IntN(4))
		for i := range list {
			if c.IntN(5) > 0 {
				list[i] = fmt.Sprint(f.Name, c.IntN(4))
			}
		}
		if f.Required && len(list) == 0 {
			list = []string{f.Name}
		}
		return list
	case event.ObjectsField:
		list := make([]map[string]any, 1+c.IntN(3))
		for i := range list {
			list[i] = c.object(f.Fields)
		}
		return list
	case event.ObjectField:
		if f.Name == "retracts" {
			return map[string]any{"source": fmt.Sprint("source", c.IntN(2)), "id": fmt.Sprint(c.IntN(300))}
		}
		return map[string]any{fmt.Sprint(f.Name, c.IntN(3)): fmt.Sprint(c.IntN(100))}
	case event.AnyField:
		return []any{"", "text", 1.5, []any{}, []any{1}, map[string]any{"a": "b/c"}}[c.IntN(6)]
	}
	return c.text(f)
}

func (c *crowded) text(f event.Field) string {
	if len(f.Allowed) > 0 {
		return f.Allowed[c.IntN(len(f.Allowed))]
	}
	if !f.Required && c.IntN(4) == 0 {
		return ""
	}
	names := 4
	if entityIDs[f.Name] {
		names = 45
	}
	return fmt.Sprint(f.Name, c.IntN(names))
}

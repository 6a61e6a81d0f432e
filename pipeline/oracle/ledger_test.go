package oracle_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whencehq/whence/pipeline/oracle"
)

const topicID = "00000000-0000-0000-0000-000000000001"

func batch(partition, from, to, stored, dead int) map[string]any {
	return map[string]any{"topic": "whence.behavior", "topic_id": topicID, "partition": partition,
		"from_offset": from, "to_offset": to, "records": stored + dead, "stored": stored, "dead": dead, "observations": stored}
}

// dropping is a batch of which rules have dropped records.
func dropping(batch map[string]any, records int) map[string]any {
	batch["dropped"], batch["records"] = records, batch["records"].(int)+records
	return batch
}

func place(partition, offset int) map[string]any {
	return map[string]any{"topic": "whence.behavior", "partition": partition, "offset": offset,
		"source": "hand", "id": offset, "service": "shop", "time": "2024-05-01 10:00:00.000"}
}

func letter(partition, offset int) map[string]any {
	row := place(partition, offset)
	delete(row, "service")
	row["topic_id"], row["reason"] = topicID, "malformed"
	return row
}

func TestAWholeLedgerHasNoTroublesAndSumsUp(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	insert(t, query, "whence_state.batches", []map[string]any{
		batch(0, 0, 10, 9, 1), batch(0, 10, 12, 2, 0), batch(0, 12, 20, 5, 0), batch(1, 7, 9, 2, 0),
		batch(0, 10, 12, 2, 0), // written twice counts once
		dropping(batch(1, 9, 14, 1, 1), 3),
	})
	// Of the dead letters one was replayed: its row is one more than the ledger has.
	insert(t, query, "whence.observations", []map[string]any{place(0, 0), place(0, 19), place(1, 8), place(1, 10), place(1, 11)})
	insert(t, query, "whence.dead_letters", []map[string]any{letter(0, 4), letter(1, 10)})
	if have := troubles(t, query); len(have) != 0 {
		t.Errorf("a whole ledger has troubles: %+v", have)
	}
	have, err := oracle.Accounts(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	want := []oracle.Account{
		{Topic: "whence.behavior", Partition: 0, First: 0, Last: 20, Batches: 3, Records: 17, Stored: 16, Dead: 1},
		{Topic: "whence.behavior", Partition: 1, First: 7, Last: 14, Batches: 2, Records: 7, Stored: 3, Dead: 1, Dropped: 3},
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestEveryBreachOfLaw2IsFound(t *testing.T) {
	query := engineQuery(t)
	wrongSum := batch(0, 0, 10, 9, 0)
	wrongSum["records"] = 10
	for _, c := range []struct {
		breach                  string
		batches, rows, letters  []map[string]any
		wantTrouble, wantDetail string
		wantPartition           int32
	}{
		{"a gap between two batches", []map[string]any{batch(2, 0, 10, 10, 0), batch(2, 11, 12, 1, 0)}, nil, nil,
			"gap", "a batch starts at 11, the one before ended at 10", 2},
		{"two batches that overlap", []map[string]any{batch(0, 0, 10, 10, 0), batch(0, 9, 12, 3, 0)}, nil, nil,
			"overlap", "a batch starts at 9, the one before ended at 10", 0},
		{"a record neither stored nor dead", []map[string]any{wrongSum}, nil, nil,
			"sum", "[0, 10): 10 records, 9 stored, 0 dead, 0 dropped", 0},
		{"more records than offsets", []map[string]any{batch(0, 0, 10, 11, 0)}, nil, nil,
			"sum", "[0, 10): 11 records, 11 stored, 0 dead, 0 dropped", 0},
		{"a dead letter that was not stored", []map[string]any{batch(0, 0, 10, 9, 1)}, nil, nil,
			"dead letters", "1 in the ledger, 0 stored", 0},
		{"a dead letter that nobody counted", []map[string]any{batch(3, 0, 10, 10, 0)}, nil, []map[string]any{letter(3, 4)},
			"dead letters", "0 in the ledger, 1 stored", 3},
		{"a row of a record in no batch", []map[string]any{batch(0, 0, 10, 10, 0)}, []map[string]any{place(0, 9), place(0, 10)}, nil,
			"unaccounted", "1 rows of observations come from records in no batch, the first of them offset 10", 0},
		{"a row that no record brought", []map[string]any{batch(0, 0, 10, 1, 0)}, []map[string]any{place(0, 3), place(0, 9)}, nil,
			"too many", "[0, 10): 1 observations in the ledger, 2 rows", 0},
	} {
		t.Run(c.breach, func(t *testing.T) {
			empty(t, query)
			insert(t, query, "whence_state.batches", c.batches)
			insert(t, query, "whence.observations", c.rows)
			insert(t, query, "whence.dead_letters", c.letters)
			want := []oracle.Trouble{{Trouble: c.wantTrouble, Topic: "whence.behavior", Partition: c.wantPartition, Detail: c.wantDetail}}
			if diff := cmp.Diff(want, troubles(t, query), cmpopts.IgnoreFields(oracle.Trouble{}, "Key")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func troubles(t *testing.T, query oracle.Query) []oracle.Trouble {
	have, err := oracle.Troubles(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return have
}

package clickhouse

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// unmovable lets do run while no part of a table can be put in its place: all
// of an insert works but its last step, as on a disk that has just become full.
func unmovable(t *testing.T, client *Client, database, table string, do func()) {
	t.Helper()
	dir := answer[string](t, client, "SELECT data_paths[1] FROM system.tables WHERE database = ? AND name = ?", database, table)
	chattr := func(change string) error { return exec.Command("chattr", change, dir).Run() }
	// Names can be added to such a folder, and none changed or taken away.
	if err := chattr("+a"); err != nil {
		t.Skipf("a folder can't be made append-only here: %v", err)
	}
	defer func() { must(t, chattr("-a")) }()
	do()
}

// spend uses a block's token up without its rows being stored. It skips the
// test on an engine that takes the token back.
func spend(t *testing.T, client *Client, block tables.Block, database, table, token string) {
	t.Helper()
	unmovable(t, client, database, table, func() {
		if err := client.Insert(t.Context(), block, token); err == nil {
			t.Fatal("the insert succeeded")
		}
	})
}

func stored(t *testing.T, client *Client, source string) uint64 {
	t.Helper()
	return answer[uint64](t, client, "SELECT count() FROM whence.observations WHERE source = ?", source)
}

func several(source string, n int, step event.Millis) []event.Observation {
	all := make([]event.Observation, n)
	for i := range all {
		all[i] = *observation(source, i, event.MinTime+event.Millis(i)*step)
	}
	return all
}

func TestATokenMayOutliveItsRowsAndWhoAsksSeesWhichTheyAre(t *testing.T) {
	client := connect(t)
	const source = "spent"
	block := observations(source, 1000, 1000)
	spend(t, client, block, "whence", "observations", source)
	must(t, client.Insert(t.Context(), block, source))
	there := stored(t, client, source)
	missing, err := client.Missing(t.Context(), several(source, 1000, 1000))
	must(t, err)
	if uint64(len(missing)) != 1000-there {
		t.Errorf("%d rows are there after the retry was acknowledged, %d are said to be missing, of 1000", there, len(missing))
	}
	if there == 1000 {
		t.Log("this engine takes the token back: what it is asked for is needed no more")
	}
	must(t, client.Again(t.Context(), block, source))
	if there := stored(t, client, source); there < 1000 {
		t.Errorf("%d rows are there, want 1000", there)
	}
	if missing, err = client.Missing(t.Context(), several(source, 1000, 1000)); err != nil || len(missing) > 0 {
		t.Errorf("%d rows are missing, error %v", len(missing), err)
	}
}

func TestOfManyDaysOnlyThoseThatAreMissingAreSaid(t *testing.T) {
	client := connect(t)
	const source = "half there"
	block := tables.NewObservations()
	all := several(source, 400, day)
	var want []int
	for i := range all {
		if i%3 == 0 {
			block.Append(&all[i], bare)
		} else {
			want = append(want, i)
		}
	}
	must(t, client.Insert(t.Context(), block, source))
	missing, err := client.Missing(t.Context(), all)
	must(t, err)
	if !slices.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
}

func TestAnObservationIsMissingWhileOnlyALesserContentOfItIsThere(t *testing.T) {
	client := connect(t)
	const source = "contents"
	lesser, same, greater := *observation(source, 1, event.MinTime), *observation(source, 1, event.MinTime), *observation(source, 1, event.MinTime)
	lesser.Hash, greater.Hash = same.Hash-1, same.Hash+1
	elsewhere := same // it came with another record
	elsewhere.Partition, elsewhere.Offset = 7, 70
	block := tables.NewObservations()
	block.Append(&elsewhere, bare)
	must(t, client.Insert(t.Context(), block, source))
	missing, err := client.Missing(t.Context(), []event.Observation{lesser, same, greater})
	must(t, err)
	if !slices.Equal(missing, []int{2}) {
		t.Errorf("missing %v, want the greater content alone", missing)
	}
}

func TestEveryIdentityIsFoundWhateverItIsMadeOf(t *testing.T) {
	client := connect(t)
	var all []event.Observation
	block := tables.NewObservations()
	for i, word := range []string{"", "'", `\`, "\x00", "ü", "a\tb\n", "{x:String}", "?", "--", "\xff"} {
		o := *observation("odd "+word, i, event.MinTime+event.Millis(i))
		o.ID, o.Service, o.Environment, o.Name = word, "service "+word, "environment "+word, "name "+word
		all = append(all, o)
		block.Append(&o, bare)
	}
	must(t, client.Insert(t.Context(), block, "odd"))
	missing, err := client.Missing(t.Context(), all)
	must(t, err)
	if len(missing) > 0 {
		t.Errorf("missing: %q", all[missing[0]].ID)
	}
}

func TestAnEpochWhoseTokenIsSpentIsLeftOut(t *testing.T) {
	client := connect(t)
	// Far from the numbers of other tests, whose tokens it must leave alone.
	const before = 1000
	must(t, client.exec(t.Context(), fmt.Sprintf("INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (%d, generateUUIDv4())", before), nil))
	t.Cleanup(func() {
		if _, err := client.DB().Exec("TRUNCATE TABLE whence_state.epochs"); err != nil { // t.Context is done here
			t.Error(err)
		}
	})
	unmovable(t, client, "whence_state", "epochs", func() {
		if _, err := client.Epoch(t.Context(), [16]byte{201}); err == nil {
			t.Fatal("the insert succeeded")
		}
	})
	after, err := client.Epoch(t.Context(), [16]byte{201})
	must(t, err)
	again, err := client.Epoch(t.Context(), [16]byte{201})
	must(t, err)
	if after <= before || again != after {
		t.Errorf("epochs %d, then %d, asked again %d", before, after, again)
	}
}

func BenchmarkMissing(b *testing.B) {
	client := connect(b)
	const n = 40_000
	must(b, client.Insert(b.Context(), observations("bench missing", n, 10), "bench missing"))
	all := several("bench missing", n, 10)
	for b.Loop() {
		missing, err := client.Missing(b.Context(), all)
		if must(b, err); len(missing) > 0 {
			b.Fatal(len(missing))
		}
	}
}

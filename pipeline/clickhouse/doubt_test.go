package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/whencehq/whence/pipeline"
	stage "github.com/whencehq/whence/processors/store"
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

// troubled is a sink in which some of everything goes wrong.
type troubled struct {
	*Client
	t       *testing.T
	random  *rand.Rand
	spoiled map[string][]string // by table, those of which a part can't be put in place
}

var errTrouble = errors.New("trouble")

func (s *troubled) Insert(ctx context.Context, block tables.Block, token string) error {
	return s.insert(ctx, block, token, s.Client.Insert)
}

func (s *troubled) Again(ctx context.Context, block tables.Block, token string) error {
	return s.insert(ctx, block, token, s.Client.Again)
}

func (s *troubled) insert(ctx context.Context, block tables.Block, token string, insert func(context.Context, tables.Block, string) error) (err error) {
	switch s.random.IntN(30) {
	case 0: // it never comes
		return errTrouble
	case 1: // its answer never does
		return errors.Join(insert(ctx, block, token), errTrouble)
	case 2, 3, 4, 5:
		names := append(s.spoiled[block.Table()], block.Table())
		database, table, _ := strings.Cut(names[s.random.IntN(len(names))], ".")
		unmovable(s.t, s.Client, database, table, func() { err = insert(ctx, block, token) })
		return err
	}
	return insert(ctx, block, token)
}

func (s *troubled) Missing(ctx context.Context, observations []event.Observation) ([]int, error) {
	if s.random.IntN(10) == 0 {
		return nil, errTrouble
	}
	return s.Client.Missing(ctx, observations)
}

// persist processes a batch until that works. Now and then it is another worker
// who goes on, with what the intent says.
func persist(t *testing.T, random *rand.Rand, process pipeline.Processor, b *pipeline.Batch) (attempts int) {
	for attempts = 1; attempts < 100; attempts++ {
		if process.Process(t.Context(), b) == nil {
			return attempts
		}
		if random.IntN(2) == 0 {
			again := *b
			again.Doubted, b = true, &again
		}
	}
	t.Fatal("the batch is never stored")
	return attempts
}

type noGraveyard struct{}

func (noGraveyard) Bury(context.Context, []pipeline.DeadLetter) error { return nil }

type noDeriver struct{}

func (noDeriver) Derive(context.Context, uint64, []event.Fact) error { return nil }

// batch is the n-th of a partition: observations over some days, of which some
// are said again and some say something else than before; another event, and a
// dead letter.
func batch(random *rand.Rand, source string, n int) *pipeline.Batch {
	const records = 40
	b := &pipeline.Batch{Topic: source, TopicID: uuid.NewSHA1(uuid.Nil, []byte(source)), From: int64(n * records), To: int64((n + 1) * records), Revision: uint64(n)}
	for i := range records {
		b.Records = append(b.Records, pipeline.Record{Offset: b.From + int64(i), Timestamp: event.MinTime})
	}
	b.Hash = pipeline.HashRecords(b.Records)
	b.Others = []event.Other{{Event: event.Event{ID: fmt.Sprint(n), Source: source, Type: "other"}, Provenance: b.Provenance(0)}}
	b.Bury(1, pipeline.ReasonMalformed, "")
	for i := 2; i < records; i++ {
		id := random.IntN(150)
		o := observation(source, id, event.MinTime+event.Millis(id%3)*day+event.Millis(id)*1000)
		o.Provenance = b.Provenance(i)
		o.Hash = 1<<63 + uint64(random.IntN(3))
		o.Message = fmt.Sprint(o.Hash)
		o.Caller, o.Callee, o.Environment = fmt.Sprint("web ", id%7), "shop", source
		b.Observations, b.Enrichments = append(b.Observations, *o), append(b.Enrichments, event.Enrichment{DeploymentAgeMS: event.NoAge, Revision: b.Revision})
	}
	return b
}

func TestDoubtedBatchesLeaveTheSameTablesAsOthers(t *testing.T) {
	client := connect(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	counted(t, client)
	const batches = 8
	attempts := 0
	calm, trouble := fmt.Sprint("calm ", seed), fmt.Sprint("troubled ", seed)
	for source, sink := range map[string]stage.Sink{
		calm: client,
		trouble: &troubled{Client: client, t: t, random: rand.New(rand.NewPCG(seed, 1)), spoiled: map[string][]string{
			"whence.observations": {"whence_state.edges"},
		}},
	} {
		random, crashes := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
		process := &stage.Events{Sink: sink, Graveyard: noGraveyard{}}
		for n := range batches {
			attempts += persist(t, crashes, process, batch(random, source, n))
		}
	}
	t.Logf("%d attempts at %d batches", attempts, 2*batches)
	for _, question := range []string{
		"SELECT * EXCEPT (source, environment, topic, partition, offset, received_at, revision, rewritten) FROM whence.observations FINAL WHERE source = '%s' ORDER BY ALL",
		"SELECT * EXCEPT (source, topic) FROM whence.other_events FINAL WHERE source = '%s' ORDER BY ALL",
		"SELECT * EXCEPT (topic, topic_id) FROM whence.dead_letters FINAL WHERE topic = '%s' ORDER BY ALL",
		"SELECT * EXCEPT (topic, topic_id, written_at) FROM whence_state.batches FINAL WHERE topic = '%s' ORDER BY ALL",
		"SELECT * EXCEPT environment FROM whence_state.edges FINAL WHERE environment = '%s' ORDER BY ALL",
		"SELECT count(), uniqExact(offset) FROM whence_state.each_once WHERE source = '%s'",
	} {
		want, have := lines(t, client, fmt.Sprintf(question, calm)), lines(t, client, fmt.Sprintf(question, trouble))
		if !slices.Equal(want, have) || len(want) == 0 {
			t.Errorf("%s\n%d rows without trouble, %d with", question, len(want), len(have))
		}
	}
}

// counted makes a view of a user who counts each record once.
func counted(t *testing.T, client *Client) {
	t.Helper()
	for _, statement := range []string{
		"CREATE TABLE whence_state.each_once (source String, offset Int64) ENGINE = MergeTree ORDER BY source SETTINGS non_replicated_deduplication_window = 100000",
		"CREATE MATERIALIZED VIEW whence_state.each_once_feed TO whence_state.each_once AS SELECT source, offset FROM whence.observations WHERE rewritten = 0",
	} {
		must(t, client.exec(t.Context(), statement, nil))
	}
	t.Cleanup(func() {
		for _, table := range []string{"each_once_feed", "each_once"} {
			if _, err := client.DB().Exec("DROP TABLE whence_state." + table); err != nil { // t.Context is done here
				t.Error(err)
			}
		}
	})
}

func TestDoubtedFactsAreInTheirTableAndInEachIndex(t *testing.T) {
	client := connect(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const batches, facts = 8, 20
	process := &stage.Facts{
		Sink: &troubled{Client: client, t: t, random: random, spoiled: map[string][]string{
			"whence.facts": {"whence_state.fact_contents", "whence_state.identities", "whence_state.retractions", "whence_state.fact_times"},
		}},
		Graveyard: noGraveyard{}, Deriver: noDeriver{},
		Decode: func(r pipeline.Record) (event.Fact, error) {
			f := event.Fact{
				Event: event.Event{ID: fmt.Sprint(r.Offset), Source: "doubted facts", Type: retracted, Time: event.MinTime, Hash: 1},
				Kind:  "retraction", EntityID: fmt.Sprint(r.Offset), Data: fmt.Sprintf(`{"retracts":{"source":"nobody","id":"%d"}}`, r.Offset),
			}
			if r.Offset%2 == 1 {
				f.Type, f.Kind, f.Data = event.Prefix+"flag.changed", "flag", `{}`
			}
			return f, nil
		},
		Revision: func(offset int64) uint64 { return uint64(offset) },
	}
	for n := range batches {
		b := &pipeline.Batch{Topic: "doubted facts", TopicID: [16]byte{99}, From: int64(n * facts), To: int64((n + 1) * facts)}
		for offset := b.From; offset < b.To; offset++ {
			b.Records = append(b.Records, pipeline.Record{Offset: offset})
		}
		persist(t, random, process, b)
	}
	for table, want := range map[string]uint64{
		"whence.facts": batches * facts, "whence_state.fact_contents": batches * facts, "whence_state.identities": batches * facts,
		"whence_state.retractions": batches * facts / 2, "whence_state.fact_times": batches * facts / 2,
	} {
		if n := answer[uint64](t, client, "SELECT count() FROM "+table+" FINAL WHERE source = 'doubted facts'"); n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
	}
}

func TestNeighboursWhoseIndexIsLostAreFoundAgain(t *testing.T) {
	client := connect(t)
	edgy := fmt.Sprint("edgy ", time.Now().UnixNano()) // its token is used once
	b := batch(rand.New(rand.NewPCG(7, 1)), edgy, 0)
	process := &stage.Events{Sink: client, Graveyard: noGraveyard{}}
	unmovable(t, client, "whence_state", "edges", func() {
		if err := process.Process(t.Context(), b); err == nil {
			t.Fatal("the batch is stored")
		}
	})
	must(t, process.Process(t.Context(), b))
	want := answer[uint64](t, client, "SELECT uniqExact(caller, callee, toStartOfHour(time), service) FROM whence.observations WHERE environment = '"+edgy+"'")
	if n := answer[uint64](t, client, "SELECT count() FROM whence_state.edges FINAL WHERE environment = '"+edgy+"'"); n != want || want == 0 {
		t.Errorf("%d edges of %d are known", n, want)
	}
}

func TestAMinuteWhoseTouchIsLostIsTouchedAgain(t *testing.T) {
	client := connect(t)
	b := batch(rand.New(rand.NewPCG(1, 1)), "untouched", 0)
	for i := range b.Observations {
		b.Observations[i].Service = "untouched"
	}
	process := &stage.Events{Sink: client, Graveyard: noGraveyard{}}
	unmovable(t, client, "whence_state", "touches", func() {
		if err := process.Process(t.Context(), b); err == nil {
			t.Fatal("the batch is stored")
		}
	})
	must(t, process.Process(t.Context(), b))
	minutes := answer[uint64](t, client, "SELECT uniqExact(toStartOfMinute(time)) FROM whence.observations WHERE service = 'untouched'")
	if touched := answer[uint64](t, client, "SELECT uniqExact(minute) FROM whence_state.touches WHERE service = 'untouched'"); touched != minutes {
		t.Errorf("%d minutes are touched of %d", touched, minutes)
	}
}

func TestWhoIsFencedStoresNoDoubtedBatch(t *testing.T) {
	client := connect(t)
	const source = "fenced"
	asked := 0
	ctx := pipeline.WithFence(t.Context(), func() error {
		if asked++; asked > 1 {
			return errTrouble
		}
		return nil
	})
	b := batch(rand.New(rand.NewPCG(1, 1)), source, 0)
	b.Doubted = true
	// A sink that says that all is missing: the retry is let through, the mend is not.
	err := (&stage.Events{Sink: nothingThere{client}, Graveyard: noGraveyard{}}).Process(ctx, b)
	if !errors.Is(err, errTrouble) || asked != 2 {
		t.Errorf("error %v after the fence was asked %d times", err, asked)
	}
	if n := answer[uint64](t, client, "SELECT countIf(rewritten = 1) FROM whence.observations WHERE source = 'fenced'"); n > 0 {
		t.Errorf("%d rows are stored again", n)
	}
}

type nothingThere struct{ *Client }

func (nothingThere) Missing(_ context.Context, observations []event.Observation) ([]int, error) {
	return []int{0, len(observations) - 1}, nil
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

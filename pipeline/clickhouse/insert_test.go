package clickhouse

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// observation is a minimal observation that differs by n.
func observation(source string, n int, at event.Millis) *event.Observation {
	unknown := event.Unknown
	return &event.Observation{
		Event: event.Event{
			ID: fmt.Sprint(n), Source: source, Type: "io.whence.behavior.recorded", Time: at, Hash: uint64(n) + 1<<63,
		},
		Provenance: event.Provenance{ReceivedAt: at, Topic: "whence.behavior", Partition: 3, Offset: int64(n)},
		Name:       "checkout", Service: "shop", Environment: "production",
		DurationMS: unknown, Value: unknown, Weight: unknown, IntervalMS: unknown, Requests: unknown, Errors: unknown,
		SuccessRatio: unknown, LatencyMS: unknown, LatencyP99MS: unknown, CPURatio: unknown, MemoryRatio: unknown,
	}
}

var bare = &event.Enrichment{DeploymentAgeMS: event.NoAge}

const day = event.Millis(24 * 60 * 60 * 1000)

func observations(source string, n int, step event.Millis) *tables.Observations {
	block := tables.NewObservations()
	for i := range n {
		block.Append(observation(source, i, event.MinTime+event.Millis(i)*step), bare)
	}
	return block
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsRunAgainAndFromTheStart(t *testing.T) {
	client := connect(t)
	must(t, client.Migrate(t.Context(), zap.NewNop()))
	before := lines(t, client, "SELECT database, name FROM system.tables WHERE database LIKE 'whence%' ORDER BY ALL")
	// A migration that was cut off is not noted; its statements run again.
	empty(t, client, versionTable)
	must(t, client.Migrate(t.Context(), zap.NewNop()))
	after := lines(t, client, "SELECT database, name FROM system.tables WHERE database LIKE 'whence%' ORDER BY ALL")
	if !slices.Equal(before, after) || len(after) < 20 {
		t.Fatalf("tables before: %q\nafter: %q", before, after)
	}
}

func TestWorkersMigrateAtTheSameMoment(t *testing.T) {
	client := connect(t)
	empty(t, client, versionTable)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- client.Migrate(t.Context(), zap.NewNop()) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestEveryStatementForAClusterIsOneThatTheEngineCanRead(t *testing.T) {
	client := connect(t)
	files, err := fs.Glob(tables.Migrations, "migrations/cluster/*.sql")
	must(t, err)
	statements := 0
	for _, file := range files {
		text, err := fs.ReadFile(tables.Migrations, file)
		must(t, err)
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if !strings.Contains(statement, "ON CLUSTER") {
				continue
			}
			statements++
			// It can't run here, for want of a cluster.
			if got := answer[string](t, client, "SELECT formatQuery(?)", statement); got == "" {
				t.Errorf("%s: %s", file, statement)
			}
		}
	}
	if statements < 60 {
		t.Errorf("only %d statements", statements)
	}
}

func TestBlocksHaveTheColumnsOfTheirTables(t *testing.T) {
	client := connect(t)
	for _, block := range []interface {
		tables.Block
		Columns() proto.Input
	}{tables.NewObservations(), tables.NewFacts(), tables.NewOthers(), tables.NewDeadLetters(), tables.NewBatches(), tables.NewContexts(), tables.NewServings(), tables.NewTouches()} {
		database, table, _ := strings.Cut(block.Table(), ".")
		want := lines(t, client, fmt.Sprintf(`SELECT concat(name, ' ', type) FROM system.columns
			WHERE database = '%s' AND table = '%s' AND default_kind = '' ORDER BY name`, database, table))
		var got []string
		for _, column := range block.Columns() {
			got = append(got, column.Name+" "+column.Data.Type().String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\nblock %q\ntable %q", block.Table(), got, want)
		}
	}
}

func TestEveryFieldOfAnObservationArrives(t *testing.T) {
	client := connect(t)
	o := &event.Observation{
		Event: event.Event{
			ID: "i", Source: "every-field", Type: "io.whence.service.measured", Subject: "s", Time: event.MinTime + 1234,
			Tenant: "te", Region: "re", Cluster: "cl", Cell: "ce", TraceID: "tr", Sequence: "7",
			Extensions: []event.Pair{{Key: "ext", Value: "1"}}, Hash: 1<<63 | 5,
		},
		Provenance: event.Provenance{ReceivedAt: event.MinTime + 5, Topic: "to", Partition: 9, Offset: 1 << 40},
		Name:       "service.measured", Service: "shop", Environment: "production",
		User: "u", Session: "se", Version: "v2", Instance: "in", OK: event.False, DurationMS: 1, Value: 2, Weight: 0,
		Attributes: []event.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "ü'\\"}},
		Experiment: "ex", Variant: "va", UnitID: "un", AnonymousID: "an", Fingerprint: "fi", Message: "me", Frames: []string{"f1", `{"a":1}`},
		Caller: "ca", Callee: "ce", IntervalMS: 3, Requests: 4, Errors: 5, SuccessRatio: 0.5, LatencyMS: 6, LatencyP99MS: 7,
		CPURatio: 0.25, MemoryRatio: 0.75, Extra: `{"x":1}`,
	}
	e := &event.Enrichment{
		DeploymentID: "d", DeployedVersion: "v2", PreviousVersion: "v1", DeploymentAgeMS: -3, RolloutIDs: []string{"d", "e"},
		RolloutPercent: 12.5, ChangeIDs: []string{"c"}, Flags: []event.Pair{{Key: "f", Value: "{}"}}, IncidentIDs: []string{"i"},
		IncidentSeverity: "high", FindingIDs: []string{"g"}, Owner: "o", Tier: "t", CanonicalService: "cs",
		Experiments: []event.Pair{{Key: "ex", Value: "va"}}, Revision: 1<<40 | 3,
	}
	block := tables.NewObservations()
	block.Append(observation("every-field", 1, event.MinTime), bare) // what the lazy columns leave out comes first
	block.Append(o, e)
	block.Append(observation("every-field", 2, event.MinTime), bare) // and last
	must(t, client.Insert(t.Context(), block, "every-field"))

	got := lines(t, client, "SELECT * FROM whence.observations FINAL WHERE source = 'every-field' AND id = 'i'")
	want := "every-field\ti\tio.whence.service.measured\ts\t2000-01-01 00:00:01.234 +0000 UTC\tte\tre\tcl\tce\ttr\t7\tmap[ext:1]\t" +
		"service.measured\tshop\tproduction\tu\tse\tv2\tin\tfalse\t1\t2\t0\tmap[a:1 b:ü'\\]\tex\tva\tun\tan\tfi\tme\t[f1 {\"a\":1}]\t" +
		"ca\tce\t3\t4\t5\t0.5\t6\t7\t0.25\t0.75\t{\"x\":1}\t" +
		"d\tv2\tv1\t-3\t[d e]\t12.5\t[c]\tmap[f:{}]\t[i]\thigh\t[g]\to\tt\tcs\tmap[ex:va]\t1099511627779\t0\t9223372036854775813\t" +
		"2000-01-01 00:00:00.005 +0000 UTC\tto\t9\t1099511627776"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	unstated := answer[uint64](t, client, `SELECT count() FROM whence.observations FINAL WHERE source = 'every-field' AND id IN ('1', '2')
		AND ok IS NULL AND duration_ms IS NULL AND weight IS NULL AND memory_ratio IS NULL AND deployment_age_ms IS NULL
		AND deployment_id = '' AND empty(rollout_ids) AND empty(flags) AND version = ''`)
	if unstated != 2 {
		t.Errorf("%d rows without anything stated, want 2", unstated)
	}
}

func TestTheGreaterHashWinsThenTheLaterRevision(t *testing.T) {
	client := connect(t)
	version := func(hash, revision uint64, message string) {
		o, e := observation("winner", 1, event.MinTime), *bare
		o.Hash, o.Message, e.Revision = hash, message, revision
		block := tables.NewObservations()
		block.Append(o, &e)
		must(t, client.Insert(t.Context(), block, message))
	}
	version(9<<60, 5, "greater, early")
	version(9<<60, 7, "greater, late")
	version(8<<60, 99, "lesser, later still")
	version(9<<60, 6, "greater, between")
	got := lines(t, client, "SELECT message FROM whence.observations FINAL WHERE source = 'winner'")
	if !slices.Equal(got, []string{"greater, late"}) {
		t.Errorf("winner %q", got)
	}
}

func TestARetryUnderTheSameTokenIsStoredOnceInTheTableAndBehindAView(t *testing.T) {
	client := connect(t)
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS whence_state.seen (source String, n UInt64) ENGINE = MergeTree ORDER BY source SETTINGS non_replicated_deduplication_window = 100000",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.seen_feed TO whence_state.seen AS SELECT source, 1 AS n FROM whence.observations",
	} {
		must(t, client.exec(t.Context(), statement, nil))
	}
	t.Cleanup(func() {
		// t.Context is done here.
		if _, err := client.DB().Exec("DROP TABLE whence_state.seen_feed"); err != nil {
			t.Error(err)
		}
	})
	block := observations("retry", 1000, 1000)
	for range 3 {
		must(t, client.Insert(t.Context(), block, "retry|0|1000"))
	}
	if got := answer[uint64](t, client, "SELECT count() FROM whence.observations WHERE source = 'retry'"); got != 1000 {
		t.Errorf("%d rows in the table without FINAL, want 1000", got)
	}
	if got := answer[float64](t, client, "SELECT toFloat64(sum(n)) FROM whence_state.seen WHERE source = 'retry'"); got != 1000 {
		t.Errorf("%v rows behind the view, want 1000", got)
	}
}

func TestABatchOver400DaysIsStoredAndItsRetryToo(t *testing.T) {
	client := connect(t)
	block := observations("400-days", 400, day)
	for range 2 {
		must(t, client.Insert(t.Context(), block, "400-days"))
	}
	if got := answer[uint64](t, client, "SELECT count() FROM whence.observations WHERE source = '400-days'"); got != 400 {
		t.Errorf("%d rows, want 400", got)
	}
}

func TestOneBodyIsOneBlock(t *testing.T) {
	client := connect(t)
	const rows = 1_100_000 // more than max_insert_block_size is by default
	block := tables.NewBatches()
	for i := range int64(rows) {
		block.Append(&tables.Batch{Topic: "one-block", TopicID: [16]byte{9}, From: i, To: i + 1})
	}
	must(t, client.Insert(t.Context(), block, "one-block"))
	must(t, client.Insert(t.Context(), block, "one-block"))
	if got := answer[uint64](t, client, "SELECT count() FROM whence_state.batches WHERE topic = 'one-block'"); got != rows {
		t.Errorf("%d rows, want %d", got, rows)
	}
}

func TestAnInsertIntoNoTableIsFatalAndSaysWhatToDo(t *testing.T) {
	client := connect(t)
	body, err := Encode(observations("nowhere", 1, 0))
	must(t, err)
	body.query = strings.Replace(body.query, "whence.observations", "whence.nowhere", 1)
	err = client.Send(t.Context(), body, "the-token")
	if pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(pipeline.HintOf(err), "whence migrate") {
		t.Errorf("error %v, class %v, hint %q", err, pipeline.ClassOf(err), pipeline.HintOf(err))
	}
	if !strings.Contains(fmt.Sprint(err), "the-token") || !strings.Contains(fmt.Sprint(err), "whence.observations") {
		t.Errorf("error %v does not name table and token", err)
	}
}

func TestABrokenBodyStoresNothingAndItsRetryIsWhole(t *testing.T) {
	client := connect(t)
	body, err := Encode(observations("broken", 1000, 1000))
	must(t, err)
	whole := body.bytes
	body.bytes = whole[:len(whole)/2]
	if err := client.Send(t.Context(), body, "broken"); err == nil {
		t.Error("half a body was taken")
	}
	body.bytes = whole
	must(t, client.Send(t.Context(), body, "broken"))
	if got := answer[uint64](t, client, "SELECT count() FROM whence.observations WHERE source = 'broken'"); got != 1000 {
		t.Errorf("%d rows, want 1000", got)
	}
}

func TestDeadLettersKeepTheirBytes(t *testing.T) {
	client := connect(t)
	var every [256]byte
	for i := range every {
		every[i] = byte(i)
	}
	topicID := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	block := tables.NewDeadLetters()
	block.Append(&tables.DeadLetter{
		Provenance: event.Provenance{ReceivedAt: event.MinTime, Topic: "t", Partition: 1, Offset: 5}, TopicID: topicID,
		Key: nil, Value: every[:], Headers: []event.Pair{{Key: "h", Value: "\xff"}, {Key: "h", Value: ""}}, Reason: "malformed", Detail: "why",
		Source: "dead", ID: "i", Type: "t", Time: event.MinTime,
	})
	block.Append(&tables.DeadLetter{Provenance: event.Provenance{Offset: 6}, TopicID: topicID, Key: []byte{}, Reason: "empty"})
	must(t, client.Insert(t.Context(), block, "dead"))
	must(t, client.Insert(t.Context(), block, "dead, written again after the window"))
	got := lines(t, client, `SELECT toString(topic_id), offset, key IS NULL, value IS NULL, hex(value), hex(toString(headers)), reason, time
		FROM whence.dead_letters FINAL WHERE topic_id = '01020304-0506-0708-090a-0b0c0d0e0f10' ORDER BY offset`)
	want := []string{
		"01020304-0506-0708-090a-0b0c0d0e0f10\t5\t1\t0\t" + strings.ToUpper(fmt.Sprintf("%x", every)) + "\t" +
			strings.ToUpper(fmt.Sprintf("%x", "{'h':'\xff','h':''}")) + "\tmalformed\t2000-01-01 00:00:00 +0000 UTC",
		"01020304-0506-0708-090a-0b0c0d0e0f10\t6\t0\t1\t∅\t" + strings.ToUpper(fmt.Sprintf("%x", "{}")) + "\tempty\t∅",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheLedgerKnowsWhereToGoOnAndWhatIsMissing(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence_state.batches")
	topicID := [16]byte{7}
	block := tables.NewBatches()
	for _, span := range [][2]int64{{0, 10}, {10, 25}, {30, 40}} {
		block.Append(&tables.Batch{Topic: "t", TopicID: topicID, Partition: 2, From: span[0], To: span[1], Records: uint64(span[1] - span[0])})
	}
	must(t, client.Insert(t.Context(), block, "ledger"))
	must(t, client.Insert(t.Context(), block, "ledger again"))
	next, found, err := client.LedgerEnd(t.Context(), topicID, 2)
	if err != nil || !found || next != 40 {
		t.Errorf("ledger ends at %d, %v, %v", next, found, err)
	}
	if _, found, err := client.LedgerEnd(t.Context(), topicID, 3); err != nil || found {
		t.Errorf("a partition nothing is known of: found %v, %v", found, err)
	}
	gaps, err := client.LedgerGaps(t.Context())
	if want := []Gap{{TopicID: topicID, Topic: "t", Partition: 2, After: 25, Before: 30}}; err != nil || !slices.Equal(gaps, want) {
		t.Errorf("gaps %v, %v", gaps, err)
	}
}

func TestEpochsAreCountedOnceWhoeverAsks(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence_state.epochs")
	type answer struct {
		id    byte
		epoch uint64
		err   error
	}
	const ids, workers = 3, 4
	answers := make(chan answer)
	for id := range byte(ids) {
		for range workers {
			go func() {
				epoch, err := client.Epoch(t.Context(), [16]byte{id + 1})
				answers <- answer{id, epoch, err}
			}()
		}
	}
	of := map[byte]uint64{}
	for range ids * workers {
		a := <-answers
		must(t, a.err)
		if known, ok := of[a.id]; ok && known != a.epoch {
			t.Errorf("id %d is epoch %d and %d", a.id, known, a.epoch)
		}
		of[a.id] = a.epoch
	}
	if of[0]+of[1]+of[2] != 1+2+3 {
		t.Errorf("epochs %v, want 1, 2 and 3", of)
	}
}

package clickhouse

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// said makes a fact of a type (without io.whence.), at a second, with its
// data; entity and scope are read from the data as the codec does it.
func said(id, kind string, second int64, data string) event.Fact {
	var fields map[string]any
	if err := json.Unmarshal([]byte(data), &fields); err != nil {
		panic(err)
	}
	registered := event.Lookup(event.Prefix + kind)
	field := func(name string) string { s, _ := fields[name].(string); return s }
	h := fnv.New64a()
	fmt.Fprint(h, id, kind, second, data)
	f := event.Fact{
		Event: event.Event{
			ID: id, Source: "test", Type: event.Prefix + kind, Time: event.MinTime + event.Millis(second*1000), Hash: h.Sum64(),
		},
		Provenance: event.Provenance{ReceivedAt: event.MinTime, Topic: "whence.delivery"},
		Kind:       registered.EntityKind, EntityID: field(registered.IDField),
		Service: field("service"), Environment: field("environment"), Data: data,
	}
	return f
}

// factTables are the tables that facts go to.
func factTables() []string {
	all := []string{
		"whence.facts", "whence.conflicts", "whence_state.fact_contents", "whence_state.identities",
		"whence_state.retractions", "whence_state.unsaid", "whence_state.listings", "whence_state.listed_in",
	}
	for _, table := range tables.EntityKinds() {
		all = append(all, "whence."+table)
	}
	return all
}

// revision is the last place given out in the context log.
var revision uint64 = 1 << 40

// tell stores facts as the consumer of the context log does: in batches of
// the given size, each followed by Derive.
func tell(t testing.TB, client *Client, size int, facts ...event.Fact) {
	t.Helper()
	for batch := range slices.Chunk(slices.Clone(facts), size) {
		store(t, client, batch)
		must(t, client.Derive(t.Context(), revision, batch))
	}
}

// store gives facts their places and stores them, without what is derived.
func store(t testing.TB, client *Client, facts []event.Fact) {
	t.Helper()
	block := tables.NewFacts()
	for i := range facts {
		revision++
		facts[i].Revision = revision
		block.Append(&facts[i])
	}
	must(t, client.Insert(t.Context(), block, fmt.Sprintf("store|%d", revision)))
}

// provenance is the columns that are outside the comparison (law 1).
const provenance = "EXCEPT (revision, received_at, topic, partition, offset)"

// known is everything that is derived from facts.
func known(t testing.TB, client *Client) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"whence.facts": lines(t, client, "SELECT * "+provenance+" FROM whence.facts FINAL ORDER BY source, id, type"),
		"whence.conflicts": lines(t, client,
			"SELECT * "+provenance+" FROM whence.conflicts FINAL ORDER BY source, id, type, lost_hash"),
		"whence_state.unsaid": lines(t, client, "SELECT source, id FROM whence_state.unsaid FINAL ORDER BY ALL"),
	}
	for _, table := range tables.EntityKinds() {
		all["whence."+table] = lines(t, client, "SELECT * "+provenance+" FROM whence."+table+" FINAL ORDER BY ALL")
	}
	return all
}

// contents are what the property test draws from: entities of several kinds,
// twins under one identity (same id, other data or entity), and retractions,
// of each other too.
var contents = []event.Fact{
	said("d1-start", "deployment.started", 10, `{"deployment_id":"d1","service":"shop","environment":"production","version":"v2","revisions":["r1"],"instances_added":["i1"]}`),
	said("d1-step", "deployment.progressed", 20, `{"deployment_id":"d1","service":"shop","environment":"production","version":"v2","percent":40,"phase":"paused"}`),
	said("d1-step", "deployment.progressed", 21, `{"deployment_id":"d2","service":"shop","environment":"production","version":"v2","percent":60}`),
	said("d1-step", "deployment.progressed", 15, `{"deployment_id":"d1","service":"cart","environment":"production","version":"v3","percent":100}`),
	said("d1-end", "deployment.finished", 5, `{"deployment_id":"d1","service":"shop","environment":"production","version":"v2","outcome":"success"}`),
	said("d1-end2", "deployment.finished", 30, `{"deployment_id":"d1","service":"shop","environment":"production","version":"v2","outcome":"rolled_back"}`),
	said("s1", "service.declared", 1, `{"service":"shop","environment":"production","owner":"a","depends_on":["cart"]}`),
	said("s2", "service.declared", 2, `{"service":"shop","environment":"production","tier":"1","depends_on":[]}`),
	said("s3", "service.declared", 3, `{"service":"shop","owner":"b"}`),
	said("f1", "flag.changed", 4, `{"flag":"new","environment":"production","rules":{"on":10}}`),
	said("f2", "flag.changed", 4, `{"flag":"new","environment":"production","rules":{"on":90},"services":["shop"]}`),
	said("i1", "incident.opened", 40, `{"incident_id":"x","service":"shop","environment":"production","severity":"low"}`),
	said("i2", "incident.resolved", 50, `{"incident_id":"x","service":"shop","services":["cart"],"environment":"production","started_at":"2000-01-01T00:00:30Z"}`),
	said("i3", "incident.reopened", 60, `{"incident_id":"x","service":"shop","environment":"production"}`),
	said("t1", "test.finished", 7, `{"run_id":"run","suite":"unit","case":"a","revision":"r1","outcome":"failure"}`),
	said("t2", "test.finished", 7, `{"run_id":"run","suite":"unit","case":"b","revision":"r1","outcome":"success"}`),
	said("c1", "change.merged", 6, `{"change_id":"c","repository":"shop","revision":"r1","commits":[{"revision":"r0","authored_at":"2000-01-01t00:00:02z"}],"merged_at":"2000-01-01T00:00:06Z"}`),
	said("n1", "scan.completed", 10, `{"scan_id":"n1","tool":"x","target":"t","service":"shop","findings":[{"finding_id":"g1","rule":"a"},{"finding_id":"g2","severity":"low","first_seen":"2000-01-01T00:00:02Z"}]}`),
	said("n2", "scan.completed", 20, `{"scan_id":"n2","tool":"x","target":"t","part":1,"findings":[{"finding_id":"g2","status":"accepted"}]}`),
	said("n2/2", "scan.completed", 21, `{"scan_id":"n2","tool":"x","target":"t","part":2,"parts":2,"findings":[{"finding_id":"g3","service":"cart"}]}`),
	said("n2/2", "scan.completed", 22, `{"scan_id":"n2","tool":"x","target":"u","part":2,"parts":2,"findings":[{"finding_id":"g3"}]}`),
	said("n3", "scan.completed", 30, `{"scan_id":"n3","tool":"x","target":"t","findings":[]}`),
	said("n4", "scan.completed", 40, `{"scan_id":"n4","tool":"x","target":"t","findings":[{"finding_id":"g1"}]}`),
	said("g1", "finding.accepted", 35, `{"finding_id":"g1","kind":"audit","rule":"b","severity":"high"}`),
	said("r7", "fact.retracted", 97, `{"retracts":{"source":"test","id":"n3"}}`),
	said("r1", "fact.retracted", 70, `{"retracts":{"source":"test","id":"d1-start"}}`),
	said("r1", "fact.retracted", 71, `{"retracts":{"source":"test","id":"t1"}}`),
	said("r2", "fact.retracted", 80, `{"retracts":{"source":"test","id":"r1"}}`),
	said("r3", "fact.retracted", 90, `{"retracts":{"source":"test","id":"r2"}}`),
	said("r4", "fact.retracted", 65, `{"retracts":{"source":"test","id":"r3"}}`),
	said("r5", "fact.retracted", 95, `{"retracts":{"source":"test","id":"s3"}}`),
	said("r6", "fact.retracted", 96, `{"retracts":{"source":"test","id":"r6"}}`),
}

func TestEntitiesAndConflictsAreTheSameForAnyOrderAndEqualAFullRecomputation(t *testing.T) {
	client := connect(t)
	// Each check empties and fills seventeen tables three times.
	if err := flag.Set("rapid.checks", "6"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		facts := rapid.SliceOfNDistinct(rapid.SampledFrom(contents), 4, len(contents), func(f event.Fact) uint64 { return f.Hash }).Draw(r, "facts")
		shuffled := rapid.Permutation(facts).Draw(r, "shuffled")
		again := rapid.SliceOfN(rapid.SampledFrom(facts), 0, 3).Draw(r, "again")

		empty(t, client, factTables()...)
		tell(t, client, rapid.IntRange(1, 12).Draw(r, "batch"), facts...)
		want := known(t, client)

		empty(t, client, factTables()...)
		tell(t, client, rapid.IntRange(1, 12).Draw(r, "other batch"), append(shuffled, again...)...)
		compare(r, "in another order", known(t, client), want)

		derived := append([]string{"whence.conflicts", "whence_state.unsaid"}, slices.Collect(entityTables())...)
		empty(t, client, derived...)
		must(t, client.DeriveAll(t.Context(), revision))
		compare(r, "computed in full", known(t, client), want)
	})
}

func entityTables() func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, table := range tables.EntityKinds() {
			if !yield("whence." + table) {
				return
			}
		}
	}
}

func compare(r *rapid.T, how string, got, want map[string][]string) {
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[table], want[table]) {
			r.Errorf("%s, %s:\ngot  %s\nwant %s", table, how, strings.Join(got[table], "\n     "), strings.Join(want[table], "\n     "))
		}
	}
}

func expect(t *testing.T, client *Client, query string, want ...string) {
	t.Helper()
	if got := lines(t, client, query); !slices.Equal(got, want) {
		t.Errorf("%s\ngot  %q\nwant %q", query, got, want)
	}
}

func TestADeploymentFollowsItsStagesWhateverTheirClocksSay(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	tell(t, client, 10,
		said("1", "deployment.started", 10, `{"deployment_id":"d","service":"shop","environment":"production","version":"v2","previous_version":"v1","revisions":["a"]}`),
		said("2", "deployment.progressed", 40, `{"deployment_id":"d","service":"shop","environment":"production","version":"v2","percent":50,"phase":"paused","revisions":["b"]}`),
		said("3", "deployment.finished", 30, `{"deployment_id":"d","service":"shop","environment":"production","version":"v2","phase":"promoted","outcome":"success"}`),
	)
	expect(t, client, `SELECT version, previous_version, revisions, phase, state, percent, percents, outcome,
		started_at, ended_at, completed_at, failed_at, facts FROM whence.deployments FINAL`,
		"v2\tv1\t[a b]\tpromoted\tsuccess\t50\t[50]\tsuccess\t"+
			"2000-01-01 00:00:10 +0000 UTC\t2000-01-01 00:00:30 +0000 UTC\t2000-01-01 00:00:30 +0000 UTC\t∅\t3")
}

func TestAReopenedIncidentGoesOn(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	incident := func(id, stage string, second int64, more string) event.Fact {
		return said(id, "incident."+stage, second, `{"incident_id":"x","service":"shop","environment":"production"`+more+`}`)
	}
	const query = "SELECT services, severity, state, started_at, resolved_at, ended_at, reopened FROM whence.incidents FINAL"
	tell(t, client, 1,
		incident("1", "opened", 100, `,"severity":"low"`),
		incident("2", "updated", 110, `,"severity":"high","started_at":"2000-01-01T00:01:00Z","services":["cart"]`),
		incident("3", "resolved", 200, `,"ended_at":"2000-01-01t00:03:00z"`))
	expect(t, client, query, "[cart shop]\thigh\tresolved\t2000-01-01 00:01:00 +0000 UTC\t2000-01-01 00:03:20 +0000 UTC\t2000-01-01 00:03:00 +0000 UTC\t0")
	tell(t, client, 1, incident("4", "reopened", 300, ""))
	expect(t, client, query, "[cart shop]\thigh\topen\t2000-01-01 00:01:00 +0000 UTC\t∅\t∅\t1")
	tell(t, client, 1, incident("5", "resolved", 400, ""))
	expect(t, client, query, "[cart shop]\thigh\tresolved\t2000-01-01 00:01:00 +0000 UTC\t2000-01-01 00:06:40 +0000 UTC\t2000-01-01 00:06:40 +0000 UTC\t1")
}

func TestAFindingIsOpenWhileScansListItAndClosedByTheFirstWholeOneThatDoesNot(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	scan := func(id string, second int64, more string) event.Fact {
		return said(id, "scan.completed", second, `{"scan_id":"`+id+`","tool":"x","target":"t","service":"shop"`+more+`}`)
	}
	since := func(column string) string {
		return "dateDiff('second', toDateTime64('2000-01-01', 3, 'UTC'), " + column + ")"
	}
	query := "SELECT finding_id, service, rule, severity, " + since("opened_at") + ", " + since("last_seen_at") + ", " + since("closed_at") +
		", reopened, state, sightings, facts FROM whence.findings FINAL ORDER BY finding_id"
	tell(t, client, 1, scan("n1", 100, `,"findings":[{"finding_id":"g1","rule":"a","severity":"low"},{"finding_id":"g2","service":"cart"}]`))
	expect(t, client, query, "g1\tshop\ta\tlow\t100\t100\t∅\t0\topen\t1\t1", "g2\tcart\t\t\t100\t100\t∅\t0\topen\t1\t1")
	tell(t, client, 1, scan("n2", 200, `,"complete":false`), scan("n3", 300, `,"findings":[{"finding_id":"g1","rule":"a","severity":"high"}]`))
	expect(t, client, query, "g1\tshop\ta\thigh\t100\t300\t∅\t0\topen\t2\t2", "g2\tcart\t\t\t100\t100\t300\t0\tremediated\t1\t1")
	tell(t, client, 1, scan("n4", 400, `,"parts":2,"findings":[{"finding_id":"g2","status":"accepted","severity":"low"}]`))
	expect(t, client, query, "g1\tshop\ta\thigh\t100\t300\t∅\t0\topen\t2\t2", "g2\tshop\t\tlow\t100\t100\t300\t0\tremediated\t2\t2")
	tell(t, client, 1, said("n4/2", "scan.completed", 401, `{"scan_id":"n4","tool":"x","target":"t","part":2,"parts":2}`))
	expect(t, client, query, "g1\tshop\ta\thigh\t100\t300\t401\t0\tremediated\t2\t2", "g2\tshop\t\tlow\t100\t100\t300\t0\tremediated\t2\t2")
	tell(t, client, 1, scan("n5", 500, `,"findings":[{"finding_id":"g1"}]`), scan("n6", 350, `,"findings":[]`))
	expect(t, client, query, "g1\tshop\ta\thigh\t100\t500\t∅\t1\topen\t3\t3", "g2\tshop\t\tlow\t100\t100\t300\t0\tremediated\t2\t2")
	tell(t, client, 1, said("sorry", "fact.retracted", 900, `{"retracts":{"source":"test","id":"n3"}}`))
	expect(t, client, query, "g1\tshop\ta\tlow\t100\t500\t∅\t1\topen\t2\t2", "g2\tshop\t\tlow\t100\t100\t350\t0\tremediated\t2\t2")
}

// The cost of a night grew with the third power of the nights once, in memory
// too: so many were not derived in minutes.
func TestFindingsSeenEveryNightOfAQuarterAreDerivedAtOnce(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	const nights, findings = 120, 200
	facts := make([]event.Fact, nights)
	for night := range facts {
		var listed []string
		for i := range findings {
			if i > night%7 { // the first few are fixed by the end of a week, and there again a week later
				listed = append(listed, fmt.Sprintf(`{"finding_id":"sift/%d"}`, i))
			}
		}
		id := fmt.Sprint("0123456789abcdef0123456789abcdef-", night)
		facts[night] = said(id, "scan.completed", 86_400*int64(night), `{"scan_id":"`+id+`","tool":"sift","target":"t","service":"shop","findings":[`+strings.Join(listed, ",")+`]}`)
	}
	tell(t, client, nights, facts...)
	expect(t, client, "SELECT count(), sum(sightings), sum(reopened) FROM whence.findings FINAL", "199\t23523\t102")
	expect(t, client, "SELECT length(finding_ids) FROM whence.context_at(service = 'shop', environment = 'production', time = '2000-04-28 12:00:00', revision = 9223372036854775807)", "193")
}

func TestOfTwoContentsOneIsAFactAndTheOtherAConflict(t *testing.T) {
	client := connect(t)
	lesser := said("d", "deployment.started", 1, `{"deployment_id":"lesser","service":"shop","environment":"production","version":"v1"}`)
	between := said("d", "deployment.started", 2, `{"deployment_id":"between","service":"shop","environment":"production","version":"v2"}`)
	greater := said("d", "deployment.started", 3, `{"deployment_id":"greater","service":"shop","environment":"production","version":"v3"}`)
	lesser.Hash, between.Hash, greater.Hash = 1, 2, 1<<63
	for _, order := range [][]event.Fact{{lesser, between, greater}, {greater, lesser, between}, {between, greater, lesser, between}} {
		for _, size := range []int{1, 3} {
			empty(t, client, factTables()...)
			tell(t, client, size, order...)
			expect(t, client, "SELECT entity_id FROM whence.facts FINAL", "greater")
			expect(t, client, "SELECT deployment_id FROM whence.deployments FINAL", "greater")
			expect(t, client, "SELECT kept_hash, lost_hash, JSONExtractString(kept_data, 'version'), JSONExtractString(lost_data, 'version') FROM whence.conflicts FINAL ORDER BY lost_hash",
				"9223372036854775808\t1\tv3\tv1", "9223372036854775808\t2\tv3\tv2")
		}
	}
}

func TestARetractedFactIsLeftOutAndComesBackWhenItsRetractionIsRetracted(t *testing.T) {
	client := connect(t)
	retract := func(id string, second int64, named string) event.Fact {
		return said(id, "fact.retracted", second, `{"retracts":{"source":"test","id":"`+named+`"}}`)
	}
	empty(t, client, factTables()...)
	tell(t, client, 1, retract("r1", 50, "only"))
	tell(t, client, 1, said("only", "alert.fired", 10, `{"alert_id":"a","service":"shop","environment":"production"}`))
	expect(t, client, "SELECT alert_id FROM whence.alerts FINAL")
	expect(t, client, "SELECT id FROM whence.facts FINAL ORDER BY id", "only", "r1")
	tell(t, client, 1, retract("r2", 60, "r1"))
	expect(t, client, "SELECT alert_id FROM whence.alerts FINAL", "a")
	tell(t, client, 1, retract("r0", 40, "r2")) // earlier than what it names
	expect(t, client, "SELECT alert_id FROM whence.alerts FINAL", "a")
	tell(t, client, 1, retract("r3", 70, "r2"))
	expect(t, client, "SELECT alert_id FROM whence.alerts FINAL")
}

func TestIdsOfAnySpellingAreDerived(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	id := `it's a \ "{touched}" {revision} ?` + "\n\x00ü" + strings.Repeat("long", 100_000)
	data, err := json.Marshal(map[string]string{"alert_id": id, "service": "shop", "environment": "production"})
	must(t, err)
	tell(t, client, 1, said(id, "alert.fired", 1, string(data)))
	if got := lines(t, client, "SELECT alert_id FROM whence.alerts FINAL"); len(got) != 1 || got[0] != id {
		t.Errorf("%d alerts", len(got))
	}
}

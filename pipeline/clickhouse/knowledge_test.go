package clickhouse

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

var (
	worldsFlag = flag.Int("worlds", 12, "of facts that what was known is asked of")
	seedFlag   = flag.Uint64("seed", 1, "of these worlds")
)

// history is facts of many worlds, said one after the other: worlds[i] are
// those of one, by revision.
type history struct {
	random *rand.Rand
	worlds [][]event.Fact
	last   uint64
}

// tellHistory stores the facts of many worlds, and some a second time.
func tellHistory(t *testing.T, client *Client) *history {
	empty(t, client, factTables()...)
	h := &history{random: rand.New(rand.NewPCG(*seedFlag, 9))}
	block := tables.NewFacts()
	say := func(f *event.Fact) {
		revision++
		f.Revision = revision
		block.Append(f)
	}
	for number := range *worldsFlag {
		c := &crowd{Rand: h.random, prefix: fmt.Sprint("w", number, "-")}
		facts := c.facts(t, 20+h.random.IntN(60))
		for i := range facts {
			say(&facts[i])
			if again := facts[h.random.IntN(i+1)]; h.random.IntN(8) == 0 {
				say(&again)
			}
		}
		h.worlds = append(h.worlds, facts)
	}
	h.last = revision
	must(t, client.Insert(t.Context(), block, fmt.Sprintf("history|%d", revision)))
	return h
}

// moment is a random revision within a world, which is one fact at least.
func (h *history) moment(facts []event.Fact) uint64 { return facts[h.random.IntN(len(facts))].Revision }

// known are the facts that had been said by a revision.
func (h *history) known(facts []event.Fact, revision uint64) []event.Fact {
	return slices.DeleteFunc(slices.Clone(facts), func(f event.Fact) bool { return f.Revision > revision })
}

// counting is R1 and R3 as of a revision, said once more and naively.
func counting(facts []event.Fact) map[uint64]bool {
	type identity struct{ source, id, kind string }
	winners := map[identity]event.Fact{}
	for _, f := range facts {
		k := identity{f.Source, f.ID, f.Type}
		if w, ok := winners[k]; !ok || f.Hash > w.Hash {
			winners[k] = f
		}
	}
	var left []event.Fact
	for _, f := range winners {
		left = append(left, f)
	}
	slices.SortFunc(left, func(a, b event.Fact) int { // the last one first
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Source, a.Source), cmp.Compare(b.ID, a.ID), cmp.Compare(b.Hash, a.Hash))
	})
	gone := map[event.Retraction]bool{}
	for _, f := range left {
		if r, ok := f.Payload.(*event.Retraction); ok && !gone[event.Retraction{Source: f.Source, ID: f.ID}] {
			gone[*r] = true
		}
	}
	hashes := map[uint64]bool{}
	for _, f := range left {
		if !gone[event.Retraction{Source: f.Source, ID: f.ID}] {
			hashes[f.Hash] = true
		}
	}
	return hashes
}

func TestAContextAtARevisionIsWhatTheModelSaysOfTheFactsSaidByThen(t *testing.T) {
	client := connect(t)
	h := tellHistory(t, client)
	deployed := 0
	for number, facts := range h.worlds {
		c := &crowd{Rand: h.random, prefix: fmt.Sprint("w", number, "-")}
		for range 3 {
			o := event.Observation{Service: c.one("service", 6), Environment: c.environment()}
			o.Time = c.moment() + event.Millis(h.random.IntN(2)*30_000)
			at := h.moment(facts)
			want := model.New(h.known(facts, at)).Answer(o)
			have := contextAt(t, client, o, fmt.Sprint(at))
			if diff := gocmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("seed %d, %s in %s at %s, revision %d:\n%s", *seedFlag, o.Service, o.Environment, o.Time.Time(), at, diff)
			}
			if have.DeploymentID != "" && len(have.ChangeIDs) > 0 {
				deployed++
			}
		}
	}
	if deployed == 0 {
		t.Error("no world had a deployment with changes: the test shows nothing")
	}
}

// contextAt asks for what an observation without version and instance would
// be told. revision is an expression.
func contextAt(t *testing.T, client *Client, o event.Observation, revision string) event.Enrichment {
	t.Helper()
	var e event.Enrichment
	var age *int64
	var flags map[string]string
	err := client.DB().QueryRowContext(t.Context(), `
		SELECT deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, flags,
			incident_ids, incident_severity, finding_ids, owner, tier, canonical_service
		FROM whence.context_at(service = ?, environment = ?, time = ?, revision = `+revision+`)`,
		o.Service, o.Environment, o.Time.Time().Format(time.RFC3339Nano)).Scan(
		&e.DeploymentID, &e.DeployedVersion, &e.PreviousVersion, &age, &e.RolloutIDs, &e.RolloutPercent, &e.ChangeIDs, &flags,
		&e.IncidentIDs, &e.IncidentSeverity, &e.FindingIDs, &e.Owner, &e.Tier, &e.CanonicalService)
	must(t, err)
	e.DeploymentAgeMS = event.NoAge
	if age != nil {
		e.DeploymentAgeMS = *age
	}
	for flag, rules := range flags {
		e.Flags = append(e.Flags, event.Pair{Key: flag, Value: rules})
	}
	slices.SortFunc(e.Flags, func(a, b event.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return e
}

func TestTheFactsAsOfARevisionAndTheirHistoryAreThoseThatCounted(t *testing.T) {
	client := connect(t)
	h := tellHistory(t, client)
	for range 12 {
		at := h.moment(slices.Concat(h.worlds...))
		var want []string
		for _, facts := range h.worlds {
			for hash := range counting(h.known(facts, at)) {
				want = append(want, fmt.Sprint(hash))
			}
		}
		slices.Sort(want)
		for name, query := range map[string]string{
			"facts_as_of": fmt.Sprintf("SELECT toString(content_hash) FROM whence.facts_as_of(revision = %d) ORDER BY 1", at),
			"facts_history": fmt.Sprintf(`SELECT toString(content_hash) FROM whence.facts_history(kind = '', entity = '')
				WHERE since <= %d AND (until IS NULL OR until > %[1]d) ORDER BY 1`, at),
		} {
			if diff := gocmp.Diff(want, lines(t, client, query)); diff != "" {
				t.Errorf("seed %d, %s at %d:\n%s", *seedFlag, name, at, diff)
			}
		}
	}
	expect(t, client, "SELECT count() > 0, countIf(counts) > 0, countIf(ended_by = 'retracted') > 0, countIf(ended_by = 'outdone') > 0, countIf(since IS NULL) > 0 FROM whence.facts_history(kind = '', entity = '')",
		"1\t1\t1\t1\t1")
}

// review is what an incident review looks back at: an incident whose severity
// was corrected, whose start was moved by a post-mortem, and a fact that was
// taken back. known are the revisions and the wall clock by which each was known.
func review(t *testing.T, client *Client) {
	empty(t, client, append(factTables(), "whence_state.batches", "whence_state.epochs")...)
	const topic = "00000000-0000-0000-0000-0000000000c7"
	must(t, client.exec(t.Context(), "INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (1, '"+topic+"')", nil))
	in := `"incident_id":"INC-42","service":"shop","environment":"production"`
	opened := said("opened", "incident.opened", 120, `{`+in+`,"severity":"low"}`)
	revised := said("opened", "incident.opened", 120, `{`+in+`,"severity":"high"}`)
	if opened.Hash > revised.Hash {
		opened.Hash, revised.Hash = revised.Hash, opened.Hash
	}
	resolved := said("resolved", "incident.resolved", 600, `{`+in+`}`)
	retracted := said("oops", "fact.retracted", 700, `{"retracts":{"source":"test","id":"resolved"}}`)
	again := said("no", "fact.retracted", 800, `{"retracts":{"source":"test","id":"oops"}}`)
	moved := said("post-mortem", "incident.updated", 900, `{`+in+`,"started_at":"2000-01-01T00:01:00Z"}`)
	revision = 1 << 40
	for i, f := range []event.Fact{opened, revised, resolved, retracted, again, moved} {
		tell(t, client, 1, f) // at 1<<40 + 1, + 2, ...
		must(t, client.exec(t.Context(), fmt.Sprintf("INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, written_at) "+
			"VALUES ('whence.context', '%s', 0, %d, %d, '2000-01-01 01:0%d:00')", topic, i+1, i+2, i), nil))
	}
	// Batches of other topics are no states of knowledge.
	must(t, client.exec(t.Context(), "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, written_at) "+
		"VALUES ('whence.behavior', '00000000-0000-0000-0000-0000000000bb', 0, 0, 5000, '2000-01-01 01:00:00')", nil))
}

func TestTheRevisionAtAMomentIsWhatWasStoredByThen(t *testing.T) {
	client := connect(t)
	review(t, client)
	for moment, want := range map[string]string{
		"2000-01-01 00:59:59":           "0\t∅",
		"2000-01-01 01:02":              "3\t2000-01-01 01:02:00 +0000 UTC",
		"2000-01-01T03:02:59.999+02:00": "3\t2000-01-01 01:02:00 +0000 UTC",
		"2000-01-02":                    "6\t2000-01-01 01:05:00 +0000 UTC",
	} {
		expect(t, client, "SELECT bitAnd(revision, 1023), since FROM whence.revision_at(moment = '"+moment+"')", want)
	}
	expect(t, client, "SELECT revision > 0 FROM whence.revision_at(moment = now())", "1")
}

// A batch in doubt is entered a second time, by who takes over.
func TestABatchThatIsEnteredTwiceWasKnownFromItsFirstEntryOn(t *testing.T) {
	client := connect(t)
	review(t, client)
	must(t, client.exec(t.Context(), "INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, written_at) "+
		"SELECT topic, topic_id, partition, from_offset, to_offset, written_at + INTERVAL 1 HOUR FROM whence_state.batches", nil))
	for _, merged := range []bool{false, true} {
		if merged {
			must(t, client.exec(t.Context(), "OPTIMIZE TABLE whence_state.batches FINAL", nil))
			expect(t, client, "SELECT count() FROM whence_state.batches", "7")
		}
		expect(t, client, "SELECT bitAnd(revision, 1023), since FROM whence.revision_at(moment = '2000-01-01 01:02:30')", "3\t2000-01-01 01:02:00 +0000 UTC")
		expect(t, client, `SELECT formatDateTime(known_at, '%H:%i'), formatDateTime(until_at, '%H:%i')
			FROM whence.facts_history(kind = 'incident', entity = 'INC-42') WHERE id = 'opened' ORDER BY revision`,
			"01:00\t01:01", "01:01\t∅")
	}
}

func TestTheHistoryOfAnIncidentSaysWhatCountedFromWhenUntilWhen(t *testing.T) {
	client := connect(t)
	review(t, client)
	expect(t, client, `SELECT id, JSONExtractString(data, 'severity'), bitAnd(since, 1023), bitAnd(until, 1023), ended_by, counts,
			formatDateTime(known_at, '%H:%i'), formatDateTime(until_at, '%H:%i')
		FROM whence.facts_history(kind = 'incident', entity = 'INC-42') ORDER BY revision, since`,
		"opened\tlow\t1\t2\toutdone\t0\t01:00\t01:01",
		"opened\thigh\t2\t∅\t\t1\t01:01\t∅",
		"resolved\t\t3\t4\tretracted\t0\t01:02\t01:03",
		"resolved\t\t5\t∅\t\t1\t01:02\t∅",
		"post-mortem\t\t6\t∅\t\t1\t01:05\t∅")
	expect(t, client, "SELECT id, entity_id FROM whence.facts_as_of(revision = (SELECT revision FROM whence.revision_at(moment = '2000-01-01 01:03:30'))) ORDER BY id",
		"oops\t", "opened\tINC-42")
}

func TestAContextAtAMomentIsWhatWasKnownThen(t *testing.T) {
	client := connect(t)
	review(t, client)
	at := func(second int64) event.Observation {
		return event.Observation{Service: "shop", Environment: "production", Event: event.Event{Time: event.MinTime + event.Millis(second*1000)}}
	}
	for _, c := range []struct {
		moment   string
		second   int64
		severity string
	}{
		{"00:30", 130, ""}, {"01:00", 130, "low"}, {"01:01", 130, "high"}, {"01:01", 610, "high"}, {"01:02", 610, ""},
		{"01:03", 610, "high"}, {"01:04", 610, ""}, {"01:04", 90, ""}, {"01:05", 90, "high"},
	} {
		known := "(SELECT revision FROM whence.revision_at(moment = '2000-01-01 " + c.moment + "'))"
		if e := contextAt(t, client, at(c.second), known); e.IncidentSeverity != c.severity {
			t.Errorf("at %s it was known of second %d: severity %q, want %q", c.moment, c.second, e.IncidentSeverity, c.severity)
		}
	}
}

// The table showed one row after the other: first stored at revision 3,
// corrected at 5 and at 9.
func TestObservationsAsOfARevisionAreWhatTheTableShowed(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	store := func(n int, version string, revision uint64, token string) {
		block := tables.NewObservations()
		o := observation("then", n, event.MinTime+event.Millis(n)*1000)
		o.User = fmt.Sprint("user ", n)
		block.Append(o, &event.Enrichment{DeployedVersion: version, RolloutIDs: []string{version}, DeploymentAgeMS: event.NoAge, Revision: revision})
		must(t, client.Insert(t.Context(), block, token))
	}
	image := func() {
		must(t, client.exec(t.Context(), `INSERT INTO whence.observations_history
			(source, id, time, name, service, environment, content_hash, deployed_version, rollout_ids, revision)
			SELECT source, id, time, name, service, environment, content_hash, deployed_version, rollout_ids, revision
			FROM whence.observations FINAL WHERE id = '1'`, nil))
	}
	store(1, "v1", 3, "as of a")
	store(2, "v1", 4, "as of b")
	image()
	store(1, "v2", 5, "as of c")
	image()
	image() // a correction that was cut off and began again
	store(1, "v3", 9, "as of d")
	store(3, "v3", 9, "as of e")
	for revision, want := range map[int][]string{
		2:  nil,
		3:  {"1\tuser 1\tv1\t[v1]\t3"},
		4:  {"1\tuser 1\tv1\t[v1]\t3", "2\tuser 2\tv1\t[v1]\t4"},
		8:  {"1\tuser 1\tv2\t[v2]\t5", "2\tuser 2\tv1\t[v1]\t4"},
		9:  {"1\tuser 1\tv3\t[v3]\t9", "2\tuser 2\tv1\t[v1]\t4", "3\tuser 3\tv3\t[v3]\t9"},
		99: {"1\tuser 1\tv3\t[v3]\t9", "2\tuser 2\tv1\t[v1]\t4", "3\tuser 3\tv3\t[v3]\t9"},
	} {
		expect(t, client, fmt.Sprintf("SELECT id, user, deployed_version, rollout_ids, revision FROM whence.observations_as_of(revision = %d) ORDER BY id", revision), want...)
	}
	columns := func(table string) (names []string) {
		for _, line := range lines(t, client, "DESCRIBE "+table) {
			names = append(names, line[:strings.IndexByte(line, '\t')])
		}
		return names
	}
	want := slices.DeleteFunc(columns("whence.observations"), func(name string) bool { return name == "row_version" || name == "rewritten" || name == "version_key" })
	for _, view := range []string{"observations_as_of(revision = 1)", "observations_at(moment = now())"} {
		if diff := gocmp.Diff(want, columns("(SELECT * FROM whence."+view+")")); diff != "" {
			t.Errorf("the columns of %s are not those of the table:\n%s", view, diff)
		}
	}
}

// past is observations and a ledger whose moments a test sets.
type past struct {
	*testing.T
	client *Client
	n      int
}

func newPast(t *testing.T) *past {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history", "whence_state.batches", "whence_state.epochs", "whence.dead_letter_replays")
	return &past{T: t, client: client}
}

// store stores a row of an offset, as of a revision.
func (p *past) store(id, offset int, received, version string, revision uint64) {
	p.Helper()
	block := tables.NewObservations()
	o := observation("past", id, event.MinTime+event.Millis(id)*1000)
	at, err := time.Parse(time.DateTime, "2000-01-01 "+received+":00")
	must(p.T, err)
	o.ReceivedAt, o.Topic, o.Partition, o.Offset = event.MillisOf(at), "behavior", 0, int64(offset)
	block.Append(o, &event.Enrichment{DeployedVersion: version, DeploymentAgeMS: event.NoAge, Revision: revision})
	p.n++
	must(p.T, p.client.Insert(p.Context(), block, fmt.Sprintf("past %d %s", p.n, p.Name())))
}

// enter writes a batch of the topic made as the n-th of its name into the ledger.
func (p *past) enter(topic, from, to int, written string) {
	p.Helper()
	must(p.T, p.client.exec(p.Context(), fmt.Sprintf("INSERT INTO whence_state.batches (topic, topic_id, partition, from_offset, to_offset, written_at) "+
		"VALUES ('behavior', '00000000-0000-0000-0000-0000000000b%d', 0, %d, %d, '2000-01-01 %s:00')", topic, from, to, written), nil))
}

// correct keeps what a row says and writes it anew.
func (p *past) correct(id, offset int, received, at, version string, revision uint64) {
	p.Helper()
	must(p.T, p.client.exec(p.Context(), fmt.Sprintf(`INSERT INTO whence.observations_history
		(source, id, time, name, service, environment, content_hash, deployed_version, revision, superseded_at)
		SELECT source, id, time, name, service, environment, content_hash, deployed_version, revision, '2000-01-01 %s:00'
		FROM whence.observations FINAL WHERE id = '%d'`, at, id), nil))
	p.store(id, offset, received, version, revision)
}

func (p *past) showed(moment string, want ...string) {
	p.Helper()
	expect(p.T, p.client, "SELECT id, deployed_version, revision FROM whence.observations_at(moment = '2000-01-01 "+moment+"') ORDER BY id", want...)
}

func TestWhatIsStoredAfterAMomentWasNotThereThenThoughNothingNewWasKnown(t *testing.T) {
	p := newPast(t)
	p.store(1, 0, "14:00", "v1", 3)
	p.enter(1, 0, 1, "14:01")
	p.store(2, 1, "14:09", "v1", 3)
	p.enter(1, 1, 2, "14:10")
	p.showed("14:00")
	p.showed("14:05", "1\tv1\t3")
	p.showed("14:10", "1\tv1\t3", "2\tv1\t3")
	// Both are at home in that state of knowledge.
	expect(t, p.client, "SELECT id FROM whence.observations_as_of(revision = 3) ORDER BY id", "1", "2")
}

func TestWhatARowShowedAtAMomentStaysThatWhateverIsCorrectedOrStoredAgain(t *testing.T) {
	p := newPast(t)
	p.store(1, 0, "14:00", "v1", 3)
	p.enter(1, 0, 1, "14:01")
	answers := func(until string) {
		t.Helper()
		for _, moment := range []struct{ at, showed string }{{"14:05", "1\tv1\t3"}, {"14:20", "1\tv2\t5"}, {"14:40", "1\tv3\t9"}} {
			if moment.at < until {
				p.showed(moment.at, moment.showed)
			}
		}
	}
	answers("14:10")
	p.correct(1, 0, "14:00", "14:10", "v2", 5)
	answers("14:30")
	p.correct(1, 0, "14:00", "14:29", "v2", 5) // one that was cut off and began again
	p.correct(1, 0, "14:00", "14:30", "v3", 9)
	answers("15:00")
	p.enter(1, 0, 1, "16:00") // in doubt, by who takes over
	p.enter(1, 0, 7, "17:00") // the log was read again
	answers("15:00")
	for _, table := range []string{"whence.observations", "whence.observations_history", "whence_state.batches"} {
		must(t, p.client.exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL", nil))
	}
	answers("15:00")
}

func TestRowsOfATopicMadeAnewWereThereFromItsOwnBatchesOn(t *testing.T) {
	p := newPast(t)
	p.store(1, 50, "10:00", "v1", 3)
	p.enter(1, 0, 100, "10:01")
	p.store(2, 50, "14:09", "v1", 3)
	p.enter(2, 0, 10, "14:00")
	p.enter(2, 10, 60, "14:10")
	p.showed("10:00")
	p.showed("14:05", "1\tv1\t3")
	p.showed("14:10", "1\tv1\t3", "2\tv1\t3")
}

func TestAReplayedDeadLetterWasThereFromItsReplayOn(t *testing.T) {
	p := newPast(t)
	p.store(1, 0, "14:00", "v1", 3)
	p.store(2, 1, "14:00", "v1", 3)
	p.enter(1, 0, 2, "14:01")
	must(t, p.client.exec(t.Context(), `INSERT INTO whence.dead_letter_replays (topic, partition, offset, outcome, replayed_at)
		VALUES ('behavior', 0, 1, 'stored', '2000-01-01 15:00:00')`, nil))
	p.showed("14:05", "1\tv1\t3")
	p.showed("15:00", "1\tv1\t3", "2\tv1\t3")
}

func TestAFilterOnObservationsOfThePastReachesEveryPrimaryKey(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	must(t, client.Insert(t.Context(), observations("plan", 10, 1000), "plan"))
	must(t, client.exec(t.Context(), `INSERT INTO whence.observations_history (source, id, time, name, service, environment)
		SELECT source, id, time, name, service, environment FROM whence.observations`, nil))
	for view, of := range map[string]int{
		"observations_as_of(revision = 5)": 3, // the table for both branches
		"observations_at(moment = now())":  2,
	} {
		plan := lines(t, client, "EXPLAIN indexes = 1 SELECT count() FROM whence."+view+
			" WHERE service = 'shop' AND environment = 'production' AND time >= '2000-01-01 00:00:00' AND time < '2000-01-01 01:00:00'")
		reads, keyed, inKey := 0, 0, 0
		for _, line := range plan {
			switch line = strings.Trim(line, " │├└─"); {
			case strings.HasPrefix(line, "ReadFromMergeTree (whence.observations"):
				reads, inKey = reads+1, 0
			case line == "PrimaryKey":
				inKey = 1
			case inKey > 0 && (line == "service" || line == "environment" || line == "toStartOfMinute(time)"):
				if inKey++; inKey == 4 {
					keyed++
				}
			}
		}
		if reads != of || keyed != of {
			t.Errorf("%s: %d reads, of which %d by service, environment and minute:\n%s", view, reads, keyed, strings.Join(plan, "\n"))
		}
	}
}

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// seen is an observation of shop at second s, enriched at a revision.
func seen(id string, s int64, revision uint64, change func(*event.Observation, *event.Enrichment)) (event.Observation, event.Enrichment) {
	var o event.Observation
	o.Source, o.ID, o.Type, o.Name = "correct", id, "io.whence.behavior.recorded", "page"
	o.Service, o.Environment, o.Time, o.Hash = "shop", "prod", event.MinTime+event.Millis(s)*1000, 9
	o.User = "user of " + id
	e := event.Enrichment{DeploymentAgeMS: event.NoAge, CanonicalService: "shop", Revision: revision}
	if change != nil {
		change(&o, &e)
	}
	return o, e
}

func storeSeen(t testing.TB, client *Client, token string, rows ...func() (event.Observation, event.Enrichment)) {
	t.Helper()
	block := tables.NewObservations()
	for _, row := range rows {
		o, e := row()
		block.Append(&o, &e)
	}
	must(t, client.Insert(t.Context(), block, token))
}

func storedRow(id string, s int64, revision uint64, change func(*event.Observation, *event.Enrichment)) func() (event.Observation, event.Enrichment) {
	return func() (event.Observation, event.Enrichment) { return seen(id, s, revision, change) }
}

var shopOfThatDay = event.Region{Services: []string{"shop"}, Environment: "prod", From: event.MinTime, To: event.MinTime + 86_400_000}

// d1 completes at second 10, and is what serves version 1 from second 5 on.
func correctionOf(t testing.TB, client *Client, below uint64) (tables.Correction, []event.Context, []event.Serving) {
	t.Helper()
	stale, err := client.Stale(t.Context(), []event.Region{shopOfThatDay}, below)
	must(t, err)
	second := func(s int64) event.Millis { return event.MinTime + event.Millis(s)*1000 }
	last := second(86_399)
	before := event.Context{Service: "shop", Environment: "prod", Since: second(0), Until: last}
	before.CanonicalService = "shop"
	after := before
	after.Since, after.StartedAt = second(10), second(5)
	after.DeploymentID, after.DeployedVersion, after.ChangeIDs = "d1", "1", []string{"c1"}
	after.Flags = []event.Pair{{Key: "f", Value: `"on"`}}
	serves := event.Serving{Service: "shop", Environment: "prod", Version: "1", Since: second(5), Until: last,
		DeploymentID: "d1", DeployedVersion: "1", StartedAt: second(5), ChangeIDs: []string{"c1"}}
	none := event.Serving{Service: "shop", Environment: "prod", Version: "1", Since: second(0), Until: last}
	pod := event.Serving{Service: "shop", Environment: "prod", Instance: "pod", Since: second(0), Until: last}
	return tables.Correction{Run: uint64(time.Now().UnixNano()), Regions: []event.Region{shopOfThatDay}, Stale: stale, Below: below, Revision: below + 1},
		[]event.Context{before, after}, []event.Serving{serves, none, pod}
}

const said2 = "SELECT id, toString(deployment_id), toString(deployed_version), toString(ifNull(deployment_age_ms, -1)), toString(change_ids), " +
	"toString(flags), toString(revision), toString(rewritten), user FROM whence.observations FINAL ORDER BY id"

func TestACorrectionRewritesWhatDiffersAndKeepsWhatWasSaid(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	version := func(v string) func(*event.Observation, *event.Enrichment) {
		return func(o *event.Observation, e *event.Enrichment) { o.Version, e.DeployedVersion = v, v }
	}
	storeSeen(t, client, "correct|1",
		storedRow("a early", 7, 100, nil),
		storedRow("b late", 20, 100, nil),
		storedRow("c stated", 6, 100, version("1")),
		storedRow("d stated too early", 3, 100, version("1")),
		storedRow("e pod", 12, 100, func(o *event.Observation, _ *event.Enrichment) { o.Instance = "pod" }),
		storedRow("f of another version", 30, 100, version("2")),
		storedRow("g knows it", 40, 200, nil),
		storedRow("h elsewhere", 50, 100, func(o *event.Observation, _ *event.Enrichment) { o.Environment = "test" }),
	)
	c, contexts, servings := correctionOf(t, client, 200)
	rows, err := client.Correct(t.Context(), c, contexts, servings)
	must(t, err)
	if rows != 3 {
		t.Errorf("%d rows are corrected", rows)
	}
	want := []string{
		"a early\t\t\t-1\t[]\t{}\t100\t0\tuser of a early",
		"b late\td1\t1\t15000\t['c1']\t{'f':'\"on\"'}\t201\t1\tuser of b late",
		"c stated\td1\t1\t1000\t['c1']\t{}\t201\t1\tuser of c stated",
		"d stated too early\t\t1\t-1\t[]\t{}\t100\t0\tuser of d stated too early",
		"e pod\td1\t1\t7000\t['c1']\t{'f':'\"on\"'}\t201\t1\tuser of e pod",
		// Its version came to light after the stale rows were listed: it is left alone.
		"f of another version\t\t2\t-1\t[]\t{}\t100\t0\tuser of f of another version",
		"g knows it\t\t\t-1\t[]\t{}\t200\t0\tuser of g knows it",
		"h elsewhere\t\t\t-1\t[]\t{}\t100\t0\tuser of h elsewhere",
	}
	if diff := cmp.Diff(want, lines(t, client, said2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	history := lines(t, client, "SELECT id, toString(deployment_id), toString(revision) FROM whence.observations_history FINAL ORDER BY id")
	if diff := cmp.Diff([]string{"b late\t\t100", "c stated\t\t100", "e pod\t\t100"}, history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if left := answer[uint64](t, client, "SELECT (SELECT count() FROM whence_state.contexts) + (SELECT count() FROM whence_state.servings)"); left != 0 {
		t.Errorf("%d rows of the run are left behind", left)
	}
	c, contexts, servings = correctionOf(t, client, 200)
	if rows, err := client.Correct(t.Context(), c, contexts, servings); err != nil || rows != 0 {
		t.Errorf("again: %d rows, %v", rows, err)
	}
}

// Days that lie between those of a statement are parts of the table that nothing is wrong in.
func TestACorrectionOfDaysFarApartReadsNoneBetweenThem(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	const day = 86_400
	for i, at := range []int64{20, 20 + day, 20 + 2*day, 20 + 30_000*day} {
		storeSeen(t, client, fmt.Sprintf("%s|%d", t.Name(), i), storedRow(fmt.Sprint(i), at, 100, nil))
	}
	c, _, _ := correctionOf(t, client, 200)
	of2082 := c.Stale[0]
	of2082.First += 30_000 * day * 1000
	of2082.Last = of2082.First
	c.Regions, c.Stale = nil, append(c.Stale, of2082)
	_, question, _ := strings.Cut(c.KeepHistory(event.MinTime), "\n")
	read := answer[uint64](t, client, "SELECT sum(rows) FROM (EXPLAIN ESTIMATE "+question+") WHERE table = 'observations'")
	if read != 2 {
		t.Errorf("%d rows are read to correct 2", read)
	}
}

func TestRowsThatAreRightAreAmongThoseThatAreLookedThrough(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	const day = 86_400
	for i, row := range []struct{ at, revision int64 }{{5, 300}, {10, 100}, {15, 300}, {20, 100}, {25, 300}, {30 + day, 100}, {35 + day, 300}} {
		storeSeen(t, client, fmt.Sprintf("%s|%d", t.Name(), i), storedRow(fmt.Sprint(i), row.at, uint64(row.revision), nil))
	}
	ever := shopOfThatDay
	ever.To = event.Forever
	stale, err := client.Stale(t.Context(), []event.Region{ever}, 200)
	must(t, err)
	early := ever
	early.To = event.MinTime + 20_000
	for _, c := range []struct {
		in   []event.Region
		want []uint64
	}{
		{nil, []uint64{4, 1}}, // of the first day until its end: a day is what they are counted by
		{[]event.Region{early}, []uint64{2, 0}},
	} {
		must(t, client.Among(t.Context(), c.in, stale))
		if len(stale) != 2 || stale[0].Among != c.want[0] || stale[1].Among != c.want[1] {
			t.Errorf("in %v: got %+v, want %d", c.in, stale, c.want)
		}
	}
	must(t, client.Among(t.Context(), nil, nil))
}

// Of many that are looked at few are wrong. The history's copies lead to these;
// where the copies are gone, all are looked at again.
func TestFewWrongRowsAmongManyAreRewrittenWithTheirCopiesAndWithout(t *testing.T) {
	client := connect(t)
	for _, copies := range []string{"there", "gone"} {
		t.Run(copies, func(t *testing.T) {
			empty(t, client, "whence.observations", "whence.observations_history")
			for i := range 12 {
				storeSeen(t, client, fmt.Sprintf("%s|%d", t.Name(), i), storedRow(fmt.Sprint(i), 20+int64(i), 100, func(o *event.Observation, e *event.Enrichment) {
					o.Caller, o.Callee, e.CanonicalService = "shop", "stock", "shop" // a view has rows of its own of these
				}))
			}
			c, _, servings := correctionOf(t, client, 200)
			right := event.Context{Service: "shop", Environment: "prod", Since: c.Stale[0].First, Until: c.Stale[0].Last}
			right.CanonicalService = "shop"
			wrong, again := right, right
			wrong.Since, again.Since = right.Since+3000, right.Since+5000
			wrong.IncidentIDs = []string{"i"}
			contexts := []event.Context{right, wrong, again}
			if copies == "there" {
				rows, err := client.Correct(t.Context(), c, contexts, servings)
				must(t, err)
				if rows != 2 {
					t.Errorf("%d rows are corrected", rows)
				}
			} else {
				must(t, client.prepareRun(t.Context(), c.Run, contexts, servings))
				must(t, client.rewriteKept(t.Context(), c, event.MinTime, 2))
				must(t, client.dropRun(t.Context(), c.Run, nil))
			}
			expect(t, client, "SELECT id, revision FROM whence.observations FINAL WHERE notEmpty(incident_ids) ORDER BY id", "3\t201", "4\t201")
			expect(t, client, "SELECT count() FROM whence.observations FINAL WHERE revision = 100", "10")
		})
	}
}

func TestOfCorrectionsThatBeginAtOneMomentEachHasAMarkOfItsOwn(t *testing.T) {
	var client Client
	const noon, hour = event.Millis(43_200_000), event.Millis(3_600_000)
	for i, step := range []struct {
		now, at event.Millis
		own     bool
	}{
		{noon, noon, true},
		{noon, noon + 1, true},
		{noon - 998, noon + 2, true}, // the clock is set back by less than anybody minds
		{noon - 998, noon - 998, false},
		{noon - hour, noon - hour, false}, // it was set back
		{noon - hour, noon - hour, false},
		{noon - 997, noon + 3, true},
		{noon + hour, noon + hour, true},
	} {
		if at, own := client.markAt(step.now); at != step.at || own != step.own {
			t.Errorf("step %d: the mark is %d, its own %v; want %d, %v", i, at-noon, own, step.at-noon, step.own)
		}
	}
}

// History has the server's time, also where that was set back; copies of another
// correction may have the same mark then.
func TestACorrectionAfterTheClockWasSetBackIsMarkedWithTheTimeThatItIs(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history")
	storeSeen(t, client, t.Name(), storedRow("a", 7, 100, nil), storedRow("b", 20, 100, nil), storedRow("c", 8, 100, nil), storedRow("d", 9, 100, nil))
	client.marked.Store(time.Now().Add(time.Hour).UnixMilli())
	c, contexts, servings := correctionOf(t, client, 200)
	rows, err := client.Correct(t.Context(), c, contexts, servings)
	must(t, err)
	if rows != 1 {
		t.Errorf("%d rows are corrected", rows)
	}
	expect(t, client, "SELECT id FROM whence.observations FINAL WHERE revision = 201", "b")
	expect(t, client, "SELECT id, superseded_at <= now64(3, 'UTC') FROM whence.observations_history FINAL", "b\t1")
}

// A pass that was taken for dead is about to write what is no longer true. The
// next one finds the row right, and writes it again all the same.
func TestARowThatIsRightIsWrittenAgainWhereALateRewriteMaySpoilIt(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations", "whence.observations_history", "whence_state.rewriting", "whence_state.reconciled")
	storeSeen(t, client, "late|1", storedRow("a", 20, 100, nil), storedRow("b", 21, 250, nil))
	announce := func(pass, revision uint64) (latest, doubt uint64) {
		latest, doubt, err := client.Announce(t.Context(), pass, revision)
		must(t, err)
		return latest, doubt
	}
	announce(1, 200)
	latest, doubt := announce(2, 300)
	if latest != 200 || doubt != 200 {
		t.Errorf("the second pass hears of revision %d and doubts rows below %d", latest, doubt)
	}
	c, contexts, servings := correctionOf(t, client, 300)
	c.Doubt, c.Revision = doubt, 300
	rows, err := client.Correct(t.Context(), c, contexts[:1], servings)
	must(t, err)
	if rows != 1 {
		t.Errorf("%d rows are written again", rows)
	}
	storeSeen(t, client, "late|2", storedRow("a", 20, 200, func(_ *event.Observation, e *event.Enrichment) { e.IncidentIDs = []string{"i"} }))
	expect(t, client, "SELECT id, toString(incident_ids), revision FROM whence.observations FINAL ORDER BY id", "a\t[]\t300", "b\t[]\t250")
	expect(t, client, "SELECT id, toString(incident_ids), revision FROM whence.observations_history FINAL ORDER BY id", "a\t[]\t100")
}

func TestAnnouncementsAreSeenUntilTheyAreSettledOrTheirFactsAreClosed(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence_state.rewriting", "whence_state.reconciled")
	announce := func(pass, revision, wantLatest, wantDoubt uint64) {
		t.Helper()
		latest, doubt, err := client.Announce(t.Context(), pass, revision)
		must(t, err)
		if latest != wantLatest || doubt != wantDoubt {
			t.Errorf("pass %d at revision %d hears of %d and doubts rows below %d, want %d and %d", pass, revision, latest, doubt, wantLatest, wantDoubt)
		}
	}
	announce(1, 200, 0, 0)
	announce(1, 250, 0, 0) // it is no rival of its own
	announce(2, 220, 250, 200)
	announce(3, 300, 250, 250)
	must(t, client.Closed(t.Context(), Pass{Revision: 230, Known: 300, Began: time.Now()}))
	must(t, client.Settle(t.Context(), 3))
	announce(4, 240, 300, 0) // the facts are closed that pass 2 knew, and what is closed knew 300
	announce(4, 310, 300, 250)
	must(t, client.Settle(t.Context(), 4))
	expect(t, client, "SELECT DISTINCT pass FROM whence_state.rewriting ORDER BY pass", "1")
	must(t, client.Settle(t.Context(), 4)) // again, of nothing
}

func TestWhileACommandRewritesRowsNoPassLeavesOneAsItIs(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence_state.rewriting", "whence_state.reconciled")
	_, _, err := client.Announce(t.Context(), 1, 200)
	must(t, err)
	latest, err := client.AnnounceCommand(t.Context(), 2)
	must(t, err)
	if latest != 200 {
		t.Errorf("the command hears of revision %d", latest)
	}
	other, err := client.AnnounceCommand(t.Context(), 3)
	must(t, err)
	if other != 200 {
		t.Errorf("another command hears of revision %d: nobody has to know what a command does", other)
	}
	must(t, client.Closed(t.Context(), Pass{Revision: 210, Known: 210, Began: time.Now()}))
	for _, settled := range []uint64{2, 3} {
		latest, doubt, err := client.Announce(t.Context(), 4, 220)
		must(t, err)
		if latest != 210 || doubt != math.MaxUint64 {
			t.Errorf("a pass hears of revision %d and doubts rows below %d", latest, doubt)
		}
		must(t, client.Settle(t.Context(), settled))
	}
	if _, doubt, err := client.Announce(t.Context(), 4, 220); err != nil || doubt != 0 {
		t.Errorf("rows below %d are in doubt, %v", doubt, err)
	}
}

func TestStaleRowsAreListedByDayWithWhatTheyState(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations")
	const day = 86_400
	stating := func(version string) func(*event.Observation, *event.Enrichment) {
		return func(o *event.Observation, _ *event.Enrichment) { o.Version = version }
	}
	storeSeen(t, client, "stale|1",
		storedRow("1", 5, 100, func(o *event.Observation, _ *event.Enrichment) { o.Version, o.Instance = "1", "ignored" }),
		storedRow("2", 9, 100, func(o *event.Observation, _ *event.Enrichment) { o.Instance = "pod" }),
		storedRow("3", day+1, 100, nil),
		storedRow("4", day+2, 300, nil),
		storedRow("5", 2*day, 100, nil),
		storedRow("6", 3*day, 100, stating("2.0")), storedRow("7", 3*day, 100, stating("v2.0")), storedRow("8", 3*day, 100, stating("v2.0.1")),
		storedRow("9", 3*day, 100, stating("c0ffee1")), storedRow("10", 3*day, 100, stating("c0ffee1d")), storedRow("11", 3*day, 100, stating("c0ffee2")),
		storedRow("12", 3*day, 100, stating("sha-c0ffee1")),
	)
	within := event.Region{Services: []string{"shop", "it's"}, Environment: "prod", From: event.MinTime, To: event.MinTime + 2*day*1000}
	stale, err := client.Stale(t.Context(), []event.Region{within}, 200)
	must(t, err)
	want := []event.Stale{
		{Service: "shop", Environment: "prod", First: event.MinTime + 5000, Last: event.MinTime + 9000, Rows: 2, Versions: []string{"1"}, Instances: []string{"pod"}},
		{Service: "shop", Environment: "prod", First: event.MinTime + (day+1)*1000, Last: event.MinTime + (day+1)*1000, Rows: 1, Versions: []string{}, Instances: []string{}},
	}
	if diff := cmp.Diff(want, stale); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, narrowed := range []struct {
		region event.Region
		rows   uint64
	}{
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever}, 11},
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever, VersionKey: "1"}, 1},
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever, VersionKey: "2.0"}, 2},
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever, VersionKey: "c0ffee1"}, 3},
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever, Instance: "pod"}, 1},
		{event.Region{AnyEnvironment: true, From: event.Always, To: event.Forever, Instance: "ignored"}, 0},
		{event.Region{Environment: "test", From: event.Always, To: event.Forever}, 0},
	} {
		stale, err := client.Stale(t.Context(), []event.Region{narrowed.region}, 200)
		must(t, err)
		var rows uint64
		for _, s := range stale {
			rows += s.Rows
		}
		if rows != narrowed.rows {
			t.Errorf("%+v: %d rows", narrowed.region, rows)
		}
	}
}

// Who corrects asks about less then.
func TestAStatementThatHasNoAnswerInTimeOrTakesTooMuchMemorySaysThatItIsTooLong(t *testing.T) {
	for name, c := range map[string]struct {
		reply   string // empty: none
		tooLong bool
	}{
		"no answer":          {"", true},
		"time is over":       {"Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)", true},
		"a lack of memory":   {"Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", true},
		"too many processes": {"Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.reply == "" {
					_, _ = io.Copy(io.Discard, r.Body) // else the end of the request is not heard of
					<-r.Context().Done()
				}
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, c.reply)
			}))
			defer server.Close()
			client, err := Open(t.Context(), Config{URL: server.URL, QueryTimeout: 50 * time.Millisecond})
			must(t, err)
			defer client.Close()
			if _, err := client.Stale(t.Context(), []event.Region{shopOfThatDay}, 200); err == nil || errors.Is(err, pipeline.ErrTooLong) != c.tooLong {
				t.Errorf("stale: %v", err)
			}
			if err := client.TouchRewritten(t.Context(), "1", 1); err == nil || errors.Is(err, pipeline.ErrTooLong) != c.tooLong {
				t.Errorf("touch: %v", err)
			}
			client.shards.Store(new(bool)) // known already
			if err := client.Seal(t.Context(), []tables.Minute{{Service: "shop", Environment: "prod"}}); err == nil || errors.Is(err, pipeline.ErrTooLong) != c.tooLong {
				t.Errorf("seal: %v", err)
			}
			ended, end := context.WithTimeout(t.Context(), time.Nanosecond)
			defer end()
			if _, err := client.Stale(ended, []event.Region{shopOfThatDay}, 200); err == nil || errors.Is(err, pipeline.ErrTooLong) {
				t.Errorf("stale, whose caller gives up: %v", err)
			}
		})
	}
}

func TestTheTimesOfObservationsAreThoseOfTheFirstAndTheLast(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence.observations")
	if first, last, err := client.Times(t.Context()); err != nil || first != last {
		t.Errorf("of none: %d to %d, %v", first, last, err)
	}
	storeSeen(t, client, t.Name(), storedRow("b", 86_400, 100, nil), storedRow("a", 7, 100, nil), storedRow("c", 900_000, 100, nil))
	first, last, err := client.Times(t.Context())
	if err != nil || first != event.MinTime+7000 || last != event.MinTime+900_000_000 {
		t.Errorf("%d to %d, %v", first, last, err)
	}
	expect(t, client, "SELECT countIf(explain LIKE '%ReadFromMergeTree%') FROM (EXPLAIN SELECT min(time), max(time) FROM whence.observations)", "0")
}

func TestTheCursorOnlyGrows(t *testing.T) {
	client := connect(t)
	empty(t, client, "whence_state.reconciled", "whence_state.epochs")
	for _, revision := range []uint64{1<<40 | 5, 1<<40 | 9, 1<<40 | 7} {
		must(t, client.Closed(t.Context(), Pass{Revision: revision, Facts: 2, Corrected: 3, Began: time.Now()}))
	}
	cursor, err := client.Cursor(t.Context())
	if err != nil || cursor != 1<<40|9 {
		t.Errorf("%d, %v", cursor, err)
	}
	k, err := client.Corrections(t.Context(), [16]byte{1})
	if err != nil || k.Rows != 9 || k.LastClosed == nil || k.Epoch != 0 {
		t.Errorf("%+v, %v", k, err)
	}
	empty(t, client, "whence_state.reconciled")
	if k, err = client.Corrections(t.Context(), [16]byte{1}); err != nil || k.LastClosed != nil || k.Cursor != 0 {
		t.Errorf("of nothing: %+v, %v", k, err)
	}
}

// What a start folds of a former context log can be closed, and nothing else of it:
// what was said again, or no timeline reads, has no revision that the cursor reaches.
func TestFactsOfAFormerContextTopicArePendingUntilTheyAreClosed(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence_state.reconciled", "whence_state.epochs")...)
	const former = 1 << 40
	finding := said("1", "finding.opened", 1, `{"finding_id":"f","kind":"audit","rule":"R","severity":"low"}`)
	finding.Revision = former | 1
	incident := said("2", "incident.opened", 2, `{"incident_id":"i","severity":"low"}`)
	incident.Revision = former | 2
	again := finding
	again.Revision = former | 3
	build := said("4", "build.finished", 4, `{"build_id":"b","outcome":"success"}`)
	build.Revision = former | 4
	block := tables.NewFacts()
	for _, f := range []event.Fact{finding, incident, again, build} {
		block.Append(&f)
	}
	must(t, client.Insert(t.Context(), block, t.Name()))
	must(t, client.Closed(t.Context(), Pass{Revision: former, Began: time.Now()}))
	must(t, client.exec(t.Context(), "INSERT INTO whence_state.epochs (epoch, topic_id) VALUES (1, '01000000-0000-0000-0000-000000000000'), (2, '02000000-0000-0000-0000-000000000000')", nil))
	pending := func(topic byte) [2]uint64 {
		k, err := client.Corrections(t.Context(), [16]byte{topic})
		must(t, err)
		return [2]uint64{k.Former, k.LastFormer}
	}
	for topic, want := range map[byte][2]uint64{1: {}, 2: {2, former | 2}, 3: {2, former | 2}} {
		if got := pending(topic); got != want {
			t.Errorf("beside topic %d pending facts and the last of them are %d, want %d", topic, got, want)
		}
	}
	must(t, client.Closed(t.Context(), Pass{Revision: former | 2, Began: time.Now()}))
	if got := pending(2); got != [2]uint64{} {
		t.Errorf("closed facts are pending: %d", got)
	}
}

// A late deployment that a million rows of a service belong to: history kept and
// rows rewritten, in one chunk and in two at the same time, as reconcile has
// them. The rows lie as merges leave them.
func BenchmarkCorrect(b *testing.B) {
	b.Run("one", func(b *testing.B) { benchmarkCorrect(b, 1) })
	b.Run("two", func(b *testing.B) { benchmarkCorrect(b, 2) })
}

// A fact that says something else of a twentieth of a million rows: an incident of
// an hour, of which all are looked at.
func BenchmarkCorrectFew(b *testing.B) {
	client := connect(b)
	const rows = 1_000_000
	fillToCorrect(b, client, rows)
	revision := uint64(1000)
	correct := func(incidents []string) uint64 {
		revision += 10
		c, contexts, servings := correctionOf(b, client, revision)
		during, after := contexts[1], contexts[1]
		during.Since, after.Since = c.Stale[0].First+40_000_000, c.Stale[0].First+44_000_000
		during.IncidentIDs = incidents
		corrected, err := client.Correct(b.Context(), c, append(contexts, during, after), servings)
		must(b, err)
		return corrected
	}
	correct(nil)
	must(b, client.exec(b.Context(), "OPTIMIZE TABLE whence.observations FINAL", nil))
	said := false
	for b.Loop() {
		var incidents []string
		if said = !said; said {
			incidents = []string{"i"}
		}
		if n := correct(incidents); n != rows/20 {
			b.Fatalf("%d rows are corrected", n)
		}
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "looked-at/s")
	empty(b, client, "whence.observations", "whence.observations_history")
}

func fillToCorrect(b *testing.B, client *Client, rows int) {
	empty(b, client, "whence.observations", "whence.observations_history")
	must(b, client.exec(b.Context(), fmt.Sprintf(`
		INSERT INTO whence.observations (source, id, type, time, name, service, environment, user, session, version, ok, duration_ms,
			attributes, deployment_id, deployed_version, deployment_age_ms, flags, owner, tier, canonical_service, revision, content_hash)
		SELECT 'web', toString(number), 'io.whence.behavior.recorded', %s + toIntervalMillisecond(number * 80),
			['page.viewed', 'cart.added', 'order.placed'][number %% 3 + 1], 'shop', 'prod', toString(cityHash64(number) %% 100000),
			toString(cityHash64(number) %% 200000), if(number %% 3 = 0, '1', ''), number %% 50 != 0, number %% 700,
			map('page', toString(number %% 100), 'country', 'at'), 'd0', if(number %% 3 = 0, '1', '0'), number, map('f', 'off'), 'team', '1', 'shop', 100, number
		FROM numbers(%d)`, "toDateTime64('2000-01-01 00:00:00', 3, 'UTC')", rows), nil))
	must(b, client.exec(b.Context(), "OPTIMIZE TABLE whence.observations FINAL", nil))
}

func benchmarkCorrect(b *testing.B, chunks int) {
	client := connect(b)
	const rows = 1_000_000
	revision := uint64(1000)
	var corrected atomic.Uint64
	for b.Loop() {
		b.StopTimer()
		fillToCorrect(b, client, rows)
		b.StartTimer()
		c, contexts, servings := correctionOf(b, client, revision)
		group, ctx := errgroup.WithContext(b.Context())
		step := (c.Stale[0].Last-c.Stale[0].First)/event.Millis(chunks) + 1
		for i := range chunks {
			part := c
			part.Run += uint64(i)
			part.Stale = slices.Clone(c.Stale)
			part.Stale[0].First += event.Millis(i) * step
			part.Stale[0].Last = min(part.Stale[0].First+step-1, c.Stale[0].Last)
			group.Go(func() error {
				n, err := client.Correct(ctx, part, contexts, servings)
				corrected.Add(n)
				return err
			})
		}
		must(b, group.Wait())
	}
	if want := uint64(b.N * rows); corrected.Load() < want-want/100 {
		b.Fatalf("%d rows of %d are corrected", corrected.Load(), want)
	}
	b.ReportMetric(float64(corrected.Load())/b.Elapsed().Seconds(), "rows/s")
	empty(b, client, "whence.observations", "whence.observations_history")
}

package clickhouse

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// request is somebody's checkout, n apart from others, served by a deployment.
func request(n int, at event.Millis, deployment string) row {
	r := row{o: *observation("vitals", n, at), e: *bare}
	r.o.User, r.o.OK, r.o.DurationMS = fmt.Sprint("user-", n), event.True, 100
	r.e.DeploymentID, r.e.DeployedVersion, r.e.CanonicalService, r.e.Revision = deployment, "v-"+deployment, "shop", 1
	return r
}

// corrected is the row at a later revision, on another deployment.
func (r row) corrected(deployment string) row {
	r.e.DeploymentID, r.e.DeployedVersion = deployment, "v-"+deployment
	r.e.Revision++
	return r
}

func TestAMinuteShowsTheSameBeforeItIsSealedAndAfter(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a"), request(2, event.MinTime, "b"), request(3, event.MinTime+60_000, "a")}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	shows(t, client, "live", rows)
	if open := openMinutes(t, client); len(open) != 2 || open[0].Rows != 2 || open[0].Start != event.MinTime {
		t.Errorf("open: %+v", open)
	}
	sealAll(t, client)
	// Nothing but seals is left to read from.
	empty(t, client, "whence.observations")
	shows(t, client, "sealed", rows)
}

func TestDuplicatesAreNotInTheVitals(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a"), request(2, event.MinTime, "a")}
	for range 2 { // under tokens of their own: after the deduplication window
		w := write(rows...)
		w.store(t, client)
		w.touch(t, client)
		shows(t, client, "live", rows)
		sealAll(t, client)
		shows(t, client, "sealed", rows)
	}
}

func TestACorrectionLeavesNothingOfTheOldDeploymentBehind(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "old"), request(2, event.MinTime, "old"), request(3, event.MinTime+60_000, "old")}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	sealAll(t, client)

	rows = append(rows, rows[0].corrected("new"), rows[1].corrected("new"))
	write(rows[3:]...).store(t, client)
	must(t, client.TouchRewritten(t.Context(), "revision >= 2", 7))
	if open := openMinutes(t, client); len(open) != 1 || open[0].Rows != 4 {
		t.Errorf("open: %+v, want the minute of what was corrected", open)
	}
	shows(t, client, "live", rows)
	sealAll(t, client)
	shows(t, client, "sealed again", rows)
	if got := answer[uint64](t, client, "SELECT sum(observations) FROM whence.vitals"); got != 3 {
		t.Errorf("%d observations, want 3: rows of the old deployment stayed", got)
	}
}

// The same salt touches again: a run that is repeated may have written more.
func TestATouchIsNeverTakenForARepetition(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	write(request(1, event.MinTime, "a")).store(t, client)
	for i := range 3 {
		must(t, client.TouchRewritten(t.Context(), "id = '1'", 7))
		if open, hours := openMinutes(t, client), openHours(t, client); len(open) != 1 || open[0].Rows != uint64(i+1) || len(hours) != 1 {
			t.Fatalf("after touch %d: open %+v, hours %+v", i+1, open, hours)
		}
		sealAll(t, client)
	}
}

func TestAStragglerOpensItsMinuteInAnHourThatWasSealed(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a"), request(2, event.MinTime+3_600_000, "a")}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	sealAll(t, client)

	straggler := write(request(3, event.MinTime+59_999, "a"))
	straggler.store(t, client)
	straggler.touch(t, client)
	rows = append(rows, straggler.rows...)
	shows(t, client, "live", rows)
	if hours := openHours(t, client); len(hours) != 1 || hours[0].Start != event.MinTime {
		t.Errorf("open hours: %+v", hours)
	}
	sealAll(t, client)
	shows(t, client, "sealed again", rows)
}

// A sealer is paused in the middle, for as long as one likes, and goes on.
func TestASealThatLandsLateIsNotShownAndHidesNoNewerOne(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a")}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	paused := openMinutes(t, client)
	// What it will store is of this moment.
	asIs := strings.Replace(tables.SealMinutes(paused), "whence_state.vitals_computed", "whence_state.vitals_paused", 1)
	must(t, client.exec(t.Context(), `CREATE OR REPLACE TABLE whence_state.vitals_paused ENGINE = Memory AS SELECT * FROM whence_state.vitals_computed`, nil))
	defer func() { must(t, client.exec(t.Context(), "DROP TABLE whence_state.vitals_paused", nil)) }()
	land := func() {
		t.Helper()
		if asIs == tables.SealMinutes(paused) {
			t.Fatal("not what was computed then")
		}
		must(t, client.derive(t.Context(), asIs))
	}

	more := write(request(2, event.MinTime, "b"))
	more.store(t, client)
	more.touch(t, client)
	rows = append(rows, more.rows...)
	land() // no newer seal is there
	shows(t, client, "after a stale seal", rows)
	if open := openMinutes(t, client); len(open) != 1 {
		t.Errorf("open: %+v", open)
	}
	sealAll(t, client)
	land() // a newer one is there, and its hour is closed
	shows(t, client, "after a stale seal over a newer one", rows)
	if open := openMinutes(t, client); len(open) != 0 {
		t.Errorf("a stale seal opened %+v", open)
	}
	must(t, client.exec(t.Context(), "OPTIMIZE TABLE whence_state.sealed FINAL", nil))
	shows(t, client, "after merging them", rows)
}

func TestTwoSealersAtOnceAreAsGoodAsOne(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a"), request(2, event.MinTime, "b")}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	first, second := openMinutes(t, client), openMinutes(t, client)
	must(t, client.Seal(t.Context(), second))
	must(t, client.Seal(t.Context(), first))
	shows(t, client, "sealed twice", rows)
	sealAll(t, client)
	shows(t, client, "and the hour", rows)
}

// The worker is killed after its rows are stored and before they are touched;
// the batch is stored again under its token.
func TestRowsThatWereNotTouchedBeforeACrashAreTouchedByTheRetry(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	rows := []row{request(1, event.MinTime, "a")}
	before := write(rows...)
	before.store(t, client)
	before.touch(t, client)
	sealAll(t, client)

	killed := write(request(2, event.MinTime, "a"))
	killed.store(t, client)
	shows(t, client, "stored and not touched: the batch is not done", rows)
	rows = append(rows, killed.rows...)
	for range 2 { // killed again, after the touch
		killed.store(t, client)
		killed.touch(t, client)
		shows(t, client, "touched by the retry", rows)
	}
	if open := openMinutes(t, client); len(open) != 1 || open[0].Rows != 2 {
		t.Errorf("open %+v: a repeated touch was not recognised", open)
	}
	sealAll(t, client)
	shows(t, client, "sealed", rows)
}

func TestAMinuteWhoseObservationsAreGoneCanBeSealed(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	w := write(request(1, event.MinTime, "a"))
	w.store(t, client)
	w.touch(t, client)
	empty(t, client, "whence.observations")
	sealAll(t, client)
	shows(t, client, "sealed", nil)
}

// strange is any observation: every type, every number stated or not.
func strange(r *rapid.T) row {
	number := func(name string, some ...float64) float64 {
		return rapid.SampledFrom(append(some, event.Unknown)).Draw(r, name)
	}
	n := rapid.IntRange(1, 12).Draw(r, "id")
	at := event.MinTime + rapid.SampledFrom([]event.Millis{0, 1, 59_999, 60_000, 3_600_000}).Draw(r, "at")
	o := observation("vitals", n, at)
	o.Service = rapid.SampledFrom([]string{"shop", "cart"}).Draw(r, "service")
	o.Environment = rapid.SampledFrom([]string{"production", "it's"}).Draw(r, "environment")
	o.User = rapid.SampledFrom([]string{"", "u", "v"}).Draw(r, "user")
	o.OK = rapid.SampledFrom([]event.Truth{event.Unstated, event.False, event.True}).Draw(r, "ok")
	o.Hash = uint64(rapid.IntRange(1, 2).Draw(r, "content"))
	switch rapid.SampledFrom([]string{"behavior", "behavior", "measured", "failed", "exposed"}).Draw(r, "type") {
	case "behavior":
		o.Name = rapid.SampledFrom([]string{"login", "checkout", "service.measured"}).Draw(r, "name")
		o.DurationMS = number("duration", -1, 0, 1, 2, 2.0000001, 1e-9, 123.4, 1e9)
		o.Weight = number("weight", 0, 1, 0.1, 10)
	case "measured":
		o.Type, o.Name, o.OK = "io.whence.service.measured", "service.measured", event.Unstated
		o.Requests, o.Errors, o.SuccessRatio = number("requests", 0, 7), number("errors", 0, 3), number("ratio", 0, 0.3, 1)
		o.LatencyMS, o.LatencyP99MS = number("latency", 0.1, 30), number("p99", 5, 90)
	case "failed":
		o.Type, o.Name = "io.whence.error.occurred", "error.occurred"
	case "exposed":
		o.Type, o.Name = "io.whence.experiment.exposed", "experiment.exposed"
	}
	// One content, one row: what else is drawn is part of the content.
	o.ID = fmt.Sprint(n, o.Type, o.Name)
	content := rand.New(rand.NewPCG(uint64(n), o.Hash))
	o.Hash = content.Uint64()
	e := *bare
	e.CanonicalService = "the " + o.Service
	return row{*o, e}
}

// Rows are written, written again, corrected and touched, now or later; sealers
// read, pause, and seal what they read, in any order. Whenever everything that
// was written is touched, vitals are what a plain computation gives.
func TestVitalsEqualAPlainComputationAfterAnySequenceOfSteps(t *testing.T) {
	client := connect(t)
	if err := flag.Set("rapid.checks", "20"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		empty(t, client, vitalTables...)
		s := &steps{t: t, r: r, client: client, contents: map[string]row{}}
		for range rapid.IntRange(5, 25).Draw(r, "steps") {
			s.step()
		}
		s.settle()
		sealAll(t, client)
		s.compare("at the end, sealed")
	})
}

type steps struct {
	t      *testing.T
	r      *rapid.T
	client *Client

	contents  map[string]row // of an identity and its hash: a content has one form
	rows      []row
	revision  uint64
	untouched []writing
	looks     [][]tables.Minute
	hours     [][]tables.Minute
}

func (s *steps) step() {
	switch rapid.SampledFrom([]string{"write", "write", "correct", "touch", "look", "seal", "seal", "hours", "compare"}).Draw(s.r, "step") {
	case "write":
		s.write(rapid.Custom(strange).Draw(s.r, "row"), rapid.Custom(strange).Draw(s.r, "row"))
	case "correct":
		if len(s.rows) > 0 {
			s.write(rapid.SampledFrom(s.rows).Draw(s.r, "of"))
		}
	case "touch":
		s.touch()
	case "look":
		hours := openHours(s.t, s.client)
		open := openMinutes(s.t, s.client)
		s.looks = append(s.looks, open)
		s.hours = append(s.hours, slices.DeleteFunc(hours, func(h tables.Minute) bool {
			return slices.ContainsFunc(open, func(m tables.Minute) bool { return tables.HourOf(m.Start) == h.Start })
		}))
	case "seal":
		if len(s.looks) > 0 {
			must(s.t, s.client.Seal(s.t.Context(), rapid.SampledFrom(s.looks).Draw(s.r, "look")))
		}
	case "hours":
		if len(s.hours) > 0 {
			must(s.t, s.client.SealHours(s.t.Context(), rapid.SampledFrom(s.hours).Draw(s.r, "hours")))
		}
	case "compare":
		s.settle()
		s.compare("in between")
	}
}

// write stores rows at the next revision, on any deployment, and leaves them to
// be touched. The same row twice has one deployment: what a row says is a function
// of the row and the revision.
func (s *steps) write(rows ...row) {
	s.revision++
	served := map[string]string{}
	for i := range rows {
		at := fmt.Sprint(rows[i].o.ID, rows[i].o.Service, rows[i].o.Environment, rows[i].o.Time, rows[i].o.Hash)
		if known, ok := s.contents[at]; ok {
			rows[i].o = known.o
		}
		s.contents[at] = rows[i]
		rows[i].e.Revision = s.revision
		deployment, again := served[at]
		if !again {
			deployment = rapid.SampledFrom([]string{"", "a", "b"}).Draw(s.r, "deployment")
			served[at] = deployment
		}
		rows[i].e.DeploymentID = deployment
		rows[i].e.DeployedVersion = "v" + rows[i].e.DeploymentID
	}
	w := write(rows...)
	w.store(s.t, s.client)
	s.rows, s.untouched = append(s.rows, rows...), append(s.untouched, w)
}

func (s *steps) touch() {
	if len(s.untouched) > 0 {
		s.untouched[0].store(s.t, s.client) // as after a crash: the rows again, under their token
		s.untouched[0].touch(s.t, s.client)
		s.untouched = s.untouched[1:]
	}
}

func (s *steps) settle() {
	for len(s.untouched) > 0 {
		s.touch()
	}
}

func (s *steps) compare(when string) {
	for _, difference := range differences(vitals(s.t, s.client, "1"), recomputed(s.rows)) {
		s.r.Errorf("%s: %s", when, difference)
	}
}

func TestAQuantileIsWithinItsBucketOfTheExactOne(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	random := rand.New(rand.NewPCG(1, 2))
	const n = 2000
	var rows []row
	var durations []float64
	for i := range n {
		r := request(i, event.MinTime+event.Millis(i%7)*60_000, "a")
		r.o.DurationMS = math.Exp(4 + random.NormFloat64())
		durations = append(durations, r.o.DurationMS)
		rows = append(rows, r)
	}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	sealAll(t, client)
	slices.Sort(durations)
	var p50, p95, p99 float64
	must(t, client.DB().QueryRowContext(t.Context(), `SELECT p50_ms, p95_ms, p99_ms FROM whence.latency(
		service = 'shop', environment = 'production', since = '2000-01-01 00:00:00', until = '2000-01-01 01:00:00')`).Scan(&p50, &p95, &p99))
	for q, got := range map[float64]float64{0.5: p50, 0.95: p95, 0.99: p99} {
		exact := durations[int(math.Ceil(q*n))-1]
		if ratio := got / exact; ratio > math.Exp2(1.0/16)+1e-9 || ratio < math.Exp2(-1.0/16)-1e-9 {
			t.Errorf("quantile %v over seven minutes is %v ms, exactly %v", q, got, exact)
		}
	}
}

func TestThereIsNoQuantileOfNothing(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	r := request(1, event.MinTime, "a")
	r.o.DurationMS = event.Unknown
	w := write(r)
	w.store(t, client)
	w.touch(t, client)
	expect(t, client, "SELECT p50_ms, p99_ms, measured_p99_ms, requests, latency_sum_ms FROM whence.vitals", "∅\t∅\t∅\t1\t0")
}

// A query reads the same tables in several places. While a minute is touched
// and sealed all the time, it is neither missing nor there twice.
func TestAQueryShowsEachMinuteOnceWhileItIsTouchedAndSealed(t *testing.T) {
	client := connect(t)
	empty(t, client, vitalTables...)
	w := write(request(1, event.MinTime, "a"), request(2, event.MinTime, "a"))
	w.store(t, client)
	w.touch(t, client)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- touchAndSeal(ctx, client) }()
	// The engine waits before it takes each snapshot, so that much happens in
	// between.
	slow := settings(t.Context(), map[string]any{"merge_tree_storage_snapshot_sleep_ms": 5})
	for range 20 {
		var rows, observations uint64
		must(t, client.DB().QueryRowContext(slow, "SELECT count(), sum(observations) FROM whence.vitals").Scan(&rows, &observations))
		if rows != 1 || observations != 2 {
			t.Errorf("%d rows, %d observations, want 1 and 2", rows, observations)
		}
	}
	stop()
	must(t, <-ended)
}

// touchAndSeal opens everything and seals it, until ctx is done.
func touchAndSeal(ctx context.Context, client *Client) error {
	for n := uint64(0); ; n++ {
		if err := client.TouchRewritten(ctx, "1", n); err != nil {
			return unless(ctx, err)
		}
		hours, err := client.OpenHours(ctx)
		if err != nil {
			return unless(ctx, err)
		}
		open, err := client.OpenMinutes(ctx, all)
		if err != nil {
			return unless(ctx, err)
		}
		// Both were read before, and nobody else touches.
		if err := errors.Join(client.Seal(ctx, open), client.SealHours(ctx, hours)); err != nil {
			return unless(ctx, err)
		}
	}
}

func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// What a dashboard asks for is found by the primary keys: of the sealed minutes
// and, for the open ones, of the observations.
func TestConditionsReachThePrimaryKeys(t *testing.T) {
	client := connect(t)
	busyDay(t, client)
	plan := strings.Join(lines(t, client, `EXPLAIN indexes = 1 SELECT minute, sum(requests) FROM whence.vitals
		WHERE service = 'shop' AND environment = 'production' AND minute >= '2000-01-01 01:00:00' GROUP BY minute`), "\n")
	for table, conditions := range map[string][]string{
		"whence_state.sealed": {"toDate(minute) in [10957, +Inf)", "service in ['shop', 'shop']"},
		"whence.observations": {"(service, environment, toStartOfMinute(time)) in 1-element set"},
	} {
		_, read, found := strings.Cut(plan, "ReadFromMergeTree ("+table+")")
		_, key, _ := strings.Cut(read, "PrimaryKey")
		key, _, _ = strings.Cut(key, "Search Algorithm")
		for _, condition := range conditions {
			if !found || !strings.Contains(strings.ReplaceAll(key, `\'`, `'`), condition) {
				t.Errorf("the key of %s is not asked for %q:\n%s", table, condition, plan)
			}
		}
	}
}

// The open minute is left out of the seals by a condition that the primary key
// sees too, and that key knows days only.
func TestAnOpenMinuteHidesNoOtherOfItsDay(t *testing.T) {
	client := connect(t)
	busyDay(t, client)
	expect(t, client, "SELECT count(), sum(observations), uniqExact(minute) FROM whence.vitals WHERE service = 'shop'", "1440\t1440\t1440")
}

// busyDay is a whole day of one service, more than a granule of seals, sealed
// but for one minute.
func busyDay(t *testing.T, client *Client) {
	t.Helper()
	empty(t, client, vitalTables...)
	var rows []row
	for i := range 24 * 60 {
		rows = append(rows, request(i, event.MinTime+event.Millis(i)*60_000, "a"))
	}
	w := write(rows...)
	w.store(t, client)
	w.touch(t, client)
	sealAll(t, client)
	open := write(rows[700])
	open.store(t, client)
	open.touch(t, client)
	if open := openMinutes(t, client); len(open) != 1 {
		t.Fatalf("open: %+v", open)
	}
	must(t, client.exec(t.Context(), "OPTIMIZE TABLE whence.observations FINAL", nil))
	must(t, client.exec(t.Context(), "OPTIMIZE TABLE whence_state.sealed FINAL", nil))
}

func TestTheExamplesOfTheReadmeCanBeRun(t *testing.T) {
	client := connect(t)
	readme, err := os.ReadFile("../../schemas/clickhouse/README.md")
	must(t, err)
	examples := 0
	for _, block := range strings.Split(string(readme), "```sql\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for statement := range strings.SplitSeq(block, ";\n") {
			if strings.TrimSpace(statement) != "" {
				lines(t, client, statement)
				examples++
			}
		}
	}
	if examples < 5 {
		t.Errorf("only %d examples", examples)
	}
}

func TestSealingNothingAsksNothing(t *testing.T) {
	client, err := Open(t.Context(), Config{URL: "http://127.0.0.1:1"})
	must(t, err)
	must(t, client.Seal(t.Context(), nil))
	must(t, client.SealHours(t.Context(), nil))
}

func TestAConditionThatIsNoneIsAnErrorOfTheCaller(t *testing.T) {
	client := connect(t)
	err := client.TouchRewritten(t.Context(), "no_such_column = 1", 1)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.HasPrefix(err.Error(), "touch: ") {
		t.Errorf("got %v", err)
	}
}

package clickhouse

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// minuteKey is what whence.vitals has a row for.
type minuteKey struct {
	Service, Environment  string
	Minute                event.Millis
	DeploymentID, Version string
}

// vital is a row of whence.vitals, but for what follows from the histogram.
type vital struct {
	Canonical                              string
	Observations, Users                    uint64
	Requests, Errors, LatencySum           float64
	Conversions                            map[string]uint64
	Latency                                map[int16]float64
	Measurements, RatioCount               uint64
	MeasuredRequests, MeasuredErrors       float64
	RatioSum, MeasuredLatency, MeasuredFor float64
	MeasuredP99                            float64
}

// row is an observation as it was stored.
type row struct {
	o event.Observation
	e event.Enrichment
}

// recomputed is what whence.vitals must show of rows, by plain loops: of one
// identity the greatest content counts, and of it the latest revision.
func recomputed(rows []row) map[minuteKey]*vital {
	type identity struct {
		source, id, service, environment, name string
		time                                   event.Millis
	}
	held := map[identity]row{}
	for _, r := range rows {
		at := identity{r.o.Source, r.o.ID, r.o.Service, r.o.Environment, r.o.Name, r.o.Time}
		before, known := held[at]
		if !known || cmp.Or(cmp.Compare(r.o.Hash, before.o.Hash), cmp.Compare(r.e.Revision, before.e.Revision)) > 0 {
			held[at] = r
		}
	}
	type person struct {
		minuteKey
		did, user string
	}
	people := map[person]bool{}
	vitals := map[minuteKey]*vital{}
	for _, r := range held {
		key := minuteKey{r.o.Service, r.o.Environment, r.o.Time - r.o.Time%60_000, r.e.DeploymentID, r.e.DeployedVersion}
		v := vitals[key]
		if v == nil {
			v = &vital{Canonical: r.e.CanonicalService, Conversions: map[string]uint64{}, Latency: map[int16]float64{}}
			vitals[key] = v
		}
		v.Observations++
		if who := (person{key, "", r.o.User}); r.o.User != "" && !people[who] {
			people[who] = true
			v.Users++
		}
		if r.o.Type == "io.whence.service.measured" {
			v.measured(&r.o)
			continue
		}
		v.behaved(&r.o)
		if who := (person{key, r.o.Name, r.o.User}); r.o.User != "" && r.o.Type == "io.whence.behavior.recorded" && r.o.OK != event.False && !people[who] {
			people[who] = true
			v.Conversions[r.o.Name]++
		}
	}
	return vitals
}

func stated(v float64) bool { return v == v }

func or(v, otherwise float64) float64 {
	if stated(v) {
		return v
	}
	return otherwise
}

func (v *vital) behaved(o *event.Observation) {
	weight := or(o.Weight, 1)
	if o.OK != event.Unstated || stated(o.DurationMS) {
		v.Requests += weight
	}
	if o.OK == event.False {
		v.Errors += weight
	}
	if stated(o.DurationMS) {
		v.LatencySum += o.DurationMS * weight
		if weight != 0 {
			v.Latency[bucketOf(o.DurationMS)] += weight
		}
	}
}

func (v *vital) measured(o *event.Observation) {
	v.Measurements++
	v.MeasuredRequests += or(o.Requests, 0)
	v.MeasuredErrors += or(or(o.Errors, o.Requests*(1-o.SuccessRatio)), 0)
	if !stated(o.Requests) && stated(o.SuccessRatio) {
		v.RatioSum += o.SuccessRatio
		v.RatioCount++
	}
	if stated(o.LatencyMS) {
		v.MeasuredLatency += o.LatencyMS * or(o.Requests, 1)
		v.MeasuredFor += or(o.Requests, 1)
	}
	v.MeasuredP99 = max(v.MeasuredP99, or(o.LatencyP99MS, 0))
}

// bucketOf finds the bucket by its bounds and not by a logarithm.
func bucketOf(ms float64) int16 {
	if ms <= 0 {
		return -32768
	}
	i := int16(math.Floor(math.Log2(ms) * 8))
	for ms > math.Exp2(float64(i+1)/8) {
		i++
	}
	for ms <= math.Exp2(float64(i)/8) {
		i--
	}
	return i
}

// vitals reads whence.vitals of some services.
func vitals(t testing.TB, client *Client, where string) map[minuteKey]*vital {
	t.Helper()
	rows, err := client.DB().QueryContext(t.Context(), `
		SELECT service, environment, toInt64(toUnixTimestamp(minute)), deployment_id, deployed_version, canonical_service,
			observations, users, requests, errors, latency_sum_ms, conversions, latency, measurements, success_ratio_count,
			measured_requests, measured_errors, success_ratio_sum, measured_latency_sum_ms, measured_latency_weight,
			ifNull(measured_p99_ms, 0)
		FROM whence.vitals WHERE `+where)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[minuteKey]*vital{}
	for rows.Next() {
		var key minuteKey
		v := new(vital)
		err := rows.Scan(&key.Service, &key.Environment, &key.Minute, &key.DeploymentID, &key.Version, &v.Canonical,
			&v.Observations, &v.Users, &v.Requests, &v.Errors, &v.LatencySum, &v.Conversions, &v.Latency, &v.Measurements, &v.RatioCount,
			&v.MeasuredRequests, &v.MeasuredErrors, &v.RatioSum, &v.MeasuredLatency, &v.MeasuredFor, &v.MeasuredP99)
		if err != nil {
			t.Fatal(err)
		}
		key.Minute *= 1000
		if all[key] != nil {
			t.Errorf("two rows for %+v", key)
		}
		all[key] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// about says whether two sums are of the same numbers: summed in another order
// they differ in the last places.
func about(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

// differences lists where two sets of vitals are not the same.
func differences(got, want map[minuteKey]*vital) []string {
	var all []string
	for key, w := range want {
		g, known := got[key]
		if !known {
			all = append(all, fmt.Sprintf("%v is missing", key))
			continue
		}
		same := g.Canonical == w.Canonical && g.Observations == w.Observations && g.Users == w.Users && maps.Equal(g.Conversions, w.Conversions) &&
			g.Measurements == w.Measurements && g.RatioCount == w.RatioCount && maps.EqualFunc(g.Latency, w.Latency, about)
		for _, pair := range [][2]float64{
			{g.Requests, w.Requests}, {g.Errors, w.Errors}, {g.LatencySum, w.LatencySum}, {g.MeasuredRequests, w.MeasuredRequests},
			{g.MeasuredErrors, w.MeasuredErrors}, {g.RatioSum, w.RatioSum}, {g.MeasuredLatency, w.MeasuredLatency},
			{g.MeasuredFor, w.MeasuredFor}, {g.MeasuredP99, w.MeasuredP99},
		} {
			same = same && about(pair[0], pair[1])
		}
		if !same {
			all = append(all, fmt.Sprintf("%v:\n got %+v\nwant %+v", key, *g, *w))
		}
	}
	for key := range got {
		if want[key] == nil {
			all = append(all, fmt.Sprintf("%v should not be there", key))
		}
	}
	slices.Sort(all)
	return all
}

// shows compares whence.vitals with what rows must give.
func shows(t testing.TB, client *Client, when string, rows []row) {
	t.Helper()
	for _, difference := range differences(vitals(t, client, "1"), recomputed(rows)) {
		t.Errorf("%s: %s", when, difference)
	}
}

// vitalTables are the tables that vitals come from.
var vitalTables = []string{"whence.observations", "whence_state.touches", "whence_state.sealed"}

// writing stores rows as the store stage does, in two steps.
type writing struct {
	token string
	rows  []row
}

var writings int

func write(rows ...row) writing {
	writings++
	return writing{fmt.Sprintf("writing %d", writings), rows}
}

func (w writing) store(t testing.TB, client *Client) {
	t.Helper()
	block := tables.NewObservations()
	for i := range w.rows {
		block.Append(&w.rows[i].o, &w.rows[i].e)
	}
	must(t, client.Insert(t.Context(), block, w.token))
}

func (w writing) touch(t testing.TB, client *Client) {
	t.Helper()
	block := tables.NewTouches()
	type place struct {
		service, environment string
		minute               event.Millis
	}
	counts := map[place]uint64{}
	for i := range w.rows {
		o := &w.rows[i].o
		counts[place{o.Service, o.Environment, tables.MinuteOf(o.Time)}]++
	}
	for p, n := range counts {
		if p.service != "" {
			block.Append(&tables.Minute{Service: p.service, Environment: p.environment, Start: p.minute, Touch: uint64(len(w.token)) + uint64(writings)*n*7919, Rows: n})
		}
	}
	must(t, client.Insert(t.Context(), block, w.token))
}

// all is what whence_state.open_minutes has.
const all = 1 << 30

func openMinutes(t testing.TB, client *Client) []tables.Minute {
	t.Helper()
	open, err := client.OpenMinutes(t.Context(), all)
	must(t, err)
	return open
}

func openHours(t testing.TB, client *Client) []tables.Minute {
	t.Helper()
	open, err := client.OpenHours(t.Context())
	must(t, err)
	return open
}

// sealAll seals everything, as one sealer alone does it.
func sealAll(t testing.TB, client *Client) {
	t.Helper()
	must(t, client.Seal(t.Context(), openMinutes(t, client)))
	hours := openHours(t, client)
	if open := openMinutes(t, client); len(open) > 0 {
		t.Fatalf("still open: %+v", open)
	}
	must(t, client.SealHours(t.Context(), hours))
	if open := openHours(t, client); len(open) > 0 {
		t.Fatalf("hours still open: %+v", open)
	}
}

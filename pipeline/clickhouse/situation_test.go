package clickhouse

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

const (
	second = event.Millis(1000)
	minute = 60 * second
	hour   = 60 * minute
)

// onset is when the tests' incidents begin: seconds of said.
const onset = int64(1_800_000_000 - 1_000_000_000)

var spans = Spans{
	Before: 25 * minute, After: 5*minute + 30*second, Longest: 2 * hour, Lookback: 6 * hour, Breach: 14 * day, InProgress: 35 * day, Merged: 14 * day,
}

func situations(t testing.TB) (*Client, *Situations) {
	t.Helper()
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence_state.touches", "whence_state.edges", "whence_state.fact_times",
		"whence_state.rankings", "whence_state.published")...)
	return client, NewSituations(client, spans)
}

func incident(id, service string) event.Fact {
	return said("opened "+id, "incident.opened", onset+60, fmt.Sprintf(
		`{"incident_id":%q,"service":%q,"environment":"prod","severity":"high","title":"it hurts","started_at":%q}`, id, service, at(onset)))
}

// at is a second of said, as JSON has it.
func at(second int64) string {
	return time.UnixMilli(int64(event.MinTime) + second*1000).UTC().Format(time.RFC3339)
}

func deploys(id, service, version string, second int64, more string) event.Fact {
	return said(id+" started", "deployment.started", second, fmt.Sprintf(
		`{"deployment_id":%q,"service":%q,"environment":"prod","version":%q%s}`, id, service, version, more))
}

func finishes(id, service, version string, second int64, outcome string) event.Fact {
	return said(id+" finished", "deployment.finished", second, fmt.Sprintf(
		`{"deployment_id":%q,"service":%q,"environment":"prod","version":%q,"outcome":%q}`, id, service, version, outcome))
}

// measure stores a measurement a minute of an edge, as its callee has it.
func measure(t testing.TB, client *Client, caller, callee string, from, to int64, success float64) {
	t.Helper()
	block, touches := tables.NewObservations(), tables.NewTouches()
	for s := from; s < to; s += 60 {
		o := event.Observation{
			Event: event.Event{ID: fmt.Sprint(caller, callee, s), Source: "mesh", Type: event.Prefix + "service.measured",
				Time: event.MinTime + event.Millis(s)*second, Hash: math.Float64bits(success)},
			Name: "service.measured", Service: callee, Environment: "prod", Caller: caller, Callee: callee, Instance: "pod",
			DurationMS: event.Unknown, Value: event.Unknown, Weight: event.Unknown, IntervalMS: 60_000, Requests: 10, Errors: event.Unknown,
			SuccessRatio: success, LatencyMS: 5, LatencyP99MS: event.Unknown, CPURatio: event.Unknown, MemoryRatio: event.Unknown,
		}
		block.Append(&o, &event.Enrichment{})
		touches.Append(&tables.Minute{Service: callee, Environment: "prod", Start: tables.MinuteOf(o.Time), Touch: o.Hash ^ uint64(s), Rows: 1})
	}
	must(t, client.Insert(t.Context(), block, fmt.Sprint("measure", caller, callee, from, to, success)))
	must(t, client.Insert(t.Context(), touches, fmt.Sprint("touch", caller, callee, from, to, success)))
}

func load(t testing.TB, r *Situations, kind, id string) *Situation {
	t.Helper()
	s, err := r.Load(t.Context(), tables.EffectKey{Kind: kind, ID: id})
	must(t, err)
	if s == nil {
		t.Fatalf("there is no %s %s", kind, id)
	}
	return s
}

func ids(s *Situation) (all []string) {
	for _, c := range s.Candidates {
		all = append(all, c.Kind+" "+c.ID)
	}
	return all
}

func TestASituationHoldsWhatWasInProgressAndWhatHappenedNearTheOnset(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 3,
		incident("i", "shop"),
		deploys("just", "shop", "v2", onset-120, `,"revisions":["r1"],"percent":10,"instances_added":["pod-2"]`),
		said("step", "deployment.progressed", onset-60, `{"deployment_id":"just","service":"shop","environment":"prod","version":"v2","percent":50}`),
		finishes("just", "shop", "v2", onset+7*3600, "success"),
		deploys("old and in progress", "cart", "v7", onset-10*86400, ""),
		deploys("older than a month", "cart", "v1", onset-40*86400, ""),
		deploys("long over", "shop", "v1", onset-9*3600, ""),
		finishes("long over", "shop", "v1", onset-8*3600, "success"),
		deploys("too late", "shop", "v3", onset+60+600, ""),
		said("elsewhere", "deployment.started", onset-60, `{"deployment_id":"elsewhere","service":"shop","environment":"test","version":"v2"}`),
		said("f", "flag.changed", onset-30, `{"flag":"dark","environment":"prod","services":["shop"],"rules":{"on": 50}}`),
		said("c", "change.merged", onset-86400, `{"change_id":"pr-1","repository":"git","revision":"r1","merged_at":"`+at(onset-86400)+`","title":"Faster","size":12}`),
		said("alone", "change.merged", onset-3600, `{"change_id":"pr-2","repository":"git","revision":"r2","merged_at":"`+at(onset-3600)+`","title":"Alone","services":["shop"]}`),
		said("nowhere", "change.merged", onset-3600, `{"change_id":"pr-3","repository":"git","revision":"r3","merged_at":"`+at(onset-3600)+`"}`),
		said("k", "configuration.changed", onset-10, `{"change_id":"conf","service":"cart","environment":"prod","summary":"timeouts"}`),
		said("p", "provider.degraded", onset-100, `{"provider":"cloud","component":"disks","severity":"high"}`),
	)
	s := load(t, r, "incident", "i")
	want := []string{"change pr-2", "configuration conf", "deployment just", "deployment old and in progress", "flag dark", "provider cloud"}
	if diff := gocmp.Diff(want, ids(s)); diff != "" {
		t.Error(diff)
	}
	i := slices.IndexFunc(s.Candidates, func(c Candidate) bool { return c.ID == "just" })
	began := event.MinTime + event.Millis(onset-120)*second
	just := Candidate{
		Kind: "deployment", ID: "just", Service: "shop", Version: "v2", Began: began, Revisions: []string{"r1"}, Changes: []string{"pr-1"},
		Size: 12, Summary: "Faster",
		Stages: []Stage{{At: began, Percent: 10, Added: []string{"pod-2"}}, {At: began + minute, Percent: 50}},
	}
	if diff := gocmp.Diff(just, s.Candidates[i]); diff != "" {
		t.Errorf("what is known by then of a rollout in progress: %s", diff)
	}
	if s.Effect.Onset != began+2*minute || s.Effect.Detected != began+3*minute {
		t.Errorf("%+v", s.Effect)
	}
}

func digestOf(t testing.TB, r *Situations, kind, id string) uint64 {
	t.Helper()
	return load(t, r, kind, id).Digest
}

func TestADigestChangesExactlyWhereTheSituationMay(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"), incident("other", "far"),
		said("s", "service.declared", 0, `{"service":"shop","depends_on":["cart"]}`),
		deploys("d", "cart", "v2", onset-10*86400, ""))
	measure(t, client, "web", "shop", onset-600, onset, 0.5)
	known := digestOf(t, r, "incident", "i")
	again := NewSituations(client, spans)
	if digestOf(t, again, "incident", "i") != known {
		t.Error("two readers have two digests of one state")
	}
	for _, step := range []struct {
		what    string
		changes bool
		tell    func()
	}{
		{"a fact is said again", false, func() { tell(t, client, 1, deploys("d", "cart", "v2", onset-10*86400, "")) }},
		{"a deployment elsewhere", false, func() {
			tell(t, client, 1, said("x", "deployment.started", onset-60, `{"deployment_id":"x","service":"shop","environment":"test","version":"v"}`))
		}},
		{"a deployment after the window", false, func() { tell(t, client, 1, deploys("after", "shop", "v3", onset+1000, "")) }},
		{"a deployment that ended before the window", false, func() {
			tell(t, client, 2, finishes("over", "shop", "v0", onset-8*3600, "success"), deploys("over", "shop", "v0", onset-9*3600, ""))
		}},
		{"the end of a rollout after the window", false, func() { tell(t, client, 1, finishes("d", "cart", "v2", onset+2*86400, "success")) }},
		{"another incident", false, func() { tell(t, client, 1, incident("third", "shop")) }},
		{"a catalog of strangers", false, func() {
			tell(t, client, 1, said("far", "service.declared", 0, `{"service":"far","depends_on":["farther"],"aliases":["away"]}`))
		}},
		{"what somebody far away measured", false, func() { measure(t, client, "far", "farther", onset-600, onset, 0.9) }},
		{"what was measured a day before", false, func() { measure(t, client, "web", "shop", onset-86400, onset-86400+60, 0.9) }},
		{"a late fact", true, func() { tell(t, client, 1, deploys("late", "web", "v9", onset-30, "")) }},
		{"a stage of a rollout in progress, before the window", true, func() {
			tell(t, client, 1, said("stage", "deployment.progressed", onset-9*86400, `{"deployment_id":"d","service":"cart","environment":"prod","version":"v2","percent":50}`))
		}},
		{"a retraction", true, func() {
			tell(t, client, 1, said("sorry", "fact.retracted", onset+86400, `{"retracts":{"source":"test","id":"late started"}}`))
		}},
		{"another content of a fact", true, func() {
			tell(t, client, 2, deploys("d", "cart", "v4", onset-10*86400, ""), deploys("d", "cart", "v5", onset-10*86400, ""))
		}},
		{"a dependency", true, func() {
			tell(t, client, 1, said("c", "service.declared", 1, `{"service":"cart","depends_on":["stock"]}`))
		}},
		{"another name of a neighbour", true, func() {
			tell(t, client, 1, said("a", "identity.declared", 5, `{"kind":"service","canonical":"cart","alias":"basket"}`))
		}},
		{"a late measurement of a neighbour", true, func() { measure(t, client, "shop", "cart", onset-600, onset, 0.9) }},
		{"a measurement of the week before", true, func() { measure(t, client, "web", "shop", onset-7*86400, onset-7*86400+60, 0.9) }},
		{"a confirmed cause of before", true, func() {
			tell(t, client, 1, said("cc", "cause.confirmed", onset-86400, `{"incident_id":"past","cause_kind":"deployment","cause_id":"d","by":"me"}`))
		}},
		{"a confirmed cause of this incident", false, func() {
			tell(t, client, 1, said("cd", "cause.confirmed", onset+86400, `{"incident_id":"i","cause_kind":"deployment","cause_id":"d","by":"me"}`))
		}},
		{"an onset that moves", true, func() {
			tell(t, client, 1, said("moved", "incident.updated", onset+86400, `{"incident_id":"i","started_at":"`+at(onset-30)+`"}`))
		}},
	} {
		before := load(t, r, "incident", "i")
		step.tell()
		after := load(t, r, "incident", "i")
		if changed := after.Digest != before.Digest; changed != step.changes {
			t.Errorf("%s: the digest has changed: %v", step.what, changed)
		}
		before.Digest, before.Revision, before.State, before.KnownAt = after.Digest, after.Revision, after.State, after.KnownAt
		if diff := gocmp.Diff(sorted(before), sorted(after), cmpopts.EquateNaNs(), cmpopts.IgnoreTypes(EffectState{})); diff != "" && !step.changes {
			t.Errorf("%s: the situation has changed, and the digest has not:\n%s", step.what, diff)
		}
	}
}

// sorted is a situation with its measurements in an order.
func sorted(s *Situation) *Situation {
	for _, all := range [][]Measurement{s.Measurements, s.WeekBefore} {
		slices.SortFunc(all, func(a, b Measurement) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Callee, b.Callee))
		})
	}
	return s
}

func TestCallsAfterTheWindowsHourAreNoneOfAnEffects(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"))
	measure(t, client, "web", "shop", onset-600, onset, 0.5)
	measure(t, client, "bar", "cart", onset-600, onset, 0.5)
	before := load(t, r, "incident", "i")
	ends := int64(before.To-event.MinTime) / 1000
	nextHour := ends - ends%3600 + 3600 // MinTime is a whole hour
	measure(t, client, "shop", "cart", nextHour, nextHour+60, 0.9)
	evening := load(t, r, "incident", "i")
	if evening.Digest != before.Digest || len(evening.Measurements) != len(before.Measurements) {
		t.Errorf("traffic after it gives an effect %d measurements instead of %d, and another digest: %v",
			len(evening.Measurements), len(before.Measurements), evening.Digest != before.Digest)
	}
	// A call of the window's last hour makes a neighbour, and whoever is told of that hour looks at the effect.
	measure(t, client, "shop", "cart", nextHour-60, nextHour, 0.9)
	if late := load(t, r, "incident", "i"); late.Digest == before.Digest || len(late.Measurements) <= len(before.Measurements) {
		t.Errorf("%d measurements with a neighbour, %d without", len(late.Measurements), len(before.Measurements))
	}
	states, err := r.States(t.Context(), tables.EffectScope{Since: event.MinTime + event.Millis(nextHour-3600)*second - spans.After - 1}, nil, 10)
	if must(t, err); len(states) != 1 {
		t.Errorf("%d effects are looked at for its hour, want 1", len(states))
	}
}

func TestMeasurementsAreThoseOfTheServicesAroundAnEffect(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"), said("s", "service.declared", 0, `{"service":"shop","depends_on":["shop","cart"]}`),
		said("c", "service.declared", 0, `{"service":"cart","depends_on":["stock"]}`),
		said("b", "service.declared", 0, `{"service":"stock","depends_on":["cart"],"aliases":["old-stock"]}`))
	for _, edge := range [][2]string{{"web", "shop"}, {"shop", "cart"}, {"cart", "old-stock"}, {"stock", "shop"}, {"far", "farther"}, {"farther", "far"}} {
		measure(t, client, edge[0], edge[1], onset-1800, onset+1200, 0.99)
	}
	measure(t, client, "web", "shop", onset-7*86400, onset-7*86400+300, 0.5)
	// Two contents of one measurement: the greater hash counts.
	measure(t, client, "web", "shop", onset-600, onset-540, 0.25)
	s := load(t, r, "incident", "i")
	edges := map[string]int{}
	for _, m := range s.Measurements {
		edges[m.Caller+" "+m.Callee]++
		if m.At < s.From || m.At >= s.To || m.Requests != 10 || m.Success != 0.99 || !math.IsNaN(m.CPU) || m.Service != m.Callee {
			t.Fatalf("%+v", m)
		}
	}
	n := int((s.To - s.From) / minute)
	if s.To-s.From != 31*minute+30*second {
		t.Errorf("a window of %d ms", s.To-s.From)
	}
	for _, edge := range []string{"web shop", "shop cart", "cart stock", "stock shop"} {
		if edges[edge] < n || edges[edge] > n+1 {
			t.Errorf("%d measurements of %s, want one a minute, %d", edges[edge], edge, n)
		}
	}
	if len(edges) != 4 {
		t.Errorf("edges %v", edges)
	}
	want := map[string][]string{"web": {"shop"}, "shop": {"cart", "shop"}, "cart": {"stock"}, "stock": {"cart", "shop"}}
	if diff := gocmp.Diff(want, s.DependsOn); diff != "" {
		t.Error(diff)
	}
	if len(s.WeekBefore) != 5 || s.WeekBefore[0].Success != 0.5 || s.WeekBefore[0].Requests != 10 || s.WeekBefore[0].Interval != 60_000 {
		t.Errorf("%d of a week before: %+v", len(s.WeekBefore), s.WeekBefore)
	}
}

// acts stores what a user did at a second, and how long it took.
func acts(t testing.TB, client *Client, service string, at int64, took, weight float64) {
	t.Helper()
	o := *observation("users "+service, int(at), event.MinTime+event.Millis(at)*second)
	o.Type, o.Name, o.Service, o.Environment, o.OK = event.Prefix+"behavior.recorded", "buy", service, "prod", event.False
	o.DurationMS, o.Weight, o.Version, o.Instance = took, weight, "v1", ""
	block, touches := tables.NewObservations(), tables.NewTouches()
	block.Append(&o, &event.Enrichment{CanonicalService: service})
	touches.Append(&tables.Minute{Service: service, Environment: "prod", Start: tables.MinuteOf(o.Time), Touch: uint64(at)*7919 + 1, Rows: 1})
	must(t, client.Insert(t.Context(), block, fmt.Sprint("acts", service, at)))
	must(t, client.Insert(t.Context(), touches, fmt.Sprint("acts touch", service, at)))
}

func TestWhatUsersDidInTheMinuteThatEndsWithTheWindowsBeginningIsInItsDigest(t *testing.T) {
	client, r := situations(t)
	whole := onset - onset%60
	tell(t, client, 1, said("o", "incident.opened", whole+60, fmt.Sprintf(
		`{"incident_id":"i","service":"shop","environment":"prod","started_at":%q}`, at(whole))))
	acts(t, client, "shop", whole, 10, 1)
	before := load(t, r, "incident", "i")
	acts(t, client, "shop", whole-25*60-20, 10, 1)
	after := load(t, r, "incident", "i")
	if len(before.Measurements) != 1 || len(after.Measurements) != 2 || before.Digest == after.Digest {
		t.Errorf("%d measurements, then %d, and another digest: %v", len(before.Measurements), len(after.Measurements), before.Digest != after.Digest)
	}
}

func TestSumsOfWhatUsersDidAreTheSameInAnyOrder(t *testing.T) {
	client, r := situations(t)
	whole := onset - onset%60
	amounts := []float64{1e16, 1, 0.1, 3, 0.7, 1e15, 2.3}
	for i, name := range []string{"forth", "back"} {
		tell(t, client, 1, incident(name, name))
		for j := range amounts {
			amount := amounts[j]
			if i == 1 {
				amount = amounts[len(amounts)-1-j]
			}
			acts(t, client, name, whole+int64(j), amount, amount)
		}
	}
	forth, back := load(t, r, "incident", "forth").Measurements, load(t, r, "incident", "back").Measurements
	if len(forth) != 1 || len(back) != 1 {
		t.Fatalf("%d and %d measurements", len(forth), len(back))
	}
	back[0].Service, back[0].Callee = forth[0].Service, forth[0].Callee
	if diff := gocmp.Diff(forth[0], back[0], cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestTooManyMeasurementsArePutTogetherByTheMinuteFromFarToNear(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"))
	// Two a minute of each edge; cart is called, and stock by cart.
	for _, edge := range [][2]string{{"web", "shop"}, {"shop", "cart"}, {"cart", "stock"}} {
		measure(t, client, edge[0], edge[1], onset-600, onset, 0.9)
		measure(t, client, edge[0], edge[1], onset-599, onset, 0.9)
	}
	acts(t, client, "stock", onset-300, 10, 1)
	for _, c := range []struct {
		most   int
		coarse bool
		single string // edges of which each measurement is read
	}{
		{1000, false, "cart stock"}, {61, false, "cart stock"}, {50, true, "shop cart"}, {5, true, ""},
	} {
		r.most = c.most
		s := load(t, r, "incident", "i")
		instances, rows := map[string]int{}, map[string]int{}
		for _, m := range s.Measurements {
			rows[m.Caller+" "+m.Callee]++
			if m.Instance == "pod" {
				instances[m.Caller+" "+m.Callee]++
			}
		}
		if s.Coarse != c.coarse || rows["(users) stock"] != 1 {
			t.Errorf("at most %d: coarse %v, %d rows of users", c.most, s.Coarse, rows["(users) stock"])
		}
		for _, edge := range []string{"web shop", "shop cart", "cart stock"} {
			single := c.single == "cart stock" || c.single == "shop cart" && edge != "cart stock"
			if n := rows[edge]; single && (n != 20 || instances[edge] != 20) || !single && (n < 10 || n > 11 || instances[edge] != 0) {
				t.Errorf("at most %d: %d rows of %s, %d of them of an instance", c.most, n, edge, instances[edge])
			}
		}
	}
}

func TestAnEffectOfWhichLittleIsKnownHasASituation(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("unknown", "nobody-knows"),
		said("bare", "incident.resolved", onset, `{"incident_id":"bare"}`),
		said("a", "alert.fired", onset, `{"alert_id":"a","service":"shop","environment":"prod","summary":"high"}`),
		said("f", "finding.opened", onset, `{"finding_id":"f","kind":"audit","rule":"r","severity":"low"}`),
		said("quoted", "incident.opened", onset, `{"incident_id":"it's \\ \"i\"","service":"'); DROP","environment":"prod'"}`))
	for _, key := range [][2]string{{"incident", "unknown"}, {"incident", "bare"}, {"alert", "a"}, {"finding", "f"}, {"incident", `it's \ "i"`}} {
		s := load(t, r, key[0], key[1])
		if len(s.Candidates)+len(s.Measurements)+len(s.WeekBefore) != 0 || s.Effect.Onset > s.Effect.Detected || s.Digest == 0 {
			t.Errorf("%v: %+v", key, s)
		}
	}
	if s, err := r.Load(t.Context(), tables.EffectKey{Kind: "incident", ID: "none"}); s != nil || err != nil {
		t.Errorf("an incident that nobody spoke of: %+v, %v", s, err)
	}
}

func TestAFindingAndItsBreachBlameTheChangeThatIntroducedIt(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1,
		said("c", "change.merged", onset-90*86400, `{"change_id":"pr-1","repository":"git","revision":"bad","merged_at":"`+at(onset-90*86400)+`"}`),
		deploys("d", "shop", "v2", onset-80*86400, `,"revisions":["bad"]`), finishes("d", "shop", "v2", onset-80*86400+60, "success"),
		deploys("remedy", "shop", "v3", onset+86400, `,"revisions":["bad","good"]`),
		said("s", "service.declared", 0, `{"service":"shop","repositories":["git"]}`),
		said("f", "finding.opened", onset, `{"finding_id":"f","kind":"vulnerability","rule":"CVE","severity":"high","repository":"git","revision_introduced":"bad"}`),
		said("b", "breach.detected", onset, `{"breach_id":"b","service":"shop","environment":"prod","severity":"high","finding_id":"f","started_at":"`+at(onset-3600)+`"}`))
	for _, key := range [][2]string{{"finding", "f"}, {"breach", "b"}} {
		s := load(t, r, key[0], key[1])
		if diff := gocmp.Diff([]string{"change pr-1", "deployment d", "deployment remedy"}, ids(s)); diff != "" {
			t.Errorf("%s: %s", key[0], diff)
		}
		if s.Effect.Service != "shop" {
			t.Errorf("%s of %q", key[0], s.Effect.Service)
		}
	}
	if s := load(t, r, "breach", "b"); s.Effect.Introduced != "f" || s.Effect.Revision != "bad" || s.Effect.Detected-s.Effect.Onset != hour {
		t.Errorf("%+v", s.Effect)
	}
}

func TestAnotherNameOfWhatAFindingBlamesIsInItsDigest(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1,
		deploys("d", "basket", "v2", onset-80*86400, `,"revisions":["bad"]`), finishes("d", "basket", "v2", onset-80*86400+60, "success"),
		said("f", "finding.opened", onset, `{"finding_id":"f","kind":"vulnerability","rule":"CVE","severity":"high","revision_introduced":"bad"}`))
	before := load(t, r, "finding", "f")
	tell(t, client, 1, said("a", "identity.declared", 5, `{"kind":"service","canonical":"cart","alias":"basket"}`))
	after := load(t, r, "finding", "f")
	if before.Candidates[0].Service != "basket" || after.Candidates[0].Service != "cart" || before.Digest == after.Digest {
		t.Errorf("it blames a deployment of %s, then of %s, and another digest: %v",
			before.Candidates[0].Service, after.Candidates[0].Service, before.Digest != after.Digest)
	}
}

func TestAWayIsKnownToWhatWasChangedFarAway(t *testing.T) {
	client, r := situations(t)
	facts := []event.Fact{incident("i", "s0"), deploys("d", "s8", "v2", onset-120, "")}
	for k := range 9 {
		facts = append(facts, said(fmt.Sprint("s", k), "service.declared", 0, fmt.Sprintf(`{"service":"s%d","depends_on":["s%d","by the way %d"]}`, k, k+1, k)))
	}
	tell(t, client, 20, facts...)
	before := load(t, r, "incident", "i")
	for k := range 8 {
		if !slices.Contains(before.DependsOn[fmt.Sprint("s", k)], fmt.Sprint("s", k+1)) {
			t.Errorf("s%d calls %v", k, before.DependsOn[fmt.Sprint("s", k)])
		}
	}
	tell(t, client, 1, said("aside", "service.declared", 1, `{"service":"by the way 7","depends_on":["far"]}`))
	if aside := load(t, r, "incident", "i"); aside.Digest != before.Digest {
		t.Error("the digest is another one for a call that leads nowhere")
	}
	tell(t, client, 1, said("cut", "service.declared", 1, `{"service":"s7","depends_on":[]}`))
	if cut := load(t, r, "incident", "i"); cut.Digest == before.Digest || len(cut.DependsOn["s7"]) > 0 {
		t.Errorf("s7 calls %v, and another digest: %v", cut.DependsOn["s7"], cut.Digest != before.Digest)
	}
}

func TestAProviderIsAServiceWhereItIsKnownAsOne(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 5, incident("i", "shop"), said("s", "service.declared", 0, `{"service":"shop","depends_on":["pay"]}`),
		said("p", "provider.degraded", onset-100, `{"provider":"pay","component":"cards","severity":"high"}`),
		said("q", "provider.degraded", onset-100, `{"provider":"cloud","component":"disks","severity":"high"}`))
	before := load(t, r, "incident", "i")
	if got := [2]string{before.Candidates[0].Service, before.Candidates[1].Service}; got != [2]string{"", "pay"} {
		t.Errorf("cloud and pay are the services %q", got)
	}
	tell(t, client, 1, said("c", "service.declared", 1, `{"service":"far","depends_on":["cloud"]}`))
	if after := load(t, r, "incident", "i"); after.Candidates[0].Service != "cloud" || after.Digest == before.Digest {
		t.Errorf("cloud is the service %q, and another digest: %v", after.Candidates[0].Service, after.Digest != before.Digest)
	}
}

func TestWhatWasConfirmedBeforeIsRemembered(t *testing.T) {
	client, r := situations(t)
	confirmed := func(incident string, second int64, cause string) event.Fact {
		return said("cc"+incident+cause, "cause.confirmed", second, fmt.Sprintf(
			`{"incident_id":%q,"cause_kind":"deployment","cause_id":%q,"by":"me"}`, incident, cause))
	}
	tell(t, client, 1, incident("i", "shop"), deploys("d", "shop", "v2", onset-60, ""), deploys("e", "cart", "v2", onset-60, ""),
		said("p1", "incident.opened", onset-9*86400, `{"incident_id":"p1","service":"shop","environment":"prod"}`),
		said("p2", "incident.opened", onset-9*86400, `{"incident_id":"p2","service":"shop","environment":"prod"}`),
		deploys("past", "shop", "v1", onset-9*86400, ""), finishes("past", "shop", "v1", onset-9*86400+60, "success"),
		deploys("else", "cart", "v1", onset-9*86400, ""), finishes("else", "cart", "v1", onset-9*86400+60, "success"),
		confirmed("p1", onset-8*86400, "past"), confirmed("p2", onset-8*86400, "past"), confirmed("p2", onset-7*86400, "else"),
		confirmed("i", onset+86400, "d"))
	for _, c := range load(t, r, "incident", "i").Candidates {
		want := map[string][2]int{"shop": {1, 1}, "cart": {1, 0}}[c.Service]
		if got := [2]int{c.Confirmed, c.Refuted}; got != want {
			t.Errorf("%s: confirmed and refuted %v, want %v", c.Service, got, want)
		}
	}
}

func TestWhatIsSaidLaterOfAConfirmedCauseChangesTheRecord(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"), deploys("e", "cart", "v2", onset-60, ""),
		said("p1", "incident.opened", onset-9*86400, `{"incident_id":"p1","service":"shop","environment":"prod"}`),
		said("cc", "cause.confirmed", onset-8*86400, `{"incident_id":"p1","cause_kind":"flag","cause_id":"fl","by":"me"}`),
		said("p2", "incident.opened", onset-9*86400, `{"incident_id":"p2","service":"web","environment":"prod"}`),
		said("cd", "cause.confirmed", onset-7*86400, `{"incident_id":"p2","cause_kind":"configuration","cause_id":"conf","by":"me"}`))
	for _, step := range []struct {
		what, id string
		fact     event.Fact
		record   [2]int // of cart
	}{
		{"the flag is changed weeks later", "fl", said("fl", "flag.changed", onset+20*86400, `{"flag":"fl","environment":"prod","services":["cart"],"rules":{"on": 50}}`), [2]int{1, 0}},
		{"the configuration is said to be of cart", "conf", said("conf", "configuration.changed", onset+21*86400, `{"change_id":"conf","service":"cart","environment":"prod"}`), [2]int{2, 0}},
		{"another flag", "other", said("other", "flag.changed", onset+22*86400, `{"flag":"other","environment":"prod","services":["cart"],"rules":{"on": 50}}`), [2]int{2, 0}},
	} {
		before := digestOf(t, r, "incident", "i")
		tell(t, client, 1, step.fact)
		s := load(t, r, "incident", "i")
		changed := step.id != "other"
		if (s.Digest != before) != changed {
			t.Errorf("%s: the digest has changed: %v", step.what, s.Digest != before)
		}
		if got := [2]int{s.Candidates[0].Confirmed, s.Candidates[0].Refuted}; got != step.record {
			t.Errorf("%s: confirmed and refuted %v, want %v", step.what, got, step.record)
		}
		states, err := r.States(t.Context(), tables.EffectScope{Since: event.Forever}, []string{step.id}, 10)
		if must(t, err); slices.ContainsFunc(states, func(s EffectState) bool { return s.Key.ID == "i" }) != changed {
			t.Errorf("%s: %d effects are looked at", step.what, len(states))
		}
	}
}

func TestAConflictThatTakesTheWinnersPlaceIsASign(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 2, deploys("d", "cart", "v4", onset, ""), deploys("d", "cart", "v5", onset, ""))
	before, err := r.Signs(t.Context(), 0)
	must(t, err)
	again, err := r.Signs(t.Context(), 0)
	if must(t, err); again.Conflicts != before.Conflicts {
		t.Error("it is another sign while nothing has changed")
	}
	// One conflict goes and another one comes.
	must(t, client.exec(t.Context(), "TRUNCATE TABLE whence.conflicts", nil))
	tell(t, client, 2, deploys("e", "cart", "v4", onset, ""), deploys("e", "cart", "v5", onset, ""))
	after, err := r.Signs(t.Context(), 0)
	if must(t, err); after.Conflicts == before.Conflicts {
		t.Error("one conflict looks like another")
	}
}

func TestRankingsAreStoredOnceAndTheLastIsShown(t *testing.T) {
	client, r := situations(t)
	tell(t, client, 1, incident("i", "shop"))
	key := tables.EffectKey{Kind: "incident", ID: "i"}
	ranking := func(number, digest uint64, p float64) *tables.Ranking {
		return &tables.Ranking{
			EffectKind: key.Kind, EffectID: key.ID, Number: number, Service: "shop", Environment: "prod", Onset: event.MinTime, Detected: event.MinTime,
			Digest: digest, Model: "m/1", Revision: 7, ComputedAt: event.MinTime + event.Millis(number), Links: []tables.Link{
				{CauseKind: "deployment", CauseID: "d'1", Service: "shop", Rank: 1, Probability: p, LogOdds: -0.5, Evidence: `[{"term":"a\\b'"}]`},
				{CauseKind: "none", Rank: 2, Probability: 1 - p, Evidence: "[]"},
			},
		}
	}
	for range 2 {
		must(t, client.StoreRanking(t.Context(), ranking(1, 11, 0.75)))
	}
	must(t, client.StoreRanking(t.Context(), ranking(2, 12, 0.5)))
	want := []string{"incident\ti\tshop\tdeployment\td'1\tshop\t1\t0.5\t-0.5\t[{\"term\":\"a\\\\b'\"}]\t7\tm/1\t2", "incident\ti\tshop\tnone\t\t\t2\t0.5\t0\t[]\t7\tm/1\t2"}
	const columns = "effect_kind, effect_id, service, cause_kind, cause_id, cause_service, rank, probability, log_odds, evidence, revision, model, ranking"
	if diff := gocmp.Diff(want, lines(t, client, "SELECT "+columns+" FROM whence.links ORDER BY rank")); diff != "" {
		t.Error(diff)
	}
	if n := answer[uint64](t, client, "SELECT count() FROM whence.links_history"); n != 4 {
		t.Errorf("%d rows of two rankings of two", n)
	}
	if n := answer[uint64](t, client, "SELECT count() FROM whence_state.rankings FINAL"); n != 2 {
		t.Errorf("%d rows of two rankings, one of them stored twice", n)
	}
	states, err := r.States(t.Context(), tables.EffectScope{Since: event.Always}, nil, 10)
	must(t, err)
	if len(states) != 1 || states[0].Number != 2 || states[0].Ranked != 12 || states[0].Model != "m/1" {
		t.Errorf("%+v", states)
	}
	unpublished := func() []tables.Ranking {
		all, err := client.UnpublishedRankings(t.Context(), 10)
		must(t, err)
		return all
	}
	if diff := gocmp.Diff([]tables.Ranking{*ranking(2, 12, 0.5)}, unpublished()); diff != "" {
		t.Error(diff)
	}
	must(t, client.RankingPublished(t.Context(), key, 2))
	if left := unpublished(); len(left) != 0 {
		t.Errorf("published: %+v", left)
	}
	if err := client.StoreRanking(t.Context(), ranking(3, 13, math.NaN())); err == nil {
		t.Error("a probability that is no number is stored")
	}
	// The incident is taken back, and a ranking without links says so.
	tell(t, client, 1, said("sorry", "fact.retracted", onset, `{"retracts":{"source":"test","id":"opened i"}}`))
	gone, err := r.Vanished(t.Context(), 10)
	must(t, err)
	if len(gone) != 1 || gone[0].Key != key || gone[0].Number != 2 {
		t.Errorf("gone: %+v", gone)
	}
	empty := ranking(3, 0, 0)
	empty.Links = nil
	must(t, client.StoreRanking(t.Context(), empty))
	if n := answer[uint64](t, client, "SELECT count() FROM whence.links"); n != 0 {
		t.Errorf("%d links of an incident that never was", n)
	}
	if gone, err = r.Vanished(t.Context(), 10); err != nil || len(gone) != 0 {
		t.Errorf("gone still: %+v, %v", gone, err)
	}
}

func TestARankingWhoseFirstAttemptHasFailedIsStoredByTheNext(t *testing.T) {
	client, _ := situations(t)
	k := &tables.Ranking{
		EffectKind: "incident", EffectID: "spent", Number: 1, Digest: 5, Model: "m", ComputedAt: event.MinTime, Onset: event.MinTime,
		Detected: event.MinTime, Links: []tables.Link{{CauseKind: "none", Rank: 1, Probability: 1, Evidence: "[]"}},
	}
	unmovable(t, client, "whence_state", "rankings", func() {
		if err := client.StoreRanking(t.Context(), k); err == nil {
			t.Fatal("the ranking is stored")
		}
	})
	must(t, client.StoreRanking(t.Context(), k))
	if n := answer[uint64](t, client, "SELECT count() FROM whence.links WHERE effect_id = 'spent'"); n != 1 {
		t.Errorf("%d links of a ranking that was acknowledged, want 1", n)
	}
}

func TestEffectsAreListedPageByPageTheLatestFirst(t *testing.T) {
	client, r := situations(t)
	var facts []event.Fact
	for i := range 7 {
		facts = append(facts, said(fmt.Sprint(i), "alert.fired", onset+int64(i/2), fmt.Sprintf(`{"alert_id":"a%d","service":"s","environment":"prod"}`, i)))
	}
	tell(t, client, 7, facts...)
	var seen []string
	scope := tables.EffectScope{Since: event.Always}
	for {
		states, err := r.States(t.Context(), scope, nil, 3)
		must(t, err)
		for _, s := range states {
			seen = append(seen, s.Key.ID)
		}
		if len(states) < 3 {
			break
		}
		scope.Before, scope.BeforeDetected = states[2].Key, states[2].Detected
	}
	if diff := gocmp.Diff([]string{"a6", "a5", "a4", "a3", "a2", "a1", "a0"}, seen); diff != "" {
		t.Error(diff)
	}
	named := tables.EffectScope{Since: event.MinTime + event.Millis(onset)*second + 2*second, Effects: []tables.EffectKey{{Kind: "alert", ID: "a0"}}}
	states, err := r.States(t.Context(), named, nil, 10)
	must(t, err)
	if len(states) != 2 || states[0].Key.ID != "a6" || states[1].Key.ID != "a0" {
		t.Errorf("%+v", states)
	}
}

package clickhouse

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	if diff := cmp.Diff(want, ids(s)); diff != "" {
		t.Error(diff)
	}
	i := slices.IndexFunc(s.Candidates, func(c Candidate) bool { return c.ID == "just" })
	began := event.MinTime + event.Millis(onset-120)*second
	just := Candidate{
		Kind: "deployment", ID: "just", Service: "shop", Version: "v2", Began: began, Revisions: []string{"r1"}, Changes: []string{"pr-1"},
		Size: 12, Summary: "Faster",
		Stages: []Stage{{At: began, Percent: 10, Added: []string{"pod-2"}}, {At: began + minute, Percent: 50}},
	}
	if diff := cmp.Diff(just, s.Candidates[i]); diff != "" {
		t.Errorf("what is known by then of a rollout in progress: %s", diff)
	}
	if s.Effect.Onset != began+2*minute || s.Effect.Detected != began+3*minute {
		t.Errorf("%+v", s.Effect)
	}
}

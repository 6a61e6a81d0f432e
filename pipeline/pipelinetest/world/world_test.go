package world

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

var small = Shape{Seed: 3, Observations: 60_000, PerSecond: 10}

func everything(t testing.TB, s Shape) (all []Said) {
	t.Helper()
	w := New(s)
	for said := w.Next(); said != nil; said = w.Next() {
		all = append(all, said...)
	}
	return append(all, w.Rest()...)
}

// read decodes what was said, as the pipeline does.
func read(t testing.TB, said []Said) *codec.Events {
	t.Helper()
	var events codec.Events
	var d codec.Decoder
	for i, s := range said {
		if s.What == Bad {
			continue
		}
		if err := d.Decode(&events, event.Provenance{Offset: int64(i)}, s.Message.Value, s.Headers); err != nil {
			t.Fatalf("%s: %v", s.Message.Value, err)
		}
	}
	return &events
}

func TestASeedSaysTheSameTwiceAndAnotherSomethingElse(t *testing.T) {
	s := Shape{Seed: 3, Observations: 2000, PerSecond: 10}
	a, b := everything(t, s), everything(t, s)
	if !reflect.DeepEqual(a, b) {
		t.Error("two worlds of one seed differ")
	}
	s.Seed = 4
	if reflect.DeepEqual(a, everything(t, s)) {
		t.Error("two seeds say the same")
	}
}

func TestEveryObservationIsWhatItsNumberSays(t *testing.T) {
	all := everything(t, small)
	w := New(small)
	events := read(t, all)
	seen := map[uint64]bool{}
	for _, o := range events.Observations {
		said := all[o.Offset]
		seen[said.Number] = true
		want := w.Observation(said.Number)
		own, twin := w.Hashes(said.Number)
		if said.Twin {
			want, own = w.Twin(said.Number), twin
		}
		if o.Hash != own {
			t.Fatalf("observation %d: its hash is %d, want %d", said.Number, o.Hash, own)
		}
		if have := fmt.Sprint(stated(o)); have != fmt.Sprint(stated(want)) || said.Worth != worth(&want) {
			t.Fatalf("observation %d:\nhave %s\nwant %v", said.Number, have, stated(want))
		}
	}
	if uint64(len(seen)) != small.Observations {
		t.Errorf("%d of %d observations are said", len(seen), small.Observations)
	}
}

func stated(o event.Observation) []any {
	return []any{o.Type, o.Source, o.ID, o.Time, o.Name, o.Service, o.Environment, o.Version, o.Instance, o.User, o.Experiment, o.Variant, o.Message, o.OK,
		o.DurationMS, o.Value, o.IntervalMS, o.Requests, o.Errors, o.UnitID, o.AnonymousID, o.Fingerprint, o.Extensions}
}

func TestAnswersAreThoseOfTheModel(t *testing.T) {
	events := read(t, everything(t, small))
	answers, plain := model.NewAnswers(events.Facts), model.New(events.Facts)
	enriched := map[string]int{}
	for i := 0; i < len(events.Observations); i += 59 {
		o := events.Observations[i]
		have, want := answers.Of(o), plain.Answer(o)
		if fmt.Sprintf("%+v", have) != fmt.Sprintf("%+v", want) {
			t.Fatalf("of %+v:\nhave %+v\nwant %+v", o, have, want)
		}
		count(enriched, want)
	}
	t.Logf("%d facts, %d observations, %d answers kept, of %d asked: %v", len(events.Facts), len(events.Observations), answers.Kept(), len(events.Observations)/59, enriched)
	for _, column := range []string{"deployment", "previous", "rollouts", "changes", "flags", "incidents", "findings", "owner"} {
		if enriched[column] == 0 {
			t.Errorf("no observation has %s", column)
		}
	}
}

func count(n map[string]int, e event.Enrichment) {
	for column, there := range map[string]bool{
		"deployment": e.DeploymentID != "", "previous": e.PreviousVersion != "", "rollouts": len(e.RolloutIDs) > 0,
		"changes": len(e.ChangeIDs) > 0, "flags": len(e.Flags) > 0, "incidents": len(e.IncidentIDs) > 0,
		"findings": len(e.FindingIDs) > 0, "owner": e.Owner != "",
	} {
		if there {
			n[column]++
		}
	}
}

func TestTheBadAreBuriedForTheReasonThatIsSaid(t *testing.T) {
	w := New(small)
	d := codec.Decoder{MaxDepth: 64}
	kinds := map[string]bool{}
	for _, said := range w.Burial() {
		if said.What != Bad || said.Reason == "too_large" {
			continue
		}
		kinds[said.Reason] = true
		var events codec.Events
		err := d.Decode(&events, event.Provenance{}, said.Message.Value, said.Headers)
		for i := range events.Observations {
			err = codec.CheckObservation(&events.Observations[i])
		}
		if len(events.Facts) > 0 { // checked by validate
			continue
		}
		if err == nil || string(codec.FaultOf(err).Reason) != said.Reason {
			t.Errorf("%.80q: %v, want %s", said.Message.Value, err, said.Reason)
		}
	}
	if len(kinds) < 9 {
		t.Errorf("only %v", kinds)
	}
}

func BenchmarkNext(b *testing.B) {
	w := New(Shape{Seed: 1, Observations: 1 << 40, PerSecond: 100})
	n := 0
	for b.Loop() {
		n += len(w.Next())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

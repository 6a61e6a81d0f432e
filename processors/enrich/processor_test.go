package enrich_test

import (
	"context"
	"errors"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/enrich"
	"github.com/whencehq/whence/schemas/event"
)

var _ pipeline.Processor = (*enrich.Processor)(nil)

// asIs answers every observation with its own service, at revision 7.
type asIs struct{}

func (asIs) Enrich(_ context.Context, obs []event.Observation, out []event.Enrichment) (uint64, error) {
	for i := range obs {
		out[i] = event.Enrichment{CanonicalService: obs[i].Service}
	}
	return 7, nil
}

// mute has no answer.
type mute struct{}

var errMute = errors.New("mute")

func (mute) Enrich(context.Context, []event.Observation, []event.Enrichment) (uint64, error) {
	return 0, errMute
}

func TestABatchFailsWhereTheTimelineHasNoAnswer(t *testing.T) {
	b := &pipeline.Batch{Observations: []event.Observation{{Service: "a"}}}
	if err := (&enrich.Processor{Timeline: mute{}}).Process(t.Context(), b); !errors.Is(err, errMute) {
		t.Fatal(err)
	}
}

func TestEveryObservationIsEnrichedInItsPlace(t *testing.T) {
	b := &pipeline.Batch{
		Observations: []event.Observation{{Service: "a"}, {Service: "b"}},
		Enrichments:  []event.Enrichment{{Owner: "left over"}, {}, {}},
	}
	if err := (&enrich.Processor{Timeline: asIs{}}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Enrichments) != 2 || b.Enrichments[0].CanonicalService != "a" || b.Enrichments[1].CanonicalService != "b" {
		t.Fatalf("got %+v", b.Enrichments)
	}
	if b.Enrichments[0].Owner != "" || b.Revision != 7 {
		t.Fatalf("owner %q, revision %d", b.Enrichments[0].Owner, b.Revision)
	}
}

func TestABatchWithoutObservationsGetsTheRevision(t *testing.T) {
	b := &pipeline.Batch{}
	if err := (&enrich.Processor{Timeline: asIs{}}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if b.Revision != 7 || len(b.Enrichments) != 0 {
		t.Fatalf("revision %d, %d enrichments", b.Revision, len(b.Enrichments))
	}
}

func TestTheStageIsCalledEnrich(t *testing.T) {
	if name := (&enrich.Processor{}).Name(); name != "enrich" {
		t.Fatal(name)
	}
}

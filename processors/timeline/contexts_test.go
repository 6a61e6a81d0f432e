package timeline_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// assemble puts an enrichment together from contexts and servings, as the
// statement that corrects rows does it.
func assemble(contexts []event.Context, servings []event.Serving, o event.Observation) event.Enrichment {
	var c event.Context
	for _, k := range contexts {
		if k.Service == o.Service && k.Environment == o.Environment && k.Since <= o.Time && k.Since >= c.Since {
			c = k
		}
	}
	var s *event.Serving
	for i, k := range servings {
		stated := o.Version != "" && k.Version == o.Version || o.Version == "" && o.Instance != "" && k.Instance == o.Instance
		if k.Service == o.Service && k.Environment == o.Environment && stated && k.Since <= o.Time && (s == nil || k.Since >= s.Since) {
			s = &servings[i]
		}
	}
	e, started := c.Enrichment, c.StartedAt
	if o.Version != "" || s != nil && s.DeploymentID != "" {
		e.DeploymentID, e.DeployedVersion, e.PreviousVersion = s.DeploymentID, s.DeployedVersion, s.PreviousVersion
		e.ChangeIDs, started = s.ChangeIDs, s.StartedAt
	}
	if o.Version != "" && e.DeploymentID == "" {
		e.DeployedVersion = o.Version
	}
	e.DeploymentAgeMS = event.NoAge
	if started != 0 {
		e.DeploymentAgeMS = int64(o.Time - started)
	}
	return e
}

func TestContextsAndServingsSayWhatEnrichDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := timeline.New()
		tl.Apply(rapid.SliceOfN(rapid.Custom(anyFact), 1, 40).Draw(t, "facts"))
		obs := sample(t)
		var stale []event.Stale
		for _, o := range obs {
			stale = append(stale, event.Stale{
				Service: o.Service, Environment: o.Environment, First: 1, Last: 15,
				Versions: []string{"v1", "1", "abcdef1", "abcdef12", "v9"}, Instances: []string{"i1", "i2", "i9"},
			})
		}
		contexts, servings, _, ok := tl.Contexts(stale, 1_000_000)
		if !ok {
			t.Fatal("too many")
		}
		for _, o := range slices.DeleteFunc(obs, func(o event.Observation) bool { return o.Time < 1 }) {
			want := make([]event.Enrichment, 1)
			tl.Enrich([]event.Observation{o}, want)
			if got := assemble(contexts, servings, o); said(got) != said(want[0]) {
				t.Fatalf("%+v\n got %s\nwant %s", o, said(got), said(want[0]))
			}
		}
	})
}

func TestMoreContextsThanTheLimitAreRefused(t *testing.T) {
	tl := timeline.New()
	tl.Apply(slices.Concat(life("d1", "1", 100), life("d2", "2", 200)))
	stale := []event.Stale{{Service: "shop", Environment: "prod", First: 1, Last: 500}}
	// From ever, 100, 110, 200 and 210, and two of them list a rollout.
	if _, _, _, ok := tl.Contexts(stale, 6); ok {
		t.Error("seven entries are taken for six")
	}
	if contexts, _, _, ok := tl.Contexts(stale, 7); !ok || len(contexts) != 5 {
		t.Errorf("%d contexts, %v", len(contexts), ok)
	}
}

package timeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// covers is the meaning of a region, written plainly.
func covers(r event.Region, o event.Observation) bool {
	return (r.Services == nil || slices.Contains(r.Services, o.Service)) &&
		(r.AnyEnvironment || r.Environment == o.Environment) &&
		r.From <= o.Time && o.Time < r.To &&
		(r.Version == "" || r.Version == o.Version) &&
		(r.Instance == "" || o.Version == "" && r.Instance == o.Instance)
}

func answers(tl *timeline.Timeline, obs []event.Observation) []string {
	out := make([]event.Enrichment, len(obs))
	tl.Enrich(obs, out)
	all := make([]string, len(obs))
	for i := range out {
		all[i] = said(out[i])
	}
	return all
}

func TestEveryAnswerThatABatchChangesLiesInAPendingRegion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(anyFact), 1, 30).Draw(t, "facts")
		obs := sample(t)
		tl := timeline.New()
		known := rapid.IntRange(0, len(facts)-1).Draw(t, "known before")
		tl.Apply(facts[:known])
		tl.Journal()
		revision := uint64(0)
		for rest := facts[known:]; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			batch := slices.Clone(rest[:n])
			rest = rest[n:]
			revision++
			for i := range batch {
				batch[i].Revision = revision
			}
			before := answers(tl, obs)
			tl.Apply(batch)
			regions := tl.Pending(revision)
			for i, after := range answers(tl, obs) {
				covered := slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, obs[i]) })
				if before[i] != after && !covered {
					t.Fatalf("%+v\nwas %s\nnow %s\nand is in none of %+v", obs[i], before[i], after, regions)
				}
			}
			tl.Forget(revision)
		}
	})
}

// life is the facts of a deployment of shop that starts at t and is complete
// ten later.
func life(id, version string, t event.Millis) []event.Fact {
	d := func(stage event.Stage) *event.Deployment {
		return &event.Deployment{Stage: stage, DeploymentID: id, Service: "shop", Environment: "prod", Version: version, Percent: event.Unknown}
	}
	finished := d(event.Finished)
	finished.Outcome = "success"
	return []event.Fact{named(id+"s", uint64(t), at(t, d(event.Started))), named(id+"f", uint64(t+1), at(t+10, finished))}
}

// pendingAfter is what facts leave pending on a timeline that knows others.
func pendingAfter(known []event.Fact, batches ...[]event.Fact) []string {
	tl := timeline.New()
	tl.Apply(known)
	tl.Journal()
	for i, b := range batches {
		for j := range b {
			b[j].Revision = uint64(i + 1)
		}
		tl.Apply(b)
	}
	var all []string
	for _, r := range tl.Pending(uint64(len(batches))) {
		until := fmt.Sprint(r.To)
		if r.To == event.Forever {
			until = "ever"
		}
		from := fmt.Sprint(r.From)
		if r.From == event.Always {
			from = "ever"
		}
		all = append(all, fmt.Sprintf("%v/%s %s-%s %s%s", r.Services, r.Environment, from, until, r.Version, r.Instance))
	}
	slices.Sort(all)
	return all
}

func TestAFactThatComesOnTimeLeavesNothingBeforeItPending(t *testing.T) {
	d1, d2 := life("d1", "1", 100), life("d2", "2", 200)
	got := pendingAfter(d1, d2[:1])
	if diff := cmp.Diff([]string{"[shop]/prod 200-ever ", "[shop]/prod 200-ever 2"}, got); diff != "" {
		t.Errorf("a start (-want +got):\n%s", diff)
	}
	got = pendingAfter(slices.Concat(d1, d2[:1]), d2[1:])
	if diff := cmp.Diff([]string{"[shop]/prod 210-ever "}, got); diff != "" {
		t.Errorf("a finish (-want +got):\n%s", diff)
	}
}

func TestALateDeploymentBetweenTwoLeavesPendingWhatItServedAndWhoCameAfterIt(t *testing.T) {
	d1, d2, d3, d4 := life("d1", "1", 100), life("d2", "2", 200), life("d3", "3", 300), life("d4", "4", 400)
	got := pendingAfter(slices.Concat(d1, d3, d4), d2)
	want := []string{
		"[shop]/prod 200-310 ",   // in progress to 210, completed last until d3 is
		"[shop]/prod 200-ever 2", // whatever says it is of version 2
		"[shop]/prod 300-ever 3", // whose previous version is 2 now
		"[shop]/prod 310-410 ",   // the same, while completed last
	}
	// Intervals of one kind that meet are one.
	want = []string{"[shop]/prod 200-410 ", want[1], want[2]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAFactSaidAgainLeavesNothingPending(t *testing.T) {
	d1 := life("d1", "1", 100)
	if got := pendingAfter(d1, slices.Clone(d1)); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestAnAliasLeavesAllOfItsNamePendingAndWhatItBringsWithIt(t *testing.T) {
	d1 := life("d1", "1", 100)
	alias := named("alias", 7, at(900, &event.Identity{Kind: "service", Alias: "web-shop", Canonical: "shop"}))
	if diff := cmp.Diff([]string{"[web-shop]/ ever-ever "}, pendingAfter(d1, []event.Fact{alias})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPastItsBoundTheJournalStillCoversEverything(t *testing.T) {
	tl := timeline.New()
	tl.Journal()
	var all []event.Fact
	for i := range 120_000 {
		f := named(fmt.Sprint("f", i), uint64(i), at(event.Millis(10*i+1), &event.Flag{Flag: fmt.Sprint("flag", i), Environment: "prod", Services: []string{fmt.Sprint("s", i%7)}, Rules: "{}"}))
		f.Revision = uint64(i + 1)
		all = append(all, f)
	}
	tl.Apply(all)
	regions := tl.Pending(120_000)
	if len(regions) == 0 || len(regions) > 100 {
		t.Fatalf("%d regions", len(regions))
	}
	for i := range 7 {
		o := event.Observation{Service: fmt.Sprint("s", i), Environment: "prod"}
		o.Time = 1_000_000
		if !slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, o) }) {
			t.Errorf("%s is in none of %+v", o.Service, regions)
		}
	}
	if got := tl.Pending(0); len(got) != 0 {
		t.Errorf("before the first fact: %v", got)
	}
}

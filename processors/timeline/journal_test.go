package timeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline/pipelinetest/growth"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// covers is the meaning of a region, written plainly.
func covers(r event.Region, o event.Observation) bool {
	return (r.Services == nil || slices.Contains(r.Services, o.Service)) &&
		(r.AnyEnvironment || r.Environment == o.Environment) &&
		r.From <= o.Time && o.Time < r.To &&
		(r.VersionKey == "" || r.VersionKey == event.VersionKey(o.Version)) &&
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

// Another worker has had each state that lies between two facts, and may have
// answered then.
func TestEveryAnswerEverGivenThatIsAnotherNowLiesInAPendingRegion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(anyFact), 1, 30).Draw(t, "facts")
		for i := range facts {
			facts[i].Revision = uint64(i + 1)
		}
		obs := sample(t)
		known := rapid.IntRange(0, len(facts)-1).Draw(t, "known before")
		other, tl := timeline.New(), timeline.New()
		other.Apply(facts[:known])
		tl.Apply(facts[:known])
		tl.Journal()
		given := [][]string{answers(other, obs)}
		for rest := facts[known:]; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			batch := slices.Clone(rest[:n])
			rest = rest[n:]
			for i := range batch {
				other.Apply(batch[i : i+1])
				given = append(given, answers(other, obs))
			}
			if rapid.Bool().Draw(t, "in another order") {
				slices.Reverse(batch)
			}
			tl.Apply(batch)
			revision := tl.Revision()
			regions := tl.Pending(revision)
			for i, now := range answers(tl, obs) {
				covered := slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, obs[i]) })
				for _, then := range given {
					if then[i] != now && !covered {
						t.Fatalf("%+v\nwas %s\nnow %s\nand is in none of %+v", obs[i], then[i], now, regions)
					}
				}
			}
			if rapid.Bool().Draw(t, "closed") {
				tl.Forget(revision)
				given = given[len(given)-1:]
			}
		}
	})
}

func TestAnIncidentThatIsOpenedAndMovedInOneBatchLeavesBothTracesPending(t *testing.T) {
	opened := &event.Incident{Stage: event.IncidentOpened, IncidentID: "i", Service: "shop", Environment: "prod"}
	moved := &event.Incident{Stage: event.IncidentUpdated, IncidentID: "i", Service: "shop", Environment: "prod", StartedAt: 130}
	got := pendingAfter(nil, []event.Fact{named("o", 1, at(100, opened)), named("m", 2, at(140, moved))})
	if diff := cmp.Diff([]string{"[shop]/prod 100-ever "}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestANameThatMovesAwayTakesWhatIsPendingOfItAlong(t *testing.T) {
	tl := timeline.New()
	tl.Journal()
	d := life("d1", "1", 100)
	alias := named("alias", 7, at(900, &event.Identity{Kind: "service", Alias: "shop", Canonical: "store"}))
	d[0].Revision, d[1].Revision, alias.Revision = 1, 2, 3
	tl.Apply(d)
	tl.Apply([]event.Fact{alias})
	o := event.Observation{Service: "shop", Environment: "prod"}
	o.Time = 150
	regions := tl.Pending(2)
	if !slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, o) }) {
		t.Errorf("shop is in none of %+v", regions)
	}
}

func TestDeploymentsThatStartAtOnceAreFoundOnBothSidesOfABlock(t *testing.T) {
	tl := timeline.New()
	var known []event.Fact
	for i := range 255 {
		known = append(known, life(fmt.Sprintf("a%03d", i), "a", event.Millis(1+3*i))[0])
	}
	for i, id := range []string{"b1", "b2"} {
		known = append(known, life(id, id, 1000)[0])
		known[255+i].Hash = uint64(5000 + i)
	}
	tl.Apply(known)
	tl.Journal()
	p := life("p", "prev", 989)[1] // complete at 999
	p.Revision = 1
	tl.Apply([]event.Fact{p})
	for _, version := range []string{"b1", "b2"} {
		o := event.Observation{Service: "shop", Environment: "prod", Version: version}
		o.Time = 1005
		if regions := tl.Pending(1); !slices.ContainsFunc(regions, func(r event.Region) bool { return r.VersionKey == version && covers(r, o) }) {
			t.Errorf("%s is in none of %+v", version, regions)
		}
	}
}

func TestAnAliasOfAServiceIsNotedInTimeThatGrowsWithItsDeploymentsOnly(t *testing.T) {
	growth.Linear(t, 1250, func(deployments int) time.Duration {
		tl := timeline.New()
		var known []event.Fact
		for i := range deployments {
			known = append(known, life(fmt.Sprint("d", i), fmt.Sprint(i), event.Millis(100*i+1))...)
			known[2*i].Hash, known[2*i+1].Hash = uint64(2*i), uint64(2*i+1)
		}
		tl.Apply(known)
		tl.Journal()
		alias := named("alias", 1<<40, at(900, &event.Identity{Kind: "service", Alias: "shop", Canonical: "store"}))
		alias.Revision = 1
		begun := time.Now()
		tl.Apply([]event.Fact{alias})
		took := time.Since(begun)
		o := event.Observation{Service: "shop", Environment: "prod"}
		o.Time = 5
		if regions := tl.Pending(1); !slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, o) }) {
			t.Errorf("in none of %+v", regions)
		}
		return took
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
	return written(tl.Pending(uint64(len(batches))))
}

// written is regions as a reader would list them.
func written(regions []event.Region) (all []string) {
	for _, r := range regions {
		until := fmt.Sprint(r.To)
		if r.To == event.Forever {
			until = "ever"
		}
		from := fmt.Sprint(r.From)
		if r.From == event.Always {
			from = "ever"
		}
		all = append(all, fmt.Sprintf("%v/%s %s-%s %s%s", r.Services, r.Environment, from, until, r.VersionKey, r.Instance))
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
		// Completed last until d3 is, and d3, whose previous version is 2 now, until d4 is. Between its two facts it
		// was in progress without an end: somebody may have written a row then.
		"[shop]/prod 200-ever ",
		"[shop]/prod 200-ever 2", // whatever says it is of version 2
		"[shop]/prod 300-ever 3", // whose previous version is 2 now
	}
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

func TestOfThousandsOfRegionsThoseThatLieNearbyBecomeOne(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	tl := timeline.New()
	tl.Journal()
	incident := func(i int, service string, from event.Millis) event.Fact {
		f := event.Fact{Revision: uint64(i), Payload: &event.Incident{
			Stage: event.IncidentOpened, IncidentID: fmt.Sprint(i), Service: service, Environment: "prod", StartedAt: from, EndedAt: from + 1}}
		f.Source, f.ID, f.Type, f.Time = "pager", fmt.Sprint(i), "incident1", from
		return f
	}
	for i := range 1000 {
		tl.Apply([]event.Fact{incident(i, "shop", 200*day+event.Millis(i)*1000)})
	}
	tl.Apply([]event.Fact{incident(1000, "shop", 171*day)})
	tl.Apply([]event.Fact{incident(1001, "cart", 199*day)})
	for i := range 1000 {
		tl.Apply([]event.Fact{incident(2000+i, "shop", 231*day+event.Millis(i)*1000)})
	}
	want := []string{
		fmt.Sprintf("[cart]/prod %d-%d ", 199*day, 199*day+1),
		fmt.Sprintf("[shop]/prod %d-%d ", 171*day, 171*day+1),
		fmt.Sprintf("[shop]/prod %d-%d ", 200*day, 200*day+999_001),
		fmt.Sprintf("[shop]/prod %d-%d ", 231*day, 231*day+999_001),
	}
	if diff := cmp.Diff(want, written(tl.Pending(5000))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

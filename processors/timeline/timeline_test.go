package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/pipeline/pipelinetest/growth"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

func TestAFactCountsOnceAndATwinIsAConflict(t *testing.T) {
	tl := timeline.New()
	one, twin := named("one", 1, at(10, declared("ann", ""))), named("one", 2, at(10, declared("bob", "")))
	third, build := named("one", 3, at(11, declared("eve", ""))), named("two", 1, at(10, nil))
	tl.Apply([]event.Fact{one, one, twin, build})
	tl.Apply([]event.Fact{twin, one, third})
	if tl.Len() != 1 || tl.Conflicts() != 1 {
		t.Fatalf("got %d facts and %d conflicts, want 1 and 1: no rule reads a build", tl.Len(), tl.Conflicts())
	}
}

func TestManyAliasesComeAndGoInTimeThatGrowsWithTheirNumberOnly(t *testing.T) {
	growth.Linear(t, 12_500, func(n int) time.Duration {
		aliases := make([]string, n)
		for i := range aliases {
			aliases[i] = fmt.Sprintf("alias %d", i)
		}
		tl := timeline.New()
		means := func(name string) string {
			o, out := asks(3, "", ""), make([]event.Enrichment, 1)
			o.Service = name
			tl.Enrich([]event.Observation{o}, out)
			return out[0].CanonicalService
		}
		begun := time.Now()
		tl.Apply([]event.Fact{
			named("said", 1, at(1, &event.Declaration{Service: "shop", Aliases: aliases})),
			named("kept", 2, at(2, &event.Identity{Kind: "service", Alias: aliases[7], Canonical: "shop"})),
		})
		for _, i := range []int{0, 7, n / 2, n - 1} {
			if got := means(aliases[i]); got != "shop" {
				t.Errorf("%s means %s", aliases[i], got)
			}
		}
		tl.Apply([]event.Fact{named("unsaid", 3, at(3, &event.Retraction{Source: "source", ID: "said"}))})
		took := time.Since(begun)
		for _, i := range []int{0, 7, n / 2, n - 1} {
			want := aliases[i]
			if i == 7 {
				want = "shop"
			}
			if got := means(aliases[i]); got != want {
				t.Errorf("%s means %s", aliases[i], got)
			}
		}
		return took
	})
}

func TestALongChainOfNamesIsFollowedInTimeThatGrowsWithItsLengthOnly(t *testing.T) {
	chain := func(kind string, links int) (facts []event.Fact) {
		for i := range links {
			facts = append(facts, named(fmt.Sprint(i), 1, at(1, &event.Identity{Kind: kind, Alias: fmt.Sprint("name ", i), Canonical: fmt.Sprint("name ", i+1)})))
		}
		return facts
	}
	for name, order := range map[string]func([]event.Fact){"forwards": func([]event.Fact) {}, "backwards": slices.Reverse[[]event.Fact]} {
		t.Run("of services, "+name, func(t *testing.T) {
			growth.Linear(t, 1250, func(links int) time.Duration {
				facts := chain("service", links)
				order(facts)
				tl, out := timeline.New(), make([]event.Enrichment, 1)
				o := asks(3, "", "")
				o.Service = "name 0"
				begun := time.Now()
				tl.Apply(facts)
				tl.Enrich([]event.Observation{o}, out)
				took := time.Since(begun)
				if out[0].CanonicalService != fmt.Sprint("name ", links) {
					t.Errorf("the first name means %s", out[0].CanonicalService)
				}
				return took
			})
		})
		t.Run("of repositories, "+name, func(t *testing.T) {
			growth.Linear(t, 1250, func(links int) time.Duration {
				facts := chain("repository", links)
				order(facts)
				listing, found := declared("", ""), finding(event.FindingOpened)
				listing.Repositories = []string{fmt.Sprint("name ", links)}
				found.Service, found.Repository = "", "name 0"
				facts = append(facts, at(1, listing), at(10, found))
				tl, out := timeline.New(), make([]event.Enrichment, 1)
				begun := time.Now()
				tl.Apply(facts)
				tl.Enrich([]event.Observation{asks(50, "", "")}, out)
				took := time.Since(begun)
				if !slices.Equal(out[0].FindingIDs, []string{"cve"}) {
					t.Errorf("shop has the findings %q", out[0].FindingIDs)
				}
				return took
			})
		})
	}
}

func TestTheRevisionIsTheGreatestFoldedIn(t *testing.T) {
	tl := timeline.New()
	facts := []event.Fact{at(1, nil), at(2, nil)}
	facts[0].Revision, facts[1].Revision = 1<<40|7, 1<<40|3
	tl.Apply(facts)
	tl.Apply(nil)
	tl.Advance(5)
	if got := tl.Revision(); got != 1<<40|7 {
		t.Fatalf("got revision %d", got)
	}
	out := make([]event.Enrichment, 1)
	if got := tl.Enrich([]event.Observation{asks(1, "", "")}, out); got != 1<<40|7 || out[0].Revision != got {
		t.Fatalf("enriched at %d, the row says %d", got, out[0].Revision)
	}
}

func TestWaitReturnsWhenTheRevisionIsFoldedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := timeline.New()
		done := make(chan error, 1)
		go func() { done <- tl.Wait(t.Context(), 2) }()
		tl.Advance(1)
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("returned too early")
		}
		tl.Advance(2)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := timeline.New().Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestNothingOfAFactIsKept(t *testing.T) {
	buffer := []byte("shop|prod|d1|v1|r1|i1|source|the id")
	word := func(from, to int) string { return unsafeText(buffer[from:to]) }
	d := &event.Deployment{
		Stage: event.Finished, Service: word(0, 4), Environment: word(5, 9), DeploymentID: word(10, 12), Version: word(13, 15),
		Revisions: []string{word(16, 18)}, InstancesAdded: []string{word(19, 21)}, Percent: 100, Outcome: "success",
	}
	f := at(10, d)
	f.Source, f.ID = word(22, 28), word(29, 35)
	tl := timeline.New()
	tl.Apply([]event.Fact{f, at(1, &event.Change{ChangeID: "c1", Revision: "r1"})})
	for i := range buffer {
		buffer[i] = '#'
	}
	*d = event.Deployment{}
	out := make([]event.Enrichment, 1)
	tl.Enrich([]event.Observation{asks(20, "", "i1")}, out)
	if e := out[0]; e.DeploymentID != "d1" || e.DeployedVersion != "v1" || !slices.Equal(e.ChangeIDs, []string{"c1"}) {
		t.Fatalf("got %+v", e)
	}
}

func TestAnExposureIsItsOwnExperiment(t *testing.T) {
	tl := timeline.New()
	for i := range 5000 { // more than are kept
		o := asks(1, "", "")
		o.Experiment, o.Variant = "checkout", fmt.Sprint(i%4500)
		out := make([]event.Enrichment, 1)
		tl.Enrich([]event.Observation{o}, out)
		if want := []event.Pair{{Key: "checkout", Value: o.Variant}}; !slices.Equal(out[0].Experiments, want) {
			t.Fatalf("got %v, want %v", out[0].Experiments, want)
		}
	}
}

func TestAHistoryOfManyBlocksIsAnsweredAsTheModelDoes(t *testing.T) {
	for _, shape := range []generator.Shape{generator.HotKey(3, 3000), generator.Organisation(4, 3000)} {
		g := generator.New(shape)
		tl := timeline.New()
		var facts []event.Fact
		for batch := range g.Facts(70) {
			slices.Reverse(batch)
			tl.Apply(batch)
			facts = append(facts, batch...)
			tl.Enrich(g.Observations(5, generator.AnyTime), make([]event.Enrichment, 5))
		}
		obs := append(g.Observations(60, generator.AnyTime), g.Observations(20, generator.Now)...)
		if d := differs(tl, facts, obs); d != "" {
			t.Fatal(d)
		}
	}
}

// What readers see while facts arrive is not compared here; the race detector
// watches, and the end must be the same as if nobody had read.
func TestReadersAndWritersMayRunAtOnce(t *testing.T) {
	g := generator.New(generator.Organisation(5, 2000))
	obs := g.Observations(200, generator.AnyTime)
	for i := range obs {
		obs[i].Experiment, obs[i].Variant = "x", fmt.Sprint(i%7)
		if i%11 == 0 {
			obs[i].Environment = "elsewhere"
		}
	}
	tl, after := timeline.New(), timeline.New()
	var running sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		running.Go(func() {
			out := make([]event.Enrichment, len(obs))
			for {
				tl.Enrich(obs, out)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	var writing sync.WaitGroup
	for batch := range g.Facts(50) {
		after.Apply(batch)
		writing.Go(func() { tl.Apply(batch) })
	}
	writing.Wait()
	close(done)
	running.Wait()
	got, want := make([]event.Enrichment, len(obs)), make([]event.Enrichment, len(obs))
	tl.Enrich(obs, got)
	after.Enrich(obs, want)
	for i := range obs {
		if said(got[i]) != said(want[i]) {
			t.Fatalf("observation %d:\n got %s\nwant %s", i, said(got[i]), said(want[i]))
		}
	}
}

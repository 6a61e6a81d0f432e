// Package enrich_test measures the timeline: how long an observation takes with
// 10^3 to 10^6 facts known, how long a million facts take to fold, and what
// they weigh.
//
//	go test ./bench/enrich -run '^$' -bench . -count 10
package enrich_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

const million = 1_000_000

// atOnce is how many observations a batch holds.
const atOnce = 1024

func folded(s generator.Shape) (*timeline.Timeline, *generator.Generator) {
	g := generator.New(s)
	tl := timeline.New()
	for facts := range g.Facts(4096) {
		tl.Apply(facts)
	}
	return tl, g
}

func enrich(b *testing.B, tl *timeline.Timeline, obs []event.Observation) {
	out := make([]event.Enrichment, atOnce)
	for warm := range slices.Chunk(obs[:8*atOnce], atOnce) {
		tl.Enrich(warm, out)
	}
	b.ReportAllocs()
	observations, before := 0, cpu()
	for b.Loop() {
		from := observations % len(obs)
		tl.Enrich(obs[from:from+atOnce], out)
		observations += atOnce
	}
	b.ReportMetric(float64(cpu()-before)/float64(observations), "cpu-ns/observation")
	b.ReportMetric(float64(b.Elapsed())/float64(observations), "ns/observation")
	b.ReportMetric(0, "ns/op")
}

// cpu is what the process has used of all processors. On a machine shared with
// others it says more than the time that passed.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A hundred services whose history grows.
func BenchmarkEnrich(b *testing.B) {
	for facts := 1000; facts <= million; facts *= 10 {
		shape := generator.Organisation(1, facts)
		shape.Services = 100
		enrichAll(b, fmt.Sprintf("facts=%d", facts), shape)
	}
}

// A thousand services: what the observations touch no longer fits the caches of
// the processor.
func BenchmarkEnrichALargeOrganisation(b *testing.B) {
	enrichAll(b, "services=1000", generator.Organisation(1, million))
}

func BenchmarkEnrichAHotKey(b *testing.B) {
	enrichAll(b, "facts=100000", generator.HotKey(1, 100_000))
}

// enrichAll measures live traffic, whose contexts are cached, and observations
// of any time in no order, most of whose contexts are not.
func enrichAll(b *testing.B, name string, shape generator.Shape) {
	tl, g := folded(shape)
	b.Run("live/"+name, func(b *testing.B) { enrich(b, tl, g.Observations(8*atOnce, generator.Now)) })
	b.Run("anytime/"+name, func(b *testing.B) { enrich(b, tl, g.Observations(256*atOnce, generator.AnyTime)) })
}

// fold reports the seconds that Apply alone takes for the facts of a shape, and
// what they hold of the heap when the input is gone.
func fold(b *testing.B, s generator.Shape, batch int, arrange func([]event.Fact)) {
	var seconds, used, heap float64
	for b.Loop() {
		before := liveHeap()
		tl := timeline.New()
		for facts := range generator.New(s).Facts(batch) {
			if arrange != nil {
				arrange(facts)
			}
			started, before := time.Now(), cpu()
			tl.Apply(facts)
			seconds += time.Since(started).Seconds()
			used += (cpu() - before).Seconds()
		}
		heap = liveHeap() - before
		runtime.KeepAlive(tl)
	}
	b.ReportMetric(seconds/float64(b.N), "s/fold")
	b.ReportMetric(used/float64(b.N), "cpu-s/fold")
	b.ReportMetric(heap/1e6, "MB")
	b.ReportMetric(0, "ns/op")
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func BenchmarkFoldAMillion(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	b.Run("inorder", func(b *testing.B) { fold(b, generator.Organisation(1, million), 100_000, nil) })
	b.Run("shuffled", func(b *testing.B) {
		fold(b, generator.Organisation(1, million), million, func(facts []event.Fact) {
			random.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		})
	})
}

// One fact at a time with a reader after each: what a scope of 100,000 facts
// costs when it is both hot and changing.
func BenchmarkTrickleIntoAHotKey(b *testing.B) {
	s := generator.HotKey(1, 100_000)
	for _, late := range []bool{false, true} {
		b.Run(fmt.Sprintf("late=%t", late), func(b *testing.B) {
			var seconds float64
			for b.Loop() {
				seconds += trickle(s, late).Seconds()
			}
			b.ReportMetric(seconds/float64(b.N)/float64(s.Facts)*1e9, "ns/fact")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func trickle(s generator.Shape, late bool) time.Duration {
	g := generator.New(s)
	obs, out := g.Observations(1, generator.AnyTime), make([]event.Enrichment, 1)
	tl := timeline.New()
	for facts := range g.Facts(s.Facts) {
		if late {
			// Late by up to 1,000 facts: what is in progress stays few, as it is
			// where facts come late and not in no order at all.
			random := rand.New(rand.NewPCG(1, 1))
			for window := range slices.Chunk(facts, 1000) {
				random.Shuffle(len(window), func(i, j int) { window[i], window[j] = window[j], window[i] })
			}
		}
		started := time.Now()
		for i := range facts {
			tl.Apply(facts[i : i+1])
			tl.Enrich(obs, out)
		}
		return time.Since(started)
	}
	return 0
}

// nothing is asked of this store.
type nothing struct{}

func (nothing) Facts(context.Context, event.Missing, uint64) ([]event.Fact, error) {
	panic("facts of the past are asked for")
}

// A million facts of which the last tenth of the time has to be known whole: what
// is in memory before and after the rest is let go of, and how long readers wait
// for that. Then live traffic is answered, without a question to the store.
func BenchmarkForgetAMillion(b *testing.B) {
	s := generator.Organisation(1, million)
	var whole, left, facts, seconds float64
	for b.Loop() {
		before := liveHeap()
		g, m := generator.New(s), timeline.NewMemory(nothing{})
		for facts := range g.Facts(4096) {
			m.Timeline.Apply(facts)
		}
		whole = liveHeap() - before
		m.Journal()
		started := time.Now()
		m.Trim(s.To-(s.To-s.From)/10, m.Revision())
		seconds += time.Since(started).Seconds()
		left, facts = liveHeap()-before, float64(m.Len())
		obs := g.Observations(8*atOnce, generator.Now)
		if _, err := m.Enrich(b.Context(), obs, make([]event.Enrichment, len(obs))); err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(m)
	}
	b.ReportMetric(whole/1e6, "MB-whole")
	b.ReportMetric(left/1e6, "MB-left")
	b.ReportMetric(facts, "facts-left")
	b.ReportMetric(seconds/float64(b.N), "s/trim")
	b.ReportMetric(0, "ns/op")
}

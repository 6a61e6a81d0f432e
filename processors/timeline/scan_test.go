package timeline_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

func TestNothingOfAScanIsKept(t *testing.T) {
	buffer := []byte("tool|target|n1|cve|shop|repo|prod|")
	word := func(from, to int) string { return unsafeText(buffer[from:to]) }
	s := &event.Scan{Tool: word(0, 4), Target: word(5, 11), ScanID: word(12, 14), Part: 1, Parts: 1, Findings: []event.Finding{{
		Stage: event.FindingOpened, FindingID: word(15, 18), Service: word(19, 23), Repository: word(24, 28), Environment: word(29, 33),
	}}}
	tl := timeline.New()
	tl.Apply([]event.Fact{at(10, s)})
	for i := range buffer {
		buffer[i] = '#'
	}
	clear(s.Findings)
	tl.Apply([]event.Fact{named("2", 2, at(20, &event.Scan{Tool: "tool", Target: "target", ScanID: "n2", Part: 1, Parts: 1}))})
	out := make([]event.Enrichment, 2)
	tl.Enrich([]event.Observation{asks(15, "", ""), asks(20, "", "")}, out)
	if fmt.Sprint(out[0].FindingIDs, out[1].FindingIDs) != "[cve] []" {
		t.Fatalf("got %v, %v", out[0].FindingIDs, out[1].FindingIDs)
	}
}

// BenchmarkNightlyScans folds nights of a scan that finds the same five thousand
// findings but for ten, each in ten parts, a part a batch: the time of a night,
// and what a sighting costs in memory.
func BenchmarkNightlyScans(b *testing.B) {
	const findings, parts = 5000, 10
	night := func(n int) []event.Fact {
		facts := make([]event.Fact, parts)
		for p := range parts {
			s := &event.Scan{Tool: "sift", Target: "repo", ScanID: fmt.Sprint("night ", n), Part: p + 1}
			if p == parts-1 {
				s.Parts = parts
			}
			for i := p * findings / parts; i < (p+1)*findings/parts; i++ {
				if i%500 != n%500 {
					s.Findings = append(s.Findings, event.Finding{Stage: event.FindingOpened, FindingID: fmt.Sprint("sift/rule/", i), Service: "shop", Repository: "repo"})
				}
			}
			facts[p] = at(event.Millis(1+n)*86_400_000, s)
			facts[p].ID, facts[p].Hash = fmt.Sprint(n, "/", p), uint64(n*parts+p+1)
		}
		return facts
	}
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	tl := timeline.New()
	tl.Journal()
	n := 0
	for b.Loop() {
		for _, f := range night(n) {
			f.Revision = f.Hash
			tl.Apply([]event.Fact{f})
			tl.Forget(f.Revision)
		}
		n++
	}
	b.ReportMetric(float64(memory()-before)/float64(n*findings), "B/sighting")
	runtime.KeepAlive(tl)
}

package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// company is a graph of services that each call five others of the next ones.
func company(services int) *graph {
	random := rand.New(rand.NewPCG(1, 2))
	c := &catalog{calls: map[string]map[string][]string{}, callers: map[string]map[string][]string{}}
	for i := range services {
		for range 5 {
			caller, callee := fmt.Sprint(i), fmt.Sprint(random.IntN(services))
			add(c.calls, "", caller, callee)
			add(c.callers, "", callee, caller)
		}
	}
	return &graph{catalog: c, environment: "prod"}
}

func TestWaysLeadToTheNamedByTheFewestCallsAndNowhereElse(t *testing.T) {
	g := company(2000)
	n := g.around([]string{"7"})
	named := []string{"7", "11", "501", "1999", "nobody"}
	ways := n.ways(named)
	if !slices.EqualFunc(ways, g.around([]string{"7"}).ways(named), func(a, b [2]string) bool { return a == b }) {
		t.Error("two looks find two ways")
	}
	whole := hops(g.catalog.calls[""], "7")
	known := hops(n.dependsOn(nil, ways), "7")
	for _, name := range named {
		if known[name] != whole[name] {
			t.Errorf("%s is %d calls away, want %d", name, known[name], whole[name])
		}
	}
	if len(ways) > len(named)*furthest {
		t.Errorf("%d calls lead to %d services", len(ways), len(named))
	}
}

// hops are the fewest calls from a service to each.
func hops(calls map[string][]string, from string) map[string]int {
	at, queue := map[string]int{from: 0}, []string{from}
	for len(queue) > 0 {
		for _, callee := range calls[queue[0]] {
			if _, known := at[callee]; !known {
				at[callee] = at[queue[0]] + 1
				queue = append(queue, callee)
			}
		}
		queue = queue[1:]
	}
	return at
}

func BenchmarkWays(b *testing.B) {
	g := company(10_000)
	n := g.around([]string{"7"})
	for b.Loop() {
		n.ways([]string{"11", "501", "1999"})
	}
}

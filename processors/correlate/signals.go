package correlate

import (
	"cmp"
	"math"
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// How the window of an effect is cut. Scrapes come once a minute or so: what
// began with the trouble shows in the scrape at its onset.
const (
	settled = 6 * 60_000 // what is so long before the onset is taken for normal
	lead    = 30_000     // the trouble's scrapes begin so long before the onset
	early   = 8 * 60_000 // its first sign is looked for so long before the onset
	minute  = 60_000
	week    = 7 * 24 * 3600_000
)

// span is [From, To).
type span struct{ From, To event.Millis }

func (s span) has(t event.Millis) bool { return s.From <= t && t < s.To }

// edge is the calls of one service to another.
type edge struct{ Caller, Callee string }

func (e edge) compare(other edge) int {
	return cmp.Or(cmp.Compare(e.Caller, other.Caller), cmp.Compare(e.Callee, other.Callee))
}

// signals are the measurements of a situation, indexed, with what is asked of
// them more than once.
type signals struct {
	*Situation
	before, during, around span // normal times, the trouble, and where its beginning is looked for

	byEdge    map[edge][]int // rows of an edge as its ends see it, or of the callee's instances where they don't
	byService map[string][]int
	callers   map[string][]string
	edges     []edge
	calls     map[string][]string // declared and seen
	scrapes   []event.Millis      // when anything was measured, in order
	// minutesFrom counts the minutes of each scrape and those after it, and ends
	// with none.
	minutesFrom []int
	drops       map[edge]drop
	instances   map[string][]instance
	first       map[[2]string]event.Millis // of an instance of a service
}

// instance is what was seen of one.
type instance struct {
	name, version string
	versions      map[string]event.Millis // when each was first stated
	first, last   event.Millis            // of its rows with a figure
	rows          int
}

// drop is how much worse calls went than before, as shares of the calls.
type drop struct {
	Before, During float64 // share that failed; NaN: not measured
	Size           float64 // During - Before, at least 0
	Trust          float64 // of how many calls During is: few fail by chance
}

// sure is how surely something is wrong with the calls, from 0 to 1.
func (d *drop) sure() float64 { return saturate(d.Size, evident) * d.Trust }

func newSignals(situation *Situation) *signals {
	s := orderly(situation)
	onset := s.Effect.Onset
	g := &signals{
		Situation: s,
		before:    span{s.From, onset - settled}, during: span{onset - lead, s.To}, around: span{onset - early, s.To},
		byEdge: map[edge][]int{}, byService: map[string][]int{}, callers: map[string][]string{},
		drops: map[edge]drop{}, instances: map[string][]instance{},
	}
	g.index()
	g.connect()
	return g
}

// connect joins what is declared with what is seen.
func (g *signals) connect() {
	calls := map[edge]bool{}
	for caller, callees := range g.DependsOn {
		for _, callee := range callees {
			calls[edge{caller, callee}] = true
		}
	}
	for _, e := range g.edges {
		calls[e] = true
	}
	g.calls = map[string][]string{}
	for e := range calls {
		if e.Caller != "" && e.Callee != "" && e.Caller != e.Callee {
			g.calls[e.Caller] = append(g.calls[e.Caller], e.Callee)
			g.callers[e.Callee] = append(g.callers[e.Callee], e.Caller)
		}
	}
	for _, lists := range []map[string][]string{g.calls, g.callers} {
		for _, list := range lists {
			slices.Sort(list)
		}
	}
}

func (g *signals) index() {
	times := map[event.Millis]bool{}
	seen := map[[2]string]int{}
	ends := map[edge]bool{}
	for i := range g.Measurements {
		m := &g.Measurements[i]
		times[m.At] = true
		e := m.edge()
		switch {
		case m.Instance == "":
			if !ends[e] { // what an end sees counts more than what instances do
				ends[e], g.byEdge[e] = true, nil
			}
			g.byEdge[e] = append(g.byEdge[e], i)
		default:
			g.byService[m.Service] = append(g.byService[m.Service], i)
			if !ends[e] && m.Service == e.Callee {
				g.byEdge[e] = append(g.byEdge[e], i)
			}
			g.see(seen, m)
		}
	}
	sortRows(g.Measurements, g.byEdge)
	sortRows(g.Measurements, g.byService)
	for e := range g.byEdge {
		if e.Callee != "" {
			g.edges = append(g.edges, e)
		}
	}
	slices.SortFunc(g.edges, edge.compare)
	for t := range times {
		g.scrapes = append(g.scrapes, t)
	}
	slices.Sort(g.scrapes)
	g.minutesFrom = make([]int, len(g.scrapes)+1)
	for i := len(g.scrapes) - 1; i >= 0; i-- {
		g.minutesFrom[i] = g.minutesFrom[i+1]
		if i+1 == len(g.scrapes) || minuteOf(g.scrapes[i]) != minuteOf(g.scrapes[i+1]) {
			g.minutesFrom[i]++
		}
	}
	g.first = map[[2]string]event.Millis{}
	for service := range g.instances {
		slices.SortFunc(g.instances[service], func(a, b instance) int { return cmp.Compare(a.name, b.name) })
		for _, in := range g.instances[service] {
			g.first[[2]string{service, in.name}] = in.first
		}
	}
}

// see notes that an instance has reported. Rows without any figure are of
// instances that are gone and still asked.
func (g *signals) see(seen map[[2]string]int, m *Measurement) {
	if !m.reports() {
		return
	}
	key := [2]string{m.Service, m.Instance}
	at, known := seen[key]
	if !known {
		at = len(g.instances[m.Service])
		seen[key] = at
		g.instances[m.Service] = append(g.instances[m.Service], instance{name: m.Instance, version: m.Version, versions: map[string]event.Millis{}, first: m.At, last: m.At})
	}
	in := &g.instances[m.Service][at]
	in.first, in.last, in.rows = min(in.first, m.At), max(in.last, m.At), in.rows+1
	in.version = max(in.version, m.Version)
	if first, known := in.versions[m.Version]; !known || m.At < first {
		in.versions[m.Version] = m.At
	}
}

func minuteOf(t event.Millis) event.Millis { return (t + minute/2) / minute * minute }

// shortfall is the share of calls that failed, and how many calls it stands
// for; ok is false where the row doesn't say.
func (m *Measurement) shortfall() (failed, weight float64, ok bool) {
	weight = 1
	if m.Requests > 0 {
		weight = m.Requests
	}
	switch {
	case m.Requests == 0: // whatever share is stated
		return 0, 0, false
	case m.Requests > 0 && !math.IsNaN(m.Errors):
		failed = m.Errors / m.Requests
	case !math.IsNaN(m.Success):
		failed = 1 - m.Success
	default:
		return 0, 0, false
	}
	return min(1, max(0, failed)), weight, true
}

// reports says whether the row has any figure of calls.
func (m *Measurement) reports() bool {
	_, _, ok := m.shortfall()
	return ok || m.Requests >= 0 || m.Latency > 0 || m.CPU > 0 // none is NaN then
}

// failed is the share of calls that failed in the rows, NaN where none says.
func (g *signals) failed(rows []int, when span, keep func(*Measurement) bool) float64 {
	var sum, weights float64
	for _, i := range rows {
		m := &g.Measurements[i]
		if !when.has(m.At) || keep != nil && !keep(m) {
			continue
		}
		if failed, weight, ok := m.shortfall(); ok {
			sum, weights = sum+failed*weight, weights+weight
		}
	}
	return sum / weights
}

// few is how many calls are half to be trusted.
const few = 10

// trust is how far a share of failed calls in the rows is to be trusted for
// their number. Who states shares alone is taken at their word.
func (g *signals) trust(rows []int, when span, keep func(*Measurement) bool) float64 {
	var calls float64
	for _, i := range rows {
		m := &g.Measurements[i]
		if !when.has(m.At) || keep != nil && !keep(m) {
			continue
		}
		if _, _, ok := m.shortfall(); !ok {
			continue
		}
		if !(m.Requests > 0) {
			return 1
		}
		calls += m.Requests
	}
	return 1 - few/(calls+few)
}

// drop of the calls over an edge.
func (g *signals) drop(e edge) drop {
	if d, known := g.drops[e]; known {
		return d
	}
	rows := g.byEdge[e]
	d := drop{Before: g.failed(rows, g.before, nil), During: g.failed(rows, g.during, nil), Trust: g.trust(rows, g.during, nil)}
	d.Size = grown(d.Before, d.During)
	g.drops[e] = d
	return d
}

// grown is how much more the later is, 0 where it is not known or not more. An
// edge that was not there before is compared with one that never failed.
func grown(before, during float64) float64 {
	if math.IsNaN(before) {
		before = 0
	}
	if math.IsNaN(during) {
		return 0
	}
	return max(0, during-before)
}

// The steepness of saturate: a share at which calls surely go wrong.
const (
	evident = 0.05 // calls into a service: half the evidence
	hinted  = 0.02 // calls out of it: a caller fails more than its callees do, as it calls several times
)

// saturate maps a size to [0, 1): half at the size half.
func saturate(size, half float64) float64 { return size / (size + half) }

// into is the surest drop of the calls into a service, and its edge.
func (g *signals) into(service string) (worst edge, d drop) {
	if service == "" {
		return worst, d
	}
	for _, caller := range append([]string{""}, g.callers[service]...) { // also what is measured without a caller
		e := edge{caller, service}
		if here := g.drop(e); here.sure() > d.sure() {
			worst, d = e, here
		}
	}
	return worst, d
}

// out is the largest drop of the calls that a service makes.
func (g *signals) out(service string) float64 {
	largest := 0.0
	for _, callee := range g.calls[service] {
		largest = max(largest, g.drop(edge{service, callee}).Size)
	}
	return largest
}

// own is how surely a service is itself at fault, from 0 to 1: calls into it go
// wrong, and the calls it makes don't explain that.
func (g *signals) own(service string) float64 {
	_, in := g.into(service)
	return in.sure() * (1 - saturate(g.out(service), hinted))
}

// worstCaller is the caller of a service that is most surely at fault itself.
func (g *signals) worstCaller(service string) (caller string, own float64) {
	for _, c := range g.callers[service] {
		if o := g.own(c); o > own {
			caller, own = c, o
		}
	}
	return caller, own
}

// firstSign is when the drop of an edge began to show: the first minute that is
// worse by half the drop, and that the next one does not take back. It is the
// time of the minute's first row; 0: it doesn't show.
func (g *signals) firstSign(e edge) event.Millis {
	d := g.drop(e)
	if d.Size == 0 {
		return 0
	}
	normal := d.Before
	if math.IsNaN(normal) {
		normal = 0
	}
	minutes := g.minutes(g.byEdge[e], g.around)
	for i, m := range minutes {
		goesOn := i+1 == len(minutes) || minutes[i+1].failed >= normal+max(hinted, d.Size/4)
		if m.failed >= normal+max(hinted, d.Size/2) && goesOn {
			return m.first
		}
	}
	return 0
}

// minuteSeen is what all rows of a minute say together.
type minuteSeen struct {
	first  event.Millis
	failed float64 // share of calls
}

// minutes puts the rows of a span together, by the minute, in order.
func (g *signals) minutes(rows []int, when span) []minuteSeen {
	sums := map[event.Millis]*[2]float64{}
	first := map[event.Millis]event.Millis{}
	for _, i := range rows {
		m := &g.Measurements[i]
		failed, weight, ok := m.shortfall()
		if !ok || !when.has(m.At) {
			continue
		}
		at := minuteOf(m.At)
		if sums[at] == nil {
			sums[at], first[at] = new([2]float64), m.At
		}
		sums[at][0], sums[at][1], first[at] = sums[at][0]+failed*weight, sums[at][1]+weight, min(first[at], m.At)
	}
	all := make([]minuteSeen, 0, len(sums))
	for at, sum := range sums {
		all = append(all, minuteSeen{first[at], sum[0] / sum[1]})
	}
	slices.SortFunc(all, func(a, b minuteSeen) int { return cmp.Compare(a.first, b.first) })
	return all
}

// notYet is how soon after a stage a scrape may miss the new instances.
const notYet = 10_000

// scrapesAfter counts the minutes in which anything was measured, from a little
// after a time on.
func (g *signals) scrapesAfter(t event.Millis) int {
	at, _ := slices.BinarySearch(g.scrapes, t+notYet)
	return g.minutesFrom[at]
}

// mean of a figure over the rows of instances, NaN where there is none.
func (g *signals) mean(service string, when span, keep func(*Measurement) bool, figure func(*Measurement) float64) float64 {
	var sum, n float64
	for _, i := range g.byService[service] {
		m := &g.Measurements[i]
		if f := figure(m); when.has(m.At) && keep(m) && f > 0 { // not NaN
			sum, n = sum+f, n+1
		}
	}
	return sum / n
}

// distances are the fewest calls from the effect's services to each service.
func (g *signals) distances() map[string]int {
	at := map[string]int{}
	var queue []string
	for _, s := range g.affected() {
		at[s] = 0
		queue = append(queue, s)
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for _, callee := range g.calls[s] {
			if _, known := at[callee]; !known && at[s] < furthest {
				at[callee] = at[s] + 1
				queue = append(queue, callee)
			}
		}
	}
	return at
}

// affected are the services that the effect names.
func (g *signals) affected() []string {
	set := map[string]bool{}
	for _, s := range append([]string{g.Effect.Service}, g.Effect.Services...) {
		if s != "" {
			set[s] = true
		}
	}
	return sortedKeys(set)
}

// edge is whose calls the row measures: where it names neither end, those into
// its service from wherever.
func (m *Measurement) edge() edge {
	if m.Caller == "" && m.Callee == "" {
		return edge{"", m.Service}
	}
	return edge{m.Caller, m.Callee}
}

package rollouts

import (
	"math"
	"slices"
)

// always is long before and never long after anything in a case.
const (
	always = math.MinInt64 / 4
	never  = math.MaxInt64 / 4
)

// edge is calls from one service to another.
type edge struct {
	index, from, to int
	use             float64 // share of the caller's requests that make calls
	calls           float64 // of each that does
	critical        float64 // the chance that a failed call fails the request
	noise           float64 // calls that fail at any time
}

// service is one that is measured.
type service struct {
	index      int
	name       string
	in, out    []*edge
	addresses  []int // shared dependencies that nobody measures
	pods       []*pod
	replicas   int
	latency    float64 // ms
	cpu        float64
	usual      float64 // requests a minute
	version    string
	unlabelled bool // instances don't tell their version
	blind      bool // instances don't see that their calls fail, though the ends of edges do
}

// pod is one instance. Times are in seconds.
type pod struct {
	*service
	name, version string
	node          int
	born          int64 // gets its share of requests from here
	reports       int64 // is scraped from here
	gone          int64
	ghost         int64 // the one scrape it is still seen at after it is gone, 0: none
	cpu, memory   float64
	slower        float64  // than other versions, of no consequence
	patchy        float64  // scrapes that it misses
	rollout       *rollout // that brought it, nil: it was there before
	series        []series
}

// world is services, their calls and their instances.
type world struct {
	dice
	names     *namer
	services  []*service // callers before callees; the first is what users call
	edges     []*edge
	addresses []string
	nodes     int
	requests  float64 // a minute, of users
}

func newWorld(d dice, n int) *world {
	w := &world{dice: d, names: newNamer(d), requests: d.scale(120, 5000), nodes: 3 + n/4}
	for range 3 + d.IntN(4+n/5) {
		w.addresses = append(w.addresses, w.names.address())
	}
	quiet := d.chance(0.85)
	layers := w.layers(n)
	for i := range n {
		w.addService(i)
		if i > 0 {
			w.addCallers(i, layers, quiet)
		}
	}
	w.settle()
	return w
}

// layers says of each service how deep it is, in rising order.
func (w *world) layers(n int) []int {
	depth := 2 + w.IntN(2) + int(math.Log10(float64(n)))
	layers := make([]int, n)
	for i := 1; i < n; i++ {
		layers[i] = 1 + w.IntN(depth)
	}
	slices.Sort(layers)
	layers[1] = 1 // somebody is called by the first
	return layers
}

func (w *world) addService(i int) {
	s := &service{
		index: i, name: w.names.service(), replicas: drawReplicas(w.dice, i),
		latency: w.scale(0.4, 40), cpu: w.scale(0.03, 0.5),
	}
	s.version, _ = w.names.version()
	s.blind = w.chance(0.15) || i == 0 && w.chance(0.5)
	for a := range w.addresses {
		if w.chance(math.Min(0.6, 2.5/float64(len(w.addresses)))) {
			s.addresses = append(s.addresses, a)
		}
	}
	w.services = append(w.services, s)
}

func drawReplicas(d dice, i int) int {
	switch {
	case i == 0 && d.chance(0.7), d.chance(0.04):
		return 1
	case d.chance(0.75):
		return 2 + d.IntN(4)
	default:
		return 2 + d.IntN(9)
	}
}

// addCallers has i called from the layer above it, and from others at random.
func (w *world) addCallers(i int, layers []int, quiet bool) {
	var above []int
	for j := range i {
		if layers[j] == layers[i]-1 {
			above = append(above, j)
		}
	}
	if len(above) == 0 { // a layer may be empty
		above = []int{w.IntN(i)}
	}
	callers := []int{pick(w.dice, above)}
	for range 3 {
		if j := w.IntN(i); layers[j] < layers[i] && w.chance(0.35) && !slices.Contains(callers, j) {
			callers = append(callers, j)
		}
	}
	for _, j := range callers {
		w.addEdge(j, i, quiet)
	}
}

func (w *world) addEdge(from, to int, quiet bool) {
	e := &edge{index: len(w.edges), from: from, to: to, use: w.drawUse(), calls: 1, critical: 1}
	if w.chance(0.4) {
		e.calls = float64(2 + w.IntN(3))
	}
	if w.chance(0.2) {
		e.calls = float64(5 + w.IntN(8))
	}
	if w.chance(0.4) {
		e.critical = []float64{0, 0, w.Float64()}[w.IntN(3)]
	}
	if !quiet && w.chance(0.3) {
		e.noise = w.scale(0.0001, 0.005)
	}
	w.edges = append(w.edges, e)
	w.services[from].out = append(w.services[from].out, e)
	w.services[to].in = append(w.services[to].in, e)
}

func (w *world) drawUse() float64 {
	return []float64{1, 0.5, w.between(0.1, 0.4), w.between(0.03, 0.08)}[weighted(w.Rand, 45, 22, 23, 10)]
}

// settle finds how busy each service is, and tames fan-out: what is called most
// gets no more than some ten thousand requests a minute.
func (w *world) settle() {
	for _, s := range w.services {
		s.usual = w.requests
		if s.index > 0 {
			s.usual = 0
		}
		for _, e := range s.in {
			s.usual += w.services[e.from].usual * e.use * e.calls
		}
		if most := 20_000.0; s.usual > most {
			for _, e := range s.in {
				e.use *= most / s.usual
			}
			s.usual = most
		}
	}
}

// populate gives every service its instances. It comes after it is known whose
// labels are withheld.
func (w *world) populate() {
	for _, s := range w.services {
		for range s.replicas {
			w.addPod(s, s.version, always)
		}
	}
}

func (w *world) addPod(s *service, version string, born int64) *pod {
	label := version
	if s.unlabelled {
		label = ""
	}
	p := &pod{
		service: s, name: w.names.instance(s.name, label), version: label, node: w.IntN(w.nodes),
		born: born, reports: born, gone: never, cpu: w.about(1, 0.04), memory: w.drawMemory(), slower: 1,
	}
	s.pods = append(s.pods, p)
	return p
}

// drawMemory gives every tenth instance almost all of its memory, which means
// nothing.
func (w *world) drawMemory() float64 {
	switch x := w.Float64(); {
	case x < 0.65:
		return w.between(0.02, 0.07)
	case x < 0.9:
		return w.between(0.1, 0.3)
	default:
		return w.between(0.8, 0.9)
	}
}

// callersOf are the services that reach s, itself included.
func (w *world) callersOf(s *service) []*service {
	seen := map[int]bool{s.index: true}
	callers := []*service{s}
	for i := 0; i < len(callers); i++ {
		for _, e := range callers[i].in {
			if !seen[e.from] {
				seen[e.from] = true
				callers = append(callers, w.services[e.from])
			}
		}
	}
	return callers
}

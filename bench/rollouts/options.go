package rollouts

import "math/rand/v2"

// Fault is what goes wrong.
type Fault string

// The faults of a new version.
const (
	Exception        Fault = "exception"         // a share of its requests fails, sometimes those of one caller only
	Latency          Fault = "latency"           // it is slow, and callers time out
	MemoryLeak       Fault = "memory leak"       // slower and fuller every minute, then errors
	WrongValue       Fault = "wrong value"       // its own calls succeed, its callers fail on what it says
	BadConfiguration Fault = "bad configuration" // its calls to what it depends on fail
	LostReplicas     Fault = "lost replicas"     // what is left is overloaded, and the new ones fail
	Silent           Fault = "silent"            // its instances never come up
	PartlySilent     Fault = "partly silent"     // its instances report now and then
)

// The faults without a deployment.
const (
	FlagChange           Fault = "flag change"           // on every instance of a service alike
	ConfigurationChange  Fault = "configuration change"  // on every instance of a service alike
	InfrastructureChange Fault = "infrastructure change" // a node, and a fact that says so
	ProviderDegraded     Fault = "provider degraded"     // an address that services share, and a fact that says so
	Dependency           Fault = "dependency"            // an address that services share, and nobody said anything
	Node                 Fault = "node"                  // instances of several services, and nobody said anything
	Spontaneous          Fault = "spontaneous"           // every instance of a service, and nothing was changed
	Surge                Fault = "surge"                 // more load than some services bear
	Weekly               Fault = "weekly"                // a surge of the same shape as a week ago
	FalseAlarm           Fault = "false alarm"           // nothing at all
)

// OfDeployments and OfOthers are all faults.
var (
	OfDeployments = []Fault{
		Exception, Latency, MemoryLeak, WrongValue, BadConfiguration, LostReplicas, Silent, PartlySilent,
	}
	OfOthers = []Fault{
		FlagChange, ConfigurationChange, InfrastructureChange, ProviderDegraded, Dependency, Node, Spontaneous,
		Surge, Weekly, FalseAlarm,
	}
)

// Withheld is how much of the change to blame is kept back, which makes it an
// undeclared one.
type Withheld int

// The degrees.
const (
	Nothing       Withheld = iota
	Events                 // the deployment's events; new instances still state their version
	EventsAndMore          // and the version of all instances of that service, in their names as well
)

// Views are whose measurements there are.
type Views int

// The views: each instance's of its edges, and those of an edge's two ends.
const (
	Pods Views = 1 << iota
	Sources
	Destinations
	AllViews = Pods | Sources | Destinations
)

// Options say what to generate. The zero Options are a small case of an
// exception, in all views, one minute after its detection.
type Options struct {
	Services int // measured ones: 5 to 500, 0: 10
	Minutes  int // from the detection to the cut, 0: 1
	Fault    Fault
	// Two adds a fault of another deployment at the same time.
	Two bool
	// Withheld applies to faults of deployments.
	Withheld Withheld
	Counts   bool  // requests and errors beside the ratio
	Views    Views // 0: all
}

func (o Options) orDefaults() Options {
	if o.Services == 0 {
		o.Services = 10
	}
	o.Services = min(max(o.Services, 5), 500)
	if o.Minutes == 0 {
		o.Minutes = 1
	}
	if o.Fault == "" {
		o.Fault = Exception
	}
	if o.Views == 0 {
		o.Views = AllViews
	}
	return o
}

// ofDeployment says whether the fault is a new version's.
func (f Fault) ofDeployment() bool {
	for _, d := range OfDeployments {
		if d == f {
			return true
		}
	}
	return false
}

// Draw returns options as cases may be met: mostly small, mostly a deployment
// to blame, in every sixth an undeclared one.
func Draw(random *rand.Rand) Options {
	o := Options{
		Services: drawSize(random), Minutes: 1, Fault: drawFault(random),
		Counts: random.Float64() < 0.3, Views: drawViews(random),
	}
	if random.Float64() < 0.4 {
		o.Minutes = 5
	}
	if !o.Fault.ofDeployment() {
		return o
	}
	o.Two = random.Float64() < 0.05
	// Without instances nothing tells an undeclared change from a spontaneous fault.
	if !o.Two && o.Views&Pods != 0 && random.Float64() < 0.28 {
		o.Withheld = EventsAndMore
		if random.Float64() < 0.25 {
			o.Withheld = Events
		}
	}
	return o
}

func drawSize(random *rand.Rand) int {
	switch x := random.Float64(); {
	case x < 0.65:
		return 5 + random.IntN(12)
	case x < 0.92:
		return 15 + random.IntN(45)
	case x < 0.985:
		return 60 + random.IntN(140)
	default:
		return 200 + random.IntN(301)
	}
}

// drawFault takes a deployment's in 62 of 100 cases.
func drawFault(random *rand.Rand) Fault {
	if random.Float64() < 0.62 {
		return OfDeployments[weighted(random, 22, 11, 9, 14, 14, 9, 14, 7)]
	}
	return OfOthers[weighted(random, 15, 15, 8, 8, 14, 12, 8, 8, 3, 14)]
}

func drawViews(random *rand.Rand) Views {
	return []Views{AllViews, Pods, Sources | Destinations, Sources, Destinations}[weighted(random, 74, 10, 10, 3, 3)]
}

// weighted draws an index, each as often as its weight says.
func weighted(random *rand.Rand, weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	x := random.IntN(sum)
	for i, w := range weights {
		if x < w {
			return i
		}
		x -= w
	}
	return 0
}

package world

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// The types of observations that are said, with the name each has in its row.
const (
	behavior   = event.Prefix + "behavior.recorded"
	measured   = event.Prefix + "service.measured"
	failed     = event.Prefix + "error.occurred"
	exposed    = event.Prefix + "experiment.exposed"
	assigned   = event.Prefix + "experiment.assigned"
	identified = event.Prefix + "user.identified"
)

// Producers publish with clocks of their own. The last one's is an hour ahead,
// the one before it an hour behind.
const Producers = 8

var skews = [Producers]event.Millis{0, 0, 7, -40, 900, -3000, -3_600_000, 3_600_000}

// Farthest is the time that a broken clock has stamped now and then.
var Farthest = event.MillisOf(time.Date(2100, 7, 1, 12, 0, 0, 0, time.UTC))

// HasTwin says whether a second content is said under the identity of
// observation n.
func HasTwin(n uint64) bool { return n%1009 == 3 }

// Observation says again what observation n states. Hash and provenance are
// not filled in. Of the numbers it states all but those that are event.Unknown,
// or that no world states.
func (w *World) Observation(n uint64) event.Observation {
	random := source(w.shape.Seed, purposeObservation, n)
	o := event.Observation{DurationMS: event.Unknown, Value: event.Unknown, IntervalMS: event.Unknown, Requests: event.Unknown, Errors: event.Unknown}
	producer := random.IntN(Producers)
	o.ID, o.Source = "o"+strconv.FormatUint(n, 10), "producer-"+strconv.Itoa(producer)
	o.Time = w.at(n/w.shape.PerSecond) + event.Millis(random.IntN(1000)) - lateness(random) + skews[producer]
	service, environment := w.place(random)
	o.Service, o.Environment = w.stated(random, service), environment
	switch kind := random.IntN(100); {
	case kind < 76:
		o.Type, o.Name = behavior, names[random.IntN(len(names))]
		o.User, o.OK = "u"+strconv.Itoa(random.IntN(50_000)), event.Truth(1+random.IntN(2))
		o.DurationMS, o.Value = float64(1+random.IntN(900)), float64(1+random.IntN(1000))
	case kind < 90:
		o.Type, o.Name = measured, "service.measured"
		o.IntervalMS, o.Requests, o.Errors = 60_000, float64(random.IntN(500)), float64(random.IntN(5))
	case kind < 95:
		o.Type, o.Name = failed, "error.occurred"
		o.Fingerprint, o.Message = "f"+strconv.Itoa(random.IntN(40)), "it failed"
	case kind < 97:
		o.Type, o.Name = exposed, "experiment.exposed"
		w.experiment(random, &o)
	case kind < 99:
		o.Type, o.Name = assigned, "experiment.assigned"
		w.experiment(random, &o)
	default:
		o.Type, o.Name = identified, "user.identified"
		o.Service, o.Environment = "", ""
		o.AnonymousID, o.User = "a"+strconv.Itoa(random.IntN(9999)), "u"+strconv.Itoa(random.IntN(50_000))
		w.extend(&o)
		return o
	}
	w.extend(&o)
	if o.Type == behavior || o.Type == measured || o.Type == failed {
		w.label(random, &o, service)
	}
	if n%50_021 == 17 {
		o.Time = Farthest
	}
	return o
}

// Twin is the other content of observation n.
func (w *World) Twin(n uint64) event.Observation {
	o := w.Observation(n)
	switch o.Type {
	case behavior:
		o.User, o.Value = o.User+"-twin", o.Value+1000
	case measured:
		o.Requests++
	case failed:
		o.Message = "it failed again"
	case identified:
		o.User += "-twin"
	default:
		o.Variant = "twin"
	}
	return o
}

var names = []string{"page.viewed", "cart.filled", "order.placed", "search.made"}

// lateness is mostly seconds, sometimes minutes, now and then hours.
func lateness(random *rand.Rand) event.Millis {
	switch chance := random.IntN(100); {
	case chance < 90:
		return event.Millis(random.IntN(2000))
	case chance < 98:
		return event.Millis(random.IntN(600_000))
	}
	return event.Millis(random.IntN(3 * 3_600_000))
}

// place is a service and an environment: one service has half of it all.
func (w *World) place(random *rand.Rand) (service int, environment string) {
	if random.IntN(2) == 0 {
		service = random.IntN(len(w.services))
	}
	return service, environments[min(random.IntN(10)/7, 1)]
}

var environments = []string{"production", "staging"}

// stated is the service's name, or another that means it.
func (w *World) stated(random *rand.Rand, service int) string {
	if random.IntN(25) == 0 {
		return alias(w.services[service])
	}
	return w.services[service]
}

func alias(service string) string { return "svc/" + service }

func (w *World) experiment(random *rand.Rand, o *event.Observation) {
	o.Experiment, o.Variant = "e"+strconv.Itoa(random.IntN(3)), []string{"on", "off"}[random.IntN(2)]
	o.UnitID = "u" + strconv.Itoa(random.IntN(50_000))
}

// label states the version or an instance of a release of about that time, or
// neither.
func (w *World) label(random *rand.Rand, o *event.Observation, service int) {
	number := w.releaseAt(service, o.Environment, o.Time) - []int{0, 0, 0, 1, 2, -1}[random.IntN(6)]
	switch random.IntN(3) {
	case 0:
		switch o.Version = version(number); random.IntN(50) {
		case 0:
			o.Version = "unheard-of"
		case 1, 2, 3, 4, 5:
			o.Version = strings.TrimPrefix(o.Version, "v") // as a package manager spells it
		}
	case 1:
		o.Instance = instance(service, o.Environment, number, random.IntN(3))
	}
}

// extend has producer 2 key by service: it wants its events of one service in
// one partition.
func (w *World) extend(o *event.Observation) {
	if o.Source == "producer-2" {
		o.Extensions = []event.Pair{{Key: "partitionkey", Value: o.Service + "/"}}
	}
}

func (w *World) sayObservation(n uint64, twin bool, repetition uint64) Said {
	o := w.Observation(n)
	if twin {
		o = w.Twin(n)
	}
	said := w.say(Observation, event.TopicFor(o.Type), observationLine(&o), format(source(w.shape.Seed, purposeFormat, n<<1|repetition)))
	said.Number, said.Twin, said.Worth = n, twin, worth(&o)
	return said
}

func worth(o *event.Observation) float64 {
	if math.IsNaN(o.Value) {
		return 0
	}
	return o.Value
}

// observationLine writes what Observation and Twin fill in.
func observationLine(o *event.Observation) string {
	w := newLine(o.Type, o.Source, o.ID, o.Time)
	for _, e := range o.Extensions {
		w.text(e.Key, e.Value)
	}
	w.data()
	if o.Type == behavior {
		w.text("name", o.Name)
	}
	w.text("service", o.Service)
	w.text("environment", o.Environment)
	w.text("version", o.Version)
	w.text("instance", o.Instance)
	w.text("user", o.User)
	w.text("experiment", o.Experiment)
	w.text("variant", o.Variant)
	w.text("unit_id", o.UnitID)
	w.text("anonymous_id", o.AnonymousID)
	w.text("fingerprint", o.Fingerprint)
	w.text("message", o.Message)
	w.number("duration_ms", o.DurationMS)
	w.number("value", o.Value)
	w.number("interval_ms", o.IntervalMS)
	w.number("requests", o.Requests)
	w.number("errors", o.Errors)
	if o.OK != event.Unstated {
		w.raw("ok", strconv.FormatBool(o.OK == event.True))
	}
	return w.end()
}

// Hashes are the content hashes of an observation's two contents, by which the
// greater wins.
func (w *World) Hashes(n uint64) (own, twin uint64) {
	var d codec.Decoder
	hash := func(o event.Observation) uint64 {
		var events codec.Events
		header := []codec.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
		if err := d.Decode(&events, event.Provenance{}, []byte(observationLine(&o)), header); err != nil {
			panic(err) // it was published
		}
		return events.Observations[0].Hash
	}
	return hash(w.Observation(n)), hash(w.Twin(n))
}

package world

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Shape says what to make.
type Shape struct {
	Seed         uint64
	Observations uint64 // how many, repetitions not counted
	PerSecond    uint64 // observations a second of event time
	Services     int    // 0: 24
	// FactsFirst holds all observations back until the last fact is said: a
	// world in which nothing has to be corrected.
	FactsFirst bool
}

// Start is when the first observation of every world happens: before a
// midnight, so that each world is of two days at least.
var Start = event.MillisOf(time.Date(2025, 6, 1, 23, 30, 0, 0, time.UTC))

// What a Said is.
type What uint8

// The kinds.
const (
	Observation What = iota
	Fact
	Other // a type from elsewhere that has no place of its own
	Bad   // becomes a dead letter
)

// Said is one event as it is published.
type Said struct {
	What  What
	Topic string
	codec.Message

	Number uint64  // of an Observation
	Twin   bool    // the other content under that observation's identity
	Worth  float64 // the value that the observation states, 0: none
	ID     string  // of an Other
	Reason string  // that a Bad one is buried for
}

// World makes the events of one shape, in order. It is not safe for concurrent
// use, but for Observation and Twin.
type World struct {
	shape    Shape
	services []string
	second   uint64 // of event time, the next to be said
	due      queue  // said later than they happened
	encoder  codec.Encoder
	random   *rand.Rand // of what is injected
	injected int
}

// New makes a world and says nothing yet.
func New(s Shape) *World {
	if s.Services == 0 {
		s.Services = 24
	}
	w := &World{shape: s, random: source(s.Seed, purposeInjected, 0)}
	for i := range s.Services {
		w.services = append(w.services, "service-"+strconv.Itoa(i))
	}
	w.begin()
	return w
}

// What random numbers are for: each purpose has a sequence of its own, so that
// asking one more question in one place changes no answer in another.
const (
	purposeObservation = iota
	purposeStory
	purposeRelease
	purposeFormat
	purposeInjected
)

func source(seed uint64, purpose, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed<<8|purpose, number))
}

// Seconds is how many seconds of event time the world has.
func (w *World) Seconds() uint64 {
	return (w.shape.Observations + w.shape.PerSecond - 1) / w.shape.PerSecond
}

// Now is the event time that has been reached.
func (w *World) Now() event.Millis { return w.at(w.second) }

func (w *World) at(second uint64) event.Millis { return Start + event.Millis(second)*1000 }

// Next is what is said in the next second; nil when the world is over but for
// the Rest.
func (w *World) Next() []Said {
	if w.second >= w.Seconds() {
		return nil
	}
	w.story()
	said := w.due.take(w.second)
	if !w.shape.FactsFirst {
		said = append(said, w.observations(w.second)...)
	}
	if len(said) == 0 { // nil is the end
		said = []Said{}
	}
	w.second++
	return said
}

// Rest is what the world still holds back. It may be asked for again after an
// injection.
func (w *World) Rest() []Said {
	said := w.due.all()
	if w.shape.FactsFirst {
		for second := range w.Seconds() {
			said = append(said, w.observations(second)...)
		}
		said = append(said, w.due.all()...)
		w.shape.FactsFirst = false
	}
	return said
}

// observations of a second, and puts their repetitions off.
func (w *World) observations(second uint64) []Said {
	from := second * w.shape.PerSecond
	to := min(from+w.shape.PerSecond, w.shape.Observations)
	said := make([]Said, 0, to-from)
	for n := from; n < to; n++ {
		said = append(said, w.sayObservation(n, false, 0))
		if n%97 == 5 {
			w.due.put(second+1+n%500, w.sayObservation(n, false, 1))
		}
		if HasTwin(n) {
			w.due.put(second+1+n%300, w.sayObservation(n, true, 0))
		}
	}
	return said
}

// say makes a record of an event given as a line of JSON in structured mode.
func (w *World) say(what What, topic, line string, format codec.Format) Said {
	m, err := w.encoder.Line([]byte(line), format)
	if err != nil {
		panic(fmt.Sprintf("a world says what nobody can read: %s: %v", line, err))
	}
	return Said{What: what, Topic: topic, Message: m}
}

// format is msgpack for three of four.
func format(random *rand.Rand) codec.Format {
	if random.IntN(4) == 0 {
		return codec.StructuredJSON
	}
	return codec.BinaryMsgpack
}

// queue holds what is said later, by the second.
type queue map[uint64][]Said

func (q *queue) put(second uint64, said ...Said) {
	if *q == nil {
		*q = queue{}
	}
	(*q)[second] = append((*q)[second], said...)
}

// take takes out what is due in a second.
func (q queue) take(second uint64) []Said {
	said := q[second]
	delete(q, second)
	return said
}

// all takes out everything, in order.
func (q queue) all() []Said {
	var said []Said
	for _, second := range slices.Sorted(maps.Keys(q)) {
		said = append(said, q.take(second)...)
	}
	return said
}

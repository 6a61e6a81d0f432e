package observe

import (
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// FarAhead is how far the time of an event may lie after that of its record
// without somebody's clock, or time zone, being wrong.
const FarAhead = 10 * time.Minute

// Ahead are events whose time lies further than [FarAhead] after that of their
// record.
type Ahead struct {
	Events int
	// First of them, and the time of its record; both nothing where there are none.
	First      event.Event
	ReceivedAt event.Millis
}

// AheadIn looks for them in a batch. The record's time is what they are compared
// with, so that a replay of old topics says what was said at the time.
func AheadIn(b *pipeline.Batch) (a Ahead) {
	for i := range b.Facts {
		a.look(&b.Facts[i].Event, b.Facts[i].ReceivedAt)
	}
	for i := range b.Observations {
		a.look(&b.Observations[i].Event, b.Observations[i].ReceivedAt)
	}
	for i := range b.Others {
		a.look(&b.Others[i].Event, b.Others[i].ReceivedAt)
	}
	return a
}

func (a *Ahead) look(e *event.Event, received event.Millis) {
	// A record of an old client has no time: nothing to compare with.
	if received <= 0 || e.Time-received <= event.Millis(FarAhead.Milliseconds()) {
		return
	}
	if a.Events++; a.Events == 1 {
		a.First, a.ReceivedAt = *e, received
	}
}

// FarAhead counts events of a topic that are.
func (m *Metrics) FarAhead(topic string, events int) {
	m.farAhead.WithLabelValues(topic).Add(float64(events))
}

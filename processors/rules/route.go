package rules

import (
	"fmt"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// routeRecord notes where record i goes too, as it is.
func routeRecord(b *pipeline.Batch, i int, routes []*rule) {
	r := &b.Records[i]
	for _, to := range routes {
		b.Routed = append(b.Routed, pipeline.Routed{
			Provenance: b.Provenance(i), Rule: to.name, To: to.route, Key: r.Key, Value: r.Value, Headers: r.Headers,
		})
	}
}

// route notes where an event goes too: as a CloudEvent in structured mode,
// whatever it came as.
func (w *round) route(e *said) error {
	if len(e.routes) == 0 {
		return nil
	}
	data, err := e.json()
	if err != nil {
		return e.routes[0].fault("route", err)
	}
	m, err := w.encoder.Fact(&event.Fact{Event: e.Event, Data: data}, codec.StructuredJSON)
	if err != nil {
		return e.routes[0].fault("route", fmt.Errorf("event.data: %w", err))
	}
	headers := make([]pipeline.Header, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = pipeline.Header(h)
	}
	for _, to := range e.routes {
		w.batch.Routed = append(w.batch.Routed, pipeline.Routed{
			Provenance: e.from, Rule: to.name, To: to.route, Key: m.Key, Value: m.Value, Headers: headers,
		})
	}
	return nil
}

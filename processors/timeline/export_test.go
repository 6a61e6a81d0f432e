package timeline

import "github.com/whencehq/whence/schemas/event"

// Peek answers o from what is in memory; known is false where that lacks
// something.
func (m *Memory) Peek(o event.Observation) (e event.Enrichment, known bool) {
	out := make([]event.Enrichment, 1)
	_, l := m.enrich([]event.Observation{o}, out)
	return out[0], l == nil
}

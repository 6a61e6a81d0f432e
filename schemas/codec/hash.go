package codec

import (
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// hashEvent is the content hash: over type, source, id, subject, time, what any
// event may carry, the extensions, and data. It doesn't see how the event was
// written: format, mode, order, datacontenttype, specversion.
//
// A shared field counts as resolved (attribute before data) and, where data
// states it, as data too. So an event read back from the context log, where
// they are attributes, has the hash it went in with.
func hashEvent(e *event.Event, data value.Value) uint64 { return hashWith(e, data.Hash()) }

// hashKept is the content hash of what was kept as its source sent it. The time
// may be that of its arrival, and the extensions say what today's mapping could
// not place: sent again, or read by a later version, it is the same content.
func hashKept(e *event.Event, data value.Value) uint64 {
	return hashWith(&event.Event{Type: e.Type, Source: e.Source, ID: e.ID}, data.Hash())
}

// hashWith is hashEvent where the hash of data is known.
func hashWith(e *event.Event, data uint64) uint64 {
	h := value.HashText(e.Type)
	for _, s := range [...]string{e.Source, e.ID, e.Subject} {
		h = value.Mix(h, value.HashText(s))
	}
	h = value.Mix(h, uint64(e.Time))
	for i, s := range [...]string{e.Tenant, e.Region, e.Cluster, e.Cell, e.TraceID, e.Sequence} {
		if s != "" {
			h = value.Mix(h+uint64(i)+1, value.HashText(s))
		}
	}
	for i := range e.Extensions { // sorted
		h = value.Mix(h, value.Mix(value.HashText(e.Extensions[i].Key), value.HashText(e.Extensions[i].Value)))
	}
	return value.Mix(h, data)
}

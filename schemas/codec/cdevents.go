package codec

import (
	"strings"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// CDEventsPrefix starts the name of every CDEvents type.
const CDEventsPrefix = "dev.cdevents."

// isCDEvent recognises a bare CDEvent (cdevents.dev, specification 0.4 to
// 0.6): context and subject at the top, and no CloudEvents envelope.
func isCDEvent(root value.Value) bool {
	return root.At("context").Kind() == value.Object && root.At("subject").Kind() == value.Object &&
		!root.Field("specversion").Exists()
}

// openCDEvent reads the envelope off a bare CDEvent as the CloudEvents binding
// for CDEvents maps it, so that an event is the same one bare and wrapped. The
// version (context.version until 0.4, context.specversion since) is not
// looked at: what we read is the same in all.
func (d *Decoder) openCDEvent(root value.Value) *Fault {
	d.in.cdevents = true
	e := &d.in.event
	for _, a := range [...]struct {
		to   *string
		path [2]string
	}{
		{&e.ID, [2]string{"context", "id"}}, {&e.Source, [2]string{"context", "source"}},
		{&e.Type, [2]string{"context", "type"}}, {&d.in.time, [2]string{"context", "timestamp"}},
		{&e.Subject, [2]string{"subject", "id"}},
	} {
		v := root.At(a.path[:]...)
		text, ok := v.Text()
		if v.Exists() && !ok {
			return wrongType(strings.Join(a.path[:], "."), event.StringField, v)
		}
		*a.to = text
	}
	if e.Type != "" && !strings.HasPrefix(e.Type, CDEventsPrefix) {
		return fault(Malformed, "context.type: %s is no CDEvents type, and there is no CloudEvents envelope", quote(e.Type))
	}
	d.in.data = root
	return nil
}

package codec

import (
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// slot is a field of an observation, in the order of their kinds.
type slot uint8

const (
	slotName slot = iota
	slotService
	slotEnvironment
	slotUser
	slotSession
	slotVersion
	slotInstance
	slotExperiment
	slotVariant
	slotUnitID
	slotAnonymousID
	slotFingerprint
	slotMessage
	slotCaller
	slotCallee
	slotDurationMS // numbers from here
	slotValue
	slotWeight
	slotIntervalMS
	slotRequests
	slotErrors
	slotSuccessRatio
	slotLatencyMS
	slotLatencyP99MS
	slotCPURatio
	slotMemoryRatio
	slotOK // each of its own kind from here
	slotAttributes
	slotFrames
	slotNone
)

var slotNames = [slotNone]string{
	"name", "service", "environment", "user", "session", "version", "instance", "experiment", "variant", "unit_id",
	"anonymous_id", "fingerprint", "message", "caller", "callee",
	"duration_ms", "value", "weight", "interval_ms", "requests", "errors", "success_ratio", "latency_ms", "latency_p99_ms",
	"cpu_ratio", "memory_ratio", "ok", "attributes", "frames",
}

// slotOf is a switch and not a map: it costs a third, and this is done for
// each field of each observation. A test holds it to slotNames.
func slotOf(name string) slot {
	switch name {
	case "name":
		return slotName
	case "service":
		return slotService
	case "environment":
		return slotEnvironment
	case "user":
		return slotUser
	case "session":
		return slotSession
	case "version":
		return slotVersion
	case "instance":
		return slotInstance
	case "experiment":
		return slotExperiment
	case "variant":
		return slotVariant
	case "unit_id":
		return slotUnitID
	case "anonymous_id":
		return slotAnonymousID
	case "fingerprint":
		return slotFingerprint
	case "message":
		return slotMessage
	case "caller":
		return slotCaller
	case "callee":
		return slotCallee
	case "duration_ms":
		return slotDurationMS
	case "value":
		return slotValue
	case "weight":
		return slotWeight
	case "interval_ms":
		return slotIntervalMS
	case "requests":
		return slotRequests
	case "errors":
		return slotErrors
	case "success_ratio":
		return slotSuccessRatio
	case "latency_ms":
		return slotLatencyMS
	case "latency_p99_ms":
		return slotLatencyP99MS
	case "cpu_ratio":
		return slotCPURatio
	case "memory_ratio":
		return slotMemoryRatio
	case "ok":
		return slotOK
	case "attributes":
		return slotAttributes
	case "frames":
		return slotFrames
	}
	return slotNone
}

func textSlot(o *event.Observation, s slot) *string {
	switch s {
	case slotName:
		return &o.Name
	case slotService:
		return &o.Service
	case slotEnvironment:
		return &o.Environment
	case slotUser:
		return &o.User
	case slotSession:
		return &o.Session
	case slotVersion:
		return &o.Version
	case slotInstance:
		return &o.Instance
	case slotExperiment:
		return &o.Experiment
	case slotVariant:
		return &o.Variant
	case slotUnitID:
		return &o.UnitID
	case slotAnonymousID:
		return &o.AnonymousID
	case slotFingerprint:
		return &o.Fingerprint
	case slotMessage:
		return &o.Message
	case slotCaller:
		return &o.Caller
	case slotCallee:
		return &o.Callee
	}
	return nil
}

func numberSlot(o *event.Observation, s slot) *float64 {
	switch s {
	case slotDurationMS:
		return &o.DurationMS
	case slotValue:
		return &o.Value
	case slotWeight:
		return &o.Weight
	case slotIntervalMS:
		return &o.IntervalMS
	case slotRequests:
		return &o.Requests
	case slotErrors:
		return &o.Errors
	case slotSuccessRatio:
		return &o.SuccessRatio
	case slotLatencyMS:
		return &o.LatencyMS
	case slotLatencyP99MS:
		return &o.LatencyP99MS
	case slotCPURatio:
		return &o.CPURatio
	case slotMemoryRatio:
		return &o.MemoryRatio
	}
	return nil
}

// slotsOf are the fields that a type names, a bit each: `caller` in an error is
// no caller but an unknown field, and kept as one.
var slotsOf = func() map[*event.Type]uint64 {
	m := map[*event.Type]uint64{}
	for _, t := range event.Types() {
		if !t.Observation {
			continue
		}
		for _, f := range t.Fields {
			m[t] |= 1 << slotOf(f.Name)
		}
	}
	return m
}()

// member is a member of data that has no column.
type member struct {
	key string
	v   value.Value
}

// fillObservation reads data into o, which has its envelope already, and
// completes it.
func (d *Decoder) fillObservation(o *event.Observation, t *event.Type) *Fault {
	for s := slotDurationMS; s <= slotMemoryRatio; s++ {
		*numberSlot(o, s) = event.Unknown
	}
	if d.in.data.Exists() && d.in.data.Kind() != value.Object {
		return wrongType("data", event.ObjectField, d.in.data)
	}
	d.extra = d.extra[:0]
	known := slotsOf[t]
	for key, v := range d.in.data.Members() {
		s := slotOf(key)
		if known&(1<<s) == 0 {
			field := o.Event.SharedField(key)
			if field == nil {
				d.extra = append(d.extra, member{key, v})
				continue
			}
			if !holds(v, event.TokenField) {
				return wrongType("data."+key, event.TokenField, v)
			}
			d.fillShared(field, v)
			continue
		}
		if f := d.fillSlot(o, s, v); f != nil {
			return f
		}
	}
	o.Hash = hashEvent(&o.Event, d.in.data)
	if known&(1<<slotName) == 0 {
		o.Name = t.Name[len(event.Prefix):]
	}
	if len(d.extra) > 0 {
		o.Extra = d.extraJSON()
	}
	return nil
}

func (d *Decoder) fillSlot(o *event.Observation, s slot, v value.Value) *Fault {
	switch {
	case s < slotDurationMS:
		text, ok := v.Text()
		if !ok {
			return wrongType("data."+slotNames[s], event.StringField, v)
		}
		*textSlot(o, s) = text
	case s < slotOK:
		n, ok := v.Number()
		if !ok {
			return wrongType("data."+slotNames[s], event.NumberField, v)
		}
		*numberSlot(o, s) = n
	case s == slotOK:
		b, ok := v.Bool()
		if !ok {
			return wrongType("data.ok", event.BoolField, v)
		}
		o.OK = event.False
		if b {
			o.OK = event.True
		}
	case s == slotAttributes:
		return d.fillAttributes(o, v)
	case s == slotFrames:
		return d.fillFrames(o, v)
	}
	return nil
}

func (d *Decoder) fillAttributes(o *event.Observation, v value.Value) *Fault {
	if v.Kind() != value.Object {
		return wrongType("data.attributes", event.ObjectField, v)
	}
	var few [16]event.Pair
	pairs := few[:0]
	for key, attribute := range v.Members() {
		pairs = append(pairs, event.Pair{Key: key, Value: d.plain(attribute)})
	}
	o.Attributes = d.pairs.copy(pairs)
	slices.SortFunc(o.Attributes, comparePairs)
	return nil
}

func (d *Decoder) fillFrames(o *event.Observation, v value.Value) *Fault {
	if v.Kind() != value.Array {
		return wrongType("data.frames", event.ListField, v)
	}
	o.Frames = make([]string, 0, v.Len())
	for frame := range v.Elements() {
		o.Frames = append(o.Frames, d.plain(frame))
	}
	return nil
}

// extraJSON is the canonical object of the members that have no column.
func (d *Decoder) extraJSON() string {
	slices.SortFunc(d.extra, func(a, b member) int { return strings.Compare(a.key, b.key) })
	w := writer{}
	w.ObjStart()
	for _, m := range d.extra {
		w.field(m.key)
		w.value(m.v)
	}
	w.ObjEnd()
	return view(w.Buf)
}

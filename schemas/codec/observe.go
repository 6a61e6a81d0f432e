package codec

import (
	"math/bits"
	"slices"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Blank is an observation of an own type that says nothing yet.
func Blank(typ string) event.Observation {
	o := event.Observation{Event: event.Event{Type: typ}}
	for s := slotDurationMS; s <= slotMemoryRatio; s++ {
		*numberSlot(&o, s) = event.Unknown
	}
	return o
}

// Observe adds o to out. It is [Decoder.Say] for sources that bring observations
// by the hundred thousand: it makes the same of them, hash and all, without
// writing JSON and reading it again.
//
// o is a Blank with the fields filled in that its type names; empty strings and
// lists are left out. Attributes come in any order, of equal keys the last counts,
// and they are copied, for o to be filled again; a type that names none has them
// in Extra, as JSON has what a type does not name. The error is a *Fault, and then out is as it was.
func (d *Decoder) Observe(out *Events, from event.Provenance, o *event.Observation) error {
	t := event.Lookup(o.Type)
	if t == nil || !t.Observation {
		return fault(UnknownType, "type: %s is no observation", quote(o.Type))
	}
	if f := d.enter(o.Event, value.Value{}); f != nil {
		return f
	}
	known := slotsOf[t]
	o.Attributes = sortedPairs(o.Attributes)
	data, f := hashObservation(o, known|1<<slotAttributes)
	if f != nil {
		return f
	}
	n := len(out.Observations)
	out.Observations = append(out.Observations, *o)
	said := &out.Observations[n]
	said.Event, said.Provenance = d.in.event, from
	said.Hash = hashWith(&said.Event, data)
	if known&(1<<slotName) == 0 {
		said.Name = t.Name[len(event.Prefix):]
	}
	if known&(1<<slotAttributes) != 0 {
		said.Attributes = d.pairs.copy(o.Attributes)
	} else {
		said.Attributes, said.Extra = nil, attributesAsExtra(o.Attributes)
	}
	if err := CheckObservation(said); err != nil {
		out.Observations = out.Observations[:n]
		return err
	}
	return nil
}

// keyHashes are the hashes of the slots' names.
var keyHashes = func() (hashes [slotNone]uint64) {
	for s, name := range slotNames {
		hashes[s] = value.HashText(name)
	}
	return hashes
}()

// hashObservation is the hash of the data that says o, of the slots in known.
func hashObservation(o *event.Observation, known uint64) (uint64, *Fault) {
	var data value.ObjectHash
	for ; known != 0; known &= known - 1 {
		s := slot(bits.TrailingZeros64(known))
		hash, stated, f := hashSlot(o, s)
		if f != nil {
			return 0, f
		}
		if stated {
			data.Add(keyHashes[s], hash)
		}
	}
	return data.Hash(), nil
}

func hashSlot(o *event.Observation, s slot) (hash uint64, stated bool, f *Fault) {
	switch {
	case s < slotDurationMS:
		text := *textSlot(o, s)
		if !value.ValidUTF8(bytesOf(text)) {
			return 0, false, fault(InvalidUTF8, "data.%s: invalid UTF-8", slotNames[s])
		}
		return value.HashString(text), text != "", nil
	case s < slotOK:
		n := *numberSlot(o, s)
		if n != n {
			return 0, false, nil
		}
		hash, ok := value.HashNumber(n)
		if !ok {
			return 0, false, fault(WrongType, "data.%s: must be a number, is infinite", slotNames[s])
		}
		return hash, true, nil
	case s == slotOK:
		return value.HashBool(o.OK == event.True), o.OK != event.Unstated, nil
	case s == slotAttributes:
		return hashAttributes(o.Attributes)
	}
	for _, frame := range o.Frames {
		if !value.ValidUTF8(bytesOf(frame)) {
			return 0, false, fault(InvalidUTF8, "data.frames: invalid UTF-8")
		}
	}
	return value.HashStrings(o.Frames), len(o.Frames) > 0, nil
}

func hashAttributes(attributes []event.Pair) (hash uint64, stated bool, f *Fault) {
	var object value.ObjectHash
	for i := range attributes {
		a := &attributes[i]
		if !value.ValidUTF8(bytesOf(a.Key)) || !value.ValidUTF8(bytesOf(a.Value)) {
			return 0, false, fault(InvalidUTF8, "data.attributes: invalid UTF-8 in %s", quote(a.Key))
		}
		object.Add(value.HashText(a.Key), value.HashString(a.Value))
	}
	return object.Hash(), len(attributes) > 0, nil
}

// sortedPairs sorts by key, each key once: the last. What an instrumentation
// library writes is mostly in one order, and short: then insertion beats a
// general sort by two.
func sortedPairs(pairs []event.Pair) []event.Pair {
	if len(pairs) > 32 {
		slices.SortStableFunc(pairs, comparePairs)
	} else {
		for i := 1; i < len(pairs); i++ {
			for j := i; j > 0 && pairs[j].Key < pairs[j-1].Key; j-- {
				pairs[j], pairs[j-1] = pairs[j-1], pairs[j]
			}
		}
	}
	for i := 1; i < len(pairs); i++ {
		if pairs[i].Key == pairs[i-1].Key {
			return lastOfEach(pairs)
		}
	}
	return pairs
}

func lastOfEach(sorted []event.Pair) []event.Pair {
	last := 0
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Key != sorted[last].Key {
			last++
		}
		sorted[last] = sorted[i]
	}
	return sorted[:min(last+1, len(sorted))]
}

// attributesAsExtra is {"attributes": {...}}, canonical; empty where there are none.
func attributesAsExtra(attributes []event.Pair) string {
	if len(attributes) == 0 {
		return ""
	}
	var w, object writer
	w.ObjStart()
	w.field(slotNames[slotAttributes])
	object.Writer = w.Writer
	object.ObjStart()
	for _, a := range attributes {
		object.field(a.Key)
		object.Str(a.Value)
	}
	object.ObjEnd()
	object.Writer.ObjEnd()
	return view(object.Buf)
}

package codec

import (
	"strconv"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Check holds data against a type's rules: required fields are there and not
// empty, each field holds what it must, one of the values allowed, and times
// within the years that events may have. That goes for what any event may carry
// too. Other fields may hold anything. The error is a *Fault.
func Check(t *event.Type, data value.Value) error {
	if data.Exists() && data.Kind() != value.Object {
		return wrongType("data", event.ObjectField, data)
	}
	for _, fields := range [...][]event.Field{t.Fields, event.Shared()} {
		if f := checkFields("data", fields, data); f != nil {
			return f
		}
	}
	return nil
}

func checkFields(path string, fields []event.Field, in value.Value) *Fault {
	for i := range fields {
		field := &fields[i]
		v := in.Field(field.Name)
		at := path + "." + field.Name
		if !v.Exists() {
			if field.Required {
				return missing(at)
			}
			continue
		}
		if f := checkField(at, field, v); f != nil {
			return f
		}
	}
	return nil
}

func checkField(path string, field *event.Field, v value.Value) *Fault {
	if !holds(v, field.Kind) {
		return wrongType(path, field.Kind, v)
	}
	switch field.Kind {
	case event.StringField:
		return checkText(path, field, textOf(v))
	case event.TimeField:
		return checkMoment(path, textOf(v))
	case event.ObjectField:
		return checkFields(path, field.Fields, v)
	case event.StringsField, event.ListField:
		return checkLength(path, field, v)
	case event.ObjectsField:
		if f := checkLength(path, field, v); f != nil {
			return f
		}
		i := 0
		for element := range v.Elements() {
			if f := checkFields(path+"["+strconv.Itoa(i)+"]", field.Fields, element); f != nil {
				return f
			}
			i++
		}
	}
	return nil
}

func checkMoment(path, s string) *Fault {
	t, ok := parseTime(s)
	if !ok {
		return fault(Invalid, "%s: %s is no RFC 3339 time", path, quote(s))
	}
	if !within(t) {
		return fault(Invalid, "%s: %s is not within the years 2000 to 2100", path, quote(s))
	}
	return nil
}

func checkLength(path string, field *event.Field, v value.Value) *Fault {
	if field.Required && v.Len() == 0 {
		return missing(path)
	}
	return nil
}

func checkText(path string, field *event.Field, s string) *Fault {
	if s == "" {
		if field.Required {
			return missing(path)
		}
		return nil
	}
	if len(field.Allowed) == 0 {
		return nil
	}
	for _, allowed := range field.Allowed {
		if s == allowed {
			return nil
		}
	}
	return fault(Invalid, "%s: %s is none of %q", path, quote(s), field.Allowed)
}

// holds tells whether v is of a field's kind.
func holds(v value.Value, kind event.FieldKind) bool {
	switch k := v.Kind(); kind {
	case event.StringField, event.TimeField:
		return k == value.String
	case event.NumberField:
		return k == value.Int || k == value.Uint || k == value.Float
	case event.IntegerField:
		return k == value.Int
	case event.BoolField:
		return k == value.Bool
	case event.ObjectField:
		return k == value.Object
	case event.ListField:
		return k == value.Array
	case event.TokenField:
		return k == value.String || k == value.Int || k == value.Uint
	case event.StringsField:
		return holdsOnly(v, value.String)
	case event.ObjectsField:
		return holdsOnly(v, value.Object)
	}
	return true
}

func holdsOnly(v value.Value, kind value.Kind) bool {
	if v.Kind() != value.Array {
		return false
	}
	for element := range v.Elements() {
		if element.Kind() != kind {
			return false
		}
	}
	return true
}

// CheckObservation is Check for what Decode made of an observation. Decode has
// checked what the fields hold, so what is left is whether the required ones
// are there. The error is a *Fault.
func CheckObservation(o *event.Observation) error {
	t := event.Lookup(o.Type)
	if t == nil || !t.Observation {
		return fault(UnknownType, "type: %s is no observation", quote(o.Type))
	}
	for _, s := range requiredOf[t] {
		if s < slotDurationMS {
			if *textSlot(o, s) == "" {
				return missing("data." + slotNames[s])
			}
		} else if n := *numberSlot(o, s); n != n {
			return missing("data." + slotNames[s])
		}
	}
	return nil
}

// requiredOf are the required fields of the types of observations: strings
// and numbers all.
var requiredOf = func() map[*event.Type][]slot {
	m := map[*event.Type][]slot{}
	for _, t := range event.Types() {
		if !t.Observation {
			continue
		}
		for _, f := range t.Fields {
			if f.Required {
				m[t] = append(m[t], slotOf(f.Name))
			}
		}
	}
	return m
}()

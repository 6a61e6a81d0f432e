package event

import "slices"

//go:generate go test ../jsonschema -run TestFilesAreCurrent -rewrite

// Prefix starts the name of every type of Whence's own. A type with it that is
// not in the registry is a dead letter.
const Prefix = "io.whence."

// FieldKind is what a field of data holds.
type FieldKind uint8

// The kinds of fields.
const (
	StringField  FieldKind = iota
	NumberField            // any number
	IntegerField           // a whole number that fits int64
	BoolField
	TimeField    // an RFC 3339 string
	StringsField // an array of strings
	ObjectField
	ObjectsField // an array of objects
	ListField    // an array of anything
	TokenField   // a string or a whole number, kept as a string
	AnyField
)

// String says the kind with its article, for messages.
func (k FieldKind) String() string {
	return [...]string{"a string", "a number", "an integer", "a boolean", "an RFC 3339 time", "a list of strings",
		"an object", "a list of objects", "a list", "a string or whole number", "a value"}[k]
}

// Field is one field of a type's data.
type Field struct {
	Name     string
	Kind     FieldKind
	Required bool
	// Allowed are the only values a string may have; empty: any.
	Allowed []string
	// Retroactive: the last word holds for all time (an incident's started_at).
	// Else the field is temporal: what it says is true from its event's time on
	// (severity, percent). Observations are of their moment; it means nothing there.
	Retroactive bool
	// Fields are required inside an object, or inside each of a list of objects.
	Fields []Field
	// Doc says what the field is, with its unit.
	Doc string
}

// Type is one event type: what it is and what its data holds.
type Type struct {
	Name string // with Prefix
	// Observation tells observations from facts.
	Observation bool
	// EntityKind is what a fact speaks of, and IDField where its id is; both
	// empty for observations.
	EntityKind, IDField string
	// Topic is the default topic.
	Topic  string
	Doc    string
	Fields []Field
}

// Field returns the field of that name, nil where the type names none.
func (t *Type) Field(name string) *Field {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

// Lookup returns the type of that full name, nil where the registry has none.
func Lookup(name string) *Type { return byName[name] }

// Types are all types, sorted by name. Not to be changed.
func Types() []*Type { return types }

// Shared are the fields that every event may carry, in data or as an extension
// attribute (trace_id there as traceid too, since CloudEvents has no
// underscores in names). Where both state one, the attribute wins.
func Shared() []Field { return shared }

var (
	types  = sortedTypes()
	byName = func() map[string]*Type {
		m := make(map[string]*Type, len(types))
		for _, t := range types {
			m[t.Name] = t
		}
		return m
	}()
)

func sortedTypes() []*Type {
	all := slices.Concat(catalogTypes(), deliveryTypes(), incidentTypes(), auditTypes(), observationTypes())
	for _, t := range all {
		t.Name = Prefix + t.Name
	}
	slices.SortFunc(all, func(a, b *Type) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

package jsonschema

import (
	"bytes"
	"encoding/json"

	"github.com/whencehq/whence/schemas/event"
)

// schema is as much of JSON Schema as the registry needs.
type schema struct {
	Draft       string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a string or a list of them
	Const       string             `json:"const,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Format      string             `json:"format,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
}

// File is the name of a type's schema file.
func File(t *event.Type) string { return t.Name + ".json" }

// Document is the schema of a type's events in structured mode, indented,
// ending in a newline.
func Document(t *event.Type) []byte {
	attribute := func(doc string) *schema { return &schema{Type: "string", MinLength: 1, Description: doc} }
	optional := func(doc string) *schema { return &schema{Type: []string{"string", "null"}, Description: doc} }
	fixed := func(text, doc string) *schema { return &schema{Const: text, Description: doc} }
	event := &schema{
		Draft:       "https://json-schema.org/draft/2020-12/schema",
		ID:          "urn:whence:schema:" + t.Name,
		Title:       t.Name,
		Description: t.Doc,
		Type:        "object",
		Properties: map[string]*schema{
			"specversion":     fixed("1.0", "The version of CloudEvents."),
			"type":            fixed(t.Name, "The type of the event."),
			"id":              attribute("The id of the event: with source and type, its identity."),
			"source":          attribute("Who says it."),
			"time":            {Type: "string", Format: "date-time", Description: "When it happened: RFC 3339, from 2000 to 2100, milliseconds count."},
			"subject":         optional("What it is about."),
			"datacontenttype": optional("The media type of data: application/json."),
			"data":            dataSchema(t),
		},
		Required: []string{"specversion", "id", "source", "type", "time"},
	}
	if len(event.Properties["data"].Required) > 0 {
		event.Required = append(event.Required, "data")
	}
	return indented(event)
}

func dataSchema(t *event.Type) *schema {
	data := objectSchema(t.Fields)
	for _, f := range event.Shared() {
		data.Properties[f.Name] = fieldSchema(&f)
	}
	return data
}

func objectSchema(fields []event.Field) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}}
	for i := range fields {
		f := &fields[i]
		s.Properties[f.Name] = fieldSchema(f)
		if f.Required {
			s.Required = append(s.Required, f.Name)
		}
	}
	return s
}

// fieldSchema is a field's schema. A field that may be absent may be null,
// which says the same.
func fieldSchema(f *event.Field) *schema {
	s := kindSchema(f)
	s.Description = f.Doc
	for _, allowed := range f.Allowed {
		s.Enum = append(s.Enum, allowed)
	}
	if f.Required {
		switch f.Kind {
		case event.StringField:
			s.MinLength = 1
		case event.StringsField, event.ObjectsField, event.ListField:
			s.MinItems = 1
		}
		return s
	}
	if len(s.Enum) > 0 {
		s.Enum = append(s.Enum, "", nil) // an empty string says nothing either
	}
	switch kind := s.Type.(type) {
	case string:
		s.Type = []string{kind, "null"}
	case []string:
		s.Type = append(kind, "null")
	}
	return s
}

func kindSchema(f *event.Field) *schema {
	switch f.Kind {
	case event.StringField:
		return &schema{Type: "string"}
	case event.NumberField:
		return &schema{Type: "number"}
	case event.IntegerField:
		return &schema{Type: "integer"}
	case event.BoolField:
		return &schema{Type: "boolean"}
	case event.TimeField:
		return &schema{Type: "string", Format: "date-time"}
	case event.StringsField:
		return &schema{Type: "array", Items: &schema{Type: "string"}}
	case event.ObjectField:
		return objectSchema(f.Fields)
	case event.ObjectsField:
		return &schema{Type: "array", Items: objectSchema(f.Fields)}
	case event.ListField:
		return &schema{Type: "array"}
	case event.TokenField:
		return &schema{Type: []string{"string", "integer"}}
	}
	// Anything, but where it is required not null.
	return &schema{Type: []string{"string", "number", "boolean", "object", "array"}}
}

func indented(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err) // strings and maps of them
	}
	return buf.Bytes()
}

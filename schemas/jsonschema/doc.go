// Package jsonschema writes the public documents of the event types, from the
// one table in package event: a JSON Schema (draft 2020-12) a type, of the
// structured CloudEvent, in this folder; and an AsyncAPI 3 document of the
// topics, beside it.
//
// Run `go generate ./schemas/event` after a change of the table; a test fails
// until the files are current.
//
// What a schema accepts is what `whence publish` accepts (a test holds the two
// together), but for what JSON Schema can't say: the years 2000 to 2100, the
// depth and size of an event, and that equal keys are allowed.
package jsonschema

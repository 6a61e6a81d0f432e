package world

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// line writes an event in structured mode. What is not stated is left out, and
// the names of a world need no escapes.
type line struct{ strings.Builder }

func newLine(typ, source, id string, at event.Millis) *line {
	l := &line{}
	l.Grow(320)
	l.WriteString(`{"specversion":"1.0"`)
	l.text("type", typ)
	l.text("source", source)
	l.text("id", id)
	l.text("time", clock(at))
	return l
}

func clock(at event.Millis) string { return at.Time().Format("2006-01-02T15:04:05.000Z") }

// data begins the event's data, which may stay empty.
func (l *line) data() { l.WriteString(`,"data":{`) }

func (l *line) end() string {
	l.WriteString("}}")
	return l.String()
}

func (l *line) raw(name, value string) {
	if text := l.String(); text[len(text)-1] != '{' {
		l.WriteByte(',')
	}
	l.WriteString(`"` + name + `":` + value)
}

func (l *line) text(name, s string) {
	if s != "" {
		l.raw(name, `"`+s+`"`)
	}
}

func (l *line) number(name string, n float64) {
	if !math.IsNaN(n) {
		l.raw(name, strconv.FormatFloat(n, 'f', -1, 64))
	}
}

// object is the data of a fact.
type object map[string]any

func factLine(typ, source, id string, at event.Millis, data object) string {
	l := newLine(event.Prefix+typ, source, id, at)
	l.WriteString(`,"data":`)
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // maps of strings, numbers and lists
	}
	l.Write(text)
	l.WriteByte('}')
	return l.String()
}

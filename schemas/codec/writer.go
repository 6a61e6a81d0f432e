package codec

import (
	"github.com/go-faster/jx"

	"github.com/whencehq/whence/schemas/value"
)

// writer is jx's, with the commas of an object written for us.
type writer struct {
	jx.Writer
	fields int
}

func (w *writer) field(name string) {
	if w.fields > 0 {
		w.Comma()
	}
	w.fields++
	w.FieldStart(name)
}

func (w *writer) value(v value.Value) { w.Buf = v.AppendJSON(w.Buf) }

// text writes a field that is not empty.
func (w *writer) text(name, s string) {
	if s != "" {
		w.field(name)
		w.Str(s)
	}
}

package rules

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// apply makes an event of what in is; what the mapping leaves out it has from
// was and its data.
func (m *mapping) apply(in *input, was event.Event, data string) (event.Event, string, error) {
	e := was
	e.Type, e.Hash = m.name, 0
	for _, attribute := range []struct {
		name string
		from *program
		to   *string
	}{{"id", m.id, &e.ID}, {"source", m.source, &e.Source}, {"subject", m.subject, &e.Subject}} {
		if attribute.from == nil {
			continue
		}
		s, err := attribute.from.text(in)
		if err != nil {
			return e, "", fmt.Errorf("%s: %w", attribute.name, err)
		}
		*attribute.to = s
	}
	if m.time != nil {
		at, err := m.time.moment(in)
		if err != nil {
			return e, "", fmt.Errorf("time: %w", err)
		}
		e.Time = event.MillisOf(at)
	}
	text, err := m.data(in, data)
	return e, text, err
}

// data of the event, as JSON.
func (m *mapping) data(in *input, was string) (string, error) {
	if m.whole == nil && len(m.fields) == 0 {
		return was, nil
	}
	var out any
	if m.whole != nil {
		v, err := m.whole.value(in)
		if err != nil {
			return "", fmt.Errorf("data: %w", err)
		}
		out = v
	}
	for i := range m.fields {
		v, err := m.fields[i].value(in)
		if err == nil {
			out, err = put(out, m.fields[i].at, v)
		}
		if err != nil {
			return "", fmt.Errorf("data.%s: %w", m.fields[i].at, err)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	return string(text), nil
}

// fills tells whether the mapping makes anything that r hides of something else
// than that itself.
func (m *mapping) fills(r *rule) bool {
	return slices.ContainsFunc(r.hides, func(h hide) bool {
		at := h.at[1:]
		switch at[0] {
		case "id":
			return m.id != nil
		case "source":
			return m.source != nil
		case "subject":
			return m.subject != nil
		case "data":
			at = at[1:]
		default:
			if !shared(at[0]) {
				return false // an extension, which a mapping leaves as it is
			}
		}
		return m.whole != nil || slices.ContainsFunc(m.fields, func(a assignment) bool { return at.meets(a.at) && a.copies(h) })
	})
}

// copies tells whether the assignment puts anything where h hides that is read
// elsewhere.
func (a assignment) copies(h hide) bool {
	hidden := h.at.joined()
	return slices.ContainsFunc(a.reads, func(p path) bool { return !p.joined().within(hidden) })
}

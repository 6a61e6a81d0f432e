package decode

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// hook is a payload read as E, what the source's library makes of it.
type hook[E any] struct {
	*payload
	place
	said E
}

// place is where a message comes from: a repository or project of a tool.
type place struct {
	tool       string // github
	origin     string // the source of its events: the repository's URL
	repository string // owner/name
	name       string // what it is called without its owner
}

// entity names what other tools may speak of too: github/owner/name/pull/7.
// Like named, it is empty where a part is.
func (p place) entity(parts ...any) string {
	return named(append([]any{p.tool, p.repository}, parts...)...)
}

// named joins the parts of an id. It is empty where one of them is empty or 0,
// so that what a payload leaves out makes no fact instead of one about pull
// request 0.
func named(parts ...any) string {
	texts := make([]string, len(parts))
	for i, part := range parts {
		if at, ok := part.(time.Time); ok {
			if at.IsZero() {
				return ""
			}
			part = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		texts[i] = fmt.Sprint(part)
		if texts[i] == "" || texts[i] == "0" {
			return ""
		}
	}
	return strings.Join(texts, "/")
}

func has(list []string, s string) bool { return slices.Contains(list, s) }

// kind is one kind of a source's messages, and its rules.
type kind struct {
	name string // the source's name for it
	say  func(s *said, from place) error
	rows []row
}

// ofKind is a kind that each of the rules is asked about.
func ofKind[E any](name string, rules ...rule[hook[E]]) kind {
	return ofKindEach(name, func(m hook[E]) []hook[E] { return []hook[E]{m} }, rules...)
}

// ofKindEach is a kind whose messages each hold several things, and the rules
// are asked about each of them.
func ofKindEach[E, P any](name string, each func(hook[E]) []P, rules ...rule[P]) kind {
	own := make([]rule[P], len(rules)) // rules may serve two kinds
	for i, r := range rules {
		r.from = name
		own[i] = r
	}
	say := func(s *said, from place) error {
		m := hook[E]{payload: s.payload, place: from}
		if err := json.Unmarshal(s.payload.body, &m.said); err != nil {
			return malformed(err)
		}
		for _, part := range each(m) {
			apply(s, own, name, from.origin, part)
		}
		return nil
	}
	return kind{name, say, rows(own)}
}

// kinds are those of a source.
type kinds []kind

// say says what the rules make of a message of that kind: nothing where there
// are none.
func (all kinds) say(s *said, name string, from place) error {
	for i := range all {
		if all[i].name == name {
			return all[i].say(s, from)
		}
	}
	return nil
}

func (all kinds) rows() []row {
	var lines []row
	for _, k := range all {
		lines = append(lines, k.rows...)
	}
	return lines
}

// objectTime is the first of an object's times that can be read, zero where there is none.
func objectTime(object json.RawMessage, names ...string) time.Time {
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return time.Time{}
	}
	for _, name := range names {
		var text string
		if json.Unmarshal(fields[name], &text) != nil {
			continue
		}
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at
		}
	}
	return time.Time{}
}

// between is the whole milliseconds from one moment to another, nil where one
// of them is not known or they are the wrong way round.
func between(from, to time.Time) any {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return nil
	}
	return to.Sub(from).Milliseconds()
}

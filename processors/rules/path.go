package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// path is where a field is: event.data.commits.*.author, body["a.b"]. A star is
// every member of an object and every element of a list.
type path []string

func parsePath(text string) (path, error) {
	var p path
	rest := text
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "["):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil {
				return nil, fmt.Errorf("%s: want [\"name\"] behind a bracket", text)
			}
			name, _ := strconv.Unquote(quoted)
			after, closed := strings.CutPrefix(rest[1+len(quoted):], "]")
			if !closed {
				return nil, fmt.Errorf("%s: a bracket is not closed", text)
			}
			p, rest = append(p, name), strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		rest = strings.TrimPrefix(rest[end:], ".")
		if name == "" {
			return nil, fmt.Errorf("%s: a name is empty", text)
		}
		p = append(p, name)
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("want a field")
	}
	return p, nil
}

func (p path) String() string { return strings.Join(p, ".") }

// meets tells whether one of the paths is the other, or leads into it.
func (p path) meets(other path) bool {
	for i := range min(len(p), len(other)) {
		if p[i] != other[i] && p[i] != "*" && other[i] != "*" {
			return false
		}
	}
	return true
}

// within tells whether the path is the other, or leads into it.
func (p path) within(other path) bool { return len(p) >= len(other) && p.meets(other) }

// joined is the path of the attribute where data and attributes are one: see shared.
func (p path) joined() path {
	if len(p) == 3 && p[0] == "event" && p[1] == "data" && shared(p[2]) {
		return path{p[0], p[2]}
	}
	return p
}

// alter is v with f done to what is at p; it tells whether anything was there.
// Objects and lists on the way are changed in place. What f makes nil goes out of its
// object; a list keeps its place.
func alter(v any, p path, f func(any) any) (any, bool) {
	if v == nil {
		return nil, false
	}
	if len(p) == 0 {
		return f(v), true
	}
	found := false
	switch in := v.(type) {
	case map[string]any:
		for name := range in {
			if p[0] != "*" && p[0] != name {
				continue
			}
			if changed, there := alter(in[name], p[1:], f); there {
				found = true
				if in[name] = changed; changed == nil {
					delete(in, name)
				}
			}
		}
	case []any:
		for i := range in {
			if p[0] != "*" && p[0] != strconv.Itoa(i) {
				continue
			}
			if changed, there := alter(in[i], p[1:], f); there {
				found, in[i] = true, changed
			}
		}
	}
	return v, found
}

// put is v with what at p, objects on the way made where there are none.
func put(v any, p path, what any) (any, error) {
	if len(p) == 0 {
		return what, nil
	}
	if v == nil {
		v = map[string]any{}
	}
	in, ok := v.(map[string]any)
	if !ok {
		return v, fmt.Errorf("%s is in no object", p)
	}
	inner, err := put(in[p[0]], p[1:], what)
	if err != nil {
		return v, err
	}
	if inner == nil {
		delete(in, p[0])
	} else {
		in[p[0]] = inner
	}
	return in, nil
}

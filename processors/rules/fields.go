package rules

import (
	"slices"
	"strconv"
	"strings"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/event"
)

// noField tells what is wrong with a field of data where none of the types has it,
// and what may have been meant: a rule would do nothing, without a word. Of other
// types than Whence's own nobody knows the fields, nor of all types.
func noField(types []string, at path) (message, hint string) {
	own := ownTypes(types)
	if len(own) == 0 || len(at) < 3 || at[0] != "event" || at[1] != "data" || len(at) == 3 && shared(at[2]) {
		return "", ""
	}
	var near []string
	for _, t := range own {
		is, known := has(t.Fields, at[2:])
		if is {
			return "", ""
		}
		near = append(near, known...)
	}
	meant := config.Nearest(at[len(at)-1], near)
	for i := 3; i < len(at); i++ {
		every := slices.Insert(slices.Clone(at), i, "*") // of a list
		if slices.ContainsFunc(own, func(t *event.Type) bool { is, _ := has(t.Fields, every[2:]); return is }) {
			meant = every.String()
		}
	}
	hint = "for a field that producers add, leave types out"
	if meant != "" {
		hint = "did you mean " + meant + "? If not: " + hint
	}
	return "none of the rule's types has " + at.String(), hint
}

// changed are the types of what the rule changes, as it comes and as it is renamed;
// none: any.
func (r *Rule) changed() []string {
	if len(r.Types) == 0 || r.Rename == "" {
		return r.Types
	}
	return append(slices.Clone(r.Types), r.Rename)
}

// ownTypes are the types that the rule is for, where all of them are Whence's own.
func ownTypes(patterns []string) (own []*event.Type) {
	for _, pattern := range patterns {
		if !strings.HasPrefix(pattern, event.Prefix) {
			return nil
		}
		one := rule{types: []string{pattern}}
		known := slices.DeleteFunc(slices.Clone(event.Types()), func(t *event.Type) bool { return !one.ofType(t.Name) })
		if len(known) == 0 {
			return nil // which is said elsewhere
		}
		own = append(own, known...)
	}
	return own
}

// has tells whether data of these fields may have anything at a path, and if not,
// which names could stand where the path is lost.
func has(fields []event.Field, at path) (is bool, known []string) {
	for i := range fields {
		f := &fields[i]
		known = append(known, f.Name)
		if at[0] != "*" && at[0] != f.Name {
			continue
		}
		if found, further := hasBelow(f, at[1:]); found {
			return true, nil
		} else if at[0] == f.Name {
			return false, further
		}
	}
	return false, known
}

func hasBelow(f *event.Field, at path) (is bool, known []string) {
	if len(at) == 0 {
		return true, nil
	}
	_, index := strconv.Atoi(at[0])
	element := at[0] == "*" || index == nil
	switch f.Kind {
	case event.AnyField:
		return true, nil
	case event.ListField:
		return element, nil
	case event.StringsField:
		return element && len(at) == 1, nil
	case event.ObjectField:
		if len(f.Fields) == 0 {
			return true, nil
		}
		return has(f.Fields, at)
	case event.ObjectsField:
		if !element || len(at) == 1 || len(f.Fields) == 0 {
			return element, nil
		}
		return has(f.Fields, at[1:])
	}
	return false, nil
}

package rules

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/value"
)

// mostCost is what one expression may cost for one record or event, in CEL's
// units (about an operation each, and a tenth of a unit a byte of text): a walk
// over a few thousand elements, a millisecond or so.
const mostCost = 100_000

// shape is what an expression gives.
type shape uint8

const (
	truth shape = iota
	text
	moment // a timestamp, or text
	anything
	object
)

// attributes are what expressions may ask of an event that is text.
var attributes = []string{"id", "source", "type", "subject", "tenant", "region", "cluster", "cell", "trace_id", "sequence", "service", "environment", "name"}

// names are what expressions on a record and on an event may name, with types.
func names(on string) []cel.EnvOption {
	str := func(all ...string) (options []cel.EnvOption) {
		for _, name := range all {
			options = append(options, cel.Variable(name, cel.StringType))
		}
		return options
	}
	shared := []cel.EnvOption{
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		cel.RegexProgramSizeLimit(1000), ext.Strings(ext.StringsVersion(4)), ext.Encoders(), ext.Math(), ext.Bindings(),
	}
	if on == OnRecord {
		return append(append(shared, str("topic", "key", "text")...), cel.Variable("body", cel.DynType))
	}
	shared = append(shared, str("topic")...)
	for _, name := range attributes {
		shared = append(shared, str("event."+name)...)
	}
	return append(shared, cel.Variable("event.time", cel.TimestampType), cel.Variable("event.data", cel.DynType),
		cel.Variable("event.extensions", cel.MapType(cel.StringType, cel.StringType)))
}

// unknownField is what an expression asks of an event that events don't have.
var unknownField = regexp.MustCompile(`^event\s*\.\s*\??\s*(\w+)`)

// explained is what is wrong with an expression, and a hint where there is one. event is
// no variable, but the beginning of the names of some: CEL would say that there is
// no event.
func explained(on, text string, issue *cel.Error) (message, hint string) {
	lines := strings.Split(text, "\n")
	line, column := issue.Location.Line(), issue.Location.Column()
	if on != OnEvent || !strings.HasPrefix(issue.Message, "undeclared reference to 'event'") || line < 1 || line > len(lines) {
		return issue.Message, ""
	}
	runes := []rune(lines[line-1]) // CEL counts characters
	known := slices.Concat(attributes, []string{"data", "extensions", "time"})
	found := unknownField.FindStringSubmatch(string(runes[min(max(column, 0), len(runes)):]))
	if found == nil || slices.Contains(known, found[1]) {
		return issue.Message, ""
	}
	return "event has no " + found[1], config.Meant(found[1], known)
}

// program is a compiled expression.
type program struct {
	run   cel.Program
	reads []path // all that it reads, as far as names are written out
}

// readBy are the fields that an expression names. Of what is computed from one, as
// event.data["a" + "b"], it is as much as is written out: event.data.
func readBy(compiled *cel.Ast) (all []path) {
	root := ast.NavigateAST(compiled.NativeRep())
	for _, named := range ast.MatchDescendants(root, ast.KindMatcher(ast.IdentKind)) {
		field := strings.Split(named.AsIdent(), ".") // event.data is one name
		for above, is := named.Parent(); is && above.Kind() == ast.SelectKind; above, is = above.Parent() {
			field = append(field, above.AsSelect().FieldName())
		}
		all = append(all, field)
	}
	return all
}

// names tells whether the expression has a variable of that name.
func (p *program) names(variable string) bool {
	return p != nil && slices.ContainsFunc(p.reads, func(read path) bool { return read[0] == variable })
}

// wants are the types that an expression of a shape may have; dyn is looked at
// when it is computed.
func (s shape) wants(t *cel.Type) error {
	ok, what := true, ""
	switch s {
	case truth:
		ok, what = t.IsExactType(cel.BoolType), "true or false"
	case text:
		ok, what = t.IsExactType(cel.StringType), "a string"
	case moment:
		ok, what = t.IsExactType(cel.StringType) || t.IsExactType(cel.TimestampType), "a timestamp or an RFC 3339 string"
	case object:
		ok, what = t.Kind() == types.MapKind, "a map"
	}
	if ok || t.IsExactType(cel.DynType) || t.Kind() == types.TypeParamKind {
		return nil
	}
	return fmt.Errorf("must give %s, gives %s", what, t)
}

// truth of the expression for in.
func (p program) truth(in cel.Activation) (bool, error) {
	out, err := p.eval(in)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("gives %s, not true or false", out.Type())
	}
	return bool(b), nil
}

// text of the expression for in.
func (p program) text(in cel.Activation) (string, error) {
	out, err := p.eval(in)
	if err != nil {
		return "", err
	}
	switch v := out.(type) {
	case types.String:
		return string(v), nil
	case types.Int, types.Uint:
		return fmt.Sprint(v.Value()), nil
	}
	return "", fmt.Errorf("gives %s, not a string", out.Type())
}

// moment of the expression for in.
func (p program) moment(in cel.Activation) (time.Time, error) {
	out, err := p.eval(in)
	if err != nil {
		return time.Time{}, err
	}
	switch v := out.(type) {
	case types.Timestamp:
		return v.Time, nil
	case types.String:
		return time.Parse(time.RFC3339Nano, string(v))
	}
	return time.Time{}, fmt.Errorf("gives %s, not a timestamp", out.Type())
}

// value of the expression for in, as encoding/json has it.
func (p program) value(in cel.Activation) (any, error) {
	out, err := p.eval(in)
	if err != nil {
		return nil, err
	}
	return plain(out, 0)
}

func (p program) eval(in cel.Activation) (ref.Val, error) {
	out, _, err := p.run.Eval(in)
	return out, err
}

// plain is a CEL value as encoding/json has it: times in RFC 3339, bytes in
// base64, an empty optional as nothing.
func plain(v ref.Val, depth int) (any, error) {
	if depth > value.DefaultDepth {
		return nil, errors.New("nested too deep")
	}
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool, types.Int, types.Uint, types.Double, types.String:
		return v.Value(), nil
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), nil
	case types.Timestamp:
		return v.Time.UTC().Format(time.RFC3339Nano), nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return plain(v.GetValue(), depth+1)
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, fmt.Errorf("a key is %s, not a string", key.Type())
			}
			inner, err := plain(v.Get(key), depth+1)
			if err != nil {
				return nil, err
			}
			if inner != nil {
				out[string(name)] = inner
			}
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			inner, err := plain(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, inner)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s is nothing that JSON has: string() makes it text", v.Type())
}

// native is a parsed value as encoding/json has it, with whole numbers whole.
func native(v value.Value) any {
	switch v.Kind() {
	case value.Bool:
		b, _ := v.Bool()
		return b
	case value.Int:
		n, _ := v.Int()
		return n
	case value.Uint:
		n, _ := v.Uint()
		return n
	case value.Float:
		n, _ := v.Number()
		return n
	case value.String:
		s, _ := v.Text()
		return s
	case value.Array:
		list := make([]any, 0, v.Len())
		for element := range v.Elements() {
			list = append(list, native(element))
		}
		return list
	case value.Object:
		object := make(map[string]any, v.Len())
		for name, member := range v.Members() {
			object[name] = native(member)
		}
		return object
	}
	return nil
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a configuration file.
type Problem struct {
	File         string // as given to Load
	Line, Column int    // from 1; 0 where the file does not say it (a default)
	Path         string // kafka.topics.inputs[2].name; empty: the file as a whole
	Message      string
	Hint         string // empty where there is none
}

// String is file:line:column: path: message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, max(p.Column, 1))
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	return b.String() + ": " + p.Message
}

// Problems are all that is wrong with a file, in its order.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, 0, 2*len(ps))
	for _, p := range ps {
		lines = append(lines, p.String())
		if p.Hint != "" {
			lines = append(lines, "hint: "+p.Hint)
		}
	}
	return strings.Join(lines, "\n")
}

// Load reads, checks and completes the file. Its error is Problems, or the
// file system's where the file can't be read.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// LoadOver is Load over what c has: where the file says nothing, that stays. also
// says what more is wrong, at its place in the file; nil: nothing.
func LoadOver(file string, c *Config, also func() []Violation) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return Read(file, data, c, func() []Violation {
		wrong := c.Validate()
		if also != nil {
			wrong = append(wrong, also()...)
		}
		return wrong
	})
}

// Parse is Load for bytes; file is only for the messages.
func Parse(file string, data []byte) (*Config, error) {
	c := Default()
	if err := Read(file, data, c, c.Validate); err != nil {
		return nil, err
	}
	return c, nil
}

// Read reads YAML into a struct whose every field has a yaml tag, as strictly
// as Load reads a configuration; file is only for the messages. Where that went
// well it asks validate. The error is Problems.
func Read(file string, data []byte, into any, validate func() []Violation) error {
	r := reader{file: file, at: map[string]place{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Problems{syntaxProblem(file, err)}
	}
	if len(doc.Content) > 0 {
		r.read(doc.Content[0], reflect.ValueOf(into).Elem(), "")
	}
	if len(r.problems) == 0 { // what is half read would be blamed for what it never said
		for _, v := range validate() {
			r.blame(v)
		}
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int {
			return cmp.Or(a.Line-b.Line, a.Column-b.Column)
		})
		return r.problems
	}
	return nil
}

// Blame is what is wrong with a configuration that is found out after it was
// loaded, at the place of its key in file.
func Blame(file string, v Violation) Problems {
	r := reader{file: file, at: map[string]place{}}
	var doc yaml.Node
	if data, err := os.ReadFile(file); err == nil && yaml.Unmarshal(data, &doc) == nil && len(doc.Content) > 0 {
		r.read(doc.Content[0], reflect.ValueOf(Default()).Elem(), "")
	}
	r.problems = nil // it was loaded
	r.blame(v)
	return r.problems
}

// The library's syntax errors know the line only, inside their text.
var lineOf = regexp.MustCompile(`^yaml: line (\d+): `)

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Message: strings.TrimPrefix(err.Error(), "yaml: "), Hint: "indent with spaces; quote a value that holds `: ` or starts with a sign"}
	if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = strings.TrimPrefix(p.Message, "line "+m[1]+": ")
	}
	return p
}

type place struct{ line, column int }

// reader walks the YAML tree and the struct side by side. The library's own
// strict mode knows neither columns nor key paths, and stops caring where a
// key was once it is decoded, which Validate's errors need.
type reader struct {
	file     string
	at       map[string]place // key path -> where its value is
	problems Problems
}

func (r *reader) problem(n *yaml.Node, path, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

var unmarshaler = reflect.TypeFor[yaml.Unmarshaler]()

func (r *reader) read(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	r.at[path] = place{n.Line, n.Column}
	if n.Tag == "!!null" { // `kafka:` with nothing below it: all defaults
		return
	}
	switch {
	case v.Addr().Type().Implements(unmarshaler):
		if n.Kind != yaml.ScalarNode && v.Kind() != reflect.Struct && v.Kind() != reflect.Slice {
			r.problem(n, path, "", "want one value, have a %s", kindOf(n))
		} else if err := v.Addr().Interface().(yaml.Unmarshaler).UnmarshalYAML(n); err != nil {
			r.problem(n, path, "", "%v", err)
		}
	case v.Kind() == reflect.Struct:
		r.readStruct(n, v, path)
	case v.Kind() == reflect.Slice:
		r.readSlice(n, v, path)
	case v.Kind() == reflect.Map:
		r.readMap(n, v, path)
	case n.Kind != yaml.ScalarNode:
		r.problem(n, path, "", "want one value, have a %s", kindOf(n))
	default:
		r.readScalar(n, v, path)
	}
}

func (r *reader) readStruct(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, path, "", "want a mapping with keys %s, have a %s", strings.Join(keysOf(v.Type()), ", "), kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		field, known := fieldOf(v, key.Value)
		switch {
		case seen[key.Value]:
			r.problem(key, at, "", "given twice")
		case !known:
			r.problem(key, at, hintFor(key.Value, keysOf(v.Type())), "unknown key")
		default:
			r.read(value, field, at)
		}
		seen[key.Value] = true
	}
}

func (r *reader) readSlice(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		r.problem(n, path, "write it as [a, b] or one `- ` line each", "want a list, have a %s", kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		r.read(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// readMap reads a mapping whose keys Validate knows.
func (r *reader) readMap(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, path, "", "want a mapping, have a %s", kindOf(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		at := join(path, key.Value)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		if _, twice := r.at[at]; twice {
			r.problem(key, at, "", "given twice")
			continue
		}
		r.read(n.Content[i+1], item, at)
		v.SetMapIndex(reflect.ValueOf(key.Value), item)
	}
}

func (r *reader) readScalar(n *yaml.Node, v reflect.Value, path string) {
	if err := n.Decode(v.Addr().Interface()); err != nil {
		r.problem(n, path, "", "want %s, have %q", nameOf(v), n.Value)
	}
}

// blame turns what Validate says of a key path into a Problem at the place of
// that key, or of the nearest key above it that the file has.
func (r *reader) blame(v Violation) {
	p := Problem{File: r.file, Path: v.Path, Message: v.Message, Hint: v.Hint}
	for path := v.Path; path != ""; path = parent(path) {
		if at, ok := r.at[path]; ok {
			p.Line, p.Column = at.line, at.column
			break
		}
	}
	r.problems = append(r.problems, p)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

func keyOf(f reflect.StructField) string { return f.Tag.Get("yaml") }

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = keyOf(t.Field(i))
	}
	return keys
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	i := slices.Index(keysOf(v.Type()), key)
	if i < 0 {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	}
	return "single value"
}

func nameOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func hintFor(key string, known []string) string {
	if slices.Contains(known, key+"_file") {
		return "secrets are never in the configuration: " + strings.Join(keysFrom(known, key+"_"), " or ")
	}
	return Meant(key, known)
}

// Meant is a hint what was meant by a name that is none of those known.
func Meant(name string, known []string) string {
	if best := Nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "known here: " + strings.Join(known, ", ")
}

// Nearest is the one of those known that name may be a misspelling of; empty: none.
func Nearest(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	best := slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
	if distance(name, best) > max(2, len(name)/3) {
		return ""
	}
	return best
}

func keysFrom(known []string, prefix string) []string {
	var keys []string
	for _, k := range known {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys
}

// distance is Levenshtein's, over bytes: keys are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// IsProblem says whether err is about what a configuration says, as against
// a file that can't be read.
func IsProblem(err error) bool {
	var ps Problems
	return errors.As(err, &ps)
}

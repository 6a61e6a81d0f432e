package rules

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/event"
)

// Options are what rules are compiled with.
type Options struct {
	// Key replaces what key files say: rules can be tried without the real one.
	Key []byte
	// Own are the topics that Whence reads or writes: no rule may route there.
	Own []string
	// Inputs are those that records come from: a rule for another does nothing.
	// Empty: nobody knows.
	Inputs []string
	// Failed is told of every expression that can't be computed.
	Failed func(rule string)
}

// Load compiles the files that the patterns name, in the order of the patterns
// and of names, but those that end in _test.yaml. The error is config.Problems,
// or that a file or a pattern's match is not there.
func Load(patterns []string, o Options) (*Set, error) {
	set := newSet(o)
	var problems config.Problems
	seen := map[string]bool{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.yaml") })
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("rules.files: no file is called %s", pattern)
		}
		for _, file := range files {
			if seen[file] {
				continue
			}
			seen[file] = true
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("rules.files: %w", err)
			}
			if err := set.add(file, data); err != nil {
				var more config.Problems
				if !errors.As(err, &more) {
					return nil, err
				}
				problems = append(problems, more...)
			}
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return set, nil
}

// Parse compiles one file's bytes; its name is for messages and the key file.
func Parse(file string, data []byte, o Options) (*Set, error) {
	set := newSet(o)
	if err := set.add(file, data); err != nil {
		return nil, err
	}
	return set, nil
}

func (s *Set) add(file string, data []byte) error {
	var f File
	c := compiler{file: file, lines: strings.Split(string(data), "\n"), names: s.names, own: s.options.Own, inputs: s.options.Inputs}
	var compiled []*rule
	err := config.Read(file, data, &f, func() []config.Violation {
		c.key = c.readKey(&f, s.options.Key)
		if !slices.Contains([]string{"", Withhold, Keep}, f.Unreadable) {
			c.blame("unreadable", "want %s or %s, have %q", Withhold, Keep, f.Unreadable)
		}
		for i := range f.Rules {
			compiled = append(compiled, c.rule(fmt.Sprintf("rules[%d]", i), &f.Rules[i], &f))
		}
		return c.violations
	})
	if problems := (config.Problems)(nil); errors.As(err, &problems) || len(c.problems) > 0 {
		return append(problems, c.problems...)
	}
	if err != nil {
		return err
	}
	for _, r := range compiled {
		s.insert(r)
	}
	for _, part := range [][]byte{data, c.key} {
		sum := sha256.Sum256(part)
		s.digest.Write(sum[:])
	}
	return nil
}

// compiler compiles one file. What it finds wrong with expressions has a place
// of its own; the rest has that of its key.
type compiler struct {
	file       string
	lines      []string
	names      map[string]string // of rules, with where they are
	own        []string
	inputs     []string
	key        []byte
	violations []config.Violation
	problems   config.Problems
	envs       map[string]*cel.Env
}

func (c *compiler) blame(path, format string, args ...any) {
	c.violations = append(c.violations, config.Violation{Path: path, Message: fmt.Sprintf(format, args...)})
}

// suggest is blame with a hint.
func (c *compiler) suggest(path, hint, format string, args ...any) {
	c.blame(path, format, args...)
	c.violations[len(c.violations)-1].Hint = hint
}

// leastKey is how long a key must be: shorter ones are guessed.
const leastKey = 16

func (c *compiler) readKey(f *File, instead []byte) []byte {
	if f.KeyFile == "" || instead != nil {
		return instead
	}
	at := f.KeyFile
	if !filepath.IsAbs(at) {
		at = filepath.Join(filepath.Dir(c.file), at)
	}
	key, err := os.ReadFile(at)
	if err != nil {
		c.blame("key_file", "%v", err)
		return nil
	}
	key = []byte(strings.TrimSuffix(strings.TrimSuffix(string(key), "\n"), "\r"))
	if len(key) < leastKey {
		c.blame("key_file", "the key has %d bytes, want %d at least", len(key), leastKey)
	}
	return key
}

func (c *compiler) rule(at string, r *Rule, f *File) *rule {
	if r.On == "" {
		r.On = OnEvent
	}
	out := &rule{
		name: r.Name, on: r.On, topics: r.Topics, types: r.Types, rename: r.Rename, keep: r.Keep, route: r.Route, drop: r.Drop, bury: r.DeadLetter,
		key: c.key, keepUnreadable: f.Unreadable == Keep,
	}
	c.form(at, r)
	if r.On != OnRecord && r.On != OnEvent {
		return out
	}
	out.when = c.optional(at+".when", r.On, r.When, truth)
	for _, a := range r.Set {
		here := at + ".set." + a.Field
		p, settable := c.settable(here, r.On, a)
		if message, hint := noField(r.changed(), p); settable && r.On == OnEvent && message != "" {
			c.problems = append(c.problems, config.Problem{File: c.file, Line: a.place.line, Column: a.place.column, Path: here, Message: message, Hint: hint})
		}
		want := anything
		if settable && !slices.Equal(p[:min(2, len(p))], path{"event", "data"}) {
			if want = text; slices.Equal(p, path{"event", "time"}) {
				want = moment
			}
		}
		out.sets = append(out.sets, assignment{p, c.expression(here, r.On, a.Expression, want)})
	}
	out.hides = append(c.hides(at+".redact", r, r.Redact, false), c.hides(at+".hash", r, r.Hash, true)...)
	if len(r.Hash) > 0 && (f.KeyFile == "" && c.key == nil) {
		c.blame(at+".hash", "hashing needs a key: key_file is missing")
	}
	for i := range r.Map {
		out.maps = append(out.maps, c.mapping(fmt.Sprintf("%s.map[%d]", at, i), r.On, &r.Map[i]))
	}
	return out
}

// form checks what needs no compiling.
func (c *compiler) form(at string, r *Rule) {
	switch where, twice := c.names[r.Name]; {
	case r.Name == "":
		c.blame(at+".name", "a rule needs a name: metrics and dead letters have it")
	case twice:
		c.blame(at+".name", "%s is %s already", r.Name, where)
	default:
		c.names[r.Name] = c.file
	}
	if r.On != OnRecord && r.On != OnEvent {
		c.blame(at+".on", "want %s or %s, have %q", OnRecord, OnEvent, r.On)
	}
	if r.On == OnRecord && len(r.Types) > 0 {
		c.blame(at+".types", "a record has no type yet: ask for its headers or its body in when")
	}
	if r.On == OnRecord && r.Rename != "" {
		c.blame(at+".rename", "a record has no type yet: map makes an event of it")
	}
	if r.Rename != "" {
		c.known(at+".rename", r.Rename)
	}
	if strings.HasPrefix(r.Keep, event.Prefix) {
		c.blame(at+".keep", "%s is a type of Whence's own: what is kept needs another", r.Keep)
	}
	if r.Keep != "" && len(r.Map) == 0 {
		c.blame(at+".keep", "nothing is mapped, so all of it is kept")
	}
	for i, name := range r.Types {
		if c.known(fmt.Sprintf("%s.types[%d]", at, i), name); strings.HasPrefix(name, event.Prefix) && strings.HasSuffix(name, "*") && !anyType(strings.TrimSuffix(name, "*")) {
			c.blame(fmt.Sprintf("%s.types[%d]", at, i), "no type begins so: whence schema --list has them")
		}
	}
	for i, topic := range r.Topics {
		if len(c.inputs) > 0 && !slices.Contains(c.inputs, topic) {
			c.suggest(fmt.Sprintf("%s.topics[%d]", at, i), config.Meant(topic, c.inputs), "%s is no input topic of the configuration", topic)
		}
	}
	if r.When.Text == "" && len(r.Types)+len(r.Topics) == 0 && (r.Drop || r.DeadLetter != "") {
		c.blame(at, "the rule leaves nothing of anything: say types, topics or when (types: [\"*\"] is all)")
	}
	if r.Route != "" && !config.TopicName(r.Route) {
		c.blame(at+".route", "%q is no name for a topic", r.Route)
	}
	if slices.Contains(c.own, r.Route) {
		c.blame(at+".route", "%s is a topic that Whence reads or writes itself: what is routed would come back, again and again", r.Route)
	}
	if r.Route != "" && r.DeadLetter != "" {
		c.blame(at+".route", "a dead letter goes nowhere else")
	}
	ends := 0
	for _, end := range []bool{len(r.Map) > 0, r.Drop, r.DeadLetter != ""} {
		if end {
			ends++
		}
	}
	switch {
	case ends > 1:
		c.blame(at, "map, drop and dead_letter exclude each other")
	case ends == 0 && len(r.Set)+len(r.Redact)+len(r.Hash) == 0 && r.Rename == "" && r.Route == "":
		c.blame(at, "the rule does nothing: want one of set, rename, redact, hash, map, route, drop, dead_letter")
	}
}

func (c *compiler) known(at, name string) {
	if strings.HasPrefix(name, event.Prefix) && !strings.HasSuffix(name, "*") && event.Lookup(name) == nil {
		c.blame(at, "there is no type %s: whence schema --list has them", name)
	}
}

func anyType(start string) bool {
	return slices.ContainsFunc(event.Types(), func(t *event.Type) bool { return strings.HasPrefix(t.Name, start) })
}

func (c *compiler) mapping(at, on string, m *Mapping) mapping {
	out := mapping{name: m.Type}
	if m.Type == "" {
		c.blame(at+".type", "is missing")
	}
	c.known(at+".type", m.Type)
	if on == OnRecord {
		for name, e := range map[string]Expression{"id": m.ID, "source": m.Source, "time": m.Time} {
			if e.Text == "" {
				c.blame(at+"."+name, "is missing: a record has none to begin with")
			}
		}
	}
	out.id = c.optional(at+".id", on, m.ID, text)
	out.source = c.optional(at+".source", on, m.Source, text)
	out.subject = c.optional(at+".subject", on, m.Subject, text)
	out.time = c.optional(at+".time", on, m.Time, moment)
	out.whole = c.optional(at+".data", on, m.Data.Whole, object)
	for _, a := range m.Data.Fields {
		here := at + ".data." + a.Field
		p, err := parsePath(a.Field)
		if err != nil || slices.Contains(p, "*") {
			c.wrong(a.Expression, here, "%s is no field to fill", a.Field)
		}
		out.fields = append(out.fields, assignment{p, c.expression(here, on, a.Expression, anything)})
	}
	return out
}

// envelope are the attributes that set may change; rename changes the type.
var envelope = []string{"id", "source", "subject", "time", "tenant", "region", "cluster", "cell", "trace_id", "sequence"}

// settable checks that a field is one that set may fill.
func (c *compiler) settable(at, on string, a Assignment) (path, bool) {
	p, err := parsePath(a.Field)
	switch {
	case err != nil:
		c.wrong(a.Expression, at, "%v", err)
	case slices.Contains(p, "*"):
		c.wrong(a.Expression, at, "a star names no one field to fill")
	case on == OnRecord && (len(p) != 2 || p[0] != "headers"):
		c.wrong(a.Expression, at, "of a record only headers.NAME can be set: map makes an event of it")
	case on == OnEvent && !eventField(p):
		c.wrong(a.Expression, at, "want event.data.FIELD, event.extensions.NAME or one of event.%s", strings.Join(envelope, ", event."))
	default:
		return p, true
	}
	return p, false
}

// wrong is blame for what is said of an expression.
func (c *compiler) wrong(e Expression, path, format string, args ...any) {
	c.problems = append(c.problems, config.Problem{File: c.file, Line: e.place.line, Column: e.place.column, Path: path, Message: fmt.Sprintf(format, args...)})
}

func eventField(p path) bool {
	if len(p) < 2 || p[0] != "event" {
		return false
	}
	switch p[1] {
	case "data":
		return true
	case "extensions":
		return len(p) == 3
	}
	return len(p) == 2 && slices.Contains(envelope, p[1])
}

func (c *compiler) hides(at string, r *Rule, fields []string, hash bool) []hide {
	var all []hide
	on, types := r.On, r.changed()
	for i, field := range fields {
		here := fmt.Sprintf("%s[%d]", at, i)
		p, err := parsePath(field)
		switch {
		case err != nil:
			c.blame(here, "%v", err)
		case on == OnRecord && p[0] != "body" && !(p[0] == "headers" && len(p) == 2):
			c.blame(here, "want body.FIELD or headers.NAME, have %s", field)
		case on == OnRecord && len(p) == 1:
			c.blame(here, "want a field in it: all of a record is hidden by drop")
		case on == OnEvent && (!eventField(p) || p[1] == "time"):
			c.blame(here, "want event.data.FIELD, event.extensions.NAME or an attribute of text, have %s", field)
		case on == OnEvent && !hash && (p[1] == "id" || p[1] == "source"):
			c.blame(here, "%s is what tells events apart: hash it", field)
		default:
			if message, hint := noField(types, p); message != "" {
				c.suggest(here, hint, "%s", message)
			}
			all = append(all, hide{p, hash})
		}
	}
	return all
}

func (c *compiler) optional(at, on string, e Expression, want shape) *program {
	if e.Text == "" {
		return nil
	}
	p := c.expression(at, on, e, want)
	return &p
}

func (c *compiler) expression(at, on string, e Expression, want shape) program {
	if c.envs[on] == nil {
		env, err := cel.NewEnv(names(on)...)
		if err != nil {
			c.blame(at, "this is a bug: %v", err)
			return program{}
		}
		if c.envs == nil {
			c.envs = map[string]*cel.Env{}
		}
		c.envs[on] = env
	}
	env := c.envs[on]
	ast, issues := env.Compile(e.Text)
	if issues.Err() != nil {
		for _, issue := range issues.Errors() {
			line, column := c.locate(e, issue.Location.Line(), issue.Location.Column())
			message, hint := explained(on, e.Text, issue)
			c.problems = append(c.problems, config.Problem{File: c.file, Line: line, Column: column, Path: at, Message: message, Hint: hint})
		}
		return program{}
	}
	wrong := want.wants(ast.OutputType())
	var run cel.Program
	if wrong == nil {
		run, wrong = env.Program(ast, cel.CostLimit(mostCost), cel.EvalOptions(cel.OptOptimize))
	}
	if wrong != nil {
		c.wrong(e, at, "%v", wrong)
	}
	return program{run, readBy(ast)}
}

package rules

import (
	"fmt"

	"github.com/google/cel-go/cel"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Filter is a condition on what passes, as rules have it in `when`. It may be
// used by one goroutine at a time.
type Filter struct {
	when program
	doc  value.Doc
}

// Passing is something that passes: a record, or an event of one.
type Passing struct {
	Topic  string
	Record *pipeline.Record
	Event  *event.Event  // nil: a record
	Data   func() string // of the event, as JSON
	// What else a filter may ask for: what it is, why it is dead, which rule
	// dropped it, and what enrichment has said of it.
	Kind, Reason, Rule string
	Context            map[string]any
}

// NewFilter compiles a condition on records or events. Besides what rules see it
// sees kind, reason, rule and context.
func NewFilter(on, text string) (*Filter, error) {
	env, err := cel.NewEnv(append(names(on), cel.Variable("kind", cel.StringType), cel.Variable("reason", cel.StringType),
		cel.Variable("rule", cel.StringType), cel.Variable("context", cel.DynType))...)
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		message, hint := explained(on, text, first)
		if hint != "" {
			message += ", " + hint
		}
		return nil, fmt.Errorf("column %d: %s", first.Location.Column()+1, message)
	}
	if err := truth.wants(ast.OutputType()); err != nil {
		return nil, err
	}
	run, err := env.Program(ast, cel.CostLimit(mostCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, err
	}
	return &Filter{when: program{run: run}, doc: value.Doc{MaxDepth: deepest}}, nil
}

// Fits tells whether p is what the filter wants. What it can't be computed for
// (a field that isn't there) is not.
func (f *Filter) Fits(p *Passing) bool {
	in := &input{topic: p.Topic, record: p.Record, doc: &f.doc}
	if p.Event != nil {
		in.event = &said{Event: *p.Event, was: p.Data}
		in.event.content(&f.doc)
	}
	met, err := f.when.truth(passing{in, p})
	return err == nil && met
}

// passing is the variables of both.
type passing struct {
	*input
	*Passing
}

// ResolveName returns the variable of that name.
func (p passing) ResolveName(name string) (any, bool) {
	switch name {
	case "kind":
		return p.Kind, true
	case "reason":
		return p.Reason, true
	case "rule":
		return p.Rule, true
	case "context":
		return p.Context, true
	}
	return p.input.ResolveName(name)
}

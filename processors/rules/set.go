package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/value"
)

// Set is compiled rules, in their order. It may be used by several goroutines.
type Set struct {
	options         Options
	names           map[string]string
	records, events []*rule
	hiding          []*rule // those that redact or hash
	digest          hash.Hash
	byType          sync.Map // type -> []*rule of events
	remembered      atomic.Int64
	workers         sync.Pool
}

func newSet(o Options) *Set {
	s := &Set{options: o, names: map[string]string{}, digest: sha256.New()}
	s.workers.New = func() any {
		return &worker{decoder: codec.Decoder{MaxDepth: deepest}, doc: value.Doc{MaxDepth: deepest}}
	}
	return s
}

// deepest is deeper than decode may let anything be.
const deepest = 2000

// worker is what one goroutine works with.
type worker struct {
	decoder codec.Decoder
	encoder codec.Encoder
	doc     value.Doc
}

func (s *Set) insert(r *rule) {
	if r.on == OnRecord {
		s.records = append(s.records, r)
	} else {
		s.events = append(s.events, r)
	}
	if len(r.hides) > 0 {
		s.hiding = append(s.hiding, r)
	}
}

// Len is how many rules there are; a nil Set has none.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.records) + len(s.events)
}

// Routes are the topics that rules route to.
func (s *Set) Routes() []string {
	if s.Len() == 0 {
		return nil
	}
	var topics []string
	for _, r := range slices.Concat(s.records, s.events) {
		if r.route != "" {
			topics = append(topics, r.route)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// Digest tells sets with other rules or keys apart, whatever their files are
// called: all workers of an installation must have the same. It is empty where
// there is no rule.
func (s *Set) Digest() string {
	if s.Len() == 0 {
		return ""
	}
	return hex.EncodeToString(s.digest.Sum(nil)[:8])
}

// Around puts the stages of the rules around those of decode and validate. Where
// there is nothing to do for one, it is not there. Without an outlet nothing is
// routed.
func (s *Set) Around(decode, validate pipeline.Processor, outlet Outlet) []pipeline.Processor {
	chain := s.around(decode, validate, false)
	if outlet != nil && len(s.Routes()) > 0 {
		chain = append(chain, Routes{s, outlet})
	}
	if s.Len() > 0 && len(s.hiding) > 0 {
		chain = append(chain, Letters{s})
	}
	return chain
}

// Asked is Around for who wants to know what would become of his own bytes, and
// keeps nothing: what is wrong with them is not hidden from him.
func (s *Set) Asked(decode, validate pipeline.Processor) []pipeline.Processor {
	return s.around(decode, validate, true)
}

func (s *Set) around(decode, validate pipeline.Processor, asked bool) []pipeline.Processor {
	if s.Len() == 0 {
		return []pipeline.Processor{decode, validate}
	}
	var chain []pipeline.Processor
	if len(s.records) > 0 {
		chain = append(chain, Records{s, asked})
	}
	chain = append(chain, decode)
	if len(s.events) > 0 {
		chain = append(chain, Events{s})
	}
	return append(chain, validate)
}

func (s *Set) failed(r *rule) {
	if s.options.Failed != nil {
		s.options.Failed(r.name)
	}
}

// mostTypes is how many types are remembered: names of types are what producers
// make them.
const mostTypes = 4096

// of are the rules for events of a type.
func (s *Set) of(name string) []*rule {
	if known, ok := s.byType.Load(name); ok {
		return known.([]*rule)
	}
	var fit []*rule
	for _, r := range s.events {
		if r.ofType(name) {
			fit = append(fit, r)
		}
	}
	if s.remembered.Add(1) < mostTypes {
		s.byType.Store(strings.Clone(name), fit)
	}
	return fit
}

// rule is a compiled Rule.
type rule struct {
	name, on      string
	topics, types []string
	when          *program // nil: always
	sets          []assignment
	rename        string
	hides         []hide
	maps          []mapping
	keep          string
	route         string
	drop          bool
	bury          string

	key            []byte
	keepUnreadable bool
}

type assignment struct {
	at path
	program
}

type hide struct {
	at   path
	hash bool
}

type mapping struct {
	name                      string
	id, source, time, subject *program
	whole                     *program
	fields                    []assignment
}

func (r *rule) ofTopic(topic string) bool {
	return len(r.topics) == 0 || slices.Contains(r.topics, topic)
}

func (r *rule) ofType(name string) bool {
	return len(r.types) == 0 || slices.ContainsFunc(r.types, func(t string) bool {
		start, open := strings.CutSuffix(t, "*")
		return t == name || open && strings.HasPrefix(name, start)
	})
}

// answer is whether a rule holds.
type answer uint8

const (
	no     answer = iota
	yes           // do what it says
	unsure        // hide what it says is to be hidden, and nothing else
)

// holds tells whether the rule holds for in. A condition on something that isn't
// there is not met. One that can't be computed for another reason (it costs too
// much, a text is a number) isn't either; but what the rule would hide is hidden:
// rather too much than too little.
func (s *Set) holds(r *rule, in *input) answer {
	if !r.ofTopic(in.topic) {
		return no
	}
	if r.when == nil {
		return yes
	}
	in.asked = false
	met, err := r.when.truth(in)
	switch {
	case err != nil && !in.absent(err):
		s.failed(r)
		if len(r.hides) > 0 {
			return unsure
		}
		return no
	case err != nil || !met:
		return no
	}
	return yes
}

// mayHold is holds for a dead letter: what isn't in its body may have been lost.
// Its headers are whole.
func (s *Set) mayHold(r *rule, in *input) bool {
	if !r.ofTopic(in.topic) || r.when == nil {
		return r.ofTopic(in.topic)
	}
	in.asked = false
	met, err := r.when.truth(in)
	if err != nil && in.event == nil && in.absent(err) {
		return in.asked && in.body == nil
	}
	return met || err != nil
}

// absent tells whether an expression failed because something is not there.
func (in *input) absent(err error) bool {
	if strings.HasPrefix(err.Error(), "no such key") { // further on may stand what the record says
		return true
	}
	if in.event != nil {
		return in.event.read && in.event.data == nil
	}
	return in.asked && in.body == nil
}

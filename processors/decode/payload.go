package decode

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
	"github.com/whencehq/whence/schemas/value"
)

// payload is one record as a tool sent it.
type payload struct {
	source   *source.Source
	body     []byte
	headers  []codec.Header
	from     event.Provenance
	received event.Millis // when it was taken; the last resort where a body states no time
	defaults Defaults
}

// Defaults are what payloads of a source are taken to say where neither they
// nor the sender's hints do.
type Defaults struct {
	// Environment of what states none: PagerDuty, Sentry without a release's,
	// most scanners.
	Environment string `yaml:"environment"`
	// Incidents are the labels and types that make an issue an incident, in any
	// case: GitHub, GitLab, Jira.
	Incidents []string `yaml:"incidents"`
}

// header is a header of the record, empty where it has none. It is UTF-8, since
// what is made of it goes where nothing else may.
func (p *payload) header(name string) string {
	for i := range p.headers {
		if strings.EqualFold(p.headers[i].Key, name) {
			return strings.ToValidUTF8(string(p.headers[i].Value), "\uFFFD")
		}
	}
	return ""
}

// mostHint is the length of a hint: each fact of a payload has it.
const mostHint = 1 << 10

// hint is what the sender says besides the body: see source.Hints. One that is
// too long is none.
func (p *payload) hint(name string) string {
	if said := p.header(source.HintPrefix + name); len(said) <= mostHint {
		return said
	}
	return ""
}

// environment is the first of what the payload states, the hint and the default.
func (p *payload) environment(stated ...string) string {
	return cmp.Or(append(stated, p.hint("environment"), p.defaults.Environment)...)
}

// service is the first of what the payload states and the hint.
func (p *payload) service(stated ...string) string {
	return cmp.Or(append(stated, p.hint("service"))...)
}

// version is what a message states as its deployment's version, or the hint where
// that is nothing but a commit: what a service says of itself is seldom that.
func (p *payload) version(stated any) any {
	text, _ := stated.(string)
	if hint := p.hint("version"); hint != "" && (text == "" || isGitHash(text)) {
		return hint
	}
	return stated
}

// isIncident tells whether any of these labels or types makes an issue one.
func (p *payload) isIncident(names ...string) bool {
	return slices.ContainsFunc(p.defaults.Incidents, func(one string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(one, name) })
	})
}

// backfilled: read from the tool's API, so the body is no event of its own.
func (p *payload) backfilled() bool { return p.header(source.Backfill) != "" }

// digest is a name for the body.
func (p *payload) digest() string { return digestOf(p.body) }

// digestOf is a name for some bytes: 32 hex digits of their SHA-256.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// said collects what a payload says.
type said struct {
	events  *codec.Events
	decoder *codec.Decoder
	payload *payload
	// latest is the time of the last event said, in event time.
	latest event.Millis
	doc    *value.Doc // scratch, for what checks its body itself
	// unplaced are the reasons why something that has a rule has become no fact:
	// the first few that differ, and how many more there were.
	unplaced []string
	refused  int
	// weight is how many bytes the events said so far have; see full.
	weight int
}

// What the events of a payload may say in all, and one of them. Each event
// repeats what stands once for all of them in a body: a repository, a context, a
// resource, the tool that scanned. That is ten times the body where they are
// short, and its square where somebody wants it to be: a megabyte would be many
// gigabytes of events. A fact must fit a record of the context log.
const (
	eventWeight = 256 // of an event without its text
	leastSaid   = 4 << 20
	mostPerByte = 32
	mostFact    = 8 << 20
)

// full tells whether the payload says more than it may: none of it counts then.
func (s *said) full() bool { return s.weight > leastSaid+mostPerByte*len(s.payload.body) }

// overfull is the fault of a payload that says too much.
func (s *said) overfull() error {
	return &codec.Fault{Reason: codec.TooLarge, Detail: fmt.Sprintf("body: its events repeat what stands in it once until they are longer than %d bytes, or one longer than %d",
		leastSaid+mostPerByte*len(s.payload.body), mostFact)}
}

// mostReasons bounds unplaced: a record of OTLP may hold ten thousand of a kind.
const mostReasons = 8

func (s *said) refuse(to string, err error) {
	reason := to + ": " + err.Error()
	switch {
	case slices.Contains(s.unplaced, reason):
	case len(s.unplaced) < mostReasons:
		s.unplaced = append(s.unplaced, reason)
	default:
		s.refused++
	}
}

// say adds a fact or an observation of our type `to` (without prefix). Data is
// what encoding/json makes an object of; empty strings, lists and nulls should
// be left out of it. What the type's rules refuse is not added: the reason goes
// to unplaced, and with it to the original's attributes.
func (s *said) say(e event.Event, to string, data any) {
	if s.full() {
		return
	}
	raw, err := json.Marshal(data)
	if s.weight += eventWeight + len(raw) + len(e.Source) + len(e.ID); len(raw) > mostFact {
		s.weight = math.MaxInt / 2 // whatever follows
	}
	if s.full() {
		return
	}
	if err == nil {
		e.Type = event.Prefix + to
		err = s.decoder.Say(s.events, s.payload.from, e, raw)
	}
	if err == nil {
		s.latest = max(s.latest, e.Time)
	} else {
		s.refuse(to, err)
	}
}

// observe is say for observations that come by the thousand: see codec's Observe.
// It tells whether o was added.
func (s *said) observe(o *event.Observation) bool {
	if s.full() {
		return false
	}
	s.weight += eventWeight + len(o.Source) + len(o.ID) + len(o.Name) + len(o.Service) + len(o.Environment) + len(o.User) + len(o.Session) + len(o.Version) +
		len(o.Instance) + len(o.Caller) + len(o.Callee) + len(o.Region) + len(o.Cluster) + len(o.Message)
	for i := range o.Attributes {
		s.weight += len(o.Attributes[i].Key) + len(o.Attributes[i].Value)
	}
	err := s.decoder.Observe(s.events, s.payload.from, o)
	if err != nil {
		s.refuse(strings.TrimPrefix(o.Type, event.Prefix), err)
	}
	return err == nil
}

// original keeps the body as it is under its own type, `com.github.push`, with
// what could not be placed of it as the extension attribute `unplaced`. Every
// webhook calls it once, after its rules: what they leave out of a fact is
// still there. The id, where it is empty, is a digest of the body, so that a
// payload delivered again is the same event. The time, where it is zero or
// none that events may have, is that of the last fact, else when the payload was taken.
func (s *said) original(name, from, id string, at time.Time) error {
	if s.payload.backfilled() && s.latest != 0 && len(s.unplaced) == 0 {
		return nil // its facts say it all; one that says none is kept, for nothing is dropped
	}
	return s.keep(name, from, id, at, s.payload.body)
}

// keep is original for a body that is not the record's value: what is left of it.
func (s *said) keep(name, from, id string, at time.Time, body []byte) error {
	if s.weight += eventWeight + len(from) + len(body); s.full() {
		return s.overfull()
	}
	e := event.Event{Type: name, Source: from, ID: cmp.Or(id, digestOf(body)), Time: s.payload.received}
	switch stated := event.MillisOf(at); {
	case stated >= event.MinTime && stated < event.MaxTime:
		e.Time = stated
	case s.latest != 0:
		e.Time = s.latest
	}
	if len(s.unplaced) > 0 {
		reasons := strings.Join(s.unplaced, "; ")
		if s.refused > 0 {
			reasons += fmt.Sprintf("; and %d more", s.refused)
		}
		e.Extensions = []event.Pair{{Key: "unplaced", Value: reasons}}
	}
	return s.decoder.Keep(s.events, s.payload.from, e, body)
}

// unkind is the fault of a body without the field that makes it a message of its
// source at all: over HTTP its sender is told, instead of 200. What has a kind
// that nobody reads is kept.
func unkind(field string) error {
	return &codec.Fault{Reason: codec.Missing, Detail: field + ": missing"}
}

// malformed is the fault of a body that is not what its source sends.
func malformed(err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return &codec.Fault{Reason: codec.Malformed, Detail: fmt.Sprintf("at byte %d: %v", syntax.Offset, err)}
	case errors.As(err, &wrong):
		return &codec.Fault{Reason: codec.WrongType, Detail: fmt.Sprintf("%s: must be %s, is %s", wrong.Field, wrong.Type, wrong.Value)}
	}
	return &codec.Fault{Reason: codec.Malformed, Detail: err.Error()}
}

// checked refuses what no source may send: a body that is no JSON, or nested
// beyond the limit. Libraries that read it afterwards recurse and don't check.
func (p *payload) checked(doc *value.Doc) error {
	if err := doc.ParseJSON(p.body); err != nil {
		return codec.Unreadable("body", err)
	}
	return nil
}

// leastElement is how many bytes of a body there are, at least, for each element
// of its lists, after the first few: a label has more. In memory it is a structure
// of up to a kilobyte, and its rules take more, whatever is in its place: two bytes
// of `[0,0,...]` in the runs of a SARIF report took nine kilobytes.
const (
	leastElement = 16
	fewElements  = 1000
)

// light refuses a body that would take far more memory than bytes when it is read
// into lists of structures. doc holds it parsed. Scalars in the members called plain
// don't count: what they are read into, if anything, is no larger than a string, and
// the ids that a flag is on for are shorter than leastElement.
func (p *payload) light(doc *value.Doc, plain []string) error {
	most := fewElements + len(p.body)/leastElement
	elements := doc.Elements()
	if elements > most {
		elements -= scalarsIn(doc.Root(), plain, false)
	}
	if elements > most {
		return &codec.Fault{Reason: codec.TooLarge, Detail: fmt.Sprintf("body: %d elements in its lists, %d are allowed for its length", elements, most)}
	}
	return nil
}

// scalarsIn counts the strings, numbers and booleans in the lists of v that are in
// members called plain, or in any if v is. Null, which stands for anything, is none.
func scalarsIn(v value.Value, plain []string, within bool) int {
	sum := 0
	for element := range v.Elements() {
		if kind := element.Kind(); within && kind != value.Null && kind != value.Array && kind != value.Object {
			sum++
		}
		sum += scalarsIn(element, plain, within)
	}
	for name, member := range v.Members() {
		sum += scalarsIn(member, plain, within || slices.Contains(plain, name))
	}
	return sum
}

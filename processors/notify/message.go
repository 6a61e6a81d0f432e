package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/schemas/event"
)

// What a message is.
const (
	Opened  = "opened"  // an effect is told first
	Joined  = "joined"  // another effect of the same thread
	Updated = "updated" // another cause leads, or it has become likely or unlikely
	Summary = "summary" // many effects began at once
	Test    = "test"
)

// Message is what a target is told.
type Message struct {
	Key    string // the same message has the same key, when it is sent again too
	Action string
	Target string
	Thread string // what it belongs to
	Place  string // where the target keeps the thread; empty: it begins one
	At     event.Millis
	// Ranking is what it is about; nil for a summary or a test.
	Ranking *Ranking
	// Before led when the thread was last told; of an update.
	Before *Link
	// Effects of a summary.
	Effects []Ranking
}

// Outlet is a way to a target. Its errors are a *Failure where more is known.
type Outlet interface {
	// Threads says whether messages of a thread stay together there.
	Threads() bool
	// Send sends a message and returns the place of the thread that it began.
	Send(ctx context.Context, m *Message) (place string, err error)
}

// Finder is an Outlet that can tell whether it has a message.
type Finder interface {
	Find(ctx context.Context, m *Message, since time.Time) (place string, found bool, err error)
}

// Failure is a message that was not taken.
type Failure struct {
	Err error
	// Message says that this message is at fault, and another may be taken.
	Message bool
	// Unsure says that it may have been taken all the same.
	Unsure bool
	// After is when to try again, as the target said; 0: it didn't.
	After time.Duration
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Err: err, Unsure: true}
}

// Markup is how a target sets text off.
type Markup struct {
	Bold, Code func(string) string
	Escape     func(string) string
}

// Plain is text as it is.
func Plain() Markup {
	same := func(s string) string { return s }
	return Markup{Bold: same, Code: same, Escape: same}
}

// hypothesesTold are how many a message names.
const hypothesesTold = 3

// Text is the message for people.
func (m *Message) Text(k Markup) string {
	escape := k.Escape
	k.Escape = func(s string) string { return escape(display.Line(s)) } // no title makes a line of its own
	switch m.Action {
	case Test:
		return k.Bold("whence can reach "+k.Escape(m.Target)) + "\nThis is a test: incidents and what probably caused them will be told here."
	case Summary:
		return m.summary(k)
	case Joined:
		return m.joined(k)
	}
	return m.story(k)
}

// story is the message of one effect.
func (m *Message) story(k Markup) string {
	r := m.Ranking
	var lines []string
	if m.Action == Updated {
		lines = append(lines, k.Bold("Update: "+k.Escape(m.news())))
	}
	lines = append(lines, heading(r, k), since(r))
	for i := range r.Links[:min(hypothesesTold, len(r.Links))] {
		lines = append(lines, hypothesis(&r.Links[i], k))
	}
	return strings.Join(append(lines, commands(r, k)), "\n")
}

// news is what an update is about.
func (m *Message) news() string {
	leader := &m.Ranking.Links[0]
	if m.Before != nil && !leader.same(m.Before.Kind, m.Before.ID) {
		return fmt.Sprintf("%s now comes first with %s, before it %s", leader.Name(), Percent(leader.Probability), m.Before.Name())
	}
	if m.Before != nil {
		return fmt.Sprintf("%s has %s now, it had %s", leader.Name(), Percent(leader.Probability), Percent(m.Before.Probability))
	}
	return fmt.Sprintf("%s comes first with %s", leader.Name(), Percent(leader.Probability))
}

func (m *Message) joined(k Markup) string {
	r := m.Ranking
	leader := &r.Links[0]
	return fmt.Sprintf("Also %s: %s %s", heading(r, k), Percent(leader.Probability), k.Escape(leader.Name()))
}

// summaryTold are how many effects a summary names.
const summaryTold = 10

func (m *Message) summary(k Markup) string {
	lines := []string{k.Bold(fmt.Sprintf("%d effects began at about the same time", len(m.Effects)))}
	blamed, order := map[string]int{}, []string{}
	for i := range m.Effects {
		name := m.Effects[i].Links[0].Name()
		if blamed[name] == 0 {
			order = append(order, name)
		}
		blamed[name]++
	}
	for _, name := range order {
		if blamed[name] > 1 {
			lines = append(lines, fmt.Sprintf("%d of them have %s first", blamed[name], k.Escape(name)))
		}
	}
	for i := range m.Effects[:min(summaryTold, len(m.Effects))] {
		r := &m.Effects[i]
		lines = append(lines, fmt.Sprintf("• %s: %s %s", heading(r, k), Percent(r.Links[0].Probability), k.Escape(r.Links[0].Name())))
	}
	if more := len(m.Effects) - summaryTold; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(append(lines, k.Code("whence why ID")+" tells the story of each"), "\n")
}

func heading(r *Ranking, k Markup) string {
	about := []string{r.Kind + " " + r.ID}
	for _, part := range []string{r.Service, r.Environment, r.Severity} {
		if part != "" {
			about = append(about, part)
		}
	}
	title := r.Title
	if title == "" {
		return k.Bold(k.Escape(strings.Join(about, ", ")))
	}
	return k.Bold(k.Escape(title)) + " (" + k.Escape(strings.Join(about, ", ")) + ")"
}

func since(r *Ranking) string {
	text := "since " + at(r.Onset)
	if r.Detected > r.Onset {
		text += ", noticed " + at(r.Detected)
	}
	return text
}

func at(m event.Millis) string {
	return time.UnixMilli(int64(m)).UTC().Format("2006-01-02 15:04:05 UTC")
}

func hypothesis(l *Link, k Markup) string {
	line := fmt.Sprintf("%d. %s %s", l.Rank, Percent(l.Probability), k.Escape(l.Name()))
	if len(l.Words) > 0 {
		line += ": " + k.Escape(strings.Join(l.Words, "; "))
	}
	return line
}

// commands are what a reader can do.
func commands(r *Ranking, k Markup) string {
	line := k.Code(display.Command("whence why", r.ID)) + " tells the rest"
	confirmed := r.ID
	if r.Kind != incident {
		confirmed = r.Incident
	}
	if confirmed == "" {
		return line
	}
	line += ", " + k.Code(display.Command("whence confirm", confirmed, r.Links[0].Cause())) + " says that it was so"
	if r.Links[0].Kind != "none" {
		line += ", " + k.Code(display.Command("whence confirm", confirmed, "none")) + " that no change was to blame"
	}
	return line
}

// Commands are those of a message, for machines.
func (m *Message) Commands() []string {
	if m.Ranking == nil || len(m.Ranking.Links) == 0 {
		return []string{}
	}
	var found []string
	collect := Plain()
	collect.Code = func(s string) string { found = append(found, s); return s }
	commands(m.Ranking, collect)
	return found
}

// Percent is a probability for people: 0 and 100 only if it is.
func Percent(p float64) string {
	switch {
	case p > 0 && p < 0.01:
		return "<1 %"
	case p < 1 && p >= 0.995:
		return ">99 %"
	}
	return fmt.Sprintf("%.0f %%", 100*p)
}

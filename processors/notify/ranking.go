package notify

import (
	"cmp"
	"fmt"

	"github.com/whencehq/whence/schemas/event"
)

// Ranking is the current ranking of an effect's causes, and what the effect is.
type Ranking struct {
	Kind, ID string // of the effect: incident, alert, breach, finding
	// Incident is the one that an alert belongs to; empty: none.
	Incident             string
	Service, Environment string
	Title, Severity      string
	Onset, Detected      event.Millis
	ComputedAt           event.Millis
	Number               uint64 // 1, 2, ... of this effect
	Links                []Link // by rank
}

// Link is a hypothesis.
type Link struct {
	Kind        string   `json:"cause_kind"` // none: no known change
	ID          string   `json:"cause_id"`
	Service     string   `json:"service"`
	Rank        int      `json:"rank"`
	Probability float64  `json:"probability"`
	Words       []string `json:"evidence"` // the strongest first
}

// Name is the hypothesis as a person says it.
func (l *Link) Name() string {
	switch l.Kind {
	case "":
		return "nothing"
	case "none":
		return "no known change"
	case "undeclared":
		return "a change of " + cmp.Or(l.ID, l.Service) + " that nothing announced"
	}
	if l.Service == "" {
		return l.Kind + " " + l.ID
	}
	return fmt.Sprintf("%s %s of %s", l.Kind, l.ID, l.Service)
}

// Cause is the hypothesis as `whence confirm` takes it.
func (l *Link) Cause() string {
	if l.ID == "" {
		return l.Kind
	}
	return l.Kind + ":" + l.ID
}

func (l *Link) same(kind, id string) bool { return l.Kind == kind && l.ID == id }

// effect identifies an effect.
type effect struct{ kind, id string }

func (r *Ranking) effect() effect { return effect{r.Kind, r.ID} }

// thread is what is told in one place: an incident with its alerts, or an effect
// alone.
func (r *Ranking) thread() string {
	if r.Incident != "" {
		return "incident/" + r.Incident
	}
	return r.Kind + "/" + r.ID
}

// Notice is what a target was told of an effect: the last message about it.
type Notice struct {
	Target   string
	Kind, ID string // the effect
	Thread   string
	// Place is where the target keeps the thread, in its own words; empty: it has
	// no threads, or the message is not known to be sent.
	Place  string
	Key    string // of the message
	Number uint64 // of the ranking that was told
	// The leader as told, and its probability.
	LeaderKind, LeaderID string
	Probability          float64
	ToldAt               event.Millis
	Opened               bool // the message began the thread
	Summed               bool // it was told in a summary
	Pending              bool // it is about to be sent, and nobody knows whether it was
	// Version tells a notice from an earlier one about the same effect.
	Version uint64
}

func (n *Notice) effect() effect { return effect{n.Kind, n.ID} }

package backfill

import (
	"slices"
	"time"
)

// An issue as an API has it is the issue of today. What its webhooks said is the
// issue as it was, so its history is taken back change by change, from the last.

// issue is what changes of one.
type issue struct {
	labels          []string
	title, severity string    // severity is GitLab's of incidents; empty where it is not known
	closed          time.Time // zero: it is open
}

// issueChange is one change of an issue.
type issueChange struct {
	at     time.Time
	by     string // who did it
	what   string // labeled, unlabeled, renamed, rated, closed, reopened
	label  string // of labeled and unlabeled
	before string // of renamed the title before it, of rated the severity
}

// issueMoment is what happened to an issue at once, that is within one second: a
// form sets several labels, and each of its webhooks shows all of them.
type issueMoment struct {
	at            time.Time
	changes       []issueChange
	before, after issue
}

// over tells whether an issue was closed for good before a time.
func (i *issue) over(at time.Time) bool { return !i.closed.IsZero() && i.closed.Before(at) }

// life is what happened to an issue, from its creation to what it is now. What who
// created it has changed within a second more is part of that: labels that an
// issue is created with are set after it is.
func (i issue) life(created time.Time, by string, changes []issueChange) []issueMoment {
	changes = i.ended(changes)
	slices.SortStableFunc(changes, func(a, b issueChange) int { return a.at.Compare(b.at) })
	moments := []issueMoment{{at: created}}
	for _, c := range changes {
		last := &moments[len(moments)-1]
		creation := len(moments) == 1 && c.by == by && c.at.Sub(created) <= time.Second && c.what != "closed" && c.what != "reopened"
		if !creation && (len(moments) == 1 || !last.at.Truncate(time.Second).Equal(c.at.Truncate(time.Second))) {
			moments = append(moments, issueMoment{at: c.at})
			last = &moments[len(moments)-1]
		}
		last.changes = append(last.changes, c)
	}
	for n := len(moments) - 1; n >= 0; n-- {
		m := &moments[n]
		m.after = i
		for _, c := range slices.Backward(m.changes) {
			i = i.without(c, changes)
		}
		m.before = i
	}
	return moments
}

// ended are the changes with the one that has closed the issue at the time that
// the issue itself says, as its webhook did.
func (i *issue) ended(changes []issueChange) []issueChange {
	changes = slices.Clone(changes)
	if i.closed.IsZero() {
		return changes
	}
	for n := range slices.Backward(changes) {
		if changes[n].what == "closed" {
			changes[n].at = i.closed
			return changes
		}
	}
	return append(changes, issueChange{at: i.closed, what: "closed"})
}

// without is an issue as it was before a change, one of all.
func (i issue) without(c issueChange, all []issueChange) issue {
	switch c.what {
	case "labeled":
		i.labels = slices.DeleteFunc(slices.Clone(i.labels), func(label string) bool { return label == c.label })
	case "unlabeled":
		i.labels = append(slices.Clip(i.labels), c.label)
	case "renamed":
		i.title = c.before
	case "rated":
		i.severity = c.before
	case "closed":
		i.closed = time.Time{}
	case "reopened":
		for _, other := range all {
			if other.what == "closed" && other.at.Before(c.at) {
				i.closed = other.at
			}
		}
	}
	return i
}

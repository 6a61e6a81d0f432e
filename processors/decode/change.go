package decode

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// commit is one of a push.
type commit struct {
	revision, message, author string
	at                        time.Time
	paths                     []string
}

// merge is what a commit's message says of a pull request that it merges.
type merge struct {
	number int    // the pull request's; 0: it merges none
	brings bool   // it is a merge commit, and brings the commits before it; else a squash, and the whole of its pull request
	title  string // the pull request's
}

// work is what a push brings to a branch that is one change: the commits of a
// pull request, or those that were pushed directly. Oldest first.
type work struct {
	merge
	commits []commit
}

// works divides a push into changes. A host makes a push of its own for each
// pull request it merges, but a queue of merges or a person's may bring several
// at once.
func works(commits []commit, mergeOf func(message string) merge) []work {
	var all []work
	var waiting []commit // for the merge that brings them, if one does
	for _, c := range commits {
		m := mergeOf(c.message)
		switch {
		case m.number == 0:
			waiting = append(waiting, c)
		case m.brings:
			all = append(all, work{m, append(waiting, c)})
			waiting = nil
		default:
			all = append(all, work{m, []commit{c}})
		}
	}
	if len(waiting) > 0 {
		title, _, _ := strings.Cut(waiting[len(waiting)-1].message, "\n")
		all = append(all, work{merge{title: strings.TrimSpace(title)}, waiting})
	}
	return all
}

// subjectAndTitle divides a message into its first line and the first line of
// its body, where hosts put the title of what a merge commit merges.
func subjectAndTitle(message string) (subject, title string) {
	subject, body, _ := strings.Cut(message, "\n")
	title, _, _ = strings.Cut(strings.TrimSpace(body), "\n")
	return strings.TrimSpace(subject), strings.TrimSpace(title)
}

func (w work) last() commit { return w.commits[len(w.commits)-1] }

// commitData is a commit as change.merged has it.
type commitData struct {
	Revision   string     `json:"revision"`
	AuthoredAt *time.Time `json:"authored_at,omitempty"`
	Author     string     `json:"author,omitempty"`
}

func (w work) data() []commitData {
	all := make([]commitData, 0, len(w.commits))
	for _, c := range w.commits {
		d := commitData{Revision: c.revision, Author: c.author}
		if !c.at.IsZero() {
			at := instant(c.at)
			d.AuthoredAt = &at
		}
		all = append(all, d)
	}
	return all
}

// paths that its commits touch, sorted.
func (w work) paths() []string {
	var all []string
	for _, c := range w.commits {
		all = append(all, c.paths...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// author of what was pushed: that of the last commit, which a merge commit's
// is not.
func (w work) author() string {
	if w.brings {
		return ""
	}
	return w.last().author
}

// pushed is one change of a push.
type pushed struct {
	place
	work
}

// pushesOf are the changes of a push to the branch that counts.
func pushesOf(from place, commits []commit, mergeOf func(message string) merge) []pushed {
	var all []pushed
	for _, w := range works(commits, mergeOf) {
		all = append(all, pushed{from, w})
	}
	return all
}

// pushes says what becomes of a host's pushes: how it is done, and, for the
// table, in which fields of a commit things are.
type pushes struct {
	tool, repository string // as in ids
	request          string // what the host calls a pull request, in ids: pull
	when             string
	revision, at     string
	author, paths    string
	title            string
	reverts          func(from place, message string) string
	// short is how the host names a commit in the pull request that a push
	// merges, and so in the push's id; nil: whole.
	short    func(revision string) string
	shortDoc string
}

func (h pushes) rule() rule[pushed] {
	if h.short == nil {
		h.short = func(revision string) string { return revision }
	}
	last, at := h.revision+" of the last commit", h.at+" of the last commit"
	request := "/" + h.request + "/7 of a " + strings.ReplaceAll(h.request, "_", " ")
	r := rule[pushed]{
		when: h.when, to: "change.merged",
		id: field[pushed]{doc: "push/" + h.shortDoc + last + ", and " + request, from: func(p pushed) any {
			if p.number != 0 {
				return named("push", h.short(p.last().revision), h.request, p.number)
			}
			return named("push", h.short(p.last().revision))
		}},
		time: field[pushed]{doc: at, from: func(p pushed) any { return p.last().at }},
		fields: []field[pushed]{
			{"change_id", h.tool + "/" + h.repository + request + ", else " + h.tool + "/" + h.repository + "/push/" + last, func(p pushed) any {
				if p.number != 0 {
					return p.entity(h.request, p.number)
				}
				return p.entity("push", p.last().revision)
			}},
			{"repository", h.repository, func(p pushed) any { return p.repository }},
			{"revision", last, func(p pushed) any { return p.last().revision }},
			{"commits", h.revision + ", " + h.at + ", " + h.author + " of each", func(p pushed) any { return p.work.data() }},
			{"merged_at", at, func(p pushed) any { return p.last().at }},
			{"title", h.title, func(p pushed) any { return p.title }},
			{"author", "that of the last commit, nobody where it is a merge commit", func(p pushed) any { return p.work.author() }},
			{"reverts", "what the last commit's message says it reverts", func(p pushed) any { return h.reverts(p.place, p.last().message) }},
		},
	}
	if h.paths != "" {
		r.fields = append(r.fields, field[pushed]{"paths", h.paths + " of all commits", func(p pushed) any { return p.work.paths() }})
	}
	return r
}

// unsays are the fields of the retraction of a push that merges a pull request:
// of says which commit it was, under the name that the push's id has it by.
func unsays[E any](doc string, of func(hook[E]) string) []field[hook[E]] {
	return []field[hook[E]]{
		{"retracts", "id push/" + doc, func(m hook[E]) any {
			push := named("push", of(m))
			if push == "" {
				return nil
			}
			return map[string]string{"source": m.origin, "id": push}
		}},
		fixed[hook[E]]("reason", "the push merges a pull request"),
	}
}

// tip is the head of a pull request, a commit besides the one it became.
func tip(revision string) any {
	if revision == "" {
		return nil
	}
	return []commitData{{Revision: revision}}
}

// numbered is what GitHub puts behind the subject of a squash.
var numbered = regexp.MustCompile(`\s*\(#(\d+)\)\s*$`)

// What git revert writes, `This reverts commit 1a2b...`.
var revertsCommit = regexp.MustCompile(`(?i)\bthis reverts commit ([0-9a-f]{7,64})\b`)

// revertedCommit is the commit that a message says it reverts, empty where it
// says none.
func revertedCommit(message string) string {
	if m := revertsCommit.FindStringSubmatch(message); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// versioned ends like a version of three numbers: v1.2.3, shop@1.2.3-rc.1.
var versioned = regexp.MustCompile(`(^|[-@/_])v?\d+\.\d+\.\d+([-+.][0-9A-Za-z.+-]*)?$`)

// versionOfRef a ref that is a tag, or looks like one: hosts mostly give the short
// name, which doesn't tell main from v1.2.3. Empty where it is none.
func versionOfRef(ref string) string {
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return tag
	}
	if strings.HasPrefix(ref, "refs/") || !versioned.MatchString(ref) {
		return ""
	}
	return ref
}

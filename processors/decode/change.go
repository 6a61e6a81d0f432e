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

// Words that say that a run is of tests, and those that say it is more than
// that. A run that only might be tests is a build.
var (
	testWords = []string{"test", "tests", "testing", "pytest", "unittest", "unittests", "e2e", "spec", "specs", "rspec", "junit", "jest"}
	moreWords = []string{"build", "builds", "compile", "deploy", "deployment", "release", "publish", "package", "lint"}
	wordEnds  = regexp.MustCompile(`[^0-9a-z]+`)
)

// isTest tells by its name whether what ran was tests and nothing else.
func isTest(name string) bool {
	words := wordEnds.Split(strings.ToLower(name), -1)
	has := func(list []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
	}
	return has(testWords) && !has(moreWords)
}

const testDoc = "its name has a word such as test, e2e or spec and none such as build, deploy or lint"

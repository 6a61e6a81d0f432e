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

// work is what a push brings to a branch that is one change: the commits of a
// pull request, or those that were pushed directly. Oldest first.
type work struct {
	pull    int  // the pull request's number; 0: pushed directly
	merge   bool // its last commit is a merge commit
	commits []commit
}

// pullOf reads from a commit's message which pull request it is the merge of:
// 0 where it is none. A merge commit brings the commits before it; anything
// else (a squash) is the whole of its pull request.
type pullOf func(message string) (number int, merge bool)

// works divides a push into changes. A host makes a push of its own for each
// pull request it merges, but a queue of merges or a person's may bring several
// at once.
func works(commits []commit, of pullOf) []work {
	var all []work
	var waiting []commit // for the merge that brings them, if one does
	for _, c := range commits {
		number, merge := of(c.message)
		switch {
		case number == 0:
			waiting = append(waiting, c)
		case merge:
			all = append(all, work{number, true, append(waiting, c)})
			waiting = nil
		default:
			all = append(all, work{number, false, []commit{c}})
		}
	}
	if len(waiting) > 0 {
		all = append(all, work{commits: waiting})
	}
	return all
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
			at := moment(c.at)
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
	if w.merge {
		return ""
	}
	return w.last().author
}

// title is the first line of the last commit's message without the number a
// host puts behind it; of a merge commit the first line of its body, where
// hosts put the pull request's title.
func (w work) title() string {
	subject, body, _ := strings.Cut(w.last().message, "\n")
	if w.merge {
		body, _, _ = strings.Cut(strings.TrimSpace(body), "\n")
		return strings.TrimSpace(body)
	}
	return strings.TrimSpace(numbered.ReplaceAllString(subject, ""))
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

// versionOf a ref that is a tag, or looks like one: hosts mostly give the short
// name, which doesn't tell main from v1.2.3. Empty where it is none.
func versionOf(ref string) string {
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

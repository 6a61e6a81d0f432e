package decode

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// run is something of a CI that has ended: by its name a build or tests.
type run struct {
	id       string // of the event
	entity   string
	name     string
	revision string
	// repository of a build: tests are of a revision.
	repository     string
	outcome        string // in our words; empty: it has not run to an end
	started, ended time.Time
	duration       time.Duration // where it is stated; else from started to ended
}

// runs says, for the table, in which fields of a message a run's are. Without
// started or duration there is none of it.
type runs struct {
	when, id, entity, name, revision, repository, outcome, started, ended, duration string
}

func (doc runs) rules() []rule[run] {
	id := field[run]{doc: doc.id, from: func(r run) any { return r.id }}
	ended := field[run]{doc: doc.ended, from: func(r run) any { return r.ended }}
	entity := func(name string) field[run] {
		return field[run]{name, doc.entity, func(r run) any { return r.entity }}
	}
	both := []field[run]{
		{"revision", doc.revision, func(r run) any { return r.revision }},
		{"outcome", doc.outcome, func(r run) any { return r.outcome }},
	}
	build := []field[run]{entity("build_id"), {"repository", doc.repository, func(r run) any { return r.repository }}}
	if doc.started != "" {
		build = append(build, field[run]{"started_at", doc.started, func(r run) any { return r.started }})
	}
	if doc.started != "" && doc.duration == "" {
		doc.duration = "from " + doc.started + " to " + doc.ended
	}
	if doc.duration != "" {
		both = append(both, field[run]{"duration_ms", doc.duration, func(r run) any {
			if r.duration > 0 {
				return r.duration.Milliseconds()
			}
			return between(r.started, r.ended)
		}})
	}
	test := []field[run]{entity("run_id"), {"suite", doc.name, func(r run) any { return r.name }}}
	return []rule[run]{
		{when: doc.when + ", and it is no test", is: func(r run) bool { return r.outcome != "" && !isTest(r.name) },
			to: "build.finished", id: id, time: ended, fields: append(build, both...)},
		{when: doc.when + ", and " + testDoc, is: func(r run) bool { return r.outcome != "" && isTest(r.name) },
			to: "test.finished", id: id, time: ended, fields: append(test, both...)},
	}
}

// ofRuns is a kind whose messages each tell of a run.
func ofRuns[E any](name string, doc runs, read func(hook[E]) run) kind {
	return ofKindEach(name, func(m hook[E]) []run { return []run{read(m)} }, doc.rules()...)
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

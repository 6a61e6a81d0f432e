package decode

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/source"
)

// hooked is what a webhook of a source has become: its facts, and apart from
// them the original that is kept.
func hooked(t testing.TB, from, body string, headers ...string) (facts []string, original string) {
	t.Helper()
	lines := saidBy(t, from, []byte(body), headers...)
	last := len(lines) - 1
	if last < 0 || !strings.HasPrefix(lines[last], "kept ") && !strings.HasPrefix(lines[last], "dead ") {
		return lines, ""
	}
	return lines[:last], lines[last]
}

// becomes fails unless a webhook becomes these facts, a line each: type, time,
// id, data.
func becomes(t *testing.T, facts []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("want, got:\n%s", diff)
	}
}

// kinds of facts, without what they say.
func typesOf(facts []string) string {
	var types []string
	for _, f := range facts {
		name, _, _ := strings.Cut(f, " ")
		types = append(types, name)
	}
	return strings.Join(types, " ")
}

// fuzzHook holds any body under any header to the rules: no panic; a record is
// a dead letter or events, one of them the original; read again it is the same.
func fuzzHook(f *testing.F, from, header string, seeds ...[2]string) {
	for _, seed := range seeds {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Add("", []byte(`{}`))
	f.Add("ping", []byte(`{"repository":null,"object_attributes":7,"resource":[],"build":"","issue":null}`))
	p := New(Config{})
	read := func(t *testing.T, body []byte, headers []string) *pipeline.Batch {
		b := sent(from, body, headers...)
		if err := p.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		headers := []string{source.Received, "2026-03-01T12:00:00Z"}
		if header != "" {
			headers = append(headers, header, kind)
		}
		b := read(t, body, headers)
		switch events := len(b.Facts) + len(b.Observations) + len(b.Others); {
		case len(b.Dead) == 1 && events == 0:
			if strings.Contains(b.Dead[0].Detail, "which is a bug") {
				t.Fatal(b.Dead[0].Detail)
			}
		case len(b.Dead) == 0 && len(b.Others) == 1:
		default:
			t.Fatalf("%d events, %d originals, %d dead letters", events, len(b.Others), len(b.Dead))
		}
		again := read(t, body, headers)
		if diff := cmp.Diff(b.Facts, again.Facts, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("said once, again:\n%s", diff)
		}
		if diff := cmp.Diff(b.Others, again.Others); diff != "" {
			t.Fatalf("kept once, again:\n%s", diff)
		}
	})
}

func TestAnIDThatLacksAPartIsNone(t *testing.T) {
	if id := named("pull", 7, "merged"); id != "pull/7/merged" {
		t.Error(id)
	}
	for _, parts := range [][]any{{"pull", 0}, {"pull", ""}, {"pull", int64(0), "merged"}, {"closed", time.Time{}}} {
		if id := named(parts...); id != "" {
			t.Errorf("%v is %q", parts, id)
		}
	}
}

func TestARunIsATestOnlyIfItsNameSaysNothingMore(t *testing.T) {
	for name, want := range map[string]bool{
		"test": true, "Unit tests (linux)": true, "e2e": true, "ci/circleci: spec": true, "integration-tests": true,
		"build": false, "Build and test": false, "deploy-test": false, "CI": false, "lint tests": false, "continuous-integration": false, "latest": false, "": false,
	} {
		if isTest(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestARefIsAVersionOnlyIfItLooksLikeOne(t *testing.T) {
	for ref, want := range map[string]string{
		"v1.2.3": "v1.2.3", "1.2.3": "1.2.3", "checkout@2.0.1": "checkout@2.0.1", "shop/v1.2.3-rc.1": "shop/v1.2.3-rc.1", "refs/tags/nightly": "nightly",
		"main": "", "refs/heads/v1.2.3": "", "1.2": "", "release-1.2": "", "2.x": "", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e": "",
	} {
		if got := versionOfRef(ref); got != want {
			t.Errorf("%q is %q, want %q", ref, got, want)
		}
	}
}

func TestAPushIsDividedByWhatItsCommitsMerge(t *testing.T) {
	at := func(revision, message string) commit { return commit{revision: revision, message: message} }
	got := works([]commit{
		at("a", "Tidy"), at("b", "Fix rounding"), at("c", "Merge pull request #5 from ada/rounding\n\nRound half to even"),
		at("d", "Cache rates (#6)"), at("e", "Bump version\n\nAt last"), at("f", "Document it"),
	}, githubMergeOf)
	var lines []string
	for _, w := range got {
		var revisions []string
		for _, c := range w.commits {
			revisions = append(revisions, c.revision)
		}
		lines = append(lines, named("pull", w.number)+" "+strings.Join(revisions, "")+" "+w.title)
	}
	becomes(t, lines, "pull/5 abc Round half to even", "pull/6 d Cache rates", " ef Document it")
}

func TestAPackageURLEscapesWhatItIsMadeOf(t *testing.T) {
	for want, got := range map[string]string{
		"pkg:npm/%40babel/core":                  packageURL("npm", "@babel/core", ""),
		"pkg:github/octo/shop@release%2F1.0":     packageURL("github", "octo/shop", "release/1.0"),
		"pkg:maven/org.apache.logging/log4j":     githubPackage("maven", "org.apache.logging:log4j"),
		"pkg:pypi/ruamel-yaml":                   githubPackage("pip", "ruamel_yaml"),
		"":                                       githubPackage("unheard of", "x"),
		"pkg:generic/a%20b@1%202":                packageURL("generic", "a b", "1 2"),
		"pkg:golang/github.com/octo/shop@v1.0.0": packageURL("golang", "github.com/octo/shop", "v1.0.0"),
	} {
		if want != got {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

package statespace

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// limit bounds memory: a state takes some 200 bytes.
const limit = 4_000_000

// moreFaults is $WHENCE_FAULTS: that many faults more than every run of the
// tests has time for. One more takes minutes and gigabytes.
func moreFaults(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WHENCE_FAULTS")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("WHENCE_FAULTS=%q: %v", text, err)
	}
	return n
}

func bound(t *testing.T) int {
	t.Helper()
	if moreFaults(t) > 0 {
		return 10 * limit
	}
	return limit
}

// skipLarge leaves out scopes that take the race detector minutes: it makes an
// exploration eight times slower, which runs in one goroutine.
func skipLarge(t *testing.T, large bool) {
	t.Helper()
	if large && raced {
		t.Skip("too large for the race detector")
	}
}

// holds explores a spec that has no violation.
func holds[S comparable](t *testing.T, about string, spec Spec[S]) {
	t.Helper()
	r, err := Explore(spec, bound(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %v", about, r)
	if r.Violation != nil {
		t.Errorf("%v:\n%s", r.Violation, strings.Join(r.Trace, "\n"))
	}
	if r.Quiet == 0 {
		t.Error("it never comes to rest")
	}
}

// breaks explores a spec that has a violation.
func breaks[S comparable](t *testing.T, spec Spec[S], want string) {
	t.Helper()
	r, err := Explore(spec, bound(t))
	switch {
	case err != nil:
		t.Fatal(err)
	case r.Violation == nil:
		t.Errorf("nothing breaks in %v", r)
	case !strings.Contains(r.Violation.Error(), want):
		t.Errorf("%v, want one that %q:\n%s", r.Violation, want, strings.Join(r.Trace, "\n"))
	default:
		t.Logf("after %d steps %v:\n  %s", len(r.Trace), r.Violation, strings.Join(r.Trace, "\n  "))
	}
}

package decode

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheREADMEHasTheTableOfSeverities(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range severities {
		if line := "| `" + s.severity + "` | " + strings.Join(s.words, ", ") + " |"; !strings.Contains(string(readme), line+"\n") {
			t.Errorf("README.md has no line %s", line)
		}
	}
}

func TestAWordForSeverityIsPutOnTheScaleOrLeftAsItIs(t *testing.T) {
	for word, want := range map[string]string{"P1": "critical", "SEV-2": "high", "Warning": "medium", "page": "critical", "": "", "ok-ish": "ok-ish"} {
		if got := severityOf(word); got != want {
			t.Errorf("%s is %s, want %s", word, got, want)
		}
	}
}

func TestAnEpochIsReadByItsSize(t *testing.T) {
	want := time.Date(2026, 3, 12, 10, 0, 0, 0, time.UTC)
	for _, n := range []int64{want.Unix(), want.UnixMilli(), want.UnixMicro(), want.UnixNano()} {
		if got := epoch(n); !got.Equal(want) {
			t.Errorf("%d is %s", n, got)
		}
	}
	for _, n := range []int64{0, -1} {
		if !epoch(n).IsZero() {
			t.Errorf("%d is a time", n)
		}
	}
}

func TestAnImageIsNamedByItsTagAndElseByItsDigest(t *testing.T) {
	const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for reference, want := range map[string][2]string{
		"payments:4.2.0":                        {"4.2.0", "pkg:docker/payments@4.2.0"},
		"shop/payments:4.2.0":                   {"4.2.0", "pkg:docker/shop/payments@4.2.0"},
		"ghcr.io/shop/payments:4.2.0":           {"4.2.0", "pkg:docker/shop/payments@4.2.0?repository_url=ghcr.io"},
		"localhost:5000/payments:4.2.0":         {"4.2.0", "pkg:docker/payments@4.2.0?repository_url=localhost%3A5000"},
		"ghcr.io/shop/payments:4.2.0@" + digest: {"4.2.0", "pkg:oci/payments@sha256%3A" + digest[7:] + "?repository_url=ghcr.io%2Fshop%2Fpayments&tag=4.2.0"},
		"ghcr.io/shop/payments@" + digest:       {digest, "pkg:oci/payments@sha256%3A" + digest[7:] + "?repository_url=ghcr.io%2Fshop%2Fpayments"},
		"payments":                              {"", ""},
		"":                                      {"", ""},
		"registry.example.com:5000/team/payments:1.0-b": {"1.0-b", "pkg:docker/team/payments@1.0-b?repository_url=registry.example.com%3A5000"},
	} {
		i := parseImage(reference)
		if i.version() != want[0] || i.purl() != want[1] {
			t.Errorf("%s: %s %s", reference, i.version(), i.purl())
		}
	}
}

func TestWhatABodyCallsItselfCanBeNoOtherType(t *testing.T) {
	for word, want := range map[string]string{
		"incident.triggered": "com.tool.incident.triggered",
		"Add Note":           "com.tool.add-note",
		"a/b\x00\n":          "com.tool.a-b--",
		"":                   "com.tool",
	} {
		if got := kindOf("com.tool", word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}

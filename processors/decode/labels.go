package decode

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What the tools around a running service call things: labels, severities, times.

// Where the name of a service is looked for among labels: the first that has one.
var (
	// alertService are those of alerts. job, which Prometheus sets on every
	// series, comes last: it names what was scraped.
	alertService = []string{"service", "service_name", "app_kubernetes_io_name", "app.kubernetes.io/name", "app", "application", "job"}
	// workloadService are those of Kubernetes objects (recommended labels of
	// Kubernetes, and Datadog's unified service tagging).
	workloadService = []string{"app.kubernetes.io/name", "tags.datadoghq.com/service"}
)

// environmentNames are the labels that name an environment, in this order.
var environmentNames = []string{"environment", "env", "deployment_environment_name", "deployment.environment.name",
	"deployment_environment", "tags.datadoghq.com/env", "stage"}

// labelled is the first of the names that any of the sets has, and names go
// before sets.
func labelled(names []string, sets ...map[string]string) string {
	for _, name := range names {
		for _, labels := range sets {
			if v := labels[name]; v != "" {
				return v
			}
		}
	}
	return ""
}

// orderOf says such a list in the table.
func orderOf(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }

const severityDoc = "critical, high, medium, low or info by [the table of words](#severities), else the word as it is"

// severities are the words that tools have for how bad something is.
var severities = []struct {
	severity string
	words    []string
}{
	{"critical", []string{"critical", "crit", "fatal", "emergency", "disaster", "page", "p0", "p1", "sev0", "sev1", "s0", "s1"}},
	{"high", []string{"high", "error", "major", "severe", "urgent", "p2", "sev2", "s2"}},
	{"medium", []string{"medium", "warning", "warn", "moderate", "average", "p3", "sev3", "s3"}},
	{"low", []string{"low", "minor", "notice", "p4", "sev4", "s4"}},
	{"info", []string{"info", "informational", "information", "debug", "none", "p5", "sev5", "s5"}},
}

// severityOf puts a tool's word on the scale of severities. A word that is on
// nobody's list stays as it is: it outranks none (rule R24 of the timeline).
func severityOf(word string) string {
	plain := strings.ToLower(strings.TrimSpace(word))
	plain = strings.ReplaceAll(plain, "-", "")
	for _, s := range severities {
		for _, w := range s.words {
			if w == plain {
				return s.severity
			}
		}
	}
	return word
}

// rfc3339 reads an RFC 3339 time; the zero time where s is none.
func rfc3339(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// latest is the last of the times; the zero time where there is none.
func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// stamp is a time in an id: UTC, to the millisecond, which is all an event's time has.
func stamp(t time.Time) string {
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.999Z")
}

// epoch reads a count of seconds, milliseconds, microseconds or nanoseconds
// since 1970 by its size: tools mix them, Opsgenie within one message. The
// bounds part the units for every time from 1973 to 5138.
func epoch(n int64) time.Time {
	switch {
	case n <= 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0)
	case n < 1e14:
		return time.UnixMilli(n)
	case n < 1e17:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

// siteOf is scheme and host of the first link that has both, else otherwise.
func siteOf(otherwise string, links ...string) string {
	for _, link := range links {
		if u, err := url.Parse(link); err == nil && u.Scheme != "" && u.Host != "" {
			return u.Scheme + "://" + u.Host
		}
	}
	return otherwise
}

// kindOf joins what a tool calls a message to a type: `com.pagerduty` and
// `incident.triggered`. What no type should hold is a hyphen: the words come
// from the body, and a body of a source may say anything.
func kindOf(tool string, words ...string) string {
	var w strings.Builder
	w.WriteString(tool)
	for _, word := range words {
		if word == "" {
			continue
		}
		w.WriteByte('.')
		for i := 0; i < len(word) && i < 64; i++ {
			c := word[i]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' {
				c = '-'
			}
			w.WriteByte(c)
		}
	}
	return w.String()
}

// mostBrief is how many bytes brief leaves.
const mostBrief = 200

// brief is at most 200 bytes of s: words that say whom a flag is for stand once
// for each of its variants, and a body could make gigabytes of them.
func brief(s string) string {
	if len(s) <= mostBrief {
		return s
	}
	return strings.ToValidUTF8(s[:mostBrief], "") + "..."
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

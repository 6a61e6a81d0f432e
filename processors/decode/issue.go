package decode

import (
	"cmp"
	"slices"
	"strings"
)

// What people say with the labels of an issue, and how bad trackers and
// scanners of code hosts say things are.

// Labels are a set: no order that a host happens to list them in decides.

// scopedLabel is x of a label name:x (or name::x, as GitLab scopes labels), in any
// case, the least of several; empty where there is none.
func scopedLabel(name string, labels []string) string {
	least := ""
	for _, label := range labels {
		key, x, ok := strings.Cut(label, ":")
		x = strings.TrimSpace(strings.TrimPrefix(x, ":"))
		if ok && x != "" && strings.EqualFold(strings.TrimSpace(key), name) && (least == "" || x < least) {
			least = x
		}
	}
	return least
}

// hostSeverities are the ranks of what tools call them.
var hostSeverities = map[string]string{
	"critical": "critical", "blocker": "critical", "highest": "critical", "sev0": "critical", "sev1": "critical", "sev-0": "critical", "sev-1": "critical", "1": "critical",
	"s1": "critical", "p0": "critical", "p1": "critical",
	"high": "high", "major": "high", "error": "high", "sev2": "high", "sev-2": "high", "2": "high", "s2": "high", "p2": "high",
	"medium": "medium", "moderate": "medium", "warning": "medium", "sev3": "medium", "sev-3": "medium", "3": "medium", "s3": "medium", "p3": "medium",
	"low": "low", "minor": "low", "note": "low", "lowest": "low", "trivial": "low", "sev4": "low", "sev-4": "low", "4": "low", "s4": "low", "p4": "low",
	"info": "info", "none": "info", "sev5": "info", "sev-5": "info", "5": "info", "p5": "info",
}

// hostSeverity is the rank of a tool's word, empty where it is no word for one.
func hostSeverity(word string) string {
	return hostSeverities[strings.ToLower(strings.TrimSpace(word))]
}

const severityLabelDoc = "a label such as sev1 or severity:high"

// labelledSeverity is the worst severity that labels state.
func labelledSeverity(labels []string) string {
	ranks := [...]string{"critical", "high", "medium", "low", "info"}
	worst := len(ranks)
	for _, label := range labels {
		if rank := slices.Index(ranks[:], severityOfLabel(label)); rank >= 0 {
			worst = min(worst, rank)
		}
	}
	if worst == len(ranks) {
		return ""
	}
	return ranks[worst]
}

func severityOfLabel(label string) string {
	scoped := cmp.Or(scopedLabel("severity", []string{label}), scopedLabel("sev", []string{label}))
	if s := hostSeverity(scoped); s != "" || !strings.HasPrefix(strings.ToLower(label), "sev") {
		return s
	}
	return hostSeverity(label)
}

package decode

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
)

// fluxMessage is an event of Flux as its notification controller's generic
// provider sends it. fluxcd/pkg/apis/event needs all of Kubernetes, so these are
// the fields used of its v1beta1.Event.
type fluxMessage struct {
	*payload
	fluxEvent
}

type fluxEvent struct {
	Object struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
	} `json:"involvedObject"`
	Timestamp string            `json:"timestamp"`
	Reason    string            `json:"reason"`
	Message   string            `json:"message"`
	Metadata  map[string]string `json:"metadata"` // the Alert's eventMetadata too
}

func fluxReader() reader {
	rules := fluxRules()
	read := func(p *payload, s *said) error {
		m := fluxMessage{payload: p}
		if err := json.Unmarshal(p.body, &m.fluxEvent); err != nil {
			return malformed(err)
		}
		if m.Object.Kind == "" && m.Reason == "" {
			return unkind("involvedObject.kind")
		}
		apply(s, rules, m.Object.Kind+" "+m.Reason, "flux", m)
		return s.original(kindOf("io.fluxcd", cmp.Or(m.Object.Kind, "event"), m.Reason), "flux", "", m.at())
	}
	return reader{source: "flux", read: read, rows: rows(rules)}
}

func (m fluxMessage) at() time.Time { return rfc3339(m.Timestamp) }

// stated is a field of metadata, with or without the prefix of the object's API
// group, which the notification controller takes off.
func (m fluxMessage) stated(name string) string {
	if v := m.Metadata[name]; v != "" {
		return v
	}
	return m.Metadata[map[string]string{"Kustomization": "kustomize", "HelmRelease": "helm"}[m.Object.Kind]+".toolkit.fluxcd.io/"+name]
}

func (m fluxMessage) revision() string {
	return cmp.Or(m.stated("originRevision"), m.stated("revision"))
}

// version is the revision without its branch: main@sha1:1a2b..., main/1a2b...
// of older Flux, or a chart's 4.2.0.
func (m fluxMessage) version() string {
	version := m.revision()
	version = version[strings.LastIndexAny(version, "@/")+1:]
	version = strings.TrimPrefix(version, "sha1:")
	return version
}

func (m fluxMessage) commits() []string {
	if v := m.version(); isGitHash(v) {
		return []string{v}
	}
	return nil
}

// place is what is deployed. A Kustomization applies one revision again and
// again, and that is one deployment; each install or upgrade of a HelmRelease
// is one of its own, since the same chart comes with other values.
func (m fluxMessage) place() string {
	if m.revision() == "" {
		return ""
	}
	at := ""
	if m.Object.Kind == "HelmRelease" {
		at = "/" + stamp(m.at())
	}
	return m.Object.Kind + "/" + m.Object.Namespace + "/" + m.Object.Name + "/" + m.Object.UID + "/" + m.revision() + at
}

func fluxRules() []rule[fluxMessage] {
	type m = fluxMessage
	fields := []field[m]{
		{"deployment_id", "flux/kind/namespace/name/uid/`metadata.revision`, for a HelmRelease with /`timestamp`", func(m m) any {
			if m.place() == "" {
				return ""
			}
			return "flux/" + m.place()
		}},
		{"service", "`metadata.service`, else `involvedObject.name`", func(m m) any { return m.service(m.Metadata["service"], m.Object.Name) }},
		{"environment", "the first of " + orderOf(environmentNames) + " in `metadata`, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.Metadata))
		}},
		{"version", "`metadata.app-version` of a HelmRelease, else `metadata.originRevision` or `metadata.revision` without its branch", func(m m) any {
			return cmp.Or(m.stated("app-version"), m.version())
		}},
		{"revisions", "that revision, where it is a commit", func(m m) any { return m.commits() }},
		{"cluster", "`metadata.cluster`", func(m m) any { return m.Metadata["cluster"] }},
		{"region", "`metadata.region`", func(m m) any { return m.Metadata["region"] }},
	}
	at := field[m]{doc: "`timestamp`", from: func(m m) any { return m.at() }}
	id := field[m]{doc: "kind/namespace/name/uid/`metadata.revision`/`reason`/`timestamp`", from: func(m m) any {
		return m.place() + "/" + m.Reason + "/" + stamp(m.at())
	}}
	finished := func(kind, reason, outcome, message string) rule[m] {
		r := rule[m]{from: kind + " " + reason, to: "deployment.finished", id: id, time: at, fields: with(fields,
			field[m]{"outcome", `"` + outcome + `"`, func(m) any { return outcome }})}
		if message != "" {
			r.when, r.is = "`message` begins with "+message, func(m m) bool { return strings.HasPrefix(m.Message, message) }
		}
		return r
	}
	// The kustomize controller has one reason for all that it says on its way.
	const passed, superseded = "Health check passed", "New revision detected"
	rules := []rule[m]{
		finished("Kustomization", "ReconciliationSucceeded", "success", ""),
		finished("Kustomization", "Progressing", "success", passed),
		finished("Kustomization", "Progressing", "cancelled", superseded),
		finished("HelmRelease", "InstallSucceeded", "success", ""),
		finished("HelmRelease", "UpgradeSucceeded", "success", ""),
		finished("HelmRelease", "InstallFailed", "failure", ""),
		finished("HelmRelease", "UpgradeFailed", "failure", ""),
	}
	// No ends: Flux tries again, and a deployment that has failed is over for good.
	for _, reason := range []string{"ReconciliationFailed", "HealthCheckFailed", "BuildFailed", "Progressing"} {
		rules = append(rules, rule[m]{from: "Kustomization " + reason, to: "deployment.progressed", id: id, time: at, fields: with(fields,
			field[m]{"reason", "`reason`", func(m m) any { return m.Reason }})})
	}
	last := &rules[len(rules)-1]
	last.when, last.is = "`message` begins with neither", func(m m) bool {
		return !strings.HasPrefix(m.Message, passed) && !strings.HasPrefix(m.Message, superseded)
	}
	return rules
}

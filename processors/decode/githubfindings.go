package decode

import (
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
)

// githubAlert is what the alerts of GitHub's scanners have in common.
type githubAlert struct {
	place
	number any    // of the alert; 0: not stated
	path   string // of the finding: dependabot
	rule   string
	// severity in our words, artifact as a package URL.
	severity, artifact, url  string
	created, updated         time.Time
	remediated, accepted     bool // what the action means
	remediatedAt, acceptedAt time.Time
	received                 time.Time
	opens, reopens           bool
}

// githubAlerts is a kind of alerts: how one is read, and what of it is used,
// in words, for the table.
type githubAlerts[E any] struct {
	name, path, kind                    string
	opens, reopens, remediates, accepts string // when
	rule, severity, artifact            string
	remediatedAt, acceptedAt            string
	read                                func(m hook[E]) githubAlert
}

func (k githubAlerts[E]) of() kind {
	type m = githubAlert
	at := func(doc string, of func(m) time.Time) field[m] {
		return field[m]{doc: doc, from: func(a m) any { return of(a) }}
	}
	// An alert without the time of what happened, as old versions of GitHub
	// send: when it was taken must do, and its name does without.
	taken := func(doc string, of func(m) time.Time) field[m] {
		return at("`alert."+doc+"`, when it was taken", func(a m) time.Time {
			if t := of(a); !t.IsZero() {
				return t
			}
			return a.received
		})
	}
	id := func(what, doc string, of func(m) time.Time) field[m] {
		return field[m]{doc: k.path + "/`alert.number`/" + what + "/`alert." + doc + "`", from: func(a m) any {
			return first(named(a.path, a.number, what, of(a)), named(a.path, a.number, what))
		}}
	}
	fields := []field[m]{
		{"finding_id", "github/`repository.full_name`/" + k.path + "/`alert.number`", func(a m) any { return a.entity(a.path, a.number) }},
		fixed[m]("kind", k.kind),
		{"rule", k.rule, func(a m) any { return a.rule }},
		{"severity", k.severity, func(a m) any { return a.severity }},
		{"repository", "`repository.full_name`", func(a m) any { return a.repository }},
		{"first_seen", "`alert.created_at`", func(a m) any { return a.created }},
		{"evidence_url", "`alert.html_url`", func(a m) any { return a.url }},
	}
	if k.artifact != "" {
		fields = append(fields, field[m]{"artifact", k.artifact, func(a m) any { return a.artifact }})
	}
	created := func(a m) time.Time { return a.created }
	updated := func(a m) time.Time { return a.updated }
	remediated := func(a m) time.Time { return a.remediatedAt }
	accepted := func(a m) time.Time { return a.acceptedAt }
	opened := field[m]{doc: k.path + "/`alert.number`/opened", from: func(a m) any { return named(a.path, a.number, "opened") }}
	return ofKindEach(k.name, func(e hook[E]) []m { return []m{k.read(e)} },
		rule[m]{when: k.opens, is: func(a m) bool { return a.opens }, to: "finding.opened", id: opened, time: at("`alert.created_at`", created), fields: fields},
		rule[m]{when: k.reopens, is: func(a m) bool { return a.reopens }, to: "finding.opened", id: id("opened", "updated_at", updated), time: taken("updated_at", updated), fields: fields},
		rule[m]{when: k.remediates, is: func(a m) bool { return a.remediated }, to: "finding.remediated", id: id("remediated", k.remediatedAt, remediated), time: taken(k.remediatedAt, remediated), fields: fields},
		rule[m]{when: k.accepts, is: func(a m) bool { return a.accepted }, to: "finding.accepted", id: id("accepted", k.acceptedAt, accepted), time: taken(k.acceptedAt, accepted), fields: fields},
	)
}

// alertOf has what all messages with alerts have.
func alertOf[E any](m hook[E], path string, number int) githubAlert {
	return githubAlert{place: m.place, path: path, number: number, received: m.received.Time()}
}

func githubFindings() kinds {
	return kinds{githubCodeScanning().of(), githubDependabot().of(), githubSecrets().of(), githubVulnerabilities().of()}
}

func githubCodeScanning() githubAlerts[github.CodeScanningAlertEvent] {
	return githubAlerts[github.CodeScanningAlertEvent]{
		name: "code_scanning_alert", path: "code-scanning", kind: "vulnerability",
		opens: "`action` is `created`", reopens: "`action` is `reopened` or `reopened_by_user`",
		remediates: "`action` is `fixed`", accepts: "`action` is `closed_by_user`",
		rule:         "`alert.rule.id`",
		severity:     "`alert.rule.security_severity_level`, else `alert.rule.severity`: high of `error`, medium of `warning`, low of `note`, info of `none`",
		remediatedAt: "fixed_at", acceptedAt: "dismissed_at",
		read: func(m hook[github.CodeScanningAlertEvent]) githubAlert {
			alert, action := m.said.GetAlert(), m.said.GetAction()
			a := alertOf(m, "code-scanning", alert.GetNumber())
			a.opens, a.reopens = action == "created", action == "reopened" || action == "reopened_by_user"
			a.remediated, a.accepted = action == "fixed", action == "closed_by_user"
			a.rule, a.url = first(alert.GetRule().GetID(), alert.GetRuleID()), alert.GetHTMLURL()
			a.severity = hostSeverity(first(alert.GetRule().GetSecuritySeverityLevel(), alert.GetRule().GetSeverity(), alert.GetRuleSeverity()))
			a.created, a.updated = alert.GetCreatedAt().Time, alert.GetUpdatedAt().Time
			a.remediatedAt, a.acceptedAt = alert.GetFixedAt().Time, alert.GetDismissedAt().Time
			return a
		},
	}
}

func githubDependabot() githubAlerts[github.DependabotAlertEvent] {
	return githubAlerts[github.DependabotAlertEvent]{
		name: "dependabot_alert", path: "dependabot", kind: "vulnerability",
		opens: "`action` is `created`", reopens: "`action` is `reopened`, `auto_reopened` or `reintroduced`",
		remediates: "`action` is `fixed`", accepts: "`action` is `dismissed` or `auto_dismissed`",
		rule:         "`alert.security_advisory.cve_id`, else `ghsa_id`",
		severity:     "`alert.security_vulnerability.severity`, else that of the advisory",
		artifact:     "the package URL of `alert.dependency.package`, without a version: none is stated",
		remediatedAt: "fixed_at", acceptedAt: "dismissed_at`, `auto_dismissed_at",
		read: func(m hook[github.DependabotAlertEvent]) githubAlert {
			alert, action := m.said.GetAlert(), m.said.GetAction()
			a := alertOf(m, "dependabot", alert.GetNumber())
			a.opens, a.reopens = action == "created", has([]string{"reopened", "auto_reopened", "reintroduced"}, action)
			a.remediated, a.accepted = action == "fixed", action == "dismissed" || action == "auto_dismissed"
			advisory := alert.GetSecurityAdvisory()
			a.rule, a.url = first(advisory.GetCVEID(), advisory.GetGHSAID()), alert.GetHTMLURL()
			a.severity = hostSeverity(first(alert.GetSecurityVulnerability().GetSeverity(), advisory.GetSeverity()))
			dependency := alert.GetDependency().GetPackage()
			a.artifact = githubPackage(dependency.GetEcosystem(), dependency.GetName())
			a.created, a.updated = alert.GetCreatedAt().Time, alert.GetUpdatedAt().Time
			a.remediatedAt, a.acceptedAt = alert.GetFixedAt().Time, alert.GetDismissedAt().Time
			if a.acceptedAt.IsZero() {
				a.acceptedAt = alert.GetAutoDismissedAt().Time
			}
			return a
		},
	}
}

// githubEcosystems are the package URL types of GitHub's ecosystems.
var githubEcosystems = map[string]string{
	"actions": "github", "composer": "composer", "erlang": "hex", "go": "golang", "maven": "maven", "npm": "npm", "nuget": "nuget",
	"pip": "pypi", "pub": "pub", "rubygems": "gem", "rust": "cargo", "swift": "swift",
}

func githubPackage(ecosystem, name string) string {
	kind := githubEcosystems[strings.ToLower(ecosystem)]
	switch kind {
	case "":
		return ""
	case "maven": // group:artifact
		name = strings.ReplaceAll(name, ":", "/")
	case "pypi":
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	}
	return packageURL(kind, name, "")
}

func githubSecrets() githubAlerts[github.SecretScanningAlertEvent] {
	ended := []string{"revoked"}
	return githubAlerts[github.SecretScanningAlertEvent]{
		name: "secret_scanning_alert", path: "secret-scanning", kind: "secret",
		opens: "`action` is `created`", reopens: "`action` is `reopened`",
		remediates: "`action` is `resolved`, `alert.resolution` is `revoked`", accepts: "`action` is `resolved`, `alert.resolution` is anything else",
		rule: "`alert.secret_type`", severity: "\"high\": none is stated",
		remediatedAt: "resolved_at", acceptedAt: "resolved_at",
		read: func(m hook[github.SecretScanningAlertEvent]) githubAlert {
			alert, action := m.said.GetAlert(), m.said.GetAction()
			a := alertOf(m, "secret-scanning", alert.GetNumber())
			a.opens, a.reopens = action == "created", action == "reopened"
			revoked := has(ended, alert.GetResolution())
			a.remediated, a.accepted = action == "resolved" && revoked, action == "resolved" && !revoked
			a.rule, a.url, a.severity = alert.GetSecretType(), alert.GetHTMLURL(), "high"
			a.created, a.updated = alert.GetCreatedAt().Time, alert.GetUpdatedAt().Time
			a.remediatedAt, a.acceptedAt = alert.GetResolvedAt().Time, alert.GetResolvedAt().Time
			return a
		},
	}
}

// githubVulnerability is the webhook that dependabot_alert has followed; the
// number, which go-github leaves out, is the same alert's.
type githubVulnerability struct {
	Action string `json:"action"`
	Alert  struct {
		github.RepositoryVulnerabilityAlert
		Number  int              `json:"number"`
		FixedAt github.Timestamp `json:"fixed_at"`
	} `json:"alert"`
}

func githubVulnerabilities() githubAlerts[githubVulnerability] {
	return githubAlerts[githubVulnerability]{
		name: "repository_vulnerability_alert", path: "dependabot", kind: "vulnerability",
		opens: "`action` is `create`", reopens: "`action` is `reopen`", remediates: "`action` is `resolve`", accepts: "`action` is `dismiss`",
		rule: "`alert.external_identifier`, else `ghsa_id`", severity: "`alert.severity`",
		remediatedAt: "fixed_at", acceptedAt: "dismissed_at",
		read: func(m hook[githubVulnerability]) githubAlert {
			alert, action := &m.said.Alert, m.said.Action
			a := alertOf(m, "dependabot", alert.Number)
			if alert.Number == 0 {
				a.path, a.number = "vulnerability-alert", alert.GetID()
			}
			a.opens, a.reopens, a.remediated, a.accepted = action == "create", action == "reopen", action == "resolve", action == "dismiss"
			a.rule, a.severity = first(alert.GetExternalIdentifier(), alert.GetGitHubSecurityAdvisoryID()), hostSeverity(alert.GetSeverity())
			a.created, a.remediatedAt, a.acceptedAt = alert.GetCreatedAt().Time, alert.FixedAt.Time, alert.GetDismissedAt().Time
			return a
		},
	}
}

package decode

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
)

// What happens to an alert of one of GitHub's scanners.
const (
	alertOpened     = "opened"
	alertReopened   = "reopened"
	alertRemediated = "remediated"
	alertAccepted   = "accepted"
)

// githubAlert is what the alerts of GitHub's scanners have in common.
type githubAlert struct {
	place
	path   string // of the finding's id: dependabot
	number any    // of the alert; 0: not stated
	stage  string // empty: nothing that a fact is made of
	rule   string
	// severity in our words, artifact as a package URL.
	severity, artifact, url                string
	created, updated, remediated, accepted time.Time
	// pushed: to the repository, the last time; in webhooks alone.
	pushed, received time.Time
}

// githubAlerts is a kind of alerts: how one is read, and what of it is used,
// in words, for the table.
type githubAlerts[E any] struct {
	name   string // of the event
	events string // what ids of events begin with
	path   string // of the finding's id
	kind   string // of the finding
	// stages says when an alert is opened, reopened, remediated, accepted.
	stages                   map[string]string
	rule, severity, artifact string
	acceptedAt               string
	remediatedAt             string
	read                     func(m hook[E]) githubAlert
}

func (k githubAlerts[E]) of() kind {
	fields := []field[githubAlert]{
		{"finding_id", "github/`repository.full_name`/" + k.path + "/`alert.number`", func(a githubAlert) any { return a.entity(a.path, a.number) }},
		fixed[githubAlert]("kind", k.kind),
		{"rule", k.rule, func(a githubAlert) any { return a.rule }},
		{"severity", k.severity, func(a githubAlert) any { return a.severity }},
		{"repository", "`repository.full_name`", func(a githubAlert) any { return a.repository }},
		{"first_seen", "`alert.created_at`", func(a githubAlert) any { return a.created }},
		{"evidence_url", "`alert.html_url`", func(a githubAlert) any { return a.url }},
	}
	if k.artifact != "" {
		fields = append(fields, field[githubAlert]{"artifact", k.artifact, func(a githubAlert) any { return a.artifact }})
	}
	opened := rule[githubAlert]{
		to: "finding.opened", fields: fields,
		id:   field[githubAlert]{doc: k.events + "/`alert.number`/opened", from: func(a githubAlert) any { return named(k.events, a.number, alertOpened) }},
		time: field[githubAlert]{doc: "`alert.created_at`", from: func(a githubAlert) any { return a.created }},
	}
	// What comes after may come again, so the id has its moment. Old versions of
	// GitHub state none: when it was taken must do, and the id does without.
	later := func(stage, to, doc string, of func(githubAlert) time.Time) rule[githubAlert] {
		return rule[githubAlert]{
			to: to, fields: fields,
			id: field[githubAlert]{doc: k.events + "/`alert.number`/" + stage + "/" + doc, from: func(a githubAlert) any {
				return cmp.Or(named(k.events, a.number, stage, of(a)), named(k.events, a.number, stage))
			}},
			// A message of code scanning says neither when it was mended nor when it was
			// changed, and is the same event when it is delivered again: the push that
			// was scanned is near, and stays what it is.
			time: field[githubAlert]{doc: strings.Join(slices.Compact([]string{doc, "`alert.updated_at`", "`repository.pushed_at`", "when it was taken"}), ", "), from: func(a githubAlert) any {
				for _, t := range [...]time.Time{of(a), a.updated, a.pushed} {
					if !t.IsZero() {
						return t
					}
				}
				return a.received
			}},
		}
	}
	rules := map[string]rule[githubAlert]{
		alertOpened:     opened,
		alertReopened:   later(alertReopened, "finding.opened", "`alert.updated_at`", func(a githubAlert) time.Time { return a.updated }),
		alertRemediated: later(alertRemediated, "finding.remediated", k.remediatedAt, func(a githubAlert) time.Time { return a.remediated }),
		alertAccepted:   later(alertAccepted, "finding.accepted", k.acceptedAt, func(a githubAlert) time.Time { return a.accepted }),
	}
	var all []rule[githubAlert]
	for _, stage := range [...]string{alertOpened, alertReopened, alertRemediated, alertAccepted} {
		r := rules[stage]
		r.when, r.is = k.stages[stage], func(a githubAlert) bool { return a.stage == stage }
		all = append(all, r)
	}
	return ofKindEach(k.name, func(m hook[E]) []githubAlert {
		a := k.read(m)
		a.place, a.path, a.pushed, a.received = m.place, cmp.Or(a.path, k.path), githubPushedAt(m.body), m.received.Time()
		return []githubAlert{a}
	}, all...)
}

func githubFindings() kinds {
	return kinds{githubCodeScanning().of(), githubDependabot().of(), githubSecrets().of(), githubVulnerabilities().of()}
}

func githubCodeScanning() githubAlerts[github.CodeScanningAlertEvent] {
	stages := map[string]string{"created": alertOpened, "reopened": alertReopened, "reopened_by_user": alertReopened, "fixed": alertRemediated, "closed_by_user": alertAccepted}
	return githubAlerts[github.CodeScanningAlertEvent]{
		name: "code_scanning_alert", events: "code-scanning", path: "code-scanning", kind: "vulnerability",
		stages: map[string]string{
			alertOpened: "`action` is `created`", alertReopened: "`action` is `reopened` or `reopened_by_user`",
			alertRemediated: "`action` is `fixed`", alertAccepted: "`action` is `closed_by_user`",
		},
		rule:         "`alert.rule.id`",
		severity:     "`alert.rule.security_severity_level`, else `alert.rule.severity`: high of `error`, medium of `warning`, low of `note`, info of `none`",
		remediatedAt: "`alert.fixed_at`", acceptedAt: "`alert.dismissed_at`",
		read: func(m hook[github.CodeScanningAlertEvent]) githubAlert {
			alert := m.said.GetAlert()
			return githubAlert{
				number: alert.GetNumber(), stage: stages[m.said.GetAction()], rule: cmp.Or(alert.GetRule().GetID(), alert.GetRuleID()), url: alert.GetHTMLURL(),
				severity: hostSeverity(cmp.Or(alert.GetRule().GetSecuritySeverityLevel(), alert.GetRule().GetSeverity(), alert.GetRuleSeverity())),
				created:  alert.GetCreatedAt().Time, updated: alert.GetUpdatedAt().Time, remediated: alert.GetFixedAt().Time, accepted: alert.GetDismissedAt().Time,
			}
		},
	}
}

func githubDependabot() githubAlerts[github.DependabotAlertEvent] {
	stages := map[string]string{
		"created": alertOpened, "reopened": alertReopened, "auto_reopened": alertReopened, "reintroduced": alertReopened,
		"fixed": alertRemediated, "dismissed": alertAccepted, "auto_dismissed": alertAccepted,
	}
	return githubAlerts[github.DependabotAlertEvent]{
		name: "dependabot_alert", events: "dependabot", path: "dependabot", kind: "vulnerability",
		stages: map[string]string{
			alertOpened: "`action` is `created`", alertReopened: "`action` is `reopened`, `auto_reopened` or `reintroduced`",
			alertRemediated: "`action` is `fixed`", alertAccepted: "`action` is `dismissed` or `auto_dismissed`",
		},
		rule:         "`alert.security_advisory.cve_id`, else `ghsa_id`",
		severity:     "`alert.security_vulnerability.severity`, else that of the advisory",
		artifact:     "the package URL of `alert.dependency.package`, without a version: none is stated",
		remediatedAt: "`alert.fixed_at`", acceptedAt: "`alert.dismissed_at`, `alert.auto_dismissed_at`",
		read: func(m hook[github.DependabotAlertEvent]) githubAlert {
			alert := m.said.GetAlert()
			advisory, dependency := alert.GetSecurityAdvisory(), alert.GetDependency().GetPackage()
			a := githubAlert{
				number: alert.GetNumber(), stage: stages[m.said.GetAction()], rule: cmp.Or(advisory.GetCVEID(), advisory.GetGHSAID()), url: alert.GetHTMLURL(),
				severity: hostSeverity(cmp.Or(alert.GetSecurityVulnerability().GetSeverity(), advisory.GetSeverity())),
				artifact: githubPackage(dependency.GetEcosystem(), dependency.GetName()),
				created:  alert.GetCreatedAt().Time, updated: alert.GetUpdatedAt().Time, remediated: alert.GetFixedAt().Time, accepted: alert.GetDismissedAt().Time,
			}
			if a.accepted.IsZero() {
				a.accepted = alert.GetAutoDismissedAt().Time
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
	return githubAlerts[github.SecretScanningAlertEvent]{
		name: "secret_scanning_alert", events: "secret-scanning", path: "secret-scanning", kind: "secret",
		stages: map[string]string{
			alertOpened: "`action` is `created`", alertReopened: "`action` is `reopened`",
			alertRemediated: "`action` is `resolved`, `alert.resolution` is `revoked`",
			alertAccepted:   "`action` is `resolved`, `alert.resolution` is anything else",
		},
		rule: "`alert.secret_type`", severity: "\"high\": none is stated",
		remediatedAt: "`alert.resolved_at`", acceptedAt: "`alert.resolved_at`",
		read: func(m hook[github.SecretScanningAlertEvent]) githubAlert {
			alert := m.said.GetAlert()
			resolved := alert.GetResolvedAt().Time
			return githubAlert{
				number: alert.GetNumber(), stage: githubSecretStage(m.said.GetAction(), alert.GetResolution()), rule: alert.GetSecretType(), url: alert.GetHTMLURL(),
				severity: "high", created: alert.GetCreatedAt().Time, updated: alert.GetUpdatedAt().Time, remediated: resolved, accepted: resolved,
			}
		},
	}
}

// githubSecretStage: only a secret that was revoked is harmless. One that is
// called false, used in tests or won't be fixed is where it was.
func githubSecretStage(action, resolution string) string {
	switch {
	case action == "created":
		return alertOpened
	case action == "reopened":
		return alertReopened
	case action == "resolved" && resolution == "revoked":
		return alertRemediated
	case action == "resolved":
		return alertAccepted
	}
	return ""
}

// githubVulnerability is the webhook that dependabot_alert has followed, of the
// same alerts; go-github leaves their number out.
type githubVulnerability struct {
	Action string `json:"action"`
	Alert  struct {
		github.RepositoryVulnerabilityAlert
		Number  int              `json:"number"`
		FixedAt github.Timestamp `json:"fixed_at"`
	} `json:"alert"`
}

func githubVulnerabilities() githubAlerts[githubVulnerability] {
	stages := map[string]string{"create": alertOpened, "reopen": alertReopened, "resolve": alertRemediated, "dismiss": alertAccepted}
	return githubAlerts[githubVulnerability]{
		name: "repository_vulnerability_alert", events: "vulnerability-alert", path: "dependabot", kind: "vulnerability",
		stages: map[string]string{
			alertOpened: "`action` is `create`", alertReopened: "`action` is `reopen`", alertRemediated: "`action` is `resolve`", alertAccepted: "`action` is `dismiss`",
		},
		rule: "`alert.external_identifier`, else `ghsa_id`", severity: "`alert.severity`",
		remediatedAt: "`alert.fixed_at`", acceptedAt: "`alert.dismissed_at`",
		read: func(m hook[githubVulnerability]) githubAlert {
			alert := &m.said.Alert
			a := githubAlert{
				number: alert.Number, stage: stages[m.said.Action], severity: hostSeverity(alert.GetSeverity()),
				rule:    cmp.Or(alert.GetExternalIdentifier(), alert.GetGitHubSecurityAdvisoryID()),
				created: alert.GetCreatedAt().Time, remediated: alert.FixedAt.Time, accepted: alert.GetDismissedAt().Time,
			}
			if alert.Number == 0 { // as it was before alerts had numbers
				a.path, a.number = "vulnerability-alert", alert.GetID()
			}
			return a
		},
	}
}

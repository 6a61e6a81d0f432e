// Package source is the table of the tools that send what is no CloudEvent:
// webhooks, reports of scanners, OTLP, product events. The gateway makes its
// endpoints of it, and processors/decode finds by it who reads a record.
//
// A record of a source is the body as the tool sent it, with the tool's own
// headers that say what it is (x-github-event) and these:
//
//	whence-source     the source's Name; wins over everything else
//	content-type      as sent
//	whence-received   when the gateway took it, RFC 3339, where a body states no time
//	whence-service, whence-environment, whence-repository, ...   see Hints
//
// Header names are in lower case. Without whence-source a record is recognised
// by the tool's own headers (see Source.Marks), by its content type, or by the
// format that is configured for its topic.
package source

import (
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// Names of headers.
const (
	Header   = "whence-source"
	Received = "whence-received"
	// Backfill marks a record that was read from a tool's API and dressed as its
	// webhook: it says the same facts, and its body is no event of its own.
	Backfill = "whence-backfill"
	// HintPrefix and a hint's name are the header that a hint comes in.
	HintPrefix = "whence-"
)

// Hints are what a sender may say about a payload that doesn't say it itself:
// query parameters of an endpoint, headers (HintPrefix and the name) of a
// record. What the payload states is preferred.
func Hints() []string {
	return []string{"service", "environment", "repository", "revision", "version", "artifact", "branch", "time", "complete"}
}

// Signature is how a source proves that a request is its own.
type Signature string

// The kinds of signatures.
const (
	Unsigned Signature = ""       // it can't sign: a bearer token stands in
	GitHub   Signature = "github" // X-Hub-Signature-256: HMAC-SHA-256 of the body
	GitLab   Signature = "gitlab" // X-Gitlab-Token: the secret itself; or the signature of Standard Webhooks
	// PagerDuty: X-PagerDuty-Signature: v1= and HMAC-SHA-256 of the body, several after a comma.
	PagerDuty Signature = "pagerduty"
	Sentry    Signature = "sentry" // Sentry-Hook-Signature: HMAC-SHA-256 of the body
	// LaunchDarkly: X-LD-Signature: HMAC-SHA-256 of the body.
	LaunchDarkly Signature = "launchdarkly"
	// Atlassian: X-Hub-Signature: sha256= and HMAC-SHA-256 of the body (Jira, Bitbucket).
	Atlassian Signature = "atlassian"
	// Grafana: X-Grafana-Alerting-Signature: HMAC-SHA-256 of timestamp:body or body.
	Grafana Signature = "grafana"
	// Stamped: X-Whence-Timestamp and X-Whence-Signature: v0= and HMAC-SHA-256 of
	// v0:timestamp:body, as Slack signs; old timestamps are refused.
	Stamped Signature = "stamped"
)

// Source is one tool.
type Source struct {
	Name  string // as in whence-source and in configuration
	Title string // for people
	Path  string // of its endpoint
	Topic string // where the gateway puts it, without a prefix of its own
	// Headers of a request that say what a body is; all are kept with the record.
	Headers []string
	// Marks are those of Headers that no other source has: a record with one is
	// this source's.
	Marks     []string
	Signature Signature
}

var sources = []Source{
	hook("github", "GitHub", event.TopicDelivery, GitHub, "x-github-event", "x-github-delivery", "x-github-hook-id").marked("x-github-event"),
	hook("gitlab", "GitLab", event.TopicDelivery, GitLab, "x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-instance", "idempotency-key", "webhook-id", "webhook-timestamp").marked("x-gitlab-event"),
	hook("bitbucket", "Bitbucket", event.TopicDelivery, Atlassian, "x-event-key", "x-hook-uuid", "x-request-uuid").marked("x-event-key"),
	hook("azure-devops", "Azure DevOps", event.TopicDelivery, Unsigned),
	hook("jenkins", "Jenkins", event.TopicDelivery, Unsigned),
	hook("jira", "Jira", event.TopicIncidents, Atlassian, "x-atlassian-webhook-identifier"),
	hook("argocd", "Argo CD notifications", event.TopicDelivery, Unsigned),
	hook("argo-rollouts", "Argo Rollouts notifications", event.TopicDelivery, Unsigned),
	hook("flux", "Flux notifications", event.TopicDelivery, Unsigned, "gotk-component").marked("gotk-component"),
	hook("kubernetes", "Kubernetes watch of Deployments", event.TopicDelivery, Unsigned),
	hook("pagerduty", "PagerDuty", event.TopicIncidents, PagerDuty, "x-webhook-id", "x-webhook-subscription", "x-pagerduty-signature").marked("x-pagerduty-signature"),
	hook("opsgenie", "Opsgenie", event.TopicIncidents, Unsigned),
	hook("alertmanager", "Prometheus Alertmanager", event.TopicIncidents, Unsigned),
	hook("grafana", "Grafana alerting", event.TopicIncidents, Grafana),
	hook("sentry", "Sentry", event.TopicIncidents, Sentry, "sentry-hook-resource", "sentry-hook-timestamp", "request-id").marked("sentry-hook-resource"),
	hook("launchdarkly", "LaunchDarkly", event.TopicDelivery, LaunchDarkly, "x-ld-signature").marked("x-ld-signature"),
	hook("unleash", "Unleash", event.TopicDelivery, Unsigned),
	findings("sarif", "SARIF 2.1"), findings("ocsf", "OCSF"), findings("trivy", "Trivy"), findings("grype", "Grype"), findings("cyclonedx", "CycloneDX VEX"),
	{Name: "otlp-traces", Title: "OTLP traces", Path: "/v1/traces", Topic: event.TopicMeasurements},
	{Name: "otlp-metrics", Title: "OTLP metrics", Path: "/v1/metrics", Topic: event.TopicMeasurements},
	{Name: "otlp-logs", Title: "OTLP logs", Path: "/v1/logs", Topic: event.TopicMeasurements},
	{Name: "track", Title: "Product events, Segment-shaped", Path: "/v1/track", Topic: event.TopicBehavior},
}

func hook(name, title, topic string, signature Signature, headers ...string) Source {
	return Source{Name: name, Title: title, Path: "/hooks/" + name, Topic: topic, Headers: headers, Signature: signature}
}

func findings(name, title string) Source {
	return Source{Name: name, Title: title, Path: "/findings/" + name, Topic: event.TopicAudit}
}

func (s Source) marked(headers ...string) Source {
	s.Marks = headers
	return s
}

// All are the sources, in the order people read them. Not to be changed.
func All() []Source { return sources }

// Lookup returns the source of that name, nil where there is none.
func Lookup(name string) *Source {
	for i := range sources {
		if sources[i].Name == name {
			return &sources[i]
		}
	}
	return nil
}

// MarkedBy returns the source that a header names, nil where it names none.
// Kafka clients write header names in whatever case they like.
func MarkedBy(header string) *Source {
	for i := range sources {
		for _, mark := range sources[i].Marks {
			if strings.EqualFold(mark, header) {
				return &sources[i]
			}
		}
	}
	return nil
}

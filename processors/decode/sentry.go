package decode

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sentryMessage is a webhook of Sentry's integration platform. sentry-go is for
// sending events, so these are the fields used, of "Webhooks" in Sentry's
// documentation: "Issue Alerts", "Issues", "Metric Alerts", "Errors". What it
// is about is in the header sentry-hook-resource alone.
type sentryMessage struct {
	*payload
	action string
	event  sentryEvent // of event_alert and error
	rule   string      // of event_alert
	issue  sentryIssue
	metric sentryMetric
	link   string
}

// sentryBody has in data what the resource says, under a name of its own.
type sentryBody struct {
	Action text `json:"action"`
	Data   struct {
		Event  json.RawMessage `json:"event"`
		Error  json.RawMessage `json:"error"`
		Rule   text            `json:"triggered_rule"`
		Issue  json.RawMessage `json:"issue"`
		Metric json.RawMessage `json:"metric_alert"`
		URL    text            `json:"web_url"`
	} `json:"data"`
}

type sentryMetric struct {
	ID       text     `json:"id"`
	Started  string   `json:"date_started"`
	Closed   string   `json:"date_closed"`
	Projects []string `json:"projects"`
	Rule     struct {
		Name        string `json:"name"`
		Environment string `json:"environment"`
	} `json:"alert_rule"`
}

type sentryIssue struct {
	ID        text   `json:"id"`
	Title     string `json:"title"`
	Level     string `json:"level"`
	Priority  string `json:"priority"`
	URL       string `json:"web_url"`
	FirstSeen string `json:"firstSeen"`
	Project   struct {
		Slug string `json:"slug"`
	} `json:"project"`
}

type sentryEvent struct {
	ID          string   `json:"event_id"`
	Issue       text     `json:"issue_id"`
	At          string   `json:"datetime"`
	URL         string   `json:"url"` // of the API: it has the project's slug
	WebURL      string   `json:"web_url"`
	Title       string   `json:"title"`
	Level       string   `json:"level"`
	Release     text     `json:"release"`
	Environment string   `json:"environment"`
	Hashes      []string `json:"hashes"`
	Tags        tags     `json:"tags"`
	User        struct {
		ID text `json:"id"`
	} `json:"user"`
	Contexts struct {
		Trace struct {
			ID string `json:"trace_id"`
		} `json:"trace"`
	} `json:"contexts"`
	Exception struct {
		Values []struct {
			Stacktrace struct {
				Frames []sentryFrame `json:"frames"` // the oldest first
			} `json:"stacktrace"`
		} `json:"values"`
	} `json:"exception"`
}

type sentryFrame struct {
	Function string `json:"function,omitempty"`
	Module   string `json:"module,omitempty"`
	File     string `json:"filename,omitempty"`
	Line     int64  `json:"lineno,omitempty"`
}

func sentryReader() reader {
	rules := sentryRules()
	read := func(p *payload, s *said) error {
		resource := p.header("sentry-hook-resource")
		m, err := readSentry(p, resource)
		if err != nil {
			return malformed(err)
		}
		if resource == "" && m.action == "" {
			return unkind("sentry-hook-resource")
		}
		origin := siteOf("https://sentry.io", m.issue.URL, m.event.WebURL, m.link)
		apply(s, rules, resource+"."+m.action, origin, m)
		return s.original(kindOf("io.sentry", cmp.Or(resource, "webhook"), m.action), origin, "", m.sent())
	}
	return reader{source: "sentry", read: read, rows: rows(rules), plain: []string{"vars", "extra"}}
}

func readSentry(p *payload, resource string) (sentryMessage, error) {
	var body sentryBody
	if err := json.Unmarshal(p.body, &body); err != nil {
		return sentryMessage{}, err
	}
	m := sentryMessage{payload: p, action: string(body.Action), rule: string(body.Data.Rule), link: string(body.Data.URL)}
	var from json.RawMessage
	var to any
	switch resource {
	case "event_alert":
		from, to = body.Data.Event, &m.event
	case "error":
		from, to = body.Data.Error, &m.event
	case "issue":
		from, to = body.Data.Issue, &m.issue
	case "metric_alert":
		from, to = body.Data.Metric, &m.metric
	}
	if len(from) == 0 {
		return m, nil
	}
	return m, json.Unmarshal(from, to)
}

// sent is when Sentry sent it, which is the only time that says when an issue
// was resolved: neither the issue nor the message has it.
func (m sentryMessage) sent() time.Time {
	n, err := strconv.ParseInt(m.header("sentry-hook-timestamp"), 10, 64)
	if err != nil || n <= 0 {
		return m.received.Time()
	}
	return epoch(n)
}

// tags come as pairs in webhooks and as objects in the API. What is neither is
// left out.
type tags map[string]string

// UnmarshalJSON never fails on what is JSON.
func (t *tags) UnmarshalJSON(raw []byte) error {
	var list []json.RawMessage
	*t = tags{}
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	for _, each := range list {
		var pair []text
		var object struct {
			Key   text `json:"key"`
			Value text `json:"value"`
		}
		if json.Unmarshal(each, &pair) == nil && len(pair) == 2 {
			(*t)[string(pair[0])] = string(pair[1])
		} else if json.Unmarshal(each, &object) == nil && object.Key != "" {
			(*t)[string(object.Key)] = string(object.Value)
		}
	}
	return nil
}

// project is the slug in the event's address: .../projects/organization/slug/events/...
func (e sentryEvent) project() string {
	_, after, _ := strings.Cut(e.URL, "/projects/")
	if parts := strings.Split(after, "/"); len(parts) > 2 {
		return parts[1]
	}
	return ""
}

func (e sentryEvent) service() string { return labelled([]string{"service", "service.name"}, e.Tags) }

// version is what stands behind the package in a release, payments@4.2.0, or all of it.
func (e sentryEvent) version() string {
	release := string(e.Release)
	return release[strings.LastIndexByte(release, '@')+1:]
}

// frames are the ones of the error itself, which is the last of a chain, innermost first.
func (e sentryEvent) frames() []sentryFrame {
	if len(e.Exception.Values) == 0 {
		return nil
	}
	frames := slices.Clone(e.Exception.Values[len(e.Exception.Values)-1].Stacktrace.Frames)
	slices.Reverse(frames)
	return frames[:min(len(frames), 50)]
}

func sentryRules() []rule[sentryMessage] {
	return slices.Concat(sentryIssueRules(), sentryMetricRules(), sentryErrorRules())
}

func sentryIssueRules() []rule[sentryMessage] {
	type m = sentryMessage
	issue := []field[m]{
		{"alert_id", "sentry/issue/`issue.id`", func(m m) any { return "sentry/issue/" + string(m.issue.ID) }},
		{"fingerprint", "`issue.id`", func(m m) any { return string(m.issue.ID) }},
		{"service", "`issue.project.slug`, else the hint", func(m m) any { return m.service(m.issue.Project.Slug) }},
		{"environment", "the hint, else the default", func(m m) any { return m.environment() }},
		{"severity", "of `issue.priority`, else of `issue.level`: " + severityDoc, func(m m) any {
			return severityOf(cmp.Or(m.issue.Priority, m.issue.Level))
		}},
		{"summary", "`issue.title`", func(m m) any { return m.issue.Title }},
	}
	changed := func(action, to string) rule[m] {
		return rule[m]{from: "issue." + action, to: to, fields: issue,
			// An issue may be resolved twice without an event between: nothing but the
			// moment tells the two apart.
			id: field[m]{doc: "issue/`issue.id`/" + action + "/`sentry-hook-timestamp`", from: func(m m) any {
				return "issue/" + string(m.issue.ID) + "/" + action + "/" + stamp(m.sent())
			}},
			time: field[m]{doc: "`sentry-hook-timestamp`", from: func(m m) any { return m.sent() }}}
	}
	return []rule[m]{
		{from: "issue.created", to: "alert.fired", fields: issue,
			id:   field[m]{doc: "issue/`issue.id`/created", from: func(m m) any { return "issue/" + string(m.issue.ID) + "/created" }},
			time: field[m]{doc: "`issue.firstSeen`", from: func(m m) any { return rfc3339(m.issue.FirstSeen) }}},
		changed("unresolved", "alert.fired"),
		changed("resolved", "alert.resolved"),
		changed("archived", "alert.resolved"),
		changed("ignored", "alert.resolved"),
		{from: "event_alert.triggered", to: "alert.fired",
			id:   field[m]{doc: "event/`event.event_id`/rule/`triggered_rule`", from: func(m m) any { return "event/" + m.event.ID + "/rule/" + m.rule }},
			time: field[m]{doc: "`event.datetime`", from: func(m m) any { return rfc3339(m.event.At) }},
			fields: []field[m]{
				{"alert_id", "sentry/issue/`event.issue_id`", func(m m) any { return "sentry/issue/" + string(m.event.Issue) }},
				{"fingerprint", "`event.issue_id`", func(m m) any { return string(m.event.Issue) }},
				{"service", "the project's slug in `event.url`, else the hint", func(m m) any { return m.service(m.event.project()) }},
				{"environment", "`event.environment`, else its tag, else the hint, else the default", func(m m) any {
					return m.environment(m.event.Environment, m.event.Tags["environment"])
				}},
				{"severity", "of `event.level`: " + severityDoc, func(m m) any { return severityOf(m.event.Level) }},
				{"summary", "`event.title`", func(m m) any { return m.event.Title }},
				{"labels", "`event.tags`", func(m m) any { return m.event.Tags }},
			}},
	}
}

func sentryMetricRules() []rule[sentryMessage] {
	type m = sentryMessage
	fields := []field[m]{
		{"alert_id", "sentry/metric_alert/`metric_alert.id`", func(m m) any { return "sentry/metric_alert/" + string(m.metric.ID) }},
		{"fingerprint", "`metric_alert.alert_rule.name`", func(m m) any { return m.metric.Rule.Name }},
		{"service", "the first of `metric_alert.projects`, else the hint", func(m m) any { return m.service(m.metric.Projects...) }},
		{"environment", "`metric_alert.alert_rule.environment`, else the hint, else the default", func(m m) any {
			return m.environment(m.metric.Rule.Environment)
		}},
		{"summary", "`metric_alert.alert_rule.name`", func(m m) any { return m.metric.Rule.Name }},
	}
	id := func(what string) field[m] {
		return field[m]{doc: "metric_alert/`metric_alert.id`/" + what, from: func(m m) any {
			return "metric_alert/" + string(m.metric.ID) + "/" + what
		}}
	}
	fired := func(action string) rule[m] {
		return rule[m]{from: "metric_alert." + action, to: "alert.fired", id: id(action),
			time:   field[m]{doc: "`metric_alert.date_started`", from: func(m m) any { return rfc3339(m.metric.Started) }},
			fields: with(fields, field[m]{"severity", `"` + severityOf(action) + `"`, func(m) any { return severityOf(action) }})}
	}
	return []rule[m]{
		fired("critical"), fired("warning"),
		{from: "metric_alert.resolved", to: "alert.resolved", id: id("resolved"), fields: fields,
			time: field[m]{doc: "`metric_alert.date_closed`, else `sentry-hook-timestamp`", from: func(m m) any {
				if closed := rfc3339(m.metric.Closed); !closed.IsZero() {
					return closed
				}
				return m.sent()
			}}},
	}
}

func sentryErrorRules() []rule[sentryMessage] {
	type m = sentryMessage
	return []rule[m]{{
		from: "error.created", to: "error.occurred",
		id:   field[m]{doc: "event/`error.event_id`", from: func(m m) any { return "event/" + m.event.ID }},
		time: field[m]{doc: "`error.datetime`", from: func(m m) any { return rfc3339(m.event.At) }},
		fields: []field[m]{
			{"fingerprint", "`error.issue_id`, else the first of `error.hashes`", func(m m) any {
				return cmp.Or(append([]string{string(m.event.Issue)}, m.event.Hashes...)...)
			}},
			{"service", "the tag `service` or `service.name`, else the project's slug in `error.url`, else the hint", func(m m) any {
				return m.service(m.event.service(), m.event.project())
			}},
			{"environment", "`error.environment`, else its tag, else the hint, else the default", func(m m) any {
				return m.environment(m.event.Environment, m.event.Tags["environment"])
			}},
			{"version", "`error.release`, what stands behind its last @", func(m m) any { return m.event.version() }},
			{"instance", "the tag `server_name`", func(m m) any { return m.event.Tags["server_name"] }},
			{"user", "`error.user.id`, never name or address", func(m m) any { return string(m.event.User.ID) }},
			{"message", "`error.title`", func(m m) any { return m.event.Title }},
			{"frames", "function, module, file and line of at most 50 of the last exception's frames", func(m m) any { return m.event.frames() }},
			{"trace_id", "`error.contexts.trace.trace_id`", func(m m) any { return m.event.Contexts.Trace.ID }},
		},
	}}
}

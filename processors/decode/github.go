package decode

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/go-github/v88/github"
)

// githubMessage is a webhook of GitHub, read by go-github.
type githubMessage struct {
	*payload
	event any // *github.DeploymentStatusEvent, ...
}

func githubReader() reader {
	rules := githubRules()
	read := func(p *payload, s *said) error {
		kind := p.header("x-github-event")
		message, err := github.ParseWebHook(kind, p.body)
		if err != nil {
			return malformed(err)
		}
		var envelope struct {
			Action     string             `json:"action"`
			Repository *github.Repository `json:"repository"`
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		origin := first(envelope.Repository.GetHTMLURL(), "https://github.com")
		apply(s, rules, kind, origin, githubMessage{p, message})
		name := "com.github." + kind
		if envelope.Action != "" {
			name += "." + envelope.Action
		}
		return s.original(name, origin, "", time.Time{})
	}
	return reader{source: "github", read: read, rows: rows(rules)}
}

func githubRules() []rule[githubMessage] {
	status := func(m githubMessage) *github.DeploymentStatusEvent { return m.event.(*github.DeploymentStatusEvent) }
	return []rule[githubMessage]{
		{
			from: "deployment_status", when: "`deployment_status.state` is `success`",
			is: func(m githubMessage) bool { return status(m).GetDeploymentStatus().GetState() == "success" },
			to: "deployment.finished",
			id: field[githubMessage]{doc: "deployment/`deployment.id`/status/`deployment_status.id`", from: func(m githubMessage) any {
				return fmt.Sprintf("deployment/%d/status/%d", status(m).GetDeployment().GetID(), status(m).GetDeploymentStatus().GetID())
			}},
			time: field[githubMessage]{doc: "`deployment_status.created_at`", from: func(m githubMessage) any { return status(m).GetDeploymentStatus().GetCreatedAt().Time }},
			fields: []field[githubMessage]{
				{"deployment_id", "github/`repository.full_name`/`deployment.id`", func(m githubMessage) any {
					return fmt.Sprintf("github/%s/%d", status(m).GetRepo().GetFullName(), status(m).GetDeployment().GetID())
				}},
				{"service", "the hint, else `repository.name`", func(m githubMessage) any {
					return first(m.hint("service"), status(m).GetRepo().GetName())
				}},
				{"environment", "`deployment.environment`", func(m githubMessage) any {
					return m.payload.environment(status(m).GetDeployment().GetEnvironment())
				}},
				{"version", "`deployment.sha`", func(m githubMessage) any { return status(m).GetDeployment().GetSHA() }},
				{"outcome", "\"success\"", func(githubMessage) any { return "success" }},
			},
		},
	}
}

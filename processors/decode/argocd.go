package decode

import (
	"cmp"
	"encoding/json"
	"time"
)

// argocdMessage is what Argo CD notifications sends with the template in
// deploy/argocd, or any other that has the Application as `app`, or the
// Application itself. argo-cd as a module brings all of Kubernetes with it, so
// these are the fields used (pkg/apis/application/v1alpha1).
type argocdMessage struct {
	*payload
	argocdApp
}

type argocdApp struct {
	Kind     string     `json:"kind"`
	Metadata objectMeta `json:"metadata"`
	Status   struct {
		Operation struct {
			Phase    string `json:"phase"`
			Message  string `json:"message"`
			Started  string `json:"startedAt"`
			Finished string `json:"finishedAt"`
			Result   struct {
				Revision  string   `json:"revision"`
				Revisions []string `json:"revisions"` // of an Application with several sources
			} `json:"syncResult"`
			Operation struct {
				Sync struct {
					Revision string `json:"revision"` // asked for: a commit, or a branch
				} `json:"sync"`
				By struct {
					Username  string `json:"username"`
					Automated bool   `json:"automated"`
				} `json:"initiatedBy"`
			} `json:"operation"`
		} `json:"operationState"`
		Health struct {
			Status     string `json:"status"`
			Transition string `json:"lastTransitionTime"` // from Argo CD 2.14 on
		} `json:"health"`
		Reconciled string `json:"reconciledAt"`
		Summary    struct {
			Images []string `json:"images"` // that run now
		} `json:"summary"`
	} `json:"status"`
}

func argocdReader() reader {
	rules := argocdRules()
	read := func(p *payload, s *said) error {
		var body struct {
			App *argocdApp `json:"app"`
		}
		if err := json.Unmarshal(p.body, &body); err != nil {
			return malformed(err)
		}
		m := argocdMessage{payload: p}
		if body.App != nil {
			m.argocdApp = *body.App
		} else if err := json.Unmarshal(p.body, &m.argocdApp); err != nil {
			return malformed(err)
		}
		operation := m.Status.Operation
		if body.App == nil && m.Metadata.Name == "" && operation.Phase == "" {
			return unkind("app")
		}
		apply(s, rules, "Application", "argocd", m)
		return s.original(kindOf("io.argoproj.application", cmp.Or(operation.Phase, "notification")), "argocd", "",
			latest(rfc3339(operation.Started), rfc3339(operation.Finished), rfc3339(m.Status.Health.Transition)))
	}
	return reader{source: "argocd", read: read, rows: rows(rules)}
}

// place is the Application and the start of its sync operation. One sync is one
// deployment: the same revision may be synced again.
func (m argocdMessage) place() string {
	started := rfc3339(m.Status.Operation.Started)
	if started.IsZero() {
		return ""
	}
	return placeOf(m.Metadata, stamp(started))
}

// revision is the commit that was synced, or a chart's version. What was asked
// for may be a branch, so that it counts only where it is a commit.
func (m argocdMessage) revision() string {
	operation := m.Status.Operation
	asked := operation.Operation.Sync.Revision
	if !isGitHash(asked) {
		asked = ""
	}
	return cmp.Or(append(append([]string{operation.Result.Revision}, operation.Result.Revisions...), asked)...)
}

func (m argocdMessage) revisions() []string {
	var commits []string
	for _, r := range append([]string{m.revision()}, m.Status.Operation.Result.Revisions...) {
		if isGitHash(r) && (len(commits) == 0 || commits[0] != r) {
			commits = append(commits, r)
		}
	}
	return commits
}

func (m argocdMessage) serviceName() string {
	return cmp.Or(labelled(workloadService, m.Metadata.Labels), m.Metadata.Name)
}

func (m argocdMessage) finished() time.Time { return rfc3339(m.Status.Operation.Finished) }

// healthy is when the Application was synced and healthy, as far as it says.
func (m argocdMessage) healthy() time.Time {
	return latest(m.finished(), rfc3339(m.Status.Health.Transition))
}

// degraded is when the Application degraded: Argo CD before 2.14 only says when
// it last looked.
func (m argocdMessage) degraded() time.Time {
	if at := rfc3339(m.Status.Health.Transition); !at.IsZero() {
		return at
	}
	return latest(rfc3339(m.Status.Reconciled), m.finished())
}

func argocdRules() []rule[argocdMessage] {
	type m = argocdMessage
	fields := []field[m]{
		{"deployment_id", "argocd/namespace/name/uid/`operationState.startedAt`", func(m m) any { return "argocd/" + m.place() }},
		{"service", "`app.kubernetes.io/name` or `tags.datadoghq.com/service` in the labels, else the name", func(m m) any { return m.serviceName() }},
		{"environment", "the first of " + orderOf(environmentNames) + " in the labels, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.Metadata.Labels))
		}},
		{"revisions", "`operationState.syncResult.revision` and `revisions`, those that are commits", func(m m) any { return m.revisions() }},
		{"requested_by", "`operationState.operation.initiatedBy.username`, \"automated\" where it says so", func(m m) any {
			by := m.Status.Operation.Operation.By
			if by.Automated {
				return "automated"
			}
			return by.Username
		}},
	}
	// What runs is known when it runs: while a sync is on its way the images are of before.
	byRevision := with(fields, field[m]{"version", "`operationState.syncResult.revision`, else `operation.sync.revision` where it is a commit", func(m m) any { return m.revision() }})
	byImage := with(fields,
		field[m]{"version", "the tag, else the digest of the one of `summary.images` called as the service, else of the first, else the revision", func(m m) any {
			i, _ := imageOf(m.serviceName(), m.Status.Summary.Images)
			return cmp.Or(i.version(), m.revision())
		}},
		field[m]{"artifact", "that image as a package URL", func(m m) any {
			i, _ := imageOf(m.serviceName(), m.Status.Summary.Images)
			return i.purl()
		}})
	id := func(doc string, of func(m) string) field[m] {
		return field[m]{doc: "app/namespace/name/uid/`startedAt`/" + doc, from: func(m m) any { return "app/" + m.place() + "/" + of(m) }}
	}
	phase := func(m m) string { return m.Status.Operation.Phase }
	finished := field[m]{doc: "`operationState.finishedAt`", from: func(m m) any { return m.finished() }}
	return []rule[m]{
		{from: "Application", when: "has an `operationState`", is: func(m m) bool { return m.place() != "" }, to: "deployment.started",
			id: id("started", func(m) string { return "started" }), fields: byRevision,
			time: field[m]{doc: "`operationState.startedAt`", from: func(m m) any { return rfc3339(m.Status.Operation.Started) }}},
		{from: "Application", when: "`operationState.phase` is Succeeded", is: func(m m) bool { return m.place() != "" && phase(m) == "Succeeded" },
			to: "deployment.progressed", id: id("synced", func(m) string { return "synced" }), time: finished, fields: with(byRevision,
				field[m]{"reason", `"synced"`, func(m) any { return "synced" }})},
		{from: "Application", when: "`operationState.phase` is Succeeded and `health.status` Healthy",
			is: func(m m) bool {
				return m.place() != "" && phase(m) == "Succeeded" && m.Status.Health.Status == "Healthy"
			},
			to: "deployment.finished", id: id("healthy/time", func(m m) string { return "healthy/" + stamp(m.healthy()) }),
			time:   field[m]{doc: "the later of `operationState.finishedAt` and `health.lastTransitionTime`", from: func(m m) any { return m.healthy() }},
			fields: with(byImage, field[m]{"outcome", `"success"`, func(m) any { return "success" }})},
		{from: "Application", when: "`operationState.phase` is Failed or Error", is: func(m m) bool { return m.place() != "" && (phase(m) == "Failed" || phase(m) == "Error") },
			to: "deployment.finished", id: id("failed", func(m) string { return "failed" }), time: finished, fields: with(byRevision,
				field[m]{"outcome", `"failure"`, func(m) any { return "failure" }},
				field[m]{"reason", "`operationState.message`", func(m m) any { return m.Status.Operation.Message }})},
		// No end: an Application may degrade days after it was deployed, and runs all the same.
		{from: "Application", when: "`operationState.phase` is Succeeded and `health.status` Degraded",
			is: func(m m) bool {
				return m.place() != "" && phase(m) == "Succeeded" && m.Status.Health.Status == "Degraded"
			},
			to: "deployment.progressed", id: id("degraded/time", func(m m) string { return "degraded/" + stamp(m.degraded()) }),
			time:   field[m]{doc: "`health.lastTransitionTime`, else the later of `reconciledAt` and `operationState.finishedAt`", from: func(m m) any { return m.degraded() }},
			fields: with(byRevision, field[m]{"reason", `"degraded"`, func(m) any { return "degraded" }})},
	}
}

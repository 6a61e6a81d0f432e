package decode

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"
)

// rolloutMessage is what Argo Rollouts notifications sends with the templates in
// deploy/argocd, or any other that has the Rollout as `rollout`, or an event of a
// watch of Rollouts, or the Rollout itself. These are the fields used
// (pkg/apis/rollouts/v1alpha1); the module brings all of Kubernetes with it.
type rolloutMessage struct {
	*payload
	argoRollout
	rolloutNotice
}

// rolloutNotice is what happened, as our templates say it, and when they were
// filled in. The controller notifies before it writes the status (argo-rollouts
// issue 3535), so that the Rollout of a notification may be as it was before.
type rolloutNotice struct {
	Event string `json:"event"` // aborted, completed, ...
	At    string `json:"at"`
}

type argoRollout struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int64      `json:"replicas"`
		Template podTemplate `json:"template"`
		Strategy struct {
			BlueGreen *struct{} `json:"blueGreen"`
			Canary    *struct {
				Steps []struct {
					SetWeight *int64 `json:"setWeight"`
				} `json:"steps"`
			} `json:"canary"`
		} `json:"strategy"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration text   `json:"observedGeneration"` // a number as a string
		Phase              string `json:"phase"`
		Hash               string `json:"currentPodHash"`
		Stable             string `json:"stableRS"`
		Step               *int64 `json:"currentStepIndex"` // the step that is next, or under way
		Abort              bool   `json:"abort"`
		AbortedAt          string `json:"abortedAt"`
		PromoteFull        bool   `json:"promoteFull"`
		Replicas           int64  `json:"replicas"`
		Updated            int64  `json:"updatedReplicas"`
		Pauses             []struct {
			Started string `json:"startTime"`
		} `json:"pauseConditions"`
		Canary struct {
			Weights *struct {
				Canary struct {
					Weight int64 `json:"weight"`
				} `json:"canary"`
			} `json:"weights"`
		} `json:"canary"`
		BlueGreen struct {
			Active string `json:"activeSelector"`
		} `json:"blueGreen"`
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

func argoRolloutsReader() reader {
	rules := argoRolloutsRules()
	read := func(p *payload, s *said) error {
		var body struct {
			rolloutNotice
			Rollout json.RawMessage `json:"rollout"`
			Object  json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(p.body, &body); err != nil {
			return malformed(err)
		}
		m := rolloutMessage{payload: p, rolloutNotice: body.rolloutNotice}
		rollout := p.body
		for _, in := range []json.RawMessage{body.Object, body.Rollout} {
			if len(in) > 0 {
				rollout = in
			}
		}
		if err := json.Unmarshal(rollout, &m.argoRollout); err != nil {
			return malformed(err)
		}
		if m.Metadata.Name == "" && m.Status.Phase == "" && len(body.Rollout)+len(body.Object) == 0 {
			return unkind("rollout")
		}
		apply(s, rules, "Rollout", "argo-rollouts", m)
		return s.original(kindOf("io.argoproj.rollout", cmp.Or(m.Status.Phase, "notification")), "argo-rollouts", "", m.changed())
	}
	return reader{source: "argo-rollouts", read: read, rows: rows(rules)}
}

// revision is the number of the Rollout's revision, else the hash of its pods;
// empty while the controller has not seen the last change, as of a Deployment.
func (m rolloutMessage) revision() string {
	if seen, err := strconv.ParseInt(string(m.Status.ObservedGeneration), 10, 64); err == nil && seen < m.Metadata.Generation {
		return ""
	}
	return cmp.Or(m.Metadata.Annotations["rollout.argoproj.io/revision"], m.Status.Hash)
}

func (m rolloutMessage) place() string { return placeOf(m.Metadata, m.revision()) }

// changed is the last time that the status states.
func (m rolloutMessage) changed() time.Time {
	at := rfc3339(m.Status.AbortedAt)
	for _, c := range m.Status.Conditions {
		at = latest(at, c.at())
	}
	for _, p := range m.Status.Pauses {
		at = latest(at, rfc3339(p.Started))
	}
	return at
}

// percent is the share of the traffic the new version is meant to have: the
// weight that was set, else that of the last step done; all or none for blue
// and green; without steps the share of the pods.
func (m rolloutMessage) percent() int64 {
	s, strategy := m.Status, m.Spec.Strategy
	switch {
	case strategy.BlueGreen != nil:
		if s.BlueGreen.Active != "" && s.BlueGreen.Active == s.Hash {
			return 100
		}
		return 0
	case s.Canary.Weights != nil:
		return s.Canary.Weights.Canary.Weight
	case strategy.Canary != nil && s.Step != nil && len(strategy.Canary.Steps) > 0:
		weight := int64(0)
		for i, step := range strategy.Canary.Steps {
			if step.SetWeight != nil && int64(i) < *s.Step {
				weight = *step.SetWeight
			}
		}
		return weight
	case s.Replicas > 0:
		return max(0, min(100*s.Updated/s.Replicas, 99))
	}
	return 0
}

func (m rolloutMessage) step() int64 {
	if m.Status.Step == nil {
		return 0
	}
	return *m.Status.Step
}

// phase of a deployment under way, empty where it just goes on.
func (m rolloutMessage) phase() string {
	switch {
	case m.Status.PromoteFull:
		return "promoted"
	case len(m.Status.Pauses) > 0:
		return "paused"
	}
	return ""
}

// completes tells whether the new version has become the stable one.
func (m rolloutMessage) completes() bool {
	return !m.Status.Abort && m.Status.Phase == "Healthy" && m.Status.Hash != "" && m.Status.Hash == m.Status.Stable
}

// completed is when it did.
func (m rolloutMessage) completed() time.Time {
	if !m.completes() {
		return rfc3339(m.At)
	}
	if c := conditionOf("Completed", m.Status.Conditions); c.Status == "True" {
		return c.at()
	}
	return latest(conditionOf("Healthy", m.Status.Conditions).at(), conditionOf("Progressing", m.Status.Conditions).at())
}

// aborts tells whether the rollout was given up, and abortedAt when.
func (m rolloutMessage) aborts() bool { return m.Status.Abort || m.Event == "aborted" }

func (m rolloutMessage) abortedAt() time.Time { return rfc3339(cmp.Or(m.Status.AbortedAt, m.At)) }

func (m rolloutMessage) progressing() condition {
	return conditionOf("Progressing", m.Status.Conditions)
}

func argoRolloutsRules() []rule[rolloutMessage] {
	type m = rolloutMessage
	fields := []field[m]{
		{"deployment_id", "argo-rollouts/namespace/name/uid/ and the annotation `rollout.argoproj.io/revision`, else `status.currentPodHash`", func(m m) any { return "argo-rollouts/" + m.place() }},
		{"service", serviceOfDoc, func(m m) any { return serviceOf(m.Metadata, m.Spec.Template) }},
		{"environment", "the first of " + orderOf(environmentNames) + " in the labels of the pods' template and of the object, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.Spec.Template.Metadata.Labels, m.Metadata.Labels))
		}},
		{"version", versionOfDoc, func(m m) any { return versionOf(m.Metadata, m.Spec.Template) }},
		{"artifact", "that image as a package URL", func(m m) any { return artifactOf(m.Metadata, m.Spec.Template) }},
		{"revisions", "the annotation `org.opencontainers.image.revision` of the pods' template", func(m m) any { return m.Spec.Template.sourceRevisions() }},
		{"strategy", "canary or blue_green", func(m m) any {
			switch {
			case m.Spec.Strategy.BlueGreen != nil:
				return "blue_green"
			case m.Spec.Strategy.Canary != nil:
				return "canary"
			}
			return ""
		}},
	}
	id := func(doc string, of func(m) string) field[m] {
		return field[m]{doc: "rollout/namespace/name/uid/revision/" + doc, from: func(m m) any { return "rollout/" + m.place() + "/" + of(m) }}
	}
	known := func(m m) bool { return m.revision() != "" }
	aborts := func(m m) bool { return known(m) && m.aborts() }
	aborted := field[m]{doc: "`status.abortedAt`, else `at`", from: func(m m) any { return m.abortedAt() }}
	return []rule[m]{
		{from: "Rollout", when: "the condition Progressing has reason NewReplicaSetCreated", to: "deployment.started",
			is: func(m m) bool { return known(m) && m.progressing().Reason == "NewReplicaSetCreated" },
			id: id("started", func(m) string { return "started" }), fields: fields,
			time: field[m]{doc: "`lastUpdateTime` of that condition", from: func(m m) any { return m.progressing().at() }}},
		{from: "Rollout", when: "`status.phase` is Progressing or Paused, not aborted", to: "deployment.progressed",
			is: func(m m) bool {
				return known(m) && !m.aborts() && (m.Status.Phase == "Progressing" || m.Status.Phase == "Paused")
			},
			id: id("progressed/time/step/percent/phase", func(m m) string {
				return "progressed/" + stamp(m.changed()) + "/" + number(m.step()) + "/" + number(m.percent()) + "/" + m.phase()
			}),
			time: field[m]{doc: "the last time in `status.conditions` and `status.pauseConditions`", from: func(m m) any { return m.changed() }},
			fields: with(fields,
				field[m]{"percent", "`status.canary.weights.canary.weight`, else the last `setWeight` done; blue and green: 100 once active; no steps: updated of all pods", func(m m) any { return m.percent() }},
				field[m]{"phase", `"promoted" where ` + "`status.promoteFull`" + `, "paused" where ` + "`status.pauseConditions`", func(m m) any { return m.phase() }})},
		{from: "Rollout", when: "`status.abort`, or `event` is aborted", to: "deployment.progressed", is: aborts,
			id: id("aborted/`abortedAt`", func(m m) string { return "aborted/" + stamp(m.abortedAt()) }), time: aborted, fields: with(fields,
				field[m]{"phase", `"rolling_back"`, func(m) any { return "rolling_back" }})},
		// The controller takes the traffic away at once, and need not say another word.
		{from: "Rollout", when: "`status.abort`, or `event` is aborted", to: "deployment.finished", is: aborts,
			id: id("rolled_back/`abortedAt`", func(m m) string { return "rolled_back/" + stamp(m.abortedAt()) }), time: aborted, fields: with(fields,
				field[m]{"outcome", `"rolled_back"`, func(m) any { return "rolled_back" }},
				field[m]{"reason", `"aborted"`, func(m) any { return "aborted" }})},
		{from: "Rollout", when: "`status.phase` is Healthy and `status.stableRS` is `status.currentPodHash`, or `event` is completed", to: "deployment.finished",
			is:   func(m m) bool { return known(m) && (m.completes() || m.Event == "completed") },
			id:   id("finished/time", func(m m) string { return "finished/" + stamp(m.completed()) }),
			time: field[m]{doc: "when the condition Completed came true, else the later of Healthy and Progressing; `at` where the Rollout doesn't say yet that it is", from: func(m m) any { return m.completed() }},
			fields: with(fields,
				field[m]{"percent", "100", func(m) any { return 100 }},
				field[m]{"outcome", `"success"`, func(m) any { return "success" }})},
		{from: "Rollout", when: "`status.phase` is Degraded, not aborted, and Progressing has reason ProgressDeadlineExceeded", to: "deployment.finished",
			is: func(m m) bool {
				return known(m) && !m.aborts() && m.Status.Phase == "Degraded" && m.progressing().Reason == "ProgressDeadlineExceeded"
			},
			id:   id("failed/`lastUpdateTime`", func(m m) string { return "failed/" + stamp(m.progressing().at()) }),
			time: field[m]{doc: "`lastUpdateTime` of that condition", from: func(m m) any { return m.progressing().at() }},
			fields: with(fields,
				field[m]{"outcome", `"failure"`, func(m) any { return "failure" }},
				field[m]{"reason", `"ProgressDeadlineExceeded"`, func(m) any { return "ProgressDeadlineExceeded" }})},
	}
}

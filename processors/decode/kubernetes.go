package decode

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// watchMessage is one event of a Kubernetes watch: what changed and the object
// as it is now. k8s.io/api is megabytes of types, and its times refuse what a
// hand-written object says, so these are the fields used (Kubernetes API
// reference: apps/v1 Deployment, core/v1 Pod).
type watchMessage struct {
	*payload
	Type   string // ADDED, MODIFIED, DELETED
	object workload
	pod    pod
}

// objectMeta is what every object has.
type objectMeta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	UID         string            `json:"uid"`
	Generation  int64             `json:"generation"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Created     string            `json:"creationTimestamp"`
	Deleted     string            `json:"deletionTimestamp"`
	Owners      []struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"ownerReferences"`
}

// podTemplate is what a workload makes its pods of: the same for all of one revision.
type podTemplate struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Containers []struct {
			Name  string `json:"name"`
			Image string `json:"image"`
		} `json:"containers"`
	} `json:"spec"`
}

// condition is one of a workload's status.
type condition struct {
	Type       string `json:"type"`
	Status     string `json:"status"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	Updated    string `json:"lastUpdateTime"`
	Transition string `json:"lastTransitionTime"`
}

// at is when the condition came to be as it is.
func (c condition) at() time.Time { return latest(rfc3339(c.Updated), rfc3339(c.Transition)) }

// workload is a Deployment.
type workload struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int64      `json:"replicas"` // nil: 1
		Template podTemplate `json:"template"`
		Strategy struct {
			Type string `json:"type"`
		} `json:"strategy"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64       `json:"observedGeneration"`
		Replicas           int64       `json:"replicas"`
		Updated            int64       `json:"updatedReplicas"`
		Available          int64       `json:"availableReplicas"`
		Conditions         []condition `json:"conditions"`
	} `json:"status"`
}

func kubernetesReader() reader {
	rules := slices.Concat(deploymentRules(), podRules())
	read := func(p *payload, s *said) error {
		var body struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(p.body, &body); err != nil {
			return malformed(err)
		}
		m := watchMessage{payload: p, Type: body.Type}
		var kind struct {
			Kind     string     `json:"kind"`
			Metadata objectMeta `json:"metadata"`
		}
		if len(body.Object) > 0 {
			if err := json.Unmarshal(body.Object, &kind); err != nil {
				return malformed(err)
			}
		}
		if kind.Kind == "" && body.Type == "" {
			return unkind("type")
		}
		var err error
		switch kind.Kind {
		case "Deployment":
			err = json.Unmarshal(body.Object, &m.object)
		case "Pod":
			err = json.Unmarshal(body.Object, &m.pod)
		}
		if err != nil {
			return malformed(err)
		}
		apply(s, rules, kind.Kind, "kubernetes", m)
		at := latest(rfc3339(kind.Metadata.Created), rfc3339(kind.Metadata.Deleted), m.object.progressing().at(), m.pod.changed())
		return s.original(kindOf("io.kubernetes", cmp.Or(kind.Kind, "watch"), body.Type), "kubernetes", "", at)
	}
	return reader{source: "kubernetes", read: read, rows: rows(rules)}
}

// revision is the number of the Deployment's revision, empty while the
// controller has not seen the last change: until then the annotation is of the
// revision before, and the template no longer is.
func (w workload) revision() string {
	if w.Status.ObservedGeneration < w.Metadata.Generation {
		return ""
	}
	return w.Metadata.Annotations["deployment.kubernetes.io/revision"]
}

func (w workload) replicas() int64 {
	if w.Spec.Replicas == nil {
		return 1
	}
	return *w.Spec.Replicas
}

// complete is kubectl rollout status's rule (kubectl/pkg/polymorphichelpers).
func (w workload) complete() bool {
	s := w.Status
	return s.Updated >= w.replicas() && s.Replicas <= s.Updated && s.Available >= s.Updated
}

func (w workload) progressing() condition { return conditionOf("Progressing", w.Status.Conditions) }

func conditionOf(kind string, all []condition) condition {
	for _, c := range all {
		if c.Type == kind {
			return c
		}
	}
	return condition{}
}

// percent is the share of the running pods that are of this revision. It is 99
// at most: 100 says that the rollout is complete, which only its end does.
func (w workload) percent() int64 {
	if w.Status.Replicas <= 0 {
		return 0
	}
	return max(0, min(100*w.Status.Updated/w.Status.Replicas, 99))
}

// serviceOf is the name of the service a workload is, of the labels its pods have.
func serviceOf(meta objectMeta, template podTemplate) string {
	return cmp.Or(labelled(workloadService, template.Metadata.Labels, meta.Labels), meta.Name)
}

const serviceOfDoc = "the first of `app.kubernetes.io/name`, `tags.datadoghq.com/service` in the labels of the pods' template and of the object, else its name"

func (t podTemplate) images() []string {
	var all []string
	for _, c := range t.Spec.Containers {
		all = append(all, c.Image)
	}
	return all
}

// versionOf is the version a template makes pods of.
func versionOf(meta objectMeta, t podTemplate) string {
	if v := labelled([]string{"app.kubernetes.io/version", "tags.datadoghq.com/version"}, t.Metadata.Labels); v != "" {
		return v
	}
	i, _ := imageOf(serviceOf(meta, t), t.images())
	return i.version()
}

const versionOfDoc = "`app.kubernetes.io/version` or `tags.datadoghq.com/version` in the labels of the pods' template, else the tag, else the digest of the image called as the service, else of the first"

func artifactOf(meta objectMeta, t podTemplate) string {
	i, _ := imageOf(serviceOf(meta, t), t.images())
	return i.purl()
}

// sourceRevisions are the commits a template says it was built from (the
// annotation of the OCI image specification).
func (t podTemplate) sourceRevisions() []string {
	if r := t.Metadata.Annotations["org.opencontainers.image.revision"]; r != "" {
		return []string{r}
	}
	return nil
}

// placeOf is the object and its revision: what a deployment is named after. The
// uid tells clusters apart, and an object made again under its name.
func placeOf(meta objectMeta, revision string) string {
	if revision == "" {
		return ""
	}
	return meta.Namespace + "/" + meta.Name + "/" + meta.UID + "/" + revision
}

func (m watchMessage) place() string { return placeOf(m.object.Metadata, m.object.revision()) }

// rolling tells whether a rollout of this revision is known to be on its way.
func (m watchMessage) rolling(reasons ...string) bool {
	return m.Type != "DELETED" && m.object.revision() != "" && slices.Contains(reasons, m.object.progressing().Reason)
}

func deploymentRules() []rule[watchMessage] {
	type m = watchMessage
	fields := []field[m]{
		{"deployment_id", "kubernetes/namespace/name/uid/ and the annotation `deployment.kubernetes.io/revision`", func(m m) any { return "kubernetes/" + m.place() }},
		{"service", serviceOfDoc, func(m m) any { return serviceOf(m.object.Metadata, m.object.Spec.Template) }},
		{"environment", "the first of " + orderOf(environmentNames) + " in the labels of the pods' template and of the object, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.object.Spec.Template.Metadata.Labels, m.object.Metadata.Labels))
		}},
		{"version", versionOfDoc, func(m m) any { return versionOf(m.object.Metadata, m.object.Spec.Template) }},
		{"artifact", "that image as a package URL", func(m m) any { return artifactOf(m.object.Metadata, m.object.Spec.Template) }},
		{"revisions", "the annotation `org.opencontainers.image.revision` of the pods' template", func(m m) any { return m.object.Spec.Template.sourceRevisions() }},
		{"strategy", "`spec.strategy.type`: rolling or recreate", func(m m) any {
			return map[string]string{"RollingUpdate": "rolling", "Recreate": "recreate"}[m.object.Spec.Strategy.Type]
		}},
	}
	at := field[m]{doc: "`lastUpdateTime` of the condition Progressing", from: func(m m) any { return m.object.progressing().at() }}
	id := func(doc string, of func(m) string) field[m] {
		return field[m]{doc: "deployment/namespace/name/uid/revision/" + doc, from: func(m m) any { return "deployment/" + m.place() + "/" + of(m) }}
	}
	reason := field[m]{"reason", "`reason` of the condition Progressing", func(m m) any { return m.object.progressing().Reason }}
	return []rule[m]{
		{from: "Deployment", when: "the condition Progressing has reason NewReplicaSetCreated", to: "deployment.started",
			is: func(m m) bool { return m.rolling("NewReplicaSetCreated") },
			id: id("started", func(m) string { return "started" }), time: at, fields: fields},
		{from: "Deployment", when: "it has reason ReplicaSetUpdated, NewReplicaSetCreated, FoundNewReplicaSet, DeploymentPaused or DeploymentResumed", to: "deployment.progressed",
			is: func(m m) bool {
				return m.rolling("ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet", "DeploymentPaused", "DeploymentResumed")
			},
			id: id("progressed/`lastUpdateTime`/percent/replicas/reason", func(m m) string {
				return "progressed/" + stamp(m.object.progressing().at()) + "/" + number(m.object.percent()) + "/" + number(m.object.replicas()) + "/" + m.object.progressing().Reason
			}), time: at, fields: with(fields,
				field[m]{"percent", "`status.updatedReplicas` of `status.replicas`, 99 at most", func(m m) any { return m.object.percent() }},
				field[m]{"replicas", "`spec.replicas`", func(m m) any { return m.object.replicas() }},
				field[m]{"phase", `"paused" where the reason is DeploymentPaused`, func(m m) any {
					return map[string]string{"DeploymentPaused": "paused"}[m.object.progressing().Reason]
				}}, reason)},
		{from: "Deployment", when: "it has reason NewReplicaSetAvailable, and every replica is updated and available", to: "deployment.finished",
			is: func(m m) bool { return m.rolling("NewReplicaSetAvailable") && m.object.complete() },
			id: id("finished/`lastUpdateTime`", func(m m) string { return "finished/" + stamp(m.object.progressing().at()) }), time: at, fields: with(fields,
				field[m]{"percent", "100", func(m) any { return 100 }},
				field[m]{"outcome", `"success"`, func(m) any { return "success" }})},
		{from: "Deployment", when: "it has reason ProgressDeadlineExceeded", to: "deployment.finished",
			is: func(m m) bool { return m.rolling("ProgressDeadlineExceeded") },
			id: id("failed/`lastUpdateTime`", func(m m) string { return "failed/" + stamp(m.object.progressing().at()) }), time: at, fields: with(fields,
				field[m]{"outcome", `"failure"`, func(m) any { return "failure" }}, reason)},
	}
}

// pod is a Pod, which has what its template has.
type pod struct {
	podTemplate
	Status struct {
		Phase      string      `json:"phase"`
		Started    string      `json:"startTime"`
		Reason     string      `json:"reason"`
		Conditions []condition `json:"conditions"`
		Containers []struct {
			Name     string         `json:"name"`
			Restarts int64          `json:"restartCount"`
			State    containerState `json:"state"`
			Last     containerState `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

type containerState struct {
	Terminated struct {
		Finished string `json:"finishedAt"`
		Reason   string `json:"reason"`
	} `json:"terminated"`
}

// owner is the workload behind the pod: its ReplicaSet's name without the hash,
// else the name of what owns it directly (StatefulSet, DaemonSet, Job).
func (p pod) owner() string {
	if len(p.Metadata.Owners) == 0 {
		return ""
	}
	owner := p.Metadata.Owners[0]
	if hash := p.Metadata.Labels["pod-template-hash"]; owner.Kind == "ReplicaSet" && hash != "" {
		return strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return owner.Name
}

// service is empty for a pod that no workload owns.
func (p pod) service() string {
	if p.owner() == "" {
		return ""
	}
	return cmp.Or(labelled(workloadService, p.Metadata.Labels), p.owner())
}

func (p pod) version() string {
	return versionOf(objectMeta{Name: p.owner()}, p.podTemplate)
}

// crash is the last end of a container that was started again, and which time
// it was.
func (p pod) crash() (container string, restarts int64, end containerState) {
	for _, c := range p.Status.Containers {
		if c.Restarts > 0 && rfc3339(c.Last.Terminated.Finished).After(rfc3339(end.Terminated.Finished)) {
			container, restarts, end = c.Name, c.Restarts, c.Last
		}
	}
	return container, restarts, end
}

// ended is when the last of the containers ended, else when the pod was told to go.
func (p pod) ended() time.Time {
	var end time.Time
	for _, c := range p.Status.Containers {
		end = latest(end, rfc3339(c.State.Terminated.Finished))
	}
	if end.IsZero() {
		return rfc3339(p.Metadata.Deleted)
	}
	return end
}

// changed is the last time that the status states.
func (p pod) changed() time.Time {
	at := rfc3339(p.Status.Started)
	for _, c := range p.Status.Conditions {
		at = latest(at, c.at())
	}
	for _, c := range p.Status.Containers {
		at = latest(at, rfc3339(c.State.Terminated.Finished), rfc3339(c.Last.Terminated.Finished))
	}
	return at
}

func (p pod) ready() condition {
	c := conditionOf("Ready", p.Status.Conditions)
	if c.Status != "True" {
		return condition{}
	}
	return c
}

func podRules() []rule[watchMessage] {
	type m = watchMessage
	fields := []field[m]{
		{"instance", "`metadata.name`", func(m m) any { return m.pod.Metadata.Name }},
		{"service", "`app.kubernetes.io/name` or `tags.datadoghq.com/service` in the labels, else the owner's name, without the hash of a ReplicaSet", func(m m) any { return m.pod.service() }},
		{"environment", "the first of " + orderOf(environmentNames) + " in the labels, else the hint, else the default", func(m m) any {
			return m.environment(labelled(environmentNames, m.pod.Metadata.Labels))
		}},
		{"version", versionOfDoc, func(m m) any { return m.pod.version() }},
	}
	id := func(doc string, of func(m) string) field[m] {
		return field[m]{doc: "pod/namespace/name/uid/" + doc, from: func(m m) any {
			return "pod/" + placeOf(m.pod.Metadata, of(m))
		}}
	}
	return []rule[m]{
		{from: "Pod", when: "has a `status.startTime`", to: "instance.started",
			is: func(m m) bool { return m.pod.owner() != "" && m.pod.Status.Started != "" },
			id: id("started", func(m) string { return "started" }), fields: fields,
			time: field[m]{doc: "`status.startTime`", from: func(m m) any { return rfc3339(m.pod.Status.Started) }}},
		{from: "Pod", when: "the condition Ready is true", to: "instance.ready",
			is: func(m m) bool { return m.pod.owner() != "" && !m.pod.ready().at().IsZero() },
			id: id("ready/`lastTransitionTime`", func(m m) string { return "ready/" + stamp(m.pod.ready().at()) }), fields: fields,
			time: field[m]{doc: "`lastTransitionTime` of that condition", from: func(m m) any { return m.pod.ready().at() }}},
		{from: "Pod", when: "a container was started again", to: "instance.restarted",
			is: func(m m) bool { container, _, _ := m.pod.crash(); return m.pod.owner() != "" && container != "" },
			id: id("restarted/container/`restartCount`", func(m m) string {
				container, restarts, _ := m.pod.crash()
				return "restarted/" + container + "/" + number(restarts)
			}), fields: with(fields, field[m]{"reason", "`lastState.terminated.reason`", func(m m) any { _, _, end := m.pod.crash(); return end.Terminated.Reason }}),
			time: field[m]{doc: "`lastState.terminated.finishedAt`", from: func(m m) any { _, _, end := m.pod.crash(); return rfc3339(end.Terminated.Finished) }}},
		{from: "Pod", when: "DELETED, or its phase is Succeeded or Failed", to: "instance.stopped",
			is: func(m m) bool {
				return m.pod.owner() != "" && (m.Type == "DELETED" || m.pod.Status.Phase == "Succeeded" || m.pod.Status.Phase == "Failed")
			},
			id: id("stopped/time", func(m m) string { return "stopped/" + stamp(m.pod.ended()) }), fields: with(fields,
				field[m]{"reason", "`status.reason`", func(m m) any { return m.pod.Status.Reason }}),
			time: field[m]{doc: "the last `state.terminated.finishedAt`, else `metadata.deletionTimestamp`", from: func(m m) any { return m.pod.ended() }}},
	}
}

package decode

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"
)

const imageOfPayments = "ghcr.io/shop/payments:4.2.0"

// watchedDeployment is a watch event of Deployment payments at its seventh revision.
func watchedDeployment(kind, reason, at string, generation, observed, replicas, updated, available int) message {
	status := "True"
	if reason == "ProgressDeadlineExceeded" {
		status = "False"
	}
	return message{body: fmt.Sprintf(`{"type":"%s","object":{"apiVersion":"apps/v1","kind":"Deployment",
		"metadata":{"name":"payments","namespace":"shop","uid":"0b1c","generation":%d,"labels":{"app.kubernetes.io/name":"payments"},"annotations":{"deployment.kubernetes.io/revision":"7"}},
		"spec":{"replicas":4,"strategy":{"type":"RollingUpdate"},"template":{"metadata":{"labels":{"app.kubernetes.io/name":"payments","env":"production"}},"spec":{"containers":[{"name":"proxy","image":"envoyproxy/envoy:v1.30"},{"name":"payments","image":"%s"}]}}},
		"status":{"observedGeneration":%d,"replicas":%d,"updatedReplicas":%d,"availableReplicas":%d,"conditions":[
			{"type":"Available","status":"True","reason":"MinimumReplicasAvailable","lastUpdateTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"},
			{"type":"Progressing","status":"%s","reason":"%s","lastUpdateTime":"%s","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}}`,
		kind, generation, imageOfPayments, observed, replicas, updated, available, status, reason, at)}
}

func kubernetesLife() []message {
	return []message{
		watchedDeployment("MODIFIED", "NewReplicaSetAvailable", "2026-03-01T09:00:00Z", 12, 11, 4, 4, 4), // not seen by the controller yet
		watchedDeployment("MODIFIED", "NewReplicaSetCreated", "2026-03-12T10:00:00Z", 12, 12, 4, 0, 4),
		watchedDeployment("MODIFIED", "ReplicaSetUpdated", "2026-03-12T10:00:05Z", 12, 12, 5, 1, 4),
		watchedDeployment("MODIFIED", "ReplicaSetUpdated", "2026-03-12T10:00:40Z", 12, 12, 4, 4, 3),
		watchedDeployment("MODIFIED", "NewReplicaSetAvailable", "2026-03-12T10:01:00Z", 12, 12, 4, 4, 4),
		watchedDeployment("MODIFIED", "NewReplicaSetAvailable", "2026-03-12T10:01:00Z", 12, 12, 4, 4, 3), // a pod fails, days later
		watchedDeployment("ADDED", "NewReplicaSetAvailable", "2026-03-12T10:01:00Z", 13, 13, 4, 4, 4),    // the watch begins anew
		watchedDeployment("DELETED", "NewReplicaSetAvailable", "2026-03-12T10:01:00Z", 13, 13, 4, 4, 4),
	}
}

func TestARolloutOfKubernetesIsOneDeploymentFromItsReplicaSetToTheLastReplica(t *testing.T) {
	const id = "deployment/shop/payments/0b1c/7/"
	playLife(t, life{source: "kubernetes", entity: "kubernetes/shop/payments/0b1c/7", messages: kubernetesLife(), facts: []string{
		"deployment.started 10:00:00 " + id + "started",
		"deployment.progressed 10:00:00 " + id + "progressed/2026-03-12T10:00:00Z/0/4/NewReplicaSetCreated",
		"deployment.progressed 10:00:05 " + id + "progressed/2026-03-12T10:00:05Z/20/4/ReplicaSetUpdated",
		"deployment.progressed 10:00:40 " + id + "progressed/2026-03-12T10:00:40Z/99/4/ReplicaSetUpdated",
		"deployment.finished 10:01:00 " + id + "finished/2026-03-12T10:01:00Z",
	}})
	line := saidBy(t, "kubernetes", []byte(kubernetesLife()[4].body))[0]
	want := `{"artifact":"pkg:docker/shop/payments@4.2.0?repository_url=ghcr.io","deployment_id":"kubernetes/shop/payments/0b1c/7","environment":"production","outcome":"success","percent":100,"service":"payments","strategy":"rolling","version":"4.2.0"}`
	if !strings.HasSuffix(line, " "+want) {
		t.Errorf("got %s", line)
	}
}

func TestARolloutOfKubernetesThatMissesItsDeadlineFails(t *testing.T) {
	line := saidBy(t, "kubernetes", []byte(watchedDeployment("MODIFIED", "ProgressDeadlineExceeded", "2026-03-12T10:10:00Z", 12, 12, 5, 1, 4).body))[0]
	if !strings.HasPrefix(line, "deployment.finished 2026-03-12T10:10:00Z ") || !strings.Contains(line, `"outcome":"failure"`) || !strings.Contains(line, `"reason":"ProgressDeadlineExceeded"`) {
		t.Error(line)
	}
}

func TestARolloutOfKubernetesIsCompleteByTheRuleOfKubectl(t *testing.T) {
	for _, c := range []struct {
		replicas, updated, available int
		done                         bool
	}{{4, 4, 4, true}, {4, 4, 3, false}, {5, 4, 4, false}, {4, 3, 4, false}} {
		line := saidBy(t, "kubernetes", []byte(watchedDeployment("MODIFIED", "NewReplicaSetAvailable", "2026-03-12T10:01:00Z", 12, 12, c.replicas, c.updated, c.available).body))[0]
		if done := strings.HasPrefix(line, "deployment.finished"); done != c.done {
			t.Errorf("%+v: %s", c, line)
		}
	}
}

func podOf(kind, phase, more string) message {
	return message{body: fmt.Sprintf(`{"type":"%s","object":{"kind":"Pod","metadata":{"name":"payments-7d9f-x2x","namespace":"shop","uid":"5e6f","labels":{"pod-template-hash":"7d9f","env":"production"},
		"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"payments-7d9f","uid":"1"}]%s},
		"spec":{"containers":[{"name":"payments","image":"%s"}]},"status":{"phase":"%s","startTime":"2026-03-12T10:00:01Z"`, kind, map[bool]string{true: `,"deletionTimestamp":"2026-03-12T12:00:30Z"`}[kind == "DELETED"], imageOfPayments, phase) + more + `}}}`}
}

func podLife() []message {
	const ready = `,"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-03-12T10:00:09Z"}]`
	return []message{
		podOf("ADDED", "Pending", ""),
		podOf("MODIFIED", "Running", ready),
		podOf("MODIFIED", "Running", `,"conditions":[{"type":"Ready","status":"False","lastTransitionTime":"2026-03-12T11:00:00Z"}],"containerStatuses":[{"name":"payments","restartCount":1,"state":{"running":{"startedAt":"2026-03-12T11:00:10Z"}},"lastState":{"terminated":{"reason":"OOMKilled","exitCode":137,"finishedAt":"2026-03-12T11:00:00Z"}}}]`),
		podOf("DELETED", "Running", `,"containerStatuses":[{"name":"payments","restartCount":1,"state":{"terminated":{"reason":"Completed","finishedAt":"2026-03-12T12:00:02Z"}},"lastState":{}}]`),
	}
}

func TestAPodIsOneInstanceFromItsStartToItsEnd(t *testing.T) {
	playLife(t, life{source: "kubernetes", entity: "payments-7d9f-x2x", messages: podLife(), facts: []string{
		"instance.started 10:00:01 pod/shop/payments-7d9f-x2x/5e6f/started",
		"instance.ready 10:00:09 pod/shop/payments-7d9f-x2x/5e6f/ready/2026-03-12T10:00:09Z",
		"instance.restarted 11:00:00 pod/shop/payments-7d9f-x2x/5e6f/restarted/payments/1",
		"instance.stopped 12:00:02 pod/shop/payments-7d9f-x2x/5e6f/stopped/2026-03-12T12:00:02Z",
	}})
	line := saidBy(t, "kubernetes", []byte(podLife()[0].body))[0]
	if !strings.HasSuffix(line, `{"environment":"production","instance":"payments-7d9f-x2x","service":"payments","version":"4.2.0"}`) {
		t.Error(line)
	}
}

func TestAPodThatNothingOwnsIsNobodysInstance(t *testing.T) {
	lines := saidBy(t, "kubernetes", []byte(`{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"debug","namespace":"shop","uid":"1"},"status":{"startTime":"2026-03-12T10:00:01Z"}}}`))
	if len(lines) != 1 || lines[0] != "kept io.kubernetes.pod.added" {
		t.Errorf("%q", lines)
	}
}

func FuzzKubernetes(f *testing.F) {
	fuzzReader(f, "kubernetes", "whence-environment", append(kubernetesLife(), podLife()...))
}

const syncedCommit = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"

// application is Application checkout with a sync operation and a health.
func application(phase, finished, result, health, since string) string {
	return fmt.Sprintf(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{"name":"checkout-production","namespace":"argocd","uid":"77aa","labels":{"app.kubernetes.io/name":"checkout","environment":"production"},"annotations":{"secret":"none"}},
		"spec":{"project":"shop","source":{"repoURL":"https://git.example.com/shop/deploy"}},
		"status":{"operationState":{"phase":"%s","message":"said","startedAt":"2026-03-12T10:00:00Z"%s,"operation":{"sync":{"revision":"%s"},"initiatedBy":{"automated":true}}%s},
		"health":{"status":"%s","lastTransitionTime":"%s"},"reconciledAt":"2026-03-12T10:00:02Z","sync":{"status":"Synced","revision":"%s"},"summary":{"images":["redis:7.2","ghcr.io/shop/checkout:5.1.0"]}}}`,
		phase, finished, syncedCommit, result, health, since, syncedCommit)
}

func argocdObjects() []string {
	const finished, result = `,"finishedAt":"2026-03-12T10:00:09Z"`, `,"syncResult":{"revision":"` + syncedCommit + `"}`
	return []string{
		application("Running", "", "", "Healthy", "2026-03-01T09:00:00Z"),
		application("Running", "", result, "Healthy", "2026-03-01T09:00:00Z"),
		application("Succeeded", finished, result, "Progressing", "2026-03-12T10:00:05Z"),
		application("Succeeded", finished, result, "Healthy", "2026-03-12T10:01:30Z"),
		application("Succeeded", finished, result, "Degraded", "2026-03-14T03:00:00Z"),
	}
}

func argocdLife() []message {
	var all []message
	for _, o := range argocdObjects() {
		all = append(all, message{body: `{"app":` + o + `}`})
	}
	return all
}

func argocdFacts() []string {
	const id = "app/argocd/checkout-production/77aa/2026-03-12T10:00:00Z/"
	return []string{
		"deployment.started 10:00:00 " + id + "started",
		"deployment.progressed 10:00:09 " + id + "synced",
		"deployment.finished 10:01:30 " + id + "healthy/2026-03-12T10:01:30Z",
		"deployment.progressed 03:00:00 " + id + "degraded/2026-03-14T03:00:00Z",
	}
}

func TestASyncOfArgoCDIsOneDeploymentFromRunningToHealthy(t *testing.T) {
	playLife(t, life{source: "argocd", entity: "argocd/argocd/checkout-production/77aa/2026-03-12T10:00:00Z", messages: argocdLife(), facts: argocdFacts()})
	lines := saidBy(t, "argocd", []byte(argocdLife()[3].body))
	if len(lines) != 4 || !strings.HasSuffix(lines[2], `{"artifact":"pkg:docker/shop/checkout@5.1.0?repository_url=ghcr.io","deployment_id":"argocd/argocd/checkout-production/77aa/2026-03-12T10:00:00Z","environment":"production","outcome":"success","requested_by":"automated","revisions":["`+syncedCommit+`"],"service":"checkout","version":"5.1.0"}`) {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
}

func TestASyncOfArgoCDThatFailsIsAFailedDeployment(t *testing.T) {
	lines := saidBy(t, "argocd", []byte(application("Failed", `,"finishedAt":"2026-03-12T10:00:09Z"`, "", "Healthy", "2026-03-01T09:00:00Z")))
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "deployment.finished 2026-03-12T10:00:09Z ") || !strings.Contains(lines[1], `"outcome":"failure"`) {
		t.Errorf("%q", lines)
	}
}

func FuzzArgoCD(f *testing.F) { fuzzReader(f, "argocd", "whence-environment", argocdLife()) }

// rolloutObject is Rollout payments at its third revision.
func rolloutObject(phase, step, more, progressing, at string) string {
	return fmt.Sprintf(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"payments","namespace":"shop","uid":"9d8e","generation":6,"annotations":{"rollout.argoproj.io/revision":"3"}},
		"spec":{"replicas":5,"strategy":{"canary":{"steps":[{"setWeight":20},{"pause":{}},{"setWeight":60},{"pause":{"duration":"10m"}}]}},
			"template":{"metadata":{"labels":{"app":"payments","env":"production"}},"spec":{"containers":[{"name":"payments","image":"%s","env":[{"name":"KEY","value":"secret"}]}]}}},
		"status":{"observedGeneration":"6","phase":"%s","currentPodHash":"6f7c","stableRS":"5d4b","currentStepIndex":%s,"replicas":6,"updatedReplicas":1%s,
			"conditions":[{"type":"Progressing","status":"True","reason":"%s","lastUpdateTime":"%s","lastTransitionTime":"2026-03-01T09:00:00Z"}]}}`,
		imageOfPayments, phase, step, more, progressing, at)
}

func rolloutObjects() []string {
	done := strings.Replace(rolloutObject("Healthy", "4", "", "NewReplicaSetAvailable", "2026-03-12T10:20:00Z"), `"stableRS":"5d4b"`, `"stableRS":"6f7c"`, 1)
	return []string{
		rolloutObject("Progressing", "0", "", "NewReplicaSetCreated", "2026-03-12T10:00:00Z"),
		rolloutObject("Paused", "1", `,"pauseConditions":[{"reason":"CanaryPauseStep","startTime":"2026-03-12T10:01:00Z"}]`, "RolloutPaused", "2026-03-12T10:01:00Z"),
		rolloutObject("Progressing", "3", `,"canary":{"weights":{"canary":{"weight":60},"stable":{"weight":40}}}`, "ReplicaSetUpdated", "2026-03-12T10:09:00Z"),
		done,
	}
}

func messagesOf(format string, objects []string) []message {
	var all []message
	for _, o := range objects {
		all = append(all, message{body: fmt.Sprintf(format, o)})
	}
	return all
}

func argoRolloutsFacts() []string {
	const id = "rollout/shop/payments/9d8e/3/"
	return []string{
		"deployment.started 10:00:00 " + id + "started",
		"deployment.progressed 10:00:00 " + id + "progressed/2026-03-12T10:00:00Z/0/0/",
		"deployment.progressed 10:01:00 " + id + "progressed/2026-03-12T10:01:00Z/1/20/paused",
		"deployment.progressed 10:09:00 " + id + "progressed/2026-03-12T10:09:00Z/3/60/",
		"deployment.finished 10:20:00 " + id + "finished/2026-03-12T10:20:00Z",
	}
}

func TestACanaryOfArgoRolloutsIsOneDeploymentWithItsSteps(t *testing.T) {
	for _, format := range []string{`{"rollout":%s}`, `{"type":"MODIFIED","object":%s}`, `%s`} {
		playLife(t, life{source: "argo-rollouts", entity: "argo-rollouts/shop/payments/9d8e/3", messages: messagesOf(format, rolloutObjects()), facts: argoRolloutsFacts()})
	}
	line := saidBy(t, "argo-rollouts", []byte(rolloutObjects()[1]))[0]
	if !strings.HasSuffix(line, `{"artifact":"pkg:docker/shop/payments@4.2.0?repository_url=ghcr.io","deployment_id":"argo-rollouts/shop/payments/9d8e/3","environment":"production","percent":20,"phase":"paused","service":"payments","strategy":"canary","version":"4.2.0"}`) {
		t.Error(line)
	}
}

func TestACanaryThatIsAbortedIsRolledBack(t *testing.T) {
	aborted := rolloutObject("Degraded", "0", `,"abort":true,"abortedAt":"2026-03-12T10:12:00Z"`, "RolloutAborted", "2026-03-12T10:12:00Z")
	const id = "rollout/shop/payments/9d8e/3/"
	playLife(t, life{source: "argo-rollouts", entity: "argo-rollouts/shop/payments/9d8e/3", messages: messagesOf(`{"rollout":%s}`, []string{rolloutObjects()[1], aborted}), facts: []string{
		"deployment.progressed 10:01:00 " + id + "progressed/2026-03-12T10:01:00Z/1/20/paused",
		"deployment.progressed 10:12:00 " + id + "aborted/2026-03-12T10:12:00Z",
		"deployment.finished 10:12:00 " + id + "rolled_back/2026-03-12T10:12:00Z",
	}})
}

func TestANotificationOfArgoRolloutsSaysWhatTheRolloutDoesNotSayYet(t *testing.T) {
	for event, want := range map[string]string{"aborted": `"outcome":"rolled_back"`, "completed": `"outcome":"success"`} {
		lines := saidBy(t, "argo-rollouts", []byte(`{"event":"`+event+`","at":"2026-03-12T10:12:00.5Z","rollout":`+rolloutObjects()[1]+`}`))
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "deployment.finished 2026-03-12T10:12:00Z ") && strings.Contains(l, want)
		}) {
			t.Errorf("%s: %q", event, lines)
		}
	}
}

func TestABlueGreenRolloutHasAllTheTrafficOnceItIsActive(t *testing.T) {
	for active, want := range map[string]string{"5d4b": `"percent":0`, "6f7c": `"percent":100`} {
		o := strings.Replace(rolloutObject("Paused", "null", `,"blueGreen":{"activeSelector":"`+active+`","previewSelector":"6f7c"}`, "RolloutPaused", "2026-03-12T10:01:00Z"),
			`{"canary":{"steps":[{"setWeight":20},{"pause":{}},{"setWeight":60},{"pause":{"duration":"10m"}}]}}`, `{"blueGreen":{"activeService":"payments"}}`, 1)
		if line := saidBy(t, "argo-rollouts", []byte(o))[0]; !strings.Contains(line, want) || !strings.Contains(line, `"strategy":"blue_green"`) {
			t.Error(line)
		}
	}
}

func FuzzArgoRollouts(f *testing.F) {
	fuzzReader(f, "argo-rollouts", "whence-environment", messagesOf(`{"rollout":%s}`, rolloutObjects()))
}

// templatesOf are the bodies in one of our ConfigMaps for the Argo projects, by template.
func templatesOf(t *testing.T, file string) map[string]*template.Template {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "argocd", file))
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ Data map[string]string }
	if err := yaml.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	functions := template.FuncMap{
		"toJson": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"now":    func() time.Time { return time.Date(2026, 3, 12, 10, 30, 0, 0, time.UTC) },
	}
	all := map[string]*template.Template{}
	for key, text := range config.Data {
		name, ok := strings.CutPrefix(key, "template.")
		if !ok {
			continue
		}
		var content struct {
			Webhook map[string]struct{ Body string }
		}
		if err := yaml.Unmarshal([]byte(text), &content); err != nil {
			t.Fatal(err)
		}
		all[name] = template.Must(template.New(name).Funcs(functions).Parse(content.Webhook["whence"].Body))
	}
	return all
}

// filled is a template filled in as the notification engine does it: with the
// object as a map.
func filled(t *testing.T, body *template.Template, name, object string) message {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(object), &o); err != nil {
		t.Fatal(err)
	}
	var w strings.Builder
	if err := body.Execute(&w, map[string]any{name: o}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.String(), "secret") {
		t.Errorf("the template gives away what is nobody's business: %s", w.String())
	}
	return message{body: w.String()}
}

func TestTheTemplateForArgoCDSaysWhatTheApplicationSays(t *testing.T) {
	body := templatesOf(t, "argocd-notifications-cm.yaml")["whence"]
	var sent []message
	for _, o := range argocdObjects() {
		sent = append(sent, filled(t, body, "app", o))
	}
	playLife(t, life{source: "argocd", entity: "argocd/argocd/checkout-production/77aa/2026-03-12T10:00:00Z", messages: append(sent, argocdLife()...), facts: argocdFacts()})
}

func TestTheTemplatesForArgoRolloutsSayWhatTheRolloutSays(t *testing.T) {
	bodies := templatesOf(t, "argo-rollouts-notification-configmap.yaml")
	var sent []message
	for i, name := range []string{"whence-updated", "whence-paused", "whence-step-completed", "whence-completed"} {
		sent = append(sent, filled(t, bodies[name], "rollout", rolloutObjects()[i]))
	}
	playLife(t, life{source: "argo-rollouts", entity: "argo-rollouts/shop/payments/9d8e/3", messages: append(sent, messagesOf(`{"rollout":%s}`, rolloutObjects())...), facts: argoRolloutsFacts()})
	line := saidBy(t, "argo-rollouts", []byte(filled(t, bodies["whence-aborted"], "rollout", rolloutObjects()[1]).body))
	if len(line) != 3 || !strings.Contains(line[1], "rolled_back/2026-03-12T10:30:00Z") {
		t.Errorf("%q", line)
	}
	filled(t, bodies["whence-updated"], "rollout", `{"metadata":{"name":"new"},"spec":{"template":{"spec":{}}}}`) // before its first revision
}

// fluxed is an event of Flux.
func fluxed(kind, name, reason, at, metadata string) message {
	return message{body: fmt.Sprintf(`{"involvedObject":{"apiVersion":"x","kind":"%s","namespace":"shop","name":"%s","uid":"31fe"},"severity":"info","timestamp":"%s","message":"said","reason":"%s","metadata":{%s},"reportingController":"controller"}`,
		kind, name, at, reason, metadata)}
}

func fluxLife() []message {
	const revision = `"kustomize.toolkit.fluxcd.io/revision":"main@sha1:` + syncedCommit + `","env":"production","cluster":"eu-1"`
	return []message{
		fluxed("Kustomization", "cart", "Progressing", "2026-03-12T10:00:00Z", revision),
		fluxed("Kustomization", "cart", "HealthCheckFailed", "2026-03-12T10:05:00Z", revision),
		fluxed("Kustomization", "cart", "ReconciliationSucceeded", "2026-03-12T10:06:00Z", `"revision":"main@sha1:`+syncedCommit+`","env":"production","cluster":"eu-1"`),
	}
}

func TestARevisionThatFluxAppliesIsOneDeployment(t *testing.T) {
	const place = "Kustomization/shop/cart/31fe/main@sha1:" + syncedCommit
	playLife(t, life{source: "flux", entity: "flux/" + place, messages: fluxLife(), facts: []string{
		"deployment.progressed 10:00:00 " + place + "/Progressing/2026-03-12T10:00:00Z",
		"deployment.progressed 10:05:00 " + place + "/HealthCheckFailed/2026-03-12T10:05:00Z",
		"deployment.finished 10:06:00 " + place + "/ReconciliationSucceeded/2026-03-12T10:06:00Z",
	}})
	line := saidBy(t, "flux", []byte(fluxLife()[2].body))[0]
	if !strings.HasSuffix(line, `{"cluster":"eu-1","deployment_id":"flux/`+place+`","environment":"production","outcome":"success","revisions":["`+syncedCommit+`"],"service":"cart","version":"`+syncedCommit+`"}`) {
		t.Error(line)
	}
}

func TestARevisionThatFluxFindsHealthyIsDeployedAndASupersededOneIsCancelled(t *testing.T) {
	for message, want := range map[string]string{
		"Health check passed in 12.3s": `"outcome":"success"`, "New revision detected during health check, cancelling": `"outcome":"cancelled"`,
		"Deployment/shop/cart configured": `"reason":"Progressing"`,
	} {
		body := strings.Replace(fluxLife()[0].body, `"message":"said"`, `"message":"`+message+`"`, 1)
		if lines := saidBy(t, "flux", []byte(body)); len(lines) != 2 || !strings.Contains(lines[0], want) {
			t.Errorf("%s: %q", message, lines)
		}
	}
}

func TestAnUpgradeByFluxsHelmIsADeploymentOfItsOwn(t *testing.T) {
	line := saidBy(t, "flux", []byte(fluxed("HelmRelease", "cart", "UpgradeSucceeded", "2026-03-12T10:00:00Z", `"helm.toolkit.fluxcd.io/revision":"2.3.0","helm.toolkit.fluxcd.io/app-version":"5.1.0"`).body))[0]
	if !strings.Contains(line, `"deployment_id":"flux/HelmRelease/shop/cart/31fe/2.3.0/2026-03-12T10:00:00Z"`) || !strings.Contains(line, `"version":"5.1.0"`) {
		t.Error(line)
	}
	if lines := saidBy(t, "flux", []byte(fluxed("GitRepository", "deploy", "NewArtifact", "2026-03-12T10:00:00Z", `"revision":"main@sha1:1"`).body)); len(lines) != 1 || lines[0] != "kept io.fluxcd.gitrepository.newartifact" {
		t.Errorf("%q", lines)
	}
}

func FuzzFlux(f *testing.F) { fuzzReader(f, "flux", "whence-environment", fluxLife()) }

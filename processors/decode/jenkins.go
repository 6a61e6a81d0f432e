package decode

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
)

// What Jenkins sends, by plugin. It has no webhooks of its own:
//
//   - Notification: a job with its build, phase by phase.
//   - CloudEvents: the same in the data of a CloudEvent, in camel case.
//   - Outbound WebHook: flat, with the build's variables.
//
// The structs are of the plugins' sources; there is no Go library for them.

func jenkinsReader() reader {
	all := ofKind("build", jenkinsRules()...)
	read := func(p *payload, s *said) error {
		var build jenkinsBuild
		if err := json.Unmarshal(p.body, &build); err != nil {
			return malformed(err)
		}
		if build.Job == "" && build.URL == "" && build.Number == "" && build.Phase == "" {
			return unkind("build")
		}
		if err := all.say(s, build.place()); err != nil {
			return err
		}
		return s.original("io.jenkins.build."+cmp.Or(strings.ToLower(build.Phase), "unnamed"), build.place().origin, "", build.at())
	}
	return reader{source: "jenkins", read: read, rows: all.rows, plain: []string{"changes"}}
}

// jenkinsBuild is a build, whichever plugin tells of it.
type jenkinsBuild struct {
	Job string // its path, folders and all: shop/checkout
	URL string // of the build
	// Number of the build in its job.
	Number string
	Phase  string // STARTED, COMPLETED, FINALIZED...
	Status string // SUCCESS, FAILURE, UNSTABLE, ABORTED, NOT_BUILT
	// Timestamp of the phase and Duration of the build, milliseconds.
	Timestamp, Duration int64
	Commit, Repository  string
	Parameters          map[string]string // names in upper case
	Tests               jenkinsTests
}

type jenkinsTests struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

// jenkinsScm is where a build's source is from.
type jenkinsScm struct {
	URL    string `json:"url"`
	Commit string `json:"commit"`
}

// jenkinsJob is what the Notification and CloudEvents plugins send. Names that
// differ in case alone are one to encoding/json.
type jenkinsJob struct {
	Name  string `json:"name"`
	Build *struct {
		FullURL      string          `json:"full_url"`
		FullURLCamel string          `json:"fullUrl"`
		Number       json.Number     `json:"number"`
		Phase        string          `json:"phase"`
		Status       string          `json:"status"`
		URL          string          `json:"url"`
		Timestamp    int64           `json:"timestamp"`
		Duration     int64           `json:"duration"`
		Scm          jenkinsScm      `json:"scm"`
		ScmState     jenkinsScm      `json:"scmState"`
		Parameters   json.RawMessage `json:"parameters"`
		Tests        jenkinsTests    `json:"test_summary"`
		TestsCamel   jenkinsTests    `json:"testSummary"`
	} `json:"build"`
}

// jenkinsHook is what the Outbound WebHook plugin sends.
type jenkinsHook struct {
	Project   string          `json:"projectName"`
	Name      string          `json:"buildName"` // #12
	URL       string          `json:"buildUrl"`
	Variables json.RawMessage `json:"buildVars"` // an object, or a string that holds one
	Event     string          `json:"event"`     // start, success, failure, unstable
}

// UnmarshalJSON reads whichever of them it is.
func (b *jenkinsBuild) UnmarshalJSON(body []byte) error {
	var event struct {
		SpecVersion string          `json:"specversion"`
		Data        json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	if event.SpecVersion != "" && len(event.Data) > 0 {
		body = event.Data
	}
	var job jenkinsJob
	if err := json.Unmarshal(body, &job); err != nil {
		return err
	}
	if job.Build == nil {
		var hook jenkinsHook
		if err := json.Unmarshal(body, &hook); err != nil {
			return err
		}
		b.ofHook(hook)
		return nil
	}
	b.ofJob(job)
	return nil
}

func (b *jenkinsBuild) ofJob(job jenkinsJob) {
	in := job.Build
	b.URL = cmp.Or(in.FullURL, in.FullURLCamel, in.URL)
	b.Job, b.Number = cmp.Or(jenkinsJobPath(b.URL), job.Name), in.Number.String()
	b.Phase, b.Status = strings.ToUpper(in.Phase), strings.ToUpper(in.Status)
	b.Timestamp, b.Duration = in.Timestamp, in.Duration
	b.Commit = cmp.Or(in.Scm.Commit, in.ScmState.Commit)
	b.Repository = repositoryOf(cmp.Or(in.Scm.URL, in.ScmState.URL))
	b.Parameters = jenkinsParameters(in.Parameters)
	b.Tests = in.Tests
	if b.Tests.Total == 0 {
		b.Tests = in.TestsCamel
	}
}

func (b *jenkinsBuild) ofHook(hook jenkinsHook) {
	b.URL, b.Number = hook.URL, strings.TrimPrefix(hook.Name, "#")
	b.Job = cmp.Or(jenkinsJobPath(hook.URL), hook.Project)
	b.Parameters = jenkinsParameters(hook.Variables)
	b.Commit, b.Repository = b.Parameters["GIT_COMMIT"], repositoryOf(b.Parameters["GIT_URL"])
	switch event := strings.ToUpper(hook.Event); event {
	case "START":
		b.Phase = "STARTED"
	case "SUCCESS", "FAILURE", "UNSTABLE", "ABORTED":
		b.Phase, b.Status = "COMPLETED", event
	}
}

// jenkinsParameters reads an object, a string that holds one, or a list of
// names and values. Values that are no strings are kept as their JSON.
func jenkinsParameters(raw json.RawMessage) map[string]string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		var list []struct {
			Name  string          `json:"name"`
			Value json.RawMessage `json:"value"`
		}
		if json.Unmarshal(raw, &list) != nil {
			return nil
		}
		object = map[string]json.RawMessage{}
		for _, p := range list {
			object[p.Name] = p.Value
		}
	}
	all := make(map[string]string, len(object))
	for name, value := range object {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		if text != "null" {
			all[strings.ToUpper(name)] = text
		}
	}
	return all
}

// jenkinsJobPath is the folders and the job in a build's URL:
// http://host/job/shop/job/checkout/12/ is of shop/checkout.
func jenkinsJobPath(url string) string {
	parts := strings.Split(url, "/job/")
	if len(parts) < 2 {
		if rest, ok := strings.CutPrefix(url, "job/"); ok {
			parts = append([]string{""}, strings.Split(rest, "/job/")...)
		} else {
			return ""
		}
	}
	last, _, _ := strings.Cut(parts[len(parts)-1], "/")
	return strings.Join(append(parts[1:len(parts)-1:len(parts)-1], last), "/")
}

// repositoryOf a clone URL is its path, as code hosts name repositories:
// git@github.com:octo/shop.git is octo/shop.
func repositoryOf(url string) string {
	path := pathOf(url)
	if path == "" {
		_, path, _ = strings.Cut(url, ":")
	}
	return strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

// place of a build is its job. The source of events is the job's URL where that
// is whole, so that two servers' jobs of one name are two.
func (b *jenkinsBuild) place() place {
	origin := "jenkins/" + cmp.Or(b.Job, "unnamed")
	if scheme, rest, ok := strings.Cut(b.URL, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		origin = scheme + "://" + host + "/" + strings.TrimSuffix(jenkinsBase(pathOf(b.URL)), "/") + cmp.Or(b.Job, "unnamed")
	}
	return place{"jenkins", origin, b.Job, b.Job[strings.LastIndexByte(b.Job, '/')+1:]}
}

// jenkinsBase is the path at which a Jenkins is served.
func jenkinsBase(path string) string {
	base, _, _ := strings.Cut("/"+path, "/job/")
	if base = strings.Trim(base, "/"); base == "" {
		return ""
	}
	return base + "/"
}

// at is when the phase was, zero where that is not stated.
func (b *jenkinsBuild) at() time.Time {
	if b.Timestamp == 0 {
		return time.Time{}
	}
	return time.UnixMilli(b.Timestamp)
}

func (b *jenkinsBuild) ended() bool { return b.Phase == "COMPLETED" || b.Phase == "FINALIZED" }

// JenkinsDeployment is what the parameters of a build say that it deploys.
type JenkinsDeployment struct {
	Service              string // empty: the job's
	Environment, Version string
}

// JenkinsDeploys reads it from parameters, whose names are in upper case; the
// zero value where a build is no deployment: it needs an environment and a version.
func JenkinsDeploys(parameters map[string]string) JenkinsDeployment {
	first := func(names ...string) string {
		for _, name := range names {
			if value := parameters[name]; value != "" {
				return value
			}
		}
		return ""
	}
	d := JenkinsDeployment{
		Service:     first("SERVICE", "APP", "APPLICATION", "COMPONENT"),
		Environment: first("ENVIRONMENT", "ENV", "DEPLOY_ENV", "TARGET_ENV"),
		Version:     first("VERSION", "APP_VERSION", "RELEASE", "TAG", "IMAGE_TAG"),
	}
	if d.Environment == "" || d.Version == "" {
		return JenkinsDeployment{}
	}
	return d
}

var jenkinsOutcomes = map[string]string{"SUCCESS": "success", "FAILURE": "failure", "UNSTABLE": "failure", "ABORTED": "cancelled"}

func jenkinsRules() []rule[hook[jenkinsBuild]] {
	type m = hook[jenkinsBuild]
	outcome := func(b m) string {
		if !b.said.ended() {
			return ""
		}
		return jenkinsOutcomes[b.said.Status]
	}
	at := field[m]{doc: "`build.timestamp`, when it was taken", from: func(b m) any {
		if t := b.said.at(); !t.IsZero() {
			return t
		}
		return b.received.Time()
	}}
	id := func(mark string) field[m] {
		return field[m]{doc: mark + "/`build.number`/`build.phase`", from: func(b m) any {
			return named(mark, b.said.Number, strings.ToLower(b.said.Phase))
		}}
	}
	entity := func(name, mark string) field[m] {
		doc := "jenkins/the job's path/`build.number`"
		if mark != "" {
			doc += "/" + mark
		}
		return field[m]{name, doc, func(b m) any {
			if mark != "" {
				return b.entity(b.said.Number, mark)
			}
			return b.entity(b.said.Number)
		}}
	}
	revision := field[m]{"revision", "`build.scm.commit`, the parameter GIT_COMMIT, the hint", func(b m) any {
		return cmp.Or(b.said.Commit, b.said.Parameters["GIT_COMMIT"], b.hint("revision"))
	}}
	ended := field[m]{"outcome", "`build.status`: success of `SUCCESS`, failure of `FAILURE` and `UNSTABLE`, cancelled of `ABORTED`", func(b m) any { return outcome(b) }}
	duration := field[m]{"duration_ms", "`build.duration`", func(b m) any {
		if b.said.Duration > 0 {
			return b.said.Duration
		}
		return nil
	}}
	const environmentNames, versionNames, serviceNames = "ENVIRONMENT, ENV, DEPLOY_ENV or TARGET_ENV", "VERSION, APP_VERSION, RELEASE, TAG or IMAGE_TAG", "SERVICE, APP, APPLICATION or COMPONENT"
	deployed := func(b m) JenkinsDeployment { return JenkinsDeploys(b.said.Parameters) }
	deploys := func(b m) bool { return deployed(b) != JenkinsDeployment{} }
	deployment := []field[m]{
		entity("deployment_id", ""),
		{"service", "a parameter " + serviceNames + ", the hint, the job's name", func(b m) any {
			return cmp.Or(b.service(deployed(b).Service), b.name)
		}},
		{"environment", "a parameter " + environmentNames, func(b m) any { return deployed(b).Environment }},
		{"version", "a parameter " + versionNames, func(b m) any { return deployed(b).Version }},
		{"revisions", "the version where it is a commit", func(b m) any {
			if version := deployed(b).Version; isGitHash(version) {
				return []string{version}
			}
			return nil
		}},
	}
	const when = "`build.phase` is `COMPLETED` or `FINALIZED`"
	const stated = ", and parameters state an environment (" + environmentNames + ") and a version (" + versionNames + ")"
	return []rule[m]{
		{when: when + ", the job is no test and no deployment", to: "build.finished", id: id("build"), time: at,
			is: func(b m) bool { return outcome(b) != "" && !deploys(b) && !isTest(b.said.Job) },
			fields: []field[m]{entity("build_id", ""), {"repository", "the path of `build.scm.url`, the hint", func(b m) any { return cmp.Or(b.said.Repository, b.hint("repository")) }},
				revision, ended, duration}},
		{when: when + ", and " + testDoc, to: "test.finished", id: id("build"), time: at,
			is: func(b m) bool { return outcome(b) != "" && !deploys(b) && isTest(b.said.Job) },
			fields: []field[m]{entity("run_id", ""), {"suite", "the job's path", func(b m) any { return b.said.Job }},
				revision, ended, duration}},
		{when: when + " and `build.test_summary.total` is not 0", to: "test.finished", id: id("tests"), time: at,
			is: func(b m) bool { return b.said.ended() && b.said.Tests.Total > 0 && !isTest(b.said.Job) },
			fields: []field[m]{entity("run_id", "tests"), {"suite", "the job's path", func(b m) any { return b.said.Job }}, revision,
				{"outcome", "failure where `build.test_summary.failed` is not 0, else success", func(b m) any {
					if b.said.Tests.Failed > 0 {
						return "failure"
					}
					return "success"
				}}}},
		{when: "`build.phase` is `STARTED`" + stated, to: "deployment.started", id: id("deployment"), time: at, fields: deployment,
			is: func(b m) bool { return b.said.Phase == "STARTED" && deploys(b) }},
		{when: when + stated, to: "deployment.finished", id: id("deployment"), time: at, fields: append(deployment[:len(deployment):len(deployment)], ended),
			is: func(b m) bool { return outcome(b) != "" && deploys(b) }},
	}
}

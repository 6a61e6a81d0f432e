package backfill

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/processors/decode"
)

// jenkins reads the builds of jobs (Jenkins' remote access API) and dresses them
// as the Notification plugin does. No Go library is needed for one question.
type jenkins struct {
	Options
	*rest
}

// Jenkins is the plan of a back-fill of jobs, by their paths (shop/checkout);
// none, or one that is a folder: all jobs in it.
func Jenkins(ctx context.Context, o Options) (Plan, error) {
	if o.URL == "" {
		return nil, errors.New("the server's URL is missing, such as https://jenkins.example.com")
	}
	j := &jenkins{o, newREST(o)}
	roots := []string{""}
	if len(o.Names) > 0 {
		roots = nil
		for _, name := range o.Names {
			roots = append(roots, jobPath(name))
		}
	}
	var jobs []string
	for _, root := range roots {
		found, err := j.jobs(ctx, root, 0)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, found...)
	}
	slices.Sort(jobs)
	var plan Plan
	for _, job := range slices.Compact(jobs) {
		plan = append(plan, Section{nameOfJob(job), func(ctx context.Context, cursor string, turn func(Page) error) error {
			return j.builds(ctx, job, cursor, turn)
		}})
	}
	return plan, nil
}

// jobPath is shop/checkout as URLs have it: /job/shop/job/checkout.
func jobPath(name string) string {
	var path string
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		path += "/job/" + url.PathEscape(part)
	}
	return path
}

func nameOfJob(path string) string {
	name, err := url.PathUnescape(strings.TrimPrefix(strings.ReplaceAll(path, "/job/", "/"), "/"))
	if err != nil {
		return path
	}
	return name
}

// deepest is how deep folders are looked into.
const deepest = 20

// jobs are the paths of all jobs below one, itself if it is no folder.
func (j *jenkins) jobs(ctx context.Context, path string, depth int) ([]string, error) {
	var answer struct {
		Class string `json:"_class"`
		Jobs  []struct {
			Name string `json:"name"`
		} `json:"jobs"`
		Buildable *bool `json:"buildable"`
	}
	if err := j.get(ctx, path+"/api/json", url.Values{"tree": {"_class,buildable,jobs[name]"}}, &answer); err != nil {
		return nil, err
	}
	if answer.Buildable != nil {
		return []string{path}, nil
	}
	if depth == deepest {
		return nil, fmt.Errorf("folders are nested deeper than %d at %s", deepest, nameOfJob(path))
	}
	var all []string
	for _, job := range answer.Jobs {
		found, err := j.jobs(ctx, path+"/job/"+url.PathEscape(job.Name), depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// jenkinsBuild is a build as the API has it.
type jenkinsBuild struct {
	Number    int64  `json:"number"`
	URL       string `json:"url"`
	Result    string `json:"result"`    // empty: it runs
	Timestamp int64  `json:"timestamp"` // of its start, milliseconds
	Duration  int64  `json:"duration"`  // milliseconds
	Actions   []struct {
		Parameters []struct {
			Name  string `json:"name"`
			Value any    `json:"value"`
		} `json:"parameters"`
		Revision *struct {
			SHA1 string `json:"SHA1"`
		} `json:"lastBuiltRevision"`
		Remotes []string `json:"remoteUrls"`
		Total   int      `json:"totalCount"`
		Failed  int      `json:"failCount"`
	} `json:"actions"`
}

// deploys says where the build deploys a service to, empty where it doesn't.
func (b *jenkinsBuild) deploys() string {
	parameters := map[string]string{}
	for _, action := range b.Actions {
		for _, parameter := range action.Parameters {
			if parameter.Value != nil {
				parameters[strings.ToUpper(parameter.Name)] = fmt.Sprint(parameter.Value)
			}
		}
	}
	d := decode.JenkinsDeploys(parameters)
	if d.Environment == "" {
		return ""
	}
	return d.Service + " in " + d.Environment
}

func (b *jenkinsBuild) started() time.Time { return time.UnixMilli(b.Timestamp) }
func (b *jenkinsBuild) ended() time.Time   { return time.UnixMilli(b.Timestamp + b.Duration) }

const buildsAtOnce = 100

// builds reads those of a job, the latest first, and of each service and
// environment that it deploys the last that succeeded before the beginning,
// among the hundred before it. The cursor is the number of the last that was
// read: new ones come before it. What was before the beginning comes with the
// last page.
func (j *jenkins) builds(ctx context.Context, job, cursor string, turn func(Page) error) error {
	last := int64(0)
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &last); err != nil {
			return err
		}
	}
	const fields = "allBuilds[number,url,result,timestamp,duration,actions[parameters[name,value],lastBuiltRevision[SHA1],remoteUrls,totalCount,failCount]]"
	replaced := map[string]bool{} // what is deployed and has no build from before yet
	var before []jenkinsBuild
	for start, looked := 0, 0; ; start += buildsAtOnce {
		var answer struct {
			Builds []jenkinsBuild `json:"allBuilds"`
		}
		tree := fmt.Sprintf("%s{%d,%d}", fields, start, start+buildsAtOnce)
		if err := j.get(ctx, job+"/api/json", url.Values{"tree": {tree}}, &answer); err != nil {
			return err
		}
		var p page
		for i := range answer.Builds {
			b := &answer.Builds[i]
			what, within := b.deploys(), !b.started().Before(j.From)
			switch {
			case within || b.Result != "" && j.within(b.ended()):
				if what != "" {
					replaced[what] = true
				}
				if !within {
					before = append(before, *b) // what ends has to have begun
				} else if last == 0 || b.Number < last {
					last = b.Number
					j.build(job, b, j.within, &p)
				}
			case looked < buildsAtOnce:
				if looked++; b.Result == "SUCCESS" && replaced[what] {
					before = append(before, *b)
					delete(replaced, what)
				}
			}
		}
		more := len(answer.Builds) == buildsAtOnce && (looked == 0 || looked < buildsAtOnce && len(replaced) > 0)
		if !more {
			for i := range before {
				j.build(job, &before[i], func(time.Time) bool { return true }, &p)
			}
		}
		if err := p.turn(fmt.Sprint(last), turn); err != nil || !more {
			return err
		}
	}
}

// build adds that a build has started, and how it ended, where these moments are
// asked for.
func (j *jenkins) build(job string, b *jenkinsBuild, asked func(time.Time) bool, p *page) {
	scm, tests, parameters := map[string]any{}, map[string]any{}, map[string]any{}
	for _, action := range b.Actions {
		for _, parameter := range action.Parameters {
			parameters[parameter.Name] = parameter.Value
		}
		if action.Revision != nil && len(scm) == 0 {
			scm["commit"] = action.Revision.SHA1
			if len(action.Remotes) > 0 {
				scm["url"] = action.Remotes[0]
			}
		}
		if action.Total > 0 {
			tests["total"], tests["failed"] = action.Total, action.Failed
		}
	}
	phase := func(name string, at time.Time, more map[string]any) {
		if !asked(at) {
			return
		}
		build := map[string]any{
			"full_url": b.URL, "number": b.Number, "phase": name, "timestamp": at.UnixMilli(), "scm": scm, "parameters": parameters,
		}
		for key, value := range more {
			build[key] = value
		}
		p.add("jenkins", map[string]any{"name": nameOfJob(job), "url": job[1:] + "/", "build": build})
	}
	phase("STARTED", b.started(), nil)
	if b.Result != "" {
		ended := map[string]any{"status": b.Result, "duration": b.Duration}
		if len(tests) > 0 {
			ended["test_summary"] = tests
		}
		phase("COMPLETED", b.ended(), ended)
	}
}

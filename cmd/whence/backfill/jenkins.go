package backfill

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
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

const buildsAtOnce = 100

// builds reads those of a job, the latest first. The cursor is the number of the
// last that was read: new ones come before it.
func (j *jenkins) builds(ctx context.Context, job, cursor string, turn func(Page) error) error {
	last := int64(0)
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &last); err != nil {
			return err
		}
	}
	const fields = "allBuilds[number,url,result,timestamp,duration,actions[parameters[name,value],lastBuiltRevision[SHA1],remoteUrls,totalCount,failCount]]"
	for start := 0; ; start += buildsAtOnce {
		var answer struct {
			Builds []jenkinsBuild `json:"allBuilds"`
		}
		tree := fmt.Sprintf("%s{%d,%d}", fields, start, start+buildsAtOnce)
		if err := j.get(ctx, job+"/api/json", url.Values{"tree": {tree}}, &answer); err != nil {
			return err
		}
		var p page
		more := len(answer.Builds) == buildsAtOnce
		for i := range answer.Builds {
			b := &answer.Builds[i]
			if last != 0 && b.Number >= last {
				continue
			}
			if time.UnixMilli(b.Timestamp).Before(j.From) {
				more = false
				break
			}
			last = b.Number
			j.build(job, b, &p)
		}
		if err := p.turn(fmt.Sprint(last), turn); err != nil || !more {
			return err
		}
	}
}

// build adds that a build has started, and how it ended.
func (j *jenkins) build(job string, b *jenkinsBuild, p *page) {
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
	phase := func(name string, at int64, more map[string]any) {
		if !j.within(time.UnixMilli(at)) {
			return
		}
		build := map[string]any{
			"full_url": b.URL, "number": b.Number, "phase": name, "timestamp": at, "scm": scm, "parameters": parameters,
		}
		for key, value := range more {
			build[key] = value
		}
		p.add("jenkins", map[string]any{"name": nameOfJob(job), "url": job[1:] + "/", "build": build})
	}
	phase("STARTED", b.Timestamp, nil)
	if b.Result != "" {
		ended := map[string]any{"status": b.Result, "duration": b.Duration}
		if len(tests) > 0 {
			ended["test_summary"] = tests
		}
		phase("COMPLETED", b.Timestamp+b.Duration, ended)
	}
}

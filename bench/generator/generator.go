// Package generator makes synthetic facts and observations, the same for the
// same seed, shaped like an organisation that ships software: releases with a
// change, a build, tests, an artifact and a deployment to each environment, and
// among them flags, alerts, incidents, findings and catalog entries.
//
//	g := generator.New(generator.Organisation(1, 100_000))
//	for facts := range g.Facts(4096) { tl.Apply(facts) }
//	obs := g.Observations(1000, generator.AnyTime)
//
// More than half of the facts are stages of deployments, the costliest kind. They
// are valid, and come with the data that says what their payload does.
package generator

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strconv"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// Shape says what to make.
type Shape struct {
	Seed         uint64
	Facts        int
	Services     int
	Environments []string
	From, To     event.Millis // facts are spread evenly over [From, To)
}

// Organisation is a shape of n facts in 35 days: a service for every 1,000
// facts, but at least 10, in two environments.
func Organisation(seed uint64, n int) Shape {
	from := event.Millis(1_700_000_000_000)
	return Shape{
		Seed: seed, Facts: n, Services: max(10, n/1000), Environments: []string{"staging", "production"},
		From: from, To: from + 35*24*3600*1000,
	}
}

// HotKey is a shape whose facts are all of one service in one environment.
func HotKey(seed uint64, n int) Shape {
	s := Organisation(seed, n)
	s.Services, s.Environments = 1, []string{"production"}
	return s
}

// Generator makes the facts of one shape.
type Generator struct {
	shape    Shape
	services []string
}

// New returns a generator of that shape.
func New(s Shape) *Generator {
	g := &Generator{shape: s}
	for i := range s.Services {
		g.services = append(g.services, fmt.Sprintf("service-%04d", i))
	}
	return g
}

// Facts yields all facts in the order of their revisions, in batches of a slice
// of its own each. Event times rise, but for the stages of overlapping
// releases, which interleave by minutes.
func (g *Generator) Facts(batch int) iter.Seq[[]event.Fact] {
	return func(yield func([]event.Fact) bool) {
		r := g.run()
		facts := make([]event.Fact, 0, batch)
		for made := 0; made < g.shape.Facts; {
			for _, f := range r.release() {
				made++
				f.Revision = 1<<40 | uint64(made)
				facts = append(facts, f)
				if len(facts) == batch || made == g.shape.Facts {
					if !yield(facts) {
						return
					}
					facts = make([]event.Fact, 0, batch)
				}
				if made == g.shape.Facts {
					return
				}
			}
		}
	}
}

// Times says which times Observations asks about.
type Times int

// The times.
const (
	// Now: the last minute before To, in order, as live traffic does.
	Now Times = iota
	// AnyTime: anywhere in [From, To), in no order.
	AnyTime
)

// Observations makes n observations of the shape's services: a third states
// the version of a release of about its time, a third an instance of one, a
// third neither.
func (g *Generator) Observations(n int, times Times) []event.Observation {
	random := rand.New(rand.NewPCG(g.shape.Seed, 2))
	obs := make([]event.Observation, n)
	for i := range obs {
		o := &obs[i]
		o.Time = g.shape.To - 60_000 + event.Millis(i*60_000/n)
		if times == AnyTime {
			o.Time = g.shape.From + event.Millis(random.Int64N(int64(g.shape.To-g.shape.From)))
		}
		release := g.releaseBefore(o.Time, random.IntN(2*len(g.services)))
		o.ID, o.Source, o.Type = strconv.Itoa(i), "synthetic", "io.whence.behavior.recorded"
		o.Name, o.Service = "page.viewed", g.serviceOf(release)
		o.Environment = g.shape.Environments[random.IntN(len(g.shape.Environments))]
		switch i % 3 {
		case 0:
			o.Version = version(release)
		case 1:
			o.Instance = instance(o.Service, release, 0)
		}
	}
	return obs
}

// releaseBefore is the release that began back releases before the last one at
// t, or the first.
func (g *Generator) releaseBefore(t event.Millis, back int) int {
	return max(0, int((t-g.shape.From)/g.step())-back)
}

// step is the time from one release to the next.
func (g *Generator) step() event.Millis {
	return (g.shape.To - g.shape.From) / event.Millis(g.shape.Facts/factsARelease+1)
}

// serviceOf gives every service its turn.
func (g *Generator) serviceOf(release int) string { return g.services[release%len(g.services)] }

func version(release int) string {
	return "v1." + strconv.Itoa(release/100) + "." + strconv.Itoa(release%100)
}
func revision(release int) string {
	return fmt.Sprintf("%016x%016x%08x", mix(release), mix(release+1), release)
}
func instance(service string, release, i int) string {
	return fmt.Sprintf("%s-%08x-%d", service, uint32(mix(release)), i)
}

func mix(i int) uint64 { return (uint64(i) + 1) * 0x9e3779b97f4a7c15 }

// factsARelease is about what release makes with two environments, so that the
// facts of a shape cover its interval.
const factsARelease = 11

// run is one pass over the facts.
type run struct {
	*Generator
	random  *rand.Rand
	decoder codec.Decoder
	next    int // release
	at      event.Millis
	made    []event.Fact
}

func (g *Generator) run() *run {
	return &run{Generator: g, random: rand.New(rand.NewPCG(g.shape.Seed, 1))}
}

// release makes the facts of the next release.
func (r *run) release() []event.Fact {
	n := r.next
	r.next++
	r.made = r.made[:0]
	r.at = min(r.shape.From+r.step()*event.Millis(n), r.shape.To-1)
	service := r.serviceOf(n)
	if n < len(r.services) {
		r.declare(service)
	}
	r.change(service, n)
	for _, environment := range r.shape.Environments {
		r.deploy(service, environment, n)
	}
	if n%4 == 0 {
		r.flag(service, n)
	}
	if n%20 == 0 {
		r.incident(service, n)
	}
	if n%30 == 0 {
		r.finding(service, n)
	}
	return r.made
}

// says is the data of an event.
type says = map[string]any

// add makes a fact as it is read from a record, so that what it says, how long
// that is and what the timeline reads of it are one thing.
func (r *run) add(typ, id, source string, data says) {
	e := event.Event{Source: source, ID: id, Type: event.Prefix + typ, Time: min(r.at, r.shape.To-1)}
	e.Subject, _ = data[event.Lookup(e.Type).IDField].(string)
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	f, err := r.decoder.NewFact(e, encoded)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", typ, err))
	}
	r.made = append(r.made, f)
}

func (r *run) wait(most event.Millis) { r.at += 1 + event.Millis(r.random.Int64N(int64(most))) }

func (r *run) stamp() string { return r.at.Time().Format("2006-01-02T15:04:05.000Z") }

func (r *run) declare(service string) {
	r.add("service.declared", service, "catalog", says{
		"service": service, "owner": fmt.Sprintf("team-%02d", r.random.IntN(50)), "tier": strconv.Itoa(r.random.IntN(4)),
		"repositories": []string{"git/" + service}, "aliases": []string{"svc/" + service},
	})
}

func (r *run) change(service string, n int) {
	repository, rev := "git/"+service, revision(n)
	id, artifact := repository+"/pull/"+strconv.Itoa(n), artifact(service, n)
	author := "person-" + strconv.Itoa(n%200)
	r.add("change.merged", id+"/merged", "git", says{
		"change_id": id, "repository": repository, "revision": rev, "merged_at": r.stamp(), "author": author,
		"title": "Handle what is empty in " + service, "size": n % 400, "services": []string{service},
	})
	r.wait(60_000)
	r.add("build.finished", id+"/build.finished", "ci", says{
		"build_id": id + "/build", "repository": repository, "revision": rev, "outcome": "success",
		"duration_ms": 30_000 + n%60_000, "artifact": artifact,
	})
	r.wait(60_000)
	r.add("test.finished", id+"/test.finished", "ci", says{
		"run_id": id + "/test", "suite": "unit", "revision": rev, "outcome": "success", "duration_ms": 20_000 + n%90_000,
	})
	r.wait(60_000)
	r.add("artifact.published", id+"/artifact.published", "ci", says{"artifact": artifact, "revision": rev})
	r.wait(60_000)
}

func artifact(service string, n int) string { return "pkg:oci/" + service + "@sha256:" + revision(n) }

func (r *run) deploy(service, environment string, n int) {
	id := service + "/" + environment + "/" + strconv.Itoa(n)
	stage := func(name string, more says) {
		data := says{"deployment_id": id, "service": service, "environment": environment, "version": version(n), "strategy": "rolling"}
		maps.Copy(data, more)
		r.add("deployment."+name, id+"/"+name, "deployer", data)
		r.wait(120_000)
	}
	stage("started", says{"revisions": []string{revision(n)}, "artifact": artifact(service, n), "requested_by": "person-" + strconv.Itoa(n%200)})
	stage("progressed", says{"percent": 50, "instances_added": []string{instance(service, n, 0), instance(service, n, 1)}})
	outcome := "success"
	if n%15 == 7 {
		outcome = "rolled_back"
	}
	stage("finished", says{"outcome": outcome})
}

func (r *run) flag(service string, n int) {
	name := "flag-" + strconv.Itoa(n%40)
	r.add("flag.changed", name+"/"+strconv.Itoa(n), "flags", says{
		"flag": name, "environment": r.shape.Environments[n/4%len(r.shape.Environments)],
		"services": []string{service}, "rules": says{"on": r.random.IntN(101)}, "changed_by": "person-" + strconv.Itoa(n%200),
	})
}

func (r *run) incident(service string, n int) {
	id := "INC-" + strconv.Itoa(n)
	stages := []struct{ name, severity string }{{"opened", "high"}, {"updated", "critical"}, {"resolved", ""}}
	for _, s := range stages {
		data := says{
			"incident_id": id, "service": service, "environment": r.shape.Environments[len(r.shape.Environments)-1],
			"title": "Errors in " + service,
		}
		if s.severity != "" {
			data["severity"] = s.severity
		}
		r.add("incident."+s.name, id+"/"+s.name, "pager", data)
		r.wait(600_000)
	}
}

func (r *run) finding(service string, n int) {
	id := "CVE-" + strconv.Itoa(n)
	data := says{
		"finding_id": id, "kind": "vulnerability", "rule": id, "service": service, "severity": "high", "revision_introduced": revision(n),
	}
	r.add("finding.opened", id+"/opened", "scanner", data)
	r.wait(3_600_000)
	delete(data, "revision_introduced")
	r.add("finding.remediated", id+"/remediated", "scanner", data)
}

// Package generator makes synthetic facts and observations, the same for the
// same seed, shaped like an organisation that ships software: releases with a
// change, a build, tests, an artifact and a deployment to each environment, and
// among them flags, alerts, incidents, findings and catalog entries.
//
//	g := generator.New(generator.Organisation(1, 100_000))
//	for facts := range g.Facts(4096) { tl.Apply(facts) }
//	obs := g.Observations(1000, generator.AnyTime)
//
// About half of the facts are stages of deployments, the costliest kind.
package generator

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"

	"github.com/cespare/xxhash/v2"

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
	random *rand.Rand
	next   int // release
	at     event.Millis
	made   []event.Fact
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

func (r *run) add(typ, kind, entity, id, source string, payload any) {
	f := event.Fact{Kind: kind, EntityID: entity, Payload: payload}
	f.Source, f.ID, f.Type, f.Subject = source, id, "io.whence."+typ, entity
	f.Time = min(r.at, r.shape.To-1)
	f.Hash = xxhash.Sum64String(source + id + typ)
	f.Data = `{"` + kind + `_id":"` + entity + `","synthetic":true}`
	r.made = append(r.made, f)
}

func (r *run) wait(most event.Millis) { r.at += 1 + event.Millis(r.random.Int64N(int64(most))) }

func (r *run) declare(service string) {
	r.add("service.declared", "service", service, service, "catalog", &event.Declaration{
		Service: service, Owner: fmt.Sprintf("team-%02d", r.random.IntN(50)), Tier: strconv.Itoa(r.random.IntN(4)),
		Repositories: []string{"git/" + service}, Aliases: []string{"svc/" + service},
	})
}

func (r *run) change(service string, n int) {
	id, rev := "git/"+service+"/pull/"+strconv.Itoa(n), revision(n)
	r.add("change.merged", "change", id, id+"/merged", "git", &event.Change{
		ChangeID: id, Repository: "git/" + service, Revision: rev, MergedAt: r.at,
	})
	r.wait(60_000)
	for _, typ := range []string{"build.finished", "test.finished", "artifact.published"} {
		r.add(typ, typ[:4], rev, id+"/"+typ, "ci", nil)
		r.wait(60_000)
	}
}

func (r *run) deploy(service, environment string, n int) {
	id := service + "/" + environment + "/" + strconv.Itoa(n)
	stage := func(name string, s event.Stage) *event.Deployment {
		d := &event.Deployment{
			Stage: s, DeploymentID: id, Service: service, Environment: environment,
			Version: version(n), Percent: event.Unknown,
		}
		r.add("deployment."+name, "deployment", id, id+"/"+name, "deployer", d)
		r.wait(120_000)
		return d
	}
	stage("started", event.Started).Revisions = []string{revision(n)}
	progressed := stage("progressed", event.Progressed)
	progressed.Percent, progressed.InstancesAdded = 50, []string{instance(service, n, 0), instance(service, n, 1)}
	finished := stage("finished", event.Finished)
	if finished.Outcome = "success"; n%15 == 7 {
		finished.Outcome = "rolled_back"
	}
}

func (r *run) flag(service string, n int) {
	name := "flag-" + strconv.Itoa(n%40)
	f := &event.Flag{
		Flag: name, Environment: r.shape.Environments[n/4%len(r.shape.Environments)],
		Services: []string{service}, Rules: `{"on":` + strconv.Itoa(r.random.IntN(101)) + `}`,
	}
	r.add("flag.changed", "flag", name, name+"/"+strconv.Itoa(n), "flags", f)
}

func (r *run) incident(service string, n int) {
	id := "INC-" + strconv.Itoa(n)
	stages := []struct {
		name     string
		stage    event.IncidentStage
		severity string
	}{
		{"opened", event.IncidentOpened, "high"}, {"updated", event.IncidentUpdated, "critical"}, {"resolved", event.IncidentResolved, ""},
	}
	for _, s := range stages {
		r.add("incident."+s.name, "incident", id, id+"/"+s.name, "pager", &event.Incident{
			Stage: s.stage, IncidentID: id, Service: service, Environment: r.shape.Environments[len(r.shape.Environments)-1], Severity: s.severity,
		})
		r.wait(600_000)
	}
}

func (r *run) finding(service string, n int) {
	id := "CVE-" + strconv.Itoa(n)
	r.add("finding.opened", "finding", id, id+"/opened", "scanner", &event.Finding{
		Stage: event.FindingOpened, FindingID: id, Service: service, Severity: "high", RevisionIntroduced: revision(n),
	})
	r.wait(3_600_000)
	r.add("finding.remediated", "finding", id, id+"/remediated", "scanner", &event.Finding{
		Stage: event.FindingRemediated, FindingID: id, Service: service,
	})
}

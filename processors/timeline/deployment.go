package timeline

import (
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/whencehq/whence/schemas/event"
)

// deployment is folded from its stages (R8 to R12).
type deployment struct {
	standing
	id    string
	facts facts

	scope             *scope // nil: of no service
	version, previous text
	start             *fact
	completed         *fact        // nil: never
	end, failed       event.Millis // forever: not

	card atomic.Pointer[card]
}

// stage is one of a deployment's facts. The lists most stages do not state
// stand apart.
type stage struct {
	deployment        *deployment
	service           *name        // nil: not stated
	environment       *environment // nil: not stated
	version, previous text
	percent           float64 // Unknown: not stated
	stage             event.Stage
	succeeded, failed bool
	carried           *carried
}

// carried is what a stage adds to its deployment.
type carried struct {
	revisions []*revision
	instances []string
}

// revision ties together who speaks of it.
type revision struct {
	name        string
	deployments []*deployment
	changes     []*change
	findings    []*finding

	carried, named          uint64 // the last sweep that met a deployment, or anybody, that speaks of it
	allChanges, allCarriers bool   // were fetched, and none was let go of since
}

// revisionNamed returns the revision s, new if nobody spoke of it.
func (t *Timeline) revisionNamed(s string) *revision {
	if known := t.revisions[s]; known != nil {
		return known
	}
	r := &revision{name: strings.Clone(s)}
	t.revisions[r.name] = r
	return r
}

// revisionsOf returns the stated ones, each once.
func (t *Timeline) revisionsOf(stated []string) []*revision {
	found := make([]*revision, 0, len(stated))
	for _, s := range stated {
		if s != "" {
			found = append(found, t.revisionNamed(s))
		}
	}
	return distinct(found)
}

// distinct drops the repetitions from s, in place.
func distinct[T comparable](s []T) []T {
	if len(s) < 2 {
		return s
	}
	seen := make(map[T]struct{}, len(s))
	return slices.DeleteFunc(s, func(v T) bool {
		_, again := seen[v]
		seen[v] = struct{}{}
		return again
	})
}

func (t *Timeline) readDeployment(d *event.Deployment) statement {
	s := &stage{
		deployment: t.deployment(d.DeploymentID),
		service:    t.name(d.Service),
		version:    t.versions.intern(d.Version),
		previous:   t.versions.intern(d.PreviousVersion),
		percent:    d.Percent,
		stage:      d.Stage,
	}
	if d.Environment != "" {
		s.environment = t.environment(d.Environment)
	}
	if d.Stage == event.Finished {
		s.succeeded = d.Outcome == "success"
		s.failed = d.Outcome == "failure" || d.Outcome == "cancelled" || d.Outcome == "rolled_back"
	}
	if len(d.Revisions)+len(d.InstancesAdded) > 0 {
		s.carried = &carried{t.revisionsOf(d.Revisions), instancesOf(d.InstancesAdded)}
	}
	return s
}

func instancesOf(stated []string) []string {
	instances := make([]string, 0, len(stated))
	for _, i := range stated {
		if i != "" {
			instances = append(instances, strings.Clone(i))
		}
	}
	return instances
}

func (t *Timeline) deployment(id string) *deployment {
	if known := t.deployments[id]; known != nil {
		return known
	}
	d := &deployment{standing: standing{rank: rankDeployment}, id: strings.Clone(id)}
	t.deployments[d.id] = d
	return d
}

func (s *stage) enter(t *Timeline, f *fact) { t.touch(s.deployment); s.deployment.facts.add(f) }
func (s *stage) leave(t *Timeline, f *fact) { t.touch(s.deployment); s.deployment.facts.drop(f) }

func (s *stage) statesPercent() bool { return s.percent == s.percent }

func (d *deployment) insert(t *Timeline) {
	d.fold(t)
	if d.scope == nil {
		return
	}
	sc := d.scope
	sc.generation++
	d.bound(sc.boundaries.add)
	sc.started.insert(d.rollout())
	if d.completed != nil {
		sc.completed.insert(d.running())
	}
	if d.version != 0 {
		sc.versions.insert(event.VersionKey(t.versions.word(d.version)), d)
	}
	for _, i := range d.instances() {
		sc.instances.insert(i, d)
	}
	for _, r := range d.revisions() {
		r.deployments = append(r.deployments, d)
		t.touchFindings(r.findings)
	}
}

func (d *deployment) remove(t *Timeline) {
	if d.scope == nil {
		return
	}
	sc := d.scope
	sc.generation++
	d.bound(sc.boundaries.remove)
	sc.started.remove(d.rollout())
	if d.completed != nil {
		sc.completed.remove(d.running())
	}
	if d.version != 0 {
		sc.versions.remove(event.VersionKey(t.versions.word(d.version)), d)
	}
	for _, i := range d.instances() {
		sc.instances.remove(i, d)
	}
	for _, r := range d.revisions() {
		r.deployments = without(r.deployments, d)
		t.touchFindings(r.findings)
	}
}

// rollout is when d was in progress, running when it could be the one
// completed last.
func (d *deployment) rollout() span[*deployment] {
	return span[*deployment]{d.start.time, d.end, d.start, d}
}

func (d *deployment) running() span[*deployment] {
	return span[*deployment]{d.completed.time, d.failed, d.completed, d}
}

// bound calls yield with every moment at which d changes the answer.
func (d *deployment) bound(yield func(event.Millis)) {
	yield(d.start.time)
	yield(d.end)
	yield(d.failed)
	if d.completed != nil {
		yield(d.completed.time)
	}
	for _, f := range d.facts {
		if f.says.(*stage).statesPercent() {
			yield(f.time)
		}
	}
}

func (d *deployment) fold(t *Timeline) {
	d.scope, d.version, d.previous = nil, 0, 0
	d.start, d.completed, d.end, d.failed = nil, nil, forever, forever
	d.card.Store(nil)
	if len(d.facts) == 0 {
		return
	}
	d.start = d.facts[0]
	d.foldOutcome()
	service, environment := d.foldWords(t)
	if service != nil {
		d.scope = t.scope(service.service, environment)
	}
}

// foldOutcome is R10 to R12.
func (d *deployment) foldOutcome() {
	for _, f := range d.facts {
		s := f.says.(*stage)
		if s.stage == event.Finished {
			d.end = min(d.end, f.time)
		}
		if s.failed {
			d.failed = min(d.failed, f.time)
		}
		if d.completed == nil && (s.succeeded || s.percent >= 100) {
			d.completed = f
		}
	}
}

// foldWords is the last word of R8: facts come in the order R2, so of one
// stage the later replaces the earlier.
func (d *deployment) foldWords(t *Timeline) (service *name, environment *environment) {
	var ofService, ofEnvironment, ofVersion, ofPrevious event.Stage
	environment = t.environments[""]
	for _, f := range d.facts {
		s := f.says.(*stage)
		if s.service != nil && s.stage >= ofService {
			service, ofService = s.service, s.stage
		}
		if s.environment != nil && s.stage >= ofEnvironment {
			environment, ofEnvironment = s.environment, s.stage
		}
		if s.version != 0 && s.stage >= ofVersion {
			d.version, ofVersion = s.version, s.stage
		}
		if s.previous != 0 && s.stage >= ofPrevious {
			d.previous, ofPrevious = s.previous, s.stage
		}
	}
	return service, environment
}

// revisions and instances are the unions over all stages.
func (d *deployment) revisions() []*revision {
	var union []*revision
	for _, f := range d.facts {
		if c := f.says.(*stage).carried; c != nil {
			union = append(union, c.revisions...)
		}
	}
	return distinct(union)
}

func (d *deployment) instances() []string {
	var union []string
	for _, f := range d.facts {
		if c := f.says.(*stage).carried; c != nil {
			union = append(union, c.instances...)
		}
	}
	return distinct(union)
}

// percent is the rollout_percent that d has at t (R18).
func (d *deployment) percent(t event.Millis) float64 {
	known := sort.Search(len(d.facts), func(i int) bool { return d.facts[i].time > t })
	for i := known - 1; i >= 0; i-- {
		if s := d.facts[i].says.(*stage); s.statesPercent() {
			return s.percent
		}
	}
	return 0
}

// lineups is the deployments of one scope by a word of theirs (the version's key,
// an instance), each in the order of their start facts.
type lineups map[string][]*deployment

func (l *lineups) insert(word string, d *deployment) {
	if *l == nil {
		*l = lineups{}
	}
	line := (*l)[word]
	(*l)[word] = slices.Insert(line, placeIn(line, d), d)
}

func (l lineups) remove(word string, d *deployment) {
	line := l[word]
	at := placeIn(line, d)
	if line = slices.Delete(line, at, at+1); len(line) == 0 {
		delete(l, word)
	} else {
		l[word] = line
	}
}

func placeIn(line []*deployment, d *deployment) int {
	return sort.Search(len(line), func(i int) bool { return !line[i].start.before(d.start) })
}

// at returns the last of word started at or before t and not failed by then,
// or nil.
func (l lineups) at(word string, t event.Millis) *deployment {
	line := l[word]
	started := sort.Search(len(line), func(i int) bool { return line[i].start.time > t })
	for i := started - 1; i >= 0; i-- {
		if line[i].failed > t {
			return line[i]
		}
	}
	return nil
}

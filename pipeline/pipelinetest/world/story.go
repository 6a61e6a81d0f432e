package world

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/whencehq/whence/schemas/event"
)

// begin says what was there before the first observation: most of the catalog.
// Every third service is declared late, and every other alias.
func (w *World) begin() {
	for i, name := range w.services {
		random := source(w.shape.Seed, purposeStory, uint64(1)<<60|uint64(i))
		data := object{"service": name, "owner": team(random), "tier": strconv.Itoa(random.IntN(4)), "repositories": []string{"git/" + name}}
		if i%2 == 0 {
			data["aliases"] = []string{alias(name)}
		} else {
			w.fact(random, late(i%3 != 0, 1200), "identity.declared", "catalog", "alias-"+name, Start-3_600_000,
				object{"kind": "service", "canonical": name, "alias": alias(name)})
		}
		delay := uint64(0)
		if i%3 == 2 {
			delay = 600 + random.Uint64N(2400)
		}
		w.fact(random, delay, "service.declared", "catalog", name, Start-3_600_000, data)
	}
	for i := range w.services {
		for _, environment := range environments {
			w.release(i, environment, -1) // something is live when it all begins
		}
	}
}

func late(yes bool, seconds uint64) uint64 {
	if yes {
		return seconds
	}
	return 0
}

func team(random *rand.Rand) string { return "team-" + strconv.Itoa(random.IntN(9)) }

// arrival is by how many seconds a fact comes late: mostly a few, sometimes
// minutes, now and then up to two hours.
func arrival(random *rand.Rand) uint64 {
	switch chance := random.IntN(10); {
	case chance < 7:
		return random.Uint64N(5)
	case chance < 9:
		return 60 + random.Uint64N(540)
	}
	return 600 + random.Uint64N(6600)
}

// fact puts a fact off until delay seconds after now, or after its own time if
// that is later; now and then it is said twice.
func (w *World) fact(random *rand.Rand, delay uint64, typ, from, id string, at event.Millis, data object) {
	due := max(w.second, uint64(max(at-Start, 0))/1000) + delay
	what := factLine(typ, from, id, at, data)
	w.due.put(due, w.say(Fact, event.TopicFor(event.Prefix+typ), what, format(random)))
	if random.IntN(20) == 0 {
		w.due.put(due+random.Uint64N(900), w.say(Fact, event.TopicFor(event.Prefix+typ), what, format(random)))
	}
}

// period of a service's releases, in seconds; phase keeps them apart.
func (w *World) period(service int) int64 { return 600 + 300*int64(service%8) }

func (w *World) phase(service int, environment string) int64 {
	return int64(service)*97 + int64(len(environment))*31
}

// releaseAt is the number of the release that began last at t; negative ones
// were before the world.
func (w *World) releaseAt(service int, environment string, t event.Millis) int {
	since := int64(t-Start)/1000 - w.phase(service, environment)
	period := w.period(service)
	number := since / period
	if since < 0 {
		number = -((-since + period - 1) / period)
	}
	return int(max(number, -2))
}

func version(number int) string { return "v" + strconv.Itoa(number+10) }

func instance(service int, environment string, number, i int) string {
	return fmt.Sprintf("i-%d-%s-%d-%d", service, environment[:1], number, i)
}

func revision(service, number int) string { return fmt.Sprintf("rev-%d-%d", service, number) }

// story makes the facts that become known from this second on.
func (w *World) story() {
	for i := range w.services {
		for _, environment := range environments {
			if since := int64(w.second) - w.phase(i, environment); since >= 0 && since%w.period(i) == 0 {
				w.release(i, environment, int(since/w.period(i)))
			}
		}
	}
	random := source(w.shape.Seed, purposeStory, w.second)
	for _, chapter := range []struct {
		every int // seconds, on average
		tell  func(*rand.Rand)
	}{
		{90, w.flag}, {240, w.incident}, {300, w.finding}, {200, w.scan}, {200, w.declaration}, {150, w.retraction},
		{120, w.conflict}, {60, w.sideline}, {40, w.bad}, {30, w.other}, {600, w.alias},
	} {
		if random.IntN(chapter.every) == 0 {
			chapter.tell(random)
		}
	}
}

// release makes the change, the build and the stages of a deployment, each of
// which arrives when it pleases.
func (w *World) release(service int, environment string, number int) {
	random := source(w.shape.Seed, purposeRelease, uint64(service)<<32|uint64(len(environment))<<24|uint64(number+2))
	name := w.services[service]
	at := Start + event.Millis(w.phase(service, environment)+int64(number)*w.period(service))*1000
	part := event.Millis(w.period(service) * 100) // a tenth, in milliseconds
	rev := revision(service, number)
	if environment == environments[0] {
		w.fact(random, arrival(random), "change.merged", "git", fmt.Sprintf("pr-%d-%d", service, number), at-part, object{
			"change_id": fmt.Sprintf("change-%d-%d", service, number), "repository": "git/" + name, "revision": rev,
			"merged_at": clock(at - part), "title": "a change", "commits": []object{{"revision": rev + "-a"}}})
		w.fact(random, arrival(random), "build.finished", "ci", fmt.Sprintf("build-%d-%d", service, number), at-part/2,
			object{"build_id": rev, "revision": rev, "outcome": "success"})
	}
	id := deploymentID(service, environment, number)
	data := func(more object) object {
		d := object{"deployment_id": id, "service": w.stated(random, service), "environment": environment, "version": version(number)}
		for key, value := range more {
			d[key] = value
		}
		return d
	}
	started := data(object{"revisions": []string{rev}})
	if random.IntN(3) == 0 {
		started["previous_version"] = version(number - 1)
	}
	w.fact(random, arrival(random), "deployment.started", "deployer", id+"/started", at, started)
	w.fact(random, arrival(random), "deployment.progressed", "deployer", id+"/one", at+part, data(object{
		"percent": 10, "instances_added": []string{instance(service, environment, number, 0)}}))
	w.fact(random, arrival(random), "deployment.progressed", "deployer", id+"/two", at+2*part, data(object{
		"percent": 50 + random.IntN(50), "instances_added": []string{instance(service, environment, number, 1), instance(service, environment, number, 2)}}))
	if random.IntN(12) == 0 {
		return // nobody says how it ended
	}
	outcome := "success"
	if random.IntN(6) == 0 {
		outcome = []string{"failure", "cancelled", "rolled_back"}[random.IntN(3)]
	}
	w.fact(random, arrival(random), "deployment.finished", "deployer", id+"/finished", at+3*part, data(object{"outcome": outcome}))
}

func deploymentID(service int, environment string, number int) string {
	return fmt.Sprintf("d-%d-%s-%d", service, environment, number)
}

// recent is a moment of the last two hours.
func (w *World) recent(random *rand.Rand) event.Millis {
	return w.at(w.second) - event.Millis(random.IntN(7_200_000))
}

func (w *World) flag(random *rand.Rand) {
	data := object{"flag": fmt.Sprint("flag-", random.IntN(6)), "environment": environments[random.IntN(2)],
		"rules": object{"on": random.IntN(101), "staff": true}}
	if random.IntN(8) > 0 { // else for every service
		data["services"] = []string{w.services[random.IntN(len(w.services))], w.services[random.IntN(4)]}
	}
	w.fact(random, arrival(random), "flag.changed", "flags", w.unique("flag"), w.recent(random), data)
}

// unique is an id that no other second has.
func (w *World) unique(kind string) string { return kind + "-" + strconv.FormatUint(w.second, 10) }

// incident has stages that arrive in any order, and often a post-mortem that
// moves its start.
func (w *World) incident(random *rand.Rand) {
	service, environment := w.place(random)
	at := w.at(w.second)
	id := w.unique("incident")
	data := func(more object) object {
		d := object{"incident_id": id, "service": w.services[service], "environment": environment}
		for key, value := range more {
			d[key] = value
		}
		return d
	}
	say := func(stage string, after int, more object) {
		w.fact(random, arrival(random), "incident."+stage, "pager", id+"/"+stage, at+event.Millis(after)*1000, data(more))
	}
	say("opened", 0, object{"severity": severities[random.IntN(5)], "services": []string{w.services[random.IntN(len(w.services))]}})
	if random.IntN(2) == 0 {
		say("updated", 120, object{"severity": severities[random.IntN(5)]})
	}
	over := 300 + random.IntN(1500)
	if random.IntN(5) > 0 {
		say("resolved", over, object{})
	}
	if random.IntN(5) == 0 {
		say("reopened", over+200, object{"severity": "high"})
	}
	if random.IntN(2) == 0 {
		w.fact(random, 1200+random.Uint64N(4000), "incident.updated", "post-mortem", id, at+event.Millis(over+600)*1000,
			data(object{"started_at": clock(at - event.Millis(random.IntN(3_000_000)))}))
	}
}

var severities = []string{"critical", "high", "medium", "low", "sev2"}

func (w *World) finding(random *rand.Rand) {
	service := random.IntN(len(w.services))
	id := w.unique("finding")
	data := object{"finding_id": id, "kind": "audit", "rule": "rule", "severity": "low", "repository": "git/" + w.services[service]}
	if random.IntN(2) == 0 {
		data["service"] = w.services[service]
	}
	if random.IntN(2) == 0 {
		data["first_seen"] = clock(w.recent(random))
	} else {
		data["revision_introduced"] = revision(service, w.releaseAt(service, environments[0], w.at(w.second))-random.IntN(2))
	}
	w.fact(random, arrival(random), "finding.opened", "scanner", id+"/opened", w.at(w.second), data)
	if random.IntN(2) == 0 {
		w.fact(random, arrival(random), "finding.remediated", "scanner", id+"/closed", w.at(w.second)+event.Millis(random.IntN(3_600_000)), data)
	}
}

// scan is one of a repository's, in one part or two, which come in any order
// or, now and then, not at all. A scan sees most of the few findings there are.
func (w *World) scan(random *rand.Rand) {
	service := random.IntN(6)
	repository, at := "git/"+w.services[service], w.at(w.second)
	id := w.unique("scan")
	parts := 1 + random.IntN(2)
	for part := 1; part <= parts; part++ {
		data := object{"scan_id": id, "tool": "sift", "target": repository, "part": part, "repository": repository}
		if part == parts {
			data["parts"] = parts
		}
		if random.IntN(8) == 0 {
			data["complete"] = false
		}
		if service%2 == 0 {
			data["service"] = w.services[service]
		}
		findings := []object{}
		for i := range 4 {
			if random.IntN(3) == 0 {
				continue
			}
			finding := object{"finding_id": fmt.Sprintf("%s/%d-%d", repository, part, i), "kind": "secret", "rule": "key", "severity": severities[random.IntN(5)]}
			if random.IntN(9) == 0 {
				finding["status"] = "accepted"
			}
			if i == 0 {
				finding["revision_introduced"] = revision(service, w.releaseAt(service, environments[0], at))
			}
			findings = append(findings, finding)
		}
		data["findings"] = findings
		if random.IntN(12) > 0 {
			w.fact(random, arrival(random), "scan.completed", "sift", fmt.Sprintf("%s/%d", id, part), at+event.Millis(part), data)
		}
	}
	if random.IntN(10) == 0 {
		w.fact(random, arrival(random), "fact.retracted", "sift", id+"/sorry", at+60_000, object{"retracts": object{"source": "sift", "id": id + "/1"}, "reason": "the wrong branch"})
	}
}

func (w *World) declaration(random *rand.Rand) {
	data := object{"service": w.services[random.IntN(len(w.services))], "owner": team(random)}
	if random.IntN(3) == 0 {
		data["environment"] = environments[random.IntN(2)]
	}
	w.fact(random, arrival(random), "service.declared", "catalog", w.unique("service"), w.recent(random), data)
}

// alias gives a service one more name, or an alias another meaning.
func (w *World) alias(random *rand.Rand) {
	w.fact(random, arrival(random), "identity.declared", "catalog", w.unique("alias"), w.recent(random), object{
		"kind": "service", "canonical": w.services[random.IntN(len(w.services))], "alias": "old/" + w.services[random.IntN(len(w.services))]})
}

// retraction unsays a stage of a deployment that began within the last hours.
func (w *World) retraction(random *rand.Rand) {
	service, environment := random.IntN(len(w.services)), environments[random.IntN(2)]
	number := w.releaseAt(service, environment, w.recent(random))
	stage := []string{"/started", "/one", "/two", "/finished"}[random.IntN(4)]
	id := w.unique("retraction")
	w.fact(random, arrival(random), "fact.retracted", "deployer", id, w.at(w.second),
		object{"retracts": object{"source": "deployer", "id": deploymentID(service, environment, number) + stage}, "reason": "a mistake"})
	if random.IntN(4) == 0 {
		w.fact(random, arrival(random), "fact.retracted", "deployer", id+"/again", w.at(w.second)+60_000,
			object{"retracts": object{"source": "deployer", "id": id}, "reason": "no mistake"})
	}
}

// conflict says something else under the identity of a stage.
func (w *World) conflict(random *rand.Rand) {
	service, environment := random.IntN(len(w.services)), environments[random.IntN(2)]
	t := w.recent(random)
	number := w.releaseAt(service, environment, t)
	id := deploymentID(service, environment, number)
	w.fact(random, arrival(random), "deployment.progressed", "deployer", id+"/two", t, object{
		"deployment_id": id, "service": w.services[service], "environment": environment, "version": version(number), "percent": 100,
		"instances_added": []string{instance(service, environment, number, 2)}})
}

// sideline is a fact that has a table or not, and changes no column.
func (w *World) sideline(random *rand.Rand) {
	service, environment := w.place(random)
	name, id := w.services[service], w.unique("side")
	kinds := []struct {
		typ  string
		data object
	}{
		{"alert.fired", object{"alert_id": id, "service": name, "environment": environment, "severity": "high", "labels": object{"pod": "i"}}},
		{"test.finished", object{"run_id": id, "suite": "s", "revision": revision(service, 1), "outcome": "success"}},
		{"artifact.published", object{"artifact": "pkg:oci/" + id, "revision": revision(service, 1)}},
		{"configuration.changed", object{"change_id": id, "environment": environment, "summary": "a change"}},
		{"experiment.started", object{"experiment": fmt.Sprint("e", random.IntN(3)), "hypothesis": "h", "unit": "user",
			"variants": []object{{"name": "on", "weight": 1}}, "primary_metric": "m", "services": []string{name}}},
		{"team.declared", object{"team": team(random)}},
		{"instance.started", object{"instance": id, "service": name, "environment": environment}},
		{"approval.granted", object{"approval_id": id, "subject_kind": "change", "subject_id": "c", "by": "someone"}},
	}
	kind := kinds[random.IntN(len(kinds))]
	w.fact(random, arrival(random), kind.typ, "tools", id, w.recent(random), kind.data)
}

// other is an event of a type that Whence has no place for.
func (w *World) other(random *rand.Rand) {
	id := w.unique("other")
	l := newLine("com.example.thing.happened", "elsewhere", id, w.recent(random))
	l.data()
	l.text("note", "kept as it is")
	said := w.say(Other, event.TopicAudit, l.end(), format(random))
	said.ID = id
	w.due.put(w.second, said)
}

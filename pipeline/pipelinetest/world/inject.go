package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/whencehq/whence/schemas/event"
)

// What can be injected beside the story: the publisher says it when it wants.

// Burial is one record of every kind that becomes a dead letter.
func (w *World) Burial() (said []Said) {
	for i := range bads {
		said = append(said, w.sayBad(w.random, i))
	}
	return said
}

// Far is a fact of the year 2100, where a broken clock has put some of the
// observations too: it changes no answer before.
func (w *World) Far() []Said {
	id := w.number("far")
	return []Said{w.sayFact("deployment.started", "far", id, Farthest, object{
		"deployment_id": id, "service": w.services[0], "environment": environments[0], "version": "v-far"})}
}

// Correction is an incident of the hottest service that turns out to have been
// there since the world began: it corrects every row of the service in both
// environments.
func (w *World) Correction() (said []Said, id string) {
	id = w.number("correction")
	for _, environment := range environments {
		said = append(said, w.sayFact("incident.opened", "auditor", id+"/"+environment, w.Now(), object{
			"incident_id": id + "/" + environment, "service": w.services[0], "environment": environment,
			"severity": "critical", "started_at": clock(Start - 3_600_000)}))
	}
	return said, id
}

// Corrections are facts of two sources that correct the same interval.
func (w *World) Corrections() []Said {
	said, _ := w.Correction()
	id := w.number("also")
	return append(said, w.sayFact("service.declared", "other-catalog", id, Start-7_200_000, object{
		"service": w.services[0], "tier": id}))
}

// Retract unsays a Correction.
func (w *World) Retract(id string) (said []Said) {
	for _, environment := range environments {
		said = append(said, w.sayFact("fact.retracted", "auditor", id+"/"+environment+"/retracted", w.Now(),
			object{"retracts": object{"source": "auditor", "id": id + "/" + environment}, "reason": "there was none"}))
	}
	return said
}

// Redeployment is a deployment of the hottest service that nobody had told of,
// completed half way between the world's beginning and now: for some minutes
// rows belong to it that belonged to another.
func (w *World) Redeployment() []Said {
	id := w.number("redeployment")
	return []Said{w.sayFact("deployment.finished", "deployer", id, Start+(w.Now()-Start)/2, object{
		"deployment_id": id, "service": w.services[0], "environment": environments[0], "version": "v-" + id, "outcome": "success"})}
}

// Late is all facts that are held back.
func (w *World) Late() (said []Said) {
	for _, second := range slices.Sorted(maps.Keys(w.due)) {
		w.due[second] = slices.DeleteFunc(w.due[second], func(s Said) bool {
			if s.What == Fact {
				said = append(said, s)
			}
			return s.What == Fact
		})
	}
	return said
}

// number gives a kind of injected thing a name that none has had before.
func (w *World) number(kind string) string {
	w.injected++
	return fmt.Sprint(kind, "-", w.injected)
}

func (w *World) sayFact(typ, from, id string, at event.Millis, data object) Said {
	return w.say(Fact, event.TopicFor(event.Prefix+typ), factLine(typ, from, id, at, data), format(w.random))
}

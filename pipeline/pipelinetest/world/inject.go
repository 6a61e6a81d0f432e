package world

import (
	"fmt"
	"maps"
	"slices"
)

// What can be injected beside the story. Each says something in the next
// second, and returns a name for it.

// Burial is one record of every kind that becomes a dead letter.
func (w *World) Burial() {
	for i := range bads {
		w.due.put(w.second, w.sayBad(w.random, i))
	}
}

// Far is a fact of the year 2100, where a broken clock has put some of the
// observations too: it changes no answer before.
func (w *World) Far() {
	w.injected++
	id := fmt.Sprint("far-", w.injected)
	w.fact(w.random, 0, "deployment.started", "far", id, Farthest, object{
		"deployment_id": id, "service": w.services[0], "environment": environments[0], "version": "v-far"})
}

// Correction is an incident of the hottest service that turns out to have been
// there since the world began: it corrects every row of the service in both
// environments.
func (w *World) Correction() (id string) {
	w.injected++
	id = fmt.Sprint("correction-", w.injected)
	for _, environment := range environments {
		w.fact(w.random, 0, "incident.opened", "auditor", id+"/"+environment, w.Now(), object{
			"incident_id": id + "/" + environment, "service": w.services[0], "environment": environment,
			"severity": "critical", "started_at": clock(Start - 3_600_000)})
	}
	return id
}

// Corrections are two facts of two sources that correct the same interval.
func (w *World) Corrections() {
	w.Correction()
	w.injected++
	id := fmt.Sprint("also-", w.injected)
	w.fact(w.random, 0, "service.declared", "other-catalog", id, Start-7_200_000, object{
		"service": w.services[0], "tier": id})
}

// Retract unsays a Correction.
func (w *World) Retract(id string) {
	for _, environment := range environments {
		w.fact(w.random, 0, "fact.retracted", "auditor", id+"/"+environment+"/retracted", w.Now(),
			object{"retracts": object{"source": "auditor", "id": id + "/" + environment}, "reason": "there was none"})
	}
}

// Late says now what facts are held back, all at once.
func (w *World) Late() (facts int) {
	var now []Said
	for _, second := range slices.Sorted(maps.Keys(w.due)) {
		w.due[second] = slices.DeleteFunc(w.due[second], func(s Said) bool {
			if s.What == Fact {
				now = append(now, s)
			}
			return s.What == Fact
		})
	}
	w.due.put(w.second, now...)
	return len(now)
}

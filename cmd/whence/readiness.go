package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/whencehq/whence/pipeline/observe"
)

// readiness makes one answer of what the consumers of a worker wait for: it is
// ready when none waits.
type readiness struct {
	health *observe.Health
	first  func() // called when it is ready for the first time

	mu      sync.Mutex
	waiting map[string]string // role -> why
}

func newReadiness(health *observe.Health, first func()) *readiness {
	return &readiness{health: health, first: sync.OnceFunc(first), waiting: map[string]string{}}
}

// set says why a role takes no events; empty: it does.
func (r *readiness) set(role, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[role] = why; why == "" {
		delete(r.waiting, role)
	}
	for _, role := range slices.Sorted(maps.Keys(r.waiting)) {
		r.health.Waiting(fmt.Sprintf("%s: %s", role, r.waiting[role]))
		return
	}
	r.health.Ready()
	r.first()
}

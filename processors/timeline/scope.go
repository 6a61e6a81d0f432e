package timeline

import "sync/atomic"

// scope is what the facts say of one service in one environment alone. What
// holds for the service in every environment and in the environment for every
// service is with those, so that a catalog entry or a global flag costs one
// insertion and not one a scope.
type scope struct {
	service     *service
	environment *environment

	started    spans[*deployment] // [start, end)
	completed  spans[*deployment] // [completion, failure)
	versions   lineups
	instances  lineups
	incidents  spans[*incident]
	findings   spans[*finding]
	exceptions map[*finding]struct{} // what service.findings says of these does not hold here
	flags      flags
	owner      spans[*declaration]
	tier       spans[*declaration]

	boundaries moments
	generation uint64
	cache      atomic.Pointer[cache]

	partial bool // deployments were let go of
}

func (sc *scope) except(f *finding) {
	if sc.exceptions == nil {
		sc.exceptions = map[*finding]struct{}{}
	}
	sc.exceptions[f] = struct{}{}
}

// entities appends all that stands in an index of sc.
func (sc *scope) entities(found []entity) []entity {
	sc.started.all(func(d *deployment) { found = append(found, d) })
	sc.incidents.all(func(i *incident) { found = append(found, i) })
	sc.findings.all(func(f *finding) { found = append(found, f) })
	sc.owner.all(func(d *declaration) { found = append(found, d) })
	sc.tier.all(func(d *declaration) { found = append(found, d) })
	for _, changes := range sc.flags {
		changes.all(func(c *flagChange) { found = append(found, c) })
	}
	return found
}

package clickhouse

import (
	"context"
	"maps"
	"slices"
	"sort"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// catalog is what is declared of services: names, calls and repositories, all
// under canonical names but for the keys of environments.
type catalog struct {
	meanings     map[string]string              // alias → name, canonical names are not in it
	names        map[string][]string            // canonical name → the others for it
	calls        map[string]map[string][]string // environment ("": all) → caller → callees
	repositories map[string][]string            // repository, canonical → services
	callers      map[string]map[string][]string // calls, the other way round
	claims       claims
}

// canonical is what a service's name means (R5, R6).
func (c *catalog) canonical(name string) string {
	if meaning, alias := c.meanings[name]; alias {
		return meaning
	}
	return name
}

// distinct are the canonical names of services, sorted, each once, without the
// empty one.
func (c *catalog) distinct(names []string) []string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		if name != "" {
			all = append(all, c.canonical(name))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// stated are all names for canonical ones, themselves among them.
func (c *catalog) stated(names []string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, c.names[name]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// knowledge is the catalog and what was confirmed, read anew where they may
// have changed.
func (r *Situations) knowledge(ctx context.Context) (*catalog, []confirmation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var signs [2]uint64
	err := r.client.rows(ctx, tables.Knowledge, func(scan func(...any) error) error { return scan(&signs[0], &signs[1]) })
	if err != nil {
		return nil, nil, err
	}
	if r.catalog == nil || signs[0] != r.known[0] {
		if r.catalog, err = r.readCatalog(ctx); err != nil {
			r.catalog = nil
			return nil, nil, err
		}
		r.known = [2]uint64{signs[0]}
		r.history = nil
	}
	if r.history == nil || signs[1] != r.known[1] {
		if r.history, err = r.readHistory(ctx, r.catalog); err != nil {
			r.history = nil
			return nil, nil, err
		}
		r.known[1] = signs[1]
	}
	return r.catalog, r.history, nil
}

func (r *Situations) readCatalog(ctx context.Context) (*catalog, error) {
	said := map[string]string{}
	err := r.client.rows(ctx, tables.Aliases, func(scan func(...any) error) error {
		var alias, name string
		err := scan(&alias, &name)
		said[alias] = name
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &catalog{
		meanings: resolved(said), names: map[string][]string{}, repositories: map[string][]string{},
		calls: map[string]map[string][]string{}, callers: map[string]map[string][]string{},
	}
	for alias, name := range c.meanings {
		c.names[name] = append(c.names[name], alias)
	}
	if c.claims, err = r.readClaims(ctx); err != nil {
		return nil, err
	}
	return c, r.client.rows(ctx, tables.Declared, func(scan func(...any) error) error {
		var service, environment string
		var callees, repositories []string
		err := scan(&service, &environment, &callees, &repositories)
		service = c.canonical(service)
		for _, callee := range c.distinct(callees) {
			add(c.calls, environment, service, callee)
			add(c.callers, environment, callee, service)
		}
		for _, repository := range repositories {
			repository = c.claims.canonical(repository)
			c.repositories[repository] = append(c.repositories[repository], service)
		}
		return err
	})
}

func add(to map[string]map[string][]string, environment, from, name string) {
	if to[environment] == nil {
		to[environment] = map[string][]string{}
	}
	to[environment][from] = append(to[environment][from], name)
}

// resolved follows each alias to a name that means nothing else, or into a
// cycle and to its least name (R6).
func resolved(said map[string]string) map[string]string {
	meanings := make(map[string]string, len(said))
	for alias := range said {
		if name := meaning(said, alias); name != alias {
			meanings[alias] = name
		}
	}
	return meanings
}

func meaning(said map[string]string, name string) string {
	place, path := map[string]int{}, []string{}
	for {
		if from, again := place[name]; again {
			return slices.Min(path[from:])
		}
		place[name], path = len(path), append(path, name)
		next, more := said[name]
		if !more {
			return name
		}
		name = next
	}
}

// graphKey is what a graph is of.
type graphKey struct {
	environment string
	from, to    event.Millis // the first hour, and the last
}

// graph is the calls in an environment: declared, and measured in some hours.
type graph struct {
	catalog     *catalog
	environment string
	calls       map[string][]string // measured, under canonical names
	callers     map[string][]string
	reporters   map[[2]string][]string // edge → services as stated that speak of it
}

// surround finds the neighbourhood of an effect.
func (r *Situations) surround(ctx context.Context, s *EffectState, catalog *catalog, graphs map[graphKey]*graph) error {
	key := graphKey{environment: s.window.Environment}
	if s.window.From < s.window.To {
		key.from, key.to = tables.HourOf(s.window.From), tables.HourOf(s.window.To-1)
	}
	g := graphs[key]
	if g == nil {
		var err error
		if g, err = r.graph(ctx, s.window, catalog); err != nil {
			return err
		}
		graphs[key] = g
	}
	services := s.effect.Services
	if s.effect.Service != "" {
		services = append([]string{s.effect.Service}, services...)
	}
	s.neighbourhood = g.around(services)
	return nil
}

func (r *Situations) graph(ctx context.Context, w tables.Window, catalog *catalog) (*graph, error) {
	g := &graph{
		catalog: catalog, environment: w.Environment,
		calls: map[string][]string{}, callers: map[string][]string{}, reporters: map[[2]string][]string{},
	}
	if w.From == w.To {
		return g, nil
	}
	return g, r.client.rows(ctx, tables.Edges(w.Environment, w.From, w.To), func(scan func(...any) error) error {
		var caller, callee, reporter string
		err := scan(&caller, &callee, &reporter)
		edge := [2]string{catalog.canonical(caller), catalog.canonical(callee)}
		if len(g.reporters[edge]) == 0 {
			g.calls[edge[0]] = append(g.calls[edge[0]], edge[1])
			g.callers[edge[1]] = append(g.callers[edge[1]], edge[0])
		}
		g.reporters[edge] = append(g.reporters[edge], reporter)
		return err
	})
}

// next are the services that one calls, or is called by: sorted, each once.
func (g *graph) next(measured map[string][]string, declared map[string]map[string][]string, name string) []string {
	all := slices.Concat(measured[name], declared[""][name])
	if g.environment != "" {
		all = append(all, declared[g.environment][name]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// How far an effect's neighbourhood reaches.
const (
	calleesDeep   = 6
	callersDeep   = 2
	neighboursMax = 300
)

// neighbourhood is the services that an effect's can reach, and those that
// call them.
type neighbourhood struct {
	catalog   *catalog
	members   map[string]bool     // canonical
	declared  map[string][]string // calls among the members, as declared
	reporters []string            // as stated: whose measurements are read
	own       []string            // as stated: of the effect's services and those that they call
	hash      uint64
	graph     *graph
	services  []string // the effect's
}

// around goes from services along calls, breadth first, as far as there is
// room, and some steps to the callers. Of each step callees come first.
func (g *graph) around(services []string) *neighbourhood {
	n := &neighbourhood{graph: g, services: services, catalog: g.catalog, members: map[string]bool{}, declared: map[string][]string{}}
	own := n.admit(services)
	callees, callers := own, own
	for depth := range calleesDeep {
		callees = n.step(callees, func(name string) []string { return g.next(g.calls, g.catalog.calls, name) })
		if depth == 0 {
			n.own = n.catalog.stated(slices.Concat(own, callees))
		}
		if depth < callersDeep {
			callers = n.step(callers, func(name string) []string { return g.next(g.callers, g.catalog.callers, name) })
		}
	}
	n.look(g)
	return n
}

// step admits what is one step from some members, and returns the new ones.
func (n *neighbourhood) step(from []string, next func(string) []string) (reached []string) {
	for _, name := range from {
		reached = append(reached, n.admit(next(name))...)
	}
	return reached
}

func (n *neighbourhood) admit(names []string) (admitted []string) {
	for _, name := range names {
		if !n.members[name] && len(n.members) < neighboursMax {
			n.members[name] = true
			admitted = append(admitted, name)
		}
	}
	return admitted
}

// look notes the calls among the members, who reports them, and a digest of
// both.
func (n *neighbourhood) look(g *graph) {
	members := slices.Sorted(maps.Keys(n.members))
	n.reporters = n.catalog.stated(members)
	h := newHash()
	for _, name := range members {
		for _, callee := range g.calls[name] {
			if n.members[callee] {
				n.reporters = append(n.reporters, g.reporters[[2]string{name, callee}]...)
			}
		}
		calls := g.next(nil, g.catalog.calls, name)
		calls = slices.DeleteFunc(calls, func(callee string) bool { return !n.members[callee] })
		if len(calls) > 0 {
			n.declared[name] = calls
		}
		h.text(name)
		h.texts(calls)
	}
	slices.Sort(n.reporters)
	n.reporters = slices.Compact(n.reporters)
	h.texts(n.reporters)
	h.texts(n.own)
	n.hash = h.Sum64()
}

// furthest is over how many calls a change is looked for.
const furthest = 8

// ways are the calls beyond the neighbourhood, declared or measured, that lead
// from the effect's services to those that are named, by the fewest calls. All
// other calls out there change nothing, and would make a digest another one
// whatever is declared anywhere.
func (n *neighbourhood) ways(named []string) [][2]string {
	beyond := slices.DeleteFunc(slices.Clone(named), func(name string) bool { return n.members[name] || !n.graph.called(name) })
	if len(beyond) == 0 {
		return nil
	}
	from := n.tree()
	ways := map[[2]string]bool{}
	for _, name := range beyond {
		for caller := from[name]; caller != ""; name, caller = caller, from[caller] {
			if !n.members[caller] || !n.members[name] {
				ways[[2]string{caller, name}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(ways), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
}

// tree says of each service that can be reached which one calls it on the way;
// of the effect's own nothing does. Of several it is the least.
func (n *neighbourhood) tree() map[string]string {
	from, reached := map[string]string{}, slices.Clone(n.services)
	for _, name := range reached {
		from[name] = ""
	}
	for range furthest {
		slices.Sort(reached)
		var next []string
		for _, name := range reached {
			for _, callees := range n.calls(name) {
				for _, callee := range callees {
					if _, known := from[callee]; !known {
						from[callee] = name
						next = append(next, callee)
					}
				}
			}
		}
		reached = next
	}
	return from
}

// calls are those of a service, measured and declared.
func (n *neighbourhood) calls(name string) [3][]string {
	all := [3][]string{n.graph.calls[name], n.catalog.calls[""][name]}
	if n.graph.environment != "" {
		all[2] = n.catalog.calls[n.graph.environment][name]
	}
	return all
}

func (g *graph) called(name string) bool {
	return len(g.callers[name])+len(g.catalog.callers[""][name])+len(g.catalog.callers[g.environment][name]) > 0
}

// serviceOf is what a provider is called as a service; empty: nobody knows it as
// one.
func (n *neighbourhood) serviceOf(provider string) string {
	name, g := n.catalog.canonical(provider), n.graph
	calls := len(g.calls[name]) + len(n.catalog.calls[""][name]) + len(n.catalog.calls[g.environment][name])
	if name == provider && calls == 0 && !g.called(name) {
		return ""
	}
	return name
}

// dependsOn is the calls among the members, declared and measured, and the ways
// beyond.
func (n *neighbourhood) dependsOn(measurements []Measurement, ways [][2]string) map[string][]string {
	calls := make(map[string][]string, len(n.declared))
	for name, callees := range n.declared {
		calls[name] = slices.Clone(callees)
	}
	for _, way := range ways {
		calls[way[0]] = append(calls[way[0]], way[1])
	}
	seen := map[[2]string]bool{}
	for i := range measurements {
		edge := [2]string{measurements[i].Caller, measurements[i].Callee}
		if edge[0] != "" && edge[1] != "" && !seen[edge] {
			seen[edge] = true
			calls[edge[0]] = append(calls[edge[0]], edge[1])
		}
	}
	for name, callees := range calls {
		slices.Sort(callees)
		calls[name] = slices.Compact(callees)
	}
	return calls
}

// confirmation is one word about the cause of an incident.
type confirmation struct {
	incident    string
	at          event.Millis
	kind, cause string
	causes      []string // canonical services of the cause
	services    []string // and of the incident
}

// readHistory reads what was confirmed, in order of time. It is never nil.
func (r *Situations) readHistory(ctx context.Context, catalog *catalog) ([]confirmation, error) {
	history := []confirmation{}
	err := r.client.rows(ctx, tables.Confirmations, func(scan func(...any) error) error {
		var c confirmation
		var at int64
		err := scan(&c.incident, &at, &c.kind, &c.cause, &c.causes, &c.services)
		c.at, c.causes, c.services = event.Millis(at), catalog.distinct(c.causes), catalog.distinct(c.services)
		history = append(history, c)
		return err
	})
	return history, err
}

// before is what was confirmed before a time.
func before(history []confirmation, t event.Millis) []confirmation {
	return history[:sort.Search(len(history), func(i int) bool { return history[i].at >= t })]
}

// confirmedSince is when the first of these entities was confirmed to be a cause
// or to have one; event.Forever: none was. Records count from there on.
func confirmedSince(history []confirmation, entities []string) event.Millis {
	if len(history) == 0 || len(entities) == 0 {
		return event.Forever
	}
	named := make(map[string]bool, len(entities))
	for _, id := range entities {
		named[id] = true
	}
	for _, c := range history { // in order of time
		if named[c.incident] || named[c.cause] {
			return c.at
		}
	}
	return event.Forever
}

func hashOf(history []confirmation, t event.Millis) uint64 {
	h := newHash()
	for _, c := range before(history, t) {
		h.text(c.incident, c.kind, c.cause)
		h.texts(c.causes)
		h.texts(c.services)
	}
	return h.Sum64()
}

// record is how often each service was confirmed to be a cause before a time,
// and how often it had an incident of which something else was the cause. Of
// several words about an incident the last counts.
func record(history []confirmation, t event.Millis) (confirmed, refuted map[string]int) {
	last := map[string]confirmation{}
	for _, c := range before(history, t) {
		last[c.incident] = c
	}
	confirmed, refuted = map[string]int{}, map[string]int{}
	for _, c := range last {
		for _, service := range c.causes {
			confirmed[service]++
		}
		for _, service := range c.services {
			if !slices.Contains(c.causes, service) {
				refuted[service]++
			}
		}
	}
	return confirmed, refuted
}

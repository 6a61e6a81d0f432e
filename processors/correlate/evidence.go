package correlate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// hypothesis is one answer to what caused an effect, with what speaks for it.
type hypothesis struct {
	kind, id, service string
	pieces            []piece
}

// piece is a term without its weight. Words and SQL are made when somebody
// reads them: a fit reads thousands of values and no words.
type piece struct {
	name  string
	value float64
	words func() string
	sql   func() string
}

// say adds a piece of evidence, if there is any.
func (h *hypothesis) say(name string, value float64, words, sql func() string) {
	if value != 0 && !math.IsNaN(value) && !math.IsInf(value, 0) {
		h.pieces = append(h.pieces, piece{name, value, words, sql})
	}
}

// prior adds what is so of every hypothesis of a kind: a constant of the model.
func (h *hypothesis) prior(name, words string) {
	h.say(name, 1, func() string { return words }, func() string { return "" })
}

// step is a change of a service as its measurements can show it: the instances
// it brought, and when.
type step struct {
	service string
	began   event.Millis // before this it can't have done anything
	stages  []event.Millis
	added   map[string]event.Millis // instance to when it was added
	version string                  // of the new instances, its key; empty: not another than before
}

// isNew says whether a row is of an instance that the step brought.
func (s *step) isNew(m *Measurement) bool {
	if m.Service != s.service || m.Instance == "" {
		return false
	}
	_, is := s.added[m.Instance]
	return is || s.version != "" && m.Version == s.version
}

// nameless is the instance of a version in a source that names none.
func nameless(version string) string { return "version " + version }

// isOld leaves out what names neither an instance nor a version: it may be of
// either side.
func (s *step) isOld(m *Measurement) bool {
	return m.Service == s.service && m.Instance != "" && m.Instance != nameless("") && !s.isNew(m)
}

// tells is whether new instances can be told from old ones.
func (s *step) tells() bool { return len(s.added) > 0 || s.version != "" }

// last is the last stage not after a time, or the first of all.
func (s *step) last(t event.Millis) event.Millis {
	at := s.began
	for _, stage := range s.stages {
		if stage <= t {
			at = max(at, stage)
		}
	}
	return at
}

func stepOf(c *Candidate) *step {
	s := &step{service: c.Service, began: c.Began, added: map[string]event.Millis{}}
	if c.versionKey() != event.VersionKey(c.PreviousVersion) {
		s.version = c.versionKey()
	}
	first := event.Millis(math.MaxInt64)
	for _, stage := range c.Stages {
		if stage.Percent > 0 || len(stage.Added) > 0 {
			first = min(first, stage.At)
			s.stages = append(s.stages, stage.At)
		}
		for _, instance := range stage.Added {
			if at, known := s.added[instance]; !known || stage.At < at {
				s.added[instance] = stage.At
			}
		}
	}
	if first != math.MaxInt64 {
		s.began = first
	}
	return s
}

// evidence makes all hypotheses of a situation, None among them.
func (g *signals) evidence() []hypothesis {
	far := g.distances()
	hypotheses := make([]hypothesis, 0, len(g.Candidates)+2)
	for i := range g.Candidates {
		hypotheses = append(hypotheses, g.candidate(&g.Candidates[i], far))
	}
	undeclared := g.undeclared()
	for i := range undeclared {
		hypotheses = append(hypotheses, g.unannounced(&undeclared[i], far))
	}
	return append(hypotheses, g.none(undeclared))
}

func (g *signals) candidate(c *Candidate, far map[string]int) hypothesis {
	h := hypothesis{kind: c.Kind, id: c.ID, service: c.Service}
	blamed := g.blamed(c)
	switch {
	case blamed:
		h.prior("blamed."+c.Kind, "what the "+g.Effect.Kind+" names")
	case g.Effect.Kind == Finding:
		h.prior("unrelated", "nothing says that it brought this")
	case len(g.Measurements) == 0:
		h.prior("unseen."+c.Kind, article(c.Kind)+" near the onset, of which nothing was measured")
	default:
		h.prior("kind."+c.Kind, article(c.Kind)+" near the onset")
	}
	g.history(&h, c)
	if g.Effect.Kind == Finding {
		return h // of what was introduced, the traffic knows nothing
	}
	services := touched(c)
	s := stepOf(c)
	s.service = g.worst(services, far)
	g.path(&h, services, far)
	g.traffic(&h, s)
	return h
}

// blamed is whether the effect itself names the change, or what it carries.
func (g *signals) blamed(c *Candidate) bool { return carries(c, g.introduced()) }

// introduced is the revision that brought what the effect names: a finding's, or
// that of the finding which a breach used.
func (g *signals) introduced() string { return or(g.Effect.Revision, g.Effect.Introduced) }

// touched are the services that a change touches, as far as it says.
func touched(c *Candidate) []string {
	services := append([]string{c.Service}, c.Services...)
	slices.Sort(services)
	return slices.DeleteFunc(slices.Compact(services), func(s string) bool { return s == "" })
}

// worst is the service that is most surely at fault itself, of equals the one
// nearest to the effect; empty: of none.
func (g *signals) worst(services []string, far map[string]int) string {
	hops := func(s string) int {
		if n, known := far[s]; known {
			return n
		}
		return math.MaxInt
	}
	worst := ""
	for _, s := range services {
		if worst == "" || g.own(s) > g.own(worst) || g.own(s) == g.own(worst) && hops(s) < hops(worst) {
			worst = s
		}
	}
	return worst
}

// history is what is known of a change without looking at any traffic.
func (g *signals) history(h *hypothesis, c *Candidate) {
	if g.blamed(c) {
		h.say("introduced", 1,
			func() string {
				return fmt.Sprintf("it carries %s, which the %s names", g.introduced(), g.Effect.Kind)
			},
			func() string { return g.sqlCarries(c) })
	}
	if c.Outcome == "failure" || c.Outcome == "rolled_back" || c.Outcome == "cancelled" {
		h.say("given_up", 1, func() string { return "whoever deployed it gave it up: " + c.Outcome },
			func() string { return g.sqlOutcome(c) })
	}
	if c.RollbackOf != "" {
		h.say("rollback", 1, func() string { return "it takes back " + c.RollbackOf }, func() string { return g.sqlRollback(c) })
	}
	if c.Confirmed > 0 {
		h.say("recurs", float64(c.Confirmed)/float64(c.Confirmed+c.Refuted+2),
			func() string {
				return fmt.Sprintf("changes of %s were confirmed %d times before, others %d times", or(c.Service, "its services"), c.Confirmed, c.Refuted)
			},
			func() string { return g.sqlRecurs(c) })
	}
	last := stepOf(c).last(g.Effect.Onset + minute)
	if g.Effect.Kind != Finding {
		minutes := max(0, float64(g.Effect.Onset-last)/minute)
		h.say("age", min(1, math.Log10(1+minutes)/3),
			func() string {
				return fmt.Sprintf("its last step before the onset was %s earlier", pause(g.Effect.Onset-last))
			},
			func() string { return g.sqlAge(c, last) })
	}
	if c.Size > 0 {
		h.say("size", min(1, math.Log10(1+c.Size)/4), func() string { return fmt.Sprintf("it changes %.0f lines", c.Size) },
			func() string { return g.sqlSize(c) })
	}
}

func carries(c *Candidate, what string) bool {
	return what != "" && (c.ID == what || slices.Contains(c.Revisions, what) || slices.Contains(c.Changes, what))
}

// path is how far the changed service is from where the effect shows.
func (g *signals) path(h *hypothesis, services []string, far map[string]int) {
	nearest, reached := math.MaxInt, false
	for _, s := range services {
		if hops, known := far[s]; known {
			nearest, reached = min(nearest, hops), true
		}
	}
	switch {
	case len(services) == 0:
	case !reached:
		h.say("unreachable", 1, func() string { return g.where() + " does not call it, nor anything that does" },
			func() string { return g.sqlReach(services, "toFloat64(count() = 0)") })
	case nearest > 0:
		h.say("distance", min(1, float64(nearest)/4), func() string { return fmt.Sprintf("%s away from %s", calls(nearest), g.where()) },
			func() string { return g.sqlReach(services, "least(1, min(hops) / 4)") })
	}
}

// where is where the effect shows, in words.
func (g *signals) where() string {
	if services := g.affected(); g.Effect.Service == "" && len(services) > 0 {
		return strings.Join(services, ", ")
	}
	return or(g.Effect.Service, "no service that the "+g.Effect.Kind+" names")
}

// traffic is what the measurements say of a step.
func (g *signals) traffic(h *hypothesis, s *step) {
	if s.service == "" {
		g.lag(h, s)
		return
	}
	own := g.own(s.service)
	worst, in := g.into(s.service)
	h.say("own", own, func() string {
		return fmt.Sprintf("calls from %s fail: %s more than before, and what it calls does not explain it", or(worst.Caller, "outside"), percent(in.Size))
	}, func() string { return g.sqlTrouble("max(own)", "service = "+quote(s.service)) })
	caller, theirs := g.worstCaller(s.service)
	h.say("upstream", theirs*(1-own), func() string {
		return fmt.Sprintf("%s, which calls it, fails for no other visible reason", caller)
	}, func() string {
		return g.sqlTrouble(fmt.Sprintf("maxIf(own, service IN (%s)) * (1 - maxIf(own, service = %s))",
			quotes(g.callers[s.service]), quote(s.service)), "1")
	})
	g.sides(h, s)
	g.lag(h, s)
}

// sides compares new instances with old ones, while both run.
func (g *signals) sides(h *hypothesis, s *step) {
	if !s.tells() {
		return
	}
	rows := g.byService[s.service]
	worse, clean, old := g.compare(rows, s)
	alike := saturate(old.Size, evident)
	h.say("side", worse.sure()*(1-alike), func() string {
		return fmt.Sprintf("its new instances fail in %s of calls, the old ones in %s", percent(worse.During), percent(worse.Before))
	}, func() string { return g.sqlSide(s) })
	h.say("clean", clean, func() string {
		return fmt.Sprintf("its new instances report, and are well: %s sure", percent(clean))
	}, func() string { return g.sqlClean(s) })
	h.say("alike", alike, func() string {
		return fmt.Sprintf("its old instances fail too: %s more than before", percent(old.Size))
	}, func() string { return g.sqlAlike(s) })
	for _, figure := range figures {
		n, o := g.mean(s.service, g.during, g.warm(s), figure.of), g.mean(s.service, g.during, s.isOld, figure.of)
		h.say(figure.name, min(1, max(0, (math.Log2(n/o)-1)/2)), func() string {
			return fmt.Sprintf("%s of new instances is %.1f times that of old ones", figure.title, n/o)
		}, func() string { return g.sqlFigure(s, figure) })
	}
	g.silence(h, s)
	g.idle(h, s)
}

// idle is whether the new instances are there and the caller that fails asks
// them nothing: then they can't be what it fails of.
func (g *signals) idle(h *hypothesis, s *step) {
	caller, own := g.worstCaller(s.service)
	if own < plain {
		return
	}
	there := map[event.Millis]bool{}
	for _, i := range g.byService[s.service] {
		m := &g.Measurements[i]
		if m.Caller != caller || m.Callee != s.service || !g.during.has(m.At) || !s.isNew(m) {
			continue
		}
		if _, _, ok := m.shortfall(); ok {
			return
		}
		there[minuteOf(m.At)] = true
	}
	n := float64(len(there))
	h.say("idle", n/(n+1), func() string { return fmt.Sprintf("%s, which fails, has not called its new instances", caller) },
		func() string { return g.sqlIdle(s, caller) })
}

// warm says whether a row is of a new instance that has reported before: the
// first minute of one is slow, and means nothing.
func (g *signals) warm(s *step) func(*Measurement) bool {
	return func(m *Measurement) bool {
		return s.isNew(m) && m.At > g.first[[2]string{m.Service, m.Instance}]+minute/2
	}
}

type figure struct {
	name, title, column string
	of                  func(*Measurement) float64
}

var figures = []figure{
	{"latency", "the latency", "latency_ms", func(m *Measurement) float64 { return m.Latency }},
	{"cpu", "the processor load", "cpu_ratio", func(m *Measurement) float64 { return m.CPU }},
}

// compare looks at each edge of the service's instances: how much worse the new
// ones are than the old ones, how surely the new ones are well, and how much
// worse the old ones are than before.
func (g *signals) compare(rows []int, s *step) (worse drop, clean float64, old drop) {
	edges := map[edge][]int{}
	minutes := map[event.Millis]bool{}
	for _, i := range rows {
		m := &g.Measurements[i]
		edges[m.edge()] = append(edges[m.edge()], i)
		if _, _, ok := m.shortfall(); ok && s.isNew(m) && g.during.has(m.At) {
			minutes[minuteOf(m.At)] = true
		}
	}
	var worstNew float64
	for _, e := range slices.SortedFunc(maps.Keys(edges), edge.compare) {
		rows := edges[e]
		n, o := g.failed(rows, g.during, s.isNew), g.failed(rows, g.during, s.isOld)
		b := g.failed(rows, g.before, nil)
		if d := (drop{o, n, max(0, n-o), g.trust(rows, g.during, s.isNew)}); d.sure() > worse.sure() {
			worse = d
		}
		worstNew = max(worstNew, grown(b, n))
		if d := grown(b, o); d > old.Size && e.Callee == s.service {
			old = drop{Before: b, During: o, Size: d}
		}
	}
	n := float64(len(minutes))
	return worse, (1 - saturate(worstNew, evident)) * n / (n + 1), old
}

// silence is the share of new instances that have never reported, weighed by
// how many scrapes have missed them: the first may be too early. Where no
// instance of the service reports regularly it means nothing: few call it, or
// nobody measures instances.
func (g *signals) silence(h *hypothesis, s *step) {
	if !slices.ContainsFunc(g.instances[s.service], func(in instance) bool { return in.rows >= regular }) {
		return
	}
	var silent float64
	missed := 0
	reported := func(instance string) bool {
		_, is := g.first[[2]string{s.service, instance}]
		return is
	}
	if reported(nameless(s.version)) {
		return // who reports names versions only
	}
	for _, instance := range sortedKeys(s.added) {
		if n := g.scrapesAfter(s.added[instance]); n > 1 && !reported(instance) {
			silent += unlikely(n)
			missed = max(missed, n)
		}
	}
	h.say("silent", silent/float64(max(1, len(s.added))), func() string {
		return fmt.Sprintf("new instances have never reported, in %d scrapes", missed)
	}, func() string { return g.sqlSilent(s) })
}

// unlikely is how surely something is gone that n scrapes have missed.
func unlikely(n int) float64 { return 1 - math.Pow(3, float64(1-n)) }

// lag compares when the trouble began to show with when the change did
// something. What a change is said to do may be said some seconds after it.
func (g *signals) lag(h *hypothesis, s *step) {
	sign, e := g.sign(s)
	if late := s.began - sign; late > notYet/2 {
		name := "too_late"
		if h.kind == Undeclared {
			name = "seen_late" // it is seen a scrape after it is so
		}
		h.say(name, min(1, float64(late)/minute), func() string { return fmt.Sprintf("the trouble began %s before it", pause(late)) },
			func() string { return g.sqlTooLate(s, e) })
		return
	}
	stage := s.last(sign)
	seconds := max(0, float64(sign-stage)/1000)
	h.say("lag", 1/(1+math.Pow(seconds/90, 2)), func() string {
		return fmt.Sprintf("the trouble shows %s after its last step", pause(sign-stage))
	}, func() string { return g.sqlLag(stage, e) })
}

// plain is how sure a fault has to be for its time to be that of the trouble.
const plain = 0.3

// sign is when the trouble that a step may have caused began to show, and on
// which edge; on none, it is the onset as stated.
func (g *signals) sign(s *step) (event.Millis, *edge) {
	if s.service != "" {
		if e, d := g.into(s.service); d.sure() >= plain {
			if t := g.firstSign(e); t != 0 {
				return t, &e
			}
		}
		if caller, own := g.worstCaller(s.service); own >= plain {
			e, _ := g.into(caller)
			if t := g.firstSign(e); t != 0 {
				return t, &e
			}
		}
	}
	return g.Effect.Onset, nil
}

// unannouncedStep is an undeclared change of a service, as its instances show.
type unannouncedStep struct {
	step
	fresh    bool // there are instances that nobody announced
	label    bool // they state another version than was there before
	vanished float64
	gone     []string
}

// undeclared finds services with new instances, or fewer, that no deployment
// announced.
func (g *signals) undeclared() []unannouncedStep {
	announced := map[string][]*Candidate{}
	for i := range g.Candidates {
		if c := &g.Candidates[i]; c.Kind == Deployment {
			announced[c.Service] = append(announced[c.Service], c)
		}
	}
	var found []unannouncedStep
	for _, service := range sortedKeys(g.instances) {
		if service == "" {
			continue // nobody knows whose instances these are
		}
		if u, is := g.undeclaredAt(service, announced[service]); is {
			found = append(found, u)
		}
	}
	return found
}

const (
	newborn = 15 * 60_000 // an instance is new that was first seen so long before the onset
	atStart = 3 * 60_000  // what is seen so early in the window was there before it
	regular = 5           // rows of an instance that would be missed
)

func (g *signals) undeclaredAt(service string, announced []*Candidate) (unannouncedStep, bool) {
	u := unannouncedStep{step: step{service: service, began: math.MaxInt64, added: map[string]event.Millis{}}}
	known := map[string]bool{} // instances that a deployment speaks of
	unnamed := false
	for _, c := range announced {
		named := false
		for _, stage := range c.Stages {
			for _, instance := range slices.Concat(stage.Added, stage.Removed) {
				known[instance], named = true, true
			}
		}
		if version := stepOf(c).version; !named && !slices.ContainsFunc(g.instances[service], func(in instance) bool {
			_, states := in.versions[version]
			return version != "" && states
		}) {
			return u, false // it doesn't say which, or not as they do: so they may all be its own
		}
		unnamed = unnamed || !named
	}
	labels := map[string]bool{}
	for _, in := range g.instances[service] {
		if in.first < g.From+atStart {
			labels[in.version] = true
		}
	}
	g.relabelled(&u, announced, labels)
	for _, in := range g.instances[service] {
		if in.name == nameless("") || known[in.name] || slices.ContainsFunc(announced, func(c *Candidate) bool {
			return in.version != "" && in.version == stepOf(c).version
		}) {
			continue
		}
		switch {
		case unnamed && (in.version == "" || labels[in.version]): // it may be one of those, or another of the old ones
		case in.first >= g.From+atStart && in.first >= g.Effect.Onset-newborn:
			u.fresh = true
			u.label = u.label || !labels[in.version]
			u.added[in.name] = in.first - minute
			u.began = min(u.began, in.first-minute)
			u.stages = append(u.stages, in.first-minute)
		case unnamed: // or go for one of those
		case in.rows >= regular && in.last >= g.Effect.Onset-newborn && g.scrapesAfter(in.last) > 1:
			u.gone = append(u.gone, in.name)
			u.vanished = max(u.vanished, unlikely(g.scrapesAfter(in.last)))
			u.began = min(u.began, in.last)
			u.stages = append(u.stages, in.last)
		}
	}
	return u, u.fresh || len(u.gone) > 0
}

// relabelled finds instances that go on under a version that was not there
// before, as those of a machine or of a stateful set do.
func (g *signals) relabelled(u *unannouncedStep, announced []*Candidate, labels map[string]bool) {
	for _, in := range g.instances[u.service] {
		for _, version := range sortedKeys(in.versions) {
			first := in.versions[version]
			if version == "" || labels[version] || in.first >= g.From+atStart || first < max(g.From+atStart, g.Effect.Onset-newborn) ||
				slices.ContainsFunc(announced, func(c *Candidate) bool { return version == c.versionKey() }) {
				continue
			}
			u.fresh, u.label, u.version = true, true, version
			u.began = min(u.began, first-minute)
			u.stages = append(u.stages, first-minute)
		}
	}
}

func (g *signals) unannounced(u *unannouncedStep, far map[string]int) hypothesis {
	h := hypothesis{kind: Undeclared, id: u.service, service: u.service}
	h.prior("kind.undeclared", "its instances changed, and nothing announced it")
	if u.label {
		h.say("label", 1, func() string { return "new instances state a version that was not there before" },
			func() string { return g.sqlLabel(u) })
	}
	h.say("vanished", u.vanished, func() string {
		return some(u.gone) + " no longer reports"
	}, func() string { return g.sqlVanished(u) })
	g.path(&h, []string{u.service}, far)
	g.traffic(&h, &u.step)
	return h
}

// none is the hypothesis that no known change is to blame.
func (g *signals) none(undeclared []unannouncedStep) hypothesis {
	h := hypothesis{kind: None}
	h.prior("kind.none", "most of what goes wrong has some other reason")
	if g.Effect.Kind == Finding {
		return h
	}
	suspects := map[string]bool{}
	for i := range g.Candidates {
		suspects[g.Candidates[i].Service] = true
		for _, s := range g.Candidates[i].Services {
			suspects[s] = true
		}
	}
	delete(suspects, "") // of no service in particular
	for i := range undeclared {
		suspects[undeclared[i].service] = true
	}
	var moved, elsewhere float64
	var where string
	for s := range suspects {
		_, theirs := g.worstCaller(s)
		moved = max(moved, g.own(s), theirs)
	}
	for _, s := range g.services() {
		own := g.own(s)
		if own > elsewhere && !suspects[s] && !slices.ContainsFunc(g.calls[s], func(callee string) bool { return suspects[callee] }) {
			elsewhere, where = own, s
		}
	}
	if len(g.Measurements) > 0 {
		h.say("unmoved", 1-moved, func() string { return "nothing that was measured has moved where anything changed" },
			func() string { return g.sqlUnmoved(suspects) })
	} else {
		h.prior("blind", "nothing was measured")
	}
	h.say("elsewhere", elsewhere, func() string {
		return fmt.Sprintf("%s itself fails, and nothing changed there, nor in what it calls", where)
	},
		func() string { return g.sqlTrouble("max(own)", "service = "+quote(where)) })
	g.load(&h)
	g.weekly(&h)
	g.thin(&h)
	return h
}

// services are those that calls were measured into.
func (g *signals) services() []string {
	set := map[string]bool{}
	for _, e := range g.edges {
		set[e.Callee] = true
	}
	return sortedKeys(set)
}

// load is how much harder instances work that were there before.
func (g *signals) load(h *hypothesis) {
	var before, during, n, k float64
	for _, service := range sortedKeys(g.byService) { // sums of floats depend on their order
		for _, i := range g.byService[service] {
			m := &g.Measurements[i]
			if !(m.CPU > 0) || !g.old(m) {
				continue
			}
			if g.before.has(m.At) {
				before, n = before+m.CPU, n+1
			} else if g.during.has(m.At) {
				during, k = during+m.CPU, k+1
			}
		}
	}
	ratio := during / k / (before / n)
	h.say("load", min(1, max(0, math.Log2(ratio))), func() string {
		return fmt.Sprintf("instances that were there before work %.2f times as hard", ratio)
	}, g.sqlLoad)
}

// old is whether the row is of an instance that was there from the beginning.
func (g *signals) old(m *Measurement) bool {
	return g.first[[2]string{m.Service, m.Instance}] < g.From+atStart
}

// weekly is how much of the trouble was there a week earlier too.
func (g *signals) weekly(h *hypothesis) {
	if len(g.WeekBefore) == 0 {
		return
	}
	var worst edge
	var now float64
	for _, s := range g.affected() {
		if e, d := g.into(s); d.Size > now {
			worst, now = e, d.Size
		}
	}
	if now == 0 {
		return
	}
	effect := g.Effect
	effect.Onset -= week
	earlier := newSignals(&Situation{Effect: effect, Measurements: g.WeekBefore, From: g.From - week, To: g.To - week})
	then := earlier.drop(worst).Size
	h.say("weekly", min(1, then/now), func() string { return "the same was seen at the same hour a week earlier" },
		func() string { return g.sqlWeekly(worst, now) })
}

// thin is how little the effect's service is asked, where that is counted: few
// calls fail by chance.
func (g *signals) thin(h *hypothesis) {
	var calls, minutes float64
	seen := map[event.Millis]bool{}
	for _, e := range g.edges {
		if e.Callee != g.Effect.Service {
			continue
		}
		for _, i := range g.byEdge[e] {
			if m := &g.Measurements[i]; m.Requests > 0 && g.during.has(m.At) {
				calls += m.Requests
				seen[minuteOf(m.At)] = true
			}
		}
	}
	if minutes = float64(len(seen)); minutes > 0 {
		h.say("thin", 1/(1+calls/minutes/10), func() string { return fmt.Sprintf("only %.1f calls a minute", calls/minutes) }, g.sqlThin)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// some names the first of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func article(kind string) string {
	if kind != "" && strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + or(kind, "cause of no kind")
}

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// pause is a span of time in words.
func pause(ms event.Millis) string {
	s := float64(max(0, ms)) / 1000
	switch {
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.0f h", s/3600)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}

func calls(n int) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}

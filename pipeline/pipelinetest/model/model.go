package model

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"sort"

	"github.com/whencehq/whence/schemas/event"
)

// Model is what a set of facts says.
type Model struct {
	facts []event.Fact      // R1 to R3 done, in the order R2
	means map[string]string // R5
	repos map[string]string // the same of repositories
}

// New makes the model of the facts that were stated, in any order, repetitions
// among them.
func New(stated []event.Fact) Model {
	// R1
	type identity struct{ source, id, typ string }
	winners := map[identity]event.Fact{}
	for _, f := range stated {
		k := identity{f.Source, f.ID, f.Type}
		if w, ok := winners[k]; !ok || f.Hash > w.Hash {
			winners[k] = f
		}
	}
	// R2
	var facts []event.Fact
	for _, f := range winners {
		facts = append(facts, f)
	}
	slices.SortFunc(facts, order)
	// R3
	var retractions []*event.Retraction
	named := func(f event.Fact) bool {
		return slices.ContainsFunc(retractions, func(r *event.Retraction) bool { return r.Source == f.Source && r.ID == f.ID })
	}
	for i := len(facts) - 1; i >= 0; i-- {
		if r, ok := facts[i].Payload.(*event.Retraction); ok && !named(facts[i]) {
			retractions = append(retractions, r)
		}
	}
	var left []event.Fact
	for _, f := range facts {
		if !named(f) {
			left = append(left, f)
		}
	}
	return Model{saidByScans(left), meanings(left, "service"), meanings(left, "repository")}
}

// saidByScans is R30 and R31: what scans say, said as if by facts of the
// findings.
func saidByScans(facts []event.Fact) []event.Fact {
	type scan struct{ tool, target, id string }
	parts := map[scan][]event.Fact{}
	var all []event.Fact
	for _, f := range facts {
		s, ok := f.Payload.(*event.Scan)
		if !ok {
			all = append(all, f)
			continue
		}
		k := scan{s.Tool, s.Target, s.ScanID}
		parts[k] = append(parts[k], f)
		for i := range s.Findings {
			said := f
			said.Payload = &s.Findings[i]
			all = append(all, said)
		}
	}
	lists := func(parts []event.Fact, id string) bool {
		return slices.ContainsFunc(parts, func(f event.Fact) bool {
			return slices.ContainsFunc(f.Payload.(*event.Scan).Findings, func(d event.Finding) bool { return d.FindingID == id })
		})
	}
	for k, listing := range parts {
		for _, f := range listing {
			for _, d := range f.Payload.(*event.Scan).Findings {
				var gone *event.Fact
				for other, without := range parts {
					at, whole := wholeAt(without)
					if other.tool == k.tool && other.target == k.target && whole && at > f.Time && !lists(without, d.FindingID) &&
						(gone == nil || at < gone.Time) {
						gone = &event.Fact{}
						gone.Time = at
						gone.Payload = &event.Finding{Stage: event.FindingRemediated, FindingID: d.FindingID}
					}
				}
				if gone != nil {
					all = append(all, *gone)
				}
			}
		}
	}
	slices.SortStableFunc(all, order)
	return all
}

// wholeAt is when a scan is over, and whether all of it is known.
func wholeAt(parts []event.Fact) (at event.Millis, whole bool) {
	most, known := 0, map[int]bool{}
	for _, f := range parts {
		s := f.Payload.(*event.Scan)
		if s.Partial {
			return 0, false
		}
		at, most = max(at, f.Time), max(most, s.Parts)
		known[s.Part] = true
	}
	for n := 1; n <= most; n++ {
		if !known[n] {
			return 0, false
		}
	}
	return at, most > 0
}

func order(a, b event.Fact) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Source, b.Source),
		cmp.Compare(a.ID, b.ID), cmp.Compare(a.Hash, b.Hash), cmp.Compare(a.Type, b.Type))
}

// meanings is R5.
func meanings(facts []event.Fact, kind string) map[string]string {
	means := map[string]string{}
	say := func(alias, canonical string) {
		if alias != "" && canonical != "" && alias != canonical {
			means[alias] = canonical
		}
	}
	for _, f := range facts {
		switch p := f.Payload.(type) {
		case *event.Declaration:
			for _, a := range p.Aliases {
				if kind == "service" {
					say(a, p.Service)
				}
			}
		case *event.Identity:
			if p.Kind == kind {
				say(p.Alias, p.Canonical)
			}
		}
	}
	return means
}

// canonical is R6.
func (m Model) canonical(name string) string { return resolve(m.means, name) }

func resolve(means map[string]string, name string) string {
	var path []string
	for {
		if at := slices.Index(path, name); at >= 0 {
			return slices.Min(path[at:])
		}
		path = append(path, name)
		next, ok := means[name]
		if !ok {
			return name
		}
		name = next
	}
}

func (m Model) same(stated, service string) bool {
	return stated != "" && m.canonical(stated) == service
}

// A rollout is a deployment as R8 to R12 see it.
type rollout struct {
	id, service, environment, version, previous string
	revisions, instances                        []string
	spelled                                     string   // the version, in whatever spelling (R13)
	changes                                     []string // R17
	start                                       event.Fact
	completed                                   *event.Fact
	ends, failures                              []event.Millis
	facts                                       []event.Fact
}

func (r rollout) failedBy(t event.Millis) bool { return atOrBefore(r.failures, t) }
func (r rollout) endedBy(t event.Millis) bool  { return atOrBefore(r.ends, t) }

func atOrBefore(times []event.Millis, t event.Millis) bool {
	return slices.ContainsFunc(times, func(u event.Millis) bool { return u <= t })
}

func (m Model) rollouts(service, environment string) []rollout {
	byID := map[string][]event.Fact{}
	for _, f := range m.facts {
		if d, ok := f.Payload.(*event.Deployment); ok {
			byID[d.DeploymentID] = append(byID[d.DeploymentID], f)
		}
	}
	var found []rollout
	for id, facts := range byID {
		r := m.rollout(id, facts)
		if m.same(r.service, service) && r.environment == environment {
			r.spelled, r.changes = plain(r.version), m.changes(r.revisions)
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b rollout) int { return order(a.start, b.start) })
	return found
}

func (m Model) rollout(id string, facts []event.Fact) rollout {
	r := rollout{id: id, start: facts[0], facts: facts}
	for i, f := range facts {
		d := f.Payload.(*event.Deployment)
		r.revisions = append(r.revisions, d.Revisions...)
		r.instances = append(r.instances, d.InstancesAdded...)
		finished := d.Stage == event.Finished
		if finished {
			r.ends = append(r.ends, f.Time)
		}
		if finished && (d.Outcome == "failure" || d.Outcome == "cancelled" || d.Outcome == "rolled_back") {
			r.failures = append(r.failures, f.Time)
		}
		if r.completed == nil && (finished && d.Outcome == "success" || d.Percent >= 100) {
			r.completed = &facts[i]
		}
	}
	byStage := slices.Clone(facts)
	sort.SliceStable(byStage, func(i, j int) bool {
		return byStage[i].Payload.(*event.Deployment).Stage < byStage[j].Payload.(*event.Deployment).Stage
	})
	for _, f := range byStage {
		d := f.Payload.(*event.Deployment)
		r.service = cmp.Or(d.Service, r.service)
		r.environment = cmp.Or(d.Environment, r.environment)
		r.version = cmp.Or(d.Version, r.version)
		r.previous = cmp.Or(d.PreviousVersion, r.previous)
	}
	return r
}

// completedLast is R15.
func completedLast(all []rollout, t event.Millis) *rollout {
	var best *rollout
	for i, r := range all {
		if r.completed == nil || r.completed.Time > t || r.failedBy(t) {
			continue
		}
		if best == nil || order(*best.completed, *r.completed) < 0 {
			best = &all[i]
		}
	}
	return best
}

func latestStarted(all []rollout, t event.Millis, which func(rollout) bool) *rollout {
	var best *rollout
	for i, r := range all { // in the order of their starts
		if r.start.Time <= t && !r.failedBy(t) && which(r) {
			best = &all[i]
		}
	}
	return best
}

// The spellings of R13.
var (
	tagged    = regexp.MustCompile(`^(?:sha|git)-([0-9a-f]{7})(?:[0-9a-f]{0,5}|[0-9a-f]{33}|[0-9a-f]{57})$`)
	withV     = regexp.MustCompile(`^[vV]([0-9])`)
	whole     = regexp.MustCompile(`^([0-9a-f]{7})([0-9a-f]{33}|[0-9a-f]{57})$`)
	shortened = regexp.MustCompile(`^[0-9]{0,6}[a-f][0-9a-f]+$`)
)

func plain(version string) string {
	if parts := tagged.FindStringSubmatch(version); parts != nil {
		return parts[1]
	}
	version = withV.ReplaceAllString(version, "$1")
	if n := len(version); whole.MatchString(version) || shortened.MatchString(version) && 8 <= n && n <= 12 {
		return version[:7]
	}
	return version
}

// place is a service in an environment, and what of it does not depend on when.
type place struct {
	Model
	service, environment string
	rollouts             []rollout
	incidents            map[string][]event.Fact
	findings             []finding
	flags, declarations  []event.Fact
}

// at is the place of a service, canonical, in an environment.
func (m Model) at(service, environment string) place {
	all := m.rollouts(service, environment)
	return place{
		m, service, environment, all, m.incidents(service, environment), m.findings(service, environment, all),
		m.flags(service, environment), m.declarations(service, environment),
	}
}

// Answer is R5 to R31 but for the revision.
func (m Model) Answer(o event.Observation) event.Enrichment {
	return m.at(m.canonical(o.Service), o.Environment).answer(o)
}

func (p place) answer(o event.Observation) event.Enrichment {
	t := o.Time
	out := event.Enrichment{CanonicalService: p.service, DeploymentAgeMS: event.NoAge}
	belongs(&out, p.rollouts, o)
	for _, r := range p.rollouts {
		if r.start.Time > t || r.endedBy(t) {
			continue
		}
		out.RolloutIDs = append(out.RolloutIDs, r.id)
		out.RolloutPercent = 0
		for _, f := range r.facts {
			if percent := f.Payload.(*event.Deployment).Percent; f.Time <= t && !math.IsNaN(percent) {
				out.RolloutPercent = percent
			}
		}
	}
	out.Flags = rules(p.flags, t)
	out.IncidentIDs, out.IncidentSeverity = openIncidents(p.incidents, t)
	out.FindingIDs = openFindings(p.findings, t)
	out.Owner = declared(p.declarations, t, func(d *event.Declaration) string { return d.Owner })
	out.Tier = declared(p.declarations, t, func(d *event.Declaration) string { return d.Tier })
	if o.Experiment != "" {
		out.Experiments = []event.Pair{{Key: o.Experiment, Value: o.Variant}}
	}
	return out
}

// belongs is R13 to R17.
func belongs(out *event.Enrichment, all []rollout, o event.Observation) {
	var r *rollout
	switch {
	case o.Version != "":
		out.DeployedVersion = o.Version
		said := plain(o.Version)
		r = latestStarted(all, o.Time, func(r rollout) bool { return r.version != "" && r.spelled == said })
	case o.Instance != "":
		r = latestStarted(all, o.Time, func(r rollout) bool { return slices.Contains(r.instances, o.Instance) })
		if r == nil {
			r = completedLast(all, o.Time)
		}
	default:
		r = completedLast(all, o.Time)
	}
	if r == nil {
		return
	}
	out.DeploymentID, out.DeployedVersion = r.id, r.version
	out.DeploymentAgeMS = int64(o.Time - r.start.Time)
	out.PreviousVersion = r.previous
	if r.previous == "" {
		if p := completedLast(all, r.start.Time-1); p != nil {
			out.PreviousVersion = p.version
		}
	}
	out.ChangeIDs = r.changes
}

// changes is R17.
func (m Model) changes(revisions []string) []string {
	ids := map[string]bool{}
	for _, f := range m.facts {
		if c, ok := f.Payload.(*event.Change); ok {
			for _, v := range append([]string{c.Revision}, c.Commits...) {
				if v != "" && slices.Contains(revisions, v) {
					ids[c.ChangeID] = true
				}
			}
		}
	}
	return sortedKeys(ids)
}

// flags is R19: the facts that concern the service in the environment.
func (m Model) flags(s, e string) (said []event.Fact) {
	for _, f := range m.facts {
		c, ok := f.Payload.(*event.Flag)
		if ok && c.Environment == e && (len(c.Services) == 0 || slices.ContainsFunc(c.Services, func(n string) bool { return m.same(n, s) })) {
			said = append(said, f)
		}
	}
	return said
}

// rules is R19 at a moment.
func rules(flags []event.Fact, t event.Millis) (pairs []event.Pair) {
	rules := map[string]string{}
	for _, f := range flags {
		if c := f.Payload.(*event.Flag); f.Time <= t {
			rules[c.Flag] = c.Rules
		}
	}
	for flag, r := range rules {
		pairs = append(pairs, event.Pair{Key: flag, Value: r})
	}
	slices.SortFunc(pairs, func(a, b event.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return pairs
}

// incidents is R20: the facts of each that names the service in the environment.
func (m Model) incidents(s, e string) map[string][]event.Fact {
	byID := map[string][]event.Fact{}
	for _, f := range m.facts {
		if i, ok := f.Payload.(*event.Incident); ok {
			byID[i.IncidentID] = append(byID[i.IncidentID], f)
		}
	}
	for id, facts := range byID {
		if !m.names(facts, s, e) {
			delete(byID, id)
		}
	}
	return byID
}

// openIncidents is R21 to R24.
func openIncidents(byID map[string][]event.Fact, t event.Millis) ([]string, string) {
	ids := map[string]bool{}
	worst, rank := "", math.MaxInt
	for id, facts := range byID {
		if !openAt(facts, t) {
			continue
		}
		ids[id] = true
		severity := ""
		for _, f := range facts {
			if v := f.Payload.(*event.Incident).Severity; v != "" && (f.Time <= t || severity == "") {
				severity = v
			}
		}
		r := slices.Index([]string{"critical", "high", "medium", "low", "info"}, severity)
		if r < 0 {
			r = 5
		}
		if severity == "" {
			r = 6
		}
		if r < rank || r == rank && severity < worst {
			worst, rank = severity, r
		}
	}
	return sortedKeys(ids), worst
}

func (m Model) names(facts []event.Fact, s, e string) bool {
	named, environment := false, ""
	for _, f := range facts {
		i := f.Payload.(*event.Incident)
		for _, n := range append([]string{i.Service}, i.Services...) {
			named = named || m.same(n, s)
		}
		environment = cmp.Or(i.Environment, environment)
	}
	return named && environment == e
}

func openAt(facts []event.Fact, t event.Millis) bool {
	onset := facts[0].Time
	for i := len(facts) - 1; i >= 0; i-- {
		if facts[i].Payload.(*event.Incident).Stage == event.IncidentOpened {
			onset = facts[i].Time
		}
	}
	episodes := [][]event.Fact{{}}
	for _, f := range facts {
		i := f.Payload.(*event.Incident)
		if i.StartedAt != 0 {
			onset = i.StartedAt
		}
		if i.Stage == event.IncidentReopened {
			episodes = append(episodes, nil)
		}
		last := len(episodes) - 1
		episodes[last] = append(episodes[last], f)
	}
	for k, episode := range episodes {
		from := onset
		if k > 0 {
			from = episode[0].Time
		}
		to := event.Millis(math.MaxInt64)
		if k+1 < len(episodes) {
			to = episodes[k+1][0].Time
		}
		for i := len(episode) - 1; i >= 0; i-- {
			if st := episode[i].Payload.(*event.Incident).Stage; st == event.IncidentResolved || st == event.IncidentMerged {
				to = episode[i].Time
			}
		}
		for _, f := range episode {
			if at := f.Payload.(*event.Incident).EndedAt; at != 0 {
				to = at
			}
		}
		if from <= t && t < to {
			return true
		}
	}
	return false
}

// finding is one of a service in an environment.
type finding struct {
	id    string
	from  event.Millis // it is open, unless it is closed
	facts []event.Fact
}

// findings is R25, and of R26 from when.
func (m Model) findings(s, e string, all []rollout) (found []finding) {
	byID := map[string][]event.Fact{}
	for _, f := range m.facts {
		if d, ok := f.Payload.(*event.Finding); ok {
			byID[d.FindingID] = append(byID[d.FindingID], f)
		}
	}
	for id, facts := range byID {
		var said event.Finding
		var opened event.Millis
		for _, f := range facts {
			d := f.Payload.(*event.Finding)
			said.Service = cmp.Or(d.Service, said.Service)
			said.Environment = cmp.Or(d.Environment, said.Environment)
			said.Repository = cmp.Or(d.Repository, said.Repository)
			said.RevisionIntroduced = cmp.Or(d.RevisionIntroduced, said.RevisionIntroduced)
			said.FirstSeen = cmp.Or(d.FirstSeen, said.FirstSeen)
			if d.Stage == event.FindingOpened {
				opened = cmp.Or(opened, f.Time)
			}
		}
		var completed event.Millis
		for _, r := range all {
			if r.completed != nil && said.RevisionIntroduced != "" && slices.Contains(r.revisions, said.RevisionIntroduced) {
				if completed == 0 || r.completed.Time < completed {
					completed = r.completed.Time
				}
			}
		}
		ofS := m.same(said.Service, s) || said.Service == "" && m.lists(s, said.Repository)
		inE := said.Environment == "" || said.Environment == e
		if ofS && inE {
			found = append(found, finding{id, cmp.Or(completed, said.FirstSeen, opened, facts[0].Time), facts})
		}
	}
	return found
}

// openFindings is R26 and R27.
func openFindings(all []finding, t event.Millis) []string {
	ids := map[string]bool{}
	for _, found := range all {
		var reopened, closed event.Millis
		for _, f := range found.facts {
			switch {
			case f.Time > t:
			case f.Payload.(*event.Finding).Stage == event.FindingOpened:
				reopened = f.Time
			default:
				closed = f.Time
			}
		}
		if found.from <= t && (closed == 0 || reopened > closed) {
			ids[found.id] = true
		}
	}
	return sortedKeys(ids)
}

func (m Model) lists(s, repository string) bool {
	same := func(other string) bool { return resolve(m.repos, other) == resolve(m.repos, repository) }
	for _, f := range m.facts {
		if d, ok := f.Payload.(*event.Declaration); ok && repository != "" && m.same(d.Service, s) && slices.ContainsFunc(d.Repositories, same) {
			return true
		}
	}
	return false
}

// declarations are those that R28 looks at.
func (m Model) declarations(s, e string) (said []event.Fact) {
	for _, f := range m.facts {
		if d, ok := f.Payload.(*event.Declaration); ok && m.same(d.Service, s) && (d.Environment == "" || d.Environment == e) {
			said = append(said, f)
		}
	}
	return said
}

// declared is R28.
func declared(declarations []event.Fact, t event.Millis, field func(*event.Declaration) string) string {
	said := ""
	for _, f := range declarations {
		if v := field(f.Payload.(*event.Declaration)); v != "" && (f.Time <= t || said == "") {
			said = v
		}
	}
	return said
}

func sortedKeys(set map[string]bool) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// archive is a store in memory: it holds what was said to it.
type archive struct {
	facts  []event.Fact
	asked  int
	broken error
}

func (a *archive) Facts(_ context.Context, m event.Missing, upTo uint64) ([]event.Fact, error) {
	a.asked++
	if a.broken != nil {
		return nil, a.broken
	}
	var known, found []event.Fact
	for _, f := range a.facts {
		if f.Revision <= upTo {
			known = append(known, f)
		}
	}
	chosen := map[int]bool{}
	for i := range known {
		chosen[i] = concerns(&known[i], m)
	}
	// Whole entities: what speaks of the same, and what has the same identity.
	for grown := true; grown; {
		grown = false
		for i := range known {
			for j := range known {
				if chosen[i] && !chosen[j] && related(&known[i], &known[j]) {
					chosen[j], grown = true, true
				}
			}
		}
	}
	for i := range known {
		if chosen[i] {
			found = append(found, known[i])
		}
	}
	return found, nil
}

func concerns(f *event.Fact, m event.Missing) bool {
	if slices.Contains(m.Facts, event.FactID{Source: f.Source, ID: f.ID}) {
		return true
	}
	any := func(of []string, in ...string) bool {
		return slices.ContainsFunc(in, func(s string) bool { return s != "" && slices.Contains(of, s) })
	}
	switch p := f.Payload.(type) {
	case *event.Deployment:
		return slices.Contains(m.Deployments, p.DeploymentID) || any(m.Services, p.Service) || any(m.Carriers, p.Revisions...)
	case *event.Incident:
		return slices.Contains(m.Incidents, p.IncidentID) || any(m.Services, append(p.Services, p.Service)...)
	case *event.Change:
		return any(m.Changes, append(p.Commits, p.Revision)...)
	}
	return false
}

func related(f, g *event.Fact) bool {
	if f.Source == g.Source && f.ID == g.ID && f.Type == g.Type {
		return true
	}
	switch p := f.Payload.(type) {
	case *event.Deployment:
		q, ok := g.Payload.(*event.Deployment)
		return ok && p.DeploymentID == q.DeploymentID
	case *event.Incident:
		q, ok := g.Payload.(*event.Incident)
		return ok && p.IncidentID == q.IncidentID
	}
	return false
}

func (a *archive) say(facts []event.Fact) { a.facts = append(a.facts, facts...) }

// anyFactOfOneService draws facts that stand in each other's way more than
// others do: many deployments in one scope.
func anyFactOfOneService(t *rapid.T) event.Fact {
	f := anyFact(t)
	switch p := f.Payload.(type) {
	case *event.Deployment:
		p.DeploymentID = rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5", "e6", "e7"}).Draw(t, "deployment")
		p.Service, p.Environment = rapid.SampledFrom([]string{"a", "a", "a", "b", ""}).Draw(t, "service"), "p"
	case *event.Declaration, *event.Identity, *event.Retraction, nil:
		if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
			return anyFactOfOneService(t)
		}
	}
	f.ID = rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}).Draw(t, "id")
	f.Hash = contentHash(f, f.Type+fmt.Sprint(f.Payload))
	return f
}

// anyContestedFact draws facts that unsay and replace each other: few ids, and
// what names them.
func anyContestedFact(t *rapid.T) event.Fact {
	f := anyFact(t)
	switch rapid.IntRange(0, 5).Draw(t, "contested") {
	case 0, 1:
		f.Type, f.Payload = "retracted", &event.Retraction{Source: "s", ID: rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "retracted")}
	case 2:
		f.Type, f.Payload = anyFinding(t)
	case 3, 4:
		f.Type, f.Payload = anyDeployment(t)
	}
	f.Source, f.ID = "s", rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "id")
	f.Hash = contentHash(f, f.Type+fmt.Sprint(f.Payload))
	return f
}

// someRollouts draws deployments one after the other, most of them well-behaved,
// and whatever else.
func someRollouts(t *rapid.T, most int) []event.Fact {
	facts := rapid.SliceOfN(rapid.Custom(anyFact), 0, 4).Draw(t, "facts")
	for i := range rapid.IntRange(2, most/4).Draw(t, "rollouts") {
		d := event.Deployment{
			Stage: event.Started, DeploymentID: fmt.Sprint("rollout", i), Service: "a", Environment: "p", Percent: event.Unknown,
			Version: rapid.SampledFrom([]string{"v1", "1", "v3", "v3"}).Draw(t, "version"), Revisions: some(anyRevision).Draw(t, "revisions"),
		}
		say := func(at event.Millis, d event.Deployment) {
			f := event.Fact{Payload: &d}
			f.Time, f.Source, f.ID, f.Type = at, "rollouts", fmt.Sprint(i), fmt.Sprint("deployment", d.Stage)
			f.Hash = contentHash(f, fmt.Sprint(d))
			facts = append(facts, f)
		}
		start := anyTime.Draw(t, "start")
		say(start, d)
		if rapid.IntRange(0, 5).Draw(t, "ends") > 0 {
			d.Stage, d.Outcome = event.Finished, rapid.SampledFrom([]string{"success", "success", "success", "failure"}).Draw(t, "outcome")
			say(start+event.Millis(rapid.IntRange(0, 2).Draw(t, "takes")), d)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "findings") {
		f := event.Fact{}
		f.Time, f.Source, f.ID = anyTime.Draw(t, "found"), "findings", anyID.Draw(t, "id")
		f.Type, f.Payload = anyFinding(t)
		f.Payload.(*event.Finding).Service = "a"
		f.Hash = contentHash(f, f.Payload)
		facts = append(facts, f)
	}
	for i, r := range []string{"r1", "r2", "r3"} {
		if rapid.Bool().Draw(t, "changed") {
			f := event.Fact{Payload: &event.Change{ChangeID: "c-" + r, Revision: r}}
			f.Time, f.Source, f.ID, f.Type = anyTime.Draw(t, "merged"), "changes", fmt.Sprint(i), "change"
			f.Hash = contentHash(f, f.Payload)
			facts = append(facts, f)
		}
	}
	return rapid.Permutation(facts).Draw(t, "order")
}

// numbered are facts in the order of the context log.
func numbered(t *rapid.T, most int) []event.Fact {
	var facts []event.Fact
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		facts = rapid.SliceOfN(rapid.Custom(anyFact), 1, most).Draw(t, "facts")
	case 1:
		facts = rapid.SliceOfN(rapid.Custom(anyFactOfOneService), 1, most).Draw(t, "facts")
	case 2:
		facts = rapid.SliceOfN(rapid.Custom(anyContestedFact), 1, most).Draw(t, "facts")
	default:
		facts = someRollouts(t, most)
	}
	for i := range facts {
		facts[i].Revision = uint64(i + 1)
	}
	return facts
}

// few are so few observations that not everything is fetched for them.
func few(t *rapid.T) []event.Observation {
	var some []event.Observation
	for range rapid.IntRange(1, 3).Draw(t, "observations") {
		some = append(some, rapid.SampledFrom(asked).Draw(t, "observation"))
	}
	return some
}

func trimmed(t *rapid.T, m *timeline.Memory) {
	from := event.Millis(rapid.IntRange(1, 16).Draw(t, "known from"))
	closed := rapid.IntRange(0, int(m.Revision())).Draw(t, "closed")
	m.Trim(from, uint64(closed))
}

func TestATimelineThatForgetsAnswersAsOneThatDoesNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := numbered(t, 40)
		store := &archive{}
		m := timeline.NewMemory(store)
		m.Journal()
		for rest := facts; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			store.say(rest[:n])
			if err := m.Apply(t.Context(), rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			for range rapid.IntRange(0, 2).Draw(t, "trims") {
				trimmed(t, m)
			}
			if d := differsUnfetched(m, facts[:len(facts)-len(rest)]); d != "" {
				t.Fatalf("without fetching, after %d facts: %s", len(facts)-len(rest), d)
			}
			if rapid.Bool().Draw(t, "asked") {
				if d := differsInMemory(t, m, facts[:len(facts)-len(rest)], few(t)); d != "" {
					t.Fatalf("after %d facts: %s", len(facts)-len(rest), d)
				}
			}
		}
		if d := differsInMemory(t, m, facts, sample(t)); d != "" {
			t.Fatal(d)
		}
	})
}

// around are observations of the services that have most of the facts, at every
// third moment and the last two.
var around = slices.DeleteFunc(everyObservation(), func(o event.Observation) bool {
	return o.Service != "a" && o.Service != "b" || o.Environment != "p" || o.Time%3 != 1 && o.Time < 14
})

// differsUnfetched asks of what is in memory only, and passes over what isn't.
func differsUnfetched(m *timeline.Memory, facts []event.Fact) string {
	want := model.New(facts)
	for _, o := range around {
		got, known := m.Peek(o)
		if g, w := said(got), said(want.Answer(o)); known && g != w {
			return fmt.Sprintf("%s/%s at %d, version %q, instance %q:\n got %s\nwant %s", o.Service, o.Environment, o.Time, o.Version, o.Instance, g, w)
		}
	}
	return ""
}

func differsInMemory(t *rapid.T, m *timeline.Memory, facts []event.Fact, obs []event.Observation) string {
	want := model.New(facts)
	got := make([]event.Enrichment, len(obs))
	if _, err := m.Enrich(t.Context(), obs, got); err != nil {
		t.Fatal(err)
	}
	for i := range obs {
		if g, w := said(got[i]), said(want.Answer(obs[i])); g != w {
			return fmt.Sprintf("%s/%s at %d, version %q, instance %q:\n got %s\nwant %s",
				obs[i].Service, obs[i].Environment, obs[i].Time, obs[i].Version, obs[i].Instance, g, w)
		}
	}
	return ""
}

var errAway = errors.New("away")

// inLoadingOrder is how facts are read from a store: names and retractions first,
// then findings and flags, then entity by entity, then changes.
func inLoadingOrder(facts []event.Fact) []event.Fact {
	rank := func(f event.Fact) string {
		switch p := f.Payload.(type) {
		case *event.Declaration, *event.Identity, *event.Retraction:
			return "1"
		case *event.Deployment:
			return "3" + p.DeploymentID
		case *event.Incident:
			return "4" + p.IncidentID
		case *event.Change:
			return "5"
		}
		return "2"
	}
	ordered := slices.Clone(facts)
	slices.SortStableFunc(ordered, func(a, b event.Fact) int { return strings.Compare(rank(a), rank(b)) })
	return ordered
}

// someNews draws a fact of today, or one that comes late, about what someRollouts
// said: it names, unsays or replaces that.
func someNews(t *rapid.T, number int) event.Fact {
	f := event.Fact{}
	f.Time, f.Source, f.ID = rapid.SampledFrom([]event.Millis{2, 5, 8, 15, 15, 15}).Draw(t, "time"), "news", fmt.Sprint(number)
	anyRollout := rapid.Map(rapid.IntRange(0, 5), func(i int) string { return fmt.Sprint(i) })
	switch rapid.IntRange(0, 11).Draw(t, "news") {
	case 0, 1:
		source := rapid.SampledFrom([]string{"rollouts", "rollouts", "changes", "findings", "news", "news"}).Draw(t, "retracted source")
		f.Type, f.Payload = "retracted", &event.Retraction{Source: source, ID: anyRollout.Draw(t, "retracted")}
	case 2:
		f.Type, f.Payload = anyFinding(t)
		f.Payload.(*event.Finding).Service = "a"
	case 3:
		f.Type, f.Payload = "change", &event.Change{ChangeID: "news", Revision: anyRevision.Draw(t, "revision")}
	case 4:
		f.Type, f.Payload = "identity", &event.Identity{Kind: "service", Alias: anyService.Draw(t, "alias"), Canonical: anyService.Draw(t, "canonical")}
	case 5:
		f.Type, f.Payload = "declared", &event.Declaration{Service: anyService.Draw(t, "service"), Aliases: some(anyService).Draw(t, "aliases")}
	case 6, 7: // takes back what was said before
		f.Type, f.Payload = "retracted", &event.Retraction{Source: "news", ID: fmt.Sprint(number - 1)}
	default:
		f.Type, f.Payload = anyDeployment(t)
		d := f.Payload.(*event.Deployment)
		d.Service = rapid.SampledFrom([]string{"a", "a", "b", ""}).Draw(t, "service")
		if rapid.Bool().Draw(t, "of a rollout") {
			d.DeploymentID = "rollout" + anyRollout.Draw(t, "rollout")
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "twin") == 0 {
		f.Source, f.ID = rapid.SampledFrom([]string{"rollouts", "changes", "news"}).Draw(t, "source"), anyRollout.Draw(t, "id")
	}
	f.Hash = contentHash(f, f.Type+fmt.Sprint(f.Payload))
	return f
}

func modelled(facts []event.Fact) []string {
	m, all := model.New(facts), make([]string, len(around))
	for i, o := range around {
		all[i] = said(m.Answer(o))
	}
	return all
}

func TestNewsOfWhatAMemoryHasLetGoOfCountAsIfItHadNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := someRollouts(t, 32)
		told := len(facts)
		for i := range rapid.IntRange(1, 6).Draw(t, "news") {
			facts = append(facts, someNews(t, i))
		}
		for i := range facts {
			facts[i].Revision = uint64(i + 1)
		}
		store := &archive{facts: facts}
		m := timeline.NewMemory(store)
		m.Journal()
		if err := m.Apply(t.Context(), facts[:told]); err != nil {
			t.Fatal(err)
		}
		m.Forget(m.Revision())
		m.Trim(15, m.Revision())
		then := modelled(facts[:told])
		for n := told; n < len(facts); n++ {
			if err := m.Apply(t.Context(), facts[n:n+1]); err != nil {
				t.Fatal(err)
			}
			now, regions := modelled(facts[:n+1]), m.Pending(m.Revision())
			for i, o := range around {
				if then[i] != now[i] && !slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, o) }) {
					t.Fatalf("after %d news: %+v\nwas %s\nnow %s\nand is in none of %+v", n+1-told, o, then[i], now[i], regions)
				}
			}
			then = now
			m.Forget(m.Revision())
			if rapid.IntRange(0, 2).Draw(t, "trimmed") == 0 {
				m.Trim(16, m.Revision()-uint64(rapid.IntRange(0, 3).Draw(t, "not closed")))
			}
			if d := differsUnfetched(m, facts[:n+1]); d != "" {
				t.Fatalf("after %d news: %s", n+1-told, d)
			}
		}
		if d := differsInMemory(t, m, facts, around); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAMemoryThatIsLoadedAnswersAsTheWholeTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := numbered(t, 40)
		loaded := rapid.IntRange(0, len(facts)).Draw(t, "loaded")
		store := &archive{facts: facts}
		m := timeline.NewMemory(store)
		from := event.Millis(rapid.IntRange(1, 16).Draw(t, "known from"))
		loading := m.Load(from, uint64(loaded), rapid.IntRange(0, 10).Draw(t, "every"))
		for rest := inLoadingOrder(facts[:loaded]); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			loading.Fold(rest[:n])
			rest = rest[n:]
		}
		if err := loading.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Journal()
		if d := differsUnfetched(m, facts[:loaded]); d != "" {
			t.Fatalf("without fetching: %s", d)
		}
		if d := differsInMemory(t, m, facts[:loaded], few(t)); d != "" {
			t.Fatalf("loaded: %s", d)
		}
		if err := m.Apply(t.Context(), facts[loaded:]); err != nil {
			t.Fatal(err)
		}
		if d := differsInMemory(t, m, facts, sample(t)); d != "" {
			t.Fatal(d)
		}
	})
}

// As of the whole timeline: another worker has had each state between two facts,
// and may have answered then.
func TestEveryAnswerThatIsAnotherNowLiesInAPendingRegionOfAMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := numbered(t, 30)
		obs := sample(t)
		known := rapid.IntRange(0, len(facts)-1).Draw(t, "known before")
		store := &archive{facts: facts}
		other, m := timeline.New(), timeline.NewMemory(store)
		other.Apply(facts[:known])
		if err := m.Apply(t.Context(), facts[:known]); err != nil {
			t.Fatal(err)
		}
		m.Journal()
		closed := m.Revision()
		given := [][]string{answers(other, obs)}
		for rest := facts[known:]; len(rest) > 0; {
			if rapid.Bool().Draw(t, "trimmed") {
				m.Trim(event.Millis(rapid.IntRange(1, 16).Draw(t, "known from")), closed)
			}
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			batch := rest[:n]
			rest = rest[n:]
			for i := range batch {
				other.Apply(batch[i : i+1])
				given = append(given, answers(other, obs))
			}
			if err := m.Apply(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			regions := m.Pending(m.Revision())
			for i, now := range answers(other, obs) {
				covered := slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, obs[i]) })
				for _, then := range given {
					if then[i] != now && !covered {
						t.Fatalf("%+v\nwas %s\nnow %s\nand is in none of %+v", obs[i], then[i], now, regions)
					}
				}
			}
			if rapid.Bool().Draw(t, "closed") {
				closed = m.Revision()
				m.Forget(closed)
				given = given[len(given)-1:]
			}
		}
	})
}

func TestContextsOfAMemoryAreThoseOfTheWholeTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := numbered(t, 40)
		m := timeline.NewMemory(&archive{facts: facts})
		if err := m.Apply(t.Context(), facts); err != nil {
			t.Fatal(err)
		}
		want := model.New(facts)
		for range 3 {
			trimmed(t, m)
			var stale []event.Stale
			obs := slices.DeleteFunc(few(t), func(o event.Observation) bool { return o.Time < 1 })
			for _, o := range obs {
				s := event.Stale{Service: o.Service, Environment: o.Environment, First: o.Time, Last: o.Time}
				switch {
				case o.Version != "":
					s.Versions = []string{o.Version}
				case o.Instance != "":
					s.Instances = []string{o.Instance}
				}
				stale = append(stale, s)
			}
			for i, o := range obs {
				contexts, servings, _, ok, err := m.Contexts(t.Context(), stale[i:i+1], 1_000_000)
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				if got, want := said(assemble(contexts, servings, o)), said(want.Answer(o)); got != want {
					t.Fatalf("%+v\n got %s\nwant %s", o, got, want)
				}
			}
		}
	})
}

// remembers is a memory that has folded facts, all of them different and numbered as
// the context log does, and its store, which has them too.
func remembers(t *testing.T, facts []event.Fact) (*timeline.Memory, *archive) {
	t.Helper()
	for i := range facts {
		facts[i].Hash, facts[i].Revision = uint64(i+1), uint64(i+1)
	}
	store := &archive{facts: slices.Clone(facts)}
	m := timeline.NewMemory(store)
	m.Journal()
	if err := m.Apply(t.Context(), facts); err != nil {
		t.Fatal(err)
	}
	return m, store
}

// A deployment that was let go of gets another version by a fact of today: the one
// after it, which was let go of too, reads that as its previous version.
func TestAFactOfTodayAboutTheFarPastLeavesTheRowsOfThePastPending(t *testing.T) {
	var facts []event.Fact
	for i := range 6 {
		facts = append(facts, life(fmt.Sprint("d", i), fmt.Sprint("v", i), event.Millis(100*i+100))...)
	}
	m, _ := remembers(t, facts)
	m.Forget(m.Revision())
	if gone := m.Trim(1000, m.Revision()); gone < 6 || m.Len() != len(facts)-gone {
		t.Fatalf("%d facts are gone, %d left", gone, m.Len())
	}
	again := named("again", 99, at(2000, &event.Deployment{
		Stage: event.Finished, DeploymentID: "d1", Service: "shop", Environment: "prod", Version: "other", Outcome: "success", Percent: event.Unknown,
	}))
	again.Revision = 100
	if err := m.Apply(t.Context(), []event.Fact{again}); err != nil {
		t.Fatal(err)
	}
	o := event.Observation{Service: "shop", Environment: "prod", Version: "v2"}
	o.Time = 320
	if regions := m.Pending(100); !slices.ContainsFunc(regions, func(r event.Region) bool { return covers(r, o) }) {
		t.Errorf("what reads d1 as the one before is in none of %+v", regions)
	}
	out := make([]event.Enrichment, 1)
	if _, err := m.Enrich(t.Context(), []event.Observation{o}, out); err != nil || out[0].PreviousVersion != "other" {
		t.Errorf("%+v, %v", out[0], err)
	}
}

func TestObservationsOfTodayAskTheStoreForNothing(t *testing.T) {
	store := &archive{}
	m := timeline.NewMemory(store)
	m.Journal()
	for i := range 300 {
		batch := life(fmt.Sprint("d", i), fmt.Sprint("v", i), event.Millis(100*i+100))
		for j := range batch {
			batch[j].Hash, batch[j].Revision = uint64(2*i+j+1), uint64(2*i+j+1)
		}
		store.say(batch)
		if err := m.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			m.Trim(event.Millis(100*i-1000), m.Revision())
			if m.Len() > 40 {
				t.Fatalf("%d facts in memory after %d deployments", m.Len(), i+1)
			}
		}
		obs := []event.Observation{asks(event.Millis(100*i+150), "", ""), asks(event.Millis(100*i+150), fmt.Sprint("v", i), "")}
		out := make([]event.Enrichment, len(obs))
		if _, err := m.Enrich(t.Context(), obs, out); err != nil || out[0].DeploymentID != fmt.Sprint("d", i) || out[1].DeploymentID != out[0].DeploymentID {
			t.Fatal(out, err)
		}
	}
	if store.asked > 0 {
		t.Errorf("the store was asked %d times", store.asked)
	}
}

func TestAMemoryWhoseStoreIsAwayFailsAndAnswersWhenItIsBack(t *testing.T) {
	var facts []event.Fact
	for i := range 6 {
		facts = append(facts, life(fmt.Sprint("d", i), fmt.Sprint("v", i), event.Millis(100*i+100))...)
	}
	m, store := remembers(t, facts)
	m.Trim(1000, m.Revision())
	store.broken = errAway
	obs, out := []event.Observation{asks(120, "", "")}, make([]event.Enrichment, 1)
	if _, err := m.Enrich(t.Context(), obs, out); !errors.Is(err, errAway) {
		t.Errorf("an observation of the past: %v", err)
	}
	stale := []event.Stale{{Service: "shop", Environment: "prod", First: 120, Last: 130}}
	if _, _, _, _, err := m.Contexts(t.Context(), stale, 100); !errors.Is(err, errAway) {
		t.Errorf("contexts of the past: %v", err)
	}
	late := life("late", "v9", 150)
	late[0].Revision, late[1].Revision = 50, 51
	if err := m.Apply(t.Context(), late); !errors.Is(err, errAway) || m.Revision() >= 50 {
		t.Errorf("a fact of the past: %v at revision %d", err, m.Revision())
	}
	store.broken = nil
	store.say(late)
	if err := m.Apply(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	obs[0].Time = 170
	if _, err := m.Enrich(t.Context(), obs, out); err != nil || out[0].DeploymentID != "late" || out[0].PreviousVersion != "v0" {
		t.Errorf("%+v, %v", out[0], err)
	}
}

// The finding says so today: its revision was completed long ago, by a deployment
// that was let go of.
func TestAFindingOfTodayIsOpenSinceItsRevisionWasCompleted(t *testing.T) {
	var facts []event.Fact
	for i := range 6 {
		d := life(fmt.Sprint("d", i), fmt.Sprint("v", i), event.Millis(100*i+100))
		d[0].Payload.(*event.Deployment).Revisions = []string{fmt.Sprint("r", i)}
		facts = append(facts, d...)
	}
	m, _ := remembers(t, facts)
	m.Trim(1000, m.Revision())
	found := named("found", 99, at(2000, &event.Finding{
		Stage: event.FindingOpened, FindingID: "g", Service: "shop", RevisionIntroduced: "r1", FirstSeen: 1900,
	}))
	found.Revision = 100
	if err := m.Apply(t.Context(), []event.Fact{found}); err != nil {
		t.Fatal(err)
	}
	if got, known := m.Peek(asks(1500, "", "")); !known || !slices.Equal(got.FindingIDs, []string{"g"}) {
		t.Errorf("%v, known %v", got.FindingIDs, known)
	}
}

// A rollout that begins before two others and is completed after both replaces
// what was there when it began.
func TestWhatALongRolloutReplacesStaysInMemory(t *testing.T) {
	facts := slices.Concat(life("d0", "v0", 100), life("long", "v9", 200), life("d1", "v1", 300), life("d2", "v2", 400))
	facts[3].Time = 600 // the long one's end
	m, _ := remembers(t, facts)
	m.Trim(500, m.Revision())
	if got, known := m.Peek(asks(700, "", "")); !known || got.DeploymentID != "long" || got.PreviousVersion != "v0" {
		t.Errorf("%s after %q, known %v", got.DeploymentID, got.PreviousVersion, known)
	}
}

func TestIncidentsThatAreOverAreLetGoOfAndComeBackWhenAsked(t *testing.T) {
	var facts []event.Fact
	for i := range 6 {
		id := fmt.Sprint("i", i)
		incident := func(stage event.IncidentStage, t event.Millis) event.Fact {
			return named(fmt.Sprint(id, stage), 0, at(t, &event.Incident{Stage: stage, IncidentID: id, Service: "shop", Environment: "prod"}))
		}
		facts = append(facts, incident(event.IncidentOpened, event.Millis(100*i+100)), incident(event.IncidentResolved, event.Millis(100*i+150)))
	}
	m, _ := remembers(t, facts)
	if gone := m.Trim(420, m.Revision()); gone != 6 {
		t.Errorf("%d facts of three incidents that were over are gone", gone)
	}
	out := make([]event.Enrichment, 2)
	if _, err := m.Enrich(t.Context(), []event.Observation{asks(120, "", ""), asks(620, "", "")}, out); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out[0].IncidentIDs, []string{"i0"}) || !slices.Equal(out[1].IncidentIDs, []string{"i5"}) {
		t.Errorf("%v and %v", out[0].IncidentIDs, out[1].IncidentIDs)
	}
}

package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// pastOf asks a client, and counts.
type pastOf struct {
	*Client
	asked, facts int
}

func (p *pastOf) Facts(ctx context.Context, missing event.Missing, upTo uint64) ([]event.Fact, error) {
	facts, err := p.FactsOf(ctx, zap.NewNop(), missing, upTo)
	p.asked, p.facts = p.asked+1, p.facts+len(facts)
	return facts, err
}

// world is facts that speak of nothing in another one.
type world struct {
	*crowd
	facts []event.Fact
}

func (w *world) observation() event.Observation {
	var o event.Observation
	o.Service, o.Environment, o.Time = w.one("service", 6), w.environment(), w.moment()
	w.choose(func() { o.Version = w.version(5) }, func() {})
	return o
}

func (w *world) choose(do ...func()) { do[w.IntN(len(do))]() }

func TestAMemoryThatAsksTheStoreAnswersAsTheModelOfAllFacts(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	defer empty(t, client, factTables()...)
	random := rand.New(rand.NewPCG(*seedFlag, 14))
	past := &pastOf{Client: client}
	for range *worldsFlag {
		past.inSomeWorlds(t, random)
		empty(t, client, factTables()...)
	}
	if past.asked == 0 || past.facts == 0 {
		t.Errorf("the store was asked %d times for %d facts", past.asked, past.facts)
	}
}

// inSomeWorlds loads some of the facts, follows the others, and lets go of what it
// can now and then.
func (p *pastOf) inSomeWorlds(t *testing.T, random *rand.Rand) {
	worlds := make([]world, 3)
	var all []event.Fact
	for i := range worlds {
		c := &crowd{Rand: random, prefix: fmt.Sprint("w", i, "-")}
		worlds[i] = world{c, c.facts(t, 20+random.IntN(80))}
		all = append(all, worlds[i].facts...)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	store(t, p.Client, all)
	m := timeline.NewMemory(p)
	moment := func() event.Millis { return worlds[0].moment() }
	known := random.IntN(len(all))
	upTo := all[0].Revision + uint64(known) - 1
	loading := m.Load(moment(), upTo, random.IntN(20))
	must(t, p.Snapshot(t.Context(), zap.NewNop(), 0, upTo, loading.Fold))
	must(t, loading.Finish(t.Context()))
	m.Journal()
	for i := range all[known:] {
		must(t, m.Apply(t.Context(), all[known+i:known+i+1]))
		if random.IntN(8) == 0 {
			m.Trim(moment(), m.Revision()-uint64(random.IntN(5)))
		}
	}
	for i := range worlds {
		want := model.New(worlds[i].facts)
		for range 20 {
			o := worlds[i].observation()
			got := make([]event.Enrichment, 1)
			_, err := m.Enrich(t.Context(), []event.Observation{o}, got)
			must(t, err)
			expected := want.Answer(o)
			if d := cmp.Diff(expected, got[0], cmpopts.EquateEmpty(), cmpopts.IgnoreFields(event.Enrichment{}, "Revision")); d != "" {
				t.Fatalf("%s/%s at %d, version %q: %s", o.Service, o.Environment, o.Time, o.Version, d)
			}
			if random.IntN(4) == 0 {
				m.Trim(moment(), m.Revision())
			}
		}
	}
}

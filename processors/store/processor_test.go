package store_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/store"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// sink keeps how many rows came under which token, and refuses the tables that
// it is told to.
type sink struct {
	order   []string
	rows    map[string]int
	refuse  string
	spent   bool           // all tokens are: inserts are acknowledged, and nothing is stored
	again   map[string]int // rows by table that came a second time
	missing []int          // what it says is missing
	asked   int            // how often it was asked that
}

var errAway = errors.New("away")

func (s *sink) Insert(_ context.Context, block tables.Block, token string) error {
	if block.Table() == s.refuse {
		return errAway
	}
	if s.spent {
		return nil
	}
	s.order = append(s.order, block.Table())
	if s.rows == nil {
		s.rows = map[string]int{}
	}
	s.rows[token] = block.Rows()
	return nil
}

func (s *sink) Again(_ context.Context, block tables.Block, _ string) error {
	if s.again == nil {
		s.again = map[string]int{}
	}
	s.again[block.Table()] += block.Rows()
	return nil
}

func (s *sink) Missing(context.Context, []event.Observation) ([]int, error) {
	s.asked++
	return s.missing, nil
}

// of is the rows under the batch's tokens for a table, and how many tokens
// there are.
func (s *sink) of(b *pipeline.Batch, table string) (rows, tokens int) {
	for token, n := range s.rows {
		if strings.HasPrefix(token, b.Token(table)+"|") {
			rows, tokens = rows+n, tokens+1
		}
	}
	return rows, tokens
}

type graveyard struct{ buried []pipeline.DeadLetter }

func (g *graveyard) Bury(_ context.Context, dead []pipeline.DeadLetter) error {
	g.buried = append(g.buried, dead...)
	return nil
}

// mixed is four records: an observation, another type, a bad one, and a fact.
func mixed() *pipeline.Batch {
	b := &pipeline.Batch{Topic: "in", TopicID: [16]byte{7}, Partition: 2, From: 10, To: 14}
	for i := range int64(4) {
		b.Records = append(b.Records, pipeline.Record{Offset: 10 + i, Value: []byte{byte(i)}})
	}
	b.Hash = pipeline.HashRecords(b.Records)
	b.Observations = []event.Observation{{Provenance: b.Provenance(0), Service: "shop", Environment: "production"}}
	b.Enrichments = make([]event.Enrichment, 1)
	b.Others = []event.Other{{Provenance: b.Provenance(1)}}
	b.Bury(2, pipeline.ReasonMalformed, "not JSON")
	b.Facts = []event.Fact{{Provenance: b.Provenance(3)}}
	return b
}

func TestEachTableGetsItsRowsUnderTheBatchsTokenAndTheLedgerComesLast(t *testing.T) {
	s, g, b := &sink{}, &graveyard{}, mixed()
	if err := (&store.Events{Sink: s, Graveyard: g}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want := []string{"whence.observations", "whence_state.touches", "whence.other_events", "whence.dead_letters", "whence_state.batches"}
	if !slices.Equal(s.order, want) {
		t.Errorf("inserts into %v, want %v", s.order, want)
	}
	for _, table := range want {
		expected := 1
		if table == "whence_state.touches" {
			expected = 2 // the minute and its hour
		}
		if rows, tokens := s.of(b, table); rows != expected || tokens != 1 {
			t.Errorf("%d rows of %s under %d of its tokens, want %d under 1", rows, table, tokens, expected)
		}
	}
	if len(g.buried) != 1 || g.buried[0].Offset != 12 {
		t.Errorf("buried %v, want the record at offset 12", g.buried)
	}
}

func TestABatchIsNotInTheLedgerWhileOneOfItsTablesIsAwayAndCanBeStoredAgain(t *testing.T) {
	s, g, b := &sink{refuse: "whence.dead_letters"}, &graveyard{}, mixed()
	stage := &store.Events{Sink: s, Graveyard: g}
	if err := stage.Process(t.Context(), b); !errors.Is(err, errAway) {
		t.Fatalf("got %v, want that the sink is away", err)
	}
	if slices.Contains(s.order, "whence_state.batches") {
		t.Fatal("the ledger has a batch that is not stored")
	}
	before := maps.Clone(s.rows)
	s.refuse = ""
	if err := stage.Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for token, rows := range before {
		if s.rows[token] != rows {
			t.Errorf("the repeated insert under %s has %d rows, the first had %d", token, s.rows[token], rows)
		}
	}
	if len(s.rows) != 5 {
		t.Errorf("%d tokens in all, want 5: a repeated block keeps its token", len(s.rows))
	}
}

func TestABatchThatDoesNotAddUpIsRefused(t *testing.T) {
	b := mixed()
	b.Others = nil // a record that nothing became of
	err := (&store.Events{Sink: &sink{}, Graveyard: &graveyard{}}).Process(t.Context(), b)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "4 records, of which 2 are stored, 1 dead and 0 dropped") {
		t.Fatalf("got %v", err)
	}
}

type deriver struct{ facts [][]event.Fact }

func (d *deriver) Derive(_ context.Context, _ uint64, facts []event.Fact) error {
	d.facts = append(d.facts, facts)
	return nil
}

func TestTheContextLogIsStoredWithEachFactsPlaceAndWhatItTouchesIsDerived(t *testing.T) {
	d, s, g := &deriver{}, &sink{}, &graveyard{}
	stage := &store.Facts{
		Sink: s, Graveyard: g, Deriver: d,
		Decode: func(r pipeline.Record) (event.Fact, error) {
			if string(r.Value) == "bad" {
				return event.Fact{}, errors.New("no fact")
			}
			return event.Fact{EntityID: string(r.Value)}, nil
		},
		Revision: func(offset int64) uint64 { return 1<<40 | uint64(offset) },
	}
	b := &pipeline.Batch{Topic: "context", From: 5, To: 8, Records: []pipeline.Record{
		{Offset: 5, Value: []byte("a")}, {Offset: 6, Value: []byte("bad")}, {Offset: 7, Value: []byte("b")},
	}}
	for range 2 { // a stage may be asked again
		if err := stage.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if b.Revision != 1<<40|7 || len(b.Facts) != 2 || b.Facts[1].Revision != 1<<40|7 {
		t.Errorf("revision %x, facts %+v", b.Revision, b.Facts)
	}
	if len(b.Dead) != 1 || b.Dead[0].Offset != 6 {
		t.Errorf("dead: %+v, want the record at offset 6", b.Dead)
	}
	if len(d.facts) != 2 || len(d.facts[1]) != 2 {
		t.Errorf("derived from %v", d.facts)
	}
	ledger, _ := s.of(b, "whence_state.batches")
	facts, tokens := s.of(b, "whence.facts")
	if ledger != 1 || facts != 2 || tokens != 1 {
		t.Errorf("rows by token: %v", s.rows)
	}
}

func TestABatchOfWhichMoreCanBeReadNowIsStoredUnderOtherTokens(t *testing.T) {
	s, g, b := &sink{refuse: "whence_state.batches"}, &graveyard{}, mixed()
	stage := &store.Events{Sink: s, Graveyard: g}
	if err := stage.Process(t.Context(), b); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	s.refuse = ""
	again := mixed() // after a crash, with a limit raised: the dead record is an observation now
	again.Dead = nil
	again.Observations = append(again.Observations, event.Observation{Provenance: again.Provenance(2), Service: "shop", Environment: "production"})
	again.Enrichments = make([]event.Enrichment, 2)
	if err := stage.Process(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if rows, tokens := s.of(b, "whence.observations"); tokens != 2 || rows != 3 {
		t.Errorf("%d rows under %d tokens: the engine would have dropped the second block", rows, tokens)
	}
	if _, tokens := s.of(b, "whence_state.touches"); tokens != 2 {
		t.Error("the minute was not touched again: a seal without the second row would stay valid")
	}
}

func TestNothingIsAskedOrStoredAgainOfABatchThatIsNotDoubted(t *testing.T) {
	s := &sink{missing: []int{0}}
	if err := (&store.Events{Sink: s, Graveyard: &graveyard{}}).Process(t.Context(), mixed()); err != nil {
		t.Fatal(err)
	}
	if s.asked > 0 || len(s.again) > 0 {
		t.Errorf("asked %d times, stored again: %v", s.asked, s.again)
	}
}

func TestABatchIsDoubtedOnceAnAttemptHasFailed(t *testing.T) {
	for _, table := range []string{"whence.observations", "whence_state.touches", "whence.other_events", "whence.dead_letters", "whence_state.batches"} {
		b := mixed()
		err := (&store.Events{Sink: &sink{refuse: table}, Graveyard: &graveyard{}}).Process(t.Context(), b)
		if err == nil || !b.Doubted {
			t.Errorf("%s is away: error %v, doubted: %v", table, err, b.Doubted)
		}
	}
}

func TestWhatASinkHasAcknowledgedAndDroppedIsStoredAgain(t *testing.T) {
	s, b := &sink{spent: true, missing: []int{1}}, mixed()
	b.Doubted = true
	b.Observations = append(b.Observations, event.Observation{Provenance: b.Provenance(0), Service: "shop", Environment: "production"})
	b.Enrichments = make([]event.Enrichment, 2)
	if err := (&store.Events{Sink: s, Graveyard: &graveyard{}}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	// Of the observations only what is missing: views count them by the row.
	want := map[string]int{
		"whence.observations": 1, "whence_state.touches": 2, "whence.other_events": 1, "whence.dead_letters": 1, "whence_state.batches": 1,
	}
	if !maps.Equal(s.again, want) {
		t.Errorf("stored again: %v, want %v", s.again, want)
	}
}

func TestADoubtedReplayIsStoredAgainAsAWhole(t *testing.T) {
	s, b := &sink{}, mixed()
	b.Doubted = true
	if err := (&store.Events{Sink: s, Graveyard: &graveyard{}, Replay: "r"}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if s.asked > 0 || s.again["whence.observations"] != 1 {
		t.Errorf("asked %d times, stored again: %v; what is there may be what the replay replaces", s.asked, s.again)
	}
}

func TestDoubtedFactsAreStoredAgain(t *testing.T) {
	s := &sink{spent: true}
	stage := &store.Facts{
		Sink: s, Graveyard: &graveyard{}, Deriver: &deriver{},
		Decode:   func(pipeline.Record) (event.Fact, error) { return event.Fact{}, nil },
		Revision: func(offset int64) uint64 { return 1<<40 | uint64(offset) },
	}
	b := &pipeline.Batch{Topic: "context", From: 5, To: 6, Records: []pipeline.Record{{Offset: 5}}, Doubted: true}
	if err := stage.Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"whence.facts": 1, "whence_state.batches": 1}; !maps.Equal(s.again, want) {
		t.Errorf("stored again: %v, want %v", s.again, want)
	}
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
)

// holding is a partition with records of these sizes, at every other offset from 10 on.
func holding(sizes ...int) *partition {
	p := &partition{next: 9}
	for i, size := range sizes {
		p.held = append(p.held, pipeline.Record{Offset: int64(10 + 2*i), Value: make([]byte, size)})
	}
	return p
}

func TestARoundTakesNoMoreBytesThanItMay(t *testing.T) {
	for _, c := range []struct {
		name  string
		left  int
		sizes []int
		want  []string
	}{
		{"all fit", 100, []int{10, 20, 30}, []string{"[9, 15) 3"}},
		{"some fit", 30, []int{10, 20, 30, 1}, []string{"[9, 13) 2", "[13, 15) 1", "[15, 17) 1"}},
		{"one is larger than the round", 10, []int{50, 1}, []string{"[9, 11) 1", "[11, 13) 1"}},
		{"values are empty", 1, []int{0, 0}, []string{"[9, 13) 2"}},
	} {
		p := holding(c.sizes...)
		var got []string
		for {
			left := c.left
			b, err := p.cut(&left, 0)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			p.next = b.To
			got = append(got, fmt.Sprintf("[%d, %d) %d", b.From, b.To, len(b.Records)))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestWhatIsLeftOfARoundIsForThePartitionsAfter(t *testing.T) {
	left := 60
	if b, err := holding(50, 50).cut(&left, 0); err != nil || len(b.Records) != 1 || left != 10 {
		t.Errorf("%+v %v, %d left", b, err, left)
	}
	if b, err := holding(50).cut(&left, 0); err != nil || len(b.Records) != 1 || left != -40 {
		t.Errorf("%+v %v, %d left", b, err, left)
	}
	if b, err := holding(1).cut(&left, 0); err != nil || b != nil {
		t.Errorf("a round that is full takes %+v, %v", b, err)
	}
}

func TestRecordsWeighWhatTheirRowsGetToo(t *testing.T) {
	left := 500
	if b, err := holding(50, 50, 50, 50).cut(&left, 200); err != nil || len(b.Records) != 2 || left != 0 {
		t.Errorf("%+v %v, %d left", b, err, left)
	}
	left = 2000
	if b, err := holding(1024, 1024).cut(&left, 200); err != nil || len(b.Records) != 1 || left != 2000-1024-3*200 {
		t.Errorf("a record of many rows: %+v %v, %d left", b, err, left)
	}
	left = 500
	if b, err := holding(50, 50).cut(&left, 1<<20); err != nil || len(b.Records) != 1 {
		t.Errorf("a row that is too wide for any round: %+v %v", b, err)
	}
}

func TestTheWidthOfRowsIsMeasuredAnewWhenAnotherFactIsKnown(t *testing.T) {
	asked, known := 0, uint64(1)
	s := session{Consumer: &Consumer{
		Width:    func() int { asked++; return 100 * asked },
		Revision: func() uint64 { return known },
	}}
	for range 3 {
		s.measure()
	}
	if s.width != 100 {
		t.Errorf("measured %d times of one state of knowledge", asked)
	}
	known, s.took = 2, 0
	if s.measure(); s.width != 200 {
		t.Errorf("a fact came, and rows are as wide as before: %d", s.width)
	}
	known, s.took = 3, time.Hour
	if s.measure(); s.width != 200 {
		t.Error("what takes an hour is measured with every fact")
	}
}

func TestOfTheWidestRowsAPollBringsAFewBatchesOfHundreds(t *testing.T) {
	for width, want := range map[int]int{0: 50_000, 2000: 50_000, 20_000: 26_173, 150_000: 3984, 10 << 20: 3984} {
		s := session{Consumer: &Consumer{MaxPollRecords: 50_000, Width: func() int { return width }, Revision: func() uint64 { return 0 }}}
		if got := s.most(); got != want {
			t.Errorf("%d records of rows that are %d bytes wide, want %d", got, width, want)
		}
		left := roundBytes
		if b, err := holding(slices.Repeat([]int{300}, 1000)...).cut(&left, s.width); err != nil || len(b.Records) < leastRecords*9/10 {
			t.Errorf("%d records a batch, %v", len(b.Records), err)
		}
	}
}

func TestAnAnnouncedBatchIsCutAsItWasHoweverFullTheRoundIs(t *testing.T) {
	left := 1000
	first, err := holding(50, 60).cut(&left, 0)
	if err != nil {
		t.Fatal(err)
	}
	again := holding(50, 60, 70)
	again.announced = announce(first, 0)
	left = 0
	if b, err := again.cut(&left, 0); err != nil || b == nil || len(b.Records) != 2 || b.Hash != first.Hash {
		t.Errorf("%+v %v", b, err)
	}
}

// ledger tells where a partition's ledger ends.
type ledger func() (int64, bool, error)

func (l ledger) LedgerEnd(context.Context, [16]byte, int32) (int64, bool, error) { return l() }

func TestAnOffsetThatAnOperatorHasSetIsNotCommittedAsOursBeforeTheLedgerHasAnswered(t *testing.T) {
	var answer error
	s := &session{
		Consumer: &Consumer{
			OnLost: LostLedger,
			Ledger: ledger(func() (int64, bool, error) { return 20, true, answer }),
		},
		log: zap.NewNop(),
	}
	p, err := s.standing("in", 0, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.owes(7, true) {
		t.Errorf("offset %d is committed before the ledger is asked", p.next)
	}
	answer = errors.New("no answer")
	if err := s.heed(t.Context(), p); !errors.Is(err, answer) || p.owes(7, true) {
		t.Errorf("%v, and offset %d is committed without an answer", err, p.next)
	}
	answer = nil
	if err := s.heed(t.Context(), p); err != nil || p.next != 20 || !p.owes(7, true) {
		t.Errorf("%v, offset %d, committed: %t; want the ledger's end, committed", err, p.next, p.owes(7, true))
	}
}

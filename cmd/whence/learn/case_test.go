package learn

import (
	"fmt"
	"math"
	"testing"

	"github.com/whencehq/whence/processors/correlate"
)

func TestAHypothesisIsTheConfirmedCause(t *testing.T) {
	for _, c := range []struct {
		confirmed cause
		kind, id  string
		want      bool
	}{
		{cause{Kind: "deployment", ID: "d"}, "deployment", "d", true},
		{cause{Kind: "deployment", ID: "d"}, "deployment", "e", false},
		{cause{Kind: "deployment", ID: "d"}, "flag", "d", false},
		{cause{Kind: "change", ID: "c"}, "migration", "c", true},
		{cause{Kind: "undeclared", ID: "cart"}, "undeclared", "cart", true},
		{cause{Kind: "none"}, "none", "", true},
		{cause{Kind: "none", ID: "d"}, "deployment", "d", false},
		{cause{Kind: "deployment"}, "none", "", true},
		{cause{Kind: "deployment"}, "deployment", "d", false},
	} {
		if got := c.confirmed.is(c.kind, c.id); got != c.want {
			t.Errorf("%+v is %s:%s is %v", c.confirmed, c.kind, c.id, got)
		}
	}
}

func terms(values ...float64) []correlate.Term {
	var all []correlate.Term
	for i, v := range values {
		all = append(all, correlate.Term{Name: fmt.Sprint("t", i), Value: v})
	}
	return all
}

func TestWhatCannotBeLearnedFromIsLeftOutForAReason(t *testing.T) {
	d, n := shown{"deployment", "d", terms(1)}, shown{"none", "", terms(0, 1)}
	for _, c := range []struct {
		name       string
		causes     []cause
		hypotheses []shown
		want       string
	}{
		{"never ranked", []cause{{"deployment", "d", 0}}, nil, notRanked},
		{"not among", []cause{{"deployment", "e", 0}}, []shown{d, n}, notAmong},
		{"alone", []cause{{"none", "", 1}}, []shown{n}, nothingElse},
		{"no evidence", []cause{{"none", "", 1}}, []shown{{"deployment", "d", nil}, {"none", "", nil}}, evidenceless},
		{"fine", []cause{{"deployment", "d", 1}}, []shown{d, n}, ""},
	} {
		if _, got := caseOf("i", c.causes, c.hypotheses); got != c.want {
			t.Errorf("%s: left out for %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOfSeveralConfirmedCausesAnyOneWillDo(t *testing.T) {
	hypotheses := []shown{{"deployment", "d", terms(1)}, {"flag", "f", terms(1)}, {"none", "", terms(1)}}
	c, reason := caseOf("i", []cause{{"flag", "f", 2}, {"deployment", "d", 1}, {"flag", "f", 2}, {"change", "x", 0}}, hypotheses)
	if reason != "" || fmt.Sprint(c.Example.True) != "[0 1]" || c.Rank != 1 {
		t.Errorf("%q, true %v, rank %d", reason, c.Example.True, c.Rank)
	}
}

func TestWhatWasShownLowCountsMore(t *testing.T) {
	for _, c := range []struct {
		rank       int
		eta, least float64
		want       float64
	}{
		{0, 1, 0.2, 1}, {1, 1, 0.2, 1}, {2, 1, 0.2, 2}, {4, 0.5, 0.2, 2}, {4, 0, 0.2, 1}, {100, 1, 0.2, 5}, {math.MaxInt, 10, 0.01, 100},
	} {
		one := Case{Rank: c.rank}
		if got := one.importance(c.eta, c.least); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("rank %d, eta %v: counts %v times, want %v", c.rank, c.eta, got, c.want)
		}
	}
}

func TestTheSameIncidentsAreHeldBackEachTime(t *testing.T) {
	held, n := 0, 10_000
	for i := range n {
		c := Case{Incident: fmt.Sprint("inc-", i)}
		if c.heldBack(0.2) && !c.heldBack(0.4) || c.heldBack(0) {
			t.Fatalf("%s is held back of one share and not of a greater one", c.Incident)
		}
		if c.heldBack(0.2) {
			held++
		}
	}
	if share := float64(held) / float64(n); math.Abs(share-0.2) > 0.015 {
		t.Errorf("%v are held back of 0.2", share)
	}
}

func TestWhatIsSaidOfAnIncidentIsPutTogether(t *testing.T) {
	all := byIncident([]confirmation{
		{"a", "none", "", 1, 30}, {"b", "deployment", "d", 2, 10}, {"b", "flag", "f", 0, 5},
	})
	if got := fmt.Sprint(all); got != "[{a 30 [{none  1}]} {b 5 [{deployment d 2} {flag f 0}]}]" {
		t.Error(got)
	}
}

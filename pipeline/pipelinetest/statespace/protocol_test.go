package statespace

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestTheIntactProtocolLosesNothingInAnyInterleaving(t *testing.T) {
	for _, c := range []struct {
		about string
		scope Scope
		large bool
	}{
		{"batches of one partition, as many faults as may be", Scope{Partitions: 1, Records: 3, Faults: 9}, false},
		{"batches of two partitions", Scope{Partitions: 2, Records: 2, Faults: 3}, false},
		{"longer partitions", Scope{Partitions: 2, Records: 3, Faults: 1}, false},

		{"two partitions, two facts", Scope{Partitions: 2, Records: 1, Facts: 2, Passes: 1}, false},
		{"two partitions, two facts, a fault", Scope{Partitions: 2, Records: 1, Facts: 2, Passes: 1, Faults: 1}, true},
		{"two partitions, two facts, two passes", Scope{Partitions: 2, Records: 1, Facts: 2, Passes: 2}, true},
		{"two partitions of two records, two facts", Scope{Partitions: 2, Records: 2, Facts: 2, Passes: 1}, true},
		{"two partitions, a fact, two passes", Scope{Partitions: 2, Records: 1, Facts: 1, Passes: 2, Faults: 1}, false},
		{"three records, a fact", Scope{Partitions: 1, Records: 3, Facts: 1, Passes: 1, Faults: 1}, false},
		{"two records, two facts", Scope{Partitions: 1, Records: 2, Facts: 2, Passes: 1, Faults: 1}, false},
		{"a record, two facts, more faults", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 3}, true},
		{"a record, two facts, two passes", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 2}, true},

		{"a fact that undoes the other, two passes", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, Undoing: true}, false},
		{"the same with more faults", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 2, Undoing: true}, true},
		{"three facts that undo each other, a pass that may be broken off", Scope{Partitions: 1, Records: 1, Facts: 3, Passes: 1, Faults: 1, Undoing: true}, false},
		{"a command beside a pass, facts that undo each other", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, Undoing: true, Commands: true}, true},
		{"three facts that undo each other, two passes; with WHENCE_FAULTS=1 one may be a command", Scope{Partitions: 1, Records: 1, Facts: 3, Passes: 2, Undoing: true, Commands: true}, true},
		{"two records, facts that undo each other", Scope{Partitions: 1, Records: 2, Facts: 2, Passes: 1, Faults: 1, Undoing: true}, true},
		{"a partition that passes have not heard of", Scope{Partitions: 1, Records: 2, Facts: 2, Passes: 1, Faults: 1, Unheard: true}, false},
		{"two of them", Scope{Partitions: 2, Records: 1, Facts: 2, Passes: 1, Unheard: true}, true},
		{"inserts after the token window", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 2, Window: true}, false},
		{"the same beside two passes", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 2, Window: true}, true},
		{"what was stored first is in the history", Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, History: FirstStored}, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			skipLarge(t, c.large)
			t.Parallel()
			c.scope.Faults += moreFaults(t)
			holds(t, c.scope.String(), Protocol{Scope: c.scope}.Spec())
		})
	}
}

// Each safeguard is there because there is an interleaving that needs it.
func TestLeavingOutOrReorderingAnyOneStepShows(t *testing.T) {
	const (
		overlap = "in the ledger"
		twice   = "is stored twice"
		lost    = "is committed and not stored"
		stale   = "for good"
		open    = "are not closed"
		forgot  = "in no history"
	)
	ingest := Scope{Partitions: 1, Records: 2, Faults: 2}
	late := Scope{Partitions: 1, Records: 1, Facts: 1, Passes: 1, Faults: 1}
	undone := Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Undoing: true}
	commanded := Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, Undoing: true, Commands: true}
	brokenOff := Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 1, Undoing: true}
	cases := []struct {
		without  string
		mutation Mutation
		scope    Scope
		breaks   string
	}{
		{"no intent is committed", NoIntent, ingest, overlap},
		{"the insert does not wait for the intent", InsertBeforeIntent, ingest, overlap},
		{"the commit does not wait for the insert", CommitBeforeInsert, ingest, lost},
		{"a revocation does not wait for an insert, and the former owner commits late", NoLockInInsert, Scope{Partitions: 1, Records: 3}, overlap},
		{"a revocation does not wait for a commit", NoLockInCommit, ingest, overlap},
		{"a revocation does not wait for a heartbeat", NoLockInHeartbeat, Scope{Partitions: 1, Records: 2, Facts: 1, Passes: 1, Faults: 1}, overlap},
		{"a commit without an answer is sent again", CommitTwice, Scope{Partitions: 1, Records: 3, Faults: 1}, overlap},
		{"a member that is let in again commits under its new id", AnyMember, ingest, overlap},
		{"an insert has no token", NoToken, ingest, twice},
		{"the last row written counts, not the greatest revision", LastWriteWins, Scope{Partitions: 1, Records: 1, Facts: 1, Passes: 1, Faults: 1, Window: true}, stale},

		{"a new owner does not wait for what is known", NoFloor, late, stale},
		{"it asks what is known before it is assigned the partition", FloorBeforeAssignment, late, stale},
		{"it asks before it announces the first batch of a partition that passes have not heard of", FloorBeforeIntent, Scope{Partitions: 1, Records: 1, Facts: 1, Passes: 1, Unheard: true}, stale},
		{"idle partitions say nothing", NoHeartbeat, late, open},
		{"a heartbeat raises the revision of an announced batch", HeartbeatOverAnnounced, late, stale},
		{"an observation before the horizon is stored at revision 0", HorizonAtZero, late, stale},

		{"a fact is judged to be on time", OnTime, late, stale},
		{"idle partitions are not waited for", IdleNotWaitedFor, late, stale},
		{"one partition is waited for", OnePartitionWaitedFor, Scope{Partitions: 2, Records: 1, Facts: 1, Passes: 1}, stale},
		{"the commits are read after the scan", ScanBeforeCommits, late, stale},
		{"the cursor is moved before the rows are rewritten", CloseBeforeRewrite, late, stale},
		{"the cursor is moved to the end of the log", CloseAtEnd, Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1}, stale},
		{"the history is written after the rewrite", ImageAfterRewrite, Scope{Partitions: 1, Records: 1, Facts: 1, Passes: 1, Faults: 1, History: FirstStored}, forgot},
		{"a row that is right is left to whoever may still rewrite it", NoDoubt, undone, stale},
		{"a row that is right is left to a rewrite of its own that took too long", TriedIsForgotten, brokenOff, stale},
		{"a pass that is overtaken goes on with what it knew", Overtaken, undone, stale},
		{"it looks what is announced before it announces", LookBeforeAnnouncing, undone, stale},
		{"what a pass has announced ends with it, though a rewrite took too long", CutIsSettled, Scope{Partitions: 1, Records: 1, Facts: 3, Passes: 2, Undoing: true}, stale},
		{"passes don't see commands", CommandUnseen, commanded, stale},
		{"a command doesn't ask what passes know", CommandKnowsLess, commanded, stale},
		{"what a pass has announced that is closed is forgotten", NoKnown, undone, stale},
		{"what a pass has announced that was broken off is forgotten", NoOrphans, brokenOff, stale},
	}
	if len(cases) != int(mutations)-1 {
		t.Errorf("%d cases for %d mutations", len(cases), mutations-1)
	}
	for _, c := range cases {
		t.Run(c.without, func(t *testing.T) {
			if c.mutation == CutIsSettled {
				if moreFaults(t) == 0 {
					t.Skip("millions of states: WHENCE_FAULTS=1")
				}
				c.scope.Faults = 1
			}
			t.Parallel()
			holds(t, c.scope.String(), Protocol{Scope: c.scope}.Spec())
			mutant := Protocol{c.scope, c.mutation}.Spec()
			if c.breaks != open {
				mutant.Quiet = func(System) error { return nil } // it is stuck sooner than it does harm
			}
			breaks(t, mutant, c.breaks)
		})
	}
}

// Images are copied before a rewrite, but another pass's rewrite, or that of a
// pass that was broken off, may land between copy and rewrite. What it said was
// in the table for that moment and is in no history.
func TestWhatALateRewriteSaidForAMomentMayBeInNoHistory(t *testing.T) {
	for about, scope := range map[string]Scope{
		"of a pass that was broken off": {Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 1, History: EverythingSaid},
		"of another pass":               {Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 0, History: EverythingSaid},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			breaks(t, Protocol{Scope: scope}.Spec(), "in no history")
		})
	}
}

func TestWritingARewritesOwnImageAheadOfItKeepsEverythingSaid(t *testing.T) {
	t.Parallel()
	scope := Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, History: EverythingSaid, ImagesAhead: true}
	holds(t, scope.String(), Protocol{Scope: scope}.Spec())
}

// A model in which the interesting things never happen holds too.
func TestEveryStepOfTheProtocolHappens(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{
		"fact 2 comes onto": true, "joins the group": true, "learns that the group has dropped it": true,
		"lets worker 1 in again": true, "finds that it has another id": true, "notices that worker 1 is gone": true,
		"crashes": true, "is paused, and the group drops it": true, "floor 2": true, "announced end 1": true, "is revoked": true,
		"announces [0, 1) of partition 0, at revision 2": true, "inserts [0, 1)": true, "and commits 1": true,
		"says of the idle partition": true, "announced end 0, revision 2": true,
		"is stored, enriched at revision 1": true, "after its token is forgotten, enriched at revision 1": true,
		"is rewritten at revision 2": true, "it is to close the facts from 1 to 2": true, "from 2 to 2": true,
		"commits promise revision 2": true, "finds 1 rows": true, "finds 0 rows": true, "copies to the history": true,
		"announces revision 2": true, "is known, and takes the row again": true, "has waited too long": true, "command 0 has to know revision 2": true, "command 0 is done": true, "below revision 1 may still be rewritten": true,
		"sends it again, at revision 2": true, "nothing to rewrite": true, "hears that it is rewritten": true,
		"is broken off": true, "closes the facts up to 2": true,
	}
	spec := Protocol{Scope: Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 2, Faults: 1, Window: true}}.Spec()
	watch(t, &spec, missing)
	spec = Protocol{Scope: Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 2, Window: true}}.Spec()
	watch(t, &spec, missing)
	spec = Protocol{Scope: Scope{Partitions: 1, Records: 1, Facts: 2, Passes: 1, Faults: 1, Commands: true}}.Spec()
	watch(t, &spec, missing)
	spec = Protocol{Scope: Scope{Partitions: 1, Records: 1, Facts: 1, Passes: 1, History: FirstStored}}.Spec()
	watch(t, &spec, missing)
	for text := range missing {
		t.Errorf("never happens: %s", text)
	}
}

func TestStatesThatDifferInNamesAreTheSame(t *testing.T) {
	t.Parallel()
	m := Protocol{Scope: Scope{Partitions: 2, Records: 1, Facts: 1, Passes: 2}}
	spec := m.Spec()
	spec.Always = func(s System) error {
		for n := range 8 {
			other := s
			if n&1 != 0 {
				other.swapWorkers()
			}
			if n&2 != 0 {
				other.swapPartitions(1)
			}
			if n&4 != 0 {
				other.swapPasses()
			}
			if m.Same(other) != s {
				t.Fatalf("%+v\nis not the same as\n%+v", other, s)
			}
		}
		return nil
	}
	holds(t, m.String(), spec)
}

func TestStatesAreAllOfBytes(t *testing.T) {
	for _, state := range []any{System{}, Minute{}} {
		n := 0
		count(t, reflect.TypeOf(state), &n)
		if size := int(reflect.TypeOf(state).Size()); n != size {
			t.Errorf("%T: %d bytes, of which %d are fields", state, size, n)
		}
	}
}

func count(t *testing.T, typ reflect.Type, n *int) {
	switch typ.Kind() {
	case reflect.Uint8:
		*n++
	case reflect.Array:
		for range typ.Len() {
			count(t, typ.Elem(), n)
		}
	case reflect.Struct:
		for i := range typ.NumField() {
			count(t, typ.Field(i).Type, n)
		}
	default:
		t.Errorf("%v is no byte", typ)
	}
}

func TestRangesAreNumberedWithoutGaps(t *testing.T) {
	for n := range uint8(ranges) {
		from, to := bounds(n)
		if from >= to || to > records || rangeOf(from, to) != n {
			t.Errorf("range %d is [%d, %d), which is range %d", n, from, to, rangeOf(from, to))
		}
	}
}

// watch strikes off what happens.
func watch[S comparable](t *testing.T, spec *Spec[S], missing map[string]bool) {
	t.Helper()
	steps := spec.Steps
	spec.Steps = func(s S, happen Happen[S]) {
		steps(s, func(kind Kind, to S, text string, args ...any) {
			if len(missing) > 0 {
				line := fmt.Sprintf(text, args...)
				for m := range missing {
					if strings.Contains(line, m) {
						delete(missing, m)
					}
				}
			}
			happen(kind, to, text, args...)
		})
	}
	holds(t, "watched", *spec)
}

package statespace

import (
	"bytes"
	"fmt"
)

// Protocol is ingest and reconcile together, in a scope, whole or with one
// mutation.
type Protocol struct {
	Scope
	Mutation Mutation
}

// Scope bounds what is explored. Workers are always two.
type Scope struct {
	Partitions, Records, Facts, Passes int
	// Faults bounds crashes, sessions that expire, members that are let in
	// again, passes that are broken off and inserts beyond the token window,
	// together. Being late is no fault: every step may be as late as it likes.
	// Nor is a rebalance.
	Faults int
	// Commands: a pass may be a command. That it begins is one of the faults.
	Commands bool
	// Undoing: a fact undoes what the one before it did.
	Undoing bool
	// Unheard: passes wait for no partition that nobody has committed anything
	// of. It may be too new for them to have heard of.
	Unheard bool
	// Window: the store forgets the tokens of completed batches.
	Window bool
	// History: what was told before must be found in the history.
	History History
	// ImagesAhead: a rewrite's own image is written before it too.
	ImagesAhead bool
}

func (s Scope) String() string {
	return fmt.Sprintf("workers %d, partitions %d, records %d each, facts %d, passes %d, faults %d",
		workers, s.Partitions, s.Records, s.Facts, s.Passes, s.Faults)
}

// History is which images are asked for.
type History uint8

// What must be found in the history once no pass is under way.
const (
	NoHistory      History = iota
	FirstStored            // what each row said when it was stored as new
	EverythingSaid         // everything that a reader can ever have been told
)

// Mutation is one step left out or done in another order.
type Mutation uint8

// The mutations.
const (
	None Mutation = iota

	NoIntent           // a batch is inserted without being announced
	InsertBeforeIntent // ... before its announcement is taken
	CommitBeforeInsert // a batch is committed before its insert is acknowledged
	NoLockInInsert     // a revocation does not wait for an insert; its batch is committed late
	NoLockInCommit     // ... for a commit, and the worker goes on
	NoLockInHeartbeat  // ... for the heartbeat of an idle partition
	CommitTwice        // a commit without an answer is sent again
	AnyMember          // commits go out under whatever id the group knows us by
	NoToken            // inserts have no token
	LastWriteWins      // rows replace each other by time, not by revision

	NoFloor                // a new owner enriches with the timeline that it has
	FloorBeforeAssignment  // it asks for the end of the context log when it joins
	FloorBeforeIntent      // ... before the first batch of a partition that passes may not have heard of is announced
	NoHeartbeat            // an idle partition's revision is not committed again
	HeartbeatOverAnnounced // that of a partition with an announced batch is, too
	HorizonAtZero          // an observation before the horizon is stored at revision 0

	OnTime                // a pass does not wait for commits
	IdleNotWaitedFor      // ... for those of partitions with nothing announced
	OnePartitionWaitedFor // ... for more than one partition
	ScanBeforeCommits     // it scans first, then reads the commits
	CloseBeforeRewrite    // it closes, then rewrites
	CloseAtEnd            // it closes what is on the log when it ends, not when it began
	ImageAfterRewrite     // it rewrites, then copies what was there
	NoDoubt               // it leaves a row that is right to a rewrite that may be under way
	Overtaken             // it rewrites with what it knew, though others know more
	LookBeforeAnnouncing  // it looks who else rewrites rows before it announces its own revision
	TriedIsForgotten      // ... to one of its own that took too long
	CutIsSettled          // what a pass has announced ends with it, though a rewrite took too long
	CommandUnseen         // passes don't see commands
	CommandKnowsLess      // a command doesn't ask what passes know
	NoOrphans             // nobody sees what a pass has announced that was broken off
	NoKnown               // ... or that is closed

	mutations
)

// Spec of the protocol.
func (m Protocol) Spec() Spec[System] {
	return Spec[System]{Steps: m.Steps, Same: m.Same, Always: m.Always, Quiet: m.Quiet}
}

// Steps of everybody.
func (m Protocol) Steps(s System, happen Happen[System]) {
	if int(s.Facts) < m.Facts {
		to := s
		to.Facts++
		happen(Fault, to, "fact %d comes onto the context log", to.Facts)
	}
	for w := range uint8(workers) {
		m.group(s, w, happen)
		m.worker(s, w, happen)
	}
	for p := range uint8(m.Partitions) {
		m.store(s, p, happen)
	}
	for r := range uint8(m.Passes) {
		m.pass(s, r, happen)
	}
}

// fault takes a step that counts as one of the scope's Faults, as long as there
// are some left.
func (m Protocol) fault(to System, happen Happen[System], text string, args ...any) {
	if to.Faults++; int(to.Faults) <= m.Faults {
		happen(Fault, to, text, args...)
	}
}

// Same: workers, partitions and passes are alike, so of the states that differ
// in their numbers alone one is visited: the least.
func (m Protocol) Same(s System) System {
	m.prune(&s)
	least := s
	for n := 1; n < 8; n++ {
		if n&2 != 0 && m.Partitions < 2 || n&4 != 0 && m.Passes < 2 {
			continue
		}
		t := s
		if n&1 != 0 {
			t.swapWorkers()
		}
		if n&2 != 0 {
			t.swapPartitions(uint8(m.Records))
		}
		if n&4 != 0 {
			t.swapPasses()
		}
		if bytes.Compare(bytesOf(&t), bytesOf(&least)) < 0 {
			least = t
		}
	}
	return least
}

// prune forgets what can't matter any more: inserts that their token will
// drop, hands of dropped members that can't send one, and announcements that
// the cursor has passed.
func (m Protocol) prune(s *System) {
	s.Orphans &^= 1<<(s.Cursor+1) - 1
	for p := range s.Partitions {
		part := &s.Partitions[p]
		for n := range uint8(ranges) {
			if part.Ledger.has(n) && !m.Window && m.Mutation != NoToken {
				part.Sent[n] = 0
			}
		}
		for w := range s.Workers {
			me := &s.Workers[w]
			h := &me.Hands[p]
			mute := (me.Session == Dropped || me.Session == Again) && m.Mutation != AnyMember
			if mute && !(h.Doing == Idle && h.To > 0) {
				*h = Hand{}
			}
		}
	}
}

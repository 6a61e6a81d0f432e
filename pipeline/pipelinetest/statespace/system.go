package statespace

import (
	"math/bits"
	"unsafe"
)

// The bounds of the model. A Scope chooses within them.
const (
	workers    = 2
	partitions = 2
	records    = 3
	revisions  = 4 // 0 and three facts
	passes     = 2
	ranges     = records * (records + 1) / 2
)

// System is one state of everything: context log, group, store, workers, and
// passes of reconcile. It is a plain value, all of bytes.
type System struct {
	Facts      uint8 // the end of the context log; revision r knows the facts 1 to r
	Cursor     uint8 // the facts up to it are closed
	Faults     uint8 // how many have happened
	Known      uint8 // the latest revision that a closed pass has announced
	Orphans    Set   // what passes have announced that were broken off, by revision; and commands
	Partitions [partitions]Partition
	Workers    [workers]Worker
	Passes     [passes]Pass
}

// Partition is what Kafka and ClickHouse have of one partition. Its records
// are all in the log from the beginning: which of them a worker has fetched
// shows in where it lets a batch end.
type Partition struct {
	Commit Commit
	Owner  uint8 // the member it is assigned to: worker + 1; 0: nobody
	Ledger Set   // the ranges that are stored: tokens used, and rows of `batches`
	// Sent are the inserts that were ever sent: for each range the revisions.
	// Each may arrive at any time, more than once, or never.
	Sent [ranges]Set
	Rows [records]Row
}

// Commit is the group's commit with its metadata.
type Commit struct {
	Offset   uint8
	End      uint8 // [Offset, End) is announced; 0: nothing is
	Revision uint8
}

// Row is what `observations` says of one record.
type Row struct {
	Raw      uint8 // how often it was stored as new; 2: more than once
	Told     uint8 // what a reader gets: 1 + the revision of the row that replaces all others; 0: nothing
	Rewrites Set   // on their way, by revision: who sent one may be dead

	// The rest is kept where a scope asks for History.
	Again   uint8 // 1: Told was rewritten, not stored as new
	Images  Set   // what is in `observations_history`, by revision
	Missing Set   // what a reader was told once and can't look up
}

// Worker is a process and its session in the group.
type Worker struct {
	Session Session
	// Timeline is the revision that its timeline is known to have reached. The
	// fold goes on by itself: whenever it is asked, it may be anywhere from
	// there to the end of the log.
	Timeline uint8
	Hands    [partitions]Hand
}

// Session is a worker's membership.
type Session uint8

// The states of a session.
const (
	Out     Session = iota // none
	In                     // a session, and its member is in the group
	Dropped                // a session; the group has dropped its member, which it does not know
	Again                  // dropped, and let in again under another id: nor does it know that
	Left                   // no session (a crash, or it gave up); the group has not noticed yet
)

// Hand is what a session holds of a partition that it believes to be its own.
type Hand struct {
	Doing    Doing
	From, To uint8 // the batch; To 0: none is cut
	Revision uint8 // of the commit or insert under way
	Floor    uint8 // nothing is enriched below
	Asked    uint8 // 1: it was asked for, after a batch was announced. Of scopes with Unheard only

	// Of mutants only: 1: the second copy of a commit is on its way; 1: the
	// partition was revoked while a commit was.
	Copied  uint8
	Copy    Commit
	Revoked uint8
}

// Doing is how far a hand is.
type Doing uint8

// The steps of a batch.
const (
	Nothing    Doing = iota // the partition is not ours
	Idle                    // with To: that batch is announced, by us or by a former owner
	Announcing              // the intent is on its way
	Inserting               // the block is on its way
	Completing              // the commit of To is on its way
	Beating                 // the idle partition's revision is on its way
)

// committing tells whether a commit is on its way.
func (h *Hand) committing() bool {
	return h.Doing == Announcing || h.Doing == Completing || h.Doing == Beating
}

// Pass is one run of reconcile. Two may overlap.
type Pass struct {
	Phase   Phase
	Command uint8 // 1: it closes nothing, and looks at all rows up to revision Upto
	From    uint8 // the cursor when it began; of a command the least revision that it has to know
	Upto    uint8 // it is to close the facts (From, Upto]
	Todo    Set   // the places of the rows that were found and are not done
	At      uint8 // the place of the row it is at: partition * records + record
	Rewrite uint8 // the revision that its contexts for that row are of
	Least   uint8 // they must be of this one at least
	Said    Set   // what it has announced: the revisions that it has rewritten rows at
	Cut     Set   // the revisions of rewrites that took too long: they stay announced
	Tried   uint8 // the revision of a rewrite of that row that took too long, and may still be under way
	Doubt   uint8 // rows below it may still be rewritten by somebody else
	Image   uint8 // if images are written late: 1 + the revision of the one in hand
}

// Phase is how far a pass is.
type Phase uint8

// The phases of a pass.
const (
	Asleep     Phase = iota
	Commanding       // about to ask what it has to know
	Waiting          // for the commits of all partitions
	Scanning         // about to
	Working          // through what it found
	Decided          // what row At is to say
	Announced        // everybody can see that it does so at revision Rewrite
	Looked           // it has seen who else does
	Copied           // the image of row At is in the history
	Rewriting        // row At, at revision Rewrite
)

// Set is a set of revisions, of ranges or of places.
type Set uint8

func (s Set) has(i uint8) bool    { return s&(1<<i) != 0 }
func (s Set) with(i uint8) Set    { return s | 1<<i }
func (s Set) without(i uint8) Set { return s &^ (1 << i) }

// last is the greatest member, 0 if there is none.
func (s Set) last() uint8 { return uint8(max(bits.Len8(uint8(s)), 1) - 1) }

// always is a member of the announcements of commands: no revision is beyond it.
const always = 7

// rangeOf numbers the ranges [from, to).
func rangeOf(from, to uint8) uint8 { return to*(to-1)/2 + from }

// bounds is the inverse of rangeOf.
func bounds(n uint8) (from, to uint8) {
	for to = 1; to*(to+1)/2 <= n; {
		to++
	}
	return n - to*(to-1)/2, to
}

// bytesOf gives states an order. All of their fields are bytes, so there is no
// padding between them (TestStatesAreAllOfBytes).
func bytesOf[S any](s *S) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

func (s *System) swapWorkers() {
	s.Workers[0], s.Workers[1] = s.Workers[1], s.Workers[0]
	for p := range s.Partitions {
		if o := &s.Partitions[p].Owner; *o > 0 {
			*o = workers + 1 - *o
		}
	}
}

// swapPartitions of n records each.
func (s *System) swapPartitions(n uint8) {
	s.Partitions[0], s.Partitions[1] = s.Partitions[1], s.Partitions[0]
	for w := range s.Workers {
		h := &s.Workers[w].Hands
		h[0], h[1] = h[1], h[0]
	}
	for i := range s.Passes {
		p := &s.Passes[i]
		p.Todo = p.Todo>>n | p.Todo&(1<<n-1)<<n
		if p.Phase >= Decided || p.Least > 0 {
			p.At = (p.At + n) % (2 * n)
		}
	}
}

func (s *System) swapPasses() { s.Passes[0], s.Passes[1] = s.Passes[1], s.Passes[0] }

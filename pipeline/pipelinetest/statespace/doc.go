// Package statespace is the protocol that the whole of whence's exactness rests
// on, small enough to try every interleaving of it. The tests do: they visit all
// states of a worker pair's world breadth first, and print the shortest way into
// any that the laws forbid, one line a step. Then they leave one step out, or
// do it in another order, and see to it that there is such a way. The code is
// meant to be read as the specification: system.go says what a state is,
// protocol.go what may happen in it, law.go what must not.
//
//	r, err := Explore(Protocol{Scope: scope}.Spec(), limit)             // r.Violation == nil
//	r, err := Explore(Protocol{scope, ScanBeforeCommits}.Spec(), limit) // r.Trace
//
// WHENCE_FAULTS=1 lets one fault more happen than every run of the tests has
// time for; that takes minutes and gigabytes: the largest scope has twenty
// million states then.
//
// # What is modelled, and where it is in the code
//
// Ingest and reconcile are one model, because each relies on what the other
// promises:
//
//	group.go      membership, assignment,      pipeline/kafka/session.go: open, fetched, revoked, leave;
//	              revocation, being dropped    commit (the check of the member's id)
//	              and let in again
//	worker.go     intent, insert, commit,      session.go: cut, announce, reachFloor, process, complete, commit,
//	              the floor, heartbeats of     promise (beat here); intent.go
//	              idle partitions
//	store.go      tokens, rows that replace    processors/store/processor.go: insert; pipeline/clickhouse/insert.go;
//	              each other, the ledger       schemas/clickhouse/migrations: observations, batches
//	reconcile.go  passes, the cursor, images,  processors/reconcile: Close, informed; pipeline/kafka/promises.go: Read;
//	              what passes announce,        pipeline/clickhouse/correct.go: Announce, AnnounceCommand, Correct, Closed,
//	              commands                     Settle; cmd/whence/forced.go
//	law.go        laws 1 and 2, and what a     Client.LedgerGaps; whence verify; pipeline/pipelinetest/oracle
//	              closed fact promises
//
// sealing.go is a model of its own: a batch stores rows and then touches their
// minute, a pass of reconcile rewrites and then touches, a sealer reads the
// touches and then computes; a seal is valid while no touch has come since. It
// has the token's row hash in it too (processors/store.insert).
//
// Every step may be as late as it likes, so a pause needs no step of its own:
// the group drops a worker at any time, others go on, and the worker resumes
// where it was. A request may be answered late or never, arrive late or never;
// an insert may arrive again for ever, whatever has become of its sender.
// What a worker's timeline shows is decided when it looks: anything between what
// it has seen before and the end of the context log.
//
// Faults are counted and bounded: a crash (a session that gives up for want of
// an answer is the same to everybody else), a member dropped, one let in again
// under another id, a pass broken off, a command, a rewrite that nobody waits for any longer,
// an insert after its token was forgotten.
// Where nothing but faults could happen any more all records must be committed,
// all facts closed, every row say what the batch computation says, and every run
// must get there: a circle of steps without a fault is a violation too.
//
// # What is left out
//
//   - Generations. The group here takes a commit from whoever is a member; the
//     real one refuses some more. Whatever holds here does not need them.
//   - The lease (lease.go). A worker that was paused inserts here, and tokens
//     cope with it; the lease only makes that rare.
//   - Rounds. Partitions go on by themselves, each with a lock of its own; that
//     all of a worker go step by step, with one request for their commits, is
//     among these interleavings.
//   - A batch's tables. They are one insert: each has a token over the same
//     range, and the ledger, stored last, is retried like the rest. An insert is
//     stored whole or not at all.
//   - Values. A row that was enriched at revision r is right about the facts up
//     to r. Each fact makes a difference to the rows it concerns, or takes back
//     what the one before it did. That the regions of the timeline's journal cover
//     these is for its property tests.
//   - Topics made anew, logs truncated, offsets expired, another context log.
//     Partitions that are added are those that passes have not heard of (Unheard).
//   - Several servers. The store here shows at once what it has acknowledged; of
//     replicas, the one that is asked must have what any has acknowledged.
//   - Time. That a token outlives the retries of its batch is assumed (Window).
//
// # Bounds
//
// Two workers; up to two partitions, three records each, three facts, two passes;
// one to nine faults. Workers, partitions and passes are interchangeable: of the
// states that differ in their numbers one is visited. Beyond the bounds nothing
// is proven.
//
// # Known limits
//
// Tests show these too: what a rewrite said that landed between another pass's
// copy and its rewrite is in no history
// (TestWhatALateRewriteSaidForAMomentMayBeInNoHistory), and a seal may be wrong
// where workers of two versions take a batch from each other that they
// understand differently
// (TestAnOlderProgramThatTakesABatchUpMayLeaveASealWrong).
package statespace

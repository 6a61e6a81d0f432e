// Package chaos breaks one thing after another under a running pipeline, and
// compares what is stored with a naive model afterwards: law 1 and law 2 under
// every fault that we could think of.
//
//	make chaos SEED=7 ROUNDS=200 OBSERVATIONS=20000000
//	go test ./bench/chaos                               # as many kinds of fault as the budget allows, as CI does
//
// What runs are real processes on loopback: three Kafka nodes, the engine, and
// workers, with proxies in all links between them. A publisher says what a
// [world.World] makes, and keeps an exact [record] of what Kafka has
// acknowledged. A round is: a fault is injected while events flow, its effect
// is waited for, it is healed, the time until everything that was published by
// then is in the ledger is measured, the flow stops, and when all is quiet the
// tables are compared with the record.
//
// Without ROUNDS each kind but the longest comes once, in the order of the seed,
// until the budget (-budget, five minutes) is spent. The seed is the commit's unless
// -seed gives one, so that over the commits each kind comes; a run names its seed.
// With ROUNDS too a budget ends the faults, but for the longest: these, the rest of the
// observations and the last comparison come after it.
//
// The seed decides the world and the order and the parameters of the faults.
// It does not decide how processes are scheduled, so a failing seed makes the
// same attempt again, which need not fail each time.
//
// Compared with what Kafka has acknowledged are, after each fault: how many
// observations, facts and other events there are, one an identity; how many rows
// were ever inserted, with the sums of their values and offsets, in a view's target
// that replaces nothing; the ledger, partition by partition; and each dead letter, by
// its place, reason, content type and a hash of its bytes. At the end, and now and
// then in a full run, also
//
//   - of each observation every column that a world states, and every enriched one
//     with the model's answer,
//   - of what rows said before they were corrected a few images of some revisions,
//     with the model's answer from what was known then, and that each row which was
//     corrected has one,
//   - the contents of facts by their hashes, and the conflicts between them,
//   - what whence verify computes once more from the facts and observations as they
//     are stored: rows, vitals, entities, the table of facts and the ledger.
//
// Not compared are: what other events say (they are counted); columns of
// observations that no world states (sessions, weights, attributes, frames, callers,
// traces and the like), the hash of a content but where two compete, and where each row
// came from (but for that sum of offsets); what dead letters say beside the above; edges;
// links, rankings, verdicts, decisions and notices; whence.enriched.
//
// What the harness can't see missing it does not check. So each safeguard is
// taken out of the workers once, in a story that leads them to the one moment at
// which it is needed ([pipeline.MutationsVariable], make safeguards):
//
//	no-intent          a batch is not announced, so the next owner cuts another one
//	no-token           an insert has no token, so a repetition is stored twice
//	no-lock            a rebalance does not wait for the round, so a late commit counts
//	no-revision-guard  nobody waits for what is known and promised, so a fact is closed
//	                   before a batch that was enriched without it is stored
//	no-announcement    nobody says what they rewrite rows at, so a late rewrite spoils what
//	                   another one has found right
//	no-reseal          a correction touches no minute, so vitals stay as they were
package chaos

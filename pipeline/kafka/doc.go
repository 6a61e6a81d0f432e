// Package kafka runs chains of processors over Kafka partitions, exactly once
// into the store, without Kafka transactions. It is the only package that
// talks to franz-go.
//
// # The protocol
//
// For the records [a, b) of a partition a [Consumer] does, in this order:
//
//  1. intent: commits offset a with metadata that names b, the number of
//     records and a hash of their raw bytes;
//  2. processes them: facts are acknowledged by the context log, every table's
//     block is inserted under the token table|topic id|partition|a|b|hash|rows;
//  3. commits b.
//
// Whoever is assigned the partition next reads the metadata back before its
// first fetch, rebuilds exactly [a, b), checks the hash and inserts under the
// same tokens, which the store recognises.
//
// # Non-obvious
//
//   - A member that lost a partition and is still in the group isn't fenced:
//     its late commit would be accepted and erase the new owner's intent.
//     Rebalances are blocked from poll to the acknowledged commit
//     (kgo.BlockRebalanceOnPoll), so a revocation waits for inserts and
//     commits in flight.
//   - A member that is dropped while it joins is let in again under another id,
//     and franz-go goes on with what it has fetched. Commits go out only under
//     the id that the partitions were assigned to.
//   - A commit without an answer may or may not have happened. The session
//     ends then: the client leaves the group, after which a late commit is
//     refused as one of an unknown member.
//   - A partition without a committed offset is new only if the ledger has
//     never seen it. Otherwise its offset has expired or was deleted, and
//     starting anywhere by itself would lose or repeat records: it stops with
//     an error, and an operator chooses.
//   - A partition that stops (log truncated below an announced batch, offset
//     lost) stops alone.
package kafka

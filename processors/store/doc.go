// Package store is the last stage: it lays a batch out as one block a table
// and inserts the blocks under the batch's tokens, so that a repeated insert of
// the same batch changes nothing. What became of the batch is written to the
// ledger last: a range is in the ledger only if all its rows are stored.
//
// [Events] stores what the input topics bring: observations, other events and
// dead letters. Facts go through the context log instead and are stored by
// [Facts], the one reader of that log that writes.
package store

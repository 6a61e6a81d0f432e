// Package reconcile corrects rows that were enriched before a fact was known
// that concerns them. It runs beside the chains, in one worker at a time:
//
//	r := reconcile.New(reconcile.Config{}, timeline, promises, rows, clock, observer)
//	err := r.Run(ctx) // until ctx is done
//
// A pass closes every fact up to a revision X, the one that the timeline has
// reached when it begins:
//
//  1. wait until every partition promises X: no row will be written any more
//     that does not know X. This comes first: a row that is written between a
//     look at the rows and a look at the promises would be missed.
//  2. look for rows below X among those that the facts may concern
//     (Timeline.Pending), and write those anew that say something else than the
//     timeline says now, at its present revision Y >= X. What they said goes to
//     the history before.
//  3. touch the minutes whose rows were rewritten, so that they are sealed anew.
//  4. write down that X is closed.
//
// No fact is judged to be on time: a worker that was stopped may still write
// with yesterday's timeline. A fact that concerns nothing before its own time
// costs one question per pass.
//
// A crash anywhere loses nothing: the next pass begins at the last revision
// closed, and rows that were rewritten already are not below X any more. Two
// that run at once do the same work twice: a row is a function of the facts up
// to its revision, and of two rows the later revision counts.
package reconcile

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
// closed, and rows that were rewritten already are not below X any more.
//
// Two may run at once, and one of them may know less: it announces Y before it
// rewrites rows, and so does the other. Who sees a greater revision announced
// takes what holds anew; who sees a lesser one writes rows below that again
// even where they are right, so that the other's rewrite does not count
// ([Rows].Announce, pipeline/DESIGN.md).
package reconcile

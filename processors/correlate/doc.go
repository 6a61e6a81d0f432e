// Package correlate links effects to their causes: of each incident, alert,
// breach and finding it ranks what may have caused it, with a probability and
// its evidence, "no known change" among the hypotheses.
//
//	c := correlate.New(correlate.Config{}, store, publisher, clock, observer)
//	c.Run(ctx, time.Tick(correlate.Every)) // in whoever stores the facts
//	c.Facts(facts)                         // they are stored
//	c.Rows()                               // observations are stored
//
// Rank is a function of a Situation, which is a function of what is stored. A
// ranking carries a digest of all that its situation was read from, and is
// right exactly while that is what the same digest says now. So whatever comes,
// in whatever order and however late: the effects are found whose digest is
// another one now, and they are ranked anew. Once quiet, rankings are those of
// one computation over everything.
//
// Which effects are looked at follows from what came: those detected after its
// time, those it speaks of, those that blame its revision. A name that moves, a
// fact that is taken back, a fact said in two ways and a start concern every
// effect. The latest effects come first, the rest page by page behind them.
//
// A ranking is stored, then published, then it is written down that it was. Who
// takes over publishes what is not known to be on the topic: consumers may see
// a ranking twice, with the same number, and none is left out that is current.
// Two that run at once may give one number to two rankings; the one of less
// knowledge has another digest than what is stored, and is replaced by the next
// number.
package correlate

// Package correlate links effects to their causes: of each incident, alert,
// breach and finding it ranks what may have caused it, with a probability and
// its evidence, "no known change" among the hypotheses.
//
//	ranking := correlate.Rank(situation, correlate.DefaultModel())
//
//	c := correlate.New(correlate.Config{}, store, publisher, clock, observer)
//	c.Run(ctx, time.Tick(correlate.Every)) // in whoever stores the facts
//	c.Facts(facts)                         // they are stored
//	c.Rows()                               // observations are stored
//
// # How it is ranked
//
// The hypotheses about an effect are every change that was live or in progress
// near its onset, rollouts that have not finished included; an undeclared change
// of each service whose instances changed with no deployment announcing it; and
// that no known change is to blame. Their probabilities are a conditional logit
// model (McFadden, Conditional Logit Analysis of Qualitative Choice Behavior,
// 1974):
//
//	log odds(h) = Σ weight(term) · value(term, h)
//	P(h)        = exp(log odds(h)) / Σ exp(log odds(other))
//
// over all hypotheses of the effect, so they sum to one, and none is sure while
// another explains as much. Log odds are against a hypothesis of which nothing is
// known. A term without a value or without a weight is left out. Each that speaks
// has its words, with the figures, and the SQL that returns its value from the
// tables.
//
// Normal is what was measured up to six minutes before the onset, the trouble
// what was measured from half a minute before it. A drop is by how much more of
// the calls over an edge fail than normally; sat(x) is x/(x+0.05), half at five
// percent; trust(n) is n/(n+10) where n calls were counted, and 1 where only a
// share is stated. What users did that is recorded as having worked or not counts
// as calls into its service from outside, and so does what a service measures of
// itself without naming a caller or a callee.
//
//	TERM          OF            VALUE  SAYS
//	kind.KIND     every         1      how often a cause is of that kind
//	unseen.KIND   changes       1      instead of that, where nothing was measured
//	blamed.KIND   changes       1      instead of that, where the effect itself names it
//	unrelated     changes       1      instead of that, of a finding: nothing says that it brought it
//	introduced    changes       1      it carries the revision that the effect names
//	given_up      changes       1      whoever deployed it took it back or called it off
//	rollback      changes       1      it takes back another deployment
//	recurs        changes       0..1   share of past incidents in which its service was confirmed
//	age           changes       0..1   log of the minutes from its last step to the onset; 1: 16 hours
//	size          changes       0..1   log of the lines it changes; 1: ten thousand
//	distance      changes, und. 0..1   calls from the effect's services to its own, in fours
//	unreachable   changes, und. 1      none leads there, declared or seen
//	own           changes, und. 0..1   sat·trust of the drop of calls into its service, less what the drop of
//	                                   the calls that the service makes explains
//	upstream      changes, und. 0..1   own of the worst service that calls it, where its own is not
//	side          changes, und. 0..1   sat·trust of how much more its new instances fail than old ones meanwhile,
//	                                   an edge apart (a difference in differences), unless old ones fail too
//	clean         changes, und. 0..1   how surely its new instances are well, by minutes of reports
//	alike         changes, und. 0..1   sat of how much worse its old instances are than normal
//	latency, cpu  changes, und. 0..1   those of new instances against old ones: from twice to eight times
//	silent        changes, und. 0..1   share of its new instances that never report, by scrapes missed
//	idle          changes, und. 0..1   the caller that fails has not called its new instances
//	lag           changes, und. 0..1   how soon after its last step the trouble shows; half at 90 s
//	too_late      changes       0..1   the trouble began before it, by up to a minute
//	seen_late     undeclared    0..1   the same, where a change is seen a scrape after it is so
//	label         undeclared    1      new instances state a version that was not there
//	vanished      undeclared    0..1   an instance no longer reports, by scrapes missed
//	unmoved       none          0..1   1 less the greatest own where something changed
//	blind         none          1      nothing was measured
//	elsewhere     none          0..1   the greatest own where nothing changed, nor in what it calls
//	load          none          0..1   log of how much harder instances work that were there before
//	weekly        none          0..1   share of the drop that was there a week earlier too
//	thin          none          0..1   10/(10+n), n calls a minute into the effect's service
//
// The weights are data: weights.json, which bench/accuracy fits on generated
// rollouts and recorded ones and reports on others, and Fit, which whence learn
// fits to what people confirmed. A weight is drawn towards an expected one as if
// by a normal distribution, so what no example tells of stays as expected.
//
// What it does not do: it knows of no effects of changes but on calls that fail,
// slow down or cease, and of load; it blames single changes, and of two that act
// together ranks both high and neither as sure; it does not guess what a change
// of no service touches; it takes who states shares without counts at their
// word; a finding is ranked by what was introduced with it, not by traffic.
//
// # When it is ranked
//
// Rank is a function of a Situation, which is a function of what is stored. A
// ranking carries a digest of all that its situation was read from, and is
// right exactly while that is what the same digest says now. So whatever comes,
// in whatever order and however late: the effects are found whose digest is
// another one now, and they are ranked anew. Once quiet, rankings are those of
// one computation over everything.
//
// A finding that only scans list, without the revision that brought it, is no
// effect: a report has thousands, nothing is measured of them, and all that a
// ranking could say of each is that nothing known brought it.
//
// Which effects are looked at follows from what came: those detected after its
// time, those it speaks of, those that blame its revision. A name that moves, a
// fact that is taken back, a fact said in two ways and a start concern every
// effect. The latest effects come first, the rest page by page behind them.
// Another model's name means that every effect is ranked anew.
//
// A ranking is stored, then published, then it is written down that it was. Who
// takes over publishes what is not known to be on the topic: consumers may see
// a ranking twice, with the same number, and none is left out that is current.
// Two that run at once may give one number to two rankings; the one of less
// knowledge has another digest than what is stored, and is replaced by the next
// number.
package correlate

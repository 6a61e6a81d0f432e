// Package rollouts makes labelled cases to fit and to judge a ranking of causes
// by: an incident among staged rollouts, and which of them is to blame.
//
//	c := rollouts.Generate(seed, rollouts.Draw(random))
//	s, err := rollouts.Situation(c)
//	ranking := ... // of s, to hold against c.Truth
//
// Every case is an environment of its own: a random graph of calls, a scrape a
// minute of every instance on every edge, rollouts, and a fault that spreads
// along the calls. [Recorded] reads real cases of the same form.
//
// Nothing in it is taken from a recording but the shape: which fields a row has,
// how scrapes jitter and are missed, how a new instance begins.
package rollouts

// Package notify tells people what an effect is blamed on, where they are: in a
// chat, or through a webhook of their own.
//
//	n := notify.New(config, targets, store, observer, clock)
//	go n.Run(ctx)
//	n.Nudge() // a ranking was stored
//
// One incident is one thread, however often it is ranked: the first message when
// there is something to say, and later ones, in its thread, when another cause
// comes first or the first one becomes sure. Its alerts are told there too.
//
// Rankings are read from where they are stored, and not taken from whoever
// computes them: so telling holds nobody up, and what was not told when a worker
// died is told by the next one. A nudge only says that it is worth a look. What
// was told is stored as well. Before a message is sent it is stored that it will
// be: who takes over then asks the target whether it has it (a chat), or sends it
// again under the same key (a webhook, whose receiver drops the second).
//
// Nobody is flooded: a target takes so many messages a minute, of which so many
// about something new. Where more begins at once, one message sums it up.
package notify

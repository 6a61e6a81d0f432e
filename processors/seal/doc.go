// Package seal computes the vitals of a minute once nothing is written to it
// any more, so that a dashboard reads one row and not its observations.
//
//	sealer := seal.New(config, store, observer, time.Now)
//	err := sealer.Run(ctx, time.Tick(config.Every()))
//
// Whoever writes rows of a minute touches it afterwards. A seal carries the
// sums of the touches that were read before it was computed, and is valid
// exactly while these are the present sums (schemas/clickhouse, migration
// 00007). So nothing that a sealer does can make an answer wrong: of two at
// once one works in vain, one that is paused for an hour stores what nobody is
// shown, and a minute without a valid seal is computed by whoever asks.
//
// When to seal is a matter of cost alone. A minute that is sealed while rows
// still come is computed again; one that is not sealed is computed by every
// query. It is sealed when a sealer has seen it unchanged for some time, by
// the sealer's own monotonic clock: no watermark, so that late rows, replays
// and a source with a wrong clock are nothing special.
package seal

// Package ingest is the HTTP gateway: it takes what tools send (webhooks,
// reports of scanners, OTLP, product events, CloudEvents) and writes it to
// Kafka as it is, for processors/decode to read (schemas/source says what such
// a record looks like).
//
//	g, err := ingest.New(ingest.Options{Config: cfg.Ingest, Limits: cfg.Limits, Topics: cfg.Kafka.Topics, Sender: publisher, ...})
//	err = g.Serve(ctx, listener)
//
// What is guaranteed:
//
//   - An answer of 2xx means that Kafka has acknowledged all records of the
//     request (acks=all). Any other answer to a body means that nothing of it
//     was written, but for 503 and a connection that breaks: then some of it may
//     have been, and sending it again is safe, for the same event again is the
//     same event.
//   - What would become a dead letter is refused with 400 or 413 and the reason: the
//     first stages of the pipeline are asked before anything is written. Of OTLP
//     they are asked where the answer may be no, since it is read here already.
//   - A request that does not prove who sent it leaves no trace but in metrics
//     and logs, and neither shows secrets.
//   - Memory is bounded, whatever is sent: by ingest.max_in_flight for bodies and
//     records, and for what they are read into by a bound on how much larger that
//     may be, and by turns (see takeTurn).
package ingest

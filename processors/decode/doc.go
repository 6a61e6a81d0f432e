// Package decode is the first stage of a chain: it turns the records of a batch
// into events.
//
//	chain := []pipeline.Processor{decode.New(decode.DefaultConfig()), ...}
//
// Afterwards each record is in exactly one of Facts, Observations, Others and
// Dead. A record that can't be read is a dead letter with its reason, and
// hurts no other. What is read and how is package codec's; that CDEvents become
// facts where a type of ours fits is decided here.
//
//go:generate go test . -run TestTheREADMEHasTheMapping -rewrite
package decode

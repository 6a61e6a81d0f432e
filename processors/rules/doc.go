// Package rules does what the operator says becomes of records and events: map
// a payload of one's own to a type, rename, set, redact, hash, route, drop, bury. Rules
// are YAML, their expressions CEL (cel.dev), which knows no clock, no network and
// no state: a rule is a pure function of the record, so law 1 holds for what it
// makes.
//
//	set, err := rules.Load([]string{"rules/*.yaml"}, rules.Options{})
//	chain := []pipeline.Processor{set.Records(), decode, set.Events(), validate, set.Letters(), ...}
//
// [Set.Records] stands before decode and sees bytes, headers and, where it is
// JSON or msgpack, the body. [Set.Events] sees what decode made of them.
// [Set.Letters] hides in dead letters what rules hide in events: it comes after
// the last stage that buries. A Set without rules has none of them.
package rules

// Package model answers what an enriched row must say, with plain loops over
// all facts: the batch computation of law 1, in memory.
//
//	m := model.New(facts)              // any order, any repetition
//	want := m.Answer(observation)      // every column but the revision
//	answers := model.NewAnswers(facts) // the same for millions of observations
//
// The rules are those of processors/timeline/doc.go, R1 to R31, which the code
// names. It shares nothing with the timeline, the pipeline or the SQL oracle
// but the types of package event: what two of them agree upon was thought
// twice.
package model

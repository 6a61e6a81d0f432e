// Package oracle computes what the pipeline should have stored, in SQL, from
// what was said: law 1's batch computation, written apart from it.
//
//	query := oracle.HTTP("http://127.0.0.1:8123")
//	err := oracle.Compute(ctx, query)            // whence.events -> whence_oracle.expected
//	columns, err := oracle.Compare(ctx, query)   // whence_oracle.expected against whence.observations FINAL
//	troubles, err := oracle.Troubles(ctx, query) // law 2, from the ledger
//
// It shares no code with the pipeline and reads no table of its making but the
// view events. The rules are those of processors/timeline/doc.go, R1 to R29;
// the files in sql/ name them where they apply. The revision (R29) is
// provenance and not compared.
//
// For each concept there is a table of the moments at which an answer changes,
// each moment's answer computed naively from all facts of its key; ASOF JOIN
// finds the moment that holds at an observation's time. So the cost is linear
// in the observations and quadratic in the facts of one service and
// environment. Bounds: retractions are compared pairwise (thousands are fine),
// alias chains have at most 1,000 links. The rules of flags are compared in the
// engine's spelling of JSON.
package oracle

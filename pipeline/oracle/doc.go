// Package oracle computes what the pipeline should have stored, in SQL, from
// what was said: law 1's batch computation, written apart from it.
//
//	query := oracle.HTTP("http://127.0.0.1:8123")
//	report, err := oracle.Verify(ctx, query, oracle.Options{}) // everything, while the pipeline runs
//
//	o, err := oracle.Compute(ctx, query, oracle.Scope{})       // of a system that is quiet:
//	columns, err := o.Compare(ctx)                             // whence.observations FINAL against it
//	columns, err = o.CompareVitals(ctx)                        // whence.vitals, minute by minute
//	columns, err = o.CompareEntities(ctx)                      // deployments, incidents, ...
//	err = o.Close()
//	troubles, err := oracle.Troubles(ctx, query)               // law 2, from the ledger
//
// It shares no code with the pipeline, and of its tables it reads the view
// events, what it compares with, and the ledger. The rules are those of
// processors/timeline/doc.go, R1 to R31; the files in sql/ name them where they
// apply. The revision (R29) is provenance and not compared.
//
// For each concept there is a table of the moments at which an answer changes,
// each moment's answer computed naively from all facts of its key; ASOF JOIN
// finds the moment that holds at an observation's time. So the cost is linear
// in the observations and quadratic in the deployments of one service and
// environment. Observations are taken span by span, a million at a time, and
// compared by a hash of all their columns first. Bounds: retractions are
// compared pairwise (thousands are fine), alias chains have at most 1,000
// links. Rules of flags are compared as text.
//
// Of entities every column is compared but where the last of its facts was read
// and at which revision the row was derived. What is said of them is taken apart
// field by field, whatever the type, and put together by the table's columns: the
// statements of schemas/clickhouse/entities read fact by fact. A column that they
// have and sql/3* have not differs in every row.
//
// # What it can't see
//
// The observations it computes from are those that are stored. One that is gone
// shows where something of it is left: a former state in observations_history,
// or a minute that was sealed while it was there and not touched since. Else
// nothing in ClickHouse tells of it, and only Kafka does: whence replay --check.
// The ledger doesn't, because its counts bound the rows from above alone. An
// observation that is published again in another batch is one row, and that has
// the place of whichever copy was kept: so any batch, and all of one, may rightly
// have fewer rows than it brought, which is what a file sent twice looks like.
// Nor do touches, which count repetitions, and outlive rows that were deleted on
// purpose. A sum that could tell would have to know which observations are new,
// and so to remember each.
//
// Everything lies in a database of the run's own, which is dropped at the end,
// and by a later run a day after if the process was killed.
package oracle

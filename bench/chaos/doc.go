// Package chaos breaks one thing after another under a running pipeline, and
// compares everything with a naive model afterwards: law 1 and law 2 under
// every fault that we could think of.
//
//	make chaos SEED=7 ROUNDS=200 OBSERVATIONS=20000000
//	go test ./bench/chaos                               # every kind of fault once, as CI does
//
// What runs are real processes on loopback: three Kafka nodes, the engine, and
// workers, with proxies in all links between them. A publisher says what a
// [world.World] makes, and keeps an exact [record] of what Kafka has
// acknowledged. A round is: a fault is injected while events flow, its effect
// is waited for, it is healed, the time until everything that was published by
// then is in the ledger is measured, the flow stops, and when all is quiet the
// tables are compared with the record.
//
// The seed decides the world and the order and the parameters of the faults.
// It does not decide how processes are scheduled, so a failing seed makes the
// same attempt again, which need not fail each time.
package chaos

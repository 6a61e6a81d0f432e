// Package world makes the events of an organisation, the same for the same
// seed, with everything that real telemetry does to whoever reads it: skew,
// facts that come minutes to hours late and out of order, duplicates, two
// contents under one identity, clocks that are off, revised incidents,
// retractions, names that are explained afterwards, and records that are no
// events at all.
//
//	w := world.New(world.Shape{Seed: 1, Observations: 300_000, PerSecond: 50})
//	for said := w.Next(); said != nil; said = w.Next() { publish(said) } // a second of event time each
//	publish(w.Rest())                                                    // what is still held back
//
// An observation is a function of the seed and its number, so that one who
// compares twenty million rows keeps a bit of each in memory: [World.Observation]
// says again what was said.
package world

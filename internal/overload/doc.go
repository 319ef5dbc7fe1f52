// Package overload decides how much a node gives up so that it never falls
// over: a ladder of levels, each of which does what the ones below it do, and
// more.
//
//	readings (memory, CPU, Kafka, Redis) → Ladder → Level → actions
//
// A Ladder is a state machine without I/O, clock or lock. A Guard runs one: it
// takes a reading every quarter of a second, tells of each step once, and hands
// the decision to those who act on it.
//
// # Hysteresis
//
// Every signal climbs a ladder of its own, and the highest counts. A signal
// goes up as soon as a reading asks for it, by as many rungs as it asks for:
// memory does not wait. It comes down one rung at a time, each after its
// readings have stayed below that rung's lower bound for the whole of a dwell.
// Between the two bounds of a rung nothing moves.
//
// # Threads
//
// A Ladder belongs to one goroutine. A Guard's Run is called once; State may be
// called from any goroutine.
//
// # What it leaves to others
//
// Where readings come from (internal/meter), and what a level does (reactor,
// bridge): cmd joins them.
package overload

// Package telemetry is how a gateway tells people and machines what it does:
// its log, structured records on standard error as text or JSON, and its
// metrics.
//
// The parts of a node count for themselves, in plain atomics, and know nothing
// of this package. At a scrape it asks each for its numbers, and /proc for the
// host's, and gives them names and units. So nothing here is on the way of a
// message, nothing runs between scrapes, and no record is written for a single
// message or, above debug, for a single connection.
//
// A part that cannot be read is left out of the answer and logged. Labels are
// bounded: reasons, directions and states are enumerated, partitions are those
// that this node consumes; no label holds what a client chose.
package telemetry

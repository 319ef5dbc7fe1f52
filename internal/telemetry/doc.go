// Package telemetry is how a gateway tells people and machines what it does.
// So far that is the log: structured records on standard error, as text or
// JSON. Nothing here is on the way of a message, and no record is written for
// a single message or, above debug, for a single connection.
package telemetry

// Package target starts the servers that a benchmark measures, finds out how
// to reach them, and reads the metrics that they offer.
//
// A Server that was started here is ended by Stop; one that was given by its
// address is left alone. Start runs on the caller's goroutine, one more reads
// the output of each child; all methods are safe for concurrent use.
package target

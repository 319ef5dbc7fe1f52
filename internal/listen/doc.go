// Package listen bounds the listeners that a gateway has beside its event
// loops, those of the HTTP API and of the embedded broker.
//
// A loop that finds no descriptor for a connection ends the whole engine
// (gnet), so what listens in the same process must not take the last ones. A
// bounded listener has a number of connections, and gives back a descriptor
// that lies too high: the kernel hands out the lowest free one, so a
// descriptor's number tells how full the table is.
//
// A listener is safe from any goroutine. It logs nothing: whoever connects to a
// full one waits, or is closed at once.
package listen

// Package reactor owns every client socket on gnet event loops: accept,
// upgrade, frames, timers, writes and drain.
package reactor

// Package bench measures what a connection costs, for limpet and for any
// other WebSocket server.
//
// # Way of the data
//
//	Run ── for each server ──► trial ── scenario (idle, echo, ...) ──► report.Result
//	                             ├─ target: the server, started or found
//	                             ├─ load.Fleet: client processes
//	                             └─ probe: memory and CPU of the server's tree, sampled by the recorder
//
// # Threads
//
// Run and the scenario work on the caller's goroutine. A recorder per trial
// samples the timeline on its own; what it shares is guarded by its mutex.
//
// # Failure
//
// A server that dies, refuses, hangs or answers garbage ends its trial with a
// report.Fault, which says what to do. What was measured until then is kept,
// figures are computed from connections that were open when they were read,
// and Run's result is not complete. A context that ends does the same.
//
// The servers run as processes of their own: an instrument that shares code
// with what it measures measures less.
package bench

// Package api is the HTTP server on the API address of a gateway: liveness,
// readiness and information for operators, load balancers and the limpet
// commands, and whatever other handlers cmd registers with Handle.
//
// It is beside the way of the data: no message of a client passes through it,
// and it shares no goroutine with the event loops. net/http serves it with a
// goroutine for each connection, so the number of connections is limited, as
// are the time and the size of every request; a client that asks too much of
// it cannot take descriptors or memory that sessions need.
//
// Errors are problem documents (RFC 9457). A handler that panics costs its
// request and one log line, not the process.
//
// Whether a token is asked for is not decided here: the configuration allows
// only loopback addresses without one. What a web page sends through a browser
// on this host is refused (browser.go).
package api

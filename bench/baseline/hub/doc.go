// Package hub is the WebSocket part that the net/http, Gin and Echo servers
// share: upgrade, the goroutines of a connection, echo and broadcast.
//
// A Hub is safe for concurrent use. It holds each connection in a map under
// one mutex, as the articles do.
package hub

// Package client asks a running gateway's HTTP API, for the limpet commands. It
// keeps no connection and no goroutine between requests, bounds the time and
// the size of every answer, and words refusals with the gateway's own reasons.
package client

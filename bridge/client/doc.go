// Package client is the other side of the bridge: what the commands push and
// tail do, and what a business service written in Go may start from. It finds
// a running gateway's brokers through its API, writes pushes to the downlink
// topic and reads the uplink topic.
//
// It needs no gateway's goroutine and keeps no state; every call is bounded by
// its context.
package client

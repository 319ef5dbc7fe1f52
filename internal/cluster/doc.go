// Package cluster shows the shared directory to those who ask about other
// nodes: the router (bridge.Directory), the HTTP API (gateway.Cluster), and
// turns the sessions of dead nodes into events (registry.LostSink). It holds
// no state of its own; while Redis is away the router learns that nothing is
// known, and the API answers for this node alone.
package cluster

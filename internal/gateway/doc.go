// Package gateway is one node: it joins the reactor, the registry and the
// bridge, which do not know each other.
//
//	reactor ──Handler──► gateway ──► registry.Table, uplink
//	bridge.Downlink ──Local──► gateway ──► registry.Table, reactor.Engine
//
// handshake.go decides who gets in and as whom: at once, or through an
// Authenticator that works away from the loops.
//
// relief.go reads what the parts hold for package overload, and has them give
// up what its levels ask for; budget.go is what they may hold in all.
//
// Open, Message and Close run on the event loops, the methods of Local on the
// downlink's goroutines. The gateway keeps no state of its own per session:
// the reactor's slab holds a reference into the table, and the table holds the
// principal.
package gateway

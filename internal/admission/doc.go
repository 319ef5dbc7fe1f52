// Package admission decides which connections are accepted, by where they come
// from and how many there are, before a byte of them is read: of those that a
// load balancer passes on, after the header that says where they come from.
//
//	accept → Table.Admit → (429 or 503 with Retry-After) | upgrade request ...
//	close  → Table.Leave
//
// Three limits, each off unless configured: new connections of the whole node
// per second; connections at a time of one source; new connections of one
// source per second, with a burst. A source is an IPv4 address or an IPv6 /64,
// which is what one customer of a provider is given (RFC 6177): limits by
// single IPv6 addresses would be no limits.
//
// # Memory
//
// The table of sources is allocated once and never grows: 24 bytes for each of
// its places. A source that has no connection and whose bucket is full again
// loses its place to the next one. Where all places that a source may take
// belong to sources with connections, it is let in without being counted: who
// has that many addresses passes any limit for each of them, and meets those
// of the whole node.
//
// # Threads
//
// Admit and Leave are called by every event loop. A mutex for each 1/64 of the
// table is held for tens of nanoseconds, never across I/O or another lock.
package admission

// Package proxyheader reads what a load balancer says about the client whose
// connection it passes on: the PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; sections below
// are of that document).
//
//	accept → Trusted.Due → (Trusted.Read → client's address) → upgrade request ...
//
// Whoever may send such a header may claim any address. So the networks that
// may are named, and a connection from one of them has to begin with a header:
// the protocol is not to be guessed from what arrives (section 5). From
// anywhere else a header is what it looks like, a bad request.
//
// # What is left to the library
//
// go-proxyproto reads from a stream, and blocks there. So this package finds
// out how long a header is, byte by byte as it arrives and within 4,112 bytes, and
// hands it over when it is complete. A client's certificate and whatever else
// stands in TLVs is skipped; that they end where the header does, and the
// checksum if there is one, is looked at here, since the library does not.
//
// # Threads
//
// All of it may be called from any goroutine. Due and Read are called on the
// event loops: they hold no lock, and nothing that they are given.
package proxyheader

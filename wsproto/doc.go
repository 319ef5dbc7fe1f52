// Package wsproto is RFC 6455 (WebSocket) and RFC 7692 (permessage-deflate)
// over byte slices, on top of gobwas/ws. It knows no sockets, clocks,
// goroutines or logs.
package wsproto

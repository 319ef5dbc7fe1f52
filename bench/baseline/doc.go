// Package baseline holds the servers that limpet bench compares with, each
// written the way the usual articles write it:
//
//	nethttp  net/http + gorilla/websocket
//	gin      Gin + gorilla/websocket
//	echo     Echo v4 + gorilla/websocket
//	gnet     bare gnet event loops + gobwas/ws, one write per message
//
// The first three share package hub: the read pump and write pump of
// gorilla's own chat example, with 1,024-byte buffers and a ping every 25 s.
// With -goroutines 1 they keep only the reading goroutine, which is the
// leanest form these libraries allow. Each server is one binary of its own,
// so that none carries the memory of another's dependencies.
//
// Every server echoes each message, and sends what follows "!broadcast " in
// a message to all of its connections. /debug/vars shows the runtime's own
// view of memory. This is a module of its own: limpet itself depends on
// neither Gin nor Echo.
package baseline

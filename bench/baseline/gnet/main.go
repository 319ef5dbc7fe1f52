// Command gnet is a WebSocket echo server on bare gnet event loops: what the
// reactor costs before anything is built on it. It has no heartbeat, no
// deadlines and no limit on unsent output, and writes each message by itself.
package main

import (
	"expvar"
	"flag"
	"log"
	"net/http"
	"runtime"

	"github.com/panjf2000/gnet/v2"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	vars := flag.String("vars", "", "address that serves /debug/vars; empty: none")
	loops := flag.Int("loops", runtime.NumCPU(), "event loops")
	flag.Parse()
	if *vars != "" {
		expvar.Publish("goroutines", expvar.Func(func() any { return runtime.NumGoroutine() }))
		go func() { log.Fatal(http.ListenAndServe(*vars, nil)) }()
	}
	log.Fatal(gnet.Run(newServer(), "tcp://"+*listen,
		gnet.WithNumEventLoop(*loops),
		gnet.WithReusePort(true),
		gnet.WithReuseAddr(true)))
}

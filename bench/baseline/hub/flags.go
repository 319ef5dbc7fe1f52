package hub

import (
	"expvar"
	"flag"
	"fmt"
	"os"
	"runtime"
)

// Flags reads the command line that the three servers share, and publishes
// the goroutine count for /debug/vars.
func Flags() (listen string, h *Hub) {
	addr := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	goroutines := flag.Int("goroutines", 2, "goroutines per connection: 1, or 2 (read and write pump)")
	flag.Parse()
	if *goroutines != 1 && *goroutines != 2 {
		fmt.Fprintf(os.Stderr, "-goroutines %d: want 1 or 2\n", *goroutines)
		os.Exit(2)
	}
	expvar.Publish("goroutines", expvar.Func(func() any { return runtime.NumGoroutine() }))
	return *addr, New(*goroutines)
}

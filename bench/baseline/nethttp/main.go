// Command nethttp is a WebSocket echo server on net/http and gorilla.
package main

import (
	"log"
	"net/http"

	"github.com/limpet-gateway/limpet/bench/baseline/hub"
)

func main() {
	listen, h := hub.Flags()
	// expvar has put /debug/vars on the default mux.
	http.Handle("/ws", h)
	log.Fatal(http.ListenAndServe(listen, nil))
}

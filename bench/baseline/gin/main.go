// Command gin is a WebSocket echo server on Gin and gorilla.
package main

import (
	"expvar"
	"log"

	"github.com/gin-gonic/gin"

	"github.com/limpet-gateway/limpet/bench/baseline/hub"
)

func main() {
	listen, h := hub.Flags()
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/ws", func(c *gin.Context) { h.ServeHTTP(c.Writer, c.Request) })
	r.GET("/debug/vars", gin.WrapH(expvar.Handler()))
	log.Fatal(r.Run(listen))
}

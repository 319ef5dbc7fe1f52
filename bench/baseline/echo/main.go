// Command echo is a WebSocket echo server on Echo v4 and gorilla.
package main

import (
	"expvar"
	"log"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/limpet-gateway/limpet/bench/baseline/hub"
)

func main() {
	listen, h := hub.Flags()
	e := echo.New()
	e.HideBanner = true
	e.Use(middleware.Recover())
	e.GET("/ws", func(c echo.Context) error {
		h.ServeHTTP(c.Response(), c.Request())
		return nil
	})
	e.GET("/debug/vars", echo.WrapHandler(expvar.Handler()))
	log.Fatal(e.Start(listen))
}

package hub

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	pingPeriod     = 25 * time.Second // below the 30 s after which common proxies close
	pongWait       = 60 * time.Second
	writeWait      = 10 * time.Second
	maxMessageSize = 64 << 10
	sendQueue      = 16 // messages that may wait for the write pump
	bufferSize     = 1024
)

// BroadcastPrefix starts a message whose rest goes to every connection.
var BroadcastPrefix = []byte("!broadcast ")

var upgrader = websocket.Upgrader{
	ReadBufferSize:  bufferSize,
	WriteBufferSize: bufferSize,
	CheckOrigin:     func(*http.Request) bool { return true },
}

// client is one connection as the hub sees it. Each method is safe from any
// goroutine.
type client interface {
	answer(message) // may wait for the client
	send(message)   // never waits for long
	ping()
}

type message struct {
	kind int
	data []byte
}

// Hub knows every open connection.
type Hub struct {
	goroutines int // per connection: 1 or 2

	mu      sync.Mutex
	clients map[client]struct{} // guarded by mu
}

// New makes a hub that spends one or two goroutines on a connection.
func New(goroutines int) *Hub {
	h := &Hub{goroutines: goroutines, clients: make(map[client]struct{})}
	if goroutines == 1 {
		go h.pingAll()
	}
	return h
}

// ServeHTTP upgrades the request and serves the connection until it ends.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered with the status
	}
	conn.SetReadLimit(maxMessageSize)
	conn.SetReadDeadline(time.Now().Add(pongWait))
	conn.SetPongHandler(func(string) error {
		return conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	if h.goroutines == 1 {
		c := &single{conn: conn}
		h.add(c)
		go c.serve(h)
		return
	}
	// As in gorilla's chat example: the handler returns and leaves two pumps.
	c := &pumped{hub: h, conn: conn, queue: make(chan message, sendQueue), done: make(chan struct{})}
	h.add(c)
	go c.writePump()
	go c.readPump()
}

func (h *Hub) add(c client) {
	h.mu.Lock()
	h.clients[c] = struct{}{}
	h.mu.Unlock()
}

func (h *Hub) remove(c client) {
	h.mu.Lock()
	delete(h.clients, c)
	h.mu.Unlock()
}

// handle answers one message: a broadcast goes to all, any other back.
func (h *Hub) handle(from client, kind int, data []byte) {
	payload, all := bytes.CutPrefix(data, BroadcastPrefix)
	if !all {
		from.answer(message{kind, data})
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.send(message{kind, payload})
	}
}

// pingAll stands in for the write pumps' tickers when there are none.
func (h *Hub) pingAll() {
	for range time.Tick(pingPeriod) {
		h.mu.Lock()
		clients := make([]client, 0, len(h.clients))
		for c := range h.clients {
			clients = append(clients, c)
		}
		h.mu.Unlock()
		for _, c := range clients {
			c.ping()
		}
	}
}

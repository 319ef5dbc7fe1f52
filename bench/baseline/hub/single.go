package hub

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// single is a connection with one goroutine, which reads and answers.
type single struct {
	conn *websocket.Conn
	mu   sync.Mutex // one writer at a time: the goroutine or a broadcast
}

// serveOne serves conn on the goroutine that net/http started for it.
func (h *Hub) serveOne(conn *websocket.Conn) {
	c := &single{conn: conn}
	h.add(c)
	defer func() {
		h.remove(c)
		conn.Close()
	}()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		h.handle(c, kind, data)
	}
}

func (c *single) send(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeWait))
	if err := c.conn.WriteMessage(m.kind, m.data); err != nil {
		c.conn.Close()
	}
}

// ping may run beside send: gorilla allows WriteControl from any goroutine.
func (c *single) ping() {
	if err := c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)); err != nil {
		c.conn.Close()
	}
}

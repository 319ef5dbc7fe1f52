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

// serve reads until the connection ends. It runs on a goroutine of its own:
// the handler's would keep net/http's buffers of 8 KiB.
func (c *single) serve(h *Hub) {
	defer func() {
		h.remove(c)
		c.conn.Close()
	}()
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		h.handle(c, kind, data)
	}
}

func (c *single) answer(m message) { c.send(m) }

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

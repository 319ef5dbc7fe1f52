package hub

import (
	"time"

	"github.com/gorilla/websocket"
)

// pumped is a connection with a goroutine that reads and one that writes.
type pumped struct {
	hub   *Hub
	conn  *websocket.Conn
	queue chan message  // closed by readPump, after the hub forgot the client
	done  chan struct{} // closed by writePump when it ends
}

// readPump moves messages from the connection to the hub.
func (c *pumped) readPump() {
	defer func() {
		c.hub.remove(c)
		close(c.queue)
		c.conn.Close()
	}()
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		c.hub.handle(c, kind, data)
	}
}

// writePump moves messages from the queue to the connection and pings.
func (c *pumped) writePump() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
		close(c.done)
	}()
	for {
		select {
		case m, ok := <-c.queue:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !ok {
				c.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if err := c.conn.WriteMessage(m.kind, m.data); err != nil {
				return
			}
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if err := c.conn.WriteMessage(websocket.PingMessage, nil); err != nil {
				return
			}
		}
	}
}

// answer queues m on behalf of readPump, which waits while the queue is full
// and so reads no more.
func (c *pumped) answer(m message) {
	select {
	case c.queue <- m:
	case <-c.done:
	}
}

// send queues a broadcast; a client whose queue is full is too slow and is
// closed. It is called under the hub's lock for a client that the hub still
// knows, and the queue is closed only after the hub forgot it.
func (c *pumped) send(m message) {
	select {
	case c.queue <- m:
	default:
		c.conn.Close()
	}
}

func (c *pumped) ping() {} // writePump does

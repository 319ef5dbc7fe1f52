package target

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// dial opens one ordinary WebSocket connection.
func (s *Server) dial(ctx context.Context, id string) (net.Conn, error) {
	url := "ws://" + s.Addr.String() + strings.ReplaceAll(s.Path, "{n}", id)
	d := ws.Dialer{Host: s.Host}
	conn, early, _, err := d.Dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("upgrade at %s: %w", url, err)
	}
	if early != nil {
		ws.PutReader(early)
	}
	return conn, nil
}

// Probe opens and closes one connection.
func (s *Server) Probe(ctx context.Context) error {
	conn, err := s.dial(ctx, "probe")
	if err != nil {
		return err
	}
	return conn.Close()
}

// Command is a connection that asks the server to broadcast.
type Command struct{ conn net.Conn }

// BroadcastPrefix starts a message whose rest the baseline servers send to
// every connection.
const BroadcastPrefix = "!broadcast "

// OpenCommand opens a connection for broadcasts. It never reads, so it must
// not outlive a run by far.
func (s *Server) OpenCommand(ctx context.Context) (*Command, error) {
	conn, err := s.dial(ctx, "publisher")
	if err != nil {
		return nil, err
	}
	c := &Command{conn: conn}
	go c.discard()
	return c, nil
}

// discard reads what the server sends to this connection too.
func (c *Command) discard() {
	for {
		if _, _, err := wsutil.ReadServerData(c.conn); err != nil {
			return // closed by Close, or the server has gone
		}
	}
}

// Publish has the server send payload to all of its connections.
func (c *Command) Publish(_ context.Context, payload []byte) error {
	return wsutil.WriteClientBinary(c.conn, append([]byte(BroadcastPrefix), payload...))
}

// Close ends the connection.
func (c *Command) Close() error { return c.conn.Close() }

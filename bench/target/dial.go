package target

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

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

// Command is a connection that asks the server to broadcast. Publish and Await
// belong to one goroutine.
type Command struct {
	conn     net.Conn
	patience time.Duration
	sent     int64
	copies   atomic.Int64  // broadcasts that came back to this connection
	more     chan struct{} // holds a value when copies has grown, closed with the connection
}

// BroadcastPrefix starts a message whose rest the baseline servers send to
// every connection.
const BroadcastPrefix = "!broadcast "

// OpenCommand opens a connection for broadcasts, each of which the server gets
// patience to take.
func (s *Server) OpenCommand(ctx context.Context, patience time.Duration) (*Command, error) {
	conn, err := s.dial(ctx, "publisher")
	if err != nil {
		return nil, err
	}
	c := &Command{conn: conn, patience: patience, more: make(chan struct{}, 1)}
	go c.discard()
	return c, nil
}

// discard reads what the server sends to this connection too.
func (c *Command) discard() {
	defer close(c.more)
	for {
		if _, _, err := wsutil.ReadServerData(c.conn); err != nil {
			return // closed by Close, or the server has gone
		}
		c.copies.Add(1)
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
}

// Await returns when this connection lacks fewer than most copies of what it
// has published: it reads no faster than others, and a server with a short
// queue for each connection would end the one that publishes. A server that
// sends no copies to the publisher is not waited for.
func (c *Command) Await(ctx context.Context, most int) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	for {
		copies := c.copies.Load()
		if copies == 0 || c.sent-copies < int64(most) {
			return nil
		}
		select {
		case _, open := <-c.more:
			if !open {
				return nil // Publish says why
			}
		case <-ctx.Done():
			return fmt.Errorf("the server has not sent %d broadcasts to their publisher: %w", c.sent-copies, ctx.Err())
		}
	}
}

// Publish has the server send payload to all of its connections. When ctx or
// the patience ends first the connection is of no more use.
func (c *Command) Publish(ctx context.Context, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Now()) })
	defer stop()
	c.sent++
	return wsutil.WriteClientBinary(c.conn, append([]byte(BroadcastPrefix), payload...))
}

// Close ends the connection.
func (c *Command) Close() error { return c.conn.Close() }

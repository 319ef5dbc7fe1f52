package embedded

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Limits of one request.
const (
	// maxRequest is Kafka's socket.request.max.bytes. What speaks another
	// protocol announces more: "GET " is 1.2 GB.
	maxRequest = 100 << 20
	// requestHead is what every request begins with, after its size of four
	// bytes: key (2), version (2), correlation id (4).
	requestHead = 8
)

var errNotKafka = errors.New("this is not a request of the Kafka protocol")

// guarded is a listener whose connections end at what kfake must not see: it
// makes room for any size that is announced, and panics for a key that it does
// not know, which would end the gateway. What finds this port is not always a
// Kafka client; scanners and browsers on the host do too.
type guarded struct{ net.Listener }

func (l guarded) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &requestConn{Conn: conn}, nil
}

// requestConn reads whole heads of requests and passes on those that are in
// order. As of every net.Conn here, one goroutine at a time reads.
type requestConn struct {
	net.Conn
	head    [4 + requestHead]byte
	pending []byte // of head, not passed on yet
	rest    int    // bytes of the request that follow the head
}

// Read fails with errNotKafka, again and again, once a head is out of order:
// kfake closes a connection that fails.
func (c *requestConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.pending) == 0 && c.rest == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.rest)])
	c.rest -= n
	return n, err
}

// next reads the head of a request.
func (c *requestConn) next() error {
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(c.head[:])
	key := int16(binary.BigEndian.Uint16(c.head[4:]))
	if size < requestHead || size > maxRequest || kmsg.RequestForKey(key) == nil {
		return errNotKafka
	}
	c.pending, c.rest = c.head[:], int(size)-requestHead
	return nil
}

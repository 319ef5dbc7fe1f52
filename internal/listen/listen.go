package listen

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Limits of one listener.
type Limits struct {
	// Conns are served at a time; others wait in the kernel's backlog, where
	// they cost no descriptor.
	Conns int
	// Descriptors bounds the numbers that its connections may have: one whose
	// number is this or higher is closed at once. 0 is no bound.
	Descriptors int
	// Full is told, by Accept, when Conns are there, and when one has gone
	// again. nil: nobody is told.
	Full func(bool)
}

// fullPause is how long Accept waits when the process or the host has no
// descriptor left. Others may give some back; kfake would listen no more after
// the first error.
const fullPause = 50 * time.Millisecond

// Bound returns l within limits.
func Bound(l net.Listener, limits Limits) net.Listener {
	return &bounded{
		Listener: l, below: limits.Descriptors, full: limits.Full,
		slots: make(chan struct{}, limits.Conns), closed: make(chan struct{}),
	}
}

type bounded struct {
	net.Listener
	below  int
	full   func(bool)    // nil: nobody is told
	slots  chan struct{} // one element for each open connection
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a slot, then for a connection.
func (l *bounded) Accept() (net.Conn, error) {
	if !l.take() {
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil && l.fits(conn):
			return &slotConn{Conn: conn, slots: l.slots}, nil
		case err == nil:
			_ = conn.Close()
		case !noDescriptor(err) || !l.pause():
			<-l.slots
			return nil, err
		}
	}
}

// take waits for a slot, and reports whether l is still open.
func (l *bounded) take() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	if l.full != nil {
		l.full(true)
		defer l.full(false)
	}
	select {
	case l.slots <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

// noDescriptor tells that the process, or the host, has none left.
func noDescriptor(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// pause waits, and reports whether l is still open.
func (l *bounded) pause() bool {
	select {
	case <-l.closed:
		return false
	case <-time.After(fullPause):
		return true
	}
}

// fits reports whether conn's descriptor may be kept.
func (l *bounded) fits(conn net.Conn) bool {
	s, ok := conn.(syscall.Conn)
	if l.below == 0 || !ok {
		return true
	}
	fits := true
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { fits = fd < uintptr(l.below) })
	}
	return fits
}

// Close ends Accept, also one that waits.
func (l *bounded) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotConn gives its slot back when it is closed, once.
type slotConn struct {
	net.Conn
	slots <-chan struct{}
	once  sync.Once
}

func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}

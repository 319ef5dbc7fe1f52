package reactor

import (
	"net/netip"

	"github.com/limpet-gateway/limpet/wsproto"
)

// unfinished is what a connection has sent of a request or message that is
// not complete. It exists only meanwhile, beside the slab, so that an idle
// connection holds no buffer of any kind.
type unfinished struct {
	request []byte           // of the upgrade request and what comes before it, while handshaking
	client  netip.AddrPort   // from the load balancer's header, while handshaking
	message *wsproto.Partial // of a frame or message, while open
	since   uint32           // tick at which it began
	slot    uint32           // whose it is
	next    uint32           // in the free list
}

// held is the bytes of memory that u keeps beside itself.
func (u *unfinished) held() int { return len(u.request) + u.message.Buffered() }

// unfinishedSet is indexed by conn.partial; place 0 is never used.
type unfinishedSet struct {
	items []unfinished
	free  uint32
}

func (u *unfinishedSet) init() { u.items = make([]unfinished, 1, 16) }

func (u *unfinishedSet) of(c *conn) *unfinished {
	if c.partial == 0 {
		return nil
	}
	return &u.items[c.partial]
}

func (u *unfinishedSet) begin(c *conn, now uint32) *unfinished {
	if n := u.free; n != 0 {
		u.free = u.items[n].next
		u.items[n] = unfinished{since: now, slot: c.slot}
		c.partial = n
	} else {
		c.partial = uint32(len(u.items))
		u.items = append(u.items, unfinished{since: now, slot: c.slot})
	}
	return &u.items[c.partial]
}

// end forgets c's unfinished input; its message, if any, was released before.
func (u *unfinishedSet) end(c *conn) {
	if c.partial == 0 {
		return
	}
	u.items[c.partial] = unfinished{next: u.free}
	u.free = c.partial
	c.partial = 0
}

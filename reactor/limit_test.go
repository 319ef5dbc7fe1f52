package reactor

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
)

func TestConnectionLimit(t *testing.T) {
	for _, tables := range []FDTables{SharedTable, PerLoopTables} {
		t.Run(tables.String(), func(t *testing.T) {
			h := &recorder{}
			e := startEngine(t, Config{Loops: 2, FDTables: tables, Tuning: Tuning{MaxConns: 10, RetryAfter: 7 * time.Second}}, h)
			var in []*websocket.Conn
			for i := range 10 {
				in = append(in, dial(t, e, strconv.Itoa(i)))
			}
			for range 300 { // more than may linger: some see a reset, none gets in
				c := dialRaw(t, e)
				if _, err := c.Write([]byte(request("late"))); err == nil {
					if line, err := c.r.ReadString('\n'); err == nil && !strings.Contains(line, "503") {
						t.Fatalf("answer %q above the limit", line)
					}
				}
				c.Close()
			}
			eventually(t, "the refused to be gone", func() bool { return e.Stats().Conns == 10 })
			late := dialRaw(t, e)
			late.send([]byte(request("late")))
			if got := late.expectStatus(503).Header.Get("Retry-After"); got != "7" {
				t.Errorf("Retry-After: %q", got)
			}
			for i, c := range in {
				if err := c.WriteMessage(websocket.TextMessage, []byte("still")); err != nil {
					t.Fatalf("established session %d: %v", i, err)
				}
				expectMessage(t, c, "still")
			}
			in[0].Close()
			eventually(t, "the place to be free", func() bool { return e.Stats().Sessions == 9 })
			again := dial(t, e, "again")
			if err := again.WriteMessage(websocket.TextMessage, []byte("served")); err != nil {
				t.Fatal(err)
			}
			expectMessage(t, again, "served")
		})
	}
}

// A refused connection counts as refused and as nothing else, also when so many
// linger already that it is closed at once.
func TestRefusedIsCountedOnce(t *testing.T) {
	e := startEngine(t, Config{Loops: 1, FDTables: SharedTable, Tuning: Tuning{MaxConns: 1, LingerTimeout: time.Minute}}, &recorder{})
	dial(t, e, "in")
	late := e.plan.lingerMax + 20
	for range late {
		dialRaw(t, e) // stays, and says nothing
	}
	eventually(t, "all to be refused", func() bool { return e.Stats().RefusedLimit == uint64(late) })
	eventually(t, "the rest to be closed", func() bool { return e.Stats().Conns == 1+e.plan.lingerMax })
	if s := e.Stats(); s.Accepted != s.Opened+s.RefusedLimit || s.LeftEarly != 0 {
		t.Errorf("of %d accepted %d became sessions, %d were refused and %d left early", s.Accepted, s.Opened, s.RefusedLimit, s.LeftEarly)
	}
}

// With a descriptor table per loop, a connection's descriptor is in its
// loop's table alone: closing it there ends it, for the peer to see at once.
func TestPerLoopTables(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 4, FDTables: PerLoopTables}, h)
	var conns []*websocket.Conn
	for i := range 80 {
		conns = append(conns, dial(t, e, fmt.Sprintf("c%d", i)))
	}
	if n := e.Stats().Loops; n != 4 {
		t.Fatalf("80 connections reached %d of 4 loops", n)
	}
	for i := range conns {
		if err := e.CloseSession(h.id(t, fmt.Sprintf("c%d", i)), session.Kicked); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		expectClose(t, c, 4002)
		_ = c.NetConn().SetReadDeadline(time.Now().Add(patience))
		if n, err := c.NetConn().Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the socket did not end: %d %v", n, err)
		}
	}
}

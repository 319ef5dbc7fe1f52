package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What authentication costs an idle session in live heap: sessions with a token,
// which the gateway has to remember the end of, against as many of the same
// names without. Clients are in the same process; they hold the same in both
// cases, so the difference is the server's. Each value is the median of the
// runs, each run a gateway of its own; -benchtime 5x gives five.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 6000 // two descriptors each
	tokens := make([]string, sessions)
	for i := range tokens {
		tokens[i] = token(b, fmt.Sprintf("dev%06d", i), time.Hour)
	}
	var cost [2][]float64
	for b.Loop() {
		g, url := startWith(b, Echo, nil)
		cost[0] = append(cost[0], heapOf(b, g, url, tokens))
		g, url = startAuth(b, jwtOnly)
		cost[1] = append(cost[1], heapOf(b, g, url, tokens))
	}
	median := func(list []float64) float64 { slices.Sort(list); return list[len(list)/2] }
	none, withToken := median(cost[0]), median(cost[1])
	b.ReportMetric(none, "B/none")
	b.ReportMetric(withToken, "B/jwt")
	b.ReportMetric(withToken-none, "B/more")
}

// heapOf opens a session for each token, ends them all, and returns how many
// bytes of live heap each had added.
func heapOf(b *testing.B, g *Gateway, url string, tokens []string) float64 {
	b.Helper()
	sessions := len(tokens)
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws")
	conns := make([]net.Conn, 0, sessions)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
		for end := time.Now().Add(patience); g.engine.Stats().Conns > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				b.Fatal("the sessions do not end") // they would be taken for savings of the next
			}
		}
	}()
	before := liveHeap()
	for i := range sessions {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.SetDeadline(time.Now().Add(patience))
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /ws?id=dev%06d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n", i, tokens[i])
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			b.Fatalf("session %d: %v, %v", i, resp, err)
		}
	}
	return float64(int64(liveHeap())-int64(before)) / float64(sessions)
}

// liveHeap is what remains after collections: pools are emptied by the second,
// and finalizers have run by the third.
func liveHeap() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

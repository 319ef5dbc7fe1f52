package bridge

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// ledger counts both ends of an uplink: what it accepted from a steady load,
// and what is in Kafka.
type ledger struct {
	t        *testing.T
	u        *Uplink
	limit    int64 // of the uplink's buffered bytes
	stop     chan struct{}
	running  sync.WaitGroup
	mu       sync.Mutex
	accepted []int // by principal: messages 0 to n-1 were accepted
	refused  int
	most     int64 // buffered bytes seen
}

const (
	ledgerPrincipals = 40
	ledgerPayload    = 100
	uncounted        = 2 // messages of a principal that are sent before they are counted
)

// startLedger begins a load of high-priority messages on u: each principal
// sends numbers without gaps, so that one that is refused is sent again.
func startLedger(t *testing.T, u *Uplink, limit int64) *ledger {
	l := &ledger{t: t, u: u, limit: limit, stop: make(chan struct{}), accepted: make([]int, ledgerPrincipals)}
	const loops = 2
	for loop := range loops {
		l.running.Go(func() { l.load(loop, loops) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *ledger) load(loop, loops int) {
	padding := strings.Repeat(".", ledgerPayload)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		refused := 0
		accepted := make([]int, ledgerPrincipals)
		for p := loop; p < ledgerPrincipals; p += loops {
			next := l.accepted[p] // only this goroutine changes it
			for range uncounted {
				if l.u.Accept(message(fmt.Sprintf("p%d", p), numbered(next)+padding, session.High)) != Accepted {
					refused++
					break
				}
				next++
			}
			accepted[p] = next
		}
		buffered := l.u.Stats().BufferedBytes
		l.mu.Lock()
		for p := loop; p < ledgerPrincipals; p += loops {
			l.accepted[p] = accepted[p]
		}
		l.refused += refused
		l.most = max(l.most, buffered)
		l.mu.Unlock()
	}
}

func (l *ledger) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
}

// counts returns how many messages of each principal were accepted, without
// at most uncounted that are being sent.
func (l *ledger) counts() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.accepted)
}

func (l *ledger) seen() (refused int, most int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused, l.most
}

// check ends the load, closes the uplink and compares: every accepted message
// is in Kafka at least once, the first copies of each principal's in order, and
// memory stayed inside its limit. It returns how many records are there twice.
func (l *ledger) check(b *testBroker) (duplicates int) {
	l.t.Helper()
	l.end()
	if err := l.u.Close(testContext(l.t)); err != nil {
		l.t.Fatal(err)
	}
	total := 0
	for _, n := range l.accepted {
		total += n
	}
	s := l.u.Stats()
	if s.Accepted != uint64(total) || s.Acked != uint64(total) || s.Outstanding != 0 || s.Lost+s.Rejected > 0 {
		l.t.Errorf("accepted %d: stats %+v", total, s)
	}
	if l.most > l.limit || s.BufferedBytes != 0 {
		l.t.Errorf("%d bytes were buffered, limit %d; %d are left", l.most, l.limit, s.BufferedBytes)
	}
	next := map[string]int{}
	first := 0
	for _, r := range consume(l.t, b.addr, b.topics.Uplink, total) {
		key, n := string(r.Key), 0
		if _, err := fmt.Sscanf(string(r.Value[:6]), "%d", &n); err != nil {
			l.t.Fatal(err)
		}
		switch {
		case n < next[key]:
			duplicates++
		case n == next[key]:
			next[key]++
			first++
		default:
			l.t.Fatalf("%s: message %d follows %d", key, n, next[key]-1)
		}
	}
	for first < total && duplicates > 0 {
		// consume may have ended on the count with copies in it.
		l.t.Fatalf("%d of %d messages and %d copies were read: read on", first, total, duplicates)
	}
	for p, n := range l.accepted {
		if got := next[fmt.Sprintf("p%d", p)]; got != n {
			l.t.Errorf("p%d: %d accepted, %d in Kafka", p, n, got)
		}
	}
	refused, most := l.seen()
	l.t.Logf("%d accepted, %d refused, %d duplicates, at most %d KiB buffered, %d produced again", total, refused, duplicates, most>>10, s.Retried)
	return duplicates
}

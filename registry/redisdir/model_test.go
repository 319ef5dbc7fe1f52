package redisdir

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
	"pgregory.net/rapid"
)

// TestAgainstModel runs random sequences of connect, disconnect, join of a
// node, death of a node and faults of Redis, on real servers, against a model
// that knows only this: a principal's newest session is found where it is, no
// more than the limit are, and the directory says what the tables say.
func TestAgainstModel(t *testing.T) {
	// A sequence takes a second or so. More of them: -rapid.checks=500.
	for name, few := range map[string]string{"rapid.checks": "20", "rapid.steps": "15"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(few); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Value.Set(f.DefValue) }()
		}
	}
	s := redistest.Start(t)
	proxy := redistest.StartProxy(t, s)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		s.Must("FLUSHALL")
		m := &model{t: t, server: s, proxy: proxy, run: run, limit: rapid.IntRange(1, 2).Draw(rt, "limit"), newest: map[string]session.ID{}}
		m.addNode()
		m.addNode()
		defer m.end()
		rt.Repeat(map[string]func(*rapid.T){
			"connect":  m.connect,
			"connect ": m.connect, // twice as often
			"disconnect": func(rt *rapid.T) {
				if len(m.live) == 0 {
					rt.Skip("nobody is connected")
				}
				i := rapid.IntRange(0, len(m.live)-1).Draw(rt, "session")
				l := m.live[i]
				m.live = slices.Delete(m.live, i, i+1)
				l.node.end(l.id)
			},
			"node joins": func(rt *rapid.T) {
				if len(m.nodes) > 3 {
					rt.Skip("enough")
				}
				m.addNode()
			},
			"node dies": func(rt *rapid.T) {
				if len(m.nodes) < 2 {
					rt.Skip("the last one")
				}
				i := rapid.IntRange(0, len(m.nodes)-1).Draw(rt, "node")
				dead := m.nodes[i]
				m.nodes = slices.Delete(m.nodes, i, i+1)
				dead.stop()
				m.live = slices.DeleteFunc(m.live, func(l liveSession) bool { return l.node == dead })
			},
			"redis restarts empty": func(*rapid.T) { s.Kill(); s.Restart() },
			"connections are cut":  func(*rapid.T) { proxy.Cut() },
			"redis stalls": func(rt *rapid.T) {
				s.Freeze()
				time.Sleep(time.Duration(rapid.IntRange(10, 600).Draw(rt, "ms")) * time.Millisecond)
				s.Thaw()
			},
			"time passes": func(rt *rapid.T) {
				time.Sleep(time.Duration(rapid.IntRange(1, 200).Draw(rt, "ms")) * time.Millisecond)
			},
		})
		m.compare(rt)
	})
}

type model struct {
	t      *testing.T
	server *redistest.Server
	proxy  *redistest.Proxy
	run    int
	limit  int
	nodes  []*testNode
	named  int
	live   []liveSession         // in the order of their opening
	newest map[string]session.ID // ever opened, by principal
}

type liveSession struct {
	principal string
	node      *testNode
	id        session.ID
}

func (m *model) addNode() {
	m.named++
	config := quick(m.proxy.URL(), fmt.Sprintf("n%d-%d", m.run, m.named))
	config.Audit = 2 * time.Second // a node that dies may take notices along
	m.nodes = append(m.nodes, startNode(m.t, config, m.limit))
}

func (m *model) end() {
	for _, n := range m.nodes {
		n.stop()
	}
}

func (m *model) connect(rt *rapid.T) {
	// Two milliseconds apart, so that the clocks of the nodes, which follow
	// Redis', agree on what is newer.
	time.Sleep(2 * time.Millisecond)
	n := rapid.SampledFrom(m.nodes).Draw(rt, "node")
	principal := rapid.SampledFrom([]string{"ann", "bob", "eve"}).Draw(rt, "principal")
	id := n.open(principal, "everybody")
	m.live = append(m.live, liveSession{principal, n, id})
	m.newest[principal] = id
}

func (m *model) compare(rt *rapid.T) {
	agree(m.t, m.server.URL(), m.nodes...)
	for _, principal := range []string{"ann", "bob", "eve"} {
		time.Sleep(askAgain)
		got := m.nodes[0].find(principal)
		// A session that was displaced by a newer one does not come back when
		// that one closes. Only of the newest ever is it certain what became of it.
		var held []string
		newest := ""
		for _, l := range m.live {
			if l.principal != principal {
				continue
			}
			if l.id == m.newest[principal] {
				newest = at(l.node, l.id)
			}
			if slices.Contains(l.node.table.AppendSessions(nil, []byte(principal)), l.id) {
				held = append(held, at(l.node, l.id))
			}
		}
		slices.Sort(held)
		if !slices.Equal(got, held) {
			rt.Fatalf("%s is at %v, the tables hold %v", principal, got, held)
		}
		if len(got) > m.limit {
			rt.Fatalf("%s has %d sessions, limit %d", principal, len(got), m.limit)
		}
		if newest != "" && !slices.Contains(got, newest) {
			rt.Fatalf("%s is at %v, but the newest session is %s; %s", principal, got, newest, m.displacements())
		}
	}
}

func (m *model) displacements() string {
	text := ""
	for _, n := range m.nodes {
		n.mu.Lock()
		text += fmt.Sprint(n.id, " incarnations ", *n.dir.mine.Load(), " displaced ", n.displaced, "; ")
		n.mu.Unlock()
	}
	return text
}

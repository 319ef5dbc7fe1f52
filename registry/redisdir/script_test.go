package redisdir

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// serverStore is a store on its own, to run scripts by hand.
func serverStore(t *testing.T, s *redistest.Server) *store {
	t.Helper()
	st := &store{link: link{url: s.URL(), timeout: time.Second}}
	if err := st.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	return st
}

// put runs put.lua for one name of bucket 0 and returns its answer as text.
func put(t *testing.T, s *store, deadline time.Time, limit int, mine uint32, name string, records ...record) string {
	t.Helper()
	var own []byte
	for _, r := range records {
		own = r.append(own)
	}
	key := principals.bucketKey(0)
	answer, err := s.runOne(t.Context(), scriptCall{scriptPut, []string{key, key + longSuffix}, []string{
		strconv.FormatInt(deadline.UnixMilli(), 10), "s", strconv.Itoa(limit), "1", strconv.Itoa(int(mine)), "1", name, string(own),
	}}).ToArray()
	if err != nil {
		t.Fatal(err)
	}
	word, _ := answer[0].ToString()
	for i := 1; i+2 < len(answer); i += 3 {
		for j, what := range []string{" gone", " refused"} {
			value, _ := answer[i+1+j].ToString()
			if err := eachRecord(value, func(r record) { word += fmt.Sprint(what, r.incarnation, "@", r.epoch) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	return word
}

func stored(t *testing.T, s *store, name string) string {
	t.Helper()
	text := ""
	s.shared.Store(&layout{buckets: 1, spills: true})
	if err := s.fetch(t.Context(), principals, []string{name}, 0, func(_ int, value string) error {
		return eachRecord(value, func(r record) { text += fmt.Sprint(r.incarnation, "@", r.epoch, " ") })
	}); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPut is the table of what a write may and may not do.
func TestPut(t *testing.T) {
	st := serverStore(t, redistest.Start(t))
	soon := time.Now().Add(time.Minute)
	rec := func(incarnation uint32, epoch registry.Epoch) record {
		return record{epoch, uint32(epoch), 1, incarnation}
	}
	for i, step := range []struct {
		what         string
		deadline     time.Time
		limit        int
		mine         uint32
		records      []record
		answer, then string
	}{
		{"a first session", soon, 1, 1, []record{rec(1, 10)}, "ok", "1@10 "},
		{"once more", soon, 1, 1, []record{rec(1, 10)}, "ok", "1@10 "},
		{"an older one from elsewhere", soon, 1, 2, []record{rec(2, 9)}, "ok refused2@9", "1@10 "},
		{"a newer one from elsewhere", soon, 1, 2, []record{rec(2, 11)}, "ok gone1@10", "2@11 "},
		{"the former owner unbinds", soon, 1, 1, nil, "ok", "2@11 "},
		{"the former owner registers again", soon, 1, 1, []record{rec(1, 10)}, "ok refused1@10", "2@11 "},
		{"too late", time.Now().Add(-time.Minute), 1, 3, []record{rec(3, 99)}, "late", "2@11 "},
		{"too late to unbind", time.Now().Add(-time.Minute), 1, 2, nil, "late", "2@11 "},
		{"the same session under a new incarnation", soon, 1, 5, []record{rec(5, 11)}, "ok", "5@11 "},
		{"the same epoch, lower incarnation", soon, 1, 3, []record{{11, 77, 1, 3}}, "ok refused3@11", "5@11 "},
		{"two are allowed", soon, 2, 3, []record{rec(3, 10)}, "ok", "5@11 3@10 "},
		{"a third", soon, 2, 4, []record{rec(4, 12)}, "ok gone3@10", "4@12 5@11 "},
		{"one node has several", soon, 4, 4, []record{rec(4, 12), rec(4, 13)}, "ok", "5@11 4@12 4@13 "},
		{"unbind leaves the others", soon, 4, 4, nil, "ok", "5@11 "},
		{"the last unbinds", soon, 4, 5, nil, "ok", ""},
	} {
		answer := put(t, st, step.deadline, step.limit, step.mine, "ann", step.records...)
		if then := stored(t, st, "ann"); answer != step.answer || then != step.then {
			t.Fatalf("step %d, %s: answer %q, then %q; want %q, %q", i, step.what, answer, then, step.answer, step.then)
		}
	}
}

// TestLongValuesMoveOutAndBack has a principal grow beyond what a listpack
// takes, and shrink again.
func TestLongValuesMoveOutAndBack(t *testing.T) {
	s := redistest.Start(t)
	st := serverStore(t, s)
	soon := time.Now().Add(time.Minute)
	var many []record
	for i := range 12 {
		many = append(many, record{registry.Epoch(i + 1), uint32(i), 1, 1})
	}
	key := principals.bucketKey(0)
	for _, n := range []int{2, 12, 9, 1} {
		put(t, st, soon, 64, 1, "ann", many[:n]...)
		short, long := s.Must("HLEN", key), s.Must("HLEN", key+longSuffix)
		if want := fmt.Sprint(b2i(n <= 8), b2i(n > 8)); short+" "+long != want {
			t.Errorf("%d records: fields in the two keys %s %s, want %s", n, short, long, want)
		}
		if enc, err := s.Do("OBJECT", "ENCODING", key); err == nil && enc != "listpack" && enc != "" {
			t.Errorf("the bucket became a %s", enc)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestBucketsStayListpacks fills the directory to what was expected, and to
// three times as much, with principals of several lengths.
func TestBucketsStayListpacks(t *testing.T) {
	s := redistest.Start(t)
	config := quick(s.URL(), "a")
	config.Expect = 8192 // 64 buckets of 128
	a := joinedNode(t, config, 1)
	for i := range 3 * config.Expect {
		a.open(fmt.Sprintf("user-%0*d", i%59, i), fmt.Sprintf("group-%d", i%500))
	}
	a.settled()
	lists := 0
	for _, key := range keysLeft(s) {
		if got := s.Must("OBJECT", "ENCODING", key); got != "listpack" {
			t.Errorf("%s with %s fields is a %s", key, s.Must("HLEN", key), got)
		}
		lists++
	}
	if lists < 64 {
		t.Errorf("only %d buckets", lists)
	}
}

// TestEpochsGrowThroughEverything follows one principal over two nodes, a
// restart of both, a Redis that restarts empty, and a node whose clock was an
// hour ahead before it met Redis.
func TestEpochsGrowThroughEverything(t *testing.T) {
	s := redistest.Start(t)
	var last registry.Epoch
	connect := func(what string, n *testNode) {
		t.Helper()
		time.Sleep(3 * time.Millisecond)
		id := n.open("ann")
		n.settled()
		got := n.table.AppendEntries(nil, []byte("ann"))
		if len(got) != 1 || got[0].ID != id || got[0].Epoch <= last {
			t.Fatalf("%s: %v after epoch %d", what, got, last)
		}
		last = got[0].Epoch
		n.end(id)
		n.settled()
	}
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	connect("first", a)
	connect("on another node", b)
	a.stop()
	b.stop()
	a = joinedNode(t, quick(s.URL(), "a"), 1)
	connect("after a restart of all nodes", a)
	s.Kill()
	s.Restart()
	eventually(t, 10*time.Second, func() string {
		if a.dir.Stats().Resyncs == 0 {
			return "no resync"
		}
		return ""
	})
	agree(t, s.URL(), a)
	connect("after a restart of Redis", a)

	s.Kill()
	c := startNode(t, quick(s.URL(), "c"), 1)
	c.table.Clock().Correct(time.Hour) // as if the host's clock were ahead
	c.open("somebody")
	ahead := c.table.Clock().Last()
	s.Restart()
	c.await(Joined)
	agree(t, s.URL(), a, c)
	last = ahead // from here on, epochs must pass those that c gave out
	eventually(t, 10*time.Second, func() string {
		if now := a.table.Clock().Now(); now < ahead {
			return fmt.Sprintf("node a's clock is still %d behind", ahead-now)
		}
		return ""
	})
	connect("after meeting a node that was ahead", a)
}

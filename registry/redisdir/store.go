package redisdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/redis/rueidis"
)

// Node is one incarnation of a node as the directory knows it: alive, or dead
// and not cleared up after yet.
type Node struct {
	ID          string
	Incarnation uint32 // grows with every start of a node, and whenever one lost its lease
	Process     uint64 // incarnation in the session ids of its sessions
	Alive       bool

	Lease    time.Duration // left, of a live one, at the time of asking
	Sessions int           // of a live one, when it last renewed
	API      string        // host:port of its HTTP API, or empty
	Bus      string        // its Config.Bus
	Inbox    int32         // partition of the inbox topic leased to a live one, -1 for none
}

// store reads what stands in Redis. It is shared by the nodes and the tools.
type store struct {
	link
	shared atomic.Pointer[layout] // learnt from Redis at the first contact
}

func (s *store) layout() layout {
	if l := s.shared.Load(); l != nil {
		return *l
	}
	return layout{buckets: minBuckets}
}

// readLayout learns the layout without being a node.
func (s *store) readLayout(ctx context.Context) error {
	facts, err := s.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Hgetall().Key(keyFacts).Build()
	}).AsStrMap()
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if len(facts) == 0 {
		return ErrNoDirectory
	}
	buckets, err := strconv.ParseUint(facts["buckets"], 10, 32)
	if err != nil || buckets == 0 {
		return fmt.Errorf("bucket count %q: %w", facts["buckets"], errBadValue)
	}
	s.shared.Store(&layout{buckets: uint32(buckets), spills: facts["spills"] == "1"})
	return nil
}

// ErrNoDirectory says that no node has ever joined on this Redis.
var ErrNoDirectory = errors.New("no directory in this Redis: no node has joined it")

// nodes returns every incarnation that has or may have entries, oldest first.
func (s *store) nodes(ctx context.Context) ([]Node, error) {
	lists := s.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		return []rueidis.Completed{c.B().Hgetall().Key(keyIncarnations).Build(), c.B().Hgetall().Key(keyInboxes).Build()}
	})
	known, err := lists[0].AsStrMap()
	if err != nil {
		return nil, fmt.Errorf("read incarnations: %w", err)
	}
	leased, err := lists[len(lists)-1].AsStrMap()
	if err != nil {
		return nil, fmt.Errorf("read inboxes: %w", err)
	}
	inboxes := byOwner(leased)
	list := make([]Node, 0, len(known))
	for number, description := range known {
		n, ok := parseNode(number, description)
		if !ok {
			return nil, fmt.Errorf("incarnation %q of %q: %w", number, description, errBadValue)
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	if len(list) == 0 {
		return nil, nil
	}
	results := s.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		cmds := make([]rueidis.Completed, 0, 2*len(list))
		for _, n := range list {
			cmds = append(cmds, c.B().Get().Key(keyLease(n.ID)).Build(), c.B().Pttl().Key(keyLease(n.ID)).Build())
		}
		return cmds
	})
	for i := range list {
		n := &list[i]
		value, err := results[2*i].ToString()
		if rueidis.IsRedisNil(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read lease of %s: %w", n.ID, err)
		}
		left, err := results[2*i+1].AsInt64()
		if err != nil {
			return nil, fmt.Errorf("read lease of %s: %w", n.ID, err)
		}
		held, ok := parseLease(value)
		if !ok {
			return nil, fmt.Errorf("lease of %s, %q: %w", n.ID, value, errBadValue)
		}
		if held.incarnation == n.Incarnation {
			n.Alive, n.Sessions, n.API, n.Bus, n.Inbox = true, held.sessions, held.api, held.bus, noInbox
			if partition, ok := inboxes[held.incarnation]; ok {
				n.Inbox = partition
			}
			n.Lease = time.Duration(max(left, 0)) * time.Millisecond
		}
	}
	return list, nil
}

// byOwner turns the hash of inboxes round: incarnation to partition.
func byOwner(inboxes map[string]string) map[uint32]int32 {
	owned := make(map[uint32]int32, len(inboxes))
	for partition, owner := range inboxes {
		p, err := strconv.ParseInt(partition, 10, 32)
		n, err2 := strconv.ParseUint(owner, 10, 32)
		if err == nil && err2 == nil {
			owned[uint32(n)] = int32(p)
		}
	}
	return owned
}

func description(process uint64, node string) string {
	return fmt.Sprintf("%016x %s", process, node)
}

func parseNode(number, description string) (Node, bool) {
	n, err := strconv.ParseUint(number, 10, 32)
	process, id, ok := strings.Cut(description, " ")
	p, err2 := strconv.ParseUint(process, 16, 64)
	return Node{ID: id, Incarnation: uint32(n), Process: p, Inbox: noInbox}, ok && err == nil && err2 == nil
}

// leaseholder is what a lease says of its node.
type leaseholder struct {
	incarnation uint32
	sessions    int
	api, bus    string
}

func (l leaseholder) value() string {
	return fmt.Sprintf("%d %d %s %s", l.incarnation, l.sessions, l.api, l.bus)
}

func parseLease(value string) (l leaseholder, ok bool) {
	parts := strings.SplitN(value, " ", 4)
	if len(parts) != 4 {
		return l, false
	}
	n, err := strconv.ParseUint(parts[0], 10, 32)
	sessions, err2 := strconv.Atoi(parts[1])
	return leaseholder{uint32(n), sessions, parts[2], parts[3]}, err == nil && err2 == nil
}

// scanBatch is how many buckets are read in one round trip: about 200 KB.
const scanBatch = 32

// scan reads all buckets of one kind and calls visit with each name and value
// found. pause is called between two round trips and may end the scan.
func (s *store) scan(ctx context.Context, k kind, pause func() error, visit func(name, value string) error) error {
	n := s.layout().count(k)
	for first := uint32(0); first < n; first += scanBatch {
		if err := pause(); err != nil {
			return err
		}
		last := min(first+scanBatch, n)
		results := s.do(ctx, func(c rueidis.Client) []rueidis.Completed {
			cmds := make([]rueidis.Completed, 0, 2*scanBatch)
			for bucket := first; bucket < last; bucket++ {
				key := k.bucketKey(bucket)
				cmds = append(cmds, c.B().Hgetall().Key(key).Build(), c.B().Hgetall().Key(key+longSuffix).Build())
			}
			return cmds
		})
		for _, r := range results {
			fields, err := r.AsStrMap()
			if err != nil {
				return fmt.Errorf("read buckets: %w", err)
			}
			for name, value := range fields {
				if err := visit(name, value); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fetch reads the values of names, in one pipeline, and calls visit for each
// one that is there. Where self is an incarnation, 0 is none, it fails with
// errForgotten if Redis does not know that.
func (s *store) fetch(ctx context.Context, k kind, names []string, self uint32, visit func(i int, value string) error) error {
	if len(names) == 0 {
		return nil
	}
	l := s.layout()
	results := s.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		cmds := make([]rueidis.Completed, 0, 2*len(names)+1)
		for _, name := range names {
			key := k.bucketKey(l.bucket(k, name))
			if len(name) <= longName {
				cmds = append(cmds, c.B().Hget().Key(key).Field(name).Build())
			}
			if l.mayBeLong(k, name) {
				cmds = append(cmds, c.B().Hget().Key(key+longSuffix).Field(name).Build())
			}
		}
		if self != 0 {
			cmds = append(cmds, c.B().Hexists().Key(keyIncarnations).Field(strconv.FormatUint(uint64(self), 10)).Build())
		}
		return cmds
	})
	if self != 0 {
		known, err := results[len(results)-1].AsBool()
		if err == nil && !known {
			return errForgotten
		}
	}
	at := 0
	for i, name := range names {
		reads := 0
		if len(name) <= longName {
			reads++
		}
		if l.mayBeLong(k, name) {
			reads++
		}
		for range reads {
			r := results[min(at, len(results)-1)]
			at++
			value, err := r.ToString()
			if rueidis.IsRedisNil(err) {
				continue
			} else if err != nil {
				return err
			}
			if err := visit(i, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayBeLong reports whether the value of a name can stand in the long key of
// its bucket.
func (l layout) mayBeLong(k kind, name string) bool {
	return k == groups || len(name) > longName || l.spills
}

// id returns the session id of a record that node n wrote.
func (r record) id(n *Node) session.ID {
	return session.ID{Incarnation: n.Process, Slot: r.slot, Generation: r.generation}
}

func (r record) session(n *Node) registry.Session {
	return registry.Session{ID: r.id(n), Epoch: r.epoch}
}

// infoField returns the value of "field:value" in the answer to INFO.
func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == field {
			return value
		}
	}
	return ""
}

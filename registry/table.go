package registry

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/limpet-gateway/limpet/internal/session"
)

// What Add and Join refuse.
var (
	ErrBadPrincipal  = fmt.Errorf("principal is not 1 to %d bytes long", session.MaxName)
	ErrBadGroup      = fmt.Errorf("group name is not 1 to %d bytes long", session.MaxName)
	ErrTableFull     = errors.New("registry table is full")
	ErrTooManyGroups = errors.New("session is in too many groups")
)

// Ref is the handle of one session's entry, good from Add to Remove. The
// session's owner keeps it; zero is none.
//
//	31     26                                0
//	| shard |  first word of the block        |
type Ref uint32

func refOf(shard int, word uint32) Ref { return Ref(uint32(shard)<<wordBits | word) }

func (r Ref) split() (shard int, word uint32) {
	return int(r >> wordBits), uint32(r) & maxArenaWord
}

// Session is one entry of the table.
type Session struct {
	ID    session.ID
	Epoch Epoch
}

// Config says how a Table behaves.
type Config struct {
	// Incarnation of this process, which every session id carries.
	Incarnation uint64

	// MaxPerPrincipal is the policy: how many sessions a principal may have,
	// on all nodes together where there is a directory. The newest stay, an
	// older one is displaced. 1 is the policy "single"; more is "many". 0 means
	// 1; the most is MaxSessionsPerPrincipal.
	MaxPerPrincipal int

	// MaxGroups is how many groups one session may be in; 0 means 64.
	MaxGroups int

	// Clock gives sessions their epochs; nil means a clock over time.Now.
	Clock *Clock
}

const (
	// MaxSessionsPerPrincipal bounds the chain that a lookup walks.
	MaxSessionsPerPrincipal = 64
	defaultMaxGroups        = 64
	maxMaxGroups            = 1024
)

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	if c.MaxPerPrincipal < 0 || c.MaxPerPrincipal > MaxSessionsPerPrincipal {
		faults = append(faults, fmt.Errorf("sessions per principal: %d is not between 1 and %d", c.MaxPerPrincipal, MaxSessionsPerPrincipal))
	}
	if c.MaxGroups < 0 || c.MaxGroups > maxMaxGroups {
		faults = append(faults, fmt.Errorf("groups per session: %d is not between 1 and %d", c.MaxGroups, maxMaxGroups))
	}
	return errors.Join(faults...)
}

// Observer is told of every change, so that a directory can follow the table.
// It is called on event loops under a shard's lock: it must copy what it keeps,
// return within a microsecond or so and not call the table.
type Observer interface {
	PrincipalChanged(principal []byte)
	GroupChanged(group []byte)
}

// Table is what this node knows of its own sessions.
type Table struct {
	// Fixed at construction.
	incarnation     uint64
	maxPerPrincipal int
	maxGroups       int
	clock           *Clock
	seed            maphash.Seed

	observer Observer // set before the first Add

	shards [1 << shardBits]shard
	groups [1 << groupShardBits]groupShard
}

// shard holds the sessions of those principals whose hash starts with its
// number. All fields are guarded by mu.
type shard struct {
	mu         sync.Mutex
	arena      arena
	index      index
	sessions   int
	principals int
	// newestGone is the greatest epoch of a session that has been removed. A
	// new epoch must pass it, or a principal that came and went within one
	// millisecond would repeat an epoch.
	newestGone Epoch
	_          [64]byte // neighbours do not share a cache line
}

// A session's block, after the arena's three bytes:
//
//	3   | epoch, bits 32 to 39
//	4   | epoch, bits 0 to 31
//	8   | slot
//	12  | generation
//	16  | next older session of the principal
//	20  | first membership
//	24  | principal
const (
	offEpochHigh   = 3
	offEpochLow    = 4
	offSlot        = 8
	offGeneration  = 12
	offOlder       = 16
	offMemberships = 20
	sessionHeader  = 24
)

// NewTable returns an empty table. It panics on a Config that Validate refuses.
func NewTable(c Config) *Table {
	if err := c.Validate(); err != nil {
		panic("registry: " + err.Error())
	}
	t := &Table{
		incarnation:     c.Incarnation,
		maxPerPrincipal: max(c.MaxPerPrincipal, 1),
		maxGroups:       c.MaxGroups,
		clock:           c.Clock,
		seed:            maphash.MakeSeed(),
		observer:        noObserver{},
	}
	if t.maxGroups == 0 {
		t.maxGroups = defaultMaxGroups
	}
	if t.clock == nil {
		t.clock = NewClock(nil)
	}
	for i := range t.shards {
		t.shards[i].index = index{header: sessionHeader, seed: t.seed}
	}
	for i := range t.groups {
		t.groups[i].index = index{header: groupHeader, seed: t.seed}
	}
	return t
}

// Observe has o told of every change from now on. Call it before the first
// Add, and once.
func (t *Table) Observe(o Observer) { t.observer = o }

// Incarnation returns that of the session ids in this table.
func (t *Table) Incarnation() uint64 { return t.incarnation }

// MaxPerPrincipal returns how many sessions a principal may have.
func (t *Table) MaxPerPrincipal() int { return t.maxPerPrincipal }

// Clock returns what gives sessions their epochs.
func (t *Table) Clock() *Clock { return t.clock }

type noObserver struct{}

func (noObserver) PrincipalChanged([]byte) {}
func (noObserver) GroupChanged([]byte)     {}

func (t *Table) session(b []byte) Session {
	return Session{
		ID: session.ID{
			Incarnation: t.incarnation,
			Slot:        get(b, offSlot),
			Generation:  get(b, offGeneration),
		},
		Epoch: epochIn(b),
	}
}

func epochIn(b []byte) Epoch {
	return Epoch(b[offEpochHigh])<<32 | Epoch(get(b, offEpochLow))
}

func setEpoch(b []byte, e Epoch) {
	b[offEpochHigh] = byte(e >> 32)
	put(b, offEpochLow, uint32(e))
}

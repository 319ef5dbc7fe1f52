package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

var (
	// ErrOffline says that a session has gone, or never was on this node.
	ErrOffline = errors.New("session is offline")
	// ErrFull says that a loop's mailbox has no room: the node is behind
	// with its writes. Trying again later may work.
	ErrFull = errors.New("mailbox full")
	// ErrClosed says that the engine has stopped.
	ErrClosed = errors.New("engine closed")
)

// Engine is a set of event loops and the connections they own.
// Its methods may be called from any goroutine.
type Engine struct {
	gnet.BuiltinEventEngine

	// Fixed at construction.
	cfg      Config
	handler  Handler
	plan     descriptorPlan
	slots    numbering
	addr     net.Addr
	held     *heldAddress // until Start has returned
	deflater *wsproto.Deflater
	born     time.Time        // tick 0
	stopped  chan struct{}    // closed when gnet has returned
	again    chan *loop       // loops that want another turn; one place for each
	shared   chan sharedClose // descriptors to close in the shared table
	started  chan struct{}    // closed at the first tick, when every loop listens

	runErr error // what gnet returned: written before stopped closes, read after

	// Owned by gnet's ticker goroutine.
	booted bool

	// Guarded by mu.
	mu   sync.Mutex // held to look up or add a loop, and while a descriptor table parts
	gnet gnet.Engine

	// Atomic.
	tuning    atomic.Pointer[tuned]   // never nil; replaced by Tune
	loops     atomic.Pointer[[]*loop] // copied to add; at most plan.loops
	conns     atomic.Int64            // connections that hold a place below the limit
	undecided atomic.Int64            // connections that wait for Decide
	begun     atomic.Bool             // Start was called
	draining  atomic.Bool
	stopping  atomic.Bool

	// What SetPressure allows.
	pressure      atomic.Pointer[Pressure]
	outboundTotal atomic.Int64 // of all
	inboundTotal  atomic.Int64 // unfinished bytes of all
	mailboxBytes  atomic.Int64 // of one loop
	newcomers     atomic.Int64 // connections that may come until the next call

	lingerers atomic.Int64 // refused connections that linger in a table shared by all loops
}

type sharedClose struct {
	fd   int
	done chan struct{}
}

// New prepares an engine: it checks cfg, raises the process's own soft limit on
// descriptors, finds out whether the limits allow cfg.MaxConns, and takes the
// address. It fails in words that say what to change.
func New(cfg Config, handler Handler) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	cfg.setDefaults()
	nofile, err := raiseNofile()
	if err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	plan, err := planDescriptors(&cfg, nofile, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	if plan.perLoop {
		if err := tryPart(); err != nil {
			return nil, fmt.Errorf("reactor: no descriptor table per loop: %w", err)
		}
	}
	held, err := holdAddress(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	e := &Engine{
		cfg:      cfg,
		handler:  handler,
		plan:     plan,
		slots:    numberingFor(plan.loops),
		addr:     held.addr,
		held:     held,
		deflater: wsproto.NewDeflater(cfg.Deflater),
		born:     time.Now(),
		stopped:  make(chan struct{}),
		again:    make(chan *loop, maxLoops),
		started:  make(chan struct{}),
		shared:   make(chan sharedClose),
	}
	if err := e.Tune(cfg.Tuning); err != nil {
		held.release()
		return nil, err
	}
	e.loops.Store(new([]*loop))
	e.SetPressure(Pressure{})
	return e, nil
}

// Start opens the listeners and runs the loops until Close. Handler methods
// may be called before it returns.
//
// With a descriptor table per loop, the main goroutine should hold the
// process's first thread (runtime.LockOSThread in an init function): that
// thread cannot end before the process, so a loop's table on it would stay for
// as long.
func (e *Engine) Start() error {
	if !e.begun.CompareAndSwap(false, true) {
		return ErrClosed
	}
	defer e.held.release()
	if err := e.held.check(); err != nil {
		close(e.stopped)
		return fmt.Errorf("reactor: %w", err)
	}
	go e.assist()
	go e.run()
	select {
	case <-e.started:
		return nil
	case <-e.stopped:
		return fmt.Errorf("reactor: listen on %s: %w", e.addr, e.runErr)
	}
}

func (e *Engine) run() {
	err := gnet.Run(e, forGnet(e.addr),
		gnet.WithReusePort(true),
		gnet.WithReuseAddr(true),
		gnet.WithNumEventLoop(e.plan.loops),
		gnet.WithLockOSThread(e.plan.perLoop),
		gnet.WithReadBufferCap(readBuffer),
		gnet.WithTicker(true),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(gnetLog{e.cfg.Log}),
	)
	if err == nil {
		err = ErrClosed
	}
	e.runErr = err
	close(e.stopped)
}

// assist does for the loops what they cannot do themselves. It runs on an
// ordinary thread, which has the process's own descriptor table, and closes
// there what a loop took into its own; and it wakes loops that want another
// turn after their sockets had theirs.
func (e *Engine) assist() {
	for {
		select {
		case l := <-e.again:
			_ = l.wakeForMail() // fails only when the loops are ending
		case c := <-e.shared:
			_ = unix.Close(c.fd)
			close(c.done)
		case <-e.stopped:
			return
		}
	}
}

// OnBoot implements gnet.EventHandler.
func (e *Engine) OnBoot(eng gnet.Engine) gnet.Action {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gnet = eng
	return gnet.None
}

// OnTick implements gnet.EventHandler. gnet calls it on a goroutine of its
// own, once per engine, so it only posts the tick to each loop.
func (e *Engine) OnTick() (time.Duration, gnet.Action) {
	if !e.booted {
		e.booted = true
		close(e.started)
	}
	for _, l := range e.allLoops() {
		l.postTick()
	}
	return tick, gnet.None
}

// Addr is the address that clients connect to.
func (e *Engine) Addr() net.Addr { return e.addr }

// Limits describes what the engine was able to arrange at start.
type Limits struct {
	MaxConns      int  // connections at once; Tune may change it
	Loops         int  // event loops
	PerLoopTables bool // each loop has a descriptor table of its own
	PerTable      int  // connections that fit one table
	// ForOthers is the number that a descriptor must stay below which somebody
	// else in this process accepts: the rest is for the loops, since one that
	// finds no descriptor for a connection ends the engine.
	ForOthers int
}

// Limits returns what the engine was able to arrange at start, and the limit now
// in force.
func (e *Engine) Limits() Limits {
	return Limits{e.tuned().maxConns, e.plan.loops, e.plan.perLoop, e.plan.maxTable, e.plan.forOthers()}
}

// Done is closed when the engine has stopped, by Close or by itself.
func (e *Engine) Done() <-chan struct{} { return e.stopped }

func (e *Engine) allLoops() []*loop { return *e.loops.Load() }

// loopOf returns the loop that owns a gnet event loop's connections; the first
// connection of each adds it.
func (e *Engine) loopOf(el gnet.EventLoop) *loop {
	for _, l := range e.allLoops() {
		if l.events == el {
			return l
		}
	}
	return nil
}

// addLoop makes the loop behind el known. On that loop, for its first
// connection, whose descriptor is fd.
func (e *Engine) addLoop(el gnet.EventLoop, fd int) (*loop, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan.perLoop {
		// One at a time: the copy must not catch another loop's connection
		// between its accept and the closing of its shared descriptor.
		if err := partTable(fd, e.closeShared); err != nil {
			return nil, err
		}
	}
	known := e.allLoops()
	l := newLoop(e, len(known), el)
	all := append(append(make([]*loop, 0, len(known)+1), known...), l)
	e.loops.Store(&all)
	return l, nil
}

func (e *Engine) closeShared(fd int) {
	c := sharedClose{fd, make(chan struct{})}
	e.shared <- c
	<-c.done
}

// Send leaves p for one session. It fails at once with ErrOffline when the
// session cannot be one of this engine's, and with ErrFull; whether the
// session still lived when its loop came to it is in the receipt.
func (e *Engine) Send(id session.ID, p Push) error {
	p.Receipt.expect(1)
	l, err := e.loopFor(id)
	if err != nil {
		p.Receipt.add(Outcome{Offline: 1})
		return err
	}
	err = l.mailbox.put(mail{kind: mailSend, slot: id.Slot, gen: id.Generation, frame: newFrame(&p), receipt: p.Receipt})
	if err != nil {
		p.Receipt.add(Outcome{Dropped: 1})
	}
	return err
}

// Multicast leaves p for many sessions: encoded once, one entry per loop that
// owns any of them. It keeps no part of ids. Loops whose mailbox is full miss
// it, and ErrFull is returned; their sessions count as dropped.
func (e *Engine) Multicast(ids []session.ID, p Push) error {
	loops := e.allLoops()
	parts := make([][]session.ID, len(loops))
	used, stale := 0, 0
	for _, id := range ids {
		n := e.slots.loop(id.Slot)
		if id.Incarnation != e.cfg.Incarnation || int(n) >= len(loops) {
			stale++
			continue
		}
		if parts[n] == nil {
			used++
		}
		parts[n] = append(parts[n], id)
	}
	p.Receipt.expect(used + 1)
	var full error
	f := newFrame(&p)
	for n, part := range parts {
		if part == nil {
			continue
		}
		if err := loops[n].mailbox.put(mail{kind: mailMulticast, ids: part, frame: f, receipt: p.Receipt}); err != nil {
			full = err
			p.Receipt.add(Outcome{Dropped: len(part)})
		}
	}
	p.Receipt.add(Outcome{Offline: stale})
	return full
}

// Broadcast leaves p for every session of the node: encoded once, one entry
// per loop. Loops whose mailbox is full miss it, and ErrFull is returned.
func (e *Engine) Broadcast(p Push) error {
	loops := e.allLoops()
	p.Receipt.expect(len(loops))
	f := newFrame(&p)
	var full error
	for _, l := range loops {
		if err := l.mailbox.put(mail{kind: mailBroadcast, frame: f, receipt: p.Receipt}); err != nil {
			full = err
			p.Receipt.add(Outcome{Dropped: int(l.count.sessions.Load())})
		}
	}
	return full
}

// CloseSession begins the close handshake with a session. It fails like Send.
func (e *Engine) CloseSession(id session.ID, reason session.CloseReason) error {
	l, err := e.loopFor(id)
	if err != nil {
		return err
	}
	return l.mailbox.put(mail{kind: mailClose, slot: id.Slot, gen: id.Generation, reason: reason})
}

// Decide brings the verdict over an Opening that was put off: Handler.Open is
// called with it. It fails with ErrOffline for an id that cannot be one of this
// engine's, and with ErrClosed. A connection that has gone meanwhile, or was
// decided before, does not notice.
func (e *Engine) Decide(id session.ID, verdict any) error {
	l, err := e.loopFor(id)
	if err != nil {
		return err
	}
	return l.mailbox.put(mail{kind: mailDecide, slot: id.Slot, gen: id.Generation, verdict: verdict})
}

// Extend moves the time at which a session ends; the zero time is never. It
// fails like Send.
func (e *Engine) Extend(id session.ID, expires time.Time) error {
	l, err := e.loopFor(id)
	if err != nil {
		return err
	}
	return l.mailbox.put(mail{kind: mailExtend, slot: id.Slot, gen: id.Generation, due: e.tickOf(expires)})
}

func (e *Engine) loopFor(id session.ID) (*loop, error) {
	loops := e.allLoops()
	n := int(e.slots.loop(id.Slot))
	if id.Incarnation != e.cfg.Incarnation || id.Generation == 0 || n >= len(loops) {
		return nil, ErrOffline
	}
	return loops[n], nil
}

// Close stops the loops at once: sessions see their socket end without a
// close frame and count as NodeStopped. It returns when gnet has let go of
// every descriptor, or with the context's error. An engine that was never
// started only gives its address back, and cannot be started any more.
func (e *Engine) Close(ctx context.Context) error {
	if e.begun.CompareAndSwap(false, true) { // never started
		e.held.release()
		close(e.stopped)
		return nil
	}
	e.mu.Lock()
	eng := e.gnet
	e.mu.Unlock()
	e.draining.Store(true)
	e.stopping.Store(true)
	if err := eng.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
		select {
		case <-e.stopped: // it had stopped by itself
		default:
			return fmt.Errorf("reactor: stop: %w", err)
		}
	}
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

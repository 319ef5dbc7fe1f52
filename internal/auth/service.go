package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// The methods of Config.Methods.
const (
	MethodJWT     = "jwt"
	MethodWebhook = "webhook"
)

// Config is what a Service needs.
type Config struct {
	Methods []string // MethodJWT, MethodWebhook, in the order to try
	JWT     JWTConfig
	Webhook WebhookConfig

	Workers int // that check signatures; 0 is one for each core
	Queue   int // requests that may wait for one method; 0 is 4096

	// Decided is told of each decision, on a worker. It must not block.
	Decided func(session.ID, *Decision)
	// Trouble is told when a part, "jwt-jwks" or "webhook", cannot do its work
	// any more and why, without secrets, and with "" when it can again. Any
	// goroutine; it must not block or call the Service. nil: nobody is told.
	Trouble func(part, trouble string)
	Log     *slog.Logger // nil discards
}

const defaultQueue = 4096

// method is one way to find out who a peer is. Safe from any goroutine.
type method interface {
	// check decides over one request within ctx.
	check(ctx context.Context, r *Request) (*Identity, *Denial)
	// run does what the method needs done beside checks, until ctx is done.
	run(ctx context.Context)
	// state is nil for a method that always can do its work.
	state() *health
}

// slowMethod can say that a check would have to wait, by answering unsettled,
// and be asked again where waiting is allowed.
type slowMethod interface {
	settle(ctx context.Context, r *Request) (*Identity, *Denial)
}

var unsettled = &Denial{Status: 503, Reason: "not decided yet"}

// tooLate is told about a request that nobody waits for any longer.
var tooLate = &Denial{Status: 503, Reason: "the decision came too late"}

// Service checks requests on workers of its own. Its methods may be called
// from any goroutine.
type Service struct {
	// Fixed at construction.
	cfg    Config
	stages []*stage
	cancel context.CancelFunc
	ctx    context.Context
	done   sync.WaitGroup

	count struct{ accepted, denied, unavailable, overflow, late atomic.Uint64 }
}

// stage is one method with its queue, its lane for slow checks, and workers.
type stage struct {
	name  string
	next  int // stage that is tried if this one does not accept
	queue chan *Request
	slow  chan *Request
	in    atomic.Pointer[running] // replaced by what Prepare returns
}

// running is a method and how to end what it runs.
type running struct {
	method method
	cancel context.CancelFunc
}

// Stats is what a Service has done and holds. Counts only grow; a request is in
// one of them.
type Stats struct {
	Accepted, Denied uint64
	Unavailable      uint64 // answered 503: a method could not be asked
	Overflow         uint64 // answered 503: a queue was full
	Late             uint64 // not checked, nobody waited any longer
	Waiting          int    // now
}

// New starts a service. It fails when a method's configuration cannot work.
func New(cfg Config) (*Service, error) {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Queue == 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Methods) == 0 {
		return nil, errors.New("auth: no method")
	}
	methods, err := build(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for i, m := range methods {
		st := &stage{name: cfg.Methods[i], next: i + 1, queue: make(chan *Request, cfg.Queue)}
		s.stages = append(s.stages, st)
		s.install(st, m)
		workers := cfg.Workers
		if hook, ok := m.(*webhookMethod); ok {
			workers = hook.cfg.Concurrency
		}
		if _, ok := m.(slowMethod); ok {
			st.slow = make(chan *Request, cfg.Queue)
			s.done.Go(func() { s.work(st, st.slow, true) })
		}
		for range workers {
			s.done.Go(func() { s.work(st, st.queue, false) })
		}
	}
	return s, nil
}

func build(cfg *Config) ([]method, error) {
	var methods []method
	for _, name := range cfg.Methods {
		var m method
		var err error
		switch name {
		case MethodJWT:
			m, err = newJWT(cfg.JWT, cfg.Log)
		case MethodWebhook:
			m, err = newWebhook(cfg.Webhook, cfg.Log)
		default:
			err = fmt.Errorf("no method %q", name)
		}
		if err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
		methods = append(methods, m)
	}
	return methods, nil
}

func (s *Service) install(st *stage, m method) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.done.Go(func() { m.run(ctx) })
	if old := st.in.Swap(&running{m, cancel}); old != nil {
		old.cancel()
		if h := old.method.state(); h != nil {
			h.attach(nil)
		}
	}
	if h := m.state(); h != nil && s.cfg.Trouble != nil {
		h.attach(s.cfg.Trouble)
	}
}

// Prepare reads key files and checks what replaces keys, secrets, claims and
// URLs, and returns what puts it in force, which cannot fail. Checks that run
// finish with the old ones. Methods, their order and the sizes of queues and
// pools stay as they were. install is not called at the same time as another,
// or as Close.
func (s *Service) Prepare(jwt JWTConfig, webhook WebhookConfig) (install func(), _ error) {
	cfg := s.cfg
	cfg.JWT, cfg.Webhook = jwt, webhook
	cfg.JWT.again = true
	methods, err := build(&cfg)
	if err != nil {
		return nil, err
	}
	return func() {
		for i, m := range methods {
			old := s.stages[i].in.Load().method
			switch m := m.(type) {
			case *jwtMethod:
				m.inherit(old.(*jwtMethod))
			case *webhookMethod:
				if m.cfg == old.(*webhookMethod).cfg {
					continue // its breaker and the denials that it remembers hold
				}
			}
			s.install(s.stages[i], m)
		}
	}, nil
}

// Close ends the workers and waits for them; what waits is not decided.
func (s *Service) Close() {
	s.cancel()
	s.done.Wait()
}

// NeedsFacts reports whether a method reads Request.Facts.
func (s *Service) NeedsFacts() bool {
	for _, st := range s.stages {
		if st.name == MethodWebhook {
			return true
		}
	}
	return false
}

// Submit leaves r for the workers; Decided will be told. It returns false when
// there is no room. It never blocks.
func (s *Service) Submit(r *Request) bool {
	select {
	case s.stages[0].queue <- r:
		return true
	default:
		s.count.overflow.Add(1)
		return false
	}
}

// Check decides over r at once, on the caller's goroutine, which it may block
// until ctx is done.
func (s *Service) Check(ctx context.Context, r *Request) *Decision {
	for _, st := range s.stages {
		m := st.in.Load().method
		id, denial := m.check(ctx, r)
		if denial == unsettled {
			id, denial = m.(slowMethod).settle(ctx, r)
		}
		if denial == nil {
			return &Decision{Identity: id, Tag: r.Tag}
		}
		r.denied = moreHelpful(r.denied, denial)
	}
	return &Decision{Denial: r.denied, Tag: r.Tag}
}

// Stats returns what the service has done and holds.
func (s *Service) Stats() Stats {
	stats := Stats{
		Accepted: s.count.accepted.Load(), Denied: s.count.denied.Load(), Unavailable: s.count.unavailable.Load(),
		Overflow: s.count.overflow.Load(), Late: s.count.late.Load(),
	}
	for _, st := range s.stages {
		stats.Waiting += len(st.queue) + len(st.slow)
	}
	return stats
}

func (s *Service) work(st *stage, queue <-chan *Request, slow bool) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case r := <-queue:
			s.handle(st, r, slow)
		}
	}
}

func (s *Service) handle(st *stage, r *Request, slow bool) {
	if !r.Deadline.IsZero() && time.Now().After(r.Deadline) {
		s.count.late.Add(1) // the connection has been answered
		s.cfg.Decided(r.ID, &Decision{Denial: tooLate, Tag: r.Tag})
		return
	}
	m := st.in.Load().method
	var id *Identity
	var denial *Denial
	if slow {
		id, denial = m.(slowMethod).settle(s.ctx, r)
	} else {
		id, denial = m.check(s.ctx, r)
	}
	switch {
	case denial == nil:
		s.count.accepted.Add(1)
		s.cfg.Decided(r.ID, &Decision{Identity: id, Tag: r.Tag})
		return
	case denial == unsettled:
		s.pass(st.slow, r)
		return
	}
	s.cfg.Log.Debug("a handshake is not let in", "session", r.ID, "method", st.name, "status", denial.Status, "why", denial.Reason, "detail", denial.detail)
	r.denied = moreHelpful(r.denied, denial)
	if st.next < len(s.stages) {
		s.pass(s.stages[st.next].queue, r)
		return
	}
	s.deny(r, r.denied)
}

// pass moves r to another queue, or denies it where there is no room.
func (s *Service) pass(queue chan<- *Request, r *Request) {
	select {
	case queue <- r:
	default:
		s.count.overflow.Add(1)
		s.cfg.Decided(r.ID, &Decision{Denial: &Denial{Status: 503, Reason: "too many handshakes are waiting", RetryAfter: time.Second}, Tag: r.Tag})
	}
}

func (s *Service) deny(r *Request, d *Denial) {
	if d.Status == 503 {
		s.count.unavailable.Add(1)
	} else {
		s.count.denied.Add(1)
	}
	s.cfg.Decided(r.ID, &Decision{Denial: d, Tag: r.Tag})
}

// moreHelpful chooses between the answers of two methods: 503, since the
// method that could not be asked might have said yes, then 403, then 401.
func moreHelpful(a, b *Denial) *Denial {
	if a == nil || b.Status > a.Status {
		return b
	}
	return a
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/admission"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/memory"
	"github.com/limpet-gateway/limpet/internal/proxyheader"
	"github.com/limpet-gateway/limpet/internal/telemetry"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
)

// stopTimeout bounds each step of the shutdown that has no limit of its own.
const stopTimeout = 5 * time.Second

// serve builds a node from the bottom up, runs it until a signal or a failure,
// and takes it down in the opposite order.
func serve(ctx context.Context, loaded *config.Loaded) error {
	log, err := telemetry.NewLog(os.Stderr, string(loaded.Serve.LogFormat), string(loaded.Serve.LogLevel))
	if err != nil {
		return badUsage(err)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	hangups := make(chan os.Signal, 1) // from here on one that comes early does not end the process
	signal.Notify(hangups, syscall.SIGHUP)
	// Neither is stopped: one that comes after a drain, while the process ends,
	// would take the place of its exit code.

	n := &node{cfg: loaded.Serve, log: log.Logger, logs: log, started: time.Now(), incarnation: newIncarnation()}
	n.reloading.turn = make(chan struct{}, 1)
	n.reloading.inForce.Store(loaded)
	if err := n.startUntil(ctx, signals); err != nil {
		return err
	}
	n.announce(os.Stderr)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go n.reloadOnHangup(ctx, hangups)
	select {
	case s := <-signals:
		return n.leave(s, signals)
	case <-n.engine.Done():
		n.stop(stopTimeout)
		return errors.New("the event loops ended; see the log above")
	}
}

// startUntil starts the node, or ends it when a signal comes first: Kafka may
// take its time to answer. A second signal does not wait for that end.
func (n *node) startUntil(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := n.start(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			n.stop(stopTimeout)
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case s := <-signals:
		cancel()
		select {
		case <-ended:
		case <-signals:
		}
		return fmt.Errorf("ended by a signal (%s) before it served", s)
	}
}

// node is a running gateway process: what start built, in that order.
type node struct {
	cfg         config.Serve
	traces      *traces // nil: nobody is followed
	log         *slog.Logger
	logs        *telemetry.Log // log, and what changes its level
	incarnation uint64
	started     time.Time
	hostLimits  []string // settings of the host that fall short

	reloading reloading
	ready     api.Readiness
	broker    *embedded.Broker // nil with a Kafka of the user's, or without Kafka
	kafka     bridge.Kafka
	traffic   bridge.Traffic
	uplink    *bridge.Uplink // nil without Kafka
	table     *registry.Table
	gateway   *gateway.Gateway
	watch     *gateway.Watch
	auth      *auth.Service // nil where nobody has to authenticate
	proxies   *proxyheader.Trusted
	admission *admission.Table
	engine    *reactor.Engine
	memory    memory.Limits
	overload  *overloadTask
	router    *bridge.Router
	bus       *busTask      // nil on a node that is alone
	downlink  *downlinkTask // nil without Kafka
	api       *api.Server
	directory *directoryTask // nil: this node is alone
}

// newIncarnation tells this run of the process from every other: milliseconds
// since 1970 in the upper bits, so that it grows, and 16 random ones.
func newIncarnation() uint64 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return uint64(time.Now().UnixMilli())<<16 | uint64(binary.BigEndian.Uint16(b[:]))
}

func (n *node) start(ctx context.Context) error {
	var err error
	if n.memory, err = memory.Apply(memoryConfig(&n.cfg)); err != nil {
		return err
	}
	n.log.Debug("memory limits", "gogc", n.memory.GOGC, "limit", n.memory.Bytes, "from", n.memory.From, "capped", n.memory.Capped,
		"budget", n.memory.Budget, "budget_from", n.memory.BudgetFrom)
	for _, step := range []func(context.Context) error{
		n.startTraces, n.prepareEngine, n.checkHost, n.startKafka, n.joinDirectory, n.startRouter, n.prepareAuth, n.guardMemory, n.startEngine, n.startBus, n.startDownlink, n.startAPI, n.startDirectory,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	n.ready.Start()
	return nil
}

// prepareEngine comes first: most of what can be wrong with the host or the
// addresses shows here, before anything has begun.
func (n *node) prepareEngine(context.Context) error {
	n.table = registry.NewTable(registryConfig(&n.cfg, n.incarnation))
	n.gateway = gateway.New(n.table, n.log)
	n.watch = gateway.NewWatch(n.gateway, n.table, n.logs.Everything())
	engineConfig := reactorConfig(&n.cfg, n.incarnation, n.log)
	engineConfig.OutboundBytes, engineConfig.InboundBytes = gateway.CrowdLimit(n.memory.Budget), gateway.CrowdLimit(n.memory.Budget)
	var err error
	if n.proxies, err = trustedProxies(&n.cfg); err != nil {
		return badUsage(err) // config checks the form, so this is rare
	}
	engineConfig.Preface = n.proxies
	n.admission = admission.NewTable(admissionLimits(&n.cfg))
	engineConfig.Gate = n.admission
	engine, err := reactor.New(engineConfig, n.watch)
	if err != nil {
		return err
	}
	n.engine = engine
	n.gateway.SetEngine(engine)
	n.gateway.SetLimits(rateLimits(&n.cfg))
	rules, err := messageRules(&n.cfg)
	if err != nil {
		return badUsage(err) // config checks the form, so this is rare
	}
	n.gateway.SetRules(rules)
	n.gateway.SetTracer(n.tracer())
	return nil
}

func (n *node) startEngine(context.Context) error {
	spareProcessor(n.engine.Limits().Loops)
	return n.engine.Start()
}

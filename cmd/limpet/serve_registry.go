package main

import (
	"context"
	"log/slog"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/cluster"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// directoryTask is the running directory.
type directoryTask struct {
	directory *redisdir.Directory
	inboxes   *cluster.Inboxes // leased where the bus is Kafka's
	cancel    context.CancelFunc
	done      chan struct{}
}

// joinDirectory prepares the directory, so that it hears of the first session.
// It connects only after the event loops have taken their descriptor tables.
func (n *node) joinDirectory(context.Context) error {
	if n.cfg.Redis == "" {
		return nil
	}
	c := directoryConfig(&n.cfg, n.log)
	c.Displaced = func(id session.ID) { _ = n.engine.CloseSession(id, session.Displaced) } // gone is as good
	if bus := n.cfg.BusInUse(); bus != config.BusLocal {
		c.Bus = string(bus) + ":" + n.cfg.TopicPrefix
	}
	c.BusDiffers = tellPart(&n.ready, "nodes")
	c.Changed = func(s redisdir.State, why error) { tellDirectory(&n.ready, s, why) }
	if n.uplink != nil && n.cfg.Events {
		c.Lost = cluster.LostEvents(n.uplink.Event)
	}
	directory, err := redisdir.New(c, n.table)
	if err != nil {
		return badUsage(err)
	}
	n.directory = &directoryTask{directory: directory, inboxes: cluster.NewInboxes(directory)}
	tellDirectory(&n.ready, directory.State(), nil)
	return nil
}

// tellDirectory has /readyz say whether other nodes are known.
func tellDirectory(ready *api.Readiness, s redisdir.State, why error) {
	trouble := ""
	if !s.Connected() && s != redisdir.Stopped {
		trouble = s.String() + ": working from this node's own table"
		if why != nil {
			trouble += ": " + why.Error()
		}
	}
	ready.Set("redis", trouble)
}

func (n *node) startDirectory(context.Context) error {
	if n.directory == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.directory.cancel, n.directory.done = cancel, make(chan struct{})
	n.directory.directory.SetAPI(n.api.Addr())
	go func() {
		defer close(n.directory.done)
		_ = n.directory.directory.Run(ctx)
	}()
	return nil
}

// stop leaves the directory when the sessions have gone: what is still to be
// removed is sent, and the lease given back.
func (t *directoryTask) stop(log *slog.Logger) {
	if t.done == nil { // never started
		return
	}
	within(stopTimeout, func(ctx context.Context) {
		if err := t.directory.Drain(ctx); err != nil {
			log.Warn("another node has to clear up after this one", "err", err)
		}
	})
	t.cancel()
	<-t.done // bounded: every call to Redis has a deadline
}

// cluster is nil for a node that is alone.
func (n *node) cluster() gateway.Cluster {
	if n.directory == nil {
		return nil
	}
	return cluster.New(n.directory.directory, n.table, n.cfg.Node)
}

func directoryConfig(c *config.Serve, log *slog.Logger) redisdir.Config {
	return redisdir.Config{
		URL: c.Redis, Node: c.Node, Expect: c.RedisExpect,
		Lease: c.RedisLease, CallTimeout: c.RedisTimeout, Queue: c.RedisQueue, Reregister: c.RedisReregister, Log: log,
	}
}

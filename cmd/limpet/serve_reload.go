package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/proxyheader"
	"github.com/limpet-gateway/limpet/reactor"
)

// reloading is what a reload needs and changes. node.cfg stays what the node
// was started with; what is in force of the live keys is here.
type reloading struct {
	inForce atomic.Pointer[config.Loaded]
	// turn holds one element while a reload is under way, and for good when
	// the node ends. Files are read meanwhile, which may take long.
	turn  chan struct{}
	ended atomic.Bool

	done, refused atomic.Uint64 // reloads
}

func (r *reloading) counts() (done, refused uint64) { return r.done.Load(), r.refused.Load() }

// reloadWait bounds how long the API waits for its turn.
const reloadWait = 5 * time.Second

var (
	errEnding     = fmt.Errorf("%w: the gateway is draining", api.ErrConflict)
	errReloading  = fmt.Errorf("%w: another reload is under way", api.ErrConflict)
	errNothingNew = fmt.Errorf("%w: the gateway was started without a configuration file, so there is nothing to read again", api.ErrConflict)
)

// live is the configuration in force. Of keys that are not live it is that of
// the start.
func (n *node) live() *config.Serve { return &n.reloading.inForce.Load().Serve }

// reloadOnHangup reloads for each SIGHUP, until ctx is done. Signals that come
// while one is under way are one more.
func (n *node) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if _, err := n.reload(ctx); ctx.Err() == nil && err != nil && !errors.As(err, new(api.Faults)) {
				n.log.Warn("the configuration is not reloaded", "err", err)
			}
		}
	}
}

// endReloads waits for one that is under way, for as long as ctx allows, and
// lets no further one begin: what it would change is about to be taken down.
func (n *node) endReloads(ctx context.Context) {
	n.reloading.ended.Store(true)
	select {
	case n.reloading.turn <- struct{}{}:
	case <-ctx.Done():
	}
}

// reloadForAPI is reload for a caller that does not wait for ever.
func (n *node) reloadForAPI(ctx context.Context) (api.Reloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadWait)
	defer cancel()
	return n.reload(ctx)
}

// reload reads file, environment and flags once more and brings what has
// changed into force, all of it or nothing. Sessions stay; loops meet the new
// values in snapshots that they load, without a lock. It waits for its turn
// until ctx is done. The error is api.Faults, which are in the log too, or wraps
// api.ErrConflict.
func (n *node) reload(ctx context.Context) (api.Reloaded, error) {
	r := &n.reloading
	if r.ended.Load() {
		return api.Reloaded{}, errEnding
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return api.Reloaded{}, errReloading
	}
	before := r.inForce.Load()
	if before.File() == "" && len(before.JWTKeys) == 0 {
		return api.Reloaded{}, errNothingNew
	}
	next, err := before.Again()
	if err != nil {
		return api.Reloaded{}, n.notReloaded(err)
	}
	after, changes, err := before.Merge(next)
	if err != nil {
		return api.Reloaded{}, n.notReloaded(err)
	}
	if r.ended.Load() { // reading may have taken long
		return api.Reloaded{}, errEnding
	}
	if err := n.apply(after, changes); err != nil {
		return api.Reloaded{}, n.notReloaded(err)
	}
	r.done.Add(1)
	n.log.Info("configuration reloaded", "file", after.File(), "changed", changes.Changed, "unchanged", len(changes.Unchanged))
	if len(changes.Restart) > 0 {
		n.log.Warn("some keys of the configuration need a restart", "keys", changes.Restart)
	}
	return api.Reloaded{File: after.File(), Changed: changes.Changed, Restart: changes.Restart, Unchanged: changes.Unchanged}, nil
}

// apply first does all that may fail.
func (n *node) apply(after *config.Loaded, changes config.Changes) error {
	c := &after.Serve
	var faults config.Faults
	if err := n.engine.CheckTuning(tuning(c)); err != nil {
		key := "outbound-limit" // the least unlikely: config has checked them all
		if errors.Is(err, reactor.ErrNoCapacity) {
			key = "max-conns"
		}
		faults = append(faults, after.Fault(key, err.Error()))
	}
	origins, err := auth.ParseOrigins(c.Origins)
	if err != nil {
		faults = append(faults, after.Fault("origins", err.Error()))
	}
	rules, err := messageRules(c)
	if err != nil {
		faults = append(faults, after.Fault("priority-rules", err.Error()))
	}
	proxies, err := proxyheader.ParseNetworks(c.ProxyTrusted)
	if err != nil {
		faults = append(faults, after.Fault("proxy-trusted", err.Error()))
	}
	installKeys := func() {}
	if n.auth != nil {
		if installKeys, err = n.auth.Prepare(jwtConfig(c), webhookConfig(c)); err != nil {
			faults = append(faults, after.Fault("jwt-keys", err.Error()))
		}
	}
	if len(faults) > 0 {
		return faults
	}

	if err := n.engine.Tune(tuning(c)); err != nil {
		return config.Faults{after.Fault("max-conns", err.Error())} // was checked above
	}
	n.reloading.inForce.Store(after)
	installKeys()
	n.gateway.SetOrigins(origins)
	n.gateway.SetRules(rules)
	n.gateway.SetLimits(rateLimits(c))
	n.gateway.SetAuthTimeout(c.AuthTimeout)
	n.admission.SetLimits(admissionLimits(c))
	n.proxies.Set(proxies)
	traced := tracerConfig(c)
	n.tracer().Tune(traced.Ratio, traced.PerSecond)
	n.api.TuneV1(apiConfig(c))
	// Somebody may have set another level for the time being (PUT /v1/log): it
	// holds unless the configuration speaks of the level anew.
	if slices.Contains(changes.Changed, "log-level") {
		if err := n.logs.SetLevel(string(c.LogLevel)); err != nil {
			panic("limpet: " + err.Error()) // config knows the levels
		}
	}
	return nil
}

// notReloaded logs every fault and returns them for the API.
func (n *node) notReloaded(err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return err
	}
	n.reloading.refused.Add(1)
	var told api.Faults
	for _, f := range faults {
		told = append(told, api.Fault{Key: f.Key, Value: f.Shown(), Source: f.Origin.String(), Problem: f.Problem})
		fault := []any{"source", f.Origin.String(), "problem", f.Problem}
		if f.Key != "" { // otherwise the whole file is at fault
			fault = append([]any{"key", f.Key, "value", f.Shown()}, fault...)
		}
		n.log.Error("a fault in the configuration", fault...)
	}
	n.log.Error("the configuration is not reloaded, everything stays as it was", "faults", len(faults))
	return told
}

package main

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/cluster"
	"github.com/limpet-gateway/limpet/internal/gateway"
)

// startRouter makes what takes pushes to sessions, for the downlink and the
// API, and the bus to other nodes.
func (n *node) startRouter(ctx context.Context) error {
	var events gateway.Events
	if n.uplink != nil && n.cfg.Events {
		events = n.uplink.Event
	}
	router := routerConfig(&n.cfg, n.incarnation, n.gateway, events, n.log)
	router.Tracer = n.tracer()
	if n.directory != nil {
		router.Directory = cluster.New(n.directory.directory, n.table, n.cfg.Node)
	}
	if err := n.prepareBus(ctx, &router); err != nil {
		return err
	}
	var err error
	n.router, err = bridge.NewRouter(router)
	return err
}

// serveV1 adds what services and operators use to the API.
func (n *node) serveV1() {
	c := gateway.NodeConfig{
		Gateway: n.gateway, Router: n.router, Uplink: n.uplink,
		Node: n.cfg.Node, Incarnation: n.incarnation, Cluster: n.cluster(),
		Reconfigure: n.reloadForAPI,
	}
	if n.auth != nil {
		c.Auth = n.auth
	}
	n.serveTable()
	v1 := apiConfig(&n.cfg)
	if n.traces != nil {
		v1.Follow = n.traces.HTTP
	}
	n.api.HandleV1(gateway.NewNode(c), v1)
}

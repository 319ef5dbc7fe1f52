package main

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/gateway"
)

// startRouter makes what takes pushes to sessions, for the downlink and the
// API.
func (n *node) startRouter(context.Context) error {
	var events gateway.Events
	if n.uplink != nil && n.cfg.Events {
		events = n.uplink.Event
	}
	var err error
	n.router, err = bridge.NewRouter(routerConfig(&n.cfg, n.incarnation, n.gateway, events, n.log))
	return err
}

// serveV1 adds what services and operators use to the API.
func (n *node) serveV1() {
	control := gateway.NewNode(gateway.NodeConfig{
		Gateway: n.gateway, Router: n.router, Uplink: n.uplink,
		Node: n.cfg.Node, Incarnation: n.incarnation,
	})
	n.api.HandleV1(control, api.V1Config{Token: n.cfg.APIToken, BroadcastRate: n.cfg.BroadcastRate})
}

package cluster

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// Inboxes tells the bus over Kafka which node reads which partition of the
// inbox topic. Its methods may be called from any goroutine but an event loop.
type Inboxes struct {
	directory *redisdir.Directory
	changed   chan struct{}
}

// NewInboxes returns what asks directory.
func NewInboxes(directory *redisdir.Directory) *Inboxes {
	return &Inboxes{directory, make(chan struct{}, 1)}
}

// Lease has the directory lease a partition of topic for this node. Before it
// runs.
func (i *Inboxes) Lease(topic redisdir.InboxTopic) {
	report := topic.Changed
	topic.Changed = func(why error) {
		if report != nil {
			report(why)
		}
		select {
		case i.changed <- struct{}{}:
		default: // the bus has not looked since the last change
		}
	}
	i.directory.SetInboxes(topic)
}

// Mine implements bridge.Inboxes.
func (i *Inboxes) Mine() (int32, bool) { return i.directory.Inbox() }

// Changed implements bridge.Inboxes.
func (i *Inboxes) Changed() <-chan struct{} { return i.changed }

// Of implements bridge.Inboxes.
func (i *Inboxes) Of(ctx context.Context, incarnation uint64) (int32, bool, error) {
	return i.directory.InboxOf(ctx, incarnation)
}

// Look implements bridge.Inboxes.
func (i *Inboxes) Look(ctx context.Context) error { return i.directory.Look(ctx) }

var _ bridge.Inboxes = (*Inboxes)(nil)

package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is how a downlink stands with its consumer group: one that the group
// does not take (another program is in it and divides partitions another way,
// Kafka does not allow it, no coordinator answers) reads nothing, has no lag,
// and would look healthy. Its methods are called by the library's goroutine that
// manages the group, one after the other.
type member struct {
	// Fixed at construction.
	group   string
	log     *slog.Logger
	changed func(why error)

	in  atomic.Bool // the group has this node
	out atomic.Bool // it was said why not
}

// joined notes that the group has this node, perhaps without a partition.
func (m *member) joined(context.Context, *kgo.Client, map[string][]int32) {
	m.in.Store(true)
	if m.out.Swap(false) {
		m.log.Info("downlink: in the consumer group again", "group", m.group)
		m.changed(nil)
	}
}

// OnGroupManageError notes why the group does not have this node.
func (m *member) OnGroupManageError(why error) {
	m.in.Store(false)
	if !m.out.Swap(true) {
		m.log.Warn("downlink: not in the consumer group, so that this node reads nothing of the topic", "group", m.group, "error", why)
		m.changed(fmt.Errorf("not in the consumer group %s: %w", m.group, why))
	}
}

// groupLogger leaves to debug what member and faults say once: the library says
// it at every try.
type groupLogger struct{ kafkaLogger }

func (l groupLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	switch msg {
	case "join group failed", "group manage loop errored", "unable to commit offset for topic partition":
		level = kgo.LogLevelDebug
	}
	l.kafkaLogger.Log(level, msg, keyvals...)
}

// Member reports whether the consumer group has this node; that has no partition
// for it, perhaps. Any goroutine.
func (d *Downlink) Member() bool { return d.member.in.Load() }

var _ kgo.HookGroupManageError = (*member)(nil)

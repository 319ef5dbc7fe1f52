package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/meter"
	"github.com/limpet-gateway/limpet/internal/overload"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// overloadTask is the running guard.
type overloadTask struct {
	guard  *overload.Guard
	cancel context.CancelFunc
	done   chan struct{}
}

// guardMemory has the node give up more and more, rather than fall, from
// before the first client comes.
func (n *node) guardMemory(context.Context) error {
	memory, err := meter.NewMemoryMeter(n.memory.InGroup())
	if err != nil && n.memory.InGroup() {
		n.log.Warn("what the control group is charged cannot be read; the process and its sockets are measured", "err", err)
		memory, err = meter.NewMemoryMeter(false)
	}
	if err != nil {
		return err
	}
	if err := n.checkBudget(memory); err != nil {
		return badUsage(err)
	}
	relief := &gateway.Relief{
		Engine: n.engine, Uplink: n.uplink, Memory: memory, Budget: n.memory.Budget, ShedRate: n.cfg.ShedRate,
		CPU:        meter.CPUMeter{Cores: runtime.GOMAXPROCS(0)},
		Unreadable: func(err error) { n.log.Warn("the memory in use cannot be read", "err", err) },
	}
	if n.directory != nil {
		relief.DirectoryOut = func() bool { return n.directory.directory.State() == redisdir.Degraded }
	}
	guard := overload.New(overload.Config{
		Read: relief.Read, Release: relief.Release, Log: n.log,
		Act: func(d overload.Decision, r overload.Reading) {
			relief.Act(d, r)
			n.ready.Set("overload", d.Explain(r)) // each time: its numbers are of the latest reading
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.overload = &overloadTask{guard, cancel, make(chan struct{})}
	go func() {
		defer close(n.overload.done)
		guard.Run(ctx)
	}()
	return nil
}

func (t *overloadTask) stop() {
	t.cancel()
	<-t.done // bounded: a reading takes no longer than a collection
}

// checkBudget fails where the budget leaves no room for what the process has
// taken already and the largest messages that it is to take.
func (n *node) checkBudget(memory *meter.MemoryMeter) error {
	m, err := memory.Read(0)
	if err != nil {
		return err
	}
	need := overload.LeastBudget(m.Charged)
	why := fmt.Sprintf("%s are in use before the first client", config.FormatSize(m.Charged>>20<<20))
	if crowd := gateway.BudgetForMessages(int64(n.cfg.MaxMessageSize)); crowd > need {
		need, why = crowd, "max-message-size is "+config.FormatSize(int64(n.cfg.MaxMessageSize))
	}
	if n.memory.Budget >= need {
		return nil
	}
	return fmt.Errorf("memory-budget: %s (from %s) is too small: %s; want at least %s",
		config.FormatSize(n.memory.Budget>>10<<10), n.memory.BudgetFrom, why, config.FormatSize((need+1<<20-1)>>20<<20))
}

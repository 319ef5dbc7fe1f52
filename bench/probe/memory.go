package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Memory of a process tree, in bytes.
type Memory struct {
	RSS     uint64 `json:"rss"`      // resident: anonymous, file and shared pages
	RSSAnon uint64 `json:"rss_anon"` // the part that is the program's own
	PSS     uint64 `json:"pss"`      // as RSS, with shared pages divided among their users
	Peak    uint64 `json:"peak"`     // highest RSS of each process since it began, summed
	Swap    uint64 `json:"swap"`
}

// Memory reads pid and its descendants. RSS comes from smaps_rollup, which
// counts page tables; VmRSS in status comes from per-CPU counters that may be
// off by some hundred kilobytes, and stands in where smaps_rollup is not
// readable. Then PSS is 0.
func (p Proc) Memory(pid int) (Memory, error) {
	tree, err := p.Tree(pid)
	if err != nil {
		return Memory{}, err
	}
	var sum Memory
	for i, one := range tree {
		m, err := p.memoryOf(one)
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				continue // a child that ended meanwhile
			}
			return Memory{}, err
		}
		sum.RSS += m.RSS
		sum.RSSAnon += m.RSSAnon
		sum.PSS += m.PSS
		sum.Peak += m.Peak
		sum.Swap += m.Swap
	}
	return sum, nil
}

func (p Proc) memoryOf(pid int) (Memory, error) {
	status, err := p.read(pid, "status")
	if err != nil {
		return Memory{}, err
	}
	m := Memory{
		RSS: kilobytes(status, "VmRSS:"), RSSAnon: kilobytes(status, "RssAnon:"),
		Peak: kilobytes(status, "VmHWM:"), Swap: kilobytes(status, "VmSwap:"),
	}
	rollup, err := p.read(pid, "smaps_rollup")
	switch {
	case err == nil:
		m.RSS, m.PSS = kilobytes(rollup, "Rss:"), kilobytes(rollup, "Pss:")
		m.RSSAnon = kilobytes(rollup, "Anonymous:")
	case errors.Is(err, ErrGone):
		return Memory{}, err
	}
	m.Peak = max(m.Peak, m.RSS)
	return m, nil
}

// kilobytes finds "Name:   123 kB" and returns bytes.
func kilobytes(text []byte, name string) uint64 {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		n, _ := strconv.ParseUint(string(fields[0]), 10, 64)
		return n * 1024
	}
	return 0
}

// ResetPeak makes Peak of a process count from now. It needs the right to
// write to the process's clear_refs.
func (p Proc) ResetPeak(pid int) error {
	return os.WriteFile(p.path(strconv.Itoa(pid), "clear_refs"), []byte("5"), 0)
}

// Settle says when readings are taken to be equal.
type Settle struct {
	Every   time.Duration // between readings
	Timeout time.Duration // then the last reading is returned as unsettled
	Bytes   uint64        // readings that differ by no more are equal
	Share   float64       // or by no more than this share of the larger
}

// DefaultSettle takes three readings as equal when they differ by less than
// 64 KiB or 0.1 %.
func DefaultSettle() Settle {
	return Settle{Every: 250 * time.Millisecond, Timeout: 15 * time.Second, Bytes: 64 << 10, Share: 0.001}
}

const equalReadings = 3

// Settled reads the memory of pid until three readings in a row are equal,
// and returns the last. settled is false when the timeout came first.
func (p Proc) Settled(ctx context.Context, pid int, s Settle) (m Memory, settled bool, err error) {
	deadline := time.Now().Add(s.Timeout)
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	var first uint64
	for equal := 0; ; {
		if m, err = p.Memory(pid); err != nil {
			return m, false, err
		}
		if equal == 0 || !s.equal(first, m.RSS) {
			first, equal = m.RSS, 0
		}
		if equal++; equal == equalReadings {
			return m, true, nil
		}
		if time.Now().After(deadline) {
			return m, false, nil
		}
		select {
		case <-ctx.Done():
			return m, false, fmt.Errorf("waiting for equal readings of memory: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s Settle) equal(a, b uint64) bool {
	d := max(a, b) - min(a, b)
	return d <= s.Bytes || float64(d) <= s.Share*float64(max(a, b))
}

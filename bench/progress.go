package bench

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/limpet-gateway/limpet/bench/report"
)

// plainEvery is how often a run without a terminal says where it is.
const plainEvery = 5 * time.Second

// Console shows progress: one line that is written over in a terminal, a
// plain line every few seconds elsewhere. It is safe for concurrent use.
type Console struct {
	terminal bool

	mu    sync.Mutex
	w     io.Writer // guarded by mu
	live  bool      // guarded by mu: the cursor is behind a line to be written over
	next  time.Time // guarded by mu
	width int       // of the line; fixed
}

// NewConsole writes to w, which is a terminal of the given width or, with
// width 0, something else.
func NewConsole(w io.Writer, width int) *Console {
	return &Console{w: w, terminal: width > 0, width: max(width-1, 40), next: time.Now().Add(plainEvery)}
}

const eraseLine = "\r\x1b[K"

// Line prints a line that stays.
func (c *Console) Line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		c.live = false
		fmt.Fprint(c.w, eraseLine)
	}
	fmt.Fprintln(c.w, text)
}

// Sample shows where a run is.
func (c *Console) Sample(server string, s report.Sample) {
	text := fmt.Sprintf("%s %s %4.0fs  open %d  RSS %s  CPU server %.2f client %.2f  %.0f msg/s",
		server, s.Phase, s.At, s.Open, report.FormatValue(float64(s.RSS), "B"), s.ServerCPU, s.ClientCPU, s.Received)
	if s.Errors > 0 {
		text += fmt.Sprintf("  errors %d", s.Errors)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminal {
		c.live = true
		fmt.Fprint(c.w, eraseLine, text[:min(len(text), c.width)])
		return
	}
	if now := time.Now(); now.After(c.next) {
		c.next = now.Add(plainEvery)
		fmt.Fprintln(c.w, text)
	}
}

// Close leaves the cursor on a fresh line.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		c.live = false
		fmt.Fprint(c.w, eraseLine)
	}
}

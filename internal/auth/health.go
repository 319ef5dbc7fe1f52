package auth

import (
	"log/slog"
	"sync"
)

// health is whether a method can do its work. It logs when that ends and when
// it begins again, however often the method fails in between: a method that is
// asked a thousand times a second says so once. Its methods may be called from
// any goroutine.
type health struct {
	part string // as in Config.Trouble
	log  *slog.Logger

	mu      sync.Mutex // held while told is called, so that what is told last is true
	trouble string
	told    func(part, trouble string) // nil while the method is not in use
}

func newHealth(part string, log *slog.Logger) *health {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &health{part: part, log: log}
}

// set says what is wrong, "" for nothing.
func (h *health) set(trouble string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case trouble == h.trouble:
		return
	case h.trouble == "":
		h.log.Warn("authentication is in trouble", "part", h.part, "trouble", trouble)
	case trouble == "":
		h.log.Info("authentication works again", "part", h.part)
	}
	h.trouble = trouble
	if h.told != nil {
		h.told(h.part, trouble)
	}
}

// attach has told called with what is wrong now and with every change; nil
// ends that, and what was wrong does not count any longer.
func (h *health) attach(told func(part, trouble string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case told != nil:
		told(h.part, h.trouble)
	case h.told != nil:
		h.told(h.part, "")
	}
	h.told = told
}

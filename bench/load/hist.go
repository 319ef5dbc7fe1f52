package load

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Hist is a latency histogram in nanoseconds: 1 µs to 10 minutes at three
// significant digits, which is 100 to 200 KB. Values outside are held at
// the edge rather than lost.
type Hist struct{ *hdrhistogram.Histogram }

const (
	histLowest  = 1_000
	histHighest = 600_000_000_000
)

// NewHist makes an empty histogram.
func NewHist() Hist { return Hist{hdrhistogram.New(histLowest, histHighest, 3)} }

// Record counts one latency of ns nanoseconds.
func (h Hist) Record(ns int64) {
	// The value is within range, which is the only reason to fail.
	_ = h.RecordValue(min(max(ns, 0), histHighest))
}

// MarshalText is the standard compressed HDR encoding, base64.
func (h Hist) MarshalText() ([]byte, error) {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return nil, nil
	}
	return h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hist) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*h = NewHist()
		return nil
	}
	got, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	h.Histogram = got
	return nil
}

package bridge

import (
	"errors"
	"fmt"
	"testing"
)

// A broker that answers and takes nothing, as with a full disk, is told too.
func TestHealth(t *testing.T) {
	away := errors.New("connection refused")
	var h health
	for i, c := range []struct {
		pinged error
		stats  UplinkStats
		want   string
	}{
		{nil, UplinkStats{}, ""},
		{nil, UplinkStats{Acked: 5, Outstanding: 9}, ""},
		{away, UplinkStats{Acked: 5, Outstanding: 9}, "does not answer"},
		{nil, UplinkStats{Acked: 5, Outstanding: 9}, ""}, // no failure, and no time yet to be acknowledged
		{nil, UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "fails what is written to it"},
		{nil, UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "fails what is written to it"}, // between two attempts
		{away, UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "does not answer"},
		{nil, UplinkStats{Acked: 5, Outstanding: 9, Retried: 4}, "fails what is written to it"},
		{nil, UplinkStats{Acked: 6, Outstanding: 8, Retried: 5}, ""}, // one is taken
		{nil, UplinkStats{Acked: 6, Outstanding: 8, Retried: 6}, "fails what is written to it"},
		{nil, UplinkStats{Acked: 6, Outstanding: 0, Retried: 6}, ""},
		{fmt.Errorf("%w: limpet.inbox", errTopicsGone), UplinkStats{Acked: 7, Retried: 6}, "lacks topics"},
		{nil, UplinkStats{Acked: 7, Retried: 6}, ""},
	} {
		if got := h.look(c.pinged, c.stats); got != c.want {
			t.Errorf("look %d: %q, want %q", i, got, c.want)
		}
	}
}

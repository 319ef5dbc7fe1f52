package overload

import (
	"testing"
	"time"
)

func TestExplain(t *testing.T) {
	at := func(l Level, s Signal) Decision {
		d := Decision{Level: l}
		d.By[s] = l
		return d
	}
	r := Reading{Used: 93, Budget: 100, Lag: 1500 * time.Millisecond, Backlog: 0.46}
	for _, c := range []struct {
		d    Decision
		want string
	}{
		{Decision{}, ""},
		{at(Shrink, Memory), ""},
		{at(DropLow, Kafka), "messages of low priority are dropped: 46% of the uplink's buffer wait for Kafka"},
		{at(DropLow, CPU), "messages of low priority are dropped: the processors are busy and the event loops 1.5s behind"},
		{at(RefuseNew, Memory), "newcomers get 503, only the latest of medium priority is kept, low is dropped: memory is at 93% of its budget"},
		{at(Shed, Memory), "idle and low-priority sessions are closed, newcomers get 503: memory is at 93% of its budget"},
	} {
		if got := c.d.Explain(r); got != c.want {
			t.Errorf("%v by %v: %q, want %q", c.d.Level, c.d.Worst(), got, c.want)
		}
	}
}

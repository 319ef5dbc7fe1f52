package overload

import "fmt"

// costs says what a level gives up that somebody notices.
var costs = map[Level]string{
	DropLow:   "messages of low priority are dropped",
	RefuseNew: "newcomers get 503, only the latest of medium priority is kept, low is dropped",
	Shed:      "idle and low-priority sessions are closed, newcomers get 503",
}

// Explain says for people what d gives up and which reading asks for it; empty
// below DropLow, where nobody notices.
func (d Decision) Explain(r Reading) string {
	text, ok := costs[d.Level]
	if !ok {
		return ""
	}
	switch d.Worst() {
	case Memory:
		text += fmt.Sprintf(": memory is at %d%% of its budget", r.Used*100/r.Budget)
	case CPU:
		text += fmt.Sprintf(": the processors are busy and the event loops %v behind", r.Lag)
	case Kafka:
		text += fmt.Sprintf(": %.0f%% of the uplink's buffer wait for Kafka", r.Backlog*100)
	}
	return text
}

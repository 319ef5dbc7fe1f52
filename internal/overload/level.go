package overload

import "fmt"

// Level is a rung of the ladder.
type Level uint8

// The levels. Each does what the ones before it do, and more.
const (
	Normal    Level = iota
	Shrink          // buffers get less room, free heap goes back to the system; who keeps up notices nothing
	DropLow         // messages of low priority are dropped and counted
	RefuseNew       // only the latest of each session's medium messages is kept; newcomers get 503
	Shed            // idle and low-priority sessions are closed at a paced rate
	numLevels
)

// Levels returns every level, lowest first.
func Levels() []Level { return []Level{Normal, Shrink, DropLow, RefuseNew, Shed} }

// String is the word for logs, metric labels and documents.
func (l Level) String() string {
	switch l {
	case Normal:
		return "normal"
	case Shrink:
		return "shrink"
	case DropLow:
		return "drop_low"
	case RefuseNew:
		return "refuse_new"
	case Shed:
		return "shed"
	default:
		return fmt.Sprintf("level(%d)", uint8(l))
	}
}

// Signal is what a reading tells about.
type Signal uint8

// The signals.
const (
	Memory Signal = iota // what the process is charged for, against its budget
	CPU                  // how long the event loops are behind while the processors are busy
	Kafka                // what Kafka has not acknowledged, against the uplink's buffer
	Redis                // whether the directory works
	numSignals
)

// Signals returns every signal.
func Signals() []Signal { return []Signal{Memory, CPU, Kafka, Redis} }

// String is the word for logs, metric labels and documents.
func (s Signal) String() string {
	switch s {
	case Memory:
		return "memory"
	case CPU:
		return "cpu"
	case Kafka:
		return "kafka"
	case Redis:
		return "redis"
	default:
		return fmt.Sprintf("signal(%d)", uint8(s))
	}
}

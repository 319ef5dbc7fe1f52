package session

import "fmt"

// Opcode says what the payload of a message is. The values are those of
// RFC 6455 section 5.2, so that they travel unchanged.
type Opcode uint8

// The two kinds of data message.
const (
	Text   Opcode = 1
	Binary Opcode = 2
)

// String returns "text" or "binary", the form used in record headers.
func (o Opcode) String() string {
	switch o {
	case Text:
		return "text"
	case Binary:
		return "binary"
	default:
		return fmt.Sprintf("opcode(%d)", uint8(o))
	}
}

// ParseOpcode reads "text" or "binary".
func ParseOpcode(s string) (Opcode, error) {
	switch s {
	case "text":
		return Text, nil
	case "binary":
		return Binary, nil
	default:
		return 0, fmt.Errorf("opcode %q: want text or binary", s)
	}
}

// Priority decides what happens to a message when there is no room for it.
// The zero value is High: nothing is lost unless somebody said it may be.
type Priority uint8

// What becomes of a message that cannot be accepted.
const (
	High   Priority = iota // the session is closed with 1013 rather than lose it in silence
	Medium                 // only the latest value of a session is kept
	Low                    // dropped and counted
)

// String returns "high", "medium" or "low", the form used in record headers.
func (p Priority) String() string {
	switch p {
	case High:
		return "high"
	case Medium:
		return "medium"
	case Low:
		return "low"
	default:
		return fmt.Sprintf("priority(%d)", uint8(p))
	}
}

// ParsePriority reads "high", "medium" or "low".
func ParsePriority(s string) (Priority, error) {
	switch s {
	case "high":
		return High, nil
	case "medium":
		return Medium, nil
	case "low":
		return Low, nil
	default:
		return 0, fmt.Errorf("priority %q: want low, medium or high", s)
	}
}

package session

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// IDTextLen is the length of an ID as text.
const IDTextLen = 32

// ErrBadID is returned by ParseID for text that is not a session id.
var ErrBadID = errors.New("not a session id (32 hexadecimal digits)")

// ID names one session for ever: a later owner of the same slot differs in
// its generation, and a restarted node in its incarnation. So a late send to
// a session that has gone fails instead of reaching a stranger.
//
// As text it is 32 lower-case hexadecimal digits:
//
//	0               16      24      32
//	|  incarnation  |  slot |  gen  |
type ID struct {
	Incarnation uint64 // of the node process; new at every start
	Slot        uint32 // place in the node's session slabs
	Generation  uint32 // of the slot; starts at 1, so the zero ID is no session
}

// IsZero reports whether id is the zero ID, which names no session.
func (id ID) IsZero() bool { return id == ID{} }

// AppendText appends the 32 digits of id to dst. It never fails; the error is
// there for encoding.TextAppender.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	var raw [16]byte
	for i := range 8 {
		raw[i] = byte(id.Incarnation >> (56 - 8*i))
	}
	for i := range 4 {
		raw[8+i] = byte(id.Slot >> (24 - 8*i))
		raw[12+i] = byte(id.Generation >> (24 - 8*i))
	}
	return hex.AppendEncode(dst, raw[:]), nil
}

// String returns the 32 digits of id.
func (id ID) String() string {
	text, _ := id.AppendText(make([]byte, 0, IDTextLen))
	return string(text)
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, IDTextLen)) }

// UnmarshalText implements encoding.TextUnmarshaler; it fails with ErrBadID.
func (id *ID) UnmarshalText(text []byte) error {
	var raw [16]byte
	if len(text) != IDTextLen {
		return fmt.Errorf("%w: %.40q", ErrBadID, text)
	}
	if _, err := hex.Decode(raw[:], text); err != nil {
		return fmt.Errorf("%w: %q", ErrBadID, text)
	}
	var out ID
	for i := range 8 {
		out.Incarnation = out.Incarnation<<8 | uint64(raw[i])
	}
	for i := range 4 {
		out.Slot = out.Slot<<8 | uint32(raw[8+i])
		out.Generation = out.Generation<<8 | uint32(raw[12+i])
	}
	*id = out
	return nil
}

// ParseID reads the text form; it fails with ErrBadID.
func ParseID(text string) (ID, error) {
	var id ID
	err := id.UnmarshalText([]byte(text))
	return id, err
}

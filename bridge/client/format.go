package client

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// shownBytes is how much of a binary payload a line shows.
const shownBytes = 64

// AppendLine appends m as a line for a person. What a client sends cannot
// steer the terminal: text with control characters is quoted, binary data is
// shown in hexadecimal and cut.
//
//	13:05:07.042 dev1 text hello
//	13:05:07.043 dev1 binary 00ff10 (3 bytes)
func (m *Message) AppendLine(dst []byte) []byte {
	dst = m.Time.Local().AppendFormat(dst, "15:04:05.000")
	dst = append(append(dst, ' '), printable(m.Principal)...)
	dst = append(append(dst, ' '), printable(m.Opcode)...)
	dst = append(dst, ' ')
	if m.Opcode == "text" && utf8.Valid(m.Payload) {
		dst = append(dst, printable(string(m.Payload))...)
		return append(dst, '\n')
	}
	shown := m.Payload[:min(len(m.Payload), shownBytes)]
	dst = hex.AppendEncode(dst, shown)
	if len(shown) < len(m.Payload) {
		dst = append(dst, "..."...)
	}
	return fmt.Appendf(dst, " (%d bytes)\n", len(m.Payload))
}

// printable returns s, quoted if a part of it is not to be printed.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// jsonMessage is the form of a line of JSON. The payload is data when it is
// text, data_base64 otherwise.
type jsonMessage struct {
	Time      time.Time `json:"time"`
	Principal string    `json:"principal"`
	Session   string    `json:"session,omitempty"`
	Node      string    `json:"node,omitempty"`
	Opcode    string    `json:"opcode"`
	Priority  string    `json:"priority,omitempty"`
	Data      *string   `json:"data,omitempty"`
	Base64    *string   `json:"data_base64,omitempty"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
}

// AppendJSON appends m as a line of JSON.
func (m *Message) AppendJSON(dst []byte) ([]byte, error) {
	j := jsonMessage{
		Time: m.Time.UTC(), Principal: m.Principal, Session: m.Session, Node: m.Node,
		Opcode: m.Opcode, Priority: m.Priority, Partition: m.Partition, Offset: m.Offset,
	}
	if m.Opcode == "text" && utf8.Valid(m.Payload) {
		text := string(m.Payload)
		j.Data = &text
	} else {
		text := base64.StdEncoding.EncodeToString(m.Payload)
		j.Base64 = &text
	}
	line, err := json.Marshal(j)
	if err != nil {
		return dst, fmt.Errorf("write message as JSON: %w", err)
	}
	return append(append(dst, line...), '\n'), nil
}

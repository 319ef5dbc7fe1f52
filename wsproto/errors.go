package wsproto

import "fmt"

// Close codes that this package gives or reads (RFC 6455 section 7.4.1).
const (
	CodeNormal        = 1000
	CodeProtocolError = 1002
	CodeNoStatus      = 1005 // "no code was present"; never on the wire
	CodeBadPayload    = 1007
	CodeTooBig        = 1009
	CodeInternalError = 1011
)

// ProtocolError says why a peer's frames cannot be accepted. The caller sends
// AppendClose(Code, Reason) and ends the connection: "Fail the WebSocket
// Connection", RFC 6455 section 7.1.7. The values are shared and immutable.
type ProtocolError struct {
	Code   uint16 // CodeProtocolError, CodeBadPayload or CodeTooBig
	Reason string // short enough for a close frame, free of peer input
}

// Error returns the code and the reason.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("websocket: close %d: %s", e.Code, e.Reason)
}

// The ways in which frames are refused. Those that gobwas/ws finds
// (ws.CheckHeader) are carried over word for word by checkHeader.
var (
	errLengthNotMinimal = &ProtocolError{CodeProtocolError, "length not encoded in the fewest bytes"}
	errLengthHighBit    = &ProtocolError{CodeProtocolError, "high bit of the 64-bit length is set"}
	errCompressedBit    = &ProtocolError{CodeProtocolError, "compressed bit on a control or continuation frame"}
	errCloseLength      = &ProtocolError{CodeProtocolError, "close payload of one byte"}
	errCloseCode        = &ProtocolError{CodeProtocolError, "close code not allowed on the wire"}
	errCloseReason      = &ProtocolError{CodeBadPayload, "close reason is not UTF-8"}
	errText             = &ProtocolError{CodeBadPayload, "text is not UTF-8"}
	errDeflate          = &ProtocolError{CodeBadPayload, "message does not inflate"}
	errTooBig           = &ProtocolError{CodeTooBig, "message too big"}
	errTooManyFragments = &ProtocolError{CodeTooBig, "message in too many fragments"}
)

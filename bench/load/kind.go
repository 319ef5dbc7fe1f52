package load

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kinds of failure, as they appear in results. A status other than 101 is
// "http_STATUS", and a close frame from the server "closed_CODE".
const (
	KindRefused      = "refused"       // nobody listens, or the accept queue is full
	KindTimeout      = "timeout"       // no answer to the upgrade in time
	KindReset        = "reset"         // RST from the server
	KindClosed       = "closed"        // FIN without a close frame
	KindGarbage      = "garbage"       // the answer to the upgrade is not HTTP
	KindTLS          = "tls"           // the answer to the upgrade is a TLS alert
	KindBadAccept    = "bad_accept"    // 101 with a wrong Sec-WebSocket-Accept
	KindProtocol     = "protocol"      // a frame that RFC 6455 forbids
	KindNoFile       = "nofile"        // this client ran out of descriptors
	KindNoPorts      = "no_ports"      // this client ran out of source ports
	KindNoMemory     = "no_memory"     // the kernel had no memory for a socket
	KindUnreachable  = "unreachable"   // no route, or the source address is not local
	KindWrongMessage = "wrong_message" // an answer that was not asked for
	KindNotSent      = "not_sent"      // the connection took no more: its backlog was full
)

func kindOfStatus(status int) string  { return fmt.Sprintf("http_%d", status) }
func kindOfCloseCode(code int) string { return fmt.Sprintf("closed_%d", code) }
func kindOfAnswerError(err error) string {
	switch {
	case errors.Is(err, errBadAccept):
		return KindBadAccept
	case errors.Is(err, errTLS):
		return KindTLS
	default:
		return KindGarbage
	}
}

func kindOfErrno(err error) string {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return KindRefused
	case errors.Is(err, unix.ETIMEDOUT):
		return KindTimeout
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNABORTED):
		return KindReset
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return KindNoFile
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EADDRINUSE):
		return KindNoPorts
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return KindNoMemory
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EINVAL):
		return KindUnreachable
	default:
		return err.Error()
	}
}

package wsproto

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Refusal is the HTTP answer to an upgrade that is not accepted. The
// connection is closed after it: what follows in the stream could be a body,
// frames, or a request that somebody smuggled.
type Refusal struct {
	Status int    // 4xx or 5xx
	Reason string // one line that says what to do; ASCII; the body of the response

	// RetryAfter, if positive, becomes Retry-After in whole seconds, rounded up.
	RetryAfter time.Duration
	// Challenge is the WWW-Authenticate that a 401 must have (RFC 9110 section
	// 15.5.2); empty stands for "Bearer".
	Challenge string

	withoutBody bool // the request was HEAD, RFC 9110 section 9.3.2
}

// NewRefusal returns a refusal of the caller's own: 401, 403, 429, 503 and
// the like. Safe from any goroutine.
func NewRefusal(status int, reason string) *Refusal {
	return &Refusal{Status: status, Reason: reason}
}

// Error returns the status and the reason.
func (r *Refusal) Error() string {
	return fmt.Sprintf("upgrade refused: %d %s: %s", r.Status, http.StatusText(r.Status), r.Reason)
}

// AppendResponse appends the whole HTTP response to dst. There is no Date,
// since nothing here has a clock (RFC 9110 section 6.6.1). Safe from any
// goroutine.
func (r *Refusal) AppendResponse(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\nConnection: close"...)
	switch r.Status {
	case http.StatusUpgradeRequired:
		// RFC 9110 section 15.5.22 wants Upgrade, section 7.8 its connection
		// option, RFC 6455 section 4.4 the version.
		dst = append(dst, ", Upgrade\r\nUpgrade: websocket"...)
		fallthrough
	case http.StatusBadRequest:
		dst = append(dst, "\r\nSec-WebSocket-Version: 13"...)
	case http.StatusMethodNotAllowed:
		dst = append(dst, "\r\nAllow: GET"...) // RFC 9110 section 15.5.6
	case http.StatusUnauthorized:
		dst = append(dst, "\r\nWWW-Authenticate: "...)
		if r.Challenge == "" {
			dst = append(dst, "Bearer"...)
		}
		dst = append(dst, r.Challenge...)
	}
	if r.RetryAfter > 0 {
		dst = append(dst, "\r\nRetry-After: "...)
		dst = strconv.AppendInt(dst, int64((r.RetryAfter+time.Second-1)/time.Second), 10)
	}
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Reason)+1), 10)
	dst = append(dst, "\r\n\r\n"...)
	if r.withoutBody {
		return dst
	}
	dst = append(dst, r.Reason...)
	return append(dst, '\n')
}

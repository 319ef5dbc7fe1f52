package wsproto

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRefusalResponse(t *testing.T) {
	plain := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	with := func(extra http.Header) http.Header {
		h := plain.Clone()
		for name, values := range extra {
			h[name] = values
		}
		return h
	}
	later := func(r *Refusal, d time.Duration) *Refusal { r.RetryAfter = d; return r }
	challenged := func(r *Refusal, c string) *Refusal { r.Challenge = c; return r }
	upgradeTo := http.Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	for _, c := range []struct {
		refusal *Refusal
		header  http.Header
	}{
		{NewRefusal(400, "what to do"), with(http.Header{"Sec-Websocket-Version": {"13"}})},
		{NewRefusal(404, "what to do"), plain},
		{NewRefusal(405, "what to do"), with(http.Header{"Allow": {"GET"}})},
		{NewRefusal(426, "what to do"), with(upgradeTo)},
		{NewRefusal(431, "what to do"), plain},
		{NewRefusal(401, "what to do"), with(http.Header{"Www-Authenticate": {"Bearer"}})},
		{challenged(NewRefusal(401, "what to do"), `Basic realm="x"`), with(http.Header{"Www-Authenticate": {`Basic realm="x"`}})},
		{NewRefusal(403, "what to do"), plain},
		{later(NewRefusal(503, "what to do"), 1500*time.Millisecond), with(http.Header{"Retry-After": {"2"}})},
		{later(NewRefusal(429, "what to do"), time.Minute), with(http.Header{"Retry-After": {"60"}})},
	} {
		raw := c.refusal.AppendResponse([]byte("before"))
		raw, ok := bytes.CutPrefix(raw, []byte("before"))
		if !ok {
			t.Fatalf("dst is lost: %q", raw)
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%v: %v in %q", c.refusal, err, raw)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "what to do\n" || in.Buffered() != 0 {
			t.Errorf("%v: body %q, %v, %d bytes after it", c.refusal, body, err, in.Buffered())
		}
		if response.StatusCode != c.refusal.Status || response.ContentLength != int64(len(body)) || !response.Close {
			t.Errorf("%v: status %d, length %d, close %v", c.refusal, response.StatusCode, response.ContentLength, response.Close)
		}
		response.Header.Del("Content-Length")
		connection := "\r\nConnection: close\r\n" // which ReadResponse takes away
		if c.refusal.Status == 426 {
			connection = "\r\nConnection: close, Upgrade\r\n"
		}
		if !bytes.Contains(raw, []byte(connection)) {
			t.Errorf("%v: no %q in %q", c.refusal, connection, raw)
		}
		if !reflect.DeepEqual(response.Header, c.header) {
			t.Errorf("%v: header %v, want %v", c.refusal, response.Header, c.header)
		}
	}
}

// RFC 9110 section 9.3.2: the answer to HEAD has the headers of the body and
// no body.
func TestRefusalOfHeadHasNoBody(t *testing.T) {
	_, refusal, _ := upgrade(t, &Upgrader{}, requestLine("HEAD /ws HTTP/1.1"))
	if refusal == nil {
		t.Fatal("accepted")
	}
	head, body, _ := strings.Cut(string(refusal.AppendResponse(nil)), "\r\n\r\n")
	if body != "" || !strings.Contains(head, "Content-Length: ") || strings.Contains(head, "Content-Length: 0") {
		t.Errorf("%q and body %q", head, body)
	}
}

func TestRefusalError(t *testing.T) {
	err := error(NewRefusal(403, "this Origin is not allowed"))
	if got, want := err.Error(), "upgrade refused: 403 Forbidden: this Origin is not allowed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

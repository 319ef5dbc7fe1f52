package wsproto

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// pieces cuts a stream of n bytes as seed says: deterministic, and any size
// of piece from one byte on.
func pieces(n int, seed uint64) (at []int) {
	for from := 0; from < n; {
		seed = seed*6364136223846793005 + 1442695040888963407
		from += 1 + int(seed>>33)%(1+int(seed>>60)*4)
		if from < n {
			at = append(at, from)
		}
	}
	return at
}

// FuzzDecoder checks of any stream, with and without compression:
//
//  1. its fate does not depend on the pieces it comes in;
//  2. a message is within the size limit, and text is UTF-8; a control payload is
//     within 125 bytes, and that of a close can be parsed; a close is the last;
//  3. an error is a *ProtocolError that can be sent in a close frame;
//  4. what is unfinished holds no more than twice the bytes that came, and the fixed part;
//  5. gobwas/ws, given the same stream, finds the same messages before the error, and
//     finds no error where we find none.
func FuzzDecoder(f *testing.F) {
	f.Add(frame(0x81, "Hello"), false, uint64(1))
	f.Add(join(frame(0x01, "Hel"), frame(0x89, "ping"), frame(0x80, "lo")), false, uint64(2))
	f.Add(frame(0x88, "\x03\xe8bye"), false, uint64(3))
	f.Add(frame(0xc1, deflated("Hello Hello")), true, uint64(4))
	f.Add(frame(0x82, strings.Repeat("x", 300)), true, uint64(5))
	cfg := DecoderConfig{MaxMessageSize: 2000, MaxFragments: 8}
	f.Fuzz(func(t *testing.T, stream []byte, deflate bool, seed uint64) {
		whole := decode(cfg, deflate, stream)
		sameFate(t, whole, decode(cfg, deflate, stream, pieces(len(stream), seed)...))

		for i, e := range whole.events {
			switch {
			case e.op.IsControl() && len(e.payload) > ws.MaxControlFramePayloadSize:
				t.Fatalf("control payload of %d bytes", len(e.payload))
			case e.op == ws.OpClose && i != len(whole.events)-1:
				t.Fatalf("%q after a close", whole.events[i+1:])
			case len(e.payload) > cfg.MaxMessageSize:
				t.Fatalf("message of %d bytes", len(e.payload))
			case e.op == ws.OpText && !utf8.ValidString(e.payload):
				t.Fatalf("text %x", e.payload)
			}
			if e.op == ws.OpClose {
				if _, _, err := ParseClose([]byte(e.payload)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if whole.err != nil {
			var refused *ProtocolError
			if !errors.As(whole.err, &refused) {
				t.Fatalf("%T %v", whole.err, whole.err)
			}
			code, reason, err := ParseClose(AppendClose(nil, refused.Code, refused.Reason)[2:])
			if err != nil || code != refused.Code || string(reason) != refused.Reason {
				t.Fatalf("%v cannot be sent: %v", refused, err)
			}
		}

		d := NewDecoder(cfg)
		if p, err := d.Feed(nil, deflate, bytes.Clone(stream), &recorder{}); err == nil {
			if most := partialSize + max(2*len(stream), 32); p.Buffered() > most {
				t.Fatalf("%d bytes held of %d", p.Buffered(), len(stream))
			}
		}
		if !deflate {
			compareWithGobwas(t, stream, whole)
		}
	})
}

// compareWithGobwas reads the stream with wsutil.Reader, which blocks and
// checks everything but what doc.go lists.
func compareWithGobwas(t *testing.T, stream []byte, ours outcome) {
	t.Helper()
	var theirs []event
	r := &wsutil.Reader{Source: bytes.NewReader(stream), State: ws.StateServerSide, CheckUTF8: true}
	take := func(h ws.Header, body io.Reader) error {
		payload, err := io.ReadAll(body)
		if err == nil && h.OpCode.IsControl() && int64(len(payload)) < h.Length {
			err = io.ErrUnexpectedEOF // a control frame that was cut off
		}
		if err == nil {
			theirs = append(theirs, event{h.OpCode, string(payload)})
		}
		if err == nil && h.OpCode == ws.OpClose {
			err = errPeerClosed // nothing follows, not even the rest of an open message
		}
		return err
	}
	r.OnIntermediate = take
	var err error
	for err == nil {
		var h ws.Header
		if h, err = r.NextFrame(); err == nil {
			err = take(h, r)
		}
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errPeerClosed)
	if ours.err == nil && !ended {
		// A text that is cut off within a character is no error yet.
		if !(errors.Is(err, wsutil.ErrInvalidUTF8) && ours.open) {
			t.Fatalf("gobwas refuses what we accept: %v", err)
		}
	}
	if len(theirs) < len(ours.events) {
		t.Fatalf("gobwas finds %q, we find %q", theirs, ours.events)
	}
	for i, e := range ours.events {
		if theirs[i] != e {
			t.Fatalf("gobwas finds %q, we find %q", theirs, ours.events)
		}
	}
	if ours.err == nil && len(theirs) != len(ours.events) {
		t.Fatalf("gobwas finds %q, we find %q", theirs, ours.events)
	}
}

// FuzzInflate checks of any compressed payload that it inflates to what
// compress/flate makes of it, up to the limit, or to an error where that has one.
func FuzzInflate(f *testing.F) {
	f.Add([]byte(deflated("Hello")))
	f.Add([]byte(deflated(strings.Repeat("x", 5000))))
	f.Add(wire("f348cdc9c9070000"))
	f.Add(wire("000500faff48656c6c6f00"))
	cfg := DecoderConfig{MaxMessageSize: 2000}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := NewDecoder(cfg).inflate(payload)
		if len(got) > cfg.MaxMessageSize {
			t.Fatalf("%d bytes", len(got))
		}
		want, wantErr := stdInflate(payload, cfg.MaxMessageSize)
		switch {
		case errors.Is(err, errTooBig) != (len(want) > cfg.MaxMessageSize):
			t.Fatalf("%v, want %d bytes and %v", err, len(want), wantErr)
		case errors.Is(err, errTooBig):
		case (err == nil) != (wantErr == nil):
			t.Fatalf("%v, want %v", err, wantErr)
		case err == nil && !bytes.Equal(got, want):
			t.Fatalf("%x, want %x", got, want)
		}
	})
}

// stdInflate inflates with the standard library, up to limit bytes and one.
func stdInflate(payload []byte, limit int) (out []byte, err error) {
	src := bytes.NewReader(append(bytes.Clone(payload), "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...))
	for src.Len() > 0 {
		part, err := io.ReadAll(io.LimitReader(stdflate.NewReader(src), int64(limit+1-len(out))))
		if out = append(out, part...); err != nil || len(out) > limit {
			return out, err
		}
	}
	return out, nil
}

// FuzzUpgrade checks of anything sent as a request:
//
//  1. where the head ends, and a refusal before that, does not depend on the
//     pieces it comes in nor on what follows it;
//  2. a refusal is an HTTP response that net/http reads to its last byte, of a status
//     that we know, and shows no byte of the peer's beyond printable ASCII;
//  3. a request that is accepted is one for net/http too, which finds the same
//     path, query and headers and no body;
//  4. and is answered with one 101 response: nobody can split it.
func FuzzUpgrade(f *testing.F) {
	f.Add([]byte(request()), uint64(1))
	f.Add([]byte(requestLine("GET http://h/ws?id=a%20b HTTP/1.1", "Sec-WebSocket-Protocol: a, mqtt", "Origin: http://a")), uint64(2))
	f.Add([]byte(request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15")), uint64(3))
	f.Add([]byte(request("Content-Length: 0", "X: a\x00")), uint64(4))
	f.Add([]byte("\r\n"+request()+"\x81\x80abcd"), uint64(5))
	f.Add([]byte("GET /ws HTTP/1.1\n\n"), uint64(6))
	u := &Upgrader{Subprotocols: []string{"mqtt", "json"}, Deflate: true, MaxRequestBytes: 1024, MaxHeaders: 16}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		end, refusal := u.RequestEnd(stream)
		if end < 0 || end > len(stream) || end > u.MaxRequestBytes || end > 0 && refusal != nil {
			t.Fatalf("end %d of %d, %v", end, len(stream), refusal)
		}
		for _, n := range pieces(len(stream), seed) {
			e, r := u.RequestEnd(stream[:n])
			if (e != 0 || r != nil) && (e != end || (r == nil) != (refusal == nil) || r != nil && *r != *refusal) {
				t.Fatalf("%d bytes: %d, %v; all: %d, %v", n, e, r, end, refusal)
			}
		}
		if refusal == nil && end == 0 {
			return
		}
		var r Request
		if refusal == nil {
			refusal = u.Parse(stream[:end], &r)
		}
		if refusal != nil {
			checkRefusal(t, refusal)
			return
		}
		checkAccepted(t, u, stream[:end], &r)
	})
}

func checkRefusal(t *testing.T, refusal *Refusal) {
	t.Helper()
	raw := refusal.AppendResponse(nil)
	in := bufio.NewReader(bytes.NewReader(raw))
	asked := &http.Request{Method: "GET"}
	if refusal.withoutBody {
		asked.Method = "HEAD"
	}
	response, err := http.ReadResponse(in, asked)
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil || in.Buffered() != 0 || !response.Close {
		t.Fatalf("%v, %d bytes left, close %v, of %q", err, in.Buffered(), response.Close, raw)
	}
	switch response.StatusCode {
	case 400, 404, 405, 414, 426, 431, 505:
	default:
		t.Fatalf("status of %q", raw)
	}
	for _, c := range []byte(refusal.Reason) {
		if c < ' ' || c > '~' {
			t.Fatalf("reason %q", refusal.Reason)
		}
	}
}

func checkAccepted(t *testing.T, u *Upgrader, head []byte, r *Request) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(head, []byte("\r\n"))))
	theirs, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses what we accept: %v", err)
	}
	if theirs.Method != "GET" || theirs.ContentLength != 0 || theirs.TransferEncoding != nil || in.Buffered() != 0 {
		t.Fatalf("net/http finds %s, length %d, encoding %v", theirs.Method, theirs.ContentLength, theirs.TransferEncoding)
	}
	if theirs.URL.EscapedPath() != string(r.Path) || theirs.URL.RawQuery != string(r.RawQuery) || theirs.Host != string(r.Host) {
		t.Fatalf("net/http finds %q %q %q, we find %q %q %q", theirs.URL.EscapedPath(), theirs.URL.RawQuery, theirs.Host, r.Path, r.RawQuery, r.Host)
	}
	for name, values := range theirs.Header {
		if got := r.Header(strings.ToLower(name)); string(got) != values[0] {
			t.Fatalf("net/http finds %s: %q, we find %q", name, values[0], got)
		}
	}
	if id, ok := r.Query("id"); ok && len(theirs.URL.Query()["id"]) > 0 && theirs.URL.Query().Get("id") != id {
		t.Fatalf("net/http finds id %q, we find %q", theirs.URL.Query().Get("id"), id)
	}

	raw, agreed := u.Accept(nil, r)
	if !bytes.HasSuffix(raw, []byte("\r\n\r\n")) || bytes.Count(raw, []byte("\r\n\r\n")) != 1 {
		t.Fatalf("response %q", raw)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil || response.StatusCode != 101 {
		t.Fatalf("%v in %q", err, raw)
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); got != agreed.Subprotocol || got != "" && got != "mqtt" && got != "json" {
		t.Fatalf("subprotocol %q, agreed %q", got, agreed.Subprotocol)
	}
	if got := response.Header.Get("Sec-WebSocket-Extensions"); (got != "") != agreed.Deflate {
		t.Fatalf("extensions %q, agreed %v", got, agreed.Deflate)
	}
}

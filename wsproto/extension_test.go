package wsproto

import (
	"strings"
	"testing"
)

func TestDeflateNegotiation(t *testing.T) {
	const (
		plain    = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		echoed   = plain + "; server_max_window_bits=15"
		declined = ""
	)
	for _, c := range []struct {
		rule  string
		offer []string
		want  string
	}{
		{"nothing offered", nil, declined},
		{"7692 7.1.1 nothing asked for", []string{"permessage-deflate"}, plain},
		{"what browsers send", []string{"permessage-deflate; client_max_window_bits"}, plain},
		{"7.1.1.1", []string{"permessage-deflate; server_no_context_takeover"}, plain},
		{"7.1.1.2", []string{"permessage-deflate; client_no_context_takeover; server_no_context_takeover"}, plain},
		{"7.1.1.1 a value where none is allowed", []string{"permessage-deflate; server_no_context_takeover=1"}, declined},
		{"7.1.1.2 a value where none is allowed", []string{"permessage-deflate; client_no_context_takeover=x"}, declined},
		{"7.1.2.1 the full window is granted and named", []string{"permessage-deflate; server_max_window_bits=15"}, echoed},
		{"7.1.2.1 in quotes", []string{`permessage-deflate; server_max_window_bits="15"`}, echoed},
		{"7.1.2.1 a smaller window cannot be honoured", []string{"permessage-deflate; server_max_window_bits=14"}, declined},
		{"7.1.2.1 a value is needed", []string{"permessage-deflate; server_max_window_bits"}, declined},
		{"7.1.2.1 too large", []string{"permessage-deflate; server_max_window_bits=16"}, declined},
		{"7.1.2.1 leading zero", []string{"permessage-deflate; server_max_window_bits=015"}, declined},
		{"7.1.2.2 any value of the client's window", []string{"permessage-deflate; client_max_window_bits=8"}, plain},
		{"7.1.2.2 the largest", []string{"permessage-deflate; client_max_window_bits=15"}, plain},
		{"7.1.2.2 too small", []string{"permessage-deflate; client_max_window_bits=7"}, declined},
		{"7.1.2.2 leading zero", []string{"permessage-deflate; client_max_window_bits=08"}, declined},
		{"7.1.2.2 too large", []string{"permessage-deflate; client_max_window_bits=16"}, declined},
		{"7.1 unknown parameter", []string{"permessage-deflate; x"}, declined},
		{"7.1 repeated parameter", []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, declined},
		{"7.1 repeated client_max_window_bits", []string{"permessage-deflate; client_max_window_bits; client_max_window_bits"}, declined},
		{"7.1 repeated, once acceptable", []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=14"}, declined},
		{"5.1 the first that can be honoured", []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits"}, plain},
		{"5.1 in order of preference", []string{"permessage-deflate, permessage-deflate; server_max_window_bits=15"}, plain},
		{"5.1 over two lines", []string{"permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=15"}, echoed},
		{"6455 9.1 other extensions", []string{"x-webkit-deflate-frame, mux; max=3, permessage-deflate"}, plain},
		{"only others", []string{"permessage-bzip2"}, declined},
		{"white space and empty elements", []string{" , permessage-deflate ;\tclient_max_window_bits = 12 ,, "}, plain},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var more []string
			for _, value := range c.offer {
				more = append(more, "Sec-WebSocket-Extensions: "+value)
			}
			for _, on := range []bool{true, false} {
				u := &Upgrader{Deflate: on}
				r, refusal, _ := upgrade(t, u, request(more...))
				if refusal != nil {
					t.Fatal(refusal)
				}
				response, agreed := u.Accept(nil, r)
				want := c.want
				if !on {
					want = declined
				}
				if agreed.Deflate != (want != declined) {
					t.Errorf("deflate %v: agreed %v", on, agreed.Deflate)
				}
				_, answer, _ := strings.Cut(string(response), "Sec-WebSocket-Extensions: ")
				answer, _, _ = strings.Cut(answer, "\r\n")
				if answer != want {
					t.Errorf("deflate %v: answered %q, want %q", on, answer, want)
				}
			}
		})
	}
}

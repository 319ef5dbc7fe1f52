package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a browser sends for a page that is not the API's own does nothing: the
// table has the page's trick and the answer.
func TestPagesOfOtherOrigins(t *testing.T) {
	const token = "0123456789abcdef"
	for name, c := range map[string]struct {
		token        string // that the API asks for
		method, path string
		host         string
		headers      map[string]string
		want         int
	}{
		"curl":                   {"", "POST", "/v1/push", "", nil, 200},
		"curl by name":           {"", "POST", "/v1/push", "localhost:8081", nil, 200},
		"curl by IPv6":           {"", "POST", "/v1/push", "[::1]:8081", nil, 200},
		"through a tunnel":       {"", "GET", "/v1/nodes", "localhost:9000", nil, 200},
		"the dashboard":          {"", "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "http://127.0.0.1:8081", "Sec-Fetch-Site": "same-origin"}, 200},
		"older browser":          {"", "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "http://127.0.0.1:8081"}, 200},
		"form of another page":   {"", "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		"older browser's form":   {"", "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "https://evil.example"}, 403},
		"sandboxed frame":        {"", "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "null"}, 403},
		"page on another port":   {"", "POST", "/v1/reload", "127.0.0.1:8081", map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403},
		"reload":                 {"", "POST", "/v1/reload", "127.0.0.1:8081", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		"delete":                 {"", "DELETE", "/v1/users/a", "127.0.0.1:8081", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		"rebinding":              {"", "POST", "/v1/push", "evil.example:8081", map[string]string{"Origin": "http://evil.example:8081", "Sec-Fetch-Site": "same-origin"}, 421},
		"rebinding that reads":   {"", "GET", "/v1/nodes", "evil.example:8081", map[string]string{"Sec-Fetch-Site": "same-origin"}, 421},
		"rebinding to profiles":  {"", "GET", "/debug/pprof/heap", "evil.example:8081", nil, 421},
		"name that ends alike":   {"", "GET", "/v1/nodes", "notlocalhost:8081", nil, 421},
		"name that begins alike": {"", "GET", "/v1/nodes", "localhost.evil.example", nil, 421},
		"address as a label":     {"", "GET", "/v1/nodes", "127.0.0.1.evil.example", nil, 421},
		"with a token asked for": {token, "GET", "/debug/pprof/heap", "evil.example:8081", nil, 421},
		"proxy with the token":   {token, "GET", "/v1/nodes", "gateway.example", map[string]string{"Authorization": "Bearer " + token}, 200},
		"proxy of another origin": {token, "POST", "/v1/push", "127.0.0.1:8081", map[string]string{
			"Authorization": "Bearer " + token, "Origin": "https://gateway.example"}, 200},
		"the same without it":        {token, "POST", "/v1/push", "127.0.0.1:8081", map[string]string{"Origin": "https://gateway.example"}, 403},
		"dashboard that needs it":    {token, "GET", "/v1/snapshot", "gateway.example", nil, 401},
		"rebinding where one is due": {token, "POST", "/v1/push", "evil.example:8081", map[string]string{"Origin": "http://evil.example:8081"}, 401},
		"page behind a proxy":        {"", "GET", "/", "gateway.example", nil, 404}, // the files are not this package's
		"its files":                  {"", "GET", "/dashboard/app.js", "gateway.example", nil, 404},
		"metrics by name":            {token, "GET", "/metrics", "gateway.example", nil, 421},
		"probe by name":              {"", "GET", "/healthz", "gateway.example", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := startV1(t, V1Config{Token: c.token, BroadcastRate: 1})
			f.ServeProfiles()
			body := ""
			if c.path == "/v1/push" {
				body = `{"to":"user:a","data":"x"}`
			}
			request, err := http.NewRequest(c.method, "http://"+f.Addr()+c.path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if c.host != "" {
				request.Host = c.host
			}
			for key, value := range c.headers {
				request.Header.Set(key, value)
			}
			answer, err := f.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != c.want {
				t.Errorf("%s, want %d", answer.Status, c.want)
			}
			if c.want >= 400 && len(n.pushes)+len(n.orders) != 0 {
				t.Error("the request was carried out")
			}
		})
	}
}

// A client that takes its time over the head of a request does not keep its
// connection for it.
func TestSlowHead(t *testing.T) {
	f := start(t, nil)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * headerTimeout))
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection is not ended: %v", err)
	}
	if strings.Contains(string(answer), "200 OK") {
		t.Errorf("a request without an end is answered: %s", answer)
	}
}

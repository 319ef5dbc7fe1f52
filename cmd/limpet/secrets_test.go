package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Whatever goes wrong, no secret of the configuration and nothing that a client
// shows of itself is in the log, in an answer of the API, in --print-config or
// in what is said about a bad configuration.
func TestSecretsStayHidden(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(hook.Close)
	file := filepath.Join(t.TempDir(), "limpet.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log-level: debug\n")
	t.Setenv("LIMPET_JWT_SECRET", "s3cr3t-of-tokens-0123456789abcdef")
	t.Setenv("LIMPET_JWT_SECRET_OLD", "s3cr3t-of-former-tokens-0123456789")
	t.Setenv("LIMPET_WEBHOOK_URL", hook.URL+"/?key=s3cr3t-of-the-webhook")
	t.Setenv("LIMPET_JWT_JWKS", hook.URL+"/?key=s3cr3t-of-the-keys")
	t.Setenv("LIMPET_REDIS", "redis://me:s3cr3t-of-redis@127.0.0.1:1")
	args := []string{"--auth=jwt,webhook", "--uplink=echo", "--config=" + file, "--api-token=" + testToken}
	p := startProcess(t, 0, args...)

	var told []string
	for range 7 { // more than open the circuit breaker
		header := http.Header{"Authorization": {"Bearer s3cr3t.of.aclient"}, "Cookie": {"id=s3cr3t-cookie"}}
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", header)
		if err == nil || resp == nil || resp.StatusCode != 503 {
			t.Fatalf("%v, %v; want 503", resp, err)
		}
		body := make([]byte, 1024)
		n, _ := resp.Body.Read(body)
		told = append(told, "handshake: "+string(body[:n]))
	}
	write("log-level: debug\njwt-secret: s3cr3t-short\nredis: me:s3cr3t-no-url\nwebhook-url: ftp://me:s3cr3t@a.example/\napi-token: s3cr3t short\n")
	for _, request := range [][3]string{
		{"POST", "/v1/reload"}, {"POST", "/v1/refresh", `{"token":"s3cr3t.of.another"}`}, {"GET", "/v1/info"}, {"GET", "/v1/snapshot"}, {"GET", "/v1/stats"},
		{"GET", "/v1/nodes"}, {"GET", "/metrics"}, {"GET", "/readyz"}, {"GET", "/debug/pprof/cmdline"}, {"GET", "/v1/users/s"},
	} {
		status, body := p.call(request[0], request[1], request[2])
		told = append(told, strings.Join(request[:2], " ")+": "+http.StatusText(status)+" "+body)
	}
	bad, err := exec.Command("limpet", append([]string{"serve"}, args...)...).CombinedOutput()
	if err == nil {
		t.Error("a bad configuration is served")
	}
	write("log-level: debug\n")
	printed, err := exec.Command("limpet", append([]string{"serve", "--print-config"}, args...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(printed), "jwt-secret-old: (hidden)") {
		t.Errorf("--print-config: %v\n%s", err, printed)
	}
	told = append(told, "faults: "+string(bad), "printed: "+string(printed))
	p.mu.Lock()
	told = append(told, p.log...)
	p.mu.Unlock()
	for _, text := range told {
		for _, hidden := range []string{"s3cr3t", testToken} {
			if strings.Contains(text, hidden) {
				t.Errorf("%q is in:\n%s", hidden, text)
			}
		}
	}
}

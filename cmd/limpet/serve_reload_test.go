package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// logged waits for a record of the log whose message is msg, with part in it.
func (p *process) logged(msg, part string) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		lines := p.log
		p.mu.Unlock()
		for _, line := range lines {
			var record struct{ Msg string }
			if json.Unmarshal([]byte(line), &record) == nil && record.Msg == msg && strings.Contains(line, part) {
				return
			}
		}
	}
	p.t.Fatalf("no record %q with %s in the log", msg, part)
}

// SIGHUP and the API read the file again while sessions talk: what is live
// changes, what is not is named, a bad or missing file changes nothing and every
// fault is told, and no session notices any of it.
func TestReload(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "limpet.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("uplink: echo\nmax-conns: 12\nretry-after: 7s\n")
	command := []string{"env", "LIMPET_JWT_LEEWAY=1m", "limpet"} // the environment keeps its place above the file
	p := startCommand(t, command, "--config="+file, "--api-token="+testToken, "--drain-window=0s")

	stop := make(chan struct{})
	var talk sync.WaitGroup
	for i := range 8 {
		c := p.mustDial(fmt.Sprint("dev", i))
		talk.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := echo(c, fmt.Sprint(n)); err != nil {
					t.Errorf("session %d: %v", i, err)
					return
				}
			}
		})
	}

	// refusedAt finds room for so many connections, those that talk included,
	// and for no more.
	refusedAt := func(limit int, retryAfter string) {
		t.Helper()
		end := time.Now().Add(patience)
		for n := 8; ; {
			c, resp, err := p.dial(fmt.Sprint("more-", n))
			switch {
			case err == nil && n < limit:
				defer c.Close()
				n++
			case err == nil:
				t.Fatalf("there is room for more than %d connections", limit)
			case resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != retryAfter:
				t.Fatalf("connection %d: %v, %v; want 503 with Retry-After %s", n, err, resp, retryAfter)
			case n == limit:
				return
			case time.Now().After(end): // those of before need their time to end
				t.Fatalf("no room for connection %d of %d", n, limit)
			}
		}
	}
	refusedAt(12, "7")

	write("uplink: echo\nmax-conns: 20\nretry-after: 9s\nloops: 7\njwt-leeway: 2m\n")
	p.signal(syscall.SIGHUP)
	p.logged("configuration reloaded", `"changed":["max-conns","retry-after"]`)
	p.logged("some keys of the configuration need a restart", `"keys":["loops"]`)
	refusedAt(20, "9")
	p.want("POST", "/v1/reload", "", 200, `"changed":[]`, `"restart":["loops"]`, `"max-conns"`)

	// Nothing of these comes into force, and all of it is told.
	write("uplink: echo\nmax-conns: many\nretry-after: 1ms\nhartbeat: 1s\n")
	p.signal(syscall.SIGHUP)
	p.logged("the configuration is not reloaded, everything stays as it was", `"faults":3`)
	p.want("POST", "/v1/reload", "", 422, `"max-conns"`, `"value":"many"`, `"retry-after"`, "did you mean heartbeat?", "limpet.yaml:4")
	write("uplink: echo\nmax-conns: 20\nretry-after: 9s\napi-token: \"short\"\nmax-conns: 16777216\n")
	if answer := p.want("POST", "/v1/reload", "", 422); strings.Contains(answer, "short") {
		t.Errorf("a secret is in the answer: %s", answer)
	}
	write("uplink: echo\nmax-conns: 16777216\nretry-after: 9s\n")
	p.want("POST", "/v1/reload", "", 422, `"max-conns"`, "more connections than the engine was started for")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.logged("a fault in the configuration", "no such file")
	p.want("POST", "/v1/reload", "", 422, "no such file")
	if err := os.Mkdir(file, 0o700); err != nil { // unreadable, for root too
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.logged("a fault in the configuration", "is a directory")
	p.want("POST", "/v1/reload", "", 422, "cannot read it")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refusedAt(20, "9")

	p.want("GET", "/metrics", "", 200, `limpet_config_reloads_total{result="done"} 2`, `limpet_config_reloads_total{result="refused"} 8`)

	// Flags win over the file: the token of the API stays.
	write("uplink: echo\nmax-conns: 20\nretry-after: 9s\nlog-level: debug\napi-token: another-token-of-tests\n")
	p.want("POST", "/v1/reload", "", 200, `"changed":["log-level"]`)
	p.want("GET", "/v1/log", "", 200, `"level":"debug"`)

	close(stop)
	talk.Wait()
	p.signal(syscall.SIGTERM)
	if code := p.waitExit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// keyPair makes a key of tokens, and the PEM file by which they are checked.
func keyPair(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Whatever has taken the place of the file since the start: a reload says so, at
// once and without reading it to its end, and the next one may be good again.
func TestReloadOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	file, keys := filepath.Join(dir, "limpet.yaml"), filepath.Join(dir, "keys.pem")
	_, public := keyPair(t)
	write := func(name, text string) func() error {
		return func() error { return os.WriteFile(name, []byte(text), 0o600) }
	}
	const text = "uplink: echo\nauth: jwt\nretry-after: 7s\n"
	if err := errors.Join(write(file, text)(), write(keys, public)()); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, 0, "--config="+file, "--jwt-keys="+keys, "--drain-window=0s")
	fifo := func(name string) func() error {
		return func() error { return syscall.Mkfifo(name, 0o600) }
	}
	for _, c := range []struct {
		name string
		put  func() error
		want string
	}{
		{file, fifo(file), "cannot read it: it is a pipe, which can be read at the start only"},
		{file, func() error { return os.Symlink("/dev/zero", file) }, "cannot read it: it is a device"},
		{file, func() error { return errors.Join(write(file, text)(), os.Truncate(file, 64<<30)) }, "cannot read it: larger than 1MiB"},
		{keys, fifo(keys), "JWT key file " + keys + ": it is a pipe"},
		{keys, func() error { return errors.Join(write(keys, public)(), os.Truncate(keys, 64<<30)) }, "JWT key file " + keys + ": larger than 1MiB"},
	} {
		kept := c.name + ".kept"
		if err := errors.Join(os.Rename(c.name, kept), c.put()); err != nil {
			t.Fatal(err)
		}
		p.want("POST", "/v1/reload", "", 422, c.want)
		p.signal(syscall.SIGHUP)
		p.logged("a fault in the configuration", c.want)
		if err := errors.Join(os.Remove(c.name), os.Rename(kept, c.name)); err != nil {
			t.Fatal(err)
		}
		p.want("POST", "/v1/reload", "", 200, `"changed":[]`)
	}
	p.signal(syscall.SIGTERM)
	if code := p.waitExit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Without a file there is nothing to read again; that is said, and SIGHUP does
// not end the process, as it would by default.
// Hang-ups that come all the time, also when everything is done, do not change
// how a drain ends.
func TestHangupsDuringDrain(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo")
	stormed := make(chan struct{})
	go func() {
		defer close(stormed)
		for p.cmd.Process.Signal(syscall.SIGHUP) == nil { // until it has been waited for
			time.Sleep(20 * time.Microsecond)
		}
	}()
	p.signal(syscall.SIGTERM)
	if code := p.waitExit(); code != 0 {
		t.Errorf("exit code %d (-1: ended by a signal), want 0", code)
	}
	<-stormed
}

func TestReloadWithoutFile(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo", "--api-token="+testToken)
	p.signal(syscall.SIGHUP)
	p.logged("the configuration is not reloaded", "without a configuration file")
	p.want("POST", "/v1/reload", "", 409, "without a configuration file")
	if err := echo(p.mustDial("dev1"), "still here"); err != nil {
		t.Error(err)
	}
}

// The key of tokens is exchanged while clients come with either: as long as
// both are in the file nobody is refused, and afterwards the old one is.
func TestRotationUnderLoad(t *testing.T) {
	dir := t.TempDir()
	oldKey, oldPEM := keyPair(t)
	newKey, newPEM := keyPair(t)
	keys, file := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "limpet.yaml")
	const newSecret = "ffffffffffffffffffffffffffffffff"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil { // never half of it
			t.Fatal(err)
		}
	}
	config := "auth: jwt\nuplink: echo\nsessions-per-principal: 64\njwt-keys: " + keys + "\n"
	write(keys, oldPEM)
	write(file, config+"jwt-secret: "+jwtSecret+"\n")
	p := startProcess(t, 0, "--config="+file, "--api-token="+testToken)

	token := func(method jwt.SigningMethod, key any) string {
		text, err := jwt.NewWithClaims(method, jwt.MapClaims{"sub": "dev1", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ofOld := []string{token(jwt.SigningMethodEdDSA, oldKey), token(jwt.SigningMethodHS256, []byte(jwtSecret))}
	ofNew := []string{token(jwt.SigningMethodEdDSA, newKey), token(jwt.SigningMethodHS256, []byte(newSecret))}
	dial := func(token string) (*websocket.Conn, int, error) {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", http.Header{"Authorization": {"Bearer " + token}})
		if err != nil && resp != nil {
			return nil, resp.StatusCode, err
		}
		return c, 0, err
	}
	stays, _, err := dial(ofOld[0])
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	_ = stays.SetReadDeadline(time.Now().Add(2 * patience))

	// come has clients arrive all the time, until the function that it returns
	// is called.
	come := func(tokens ...string) (end func()) {
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for _, token := range tokens {
			clients.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						if n > 0 {
							return
						}
					default:
					}
					c, status, err := dial(token)
					if err != nil {
						t.Errorf("a token whose key is in the file gets %d, %v", status, err)
						return
					}
					c.Close()
				}
			})
		}
		return func() { close(stop); clients.Wait() }
	}

	end := come(ofOld...)
	write(keys, oldPEM+newPEM)
	write(file, config+"jwt-secret: "+newSecret+"\njwt-secret-old: "+jwtSecret+"\n")
	p.want("POST", "/v1/reload", "", 200, `"changed":["jwt-secret","jwt-secret-old"]`)
	endNew := come(ofNew...)
	for range 5 { // more of them change nothing
		p.want("POST", "/v1/reload", "", 200, `"changed":[]`)
	}
	end()
	write(keys, newPEM)
	write(file, config+"jwt-secret: "+newSecret+"\n")
	p.want("POST", "/v1/reload", "", 200, `"changed":["jwt-secret-old"]`)
	endNew()
	for i, token := range ofOld {
		if _, status, err := dial(token); status != 401 {
			t.Errorf("token %d of a key that has gone: %d, %v; want 401", i, status, err)
		}
	}
	write(keys, "no key at all")
	p.want("POST", "/v1/reload", "", 422, "no PEM block")
	come(ofNew...)()
	if err := echo(stays, "opened with the old key"); err != nil {
		t.Error(err)
	}
}

// A load balancer that is put before a running gateway: its header is a bad
// request until the file names it, and due from then on. Who was connected
// stays, and stays counted by its own address.
func TestReloadOfLoadBalancers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limpet.yaml")
	if err := os.WriteFile(file, []byte("uplink: echo\nconns-per-ip: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, 0, "--config="+file, "--drain-window=0s")
	status := func(header string) int {
		t.Helper()
		d := websocket.Dialer{HandshakeTimeout: patience, NetDial: func(network, addr string) (net.Conn, error) {
			c, err := net.Dial(network, addr)
			if err == nil {
				_, err = io.WriteString(c, header)
			}
			return c, err
		}}
		c, resp, err := d.Dial("ws://"+p.Listen+"/ws", nil)
		if resp == nil {
			t.Fatalf("no answer: %v", err)
		}
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return resp.StatusCode
	}
	const dev1, dev2 = "PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n", "PROXY TCP4 192.0.2.2 192.0.2.9 1 2\r\n"
	stays := p.mustDial("stays")
	for header, want := range map[string]int{"": 429, dev1: 429} { // before a byte is read
		if got := status(header); got != want {
			t.Errorf("%q before: %d, want %d", header, got, want)
		}
	}
	if err := os.WriteFile(file, []byte("uplink: echo\nconns-per-ip: 1\nproxy-trusted: 127.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.want("POST", "/v1/reload", "", 200, `"changed":["proxy-trusted"]`, `"restart":[]`)
	for _, c := range []struct {
		header string
		want   int
	}{{"", 400}, {dev1, 101}, {dev1, 429}, {dev2, 101}, {"PROXY UNKNOWN\r\n", 429}} {
		if got := status(c.header); got != c.want {
			t.Errorf("%q after: %d, want %d", c.header, got, c.want)
		}
	}
	if err := echo(stays, "still here"); err != nil {
		t.Error(err)
	}
	stays.Close()
	for end := time.Now().Add(patience); status("PROXY UNKNOWN\r\n") != 101; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a connection of before the reload is still counted after its end")
		}
	}
}

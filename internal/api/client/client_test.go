package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJSON(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"detail":"send the token"}`))
		case r.URL.Path == "/v1/snapshot":
			_, _ = w.Write([]byte(`{"sessions":7}`))
		case r.URL.Path == "/html":
			_, _ = w.Write([]byte(`<html>`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()

	var got struct{ Sessions int }
	if err := (API{addr, "secret"}).JSON(context.Background(), "/v1/snapshot", &got); err != nil || got.Sessions != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		api  API
		path string
		says string
	}{
		{API{addr, ""}, "/v1/snapshot", "401 Unauthorized: send the token"},
		{API{addr, "secret"}, "/html", "not the answer of a limpet gateway"},
		{API{addr, "secret"}, "/nothing", "404 Not Found"},
		{API{gone.Addr().String(), ""}, "/v1/snapshot", ErrNoGateway.Error()},
		{API{"localhost", ""}, "/", "want HOST:PORT"},
		{API{"a b:1", ""}, "/", "want HOST:PORT"},
	} {
		err := c.api.JSON(context.Background(), c.path, &got)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s%s: %v, want %q", c.api.Addr, c.path, err, c.says)
		}
	}
	if err := (API{gone.Addr().String(), ""}).JSON(context.Background(), "/", &got); !errors.Is(err, ErrNoGateway) {
		t.Errorf("%v is not ErrNoGateway", err)
	}
	var b bytes.Buffer
	if n, err := (API{addr, "secret"}).Copy(context.Background(), "/html", 0, &b); err != nil || n != 6 || b.String() != "<html>" {
		t.Errorf("%d bytes, %v: %q", n, err, &b)
	}
}

// A gateway that takes the connection and does not answer is given up when the
// answer should have begun, however long it may take then.
func TestFrozenGateway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel connects, nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = API{Addr: l.Addr().String()}.stream(t.Context(), "/", 50*time.Millisecond, time.Hour, func(io.Reader) error {
		t.Error("there is something to read")
		return nil
	})
	if !errors.Is(err, ErrNoGateway) {
		t.Errorf("%v, want ErrNoGateway", err)
	}
}

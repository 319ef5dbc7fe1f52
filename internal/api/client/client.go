package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// DefaultAddr is where a gateway's API listens unless configured otherwise.
const DefaultAddr = "127.0.0.1:8081"

const (
	timeout     = 10 * time.Second // for an answer that is not measured over a time
	maxDocument = 4 << 20          // bytes of one
)

// ErrNoGateway says that nobody answers at the address.
var ErrNoGateway = errors.New("no gateway answers there")

// API is the address of a gateway's API, HOST:PORT, and its token, if it asks
// for one.
type API struct {
	Addr, Token string
}

// JSON decodes the document at path into v.
func (a API) JSON(ctx context.Context, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // read to its end
	if err := json.NewDecoder(io.LimitReader(body, maxDocument)).Decode(v); err != nil {
		return fmt.Errorf("http://%s%s: not the answer of a limpet gateway: %w", a.Addr, path, err)
	}
	return nil
}

// Copy writes what is at path to w and returns how many bytes that were. The
// answer may take as long as longest.
func (a API) Copy(ctx context.Context, path string, longest time.Duration, w io.Writer) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, longest+timeout)
	defer cancel()
	body, err := a.open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer body.Close() //nolint:errcheck // read to its end
	n, err := io.Copy(w, body)
	if err != nil {
		return n, fmt.Errorf("http://%s%s: %w", a.Addr, path, err)
	}
	return n, nil
}

func (a API) open(ctx context.Context, path string) (io.ReadCloser, error) {
	if _, _, err := net.SplitHostPort(a.Addr); err != nil {
		return nil, fmt.Errorf("API address %q: want HOST:PORT", a.Addr)
	}
	target := "http://" + a.Addr + path
	if _, err := url.Parse(target); err != nil {
		return nil, fmt.Errorf("API address %q: want HOST:PORT", a.Addr)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s: %w", a.Addr, ErrNoGateway)
	case err != nil:
		return nil, fmt.Errorf("ask the gateway: %w", err)
	case response.StatusCode != http.StatusOK:
		defer response.Body.Close() //nolint:errcheck // nothing is expected of it
		return nil, refusal(target, response)
	}
	return response.Body, nil
}

// refusal words an answer that is none, with the detail of a problem document.
func refusal(target string, response *http.Response) error {
	var problem struct{ Detail string }
	if json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(&problem) == nil && problem.Detail != "" {
		return fmt.Errorf("%s says %s: %s", target, response.Status, problem.Detail)
	}
	return fmt.Errorf("%s says %s", target, response.Status)
}

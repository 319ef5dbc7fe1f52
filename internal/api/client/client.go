package client

import (
	"bytes"
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

// Refusal is an answer that is not what was asked for.
type Refusal struct {
	URL    string
	Status int    // of HTTP
	Detail string // of a problem document, or empty
	Faults []Fault
}

// Fault is one thing that is wrong with a configuration, as a problem document
// tells it.
type Fault struct{ Key, Value, Source, Problem string }

func (r *Refusal) Error() string {
	text := fmt.Sprintf("%s says %d %s", r.URL, r.Status, http.StatusText(r.Status))
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	for _, f := range r.Faults {
		where := f.Source
		if f.Key != "" {
			where = fmt.Sprintf("%s = %q (%s)", f.Key, f.Value, f.Source)
		}
		text += "\n  " + where + ": " + f.Problem
	}
	return text
}

// API is the address of a gateway's API, HOST:PORT, and its token, if it asks
// for one.
type API struct {
	Addr, Token string
}

// JSON decodes the document at path into v.
func (a API) JSON(ctx context.Context, path string, v any) error {
	return a.exchange(ctx, http.MethodGet, path, nil, v)
}

// Post sends document as JSON to path and decodes the answer into v. An answer
// other than 200 is a *Refusal.
func (a API) Post(ctx context.Context, path string, document, v any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return a.exchange(ctx, http.MethodPost, path, body, v)
}

func (a API) exchange(ctx context.Context, method, path string, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := a.open(ctx, method, path, body, timeout)
	if err != nil {
		return err
	}
	defer answer.Close() //nolint:errcheck // read to its end
	if err := json.NewDecoder(io.LimitReader(answer, maxDocument)).Decode(v); err != nil {
		return fmt.Errorf("http://%s%s: not the answer of a limpet gateway: %w", a.Addr, path, err)
	}
	return nil
}

// Copy writes what is at path to w and returns how many bytes that were. The
// answer may take as long as longest, and begin at its end: a profile is
// measured first.
func (a API) Copy(ctx context.Context, path string, longest time.Duration, w io.Writer) (n int64, err error) {
	err = a.stream(ctx, path, longest+timeout, longest+timeout, func(body io.Reader) error {
		n, err = io.Copy(w, body)
		return err
	})
	return n, err
}

// Read gives what is at path to read, which returns when it has enough. The
// answer begins as soon as any other, and may take as long as longest.
func (a API) Read(ctx context.Context, path string, longest time.Duration, read func(body io.Reader) error) error {
	return a.stream(ctx, path, timeout, longest, read)
}

func (a API) stream(ctx context.Context, path string, first, longest time.Duration, read func(body io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	body, err := a.open(ctx, http.MethodGet, path, nil, first)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was read, or nobody wants the rest
	if err := read(body); err != nil {
		return fmt.Errorf("http://%s%s: %w", a.Addr, path, err)
	}
	return nil
}

// open returns the body of an answer with status 200 that begins within first.
func (a API) open(ctx context.Context, method, path string, body []byte, first time.Duration) (io.ReadCloser, error) {
	if _, _, err := net.SplitHostPort(a.Addr); err != nil {
		return nil, fmt.Errorf("API address %q: want HOST:PORT", a.Addr)
	}
	target := "http://" + a.Addr + path
	if _, err := url.Parse(target); err != nil {
		return nil, fmt.Errorf("API address %q: want HOST:PORT", a.Addr)
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	transport := &http.Transport{
		DisableKeepAlives:     true,
		DialContext:           (&net.Dialer{Timeout: timeout}).DialContext,
		ResponseHeaderTimeout: first,
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
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

// refusal reads an answer that is none, with the detail of a problem document.
func refusal(target string, response *http.Response) error {
	r := &Refusal{URL: target, Status: response.StatusCode}
	var problem struct {
		Detail string
		Faults []Fault
	}
	if json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(&problem) == nil {
		r.Detail, r.Faults = problem.Detail, problem.Faults
	}
	return r
}

package redisdir

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/limpet-gateway/limpet/registry"
)

// Where a node's API lists its table.
const (
	SessionsPath = "/v1/registry/sessions"
	GroupsPath   = "/v1/registry/groups"
)

// RemoteTable is the table of a node in another process, read through its API.
type RemoteTable struct {
	API   string // host:port
	Token string // bearer token, or empty
}

// errCutOff says that a listing had no end.
var errCutOff = errors.New("listing was cut off")

// Walk implements NodeTable.
func (t RemoteTable) Walk(ctx context.Context, visit func(string, registry.Session)) error {
	return t.read(ctx, SessionsPath, func(line []byte) (last bool, err error) {
		var s registry.ListedSession
		if err := json.Unmarshal(line, &s); err != nil {
			return false, err
		}
		if len(s.Principal) == 0 {
			return true, nil
		}
		visit(string(s.Principal), registry.Session{ID: s.Session, Epoch: s.Epoch})
		return false, nil
	})
}

// WalkGroups implements NodeTable.
func (t RemoteTable) WalkGroups(ctx context.Context, visit func(string, int)) error {
	return t.read(ctx, GroupsPath, func(line []byte) (last bool, err error) {
		var g registry.ListedGroup
		if err := json.Unmarshal(line, &g); err != nil {
			return false, err
		}
		if len(g.Group) == 0 {
			return true, nil
		}
		visit(string(g.Group), g.Members)
		return false, nil
	})
}

func (t RemoteTable) read(ctx context.Context, path string, each func(line []byte) (last bool, err error)) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.API+path, nil)
	if err != nil {
		return err
	}
	if t.Token != "" {
		request.Header.Set("Authorization", "Bearer "+t.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s answers %s", t.API, path, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if last, err := each(lines.Bytes()); err != nil {
			return fmt.Errorf("%s%s: %w", t.API, path, err)
		} else if last {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s%s: %w", t.API, path, err)
	}
	return fmt.Errorf("%s%s: %w", t.API, path, errCutOff)
}

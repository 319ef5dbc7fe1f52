package listing

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/registry"
)

// Remote is the table of a node in another process, read through its API. It is
// a redisdir.NodeTable.
type Remote struct{ API client.API }

// readTime bounds one listing: a million sessions are 120 MB.
const readTime = 5 * time.Minute

// errCutOff says that a listing had no end.
var errCutOff = errors.New("the listing was cut off")

// Walk calls visit for every session, until ctx ends.
func (r Remote) Walk(ctx context.Context, visit func(principal string, s registry.Session)) error {
	return r.read(ctx, SessionsPath, func(line []byte) (last bool, err error) {
		var s listedSession
		if err := json.Unmarshal(line, &s); err != nil || len(s.Principal) == 0 {
			return err == nil, err
		}
		visit(string(s.Principal), registry.Session{ID: s.Session, Epoch: s.Epoch})
		return false, nil
	})
}

// WalkGroups calls visit for every group, until ctx ends.
func (r Remote) WalkGroups(ctx context.Context, visit func(group string, members int)) error {
	return r.read(ctx, GroupsPath, func(line []byte) (last bool, err error) {
		var g listedGroup
		if err := json.Unmarshal(line, &g); err != nil || len(g.Group) == 0 {
			return err == nil, err
		}
		visit(string(g.Group), g.Members)
		return false, nil
	})
}

func (r Remote) read(ctx context.Context, path string, each func(line []byte) (last bool, err error)) error {
	return r.API.Read(ctx, path, readTime, func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			if last, err := each(lines.Bytes()); err != nil || last {
				return err
			}
		}
		if err := lines.Err(); err != nil {
			return err
		}
		return errCutOff
	})
}

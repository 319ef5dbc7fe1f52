package listing

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
)

// Where a node's API lists its table.
const (
	SessionsPath = "/v1/registry/sessions"
	GroupsPath   = "/v1/registry/groups"
)

// listedSession is one line of the listing of sessions. Principals are bytes;
// as JSON text only base64 carries all of them.
type listedSession struct {
	Principal []byte         `json:"principal"`
	Session   session.ID     `json:"session"`
	Epoch     registry.Epoch `json:"epoch"`
}

// listedGroup is one line of the listing of groups.
type listedGroup struct {
	Group   []byte `json:"group"`
	Members int    `json:"members"`
}

const (
	writeBuffer = 64 << 10
	// writeTime is how long one flush may take.
	writeTime = 10 * time.Second
)

// Sessions answers with every session of a table, on the terms of its Walk.
func Sessions(t *registry.Table) http.Handler {
	return listing(func(write func(any) bool) {
		t.Walk(func(e registry.Entry) bool {
			return write(listedSession{e.Principal, e.Session.ID, e.Session.Epoch})
		})
	})
}

// Groups answers with every group of a table and the number of its members.
func Groups(t *registry.Table) http.Handler {
	return listing(func(write func(any) bool) {
		t.WalkGroups(func(name []byte, members int) bool { return write(listedGroup{name, members}) })
	})
}

func listing(walk func(write func(any) bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		control := http.NewResponseController(w)
		buffered := bufio.NewWriterSize(deadlineWriter{w, control}, writeBuffer)
		lines := json.NewEncoder(buffered)
		complete := true
		walk(func(line any) bool {
			complete = r.Context().Err() == nil && lines.Encode(line) == nil
			return complete
		})
		if complete && lines.Encode(struct{}{}) == nil {
			_ = buffered.Flush()
		}
	})
}

// deadlineWriter gives each write of a long answer its own deadline.
type deadlineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (d deadlineWriter) Write(p []byte) (int, error) {
	_ = d.control.SetWriteDeadline(time.Now().Add(writeTime))
	return d.w.Write(p)
}

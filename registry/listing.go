package registry

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// ListedSession is one line of the listing of sessions. Principals are bytes;
// as JSON text only base64 carries all of them.
type ListedSession struct {
	Principal []byte     `json:"principal"`
	Session   session.ID `json:"session"`
	Epoch     Epoch      `json:"epoch"`
}

// ListedGroup is one line of the listing of groups.
type ListedGroup struct {
	Group   []byte `json:"group"`
	Members int    `json:"members"`
}

const (
	listingBuffer = 64 << 10
	// listingPause is how long one flush may take: a reader that is slower is
	// cut off.
	listingPause = 10 * time.Second
)

// SessionsHandler answers with one JSON object a line for every session of the
// table, on the terms of Walk: for the tool that compares tables with the
// directory.
func (t *Table) SessionsHandler() http.Handler {
	return listing(func(write func(any) bool) {
		t.Walk(func(e Entry) bool { return write(ListedSession{e.Principal, e.Session.ID, e.Session.Epoch}) })
	})
}

// GroupsHandler does the same for groups.
func (t *Table) GroupsHandler() http.Handler {
	return listing(func(write func(any) bool) {
		t.WalkGroups(func(name []byte, members int) bool { return write(ListedGroup{name, members}) })
	})
}

func listing(walk func(write func(any) bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		control := http.NewResponseController(w)
		buffered := bufio.NewWriterSize(deadlineWriter{w, control}, listingBuffer)
		lines := json.NewEncoder(buffered)
		complete := true
		walk(func(line any) bool {
			complete = r.Context().Err() == nil && lines.Encode(line) == nil
			return complete
		})
		// The last line says that nothing is missing: a listing that is cut off
		// must not pass for a short one.
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
	_ = d.control.SetWriteDeadline(time.Now().Add(listingPause))
	return d.w.Write(p)
}

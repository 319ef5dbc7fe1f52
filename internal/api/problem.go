package api

import (
	"encoding/json"
	"net/http"
)

// Problem is the body of every error answer (RFC 9457), with the media type
// application/problem+json.
type Problem struct {
	// Type tells problems apart that a program may want to tell apart.
	// "about:blank", the zero value's form on the wire, means that the
	// status code says it all (RFC 9457 section 4.2.1).
	Type   string `json:"type"`
	Title  string `json:"title"`            // of the type; by default the text of the status code
	Status int    `json:"status"`           // repeated from the status line
	Detail string `json:"detail,omitempty"` // what was wrong with this request, for people
}

// WriteProblem answers with a problem document of status and detail. The
// detail is shown to whoever asked: it must hold no secret. It must be called
// before anything else is written to w.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	Problem{Status: status, Detail: detail}.Write(w)
}

// Write answers with p; Type and Title get their defaults where empty.
func (p Problem) Write(w http.ResponseWriter) {
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	writeDocument(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers with status and document as JSON.
func WriteJSON(w http.ResponseWriter, status int, document any) {
	writeDocument(w, status, "application/json", document)
}

// writeDocument panics when document cannot be JSON: all of them are structs
// of this program.
func writeDocument(w http.ResponseWriter, status int, mediaType string, document any) {
	body, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(err)
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone, which is its own affair
}

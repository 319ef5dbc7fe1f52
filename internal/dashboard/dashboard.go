package dashboard

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

//go:embed static
var embedded embed.FS

// policy lets the page load what came with it and nothing else. WebSocket
// addresses are open: the console connects to the address of the clients,
// which is another port.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; " +
	"connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// types are spelled out: those of the host's MIME tables may differ.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	"":      "text/plain; charset=utf-8",
}

// Handlers returns the page and its files, by pattern of net/http.ServeMux.
// They hold nothing of the node and need no token.
func Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /{$}": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { serve(w, "index.html") }),
		"GET /dashboard/{name...}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			serve(w, r.PathValue("name"))
		}),
	}
}

func serve(w http.ResponseWriter, name string) {
	content, err := fs.ReadFile(embedded, path.Join("static", path.Clean("/"+name)))
	mediaType, known := types[path.Ext(name)]
	if err != nil || !known {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache") // the next version of the binary has another
	_, _ = w.Write(content)
}
